//! `rate`, `increase`, `delta`, `irate` and `idelta` of histograms.
//!
//! Nearly always all histograms of a series have one layout. Then the change over a window is the last one
//! minus the first, and what went lost at resets in between; only where layouts differ is every histogram
//! of the window looked at.

use std::ops::Range;
use std::sync::Arc;

use super::samples::{HistogramSeries, Row};
use super::window::{Cell, Desk, MixedFunction, MixedWindow};
use crate::histogram::{Hint, Histogram, Incompatible, Layout, Notes, View, is_reset};
use crate::kernel::rate::{Change, Extrapolated};
use crate::kernel::samples::seconds;
use crate::kernel::starts::Stamp;
use crate::kernel::window::Window;

/// `rate`, `increase` and `delta`.
pub struct Growth {
    /// Finds how far the change reaches to the ends of a window.
    extrapolated: Extrapolated,
    changes: Changes,
    /// Cells to be used again.
    room: Vec<f64>,
}

impl Growth {
    pub fn new(change: Change, range_ms: i64) -> Self {
        Self {
            extrapolated: Extrapolated::new(change, range_ms),
            changes: Changes::of(change != Change::Delta),
            room: Vec::new(),
        }
    }
}

impl MixedFunction for Growth {
    fn begin(&mut self, _row: &Row<'_>, own: &HistogramSeries<'_>) {
        self.changes.begin(own);
    }

    fn cell(&mut self, window: &MixedWindow<'_>, desk: &mut Desk<'_>) -> Cell {
        if !window.floats.is_empty() {
            return desk.refuse(Notes::MIXED);
        }
        let own = &window.own;
        let at = Window {
            series: own.counts,
            from: window.histograms.start,
            until: window.histograms.end,
            end_ms: window.end_ms,
            range_ms: window.range_ms,
            step: 0,
        };
        let since_ms = self.extrapolated.start_inside(at);
        if at.len() < 2 && since_ms.is_none() {
            return Cell::Absent;
        }
        let span = at.from..at.until;
        let kind = self.changes.kind_notes(&span);
        let room = std::mem::take(&mut self.room);
        let found = self.changes.change(room, own, span, since_ms.is_some());
        let (mut change, notes) = match found {
            Ok(found) => found,
            Err(notes) => return desk.refuse(notes),
        };
        *desk.notes |= kind | notes;
        let growth = change.cells[0];
        let factor = match since_ms {
            Some(start_ms) => self.extrapolated.factor_since(start_ms, at),
            None => self.extrapolated.factor(at, growth),
        };
        change.multiply(factor);
        change.hint = Hint::Gauge;
        desk.pool.push(change.view());
        self.room = change.cells;
        Cell::Made
    }
}

/// What one needs to know of the histograms of a series to find changes over its windows.
#[derive(Default)]
pub struct Changes {
    counter: bool,
    /// Whether all have one layout.
    pub uniform: bool,
    /// Of the first 0, 1, 2... histograms, how many are gauges.
    gauges: Vec<u32>,
    /// Indices of histograms that count anew.
    resets: Vec<usize>,
}

impl Changes {
    pub fn of(counter: bool) -> Self {
        Self {
            counter,
            ..Self::default()
        }
    }

    pub fn begin(&mut self, own: &HistogramSeries<'_>) {
        self.uniform = own.is_uniform();
        self.gauges.clear();
        self.gauges.push(0);
        let mut gauges = 0;
        self.gauges.extend(own.views().map(|view| {
            gauges += u32::from(view.hint == Hint::Gauge);
            gauges
        }));
        self.resets.clear();
        if self.counter {
            let indices = 1..own.at.len();
            let resets = indices.filter(|&at| is_reset(own.view(at), own.view(at - 1)));
            self.resets.extend(resets);
            if !own.counts.starts_ms.is_empty() {
                self.resets.extend(own.counts.resets());
                self.resets.sort_unstable();
                self.resets.dedup();
            }
        }
    }

    /// Whether the histograms are of the kind that is wanted.
    pub fn kind_notes(&self, span: &Range<usize>) -> Notes {
        let is_gauge = |at: usize| self.gauges[at + 1] > self.gauges[at];
        if self.counter {
            let any = self.gauges[span.end] > self.gauges[span.start];
            return if any { Notes::NOT_COUNTER } else { Notes::NONE };
        }
        if is_gauge(span.start) && is_gauge(span.end - 1) {
            Notes::NONE
        } else {
            Notes::NOT_GAUGE
        }
    }

    /// Indices in `span` of the histograms that count anew after the one before them.
    pub fn resets_in(&self, span: Range<usize>) -> &[usize] {
        let from = self.resets.partition_point(|&at| at < span.start);
        let count = self.resets[from..].partition_point(|&at| at < span.end);
        &self.resets[from..from + count]
    }

    /// The change from the first to the last histogram of a window, or from zero to the last one where
    /// that is so, or why there is none.
    fn change(
        &self,
        room: Vec<f64>,
        own: &HistogramSeries<'_>,
        span: Range<usize>,
        from_zero: bool,
    ) -> Result<(Histogram, Notes), Notes> {
        let resets = self.resets_in(span.start + 1..span.end);
        // Where the second one counts anew, the first is of no account, whatever its buckets are.
        let skipped = !from_zero && resets.first() == Some(&(span.start + 1));
        let first = own.view(span.start + usize::from(skipped));
        let last = own.view(span.end - 1);
        let mut sum = Adding::new(last, room);
        if !self.uniform {
            let schema = self.schema(own, &span, first, last)?;
            if schema < last.layout.schema {
                sum.change = empty(schema, &last);
                sum.add(last)?;
            }
            if skipped {
                // Its buckets count, if not what is in them.
                sum.subtract(empty(schema, &first).view())?;
            }
        }
        if !from_zero && !skipped {
            sum.subtract(first)?;
        }
        for &at in &resets[usize::from(skipped)..] {
            sum.add(own.view(at - 1))?;
        }
        Ok((sum.change, sum.notes))
    }

