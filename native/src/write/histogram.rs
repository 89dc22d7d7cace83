//! Reads a native histogram of a message: integer or float, exponential or custom buckets.
//!
//! Fields first go to flat scratch, which never grows beyond `Limits::histogram_buckets`; spans become bucket
//! indexes only after they were found to have as many counts as they announce. The rules, and what they
//! forgive, are those of Prometheus: the sum of buckets is checked for integers only, because float counts have
//! rounding errors.

use std::sync::Arc;

use crate::error::Result;
use crate::histogram::{CUSTOM, FIXED_CELLS, Hint, Layout, View};
use crate::write::labels::Verdict;
use crate::write::wire::{Reader, Span, Value, long_varint, zigzag_32};

const SCHEMA_MIN: i32 = -4;
/// Finer schemas are brought down to this one.
const SCHEMA_MAX: i32 = 8;
/// Schemas that exist, of which we keep those up to `SCHEMA_MAX`.
const SCHEMA_RESERVED_MAX: i32 = 52;

/// Layouts that are looked at before a new one is made.
const LAYOUTS_KEPT: usize = 4;

/// A number of a oneof: which of both kinds came last.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Number {
    Integer(u64),
    Float(f64),
}

/// Positive or negative buckets, as they came.
#[derive(Debug, Default)]
struct Side {
    /// `(offset, length)`
    spans: Vec<(i32, u32)>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

/// A reader of histograms, with the memory that it needs again for each.
#[derive(Debug)]
pub struct HistogramReader {
    buckets_max: usize,
    count: Number,
    zero_count: Number,
    sum: f64,
    schema: i32,
    zero_threshold: f64,
    positive: Side,
    negative: Side,
    bounds: Vec<f64>,
    hint: u32,
    pub timestamp_ms: i64,
    pub start_ms: i64,
    layout: Layout,
    recent: Vec<Arc<Layout>>,
    cells: Vec<f64>,
}

impl HistogramReader {
    pub fn new(buckets_max: usize) -> Self {
        Self {
            buckets_max,
            count: Number::Integer(0),
            zero_count: Number::Integer(0),
            sum: 0.0,
            schema: 0,
            zero_threshold: 0.0,
            positive: Side::default(),
            negative: Side::default(),
            bounds: Vec::new(),
            hint: 0,
            timestamp_ms: 0,
            start_ms: 0,
            layout: Layout::default(),
            recent: Vec::new(),
            cells: Vec::new(),
        }
    }

    /// Reads the fields of one histogram. Errors where the message is malformed.
    pub fn read(&mut self, message: &[u8], span: Span) -> Result<()> {
        self.clear();
        let most = self.buckets_max;
        let mut reader = Reader::new(message, span);
        while let Some(field) = reader.field()? {
            match (field.number, field.value) {
                (1, Value::Varint(count)) => self.count = Number::Integer(count),
                (2, Value::Fixed64(bits)) => self.count = Number::Float(f64::from_bits(bits)),
                (3, Value::Fixed64(bits)) => self.sum = f64::from_bits(bits),
                (4, Value::Varint(value)) => self.schema = zigzag_32(value),
                (5, Value::Fixed64(bits)) => self.zero_threshold = f64::from_bits(bits),
                (6, Value::Varint(count)) => self.zero_count = Number::Integer(count),
                (7, Value::Fixed64(bits)) => self.zero_count = Number::Float(f64::from_bits(bits)),
                (8, Value::Bytes(span)) => put_span(&mut self.negative, message, span, most)?,
                (9, value) => put_deltas(&mut self.negative.deltas, message, value, most, &reader)?,
                (10, value) => {
                    put_floats(&mut self.negative.counts, message, value, most, &reader)?
                }
                (11, Value::Bytes(span)) => put_span(&mut self.positive, message, span, most)?,
                (12, value) => {
                    put_deltas(&mut self.positive.deltas, message, value, most, &reader)?
                }
                (13, value) => {
                    put_floats(&mut self.positive.counts, message, value, most, &reader)?
                }
                (14, Value::Varint(value)) => self.hint = value as u32,
                (15, Value::Varint(value)) => self.timestamp_ms = value as i64,
                (16, value) => put_floats(&mut self.bounds, message, value, most, &reader)?,
                (17, Value::Varint(value)) => self.start_ms = value as i64,
                _ => {}
            }
        }
        Ok(())
    }

