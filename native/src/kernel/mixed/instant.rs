//! Instant selection over both kinds: the latest sample at or before each step, within the lookback.

use super::answer::NONE;
use super::samples::{HistogramSamples, MixedSamples};
use crate::error::Result;
use crate::kernel::parallel::{Matrix, each};
use crate::kernel::samples::{Series, Steps, is_before, is_stale};

/// Which sample each cell is.
#[derive(Debug)]
pub struct Picked {
    /// The floats.
    pub matrix: Matrix,
    /// Which of the given histograms each cell is, or `NONE`.
    pub index: Vec<i64>,
    /// When the picked sample was, in seconds; means nothing where there is none.
    pub times_s: Vec<f64>,
}

/// A staleness marker of either kind is an end.
pub fn select(samples: &MixedSamples<'_>, steps: Steps, lookback_ms: i64) -> Result<Picked> {
    let (rows, width) = (samples.count(), steps.count);
    let mut matrix = Matrix::absent(rows, width)?;
    let mut index = vec![NONE; matrix.values.len()];
    let mut times_s = vec![0.0; matrix.values.len()];
    if width > 0 {
        let work = samples.floats.sample_count() + matrix.values.len();
        let cells = matrix
            .values
            .chunks_mut(width)
            .zip(matrix.present.chunks_mut(width))
            .zip(index.chunks_mut(width))
            .zip(times_s.chunks_mut(width))
            .enumerate();
        let state = || ();
        each(cells, work, state, |(), (row, cells)| {
            let (((values, present), index), times_s) = cells;
            let own = samples.histograms.map(|own| Own::new(own, row));
            let mut walk = Walk {
                floats: samples.floats.series(row),
                own,
                float: 0,
                histogram: 0,
            };
            for step in 0..width {
                let end_ms = steps.at(step);
                let Some((time, sample)) = walk.latest(end_ms) else {
                    continue;
                };
                if is_before(time, end_ms, lookback_ms) {
                    continue;
                }
                match sample {
                    Sample::Stale => continue,
                    Sample::Float(value) => (values[step], present[step]) = (value, true),
                    Sample::Histogram(at) => index[step] = at,
                }
                times_s[step] = time as f64 / 1000.0;
            }
        });
    }
    Ok(Picked {
        matrix,
        index,
        times_s,
    })
}

enum Sample {
    Float(f64),
    Histogram(i64),
    Stale,
}

/// The histograms of one series.
struct Own<'a> {
    samples: HistogramSamples<'a>,
    times_ms: &'a [i64],
    first: usize,
}

impl<'a> Own<'a> {
    fn new(samples: HistogramSamples<'a>, row: usize) -> Self {
        Self {
            samples,
            times_ms: samples.times(row),
            first: samples.range(row).start,
        }
    }

    fn sample(&self, index: usize) -> Sample {
        let at = self.first + index;
        if self.samples.pool.get(at).is_stale() {
            Sample::Stale
        } else {
            Sample::Histogram(at as i64)
        }
    }
}

/// A walk over both kinds of samples of a series, step by step.
struct Walk<'a> {
    floats: Series<'a>,
    own: Option<Own<'a>>,
    /// How many samples of each kind are behind.
    float: usize,
    histogram: usize,
}

impl Walk<'_> {
    /// The latest sample at or before `end_ms`, which never moves back, and its time.
    fn latest(&mut self, end_ms: i64) -> Option<(i64, Sample)> {
        let float = passed(&mut self.float, self.floats.timestamps_ms, end_ms).map(|at| {
            let value = self.floats.values[at];
            let sample = match is_stale(value) {
                true => Sample::Stale,
                false => Sample::Float(value),
            };
            (self.floats.timestamps_ms[at], sample)
        });
        let own = self.own.as_ref().and_then(|own| {
            let at = passed(&mut self.histogram, own.times_ms, end_ms)?;
            Some((own.times_ms[at], own.sample(at)))
        });
        match (float, own) {
            (Some(float), Some(own)) => {
                let hidden = own.0 == float.0 && matches!(own.1, Sample::Stale);
                Some(if float.0 > own.0 || hidden {
                    float
                } else {
                    own
                })
            }
            (float, own) => float.or(own),
        }
    }
}

/// The last of `times` up to `end_ms`; `next` is how many of them are.
fn passed(next: &mut usize, times: &[i64], end_ms: i64) -> Option<usize> {
    while times.get(*next).is_some_and(|&time| time <= end_ms) {
        *next += 1;
    }
    next.checked_sub(1)
}
