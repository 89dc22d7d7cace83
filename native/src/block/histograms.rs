//! Histogram columns: a run of histograms of one series, taken apart into columns of numbers.
//!
//! Every bucket that any of the histograms has is a column of its own, and so is the zero count; where a
//! histogram does not have a bucket the column repeats itself. Counts that are integers are kept as
//! differences in time, and buckets whose differences are about as large share one stream: that is as good
//! as a stream a bucket and costs a fraction of the tables. The count of all observations is the sum of
//! the buckets in nearly every histogram, and then not kept.

use std::ops::Range;
use std::sync::Arc;

use crate::block::bytes::{Cursor, put_signed, put_varint, unzigzag, zigzag};
use crate::block::columns::{COLUMN_SAMPLES_MAX, Column, Encoded};
use crate::block::layouts::{self, Bucket, LayoutTable};
use crate::block::{floats, ints};
use crate::error::{Error, Result};
use crate::histogram::{FIXED_CELLS, Hint, Histograms, Layout, View};

/// A column of more cells is cut, unless it is one histogram.
const CELLS_MAX: usize = 1 << 18;
/// No single histogram that is written comes near it.
const WIDTH_MAX: usize = 1 << 20;
const STALE: u64 = 0x7ff0_0000_0000_0002;

/// What the count is.
const COUNT_IS_SUM: u8 = 0;
const COUNT_IS_MORE: u8 = 1;
const COUNT_IS_OWN: u8 = 2;

/// The form of a bucket: its order and class, or this: a column of floats.
const FORM_FLOATS: u8 = 255;
const ORDERS: u8 = ints::ORDER_MAX as u8 + 1;
const CLASSES: usize = 80;

/// Where the column that starts at `from` ends: at histograms of another kind, or when it is large.
pub fn cut(values: &Histograms, range: Range<usize>) -> usize {
    let mut kind: Option<&Arc<Layout>> = None;
    let mut last: Option<&Arc<Layout>> = None;
    let mut union: Vec<Bucket> = Vec::new();
    let (mut widest, mut listed) = (0, 0);
    let end = range.end.min(range.start + COLUMN_SAMPLES_MAX);
    for index in range.start..end {
        let layout = values.get(index).layout;
        let has_buckets = layout.cell_count() > FIXED_CELLS;
        if has_buckets && last.is_none_or(|last| !Arc::ptr_eq(last, layout)) {
            if kind.is_some_and(|kind| !is_same_kind(kind, layout)) {
                return index;
            }
            widest = widest.max(layout.cell_count());
            listed += layout.cell_count() + layout.bounds.len();
            let more = layouts::union_with(&union, layout);
            if more.len() > 2 * widest + 32 {
                return index;
            }
            union = more;
            kind = Some(layout);
            last = Some(layout);
        }
        let cells = (index + 1 - range.start) * (union.len() + FIXED_CELLS);
        if cells.max(listed) > CELLS_MAX && index > range.start {
            return index;
        }
    }
    end
}

/// Whether buckets of the same index mean the same.
fn is_same_kind(left: &Layout, right: &Layout) -> bool {
    left.schema == right.schema && left.bounds == right.bounds
}

/// Nothing but the mark: all its counts are zero.
fn is_marker(view: View<'_>) -> bool {
    view.sum().to_bits() == STALE
        && view.cells[0].to_bits() == 0
        && view.cells[2..].iter().all(|cell| cell.to_bits() == 0)
}

/// What the cells without the count come to, always in this order.
fn summed(cells: &[f64]) -> f64 {
    cells[2..].iter().fold(0.0, |sum, cell| sum + cell)
}

/// Histograms of a column as each of them refers to its layout.
#[derive(Debug, Default)]
struct Plan {
    layouts: Vec<Arc<Layout>>,
    /// For each layout, where its buckets are among all.
    places: Vec<Vec<u32>>,
    /// `(layout, whether these are markers, how many)`
    runs: Vec<(u32, bool, usize)>,
    width: usize,
}