    /// The schema that all histograms of a window can be shown in: of a counter all, of a gauge the first
    /// and the last.
    fn schema(
        &self,
        own: &HistogramSeries<'_>,
        span: &Range<usize>,
        first: View<'_>,
        last: View<'_>,
    ) -> Result<i8, Notes> {
        let custom = first.layout.is_custom();
        let mut schema = first.layout.schema.min(last.layout.schema);
        let mut mixed = last.layout.is_custom() != custom;
        if self.counter {
            for at in span.start + 1..span.end - 1 {
                let layout = own.view(at).layout;
                schema = schema.min(layout.schema);
                mixed |= layout.is_custom() != custom;
            }
        }
        if mixed {
            return Err(Notes::MIXED_SCHEMAS);
        }
        Ok(schema)
    }
}

/// A change that is being put together.
pub struct Adding {
    pub change: Histogram,
    pub notes: Notes,
}

impl Adding {
    pub fn new(last: View<'_>, mut room: Vec<f64>) -> Self {
        room.clear();
        room.extend_from_slice(last.cells);
        Self {
            change: Histogram {
                layout: Arc::clone(last.layout),
                hint: Hint::Gauge,
                cells: room,
            },
            notes: Notes::NONE,
        }
    }

    pub fn add(&mut self, view: View<'_>) -> Result<(), Notes> {
        let done = self.change.add(view);
        self.note(done)
    }

    pub fn subtract(&mut self, view: View<'_>) -> Result<(), Notes> {
        let done = self.change.subtract(view);
        self.note(done)
    }

    /// That hints collide is no news where resets are looked for.
    fn note(&mut self, done: Result<Notes, Incompatible>) -> Result<(), Notes> {
        let notes = done.map_err(|Incompatible| Notes::MIXED_SCHEMAS)?;
        self.notes |= notes & Notes::BOUNDS_RECONCILED;
        Ok(())
    }
}

/// A histogram without observations, in buckets like those of `like` but for the schema.
fn empty(schema: i8, like: &View<'_>) -> Histogram {
    let layout = Layout {
        schema,
        bounds: like.layout.bounds.clone(),
        ..Layout::default()
    };
    Histogram {
        cells: vec![0.0; layout.cell_count()],
        layout: Arc::new(layout),
        hint: Hint::Gauge,
    }
}

/// `irate` and `idelta`: between the last two samples of whatever kind.
pub struct LastTwo {
    counter: bool,
}

impl LastTwo {
    pub fn new(counter: bool) -> Self {
        Self { counter }
    }

    fn change(
        &self,
        own: &HistogramSeries<'_>,
        last: usize,
        desk: &mut Desk<'_>,
    ) -> Option<Histogram> {
        let views = [own.view(last - 1), own.view(last)];
        let [before, now] = views;
        let gauges = views.iter().filter(|view| view.hint == Hint::Gauge).count();
        if self.counter && gauges > 0 {
            *desk.notes |= Notes::NOT_COUNTER;
        }
        if !self.counter && gauges < 2 {
            *desk.notes |= Notes::NOT_GAUGE;
        }
        let mut change = Histogram::from(now);
        if self.counter && (is_reset(now, before) || began_anew(own, last)) {
            return Some(change);
        }
        match change.subtract(before) {
            Ok(notes) => *desk.notes |= notes & Notes::BOUNDS_RECONCILED,
            Err(_) => {
                desk.refuse(Notes::MIXED_SCHEMAS);
                return None;
            }
        }
        Some(change)
    }
}

/// Whether the start timestamp of a histogram says that it counts anew.
fn began_anew(own: &HistogramSeries<'_>, last: usize) -> bool {
    let [before, now] = [last - 1, last].map(|at| Stamp {
        start_ms: own.counts.starts_ms.get(at).copied().unwrap_or(0),
        time_ms: own.times_ms()[at],
    });
    now.is_reset(before)
}

impl MixedFunction for LastTwo {
    fn cell(&mut self, window: &MixedWindow<'_>, desk: &mut Desk<'_>) -> Cell {
        let (floats, own) = (&window.floats, &window.histograms);
        if floats.len() + own.len() < 2 {
            return Cell::Absent;
        }
        let time_of_float = |at: usize| window.row.floats.timestamps_ms[at];
        let time_of_own = |at: usize| window.own.times_ms()[at];
        let last = own.end - 1;
        // Both of the last two are of one kind where that kind's second last is later than all of the other.
        let later_floats = floats.len() >= 2 && time_of_float(floats.end - 2) > time_of_own(last);
        if later_floats {
            return Cell::Floats;
        }
        let later_own = own.len() >= 2
            && (floats.is_empty() || time_of_own(last - 1) > time_of_float(floats.end - 1));
        if !later_own {
            return desk.refuse(Notes::MIXED);
        }
        let Some(mut change) = self.change(&window.own, last, desk) else {
            return Cell::Absent;
        };
        if self.counter {
            change.divide(seconds(time_of_own(last - 1), time_of_own(last)));
        }
        change.hint = Hint::Gauge;
        desk.pool.push(change.view());
        Cell::Made
    }
}
