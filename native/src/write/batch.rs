//! `WriteBatch`: the series of one push, between decoder and head.
//!
//! Samples are flat arrays. Labels stay bytes, and nobody reads them until a head meets the series
//! for the first time; until then the fingerprint speaks for them. `run` has their forms, `columns` what
//! few series have: starts, histograms and exemplars. `arrays` makes a batch without a message, `parts` one that
//! was taken apart for its way; `python` is the door.

mod arrays;
mod columns;
mod parts;
mod python;
mod run;

use columns::{ExemplarColumn, HistogramColumn, order_of, pad_starts, permute, put_start};
use run::{collect, collect_refs};

pub use columns::Exemplar;
pub use parts::Parts;
pub use run::{Run, TAG_LABEL, TAG_NAME, TAG_VALUE, put_label, split_field};

use pyo3::prelude::*;

use crate::histogram::{Histograms, View};
use crate::write::pair::Pair;
use crate::write::rejection::{Rejection, Rejections};
use crate::write::symbols::{Refs, Symbol};

#[derive(Debug, Clone, Copy)]
struct Series {
    fingerprint: u128,
    labels: Run,
    samples_end: u32,
}

/// What a producer said of one metric family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    pub metric: String,
    pub kind: &'static str,
    pub help: String,
    pub unit: String,
}

/// Series with samples, in the order of arrival; one series may come more than once.
#[pyclass(frozen, module = "rondel._native")]
#[derive(Debug, Default)]
pub struct WriteBatch {
    message: Vec<u8>,
    encoded: Vec<u8>,
    series: Vec<Series>,
    timestamps_ms: Vec<i64>,
    values: Vec<f64>,
    /// As long as the samples once the batch is whole, or empty.
    starts_ms: Vec<i64>,
    histograms: HistogramColumn,
    exemplars: ExemplarColumn,
    /// Whether there are histograms or exemplars that no series owns yet.
    has_open_columns: bool,
    metadata: Vec<Metadata>,
    /// Of the message, if it is one of remote write 2.0.
    symbols: Vec<Symbol>,
    pair: Option<Pair>,
    rejections: Rejections,
    exemplars_dropped: Rejections,
}

/// A series with one sample takes about this many bytes of a message.
const SERIES_BYTES_USUAL: usize = 128;

impl WriteBatch {
    /// An empty batch with room for the usual content of a message.
    pub fn for_message(message_bytes: usize) -> Self {
        let series = message_bytes / SERIES_BYTES_USUAL;
        Self {
            series: Vec::with_capacity(series),
            timestamps_ms: Vec::with_capacity(series),
            values: Vec::with_capacity(series),
            ..Self::default()
        }
    }

    /// Takes the symbols that references of `Run::Refs` lead to.
    pub fn keep_symbols(&mut self, symbols: Vec<Symbol>) {
        self.symbols = symbols;
    }

    /// Says whose message it is; its replica label is in no series.
    pub fn keep_pair(&mut self, pair: Option<Pair>) {
        self.pair = pair;
    }

    /// Takes the message that spans of `Run::Message` and symbols point into; nothing is added after that.
    pub fn keep_message(&mut self, message: Vec<u8>) {
        self.message = message;
        self.finish();
    }

    pub fn len(&self) -> usize {
        self.series.len()
    }

    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Float samples.
    pub fn sample_count(&self) -> usize {
        self.timestamps_ms.len()
    }

    pub fn histogram_count(&self) -> usize {
        self.histograms.timestamps_ms.len()
    }

    pub fn exemplar_count(&self) -> usize {
        self.exemplars.rows.len()
    }

    #[inline]
    pub fn fingerprint(&self, index: usize) -> u128 {
        self.series[index].fingerprint
    }

    /// Timestamps and values of a series, ascending in time; equal timestamps in order of arrival.
    #[inline]
    pub fn samples(&self, index: usize) -> (&[i64], &[f64]) {
        let (start, end) = self.samples_of(index);
        (&self.timestamps_ms[start..end], &self.values[start..end])
    }

