//! Walks an `ExportMetricsServiceRequest`: resources, scopes, metrics, points.
//!
//! What a level needs before its parts (who sends, what kind of sum) may come behind them, so each level is
//! read twice: for itself, then for its parts.

use crate::error::Result;
use crate::otlp::Options;
use crate::otlp::attributes::{Attribute, Resource};
use crate::otlp::exponential::exponential;
use crate::otlp::names::{Kind, metric_name};
use crate::otlp::points::{histogram, number, summary};
use crate::otlp::sink::{Sink, When};
use crate::write::labels::quote;
use crate::write::metadata::Entry;
use crate::write::wire::{Reader, Span, Value};

const INFO: &str = "target_info";
/// How far apart samples of `target_info` are: half of how far queries look back by default.
const INFO_NANOS: u64 = 150_000_000_000;
/// Samples of `target_info` for one resource of one request; of a longer time the last ones.
const INFO_SAMPLES_MAX: u64 = 100;

const GAUGE: u64 = 5;
const SUM: u64 = 7;
const HISTOGRAM: u64 = 9;
const EXPONENTIAL: u64 = 10;
const SUMMARY: u64 = 11;

const DELTA: u64 = 1;
const CUMULATIVE: u64 = 2;

pub struct Walk<'a, 'b> {
    pub message: &'a [u8],
    pub options: &'b Options,
    pub sink: Sink<'b>,
}

/// One metric, as far as its points need it.
pub struct Metric<'a, 'r> {
    pub message: &'a [u8],
    pub resource: &'r Resource<'a>,
    /// As Prometheus has it.
    pub name: String,
    pub is_sum: bool,
    /// Whether its points begin somewhere: those of gauges do not.
    pub has_starts: bool,
    pub is_delta: bool,
}

/// A metric as it came.
#[derive(Debug, Default)]
struct Raw<'a> {
    name: &'a [u8],
    help: &'a [u8],
    unit: &'a [u8],
    /// The number of its kind, and where its points are.
    data: Option<(u64, Span)>,
}

/// What a kind of metric says of all its points.
#[derive(Debug, Default)]
struct Data {
    temporality: u64,
    is_monotonic: bool,
    points: usize,
}

/// The first and the last time of what a resource sent, in nanoseconds.
#[derive(Debug, Clone, Copy)]
struct Range {
    first: u64,
    last: u64,
}

