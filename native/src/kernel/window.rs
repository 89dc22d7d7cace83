//! Range functions: a window `(t - range, t]` moves over each series, and a function sees its samples.

use std::ops::Range;

use super::aggregate::{Aggregation, Filler};
use super::functions::Sink;
use super::parallel::{Matrix, fill_rows};
use super::samples::{Samples, Scratch, Series, Steps, is_before};
use crate::error::Result;

/// One position of the window: samples `[from, until)` of the series, never empty.
#[derive(Debug, Clone, Copy)]
pub struct Window<'a> {
    pub series: Series<'a>,
    pub from: usize,
    pub until: usize,
    pub end_ms: i64,
    pub range_ms: i64,
    /// Index of the step, for functions with an argument a step.
    pub step: usize,
}

impl<'a> Window<'a> {
    #[inline]
    pub fn len(&self) -> usize {
        self.until - self.from
    }

    /// Over how many of the coming steps, this one included, the window lies over the samples as it does
    /// now, where those have one interval and each step moves it on by `stride` of them. None where it
    /// reaches beyond the first or the last sample, and so will lie differently.
    fn stretch(&self, stride: usize, steps: usize) -> Option<usize> {
        let times = self.series.timestamps_ms;
        let interval_ms = times.get(1)? - times[0];
        let full = self.until > self.from
            && (self.from > 0
                || is_before(
                    times[0].checked_sub(interval_ms)?,
                    self.end_ms,
                    self.range_ms,
                ))
            && (self.until < times.len()
                || times[times.len() - 1].checked_add(interval_ms)? > self.end_ms);
        full.then(|| steps.min((times.len() - self.until) / stride + 1))
    }

    #[inline]
    pub fn values(&self) -> &'a [f64] {
        &self.series.values[self.from..self.until]
    }

    #[inline]
    pub fn timestamps_ms(&self) -> &'a [i64] {
        &self.series.timestamps_ms[self.from..self.until]
    }

    /// Empty where the series has no starts.
    #[inline]
    pub fn starts_ms(&self) -> &'a [i64] {
        let starts_ms = self.series.starts_ms;
        starts_ms.get(self.from..self.until).unwrap_or_default()
    }
}

/// A function of a window. One value of it serves all windows of a series in order, so it may keep
/// what it learned about the series.
pub trait Function {
    /// A new series begins; its windows follow in ascending order, both ends never moving back.
    fn begin(&mut self, _series: Series<'_>) {}

    /// The result of one window; None is absence.
    fn value(&mut self, window: Window<'_>) -> Option<f64>;

    /// The results of a window that moves on by `stride` samples from result to result, if this
    /// function knows a faster way to them; false, and nothing written, where it does not.
    fn values(&mut self, _window: Window<'_>, _stride: usize, _results: &mut [f64]) -> bool {
        false
    }
}

impl<F: FnMut(Window<'_>) -> Option<f64>> Function for F {
    #[inline]
    fn value(&mut self, window: Window<'_>) -> Option<f64> {
        self(window)
    }
}

/// Windows of one width at each step over many series.
#[derive(Debug, Clone, Copy)]
pub struct Windows<'a> {
    pub samples: Samples<'a>,
    pub steps: Steps,
    pub range_ms: i64,
}

impl Windows<'_> {
    fn work(&self) -> usize {
        self.samples.sample_count() + self.samples.count() * self.steps.count
    }
}

/// All results, as a matrix. Staleness markers are no samples here.
impl Sink for Windows<'_> {
    type Out = Matrix;

    fn run<F: Function>(self, function: impl Fn() -> F + Sync) -> Result<Matrix> {
        let mut matrix = Matrix::absent(self.samples.count(), self.steps.count)?;
        let state = || (function(), Scratch::default());
        fill_rows(
            &mut matrix,
            self.work(),
            state,
            |(function, scratch), row, values, present| {
                let series = self.samples.series(row).fresh(scratch);
                fill(function, series, self.steps, self.range_ms, values, present);
            },
        );
        Ok(matrix)
    }
}

/// Results that are added up by group as they come, the same as from a matrix of them.
pub struct Folded<'a> {
    pub windows: Windows<'a>,
    pub group_of: &'a [i32],
    pub into: &'a mut Aggregation,
}

impl Sink for Folded<'_> {
    type Out = ();

    fn run<F: Function>(self, function: impl Fn() -> F + Sync) -> Result<()> {
        let Windows {
            samples,
            steps,
            range_ms,
        } = self.windows;
        let filler = |part: Range<usize>| -> Filler<'_> {
            let steps = steps.part(part);
            let mut function = function();
            let mut scratch = Scratch::default();
            let mut hint = 0..0;
            Box::new(move |row, values, present| {
                let series = samples.series(row).within(steps, range_ms, &mut hint);
                let series = series.fresh(&mut scratch);
                fill(&mut function, series, steps, range_ms, values, present);
            })
        };
        let work = self.windows.work();
        self.into
            .fold(self.group_of, samples.count(), steps.count, work, &filler)
    }
}

/// The results of one series, which has no staleness markers.
pub fn fill(
    function: &mut impl Function,
    series: Series<'_>,
    steps: Steps,
    range_ms: i64,
    values: &mut [f64],
    present: &mut [bool],
) {
    let times = series.timestamps_ms;
    function.begin(series);
    let mut stride = steps.stride(series);
    let (mut from, mut until) = (0, 0);
    let mut step = 0;
    while step < values.len() {
        let end_ms = steps.at(step);
        while until < times.len() && times[until] <= end_ms {
            until += 1;
        }
        while from < until && is_before(times[from], end_ms, range_ms) {
            from += 1;
        }
        let window = Window {
            series,
            from,
            until,
            end_ms,
            range_ms,
            step,
        };
        if let Some(moved) = stride
            && let Some(count) = window.stretch(moved, values.len() - step)
        {
            let part = step..step + count;
            if function.values(window, moved, &mut values[part.clone()]) {
                present[part].fill(true);
                from += (count - 1) * moved;
                until += (count - 1) * moved;
                step += count;
                continue;
            }
            stride = None;
        }
        if from < until
            && let Some(result) = function.value(window)
        {
            values[step] = result;
            present[step] = true;
        }
        step += 1;
    }
}