    /// Whether samples of any series have starts.
    pub fn has_starts(&self) -> bool {
        !self.starts_ms.is_empty()
    }

    /// When the counters of these samples began, 0 where unknown; empty if no sample of the batch says so.
    #[inline]
    pub fn starts(&self, index: usize) -> &[i64] {
        if self.starts_ms.is_empty() {
            return &[];
        }
        let (start, end) = self.samples_of(index);
        self.starts_ms.get(start..end).unwrap_or_default()
    }

    /// Timestamps and starts of the histograms of a series, as those of samples, and the row of
    /// `histogram_values` where they begin.
    pub fn histograms(&self, index: usize) -> (&[i64], &[i64], usize) {
        let column = &self.histograms;
        let rows = column.ends.range(index);
        let starts_ms = column.starts_ms.get(rows.clone()).unwrap_or_default();
        (&column.timestamps_ms[rows.clone()], starts_ms, rows.start)
    }

    pub fn histogram_values(&self) -> &Histograms {
        &self.histograms.values
    }

    /// The exemplars of a series, ascending in time. A series may have nothing else.
    pub fn exemplars(&self, index: usize) -> &[Exemplar] {
        &self.exemplars.rows[self.exemplars.ends.range(index)]
    }

    /// Whether the labels of a series came with it; if not, only who knows its fingerprint can take it.
    #[inline]
    pub fn has_labels(&self, index: usize) -> bool {
        !matches!(self.series[index].labels, Run::Absent)
    }