impl<'a> Walk<'a, '_> {
    pub fn request(mut self) -> Result<()> {
        let whole = Span {
            start: 0,
            end: self.message.len(),
        };
        let mut reader = Reader::new(self.message, whole);
        while let Some(field) = reader.field()? {
            if let (1, Value::Bytes(span)) = (field.number, field.value) {
                self.resource(span)?;
            }
        }
        Ok(())
    }

    fn resource(&mut self, span: Span) -> Result<()> {
        let mut attributes = Vec::new();
        let mut reader = Reader::new(self.message, span);
        while let Some(field) = reader.field()? {
            if let (1, Value::Bytes(span)) = (field.number, field.value) {
                self.attributes(span, &mut attributes)?;
            }
        }
        let resource = Resource::new(attributes, &self.options.promoted);
        let mut range = Range {
            first: u64::MAX,
            last: 0,
        };
        let mut reader = Reader::new(self.message, span);
        while let Some(field) = reader.field()? {
            if let (2, Value::Bytes(span)) = (field.number, field.value) {
                self.scope(span, &resource, &mut range)?;
            }
        }
        self.info(&resource, range)
    }

    fn attributes(&self, span: Span, out: &mut Vec<Attribute<'a>>) -> Result<()> {
        let mut reader = Reader::new(self.message, span);
        while let Some(field) = reader.field()? {
            if let (1, Value::Bytes(span)) = (field.number, field.value) {
                out.push(Attribute::read(self.message, span)?);
            }
        }
        Ok(())
    }

    fn scope(&mut self, span: Span, resource: &Resource<'a>, range: &mut Range) -> Result<()> {
        let mut reader = Reader::new(self.message, span);
        while let Some(field) = reader.field()? {
            if let (2, Value::Bytes(span)) = (field.number, field.value) {
                self.metric(span, resource, range)?;
            }
        }
        Ok(())
    }

    fn metric(&mut self, span: Span, resource: &Resource<'a>, range: &mut Range) -> Result<()> {
        let raw = self.raw(span)?;
        let Some((number, span)) = raw.data else {
            return Ok(());
        };
        let data = self.data(span)?;
        let kind = match number {
            GAUGE => Kind::Gauge,
            SUM if data.is_monotonic => Kind::Counter,
            SUM => Kind::UpDownCounter,
            SUMMARY => Kind::Summary,
            _ => Kind::Histogram,
        };
        let is_delta = data.temporality == DELTA;
        if matches!(number, SUM | HISTOGRAM | EXPONENTIAL) && !self.is_taken(&raw, &data) {
            return Ok(());
        }
        let text = String::from_utf8_lossy;
        let metric = Metric {
            message: self.message,
            resource,
            name: metric_name(&text(raw.name), &text(raw.unit), kind),
            is_sum: number == SUM,
            has_starts: !matches!(kind, Kind::Gauge | Kind::UpDownCounter) && !is_delta,
            is_delta,
        };
        if data.points > 0 && !metric.name.is_empty() {
            self.sink.describe(Entry {
                kind: if is_delta { 0 } else { kind.number() },
                metric: metric.name.as_bytes(),
                help: raw.help,
                unit: raw.unit,
            })?;
        }
        self.points(&metric, number, span, range)
    }

    fn raw(&self, span: Span) -> Result<Raw<'a>> {
        let mut raw = Raw::default();
        let mut reader = Reader::new(self.message, span);
        while let Some(field) = reader.field()? {
            match (field.number, field.value) {
                (1, Value::Bytes(span)) => raw.name = span.of(self.message),
                (2, Value::Bytes(span)) => raw.help = span.of(self.message),
                (3, Value::Bytes(span)) => raw.unit = span.of(self.message),
                (
                    number @ (GAUGE | SUM | HISTOGRAM | EXPONENTIAL | SUMMARY),
                    Value::Bytes(span),
                ) => {
                    raw.data = Some((number, span));
                }
                _ => {}
            }
        }
        Ok(raw)
    }

    fn data(&self, span: Span) -> Result<Data> {
        let mut data = Data::default();
        let mut reader = Reader::new(self.message, span);
        while let Some(field) = reader.field()? {
            match (field.number, field.value) {
                (1, Value::Bytes(_)) => data.points += 1,
                (2, Value::Varint(value)) => data.temporality = value,
                (3, Value::Varint(value)) => data.is_monotonic = value != 0,
                _ => {}
            }
        }
        Ok(data)
    }

    /// Whether sums of this temporality are taken; they are counted as left out otherwise.
    fn is_taken(&mut self, raw: &Raw<'_>, data: &Data) -> bool {
        let taken = match data.temporality {
            CUMULATIVE => true,
            DELTA => self.options.accept_delta,
            _ => false,
        };
        if !taken {
            let name = quote(raw.name);
            self.sink
                .batch
                .reject("otlp-temporality", data.points as u64, || {
                    format!(
                        "metric {name} is not cumulative: set the sender's temporality preference to \
                         cumulative, or put a deltatocumulative processor before"
                    )
                });
        }
        taken
    }

    fn points(
        &mut self,
        metric: &Metric<'a, '_>,
        number_of_kind: u64,
        span: Span,
        range: &mut Range,
    ) -> Result<()> {
        let read = match number_of_kind {
            HISTOGRAM => histogram,
            EXPONENTIAL => exponential,
            SUMMARY => summary,
            _ => number,
        };
        let mut reader = Reader::new(self.message, span);
        while let Some(field) = reader.field()? {
            if let (1, Value::Bytes(span)) = (field.number, field.value) {
                let When { nanos, .. } = read(metric, span, &mut self.sink)?;
                range.first = range.first.min(nanos);
                range.last = range.last.max(nanos);
            }
        }
        Ok(())
    }

    /// Samples of `target_info` over the time of what the resource sent, so that queries find one throughout.
    fn info(&mut self, resource: &Resource<'a>, range: Range) -> Result<()> {
        if range.first > range.last {
            return Ok(());
        }
        let Some(labels) = resource.info() else {
            return Ok(());
        };
        let steps = (range.last - range.first).div_ceil(INFO_NANOS);
        for step in steps.saturating_sub(INFO_SAMPLES_MAX - 1)..=steps {
            let later = range.first.saturating_add(step.saturating_mul(INFO_NANOS));
            let nanos = range.last.min(later);
            let when = When {
                nanos,
                start_nanos: 0,
            };
            self.sink
                .float(&labels, INFO, None, when, 1.0, Vec::new())?;
        }
        Ok(())
    }
}
