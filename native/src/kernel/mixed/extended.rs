//! `anchored` and `smoothed` selectors over histograms: windows that reach for samples beyond their edges.
//!
//! An anchored window begins with the last sample at or before its start; a smoothed one has interpolated
//! histograms at both ends. Neither extrapolates. What floats alone give is computed before and comes in;
//! windows that reach a histogram are decided here.

use std::ops::Range;

use super::answer::{Answer, Out};
use super::events::Events;
use super::growth::{Adding, Changes};
use super::samples::{HistogramSeries, MixedSamples, Row, Scratch};
use super::window::{Cell, Desk, MixedFunction};
use crate::error::{Error, Result};
use crate::histogram::{Hint, Histogram, Notes};
use crate::kernel::cells::Cells;
use crate::kernel::samples::Steps;

/// What is asked of the windows.
#[derive(Debug, Clone, Copy)]
pub struct Extension {
    /// Whether windows are smoothed; else they are anchored.
    pub smoothed: bool,
    pub range_ms: i64,
    /// How far a window reaches.
    pub lookback_ms: i64,
}

/// `rate`, `increase`, `delta`, `changes` or `resets` over extended windows. `floats` is what these are
/// without histograms.
pub fn windows(
    name: &str,
    samples: &MixedSamples<'_>,
    steps: Steps,
    extension: Extension,
    floats: &Cells<'_>,
) -> Result<Answer> {
    let function = || -> Result<Box<dyn Extended>> {
        Ok(match name {
            "rate" | "increase" | "delta" => Box::new(Edges {
                changes: Changes::of(name != "delta"),
                range_s: (name == "rate").then_some(extension.range_ms as f64 / 1000.0),
                extension,
            }),
            "changes" => Box::new((Events::changes(), extension)),
            "resets" => Box::new((Events::resets(), extension)),
            _ => {
                let message = format!("no extended range function {name:?}");
                return Err(Error::invalid("function-unknown", message));
            }
        })
    };
    function()?;
    decided(samples, steps, floats, || function().ok())
}

/// The histogram on the line from the last one at or before each step to the next one after it, as
/// `windows`.
pub fn instant(
    samples: &MixedSamples<'_>,
    steps: Steps,
    lookback_ms: i64,
    floats: &Cells<'_>,
) -> Result<Answer> {
    decided(samples, steps, floats, || {
        Some(Box::new(Line {
            changes: Changes::of(true),
            lookback_ms,
        }))
    })
}

/// A function of the samples around a step, for series with histograms.
trait Extended {
    fn begin(&mut self, row: &Row<'_>, own: &HistogramSeries<'_>);

    fn cell(
        &mut self,
        row: &Row<'_>,
        own: &HistogramSeries<'_>,
        end_ms: i64,
        desk: &mut Desk<'_>,
    ) -> Cell;
}

/// The floats' cells, overruled by the function where it decides.
fn decided<'a>(
    samples: &MixedSamples<'_>,
    steps: Steps,
    floats: &Cells<'_>,
    function: impl Fn() -> Option<Box<dyn Extended + 'a>> + Sync,
) -> Result<Answer> {
    if (floats.rows, floats.width) != (samples.count(), steps.count) {
        let (rows, width) = (floats.rows, floats.width);
        let message = format!(
            "{rows} x {width} cells for {} series, {} steps",
            samples.count(),
            steps.count
        );
        return Err(Error::invalid("matrix-shape", message));
    }
    let work = samples.work() + floats.values.len();
    let state = || (function(), Scratch::default());
    Answer::fill(
        samples.count(),
        steps.count,
        work,
        state,
        |(function, scratch), at, mut out: Out<'_>| {
            let (values, present) = floats.row(at);
            out.values.copy_from_slice(values);
            out.present.copy_from_slice(present);
            let row = samples.row(at, scratch);
            if let (Some(function), Some(own)) = (function.as_mut(), row.histograms) {
                function.begin(&row, &own);
                for step in 0..steps.count {
                    let mut desk = Desk {
                        pool: out.pool,
                        notes: out.notes,
                    };
                    let cell = function.cell(&row, &own, steps.at(step), &mut desk);
                    out.write(step, cell);
                }
            }
        },
    )
}