impl Plan {
    fn of(values: &Histograms, range: Range<usize>) -> Self {
        let mut plan = Self::default();
        for view in range.map(|index| values.get(index)) {
            let known = plan
                .layouts
                .iter()
                .rposition(|one| Arc::ptr_eq(one, view.layout));
            let layout = known.unwrap_or_else(|| {
                plan.layouts.push(Arc::clone(view.layout));
                plan.layouts.len() - 1
            });
            let key = (layout as u32, is_marker(view));
            match plan.runs.last_mut() {
                Some(run) if (run.0, run.1) == key => run.2 += 1,
                _ => plan.runs.push((key.0, key.1, 1)),
            }
        }
        plan.place();
        plan
    }

    fn place(&mut self) {
        let union = layouts::union(self.layouts.iter().map(|one| &**one));
        let place = |one: &Arc<Layout>| layouts::places(&union, one);
        self.places = self.layouts.iter().map(place).collect();
        self.width = union.len();
    }

    /// For each histogram: its layout, where the buckets are, whether it is a marker.
    fn rows(&self) -> impl Iterator<Item = (&Arc<Layout>, &[u32], bool)> {
        self.runs.iter().flat_map(|&(layout, is_marker, samples)| {
            let layout = layout as usize;
            let row = (&self.layouts[layout], &*self.places[layout], is_marker);
            std::iter::repeat_n(row, samples)
        })
    }

    fn put(&self, out: &mut Vec<u8>, table: &mut LayoutTable) {
        let numbers: Vec<u32> = self.layouts.iter().map(|one| table.number(one)).collect();
        put_varint(out, self.runs.len() as u64);
        for &(layout, is_marker, samples) in &self.runs {
            let number = u64::from(numbers[layout as usize]);
            put_varint(out, number << 1 | u64::from(is_marker));
            put_varint(out, samples as u64);
        }
    }

    fn take(params: &mut Cursor<'_>, table: &[Arc<Layout>], samples: usize) -> Result<Self> {
        let mut plan = Self::default();
        let mut numbers: Vec<usize> = Vec::new();
        let mut left = samples;
        for _ in 0..params.bounded(samples, "runs of layouts")? {
            let word = params.varint()?;
            let number = usize::try_from(word >> 1).unwrap_or(usize::MAX);
            let run = params.bounded(left, "histograms of one layout")?;
            let Some(layout) = table.get(number) else {
                return Err(params.corrupt(format!("layout {number} of {}", table.len())));
            };
            let known = numbers.iter().rposition(|&one| one == number);
            let own = known.unwrap_or_else(|| {
                numbers.push(number);
                plan.layouts.push(Arc::clone(layout));
                numbers.len() - 1
            });
            plan.runs.push((own as u32, word & 1 == 1, run));
            left -= run;
        }
        plan.place();
        let cells = samples.saturating_mul(plan.width + FIXED_CELLS);
        if left > 0 || (cells > CELLS_MAX && samples > 1) {
            let message = format!(
                "{samples} histograms of {} buckets, {left} without",
                plan.width
            );
            return Err(params.corrupt(message));
        }
        Ok(plan)
    }
}

/// Encodes the histograms of a range that `cut` gave; their layouts go to the page's table.
pub fn encode(
    values: &Histograms,
    range: Range<usize>,
    table: &mut LayoutTable,
) -> Result<Encoded> {
    let plan = Plan::of(values, range.clone());
    if plan.width > WIDTH_MAX {
        let message = format!("histogram of {} buckets, limit {WIDTH_MAX}", plan.width);
        return Err(Error::limit("block-encode", message));
    }
    let mut out = Encoded::default();
    plan.put(&mut out.params, table);
    put_hints(
        &mut out.params,
        range.clone().map(|index| values.get(index).hint),
    );
    let columns = Columns::of(values, range, &plan);
    out.params.push(columns.count_is);
    if columns.count_is != COUNT_IS_SUM {
        put_column(&mut out, &floats::encode(&columns.counts)?);
    }
    put_column(&mut out, &floats::encode(&columns.sums)?);
    put_buckets(&mut out, &columns)?;
    Ok(out)
}

fn put_hints(out: &mut Vec<u8>, hints: impl Iterator<Item = Hint>) {
    let mut runs: Vec<(Hint, u64)> = Vec::new();
    for hint in hints {
        match runs.last_mut() {
            Some(run) if run.0 == hint => run.1 += 1,
            _ => runs.push((hint, 1)),
        }
    }
    put_varint(out, runs.len() as u64);
    for (hint, samples) in runs {
        put_varint(out, samples << 2 | hint as u64);
    }
}

