//! Items of a batch -> parcel.

use crate::fields::sections::{self, MoreView};
use crate::fields::wire::{put_text, put_times, put_varint};
use crate::route::decode::{
    COUNTS, CRC_BYTES, FLAGS_AT, HEADER_BYTES, LABELS, METADATA, SECTIONS, VERSION,
};
use crate::symbols::Interner;
use crate::write::batch::{Metadata, WriteBatch};
use crate::write::metadata::METRIC_TYPES;

/// Bytes of a known series with one sample, nearly always less.
const ROW_BYTES: usize = 16 + 8 + 3;

/// The head and the columns of rows of a batch, without labels and metadata. `finish` makes a parcel of it.
pub fn columns(batch: &WriteBatch, rows: &[u32]) -> Vec<u8> {
    let (times, single) = gather_times(batch, rows);
    let mut out = Vec::with_capacity(HEADER_BYTES + 16 + rows.len() * ROW_BYTES + times.len() * 11);
    out.extend_from_slice(&[0; CRC_BYTES]);
    out.extend_from_slice(&[VERSION, if single { 0 } else { COUNTS }, 0, 0]);
    out.extend_from_slice(&(rows.len() as u32).to_le_bytes());
    out.extend_from_slice(&(times.len() as u32).to_le_bytes());
    put_prints(&mut out, batch, rows);
    put_values(&mut out, batch, rows, times.len());
    if !single {
        for &row in rows {
            put_varint(&mut out, batch.samples(row as usize).0.len() as u64);
        }
    }
    put_times(&mut out, &times);
    put_sections(&mut out, batch, rows, times.len());
    out
}

/// Timestamps of the rows, and whether each has exactly one.
fn gather_times(batch: &WriteBatch, rows: &[u32]) -> (Vec<i64>, bool) {
    let mut times = Vec::with_capacity(rows.len());
    let mut single = true;
    for &row in rows {
        match *batch.samples(row as usize).0 {
            [time_ms] => times.push(time_ms),
            ref several => {
                times.extend_from_slice(several);
                single = false;
            }
        }
    }
    (times, single)
}

fn put_prints(out: &mut Vec<u8>, batch: &WriteBatch, rows: &[u32]) {
    let start = out.len();
    out.resize(start + rows.len() * 16, 0);
    let words = out[start..].as_chunks_mut::<16>().0;
    for (word, &row) in words.iter_mut().zip(rows) {
        *word = batch.fingerprint(row as usize).to_le_bytes();
    }
}

fn put_values(out: &mut Vec<u8>, batch: &WriteBatch, rows: &[u32], count: usize) {
    let start = out.len();
    out.resize(start + count * 8, 0);
    let mut words = out[start..].as_chunks_mut::<8>().0;
    for &row in rows {
        let values = batch.samples(row as usize).1;
        let Some((own, rest)) = words.split_at_mut_checked(values.len()) else {
            return;
        };
        for (word, value) in own.iter_mut().zip(values) {
            *word = value.to_bits().to_le_bytes();
        }
        words = rest;
    }
}

fn put_sections(out: &mut Vec<u8>, batch: &WriteBatch, rows: &[u32], samples: usize) {
    let starts = gather_starts(batch, rows, samples);
    let more = gather_more(batch, rows);
    if starts.is_empty() && more.histograms.is_empty() && more.exemplars.is_empty() {
        return;
    }
    out[FLAGS_AT] |= SECTIONS;
    sections::encode(out, &starts, &more);
}

/// As many as samples, or none.
fn gather_starts(batch: &WriteBatch, rows: &[u32], samples: usize) -> Vec<i64> {
    let mut starts = Vec::new();
    if batch.has_starts() {
        starts.reserve(samples);
        let each = rows.iter().map(|&row| batch.starts(row as usize));
        each.for_each(|own| starts.extend_from_slice(own));
    }
    if starts.iter().all(|&start_ms| start_ms == 0) {
        starts.clear();
    }
    starts
}

fn gather_more<'a>(batch: &'a WriteBatch, rows: &[u32]) -> MoreView<'a> {
    let mut more = MoreView::default();
    let rows = || rows.iter().map(|&row| row as usize);
    if batch.histogram_count() > 0 {
        let values = batch.histogram_values();
        let (mut times, mut starts, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows() {
            let (own, own_starts, first) = batch.histograms(row);
            times.extend_from_slice(own);
            starts.extend_from_slice(own_starts);
            ends.push(times.len() as u32);
            let views = (first..first + own.len()).map(|at| values.get(at));
            more.histograms.extend(views);
        }
        if starts.iter().all(|&start_ms| start_ms == 0) {
            starts.clear();
        }
        more.histogram_ends = ends.into();
        more.histogram_times = times.into();
        more.histogram_starts = starts.into();
    }
    if batch.exemplar_count() > 0 {
        let mut ends = Vec::new();
        for row in rows() {
            more.exemplars.extend(batch.exemplars(row));
            ends.push(more.exemplars.len() as u32);
        }
        more.exemplar_ends = ends.into();
    }
    more
}

/// What a parcel has behind its columns, by place.
#[derive(Debug, Default)]
pub struct Extras {
    /// Places in the rows of the parcel, ascending: those that get labels.
    pub labelled: Vec<u32>,
    /// Metadata entries of the batch.
    pub metadata: Vec<u32>,
}

impl Extras {
    pub fn is_empty(&self) -> bool {
        self.labelled.is_empty() && self.metadata.is_empty()
    }
}

/// Makes a parcel of what `columns` gave for the same rows.
pub fn finish(out: &mut Vec<u8>, batch: &WriteBatch, rows: &[u32], extras: &Extras) {
    if !extras.labelled.is_empty() {
        out[FLAGS_AT] |= LABELS;
        put_labels(out, batch, rows, &extras.labelled);
    }
    if !extras.metadata.is_empty() {
        out[FLAGS_AT] |= METADATA;
        put_varint(out, extras.metadata.len() as u64);
        for &entry in &extras.metadata {
            put_entry(out, &batch.metadata()[entry as usize]);
        }
    }
    let crc = crc32c::crc32c(&out[CRC_BYTES..]);
    out[..CRC_BYTES].copy_from_slice(&crc.to_le_bytes());
}

fn put_labels(out: &mut Vec<u8>, batch: &WriteBatch, rows: &[u32], labelled: &[u32]) {
    let mut strings = Interner::default();
    let mut sets = Vec::with_capacity(labelled.len() * 24);
    let mut labels = Vec::new();
    let mut next = 0;
    for &place in labelled {
        batch.labels(rows[place as usize] as usize, &mut labels);
        put_varint(&mut sets, u64::from(place - next));
        put_varint(&mut sets, labels.len() as u64);
        for (name, value) in &labels {
            put_varint(&mut sets, u64::from(strings.intern(name)));
            put_varint(&mut sets, u64::from(strings.intern(value)));
        }
        next = place + 1;
    }
    put_varint(out, strings.symbols.len() as u64);
    for text in strings.symbols.iter() {
        put_text(out, text);
    }
    put_varint(out, labelled.len() as u64);
    out.extend_from_slice(&sets);
}

fn put_entry(out: &mut Vec<u8>, entry: &Metadata) {
    let kind = METRIC_TYPES.iter().position(|&kind| kind == entry.kind);
    out.push(kind.unwrap_or(0) as u8);
    for text in [&entry.metric, &entry.help, &entry.unit] {
        put_text(out, text);
    }
}
