//! A batch whose columns are there already: what came from another process.

use crate::fields::sections::Sections;
use crate::write::batch::columns::{Ends, ExemplarColumn, HistogramColumn};
use crate::write::batch::{Metadata, Run, Series, WriteBatch};
use crate::write::symbols::Symbol;

/// Columns of a batch, added series by series. Samples, histograms and exemplars of a series ascend in time.
#[derive(Debug, Default)]
pub struct Parts {
    series: Vec<Series>,
    pub timestamps_ms: Vec<i64>,
    pub values: Vec<f64>,
    /// Of as many samples and series as the others.
    pub sections: Sections,
    pub metadata: Vec<Metadata>,
    /// What the runs and the symbols point into.
    pub message: Vec<u8>,
    pub symbols: Vec<Symbol>,
}

impl Parts {
    pub fn with_room(series: usize) -> Self {
        Self {
            series: Vec::with_capacity(series),
            ..Self::default()
        }
    }

    /// Adds a series without labels, to which the samples up to `samples_end` belong.
    #[inline]
    pub fn push(&mut self, fingerprint: u128, samples_end: u32) {
        self.series.push(Series {
            fingerprint,
            labels: Run::Absent,
            samples_end,
        });
    }

    /// Gives labels to a series.
    pub fn define(&mut self, index: usize, labels: Run) {
        self.series[index].labels = labels;
    }

    pub fn len(&self) -> usize {
        self.series.len()
    }

    pub fn fingerprint(&self, index: usize) -> u128 {
        self.series[index].fingerprint
    }

    /// Whether the samples, histograms and exemplars of every series ascend in time.
    pub fn ascends(&self) -> bool {
        let more = &self.sections.more;
        let exemplars = &more.exemplars;
        let samples = self.series.iter().map(|one| one.samples_end);
        ascends(samples, |from, to| self.timestamps_ms[from..to].is_sorted())
            && ascends(more.histogram_ends.iter().copied(), |from, to| {
                more.histogram_times[from..to].is_sorted()
            })
            && ascends(more.exemplar_ends.iter().copied(), |from, to| {
                exemplars[from..to].is_sorted_by_key(|one| one.time_ms)
            })
    }

    pub fn build(self) -> WriteBatch {
        let more = self.sections.more;
        WriteBatch {
            message: self.message,
            series: self.series,
            timestamps_ms: self.timestamps_ms,
            values: self.values,
            starts_ms: self.sections.starts,
            histograms: HistogramColumn {
                ends: Ends::new(more.histogram_ends),
                timestamps_ms: more.histogram_times,
                starts_ms: more.histogram_starts,
                values: more.histograms,
            },
            exemplars: ExemplarColumn {
                ends: Ends::new(more.exemplar_ends),
                rows: more.exemplars,
            },
            metadata: self.metadata,
            symbols: self.symbols,
            ..WriteBatch::default()
        }
    }
}

fn ascends(mut ends: impl Iterator<Item = u32>, is_sorted: impl Fn(usize, usize) -> bool) -> bool {
    let mut from = 0;
    ends.all(|end| {
        let to = end as usize;
        let sorted = to - from < 2 || is_sorted(from, to);
        from = to;
        sorted
    })
}
