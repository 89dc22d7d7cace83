//! Walks a remote-write 2.0 message into a batch.
//!
//! Labels of the usual series are one packed list of references. They are resolved to hashes of symbols, which
//! make the key of the series in the cache; a series that it knows is not looked at further. As in
//! `request`, what comes in another form takes the slow way to the same outcome.

use std::sync::Mutex;

use hashbrown::HashSet;

use crate::error::{Error, Result};
use crate::write::assembly::Assembly;
use crate::write::batch::Run;
use crate::write::cache::{Cache, Next, lock};
use crate::write::labels::Verdict;
use crate::write::metadata::Entry;
use crate::write::request::LOOKUP_SERIES;
use crate::write::symbols::{Refs, SeriesKey, Symbols};
use crate::write::wire::{Reader, Span, Value, long_varint};

const FIELD_SERIES: u64 = 5;

const TAG_REFS: u8 = 0x0a;
const TAG_SAMPLE: u8 = 0x12;
const TAG_SAMPLE_VALUE: u8 = 0x09;
const TAG_SAMPLE_TIMESTAMP: u8 = 0x10;
const TAG_SAMPLE_START: u8 = 0x18;

pub struct Walk2<'a> {
    pub message: &'a [u8],
    pub assembly: Assembly<'a>,
    pub symbols: &'a Symbols,
    /// Locked for a few series at a time: a large body must not hold up small ones.
    pub cache: &'a Mutex<Cache>,
    pub next: Next,
    pub seed: u64,
    /// Bytes of the labels of all series so far, each time that they are referred to.
    pub label_bytes: usize,
    pub families: Families,
}

/// Metadata comes with every series; most of a family say the same.
#[derive(Debug, Default)]
pub struct Families {
    seen: HashSet<Family>,
    last: Option<Family>,
}

/// References of the metric's name, help and unit, and the type.
type Family = (u32, u32, u32, u64);

impl Families {
    /// Whether this one is new in the request.
    fn insert(&mut self, family: Family) -> bool {
        if self.last == Some(family) {
            return false;
        }
        self.last = Some(family);
        self.seen.insert(family)
    }
}

/// A series whose labels were resolved to a key, or are to be read the slow way.
#[derive(Debug, Clone, Copy)]
struct Resolved {
    span: Span,
    refs: Span,
    key: Option<u128>,
    fingerprint: Option<u128>,
}

/// Metadata of a series: type, and references of help and unit.
#[derive(Debug, Clone, Copy, Default)]
struct Described {
    kind: u64,
    help: u32,
    unit: u32,
}

impl<'a> Walk2<'a> {
    pub fn request(&mut self) -> Result<()> {
        let whole = Span {
            start: 0,
            end: self.message.len(),
        };
        let mut reader = Reader::new(self.message, whole);
        let mut waiting = Vec::with_capacity(LOOKUP_SERIES);
        let (mut newer, mut older) = (!self.symbols.places.is_empty(), false);
        while let Some(field) = reader.field()? {
            match (field.number, field.value) {
                (FIELD_SERIES, Value::Bytes(span)) => waiting.push(self.resolve(span)?),
                (1 | 3, Value::Bytes(_)) => {
                    older = true;
                    continue;
                }
                _ => continue,
            }
            newer = true;
            if waiting.len() == LOOKUP_SERIES {
                self.look_up(&mut waiting)?;
            }
        }
        if older && !newer {
            return Err(older_version());
        }
        self.look_up(&mut waiting)
    }

    fn look_up(&mut self, waiting: &mut Vec<Resolved>) -> Result<()> {
        let mut cache = lock(self.cache);
        for one in waiting.iter_mut() {
            if let Some(key) = one.key {
                one.fingerprint = cache.get(key, &mut self.next);
            }
        }
        for one in waiting.drain(..) {
            self.series(one, &mut cache)?;
        }
        Ok(())
    }

    /// The key of the labels at the start of a series.
    #[inline]
    fn resolve(&mut self, span: Span) -> Result<Resolved> {
        let mut resolved = Resolved {
            span,
            refs: Span::EMPTY,
            key: None,
            fingerprint: None,
        };
        if span.of(self.message).first() != Some(&TAG_REFS) {
            return Ok(resolved);
        }
        let start = span.start + 1;
        resolved.refs = Reader::new(self.message, Span { start, ..span }).bytes()?;
        if let Some(key) = SeriesKey::of(resolved.refs.of(self.message), self.symbols) {
            resolved.key = Some(key.key(self.seed));
            self.count_label_bytes(key.label_bytes)?;
        }
        Ok(resolved)
    }

    /// A reference is a byte on the wire, and what it leads to is long wherever labels are written out.
    #[inline]
    fn count_label_bytes(&mut self, more: usize) -> Result<()> {
        self.label_bytes += more;
        let most = self.assembly.limits.message_bytes;
        if self.label_bytes <= most {
            return Ok(());
        }
        Err(Error::invalid(
            "distributor-max-write-message-size",
            format!("labels of the request, written out, exceed the limit of {most} bytes"),
        ))
    }