    /// Replaces `out` by the labels of a series: sorted by name, distinct, valid, no empty value. None where
    /// they did not come.
    pub fn labels<'a>(&'a self, index: usize, out: &mut Vec<(&'a str, &'a str)>) {
        out.clear();
        match self.series[index].labels {
            Run::Message { start, end } => {
                collect(&self.message[start as usize..end as usize], out);
            }
            Run::Encoded { start, end } => {
                collect(&self.encoded[start as usize..end as usize], out);
            }
            Run::Refs { start, end } => {
                let refs = Refs(&self.message[start as usize..end as usize]);
                collect_refs(refs, &self.symbols, &self.message, out);
            }
            Run::Absent => {}
        }
        if let Some(pair) = &self.pair {
            out.retain(|&(name, _)| name != pair.replica_label);
        }
        if !out.is_sorted() {
            out.sort_unstable();
        }
    }

    pub fn metadata(&self) -> &[Metadata] {
        &self.metadata
    }

    pub fn rejections(&self) -> &[Rejection] {
        self.rejections.all()
    }

    /// Adds a sample to the series that the next `end_series` closes.
    #[inline]
    pub fn push_sample(&mut self, timestamp_ms: i64, value: f64) {
        self.timestamps_ms.push(timestamp_ms);
        self.values.push(value);
    }

    /// Gives a start to the sample that was pushed last; 0 is none.
    #[inline]
    pub fn start_sample(&mut self, start_ms: i64) {
        put_start(&mut self.starts_ms, self.timestamps_ms.len(), start_ms);
    }

    /// Adds a histogram to the series that the next `end_series` closes.
    pub fn push_histogram(&mut self, timestamp_ms: i64, start_ms: i64, value: View<'_>) {
        self.histograms.push(timestamp_ms, start_ms, value);
        self.has_open_columns = true;
    }

    /// Adds an exemplar to the series that the next `end_series` closes.
    pub fn push_exemplar(&mut self, exemplar: Exemplar) {
        self.exemplars.rows.push(exemplar);
        self.has_open_columns = true;
    }

    /// Samples that no series owns yet.
    #[inline]
    pub fn open_samples(&self) -> &[i64] {
        &self.timestamps_ms[self.samples_end()..]
    }

    /// Whether there are samples, histograms or exemplars that no series owns yet.
    #[inline]
    pub fn has_open(&self) -> bool {
        self.timestamps_ms.len() > self.samples_end() || self.has_open_columns
    }

    /// Forgets the samples that no series owns yet.
    pub fn drop_open_samples(&mut self) {
        let end = self.samples_end();
        self.timestamps_ms.truncate(end);
        self.values.truncate(end);
        self.starts_ms.truncate(end);
    }

    /// Keeps the open samples whose timestamp passes; gives the number of the others.
    pub fn retain_open_samples(&mut self, keep: impl Fn(i64) -> bool) -> u64 {
        let start = self.samples_end();
        let count = self.timestamps_ms.len();
        pad_starts(&mut self.starts_ms, count);
        let mut end = start;
        for at in start..count {
            if keep(self.timestamps_ms[at]) {
                self.timestamps_ms[end] = self.timestamps_ms[at];
                self.values[end] = self.values[at];
                if !self.starts_ms.is_empty() {
                    self.starts_ms[end] = self.starts_ms[at];
                }
                end += 1;
            }
        }
        self.timestamps_ms.truncate(end);
        self.values.truncate(end);
        self.starts_ms.truncate(end);
        (count - end) as u64
    }

    /// Gives what is open to a series.
    #[inline]
    pub fn end_series(&mut self, fingerprint: u128, labels: Run) {
        // The sender keeps samples of a series in order, nearly always: look before sorting.
        if !self.open_samples().is_sorted() {
            self.sort_open_samples();
        }
        if self.has_open_columns {
            self.close_columns();
        }
        self.series.push(Series {
            fingerprint,
            labels,
            samples_end: self.timestamps_ms.len() as u32,
        });
    }

    /// Encodes labels that are sorted, distinct, valid and not empty.
    pub fn encode_labels<'a>(&mut self, labels: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Run {
        let start = self.encoded.len() as u32;
        for (name, value) in labels {
            put_label(&mut self.encoded, name, value);
        }
        Run::Encoded {
            start,
            end: self.encoded.len() as u32,
        }
    }

    pub fn push_metadata(&mut self, metadata: Metadata) {
        self.metadata.push(metadata);
    }

    /// Counts exemplars that came and are not in the batch.
    pub fn drop_exemplars(
        &mut self,
        id: &'static str,
        count: u64,
        message: impl FnOnce() -> String,
    ) {
        self.exemplars_dropped.add(id, count, message);
    }

    pub fn reject(&mut self, id: &'static str, samples: u64, message: impl FnOnce() -> String) {
        self.rejections.add(id, samples, message);
    }

    fn finish(&mut self) {
        pad_starts(&mut self.starts_ms, self.timestamps_ms.len());
        let histograms = &mut self.histograms;
        pad_starts(&mut histograms.starts_ms, histograms.timestamps_ms.len());
    }

    #[cold]
    fn close_columns(&mut self) {
        let series = self.series.len();
        self.histograms.close(series);
        self.exemplars.close(series);
        self.has_open_columns = false;
    }

    #[cold]
    fn sort_open_samples(&mut self) {
        let start = self.samples_end();
        if let Some(order) = order_of(&self.timestamps_ms[start..]) {
            let count = self.timestamps_ms.len();
            permute(&mut self.timestamps_ms, start, &order);
            permute(&mut self.values, start, &order);
            if self.starts_ms.len() > start {
                self.starts_ms.resize(count, 0);
                permute(&mut self.starts_ms, start, &order);
            }
        }
    }

    #[inline]
    fn samples_end(&self) -> usize {
        self.series
            .last()
            .map_or(0, |series| series.samples_end as usize)
    }

    #[inline]
    fn samples_of(&self, index: usize) -> (usize, usize) {
        let start = match index {
            0 => 0,
            _ => self.series[index - 1].samples_end as usize,
        };
        (start, self.series[index].samples_end as usize)
    }
}
