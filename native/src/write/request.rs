//! Walks a remote-write 1.0 message into a batch.
//!
//! The usual series is a run of labels in their usual form, then samples. Its labels are skipped over
//! to find the run, and a run that the cache knows is not looked at again. Everything else that
//! protobuf allows (fields in another order, repeated or unknown ones) takes the slow way, which
//! gives the same outcome.

use std::sync::Mutex;

use crate::error::{Error, Result};
use crate::write::assembly::Assembly;
use crate::write::batch::{Run, TAG_LABEL, TAG_NAME, TAG_VALUE, split_field};
use crate::write::cache::{Cache, Next, key, lock};
use crate::write::exemplar::read_label;
use crate::write::metadata::Entry;
use crate::write::wire::{Reader, Span, Value, long_varint};

const TAG_SAMPLE: u8 = 0x12;
const TAG_SAMPLE_VALUE: u8 = 0x09;
const TAG_SAMPLE_TIMESTAMP: u8 = 0x10;

pub struct Walk<'a> {
    pub message: &'a [u8],
    pub assembly: Assembly<'a>,
    /// Locked for a few series at a time: a large body must not hold up small ones.
    pub cache: &'a Mutex<Cache>,
    pub next: Next,
    pub seed: u64,
}

/// Series that are looked up together, so that the memory behind the cache answers in parallel.
pub const LOOKUP_SERIES: usize = 32;

/// A series whose labels were skipped over and hashed.
#[derive(Debug, Clone, Copy)]
struct Skipped {
    span: Span,
    run_end: usize,
    key: u128,
    fingerprint: Option<u128>,
}

impl<'a> Walk<'a> {
    pub fn request(&mut self) -> Result<()> {
        let whole = Span {
            start: 0,
            end: self.message.len(),
        };
        let mut reader = Reader::new(self.message, whole);
        let mut waiting = Vec::with_capacity(LOOKUP_SERIES);
        let (mut known, mut newer) = (false, false);
        while let Some(field) = reader.field()? {
            match (field.number, field.value) {
                (1, Value::Bytes(span)) => waiting.push(self.skip_labels(span)?),
                (3, Value::Bytes(span)) => self.metadata(span)?,
                (4 | 5, Value::Bytes(_)) => {
                    newer = true;
                    continue;
                }
                _ => continue,
            }
            known = true;
            if waiting.len() == LOOKUP_SERIES {
                self.look_up(&mut waiting)?;
            }
        }
        if newer && !known {
            return Err(newer_version());
        }
        self.look_up(&mut waiting)
    }

    fn look_up(&mut self, waiting: &mut Vec<Skipped>) -> Result<()> {
        let mut cache = lock(self.cache);
        for one in waiting.iter_mut() {
            one.fingerprint = cache.get(one.key, &mut self.next);
        }
        for one in waiting.drain(..) {
            self.series(one, &mut cache)?;
        }
        Ok(())
    }

    /// Steps over the labels at the start of a series without looking into them.
    #[inline]
    fn skip_labels(&self, span: Span) -> Result<Skipped> {
        let bytes = span.of(self.message);
        let mut at = 0;
        loop {
            match &bytes[at..] {
                [TAG_LABEL, length, rest @ ..]
                    if *length < 0x80 && usize::from(*length) <= rest.len() =>
                {
                    at += 2 + usize::from(*length);
                }
                [TAG_LABEL, ..] => {
                    let start = span.start + at;
                    let mut reader = Reader::new(self.message, Span { start, ..span });
                    reader.field()?;
                    at = reader.at() - span.start;
                }
                _ => break,
            }
        }
        Ok(Skipped {
            span,
            run_end: span.start + at,
            key: key(&bytes[..at], self.seed),
            fingerprint: None,
        })
    }

    #[inline]
    fn series(&mut self, skipped: Skipped, cache: &mut Cache) -> Result<()> {
        let Skipped { span, run_end, .. } = skipped;
        let start = run_end;
        let mut reader = Reader::new(self.message, Span { start, ..span });
        if !self.samples(&mut reader)? {
            return self.unusual_series(span);
        }
        let fingerprint = match skipped.fingerprint {
            Some(fingerprint) => fingerprint,
            None if !self.collect_usual(&self.message[span.start..run_end]) => {
                return self.unusual_series(span);
            }
            None => match self.assembly.judge(self.assembly.labels.len()) {
                Some(fingerprint) => {
                    cache.insert(skipped.key, fingerprint);
                    fingerprint
                }
                None => return Ok(()),
            },
        };
        let run = Run::Message {
            start: span.start as u32,
            end: run_end as u32,
        };
        self.assembly.end_series(fingerprint, run)
    }

    /// Reads what follows the labels; false if more labels do.
    #[inline]
    fn samples(&mut self, reader: &mut Reader<'a>) -> Result<bool> {
        while let Some(&tag) = reader.rest().first() {
            match tag {
                TAG_SAMPLE => self.sample(reader)?,
                TAG_LABEL => return Ok(false),
                _ => {
                    let field = reader.field()?;
                    match field.map(|field| (field.number, field.value)) {
                        // The tags of labels and samples in more bytes than they need.
                        Some((1 | 2, Value::Bytes(_))) => return Ok(false),
                        Some((3, Value::Bytes(span))) => self.assembly.add_exemplar(span)?,
                        Some((4, Value::Bytes(span))) => self.assembly.add_histogram(span)?,
                        _ => {}
                    }
                }
            }
        }
        Ok(true)
    }