fn take_hints(params: &mut Cursor<'_>, samples: usize) -> Result<Vec<Hint>> {
    let mut hints = Vec::with_capacity(samples);
    for _ in 0..params.bounded(samples, "runs of hints")? {
        let word = params.varint()?;
        let run = word >> 2;
        if run > (samples - hints.len()) as u64 {
            return Err(params.corrupt(format!("run of {run} hints in {samples} samples")));
        }
        let hint = Hint::of((word & 3) as u8).unwrap_or_default();
        hints.resize(hints.len() + run as usize, hint);
    }
    if hints.len() != samples {
        return Err(params.corrupt(format!("{} hints for {samples} samples", hints.len())));
    }
    Ok(hints)
}

/// The columns before they are encoded: one value a histogram, markers repeat what was before them.
struct Columns {
    samples: usize,
    count_is: u8,
    counts: Vec<f64>,
    sums: Vec<f64>,
    /// Zero counts, then each bucket, one column after the other.
    buckets: Vec<f64>,
}

impl Columns {
    fn of(values: &Histograms, range: Range<usize>, plan: &Plan) -> Self {
        let samples = range.len();
        let mut buckets = vec![0.0; samples * (plan.width + 1)];
        let mut sums = Vec::with_capacity(samples);
        for (at, (index, (_, places, is_marker))) in range.clone().zip(plan.rows()).enumerate() {
            let cells = values.get(index).cells;
            if at > 0 {
                for column in buckets.chunks_exact_mut(samples) {
                    column[at] = column[at - 1];
                }
            }
            if is_marker {
                sums.push(sums.last().copied().unwrap_or_default());
                continue;
            }
            sums.push(cells[1]);
            buckets[at] = cells[2];
            for (&place, &cell) in places.iter().zip(&cells[FIXED_CELLS..]) {
                buckets[(place as usize + 1) * samples + at] = cell;
            }
        }
        let (count_is, counts) = counts(values, range, plan);
        Self {
            samples,
            count_is,
            counts,
            sums,
            buckets,
        }
    }
}

/// How counts are kept, and the column of them if there is one.
fn counts(values: &Histograms, range: Range<usize>, plan: &Plan) -> (u8, Vec<f64>) {
    let mut more = Vec::with_capacity(range.len());
    let mut own = Vec::with_capacity(range.len());
    let mut count_is = COUNT_IS_SUM;
    for (index, (_, _, is_marker)) in range.zip(plan.rows()) {
        let cells = values.get(index).cells;
        if is_marker {
            more.push(more.last().copied().unwrap_or_default());
            own.push(own.last().copied().unwrap_or_default());
            continue;
        }
        let sum = summed(cells);
        let beyond = cells[0] - sum;
        own.push(cells[0]);
        more.push(beyond);
        if sum.is_nan() || (sum + beyond).to_bits() != cells[0].to_bits() {
            count_is = COUNT_IS_OWN;
        } else if sum.to_bits() != cells[0].to_bits() {
            count_is = count_is.max(COUNT_IS_MORE);
        }
    }
    match count_is {
        COUNT_IS_SUM => (count_is, Vec::new()),
        COUNT_IS_MORE => (count_is, more),
        _ => (count_is, own),
    }
}

/// Lays a column into this one: lengths and parameters, then its bytes behind what is there.
fn put_column(out: &mut Encoded, column: &Encoded) {
    put_varint(&mut out.params, column.zone.len() as u64);
    put_varint(&mut out.params, column.body.len() as u64);
    put_varint(&mut out.params, column.params.len() as u64);
    out.params.extend_from_slice(&column.params);
    out.zone.extend_from_slice(&column.zone);
    out.body.extend_from_slice(&column.body);
}

fn put_buckets(out: &mut Encoded, columns: &Columns) -> Result<()> {
    let mut streams: Vec<Vec<i64>> = vec![Vec::new(); CLASSES];
    let mut own = Vec::new();
    for column in columns.buckets.chunks_exact(columns.samples) {
        let integers: Option<Vec<i64>> =
            column.iter().map(|&value| floats::integer(value)).collect();
        let Some(integers) = integers else {
            out.params.push(FORM_FLOATS);
            own.push(floats::encode(column)?);
            continue;
        };
        let (order, residuals) = best_order(&integers);
        let class = class_of(&residuals);
        out.params.push(class as u8 * ORDERS + order as u8);
        for &seed in &integers[..order] {
            put_signed(&mut out.params, seed);
        }
        if class > 0 {
            streams[class].extend(residuals.into_iter().map(unzigzag));
        }
    }
    for column in own {
        put_column(out, &column);
    }
    for stream in streams.iter().filter(|stream| !stream.is_empty()) {
        put_stream(out, stream)?;
    }
    Ok(())
}