/// The samples after one time and up to another.
fn between(times: &[i64], after_ms: i64, until_ms: i64) -> Range<usize> {
    let from = times.partition_point(|&time| time <= after_ms);
    from..from + times[from..].partition_point(|&time| time <= until_ms)
}

impl Extension {
    /// Which floats and which histograms the window that ends at `end_ms` is of: from the last sample at or
    /// before its start to the last one in it or, smoothed, to the first one at or after its end.
    fn picked(&self, times: [&[i64]; 2], end_ms: i64) -> Option<[Range<usize>; 2]> {
        let begin_ms = end_ms.saturating_sub(self.range_ms);
        let low_ms = begin_ms.saturating_sub(self.lookback_ms);
        let beyond_ms = if self.smoothed { self.lookback_ms } else { 0 };
        let high_ms = end_ms.saturating_add(beyond_ms);
        let latest = |after_ms, until_ms| {
            let last = |times: &[i64]| times[between(times, after_ms, until_ms)].last().copied();
            times.into_iter().filter_map(last).max()
        };
        let earliest = |after_ms, until_ms| {
            let first = |times: &[i64]| times[between(times, after_ms, until_ms)].first().copied();
            times.into_iter().filter_map(first).min()
        };
        let first = latest(low_ms, begin_ms).or_else(|| earliest(begin_ms, high_ms))?;
        let edge = earliest(end_ms.saturating_sub(1), high_ms).filter(|_| self.smoothed);
        let last = edge.or_else(|| latest(low_ms, end_ms))?;
        let seen = last > begin_ms && first <= end_ms;
        seen.then(|| times.map(|times| between(times, first.saturating_sub(1), last)))
    }
}

impl Extended for (Events, Extension) {
    fn begin(&mut self, row: &Row<'_>, own: &HistogramSeries<'_>) {
        self.0.begin(row, own);
    }

    fn cell(
        &mut self,
        row: &Row<'_>,
        own: &HistogramSeries<'_>,
        end_ms: i64,
        _desk: &mut Desk<'_>,
    ) -> Cell {
        let (events, extension) = self;
        let times = [row.floats.timestamps_ms, own.times_ms()];
        match extension.picked(times, end_ms) {
            // Samples of both kinds up to some time are the first so many of them in order.
            Some([floats, histograms]) => Cell::Float(
                events.between(floats.start + histograms.start, floats.end + histograms.end),
            ),
            None => Cell::Floats,
        }
    }
}

/// The change between the edges of a window.
struct Edges {
    changes: Changes,
    /// What the change is divided by.
    range_s: Option<f64>,
    extension: Extension,
}

impl Extended for Edges {
    fn begin(&mut self, _row: &Row<'_>, own: &HistogramSeries<'_>) {
        self.changes.begin(&own.without_starts());
    }

    fn cell(
        &mut self,
        row: &Row<'_>,
        own: &HistogramSeries<'_>,
        end_ms: i64,
        desk: &mut Desk<'_>,
    ) -> Cell {
        let times = [row.floats.timestamps_ms, own.times_ms()];
        let Some([floats, picked]) = self.extension.picked(times, end_ms) else {
            return Cell::Floats;
        };
        if picked.is_empty() {
            return Cell::Floats;
        }
        if !floats.is_empty() {
            return desk.refuse(Notes::MIXED);
        }
        let begin_ms = end_ms.saturating_sub(self.extension.range_ms);
        let kind = self.changes.kind_notes(&picked);
        match self.change(own, picked.start, picked.end - 1, begin_ms..end_ms) {
            Ok(mut sum) => {
                *desk.notes |= kind | sum.notes;
                if let Some(range_s) = self.range_s {
                    sum.change.divide(range_s);
                }
                sum.change.hint = Hint::Gauge;
                desk.pool.push(sum.change.view());
                Cell::Made
            }
            Err(notes) => desk.refuse(notes),
        }
    }
}