    #[inline]
    fn sample(&mut self, reader: &mut Reader<'a>) -> Result<()> {
        if let Some((timestamp_ms, value, length)) = usual_sample(reader.rest()) {
            reader.advance(length);
            self.assembly.batch.push_sample(timestamp_ms, value);
            return Ok(());
        }
        reader.advance(1);
        let span = reader.bytes()?;
        self.unusual_sample(span)
    }

    fn unusual_sample(&mut self, span: Span) -> Result<()> {
        let mut reader = Reader::new(self.message, span);
        let (mut timestamp_ms, mut value) = (0, 0.0);
        while let Some(field) = reader.field()? {
            match (field.number, field.value) {
                (1, Value::Fixed64(bits)) => value = f64::from_bits(bits),
                (2, Value::Varint(bits)) => timestamp_ms = bits as i64,
                _ => {}
            }
        }
        self.assembly.batch.push_sample(timestamp_ms, value);
        self.assembly.check_sample_count()
    }

    /// Collects the labels of a run in which each is its name, then its value; false if not.
    fn collect_usual(&mut self, mut run: &'a [u8]) -> bool {
        let most = self.assembly.limits.labels_per_series;
        let labels = &mut self.assembly.labels;
        labels.clear();
        while !run.is_empty() {
            let Some((label, rest)) = split_field(run, TAG_LABEL) else {
                return false;
            };
            let Some((name, label)) = split_field(label, TAG_NAME) else {
                return false;
            };
            let Some((value, &[])) = split_field(label, TAG_VALUE) else {
                return false;
            };
            // More than this cannot be valid, and must not take memory.
            if labels.len() > most {
                return false;
            }
            labels.push((name, value));
            run = rest;
        }
        true
    }

    /// The slow twin of `series`, for any order and form of fields.
    fn unusual_series(&mut self, span: Span) -> Result<()> {
        self.assembly.drop_series();
        self.assembly.labels.clear();
        let mut reader = Reader::new(self.message, span);
        let mut count = 0;
        while let Some(field) = reader.field()? {
            match (field.number, field.value) {
                (1, Value::Bytes(span)) => {
                    let label = read_label(self.message, span)?;
                    if count <= self.assembly.limits.labels_per_series {
                        self.assembly.labels.push(label);
                    }
                    count += 1;
                }
                (2, Value::Bytes(span)) => self.unusual_sample(span)?,
                (3, Value::Bytes(span)) => self.assembly.add_exemplar(span)?,
                (4, Value::Bytes(span)) => self.assembly.add_histogram(span)?,
                _ => {}
            }
        }
        match self.assembly.judge(count) {
            Some(fingerprint) => {
                let labels = self.assembly.labels.iter().copied();
                let run = self.assembly.batch.encode_labels(labels);
                self.assembly.end_series(fingerprint, run)
            }
            None => Ok(()),
        }
    }

    fn metadata(&mut self, span: Span) -> Result<()> {
        let mut reader = Reader::new(self.message, span);
        let mut entry = Entry::default();
        while let Some(field) = reader.field()? {
            match (field.number, field.value) {
                (1, Value::Varint(value)) => entry.kind = u64::from(value as u32),
                (2, Value::Bytes(span)) => entry.metric = span.of(self.message),
                (4, Value::Bytes(span)) => entry.help = span.of(self.message),
                (5, Value::Bytes(span)) => entry.unit = span.of(self.message),
                _ => {}
            }
        }
        self.assembly.add_metadata(entry)
    }
}

/// A 2.0 message reads as an empty 1.0 message; taking it for one would lose its samples in silence.
#[cold]
fn newer_version() -> Error {
    Error::invalid(
        "remote-write-version",
        "message is remote write 2.0, but the content type says 1.0",
    )
}

/// A sample as every known sender encodes it: the value unless it is zero, then the timestamp.
/// Gives timestamp, value and the bytes taken; `None` says nothing about validity.
#[inline]
fn usual_sample(rest: &[u8]) -> Option<(i64, f64, usize)> {
    let &[_, length, ref body @ ..] = rest else {
        return None;
    };
    if length >= 0x80 {
        return None;
    }
    let body = body.get(..usize::from(length))?;
    let (value, timestamp) = match body {
        [
            TAG_SAMPLE_VALUE,
            a,
            b,
            c,
            d,
            e,
            f,
            g,
            h,
            TAG_SAMPLE_TIMESTAMP,
            timestamp @ ..,
        ] => (
            f64::from_le_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
            timestamp,
        ),
        [TAG_SAMPLE_TIMESTAMP, timestamp @ ..] => (0.0, timestamp),
        _ => return None,
    };
    let (bits, taken) = long_varint(timestamp)?;
    let whole = taken == timestamp.len();
    whole.then_some((bits as i64, value, 2 + usize::from(length)))
}