    /// The histogram that was read, or the rule that it breaks.
    pub fn judge(&mut self) -> std::result::Result<View<'_>, Verdict> {
        self.check_sizes()?;
        self.lay_out()?;
        self.fill()?;
        if self.schema > SCHEMA_MAX {
            self.reduce();
        }
        let layout = self.shared_layout();
        Ok(View {
            layout: &self.recent[layout],
            hint: u8::try_from(self.hint)
                .ok()
                .and_then(Hint::of)
                .unwrap_or_default(),
            cells: &self.cells,
        })
    }

    fn clear(&mut self) {
        (self.count, self.zero_count) = (Number::Integer(0), Number::Integer(0));
        (self.sum, self.zero_threshold) = (0.0, 0.0);
        (self.schema, self.hint) = (0, 0);
        (self.timestamp_ms, self.start_ms) = (0, 0);
        for side in [&mut self.positive, &mut self.negative] {
            side.spans.clear();
            side.deltas.clear();
            side.counts.clear();
        }
        self.bounds.clear();
    }

    fn is_float(&self) -> bool {
        matches!(self.count, Number::Float(_))
    }

    fn check_sizes(&self) -> std::result::Result<(), Verdict> {
        let most = self.buckets_max;
        let sizes = |side: &Side| {
            let counts = match self.is_float() {
                true => side.counts.len(),
                false => side.deltas.len(),
            };
            [counts, side.spans.len()]
        };
        let [positive, positive_spans] = sizes(&self.positive);
        let [negative, negative_spans] = sizes(&self.negative);
        let buckets = positive + negative;
        let largest = buckets
            .max(positive_spans + negative_spans)
            .max(self.bounds.len());
        if largest <= most {
            return Ok(());
        }
        refuse(
            "max-native-histogram-buckets",
            format!(
                "histogram has more than {most} buckets, spans or bounds (max_native_histogram_buckets)"
            ),
        )
    }

    /// Makes `layout` of schema, bounds and spans.
    fn lay_out(&mut self) -> std::result::Result<(), Verdict> {
        let is_custom = self.schema == i32::from(CUSTOM);
        if !is_custom && !(SCHEMA_MIN..=SCHEMA_RESERVED_MAX).contains(&self.schema) {
            return refuse(
                "invalid-native-histogram-schema",
                format!(
                    "histogram schema {}, want {SCHEMA_MIN} to {SCHEMA_RESERVED_MAX} or {CUSTOM}",
                    self.schema
                ),
            );
        }
        let is_float = self.is_float();
        expand(
            &self.positive,
            is_float,
            "positive",
            &mut self.layout.positive,
        )?;
        expand(
            &self.negative,
            is_float,
            "negative",
            &mut self.layout.negative,
        )?;
        self.layout.schema = self.schema.min(SCHEMA_MAX) as i8;
        self.layout.zero_threshold = self.zero_threshold;
        self.layout.bounds.clear();
        self.layout.bounds.extend_from_slice(&self.bounds);
        if is_custom {
            return self.check_custom();
        }
        if !self.bounds.is_empty() {
            return refuse(
                "native-histogram-custom-buckets-mismatch",
                "histogram with exponential buckets lists bounds".to_owned(),
            );
        }
        if self.zero_threshold.is_nan() || self.zero_threshold < 0.0 {
            let message = format!("zero threshold {} of a histogram", self.zero_threshold);
            return refuse("native-histogram-zero-threshold", message);
        }
        Ok(())
    }

