//! `changes` and `resets` where neighbours may be of either kind.

use super::samples::{HistogramSeries, Row};
use super::window::{Cell, Desk, MixedFunction, MixedWindow};
use crate::histogram::{View, is_reset};
use crate::kernel::starts::Stamp;

/// How often neighbours in the window differ in some way. A neighbour of the other kind always does.
pub struct Events {
    floats: fn(f64, f64) -> bool,
    histograms: fn(View<'_>, View<'_>) -> bool,
    /// Whether a start timestamp may say that the later one differs.
    by_start: bool,
    /// Of the first 0, 1, 2... samples of both kinds, how many differ from their predecessor.
    prefix: Vec<u32>,
}

#[derive(Clone, Copy)]
enum Sample {
    Float(usize),
    Histogram(usize),
}

impl Events {
    pub fn changes() -> Self {
        Self {
            floats: |before, after| before != after && !(before.is_nan() && after.is_nan()),
            histograms: |before, after| !before.equals(after),
            by_start: false,
            prefix: Vec::new(),
        }
    }

    pub fn resets() -> Self {
        Self {
            floats: |before, after| after < before,
            histograms: |before, after| is_reset(after, before),
            by_start: true,
            prefix: Vec::new(),
        }
    }

    /// How many of the samples `[from, until)` of both kinds in order differ from the one before; there is
    /// at least one sample.
    pub fn between(&self, from: usize, until: usize) -> f64 {
        f64::from(self.prefix[until] - self.prefix[from + 1])
    }

    fn differs(&self, row: &Row<'_>, own: &HistogramSeries<'_>, pair: [Sample; 2]) -> bool {
        let differs = match pair {
            [Sample::Float(before), Sample::Float(after)] => {
                (self.floats)(row.floats.values[before], row.floats.values[after])
            }
            [Sample::Histogram(before), Sample::Histogram(after)] => {
                (self.histograms)(own.view(before), own.view(after))
            }
            _ => true,
        };
        differs || (self.by_start && began_anew(row, own, pair))
    }
}

/// Whether a start timestamp says that the later of two neighbours counts anew.
fn began_anew(row: &Row<'_>, own: &HistogramSeries<'_>, pair: [Sample; 2]) -> bool {
    let [before, after] = pair.map(|sample| {
        let (series, at) = match sample {
            Sample::Float(at) => (row.floats, at),
            Sample::Histogram(at) => (own.counts, at),
        };
        Stamp {
            start_ms: series.starts_ms.get(at).copied().unwrap_or(0),
            time_ms: series.timestamps_ms[at],
        }
    });
    after.is_reset(before)
}

impl MixedFunction for Events {
    fn begin(&mut self, row: &Row<'_>, own: &HistogramSeries<'_>) {
        self.prefix.clear();
        self.prefix.extend([0, 0]);
        let (times, own_times) = (row.floats.timestamps_ms, own.times_ms());
        let (mut float, mut histogram) = (0, 0);
        let mut before = None;
        let mut count = 0;
        while float < times.len() || histogram < own_times.len() {
            let is_float = match (times.get(float), own_times.get(histogram)) {
                (Some(time), Some(own_time)) => time < own_time,
                (time, _) => time.is_some(),
            };
            let sample = if is_float {
                float += 1;
                Sample::Float(float - 1)
            } else {
                histogram += 1;
                Sample::Histogram(histogram - 1)
            };
            if let Some(before) = before {
                count += u32::from(self.differs(row, own, [before, sample]));
                self.prefix.push(count);
            }
            before = Some(sample);
        }
    }

    fn cell(&mut self, window: &MixedWindow<'_>, _desk: &mut Desk<'_>) -> Cell {
        // The samples of both kinds before and in the window are the first so many of them in order.
        let from = window.floats.start + window.histograms.start;
        let until = window.floats.end + window.histograms.end;
        Cell::Float(self.between(from, until))
    }
}
