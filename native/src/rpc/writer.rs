//! The samples of an answer: chunks of one series after the other.

use std::sync::Arc;

use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_128;

use crate::block::bytes::{put_signed, put_varint};
use crate::block::layouts;
use crate::error::{Error, Result};
use crate::head::histograms::Writer;
use crate::head::step::{self, FIRST_BYTES, SAMPLES_MAX, STEP_BYTES_MAX};
use crate::histogram::{Histograms, Layout};
use crate::rpc::seal::{DIGESTS, SAMPLES, Sealed, seal};

/// Buckets and bounds in the layouts of one answer.
pub const BUCKETS_MAX: usize = 1 << 26;
/// Floats that a byte of an answer stands for at most: 240 in a chunk of 15 bytes.
pub const SAMPLES_A_BYTE: usize = 16;

/// What a chunk holds; a column of a series is all chunks of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Column {
    Floats = 0,
    Starts = 1,
    Histograms = 2,
    HistogramStarts = 3,
}

impl Column {
    pub fn of(number: u64) -> Self {
        match number & 3 {
            0 => Self::Floats,
            1 => Self::Starts,
            2 => Self::Histograms,
            _ => Self::HistogramStarts,
        }
    }
}

/// What a frame has, though none of its samples may have it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kinds {
    pub starts: bool,
    pub histograms: bool,
    pub histogram_starts: bool,
}

impl Kinds {
    fn bits(self) -> u8 {
        u8::from(self.starts)
            | u8::from(self.histograms) << 1
            | u8::from(self.histogram_starts) << 2
    }

    pub fn of(bits: u8) -> Self {
        Self {
            starts: bits & 1 != 0,
            histograms: bits & 2 != 0,
            histogram_starts: bits & 4 != 0,
        }
    }
}

#[derive(Debug, Default)]
pub struct FrameWriter {
    body: Vec<u8>,
    first_ms: i64,
    series: u64,
    samples: u64,
    layouts: HashMap<Arc<Layout>, u32>,
    recent: Option<(Arc<Layout>, u32)>,
    buckets: usize,
    scratch: Vec<u8>,
    chunk: Writer,
    /// Of the series so far, where digests are wanted: `body` has the chunks of one series only, then.
    digests: Option<Vec<u128>>,
}

impl FrameWriter {
    /// Writes no samples but a digest of the chunks of each series.
    pub fn of_digests() -> Self {
        Self {
            digests: Some(Vec::new()),
            ..Self::default()
        }
    }

    /// Adds a chunk of words as it is.
    pub fn chunk(&mut self, column: Column, count: usize, first_ms: i64, bytes: &[u8]) {
        self.begin(column, count, first_ms);
        if count > 1 {
            put_varint(&mut self.body, bytes.len() as u64);
        }
        self.body.extend_from_slice(bytes);
    }

    /// Adds a chunk of histograms as it is.
    pub fn histogram_chunk(
        &mut self,
        layout: &Arc<Layout>,
        count: usize,
        first_ms: i64,
        bytes: &[u8],
    ) {
        self.begin(Column::Histograms, count, first_ms);
        self.put_layout(layout);
        put_varint(&mut self.body, bytes.len() as u64);
        self.body.extend_from_slice(bytes);
    }

    fn begin(&mut self, column: Column, count: usize, first_ms: i64) {
        debug_assert!((1..=SAMPLES_MAX).contains(&count));
        put_varint(&mut self.body, (count as u64) << 2 | column as u64);
        put_signed(&mut self.body, first_ms.wrapping_sub(self.first_ms));
        self.first_ms = first_ms;
        if column == Column::Floats {
            self.samples += count as u64;
        }
    }

    fn put_layout(&mut self, layout: &Arc<Layout>) {
        if self.digests.is_some() {
            layouts::put(&mut self.body, layout); // Numbers are of one answer.
            return;
        }
        if let Some((recent, number)) = &self.recent
            && Arc::ptr_eq(recent, layout)
        {
            put_varint(&mut self.body, u64::from(*number));
            return;
        }
        let next = self.layouts.len() as u32;
        let number = *self.layouts.entry(Arc::clone(layout)).or_insert(next);
        put_varint(&mut self.body, u64::from(number));
        if number == next {
            layouts::put(&mut self.body, layout);
            self.buckets += layouts::size_of_layout(layout);
        }
        self.recent = Some((Arc::clone(layout), number));
    }

