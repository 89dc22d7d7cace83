//! Data points of gauges, sums, histograms with listed bounds, and summaries.

use crate::error::Result;
use crate::otlp::attributes::{Attribute, Labels};
use crate::otlp::exemplar;
use crate::otlp::request::Metric;
use crate::otlp::sink::{Sink, When};
use crate::otlp::value::bound_text;
use crate::write::batch::Exemplar;
use crate::write::wire::{Reader, Span, Value};

/// The value that says that a series has ended.
pub const STALE: f64 = f64::from_bits(0x7ff0_0000_0000_0002);
const NO_RECORDED_VALUE: u64 = 1;

/// What points of all kinds have.
#[derive(Debug, Default)]
pub struct Point<'a> {
    pub when: When,
    pub attributes: Vec<Attribute<'a>>,
    pub exemplars: Vec<Span>,
    flags: u64,
}

impl<'a> Point<'a> {
    pub fn set_flags(&mut self, flags: u64) {
        self.flags = flags;
    }

    pub fn add_attribute(&mut self, message: &'a [u8], span: Span) -> Result<()> {
        self.attributes.push(Attribute::read(message, span)?);
        Ok(())
    }

    pub fn is_stale(&self) -> bool {
        self.flags & NO_RECORDED_VALUE != 0
    }

    /// The value, or the one of a series that has ended.
    fn value(&self, value: f64) -> f64 {
        match self.is_stale() {
            true => STALE,
            false => value,
        }
    }
}

/// Of a gauge or a sum. A sum that only grows has a start and exemplars.
pub fn number(metric: &Metric<'_, '_>, span: Span, sink: &mut Sink<'_>) -> Result<When> {
    let message = metric.message;
    let mut point = Point::default();
    let mut value = None;
    let mut reader = Reader::new(message, span);
    while let Some(field) = reader.field()? {
        match (field.number, field.value) {
            (2, Value::Fixed64(nanos)) => point.when.start_nanos = nanos,
            (3, Value::Fixed64(nanos)) => point.when.nanos = nanos,
            (4, Value::Fixed64(bits)) => value = Some(f64::from_bits(bits)),
            (5, Value::Bytes(span)) => point.exemplars.push(span),
            (6, Value::Fixed64(bits)) => value = Some(bits as i64 as f64),
            (7, Value::Bytes(span)) => point.add_attribute(message, span)?,
            (8, Value::Varint(flags)) => point.set_flags(flags),
            _ => {}
        }
    }
    let when = point.when;
    if value.is_none() && !point.is_stale() {
        let message = || format!("point of {:?} has no value", metric.name);
        sink.batch.reject("otlp-point-without-value", 1, message);
        return Ok(when);
    }
    let value = point.value(value.unwrap_or(STALE));
    let exemplars = match metric.is_sum {
        true => exemplar::read_all(message, &point.exemplars, sink)?,
        false => Vec::new(),
    };
    let told = if metric.has_starts {
        when
    } else {
        when.alone()
    };
    let labels = metric.resource.labels_of(point.attributes);
    sink.float(&labels, &metric.name, None, told, value, exemplars)?;
    Ok(when)
}

#[derive(Debug, Default)]
struct Buckets {
    count: u64,
    sum: Option<f64>,
    counts: Vec<u64>,
    bounds: Vec<f64>,
}

/// Of a histogram with listed bounds: a series a bucket, one of the sum, one of the count.
pub fn histogram(metric: &Metric<'_, '_>, span: Span, sink: &mut Sink<'_>) -> Result<When> {
    let message = metric.message;
    let mut point = Point::default();
    let mut buckets = Buckets::default();
    let mut reader = Reader::new(message, span);
    while let Some(field) = reader.field()? {
        match (field.number, field.value) {
            (2, Value::Fixed64(nanos)) => point.when.start_nanos = nanos,
            (3, Value::Fixed64(nanos)) => point.when.nanos = nanos,
            (4, Value::Fixed64(count)) => buckets.count = count,
            (5, Value::Fixed64(bits)) => buckets.sum = Some(f64::from_bits(bits)),
            (6, value) => put_fixed(&mut buckets.counts, |bits| bits, message, value, &reader)?,
            (7, value) => put_fixed(&mut buckets.bounds, f64::from_bits, message, value, &reader)?,
            (8, Value::Bytes(span)) => point.exemplars.push(span),
            (9, Value::Bytes(span)) => point.add_attribute(message, span)?,
            (10, Value::Varint(flags)) => point.set_flags(flags),
            _ => {}
        }
    }
    let when = point.when;
    let exemplars = exemplar::read_all(message, &point.exemplars, sink)?;
    let labels = metric
        .resource
        .labels_of(std::mem::take(&mut point.attributes));
    if let Some(sum) = buckets.sum {
        let name = format!("{}_sum", metric.name);
        sink.float(&labels, &name, None, when, point.value(sum), Vec::new())?;
    }
    let name = format!("{}_count", metric.name);
    let count = point.value(buckets.count as f64);
    sink.float(&labels, &name, None, when, count, Vec::new())?;
    cumulate(metric, &point, &labels, &buckets, exemplars, sink)?;
    Ok(when)
}