    #[inline]
    fn series(&mut self, resolved: Resolved, cache: &mut Cache) -> Result<()> {
        let Resolved { span, refs, .. } = resolved;
        let Some(key) = resolved.key else {
            return self.unusual_series(span);
        };
        let start = refs.end;
        let mut reader = Reader::new(self.message, Span { start, ..span });
        let mut described = None;
        if !self.samples(&mut reader, &mut described)? {
            return self.unusual_series(span);
        }
        let fingerprint = match resolved.fingerprint {
            Some(fingerprint) => fingerprint,
            None => {
                let list = Refs(refs.of(self.message));
                let Some(count) = self.collect(list) else {
                    return self.unusual_series(span);
                };
                let Some(fingerprint) = self.assembly.judge(count) else {
                    return Ok(());
                };
                cache.insert(key, fingerprint);
                fingerprint
            }
        };
        if self.assembly.is_empty() {
            self.refuse_empty(refs);
            return Ok(());
        }
        let run = Run::Refs {
            start: refs.start as u32,
            end: refs.end as u32,
        };
        self.assembly.end_series(fingerprint, run)?;
        match described {
            Some(described) => {
                let metric = self
                    .symbols
                    .metric(Refs(refs.of(self.message)), self.message);
                self.describe(metric, described)
            }
            None => Ok(()),
        }
    }

    fn collect(&mut self, refs: impl Iterator<Item = Option<u32>>) -> Option<usize> {
        let most = self.assembly.limits.labels_per_series;
        self.symbols
            .labels(refs, self.message, most, &mut self.assembly.labels)
    }

    /// Reads what follows the labels; false if more labels do.
    #[inline]
    fn samples(
        &mut self,
        reader: &mut Reader<'a>,
        described: &mut Option<Described>,
    ) -> Result<bool> {
        let most = self.assembly.limits.samples;
        while let Some(&tag) = reader.rest().first() {
            if tag == TAG_SAMPLE
                && self.assembly.batch.sample_count() <= most
                && let Some(sample) = usual_sample(reader.rest())
            {
                reader.advance(sample.length);
                self.push(sample.timestamp_ms, sample.value, sample.start_ms);
                continue;
            }
            let Some(field) = reader.field()? else {
                break;
            };
            match (field.number, field.value) {
                (1, Value::Bytes(_) | Value::Varint(_)) => return Ok(false),
                (number, value) => self.part(number, value, described)?,
            }
        }
        Ok(true)
    }

    /// A field of a series that is not its labels.
    fn part(&mut self, number: u64, value: Value, out: &mut Option<Described>) -> Result<()> {
        match (number, value) {
            (2, Value::Bytes(span)) => self.unusual_sample(span),
            (3, Value::Bytes(span)) => self.assembly.add_histogram(span),
            (4, Value::Bytes(span)) => self.assembly.add_exemplar(span),
            (5, Value::Bytes(span)) => self.read_described(span, out),
            _ => Ok(()),
        }
    }

    #[inline]
    fn push(&mut self, timestamp_ms: i64, value: f64, start_ms: i64) {
        self.assembly.batch.push_sample(timestamp_ms, value);
        if start_ms != 0 {
            self.assembly.batch.start_sample(start_ms);
        }
    }

    fn unusual_sample(&mut self, span: Span) -> Result<()> {
        let mut reader = Reader::new(self.message, span);
        let (mut value, mut timestamp_ms, mut start_ms) = (0.0, 0, 0);
        while let Some(field) = reader.field()? {
            match (field.number, field.value) {
                (1, Value::Fixed64(bits)) => value = f64::from_bits(bits),
                (2, Value::Varint(bits)) => timestamp_ms = bits as i64,
                (3, Value::Varint(bits)) => start_ms = bits as i64,
                _ => {}
            }
        }
        self.push(timestamp_ms, value, start_ms);
        self.assembly.check_sample_count()
    }

    /// A message that comes twice is one whose fields are merged.
    fn read_described(&mut self, span: Span, out: &mut Option<Described>) -> Result<()> {
        let described = out.get_or_insert_default();
        let mut reader = Reader::new(self.message, span);
        while let Some(field) = reader.field()? {
            match (field.number, field.value) {
                (1, Value::Varint(value)) => described.kind = u64::from(value as u32),
                (3, Value::Varint(value)) => described.help = value as u32,
                (4, Value::Varint(value)) => described.unit = value as u32,
                _ => {}
            }
        }
        Ok(())
    }

    /// The slow twin of `series`, for any order and form of fields.
    fn unusual_series(&mut self, span: Span) -> Result<()> {
        self.assembly.drop_series();
        let mut refs = Vec::new();
        let mut described = None;
        let mut reader = Reader::new(self.message, span);
        // References of more labels than a series may have are counted, not kept.
        let most = 2 * self.assembly.limits.labels_per_series + 4;
        let mut count = 0;
        while let Some(field) = reader.field()? {
            match (field.number, field.value) {
                (1, Value::Bytes(span)) => {
                    for number in Refs(span.of(self.message)) {
                        let Some(number) = number else {
                            return Err(reader.malformed("label reference is cut off"));
                        };
                        keep(&mut refs, number, most, &mut count);
                    }
                }
                (1, Value::Varint(number)) => keep(&mut refs, number as u32, most, &mut count),
                (number, value) => self.part(number, value, &mut described)?,
            }
        }
        self.end_unusual(refs, count, described)
    }

