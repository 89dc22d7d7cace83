//! What a batch has beside its float samples (`docs/format/wal.md`): starts, histograms, exemplars.

use std::borrow::Cow;
use std::sync::Arc;

use crate::error::Result;
use crate::fields::wire::{Reader, put_signed, put_starts, put_text, put_times, put_varint};
use crate::head::cells;
use crate::histogram::{Hint, Histograms, Layout, View};
use crate::symbols::Interner;
use crate::write::batch::Exemplar;

const STARTS: u8 = 1;
const HISTOGRAMS: u8 = 2;
const EXEMPLARS: u8 = 4;
/// Layouts looked at, from the newest, for one that is equal; a copy more does no harm.
const LAYOUTS_SEARCHED: usize = 16;

/// The rows of an entry, given where those of each end.
#[inline]
pub fn rows(ends: &[u32], entry: usize) -> std::ops::Range<usize> {
    let start = match entry {
        0 => 0,
        _ => ends[entry - 1],
    };
    start as usize..ends[entry] as usize
}

/// Histograms and exemplars of some series.
#[derive(Debug, Default)]
pub struct More {
    /// Where the histograms of each series end.
    pub histogram_ends: Vec<u32>,
    pub histogram_times: Vec<i64>,
    /// As long as the histograms, or empty where none has one.
    pub histogram_starts: Vec<i64>,
    pub histograms: Histograms,
    /// Where the exemplars of each series end.
    pub exemplar_ends: Vec<u32>,
    pub exemplars: Vec<Exemplar>,
}

impl More {
    /// The start of a histogram; 0 is none.
    pub fn histogram_start(&self, row: usize) -> i64 {
        self.histogram_starts.get(row).copied().unwrap_or(0)
    }

    /// The same, borrowed.
    pub fn view(&self) -> MoreView<'_> {
        MoreView {
            histogram_ends: Cow::Borrowed(&self.histogram_ends),
            histogram_times: Cow::Borrowed(&self.histogram_times),
            histogram_starts: Cow::Borrowed(&self.histogram_starts),
            histograms: self.histograms.iter().collect(),
            exemplar_ends: Cow::Borrowed(&self.exemplar_ends),
            exemplars: self.exemplars.iter().collect(),
        }
    }
}

/// `More` of which cells and exemplars are somebody else's.
#[derive(Debug, Default)]
pub struct MoreView<'a> {
    pub histogram_ends: Cow<'a, [u32]>,
    pub histogram_times: Cow<'a, [i64]>,
    pub histogram_starts: Cow<'a, [i64]>,
    pub histograms: Vec<View<'a>>,
    pub exemplar_ends: Cow<'a, [u32]>,
    pub exemplars: Vec<&'a Exemplar>,
}

/// Encodes the starts of float samples (none, or one each), and what there is more.
pub fn encode(out: &mut Vec<u8>, starts: &[i64], more: &MoreView<'_>) {
    let flag = |there: bool, bit: u8| if there { bit } else { 0 };
    out.push(
        flag(!starts.is_empty(), STARTS)
            | flag(!more.histograms.is_empty(), HISTOGRAMS)
            | flag(!more.exemplars.is_empty(), EXEMPLARS),
    );
    put_starts(out, starts);
    if !more.histograms.is_empty() {
        put_histograms(out, more);
    }
    if !more.exemplars.is_empty() {
        put_exemplars(out, more);
    }
}

fn put_ends(out: &mut Vec<u8>, ends: &[u32]) {
    for entry in 0..ends.len() {
        put_varint(out, rows(ends, entry).len() as u64);
    }
}

fn put_histograms(out: &mut Vec<u8>, more: &MoreView<'_>) {
    let mut layouts: Vec<&Arc<Layout>> = Vec::new();
    let mut numbers = Vec::with_capacity(more.histograms.len());
    for view in &more.histograms {
        let mut recent = layouts.iter().enumerate().rev().take(LAYOUTS_SEARCHED);
        let known = recent.find(|(_, layout)| Arc::ptr_eq(layout, view.layout));
        let number = known.map_or(layouts.len(), |(number, _)| number);
        if number == layouts.len() {
            layouts.push(view.layout);
        }
        numbers.push(number as u64);
    }
    put_varint(out, layouts.len() as u64);
    for layout in layouts {
        put_layout(out, layout);
    }
    put_ends(out, &more.histogram_ends);
    put_times(out, &more.histogram_times);
    out.push(u8::from(!more.histogram_starts.is_empty()));
    put_starts(out, &more.histogram_starts);
    for (view, number) in more.histograms.iter().zip(numbers) {
        put_varint(out, number << 2 | view.hint as u64);
    }
    let mut zeros = Vec::new();
    for view in &more.histograms {
        zeros.resize(view.cells.len(), 0.0);
        cells::encode(&zeros, view.cells, out);
    }
}

fn put_layout(out: &mut Vec<u8>, layout: &Layout) {
    out.push(layout.schema as u8);
    out.extend_from_slice(&layout.zero_threshold.to_bits().to_le_bytes());
    put_varint(out, layout.bounds.len() as u64);
    for bound in &layout.bounds {
        out.extend_from_slice(&bound.to_bits().to_le_bytes());
    }
    for indexes in [&layout.positive, &layout.negative] {
        put_varint(out, indexes.len() as u64);
        let mut before = 0;
        for &index in indexes {
            put_signed(out, i64::from(index) - before);
            before = i64::from(index);
        }
    }
}