/// Differences less the least of them: without signs, and so that neighbours stay neighbours, they pack best.
fn put_stream(out: &mut Encoded, stream: &[i64]) -> Result<()> {
    let least = stream.iter().copied().min().unwrap_or_default();
    put_signed(&mut out.params, least);
    let above = stream
        .iter()
        .map(|&value| unzigzag(value.wrapping_sub(least) as u64));
    put_column(out, &ints::encode_plain(&above.collect::<Vec<_>>())?);
    Ok(())
}

/// The order of differences that spread the least, and the differences. How far they are from zero does
/// not matter to a stream: the second difference of a steady counter is small, and yet costs more.
fn best_order(values: &[i64]) -> (usize, Vec<u64>) {
    (0..=ints::ORDER_MAX.min(values.len()))
        .map(|order| (order, ints::residual(values, order)))
        .min_by_key(|(order, residuals)| {
            let seeds: Vec<u64> = values[..*order].iter().map(|&seed| zigzag(seed)).collect();
            ints::varint_cost(&seeds) + spread(residuals)
        })
        .unwrap_or_default()
}

/// Bits that the distances from the median take, more or less.
fn spread(residuals: &[u64]) -> usize {
    let mut signed: Vec<i64> = residuals.iter().map(|&value| unzigzag(value)).collect();
    if signed.is_empty() {
        return 0;
    }
    let middle = signed.len() / 2;
    let (_, &mut median, _) = signed.select_nth_unstable(middle);
    let bits =
        |value: &i64| 64 - (value.wrapping_sub(median).unsigned_abs() * 2 + 1).leading_zeros();
    signed.iter().map(|value| bits(value) as usize).sum()
}

/// By the binary logarithm of the mean residual, in steps of one, from 8 on of a half; 0 where all are zero.
fn class_of(residuals: &[u64]) -> usize {
    let total: u128 = residuals.iter().map(|&value| u128::from(value)).sum();
    if total == 0 {
        return 0;
    }
    let log = (total as f64 / residuals.len() as f64).log2();
    let class = if log < 3.0 {
        log + 17.0
    } else {
        2.0 * log + 14.0
    };
    class.clamp(1.0, CLASSES as f64 - 1.0) as usize
}

/// The parts of a column, taken one after the other.
struct Parts<'p> {
    params: Cursor<'p>,
    zone: &'p [u8],
    body: &'p [u8],
    at: u64,
}

struct Part<'p> {
    params: &'p [u8],
    zone: &'p [u8],
    body: &'p [u8],
}

impl<'p> Parts<'p> {
    fn next(&mut self) -> Result<Part<'p>> {
        let zone = self.params.bounded(self.zone.len(), "zone of a part")?;
        let body = self.params.bounded(self.body.len(), "body of a part")?;
        let length = self
            .params
            .bounded(self.params.remaining(), "parameters of a part")?;
        let part = Part {
            params: self.params.take(length)?,
            zone: &self.zone[..zone],
            body: &self.body[..body],
        };
        self.zone = &self.zone[zone..];
        self.body = &self.body[body..];
        Ok(part)
    }

    fn floats(&mut self, count: usize) -> Result<Vec<f64>> {
        let part = self.next()?;
        floats::decode(part.params, count, part.zone, part.body, self.at)
    }

    /// A stream of differences.
    fn stream(&mut self, count: usize) -> Result<Vec<i64>> {
        let least = self.params.signed()?;
        let part = self.next()?;
        let mut params = Cursor::new(part.params, self.at);
        let mut stream = ints::decode(&mut params, count, part.zone, part.body, self.at)?;
        for value in &mut stream {
            *value = least.wrapping_add(zigzag(*value) as i64);
        }
        Ok(stream)
    }

    fn finish(&self) -> Result<()> {
        self.params.finish()?;
        match self.zone.len() + self.body.len() {
            0 => Ok(()),
            left => Err(self
                .params
                .corrupt(format!("{left} bytes follow the last part"))),
        }
    }
}