    fn check_custom(&self) -> std::result::Result<(), Verdict> {
        let mut before = f64::NEG_INFINITY;
        for &bound in &self.bounds {
            // Also refuses NaN, which is neither.
            if !(bound > before && bound < f64::INFINITY) {
                return refuse(
                    "native-histogram-custom-buckets-invalid",
                    format!(
                        "custom bound {bound} after {before}: bounds must ascend and be finite"
                    ),
                );
            }
            before = bound;
        }
        let side = &self.negative;
        let has_negative =
            !(side.spans.is_empty() && side.deltas.is_empty() && side.counts.is_empty());
        let has_zero = self.zero() != 0.0 || self.zero_threshold != 0.0;
        if has_negative || has_zero {
            return refuse(
                "native-histogram-custom-buckets-mismatch",
                "histogram with custom buckets has negative buckets or a zero bucket".to_owned(),
            );
        }
        let spans = &self.positive.spans;
        if let Some(at) = spans.iter().position(|&(offset, _)| offset < 0) {
            return refuse(
                "native-histogram-span-negative-offset",
                format!(
                    "span {} of custom buckets has the offset {}",
                    at + 1,
                    spans[at].0
                ),
            );
        }
        let reach = |&(offset, length): &(i32, u32)| i64::from(offset) + i64::from(length);
        let (needed, bounds) = (spans.iter().map(reach).sum::<i64>(), self.bounds.len());
        if needed > bounds as i64 + 1 {
            return refuse(
                "native-histogram-custom-buckets-mismatch",
                format!("{bounds} custom bounds do not cover spans of {needed} buckets"),
            );
        }
        Ok(())
    }

    fn zero(&self) -> f64 {
        match (self.count, self.zero_count) {
            (Number::Integer(_), Number::Integer(count)) => count as f64,
            (Number::Float(_), Number::Float(count)) => count,
            _ => 0.0,
        }
    }

    /// Makes `cells` of the counts, which fit the layout.
    fn fill(&mut self) -> std::result::Result<(), Verdict> {
        self.cells.clear();
        let count = match self.count {
            Number::Integer(count) => count as f64,
            Number::Float(count) => count,
        };
        self.cells.extend([count, self.sum, self.zero()]);
        match self.count {
            Number::Integer(count) => self.fill_integers(count),
            Number::Float(_) => self.fill_floats(),
        }
    }

    fn fill_floats(&mut self) -> std::result::Result<(), Verdict> {
        for side in [&self.positive, &self.negative] {
            if let Some(at) = side.counts.iter().position(|&count| count < 0.0) {
                return refuse_count(at, side.counts[at]);
            }
            self.cells.extend_from_slice(&side.counts);
        }
        Ok(())
    }

    fn fill_integers(&mut self, count: u64) -> std::result::Result<(), Verdict> {
        let mut in_buckets = match self.zero_count {
            Number::Integer(count) => u128::from(count),
            Number::Float(_) => 0,
        };
        for side in [&self.positive, &self.negative] {
            let mut current = 0i64;
            for (at, &delta) in side.deltas.iter().enumerate() {
                match current.checked_add(delta) {
                    Some(next) if next >= 0 => current = next,
                    _ => return refuse_count(at, current as f64 + delta as f64),
                }
                in_buckets += current as u128;
                self.cells.push(current as f64);
            }
        }
        let told = u128::from(count);
        // Observations of NaN are counted, are in no bucket, and make the sum NaN.
        if self.sum.is_nan() && in_buckets > told {
            return refuse(
                "native-histogram-count-not-big-enough",
                format!("{in_buckets} observations in buckets, but the count is {told}"),
            );
        }
        if !self.sum.is_nan() && in_buckets != told {
            return refuse(
                "native-histogram-count-mismatch",
                format!("{in_buckets} observations in buckets, but the count is {told}"),
            );
        }
        Ok(())
    }

    /// Brings a schema that is finer than ours down to the finest of ours.
    fn reduce(&mut self) {
        let shift = (self.schema - SCHEMA_MAX) as u32;
        let positive = self.layout.positive.len();
        let (fixed, buckets) = self.cells.split_at_mut(FIXED_CELLS);
        let (left, right) = buckets.split_at_mut(positive);
        let left = merged(&mut self.layout.positive, left, shift);
        let right = merged(&mut self.layout.negative, right, shift);
        let mut cells = fixed.to_vec();
        cells.extend(left);
        cells.extend(right);
        self.cells = cells;
    }

    /// Where in `recent` a layout like `layout` is.
    fn shared_layout(&mut self) -> usize {
        let found = self.recent.iter().position(|one| **one == self.layout);
        found.unwrap_or_else(|| {
            if self.recent.len() == LAYOUTS_KEPT {
                self.recent.remove(0);
            }
            self.recent.push(Arc::new(self.layout.clone()));
            self.recent.len() - 1
        })
    }
}