impl Edges {
    fn change(
        &self,
        own: &HistogramSeries<'_>,
        first: usize,
        last: usize,
        window_ms: Range<i64>,
    ) -> std::result::Result<Adding, Notes> {
        let custom = |at: usize| own.view(at).layout.is_custom();
        let mixed = || (first..last).any(|at| custom(at) != custom(last));
        if !self.changes.uniform && mixed() {
            return Err(Notes::MIXED_SCHEMAS);
        }
        let times = own.times_ms();
        let smoothed = self.extension.smoothed;
        let cut_left = smoothed && times[first] < window_ms.start;
        let cut_right = smoothed && times[last] > window_ms.end && last > first;
        let mut sum = match cut_right {
            true => self.changes.interpolated(own, last, window_ms.end)?,
            false => Adding::new(own.view(last), Vec::new()),
        };
        if cut_left {
            let left = self.changes.interpolated(own, first + 1, window_ms.start)?;
            sum.notes |= left.notes;
            sum.subtract(left.change.view())?;
        } else {
            sum.subtract(own.view(first))?;
        }
        // A reset before the second one is in the interpolated left edge.
        let lost = first + 1 + usize::from(cut_left)..last + 1;
        for &at in self.changes.resets_in(lost) {
            sum.add(own.view(at - 1))?;
        }
        Ok(sum)
    }
}

impl Changes {
    /// The histogram at a time between `at` and the one before; a counter that was reset in between starts
    /// from zero.
    fn interpolated(
        &self,
        own: &HistogramSeries<'_>,
        at: usize,
        time_ms: i64,
    ) -> std::result::Result<Adding, Notes> {
        let times = own.times_ms();
        let from_ms = times[at - 1];
        let share = (time_ms - from_ms) as f64 / (times[at] - from_ms) as f64;
        let mut sum = Adding::new(own.view(at), Vec::new());
        if !self.resets_in(at..at + 1).is_empty() {
            sum.change.multiply(share);
            return Ok(sum);
        }
        sum.subtract(own.view(at - 1))?;
        sum.change.multiply(share);
        sum.add(own.view(at - 1))?;
        Ok(sum)
    }
}

/// The line between the histograms around a step.
struct Line {
    changes: Changes,
    lookback_ms: i64,
}

impl Extended for Line {
    fn begin(&mut self, _row: &Row<'_>, own: &HistogramSeries<'_>) {
        self.changes.begin(&own.without_starts());
    }

    fn cell(
        &mut self,
        row: &Row<'_>,
        own: &HistogramSeries<'_>,
        end_ms: i64,
        desk: &mut Desk<'_>,
    ) -> Cell {
        let low_ms = end_ms.saturating_sub(self.lookback_ms);
        let high_ms = end_ms.saturating_add(self.lookback_ms);
        let (times, floats) = (own.times_ms(), row.floats.timestamps_ms);
        let reached = between(times, low_ms, high_ms);
        if reached.is_empty() {
            return Cell::Floats;
        }
        let next = times.partition_point(|&time| time <= end_ms);
        if next <= reached.start && between(floats, low_ms, end_ms).is_empty() {
            return Cell::Absent;
        }
        if !between(floats, low_ms, high_ms).is_empty() {
            return desk.refuse(Notes::MIXED);
        }
        if next == reached.end || times[next - 1] == end_ms {
            desk.pool.push(own.view(next - 1));
            return Cell::Made;
        }
        match self.between(own, next, end_ms) {
            Ok(histogram) => {
                desk.pool.push(histogram.view());
                Cell::Made
            }
            Err(notes) => desk.refuse(notes),
        }
    }
}

impl Line {
    fn between(
        &self,
        own: &HistogramSeries<'_>,
        next: usize,
        time_ms: i64,
    ) -> std::result::Result<Histogram, Notes> {
        let (before, after) = (own.view(next - 1), own.view(next));
        if before.layout.is_custom() != after.layout.is_custom() {
            return Err(Notes::MIXED_SCHEMAS);
        }
        let gauge = before.hint == Hint::Gauge || after.hint == Hint::Gauge;
        let sum = if gauge {
            Changes::of(false).interpolated(own, next, time_ms)?
        } else {
            self.changes.interpolated(own, next, time_ms)?
        };
        let mut histogram = sum.change;
        histogram.hint = if gauge { Hint::Gauge } else { Hint::Unknown };
        Ok(histogram)
    }
}