fn put_exemplars(out: &mut Vec<u8>, more: &MoreView<'_>) {
    let mut strings = Interner::default();
    let mut bodies = Vec::new();
    let mut before_ms = 0;
    for exemplar in &more.exemplars {
        put_signed(&mut bodies, exemplar.time_ms.wrapping_sub(before_ms));
        before_ms = exemplar.time_ms;
        bodies.extend_from_slice(&exemplar.value.to_bits().to_le_bytes());
        put_varint(&mut bodies, exemplar.labels.len() as u64);
        for (name, value) in &exemplar.labels {
            put_varint(&mut bodies, u64::from(strings.intern(name)));
            put_varint(&mut bodies, u64::from(strings.intern(value)));
        }
    }
    put_varint(out, strings.symbols.len() as u64);
    for text in strings.symbols.iter() {
        put_text(out, text);
    }
    put_ends(out, &more.exemplar_ends);
    out.extend_from_slice(&bodies);
}

/// The sections of a record.
#[derive(Debug, Default)]
pub struct Sections {
    /// As long as the float samples, or empty.
    pub starts: Vec<i64>,
    /// Of as many entries as the record has, or of none.
    pub more: More,
}

/// Reads what `encode` wrote, of a record with so many entries and float samples.
pub fn read(reader: &mut Reader<'_>, entries: usize, samples: usize) -> Result<Sections> {
    let mut sections = Sections::default();
    let flags = reader.byte()?;
    if flags & !(STARTS | HISTOGRAMS | EXEMPLARS) != 0 {
        return Err(reader.odd("has sections of an unknown kind"));
    }
    if flags & STARTS != 0 {
        sections.starts = reader.differences(samples, 0)?;
    }
    if flags & HISTOGRAMS != 0 {
        read_histograms(reader, entries, &mut sections.more)?;
    }
    if flags & EXEMPLARS != 0 {
        read_exemplars(reader, entries, &mut sections.more)?;
    }
    Ok(sections)
}

fn read_histograms(reader: &mut Reader<'_>, entries: usize, more: &mut More) -> Result<()> {
    let count = reader.count(12)?;
    let mut layouts = Vec::with_capacity(count);
    for _ in 0..count {
        layouts.push(Arc::new(read_layout(reader)?));
    }
    more.histogram_ends = reader.ends(entries, 2)?;
    let total = more.histogram_ends.last().map_or(0, |&end| end as usize);
    more.histogram_times = reader.times(total)?;
    if reader.byte()? != 0 {
        more.histogram_starts = reader.differences(total, 0)?;
    }
    let mut kinds = Vec::with_capacity(total);
    for _ in 0..total {
        let kind = reader.varint()?;
        let layout = layouts.get((kind >> 2) as usize);
        let layout = layout.ok_or_else(|| reader.odd("names no layout"))?;
        kinds.push((layout, Hint::of(kind as u8 & 3).unwrap_or_default()));
    }
    more.histograms = read_cells(reader, &kinds)?;
    Ok(())
}

fn read_cells(reader: &mut Reader<'_>, kinds: &[(&Arc<Layout>, Hint)]) -> Result<Histograms> {
    let mut all = Histograms::default();
    let mut cells = Vec::new();
    for &(layout, hint) in kinds {
        cells.clear();
        cells.resize(layout.cell_count(), 0.0);
        cells::decode(reader.bytes, &mut reader.at, &mut cells)?;
        let cells = cells.as_slice();
        all.push(View {
            layout,
            hint,
            cells,
        });
    }
    Ok(all)
}

fn read_layout(reader: &mut Reader<'_>) -> Result<Layout> {
    let schema = reader.byte()? as i8;
    let zero_threshold = reader.float()?;
    let count = reader.count(8)?;
    let mut bounds = Vec::with_capacity(count);
    for _ in 0..count {
        bounds.push(reader.float()?);
    }
    Layout {
        schema,
        zero_threshold,
        bounds,
        positive: read_indexes(reader)?,
        negative: read_indexes(reader)?,
    }
    .checked()
    .map_err(|error| reader.odd(format!("has a layout that is none ({error})")))
}

fn read_indexes(reader: &mut Reader<'_>) -> Result<Vec<i32>> {
    let count = reader.count(1)?;
    let indexes = reader.differences(count, 0)?.into_iter();
    let indexes: std::result::Result<Vec<i32>, _> = indexes.map(i32::try_from).collect();
    indexes.map_err(|_| reader.odd("has a bucket beyond all"))
}

fn read_exemplars(reader: &mut Reader<'_>, entries: usize, more: &mut More) -> Result<()> {
    let strings = reader.texts()?;
    more.exemplar_ends = reader.ends(entries, 10)?;
    let total = more.exemplar_ends.last().map_or(0, |&end| end as usize);
    let mut time_ms = 0i64;
    for _ in 0..total {
        time_ms = time_ms.wrapping_add(reader.signed()?);
        let value = reader.float()?;
        let count = reader.count(2)?;
        let mut labels = Vec::with_capacity(count);
        for _ in 0..count {
            let (name, value) = reader.label(&strings)?;
            labels.push((name.to_owned(), value.to_owned()));
        }
        more.exemplars.push(Exemplar {
            time_ms,
            value,
            labels,
        });
    }
    Ok(())
}