/// The bucket indexes of one side; only as many are made as counts came.
fn expand(
    side: &Side,
    is_float: bool,
    name: &str,
    out: &mut Vec<i32>,
) -> std::result::Result<(), Verdict> {
    out.clear();
    let counts = match is_float {
        true => side.counts.len(),
        false => side.deltas.len(),
    };
    let wanted: u64 = side
        .spans
        .iter()
        .map(|&(_, length)| u64::from(length))
        .sum();
    if wanted != counts as u64 {
        return refuse(
            "native-histogram-spans-buckets-mismatch",
            format!("{name} side: spans need {wanted} buckets, have {counts}"),
        );
    }
    let mut next = 0i64;
    for (number, &(offset, length)) in side.spans.iter().enumerate() {
        if number > 0 && offset < 0 {
            return refuse(
                "native-histogram-span-negative-offset",
                format!("{name} side: span {} has the offset {offset}", number + 1),
            );
        }
        next += i64::from(offset);
        let end = next + i64::from(length);
        if length > 0 && end - 1 > i64::from(i32::MAX) {
            return refuse(
                "native-histogram-bucket-index",
                format!("{name} side: bucket index {} does not fit 32 bits", end - 1),
            );
        }
        out.extend((next..end).map(|index| index as i32));
        next = end;
    }
    Ok(())
}

/// Adds up the counts of buckets that are one at the coarser schema.
fn merged(indexes: &mut Vec<i32>, counts: &[f64], shift: u32) -> Vec<f64> {
    let mut out: Vec<f64> = Vec::with_capacity(counts.len());
    let mut coarse: Vec<i32> = Vec::with_capacity(counts.len());
    for (&index, &count) in indexes.iter().zip(counts) {
        let index = (((i64::from(index) - 1) >> shift) + 1) as i32;
        if coarse.last() == Some(&index)
            && let Some(last) = out.last_mut()
        {
            *last += count;
        } else {
            coarse.push(index);
            out.push(count);
        }
    }
    *indexes = coarse;
    out
}

fn put_span(side: &mut Side, message: &[u8], span: Span, most: usize) -> Result<()> {
    let (mut offset, mut length) = (0, 0);
    let mut reader = Reader::new(message, span);
    while let Some(field) = reader.field()? {
        match (field.number, field.value) {
            (1, Value::Varint(value)) => offset = zigzag_32(value),
            (2, Value::Varint(value)) => length = value as u32,
            _ => {}
        }
    }
    put(&mut side.spans, (offset, length), most);
    Ok(())
}

fn put_deltas(
    out: &mut Vec<i64>,
    message: &[u8],
    value: Value,
    most: usize,
    at: &Reader<'_>,
) -> Result<()> {
    match value {
        Value::Varint(value) => put(out, zigzag(value), most),
        Value::Bytes(span) => {
            let mut rest = span.of(message);
            while !rest.is_empty() {
                let Some((value, length)) = long_varint(rest) else {
                    return Err(at.malformed("bucket delta is cut off"));
                };
                put(out, zigzag(value), most);
                rest = &rest[length..];
            }
        }
        _ => {}
    }
    Ok(())
}

fn put_floats(
    out: &mut Vec<f64>,
    message: &[u8],
    value: Value,
    most: usize,
    at: &Reader<'_>,
) -> Result<()> {
    match value {
        Value::Fixed64(bits) => put(out, f64::from_bits(bits), most),
        Value::Bytes(span) => {
            let (numbers, rest) = span.of(message).as_chunks::<8>();
            if !rest.is_empty() {
                return Err(at.malformed("packed doubles are cut off"));
            }
            for &bytes in numbers {
                put(out, f64::from_le_bytes(bytes), most);
            }
        }
        _ => {}
    }
    Ok(())
}

/// One more than `most` says that there were too many; the others need not be kept.
#[inline]
fn put<T>(out: &mut Vec<T>, item: T, most: usize) {
    if out.len() <= most {
        out.push(item);
    }
}

fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn refuse<T>(id: &'static str, message: String) -> std::result::Result<T, Verdict> {
    Err(Verdict { id, message })
}

fn refuse_count<T>(at: usize, count: f64) -> std::result::Result<T, Verdict> {
    refuse(
        "native-histogram-negative-bucket-count",
        format!("bucket {} has the observation count {count}", at + 1),
    )
}