/// Buckets as Prometheus counts them: each has those below it.
fn cumulate(
    metric: &Metric<'_, '_>,
    point: &Point<'_>,
    labels: &Labels<'_>,
    buckets: &Buckets,
    exemplars: Vec<Exemplar>,
    sink: &mut Sink<'_>,
) -> Result<()> {
    let name = format!("{}_bucket", metric.name);
    let shown = buckets.bounds.len().min(buckets.counts.len());
    let mut exemplars = by_bucket(exemplars, &buckets.bounds[..shown])
        .into_iter()
        .peekable();
    let mut below = 0u64;
    for at in 0..=shown {
        let (bound, value) = match at < shown {
            true => {
                below = below.wrapping_add(buckets.counts[at]);
                (bound_text(buckets.bounds[at]), below)
            }
            false => ("+Inf".to_owned(), buckets.count),
        };
        let mut own = Vec::new();
        while let Some((_, exemplar)) = exemplars.next_if(|one| one.0 == at) {
            own.push(exemplar);
        }
        let more = Some((b"le".as_slice(), bound.as_bytes()));
        let value = point.value(value as f64);
        sink.float(labels, &name, more, point.when, value, own)?;
    }
    Ok(())
}

/// The exemplars with the bucket that each belongs to, in order of buckets.
fn by_bucket(exemplars: Vec<Exemplar>, bounds: &[f64]) -> Vec<(usize, Exemplar)> {
    let is_number = |one: &Exemplar| !one.value.is_nan();
    let bucket = |one: Exemplar| (bounds.partition_point(|&bound| bound < one.value), one);
    let mut all: Vec<_> = exemplars
        .into_iter()
        .filter(is_number)
        .map(bucket)
        .collect();
    all.sort_by_key(|one| one.0);
    all
}

/// Of a summary: a series a quantile, one of the sum, one of the count.
pub fn summary(metric: &Metric<'_, '_>, span: Span, sink: &mut Sink<'_>) -> Result<When> {
    let message = metric.message;
    let mut point = Point::default();
    let (mut count, mut sum) = (0, 0.0);
    let mut quantiles = Vec::new();
    let mut reader = Reader::new(message, span);
    while let Some(field) = reader.field()? {
        match (field.number, field.value) {
            (2, Value::Fixed64(nanos)) => point.when.start_nanos = nanos,
            (3, Value::Fixed64(nanos)) => point.when.nanos = nanos,
            (4, Value::Fixed64(value)) => count = value,
            (5, Value::Fixed64(bits)) => sum = f64::from_bits(bits),
            (6, Value::Bytes(span)) => quantiles.push(quantile(message, span)?),
            (7, Value::Bytes(span)) => point.add_attribute(message, span)?,
            (8, Value::Varint(flags)) => point.set_flags(flags),
            _ => {}
        }
    }
    let when = point.when;
    let labels = metric
        .resource
        .labels_of(std::mem::take(&mut point.attributes));
    for (suffix, value) in [("_sum", sum), ("_count", count as f64)] {
        let name = format!("{}{suffix}", metric.name);
        sink.float(&labels, &name, None, when, point.value(value), Vec::new())?;
    }
    for (quantile, value) in quantiles {
        let text = bound_text(quantile);
        let more = Some((b"quantile".as_slice(), text.as_bytes()));
        let value = point.value(value);
        sink.float(&labels, &metric.name, more, when.alone(), value, Vec::new())?;
    }
    Ok(when)
}

fn quantile(message: &[u8], span: Span) -> Result<(f64, f64)> {
    let (mut quantile, mut value) = (0.0, 0.0);
    let mut reader = Reader::new(message, span);
    while let Some(field) = reader.field()? {
        match (field.number, field.value) {
            (1, Value::Fixed64(bits)) => quantile = f64::from_bits(bits),
            (2, Value::Fixed64(bits)) => value = f64::from_bits(bits),
            _ => {}
        }
    }
    Ok((quantile, value))
}

/// Eight bytes each, packed or not.
fn put_fixed<T>(
    out: &mut Vec<T>,
    of: impl Fn(u64) -> T,
    message: &[u8],
    value: Value,
    at: &Reader<'_>,
) -> Result<()> {
    match value {
        Value::Fixed64(bits) => out.push(of(bits)),
        Value::Bytes(span) => {
            let (numbers, rest) = span.of(message).as_chunks::<8>();
            if !rest.is_empty() {
                return Err(at.malformed("packed numbers are cut off"));
            }
            out.extend(numbers.iter().map(|&bytes| of(u64::from_le_bytes(bytes))));
        }
        _ => {}
    }
    Ok(())
}