/// The form of a bucket's column, with the seeds of its differences.
enum Form {
    Floats,
    Integers { class: usize, seeds: Vec<i64> },
}

fn take_forms(params: &mut Cursor<'_>, width: usize, samples: usize) -> Result<Vec<Form>> {
    let mut forms = Vec::with_capacity(width.min(params.remaining()));
    for _ in 0..width {
        let form = params.u8()?;
        if form == FORM_FLOATS {
            forms.push(Form::Floats);
            continue;
        }
        let (class, order) = ((form / ORDERS) as usize, (form % ORDERS) as usize);
        if class >= CLASSES || order > samples {
            return Err(params.corrupt(format!("form {form} of a bucket, {samples} samples")));
        }
        let seeds = (0..order).map(|_| params.signed()).collect::<Result<_>>()?;
        forms.push(Form::Integers { class, seeds });
    }
    Ok(forms)
}

/// The columns of all buckets, one after the other.
fn take_buckets(parts: &mut Parts<'_>, width: usize, samples: usize) -> Result<Vec<f64>> {
    let forms = take_forms(&mut parts.params, width, samples)?;
    let mut wanted = [0; CLASSES];
    let mut floats = Vec::new();
    for form in &forms {
        match form {
            Form::Floats => floats.push(parts.floats(samples)?),
            Form::Integers { class: 0, .. } => {}
            Form::Integers { class, seeds } => wanted[*class] += samples - seeds.len(),
        }
    }
    let mut streams = Vec::with_capacity(CLASSES);
    for &count in &wanted {
        let stream = if count > 0 {
            parts.stream(count)?
        } else {
            Vec::new()
        };
        streams.push(stream.into_iter());
    }
    let mut floats = floats.into_iter();
    let mut all = Vec::with_capacity(width * samples);
    for form in forms {
        match form {
            Form::Floats => all.extend(floats.next().unwrap_or_default()),
            Form::Integers { class, seeds } => {
                let flat = if class == 0 { samples - seeds.len() } else { 0 };
                let rest = std::iter::repeat_n(0, flat);
                let own = streams[class].by_ref().take(samples - seeds.len());
                let values = ints::integrate(&seeds, rest.chain(own));
                all.extend(values.into_iter().map(|value| value as f64));
            }
        }
    }
    Ok(all)
}

/// Decodes the column and adds the histograms of `wanted` to `out`; `table` has the layouts of the page.
pub fn decode(
    column: &Column<'_>,
    table: &[Arc<Layout>],
    wanted: Range<usize>,
    out: &mut Histograms,
    at: u64,
) -> Result<()> {
    let samples = column.samples;
    let mut parts = Parts {
        params: Cursor::new(column.params, at),
        zone: column.zone,
        body: column.body,
        at,
    };
    let plan = Plan::take(&mut parts.params, table, samples)?;
    let hints = take_hints(&mut parts.params, samples)?;
    let count_is = parts.params.u8()?;
    let counts = match count_is {
        COUNT_IS_SUM => Vec::new(),
        COUNT_IS_MORE | COUNT_IS_OWN => parts.floats(samples)?,
        other => return Err(parts.params.corrupt(format!("counts of kind {other}"))),
    };
    let sums = parts.floats(samples)?;
    let buckets = take_buckets(&mut parts, plan.width + 1, samples)?;
    parts.finish()?;
    let mut cells = Vec::new();
    let rows = plan
        .rows()
        .enumerate()
        .skip(wanted.start)
        .take(wanted.len());
    for (index, (layout, places, is_marker)) in rows {
        cells.clear();
        cells.resize(FIXED_CELLS + places.len(), 0.0);
        if is_marker {
            cells[1] = f64::from_bits(STALE);
        } else {
            cells[1] = sums[index];
            cells[2] = buckets[index];
            for (cell, &place) in cells[FIXED_CELLS..].iter_mut().zip(places) {
                *cell = buckets[(place as usize + 1) * samples + index];
            }
            cells[0] = match count_is {
                COUNT_IS_SUM => summed(&cells),
                COUNT_IS_MORE => summed(&cells) + counts[index],
                _ => counts[index],
            };
        }
        out.push(View {
            layout,
            hint: hints[index],
            cells: &cells,
        });
    }
    Ok(())
}