    fn end_unusual(
        &mut self,
        refs: Vec<u32>,
        count: usize,
        described: Option<Described>,
    ) -> Result<()> {
        let collected = match count % 2 {
            0 => self.collect(refs.iter().copied().map(Some)),
            _ => None,
        };
        if collected.is_none() {
            self.assembly.refuse_series(refs_invalid(count));
            return Ok(());
        }
        let bytes = |&(name, value): &(&[u8], &[u8])| name.len() + value.len();
        self.count_label_bytes(self.assembly.labels.iter().map(bytes).sum())?;
        let Some(fingerprint) = self.assembly.judge(count / 2) else {
            return Ok(());
        };
        if self.assembly.is_empty() {
            self.refuse_empty(Span::EMPTY);
            return Ok(());
        }
        let labels = self.assembly.labels.iter().copied();
        let run = self.assembly.batch.encode_labels(labels);
        self.assembly.end_series(fingerprint, run)?;
        match described {
            Some(described) => {
                let metric = self
                    .symbols
                    .metric(refs.into_iter().map(Some), self.message);
                self.describe(metric, described)
            }
            None => Ok(()),
        }
    }

    /// Adds the metadata of a series whose metric name is this symbol.
    fn describe(&mut self, metric: Option<u32>, described: Described) -> Result<()> {
        let Described { kind, help, unit } = described;
        let says_nothing = kind == 0 && help == 0 && unit == 0;
        let Some(metric) = metric.filter(|_| !says_nothing) else {
            return Ok(());
        };
        if !self.families.insert((metric, help, unit, kind)) {
            return Ok(());
        }
        let text = |number| self.symbols.text(number, self.message);
        let (Some(metric), Some(help), Some(unit)) = (text(metric), text(help), text(unit)) else {
            let message = || "references of a series' help or unit lead to no symbol".to_owned();
            self.assembly
                .batch
                .reject("metadata-refs-invalid", 0, message);
            return Ok(());
        };
        let entry = Entry {
            kind,
            metric,
            help,
            unit,
        };
        self.assembly.add_metadata(entry.of_family())
    }

    #[cold]
    fn refuse_empty(&mut self, refs: Span) {
        let metric = self
            .symbols
            .metric(Refs(refs.of(self.message)), self.message);
        let name = metric.and_then(|metric| self.symbols.text(metric, self.message));
        let name = crate::write::labels::quote(name.unwrap_or_default());
        self.assembly.refuse_series(Verdict {
            id: "series-without-samples",
            message: format!("series has neither samples nor histograms nor exemplars: {name}"),
        });
    }
}

fn keep(refs: &mut Vec<u32>, number: u32, most: usize, count: &mut usize) {
    if *count < most {
        refs.push(number);
    }
    *count += 1;
}

fn refs_invalid(count: usize) -> Verdict {
    Verdict {
        id: "label-refs-invalid",
        message: format!("{count} label references lead to no symbol or have no partner"),
    }
}

/// A 1.0 message reads as an empty 2.0 message; taking it for one would lose its samples in silence.
#[cold]
fn older_version() -> Error {
    Error::invalid(
        "remote-write-version",
        "message is remote write 1.0, but the content type says 2.0",
    )
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    timestamp_ms: i64,
    value: f64,
    start_ms: i64,
    /// Bytes taken.
    length: usize,
}

/// A sample as every known sender encodes it: value and timestamp, then perhaps a start. `None` says nothing
/// about validity.
#[inline]
fn usual_sample(rest: &[u8]) -> Option<Sample> {
    let &[_, length, ref body @ ..] = rest else {
        return None;
    };
    if length >= 0x80 {
        return None;
    }
    let body = body.get(..usize::from(length))?;
    let (value, after) = match body {
        [TAG_SAMPLE_VALUE, after @ ..] => {
            let (bytes, after) = after.split_first_chunk()?;
            (f64::from_le_bytes(*bytes), after)
        }
        _ => (0.0, body),
    };
    let [TAG_SAMPLE_TIMESTAMP, after @ ..] = after else {
        return None;
    };
    let (timestamp, taken) = long_varint(after)?;
    let start = match &after[taken..] {
        [] => 0,
        [TAG_SAMPLE_START, after @ ..] => {
            let (start, taken) = long_varint(after)?;
            if taken != after.len() {
                return None;
            }
            start
        }
        _ => return None,
    };
    Some(Sample {
        timestamp_ms: timestamp as i64,
        value,
        start_ms: start as i64,
        length: 2 + usize::from(length),
    })
}