    /// Encodes words, ascending in time.
    pub fn words(&mut self, column: Column, times: &[i64], words: impl Iterator<Item = u64>) {
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut words = words;
        let mut rest = times;
        while !rest.is_empty() {
            let count = chunk_len(rest);
            scratch.clear();
            scratch.reserve(FIRST_BYTES + count * STEP_BYTES_MAX);
            let samples = rest[..count].iter().copied().zip(words.by_ref());
            step::encode(samples, &mut scratch);
            self.chunk(column, count, rest[0], &scratch);
            rest = &rest[count..];
        }
        self.scratch = scratch;
    }

    /// Encodes the starts that are not 0 of samples at these times, ascending.
    pub fn starts(&mut self, column: Column, times: &[i64], starts: &[i64]) {
        if starts.iter().all(|&start_ms| start_ms == 0) {
            return;
        }
        let both = || {
            let both = times.iter().zip(starts);
            both.filter(|(_, start_ms)| **start_ms != 0)
        };
        let times: Vec<i64> = both().map(|(&time_ms, _)| time_ms).collect();
        self.words(column, &times, both().map(|(_, &start_ms)| start_ms as u64));
    }

    /// Encodes as many histograms as there are times, ascending; the first is number `first` of `values`.
    pub fn histograms(&mut self, times: &[i64], values: &Histograms, first: usize) {
        let mut chunk = std::mem::take(&mut self.chunk);
        for (index, &time_ms) in times.iter().enumerate() {
            let view = values.get(first + index);
            let before = index.checked_sub(1).map(|at| values.get(first + at));
            match before.filter(|before| before.is_laid_out_as(&view)) {
                Some(before) if !chunk.is_full() && is_near(chunk.last_ms, time_ms) => {
                    chunk.put(time_ms, view.hint, before.cells, view.cells);
                }
                _ => {
                    if let Some(before) = before {
                        self.put_chunk(before.layout, &chunk);
                    }
                    chunk.start(time_ms, view.hint, view.cells);
                }
            }
        }
        if let Some(last) = times.len().checked_sub(1) {
            self.put_chunk(values.get(first + last).layout, &chunk);
        }
        self.chunk = chunk;
    }

    fn put_chunk(&mut self, layout: &Arc<Layout>, chunk: &Writer) {
        self.histogram_chunk(layout, chunk.count as usize, chunk.min_ms, &chunk.bytes);
    }

    /// Ends a series, which may have no chunk.
    pub fn end_series(&mut self) {
        self.series += 1;
        let Some(digests) = &mut self.digests else {
            self.body.push(0);
            return;
        };
        digests.push(xxh3_128(&self.body));
        self.body.clear();
        self.first_ms = 0;
    }

    /// The digests of the series that have ended.
    pub fn into_digests(self) -> Vec<u128> {
        self.digests.unwrap_or_default()
    }

    /// The answer; samples outside `[mint_ms, maxt_ms]` are left out by whoever reads it.
    pub fn finish(self, mint_ms: i64, maxt_ms: i64, kinds: Kinds) -> Result<Sealed<2>> {
        if let Some(digests) = self.digests {
            let mut head = Vec::new();
            put_signed(&mut head, mint_ms);
            put_signed(&mut head, maxt_ms);
            put_varint(&mut head, self.series);
            let digests = digests.iter().flat_map(|digest| digest.to_le_bytes());
            return Ok(seal(DIGESTS, [head, digests.collect()]));
        }
        if self.buckets > BUCKETS_MAX {
            let message = format!(
                "the layouts of an answer have {} buckets, at most {BUCKETS_MAX} are possible: read fewer series at once",
                self.buckets
            );
            return Err(Error::limit("rpc-encode", message));
        }
        let mut head = Vec::new();
        put_signed(&mut head, mint_ms);
        put_signed(&mut head, maxt_ms);
        head.push(kinds.bits());
        put_varint(&mut head, self.samples);
        put_varint(&mut head, self.series);
        Ok(seal(SAMPLES, [head, self.body]))
    }
}

/// Whether the distance of two times fits in a chunk.
fn is_near(before_ms: i64, time_ms: i64) -> bool {
    let distance = time_ms.checked_sub(before_ms);
    distance.is_some_and(|distance| i32::try_from(distance).is_ok())
}

/// How many of the samples go to one chunk.
fn chunk_len(times: &[i64]) -> usize {
    let most = times.len().min(SAMPLES_MAX);
    if is_near(times[0], times[most - 1]) {
        return most;
    }
    let far = times[..most]
        .windows(2)
        .position(|pair| !is_near(pair[0], pair[1]));
    far.map_or(most, |at| at + 1)
}
