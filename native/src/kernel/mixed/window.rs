//! Range functions over samples of both kinds.
//!
//! The floats of a series go through the functions that they always go through, as if there were no
//! histograms. Then a function for histograms sees each window that has one, and may overrule that.

use std::ops::Range;

use super::answer::{Answer, NONE, Out};
use super::choice::{Choice, Count, Ignored, Presence, Times};
use super::events::Events;
use super::growth::{Growth, LastTwo};
use super::samples::{HistogramSeries, MixedSamples, Row, Scratch};
use super::total::Total;
use crate::error::Result;
use crate::histogram::{Histograms, Notes};
use crate::kernel::functions::{self, Sink};
use crate::kernel::rate::Change;
use crate::kernel::samples::{Steps, is_before};
use crate::kernel::window::{Function, fill};

/// One position of the window over a series that has histograms in it.
#[derive(Debug, Clone)]
pub struct MixedWindow<'a> {
    pub row: Row<'a>,
    pub own: HistogramSeries<'a>,
    /// Which floats and which histograms of the series lie in the window; of the latter there are some.
    pub floats: Range<usize>,
    pub histograms: Range<usize>,
    pub end_ms: i64,
    pub range_ms: i64,
}

/// What a function makes of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell {
    /// What the floats alone gave, which may be nothing.
    Floats,
    Absent,
    Float(f64),
    /// A histogram of the series, by its number among all that were given.
    Given(usize),
    /// The last histogram of the answer's pool, which the function just put there.
    Made,
}

/// Where a function leaves what it makes and what is to be told about it.
pub struct Desk<'a> {
    pub pool: &'a mut Histograms,
    pub notes: &'a mut Notes,
}

impl Desk<'_> {
    /// No result, and why.
    pub fn refuse(&mut self, note: Notes) -> Cell {
        *self.notes |= note;
        Cell::Absent
    }
}

/// A function of windows with histograms in them. One value of it serves all windows of a series in
/// order.
pub trait MixedFunction {
    /// A new series begins; its windows follow in ascending order, no end ever moving back.
    fn begin(&mut self, _row: &Row<'_>, _own: &HistogramSeries<'_>) {}

    fn cell(&mut self, window: &MixedWindow<'_>, desk: &mut Desk<'_>) -> Cell;
}

/// The histogram side of the range function `name`. What is not known is refused by `functions::apply`.
fn of_histograms(name: &str, range_ms: i64) -> Box<dyn MixedFunction> {
    match name {
        "rate" => Box::new(Growth::new(Change::Rate, range_ms)),
        "increase" => Box::new(Growth::new(Change::Increase, range_ms)),
        "delta" => Box::new(Growth::new(Change::Delta, range_ms)),
        "irate" => Box::new(LastTwo::new(true)),
        "idelta" => Box::new(LastTwo::new(false)),
        "sum_over_time" => Box::new(Total::new(false)),
        "avg_over_time" => Box::new(Total::new(true)),
        "changes" => Box::new(Events::changes()),
        "resets" => Box::new(Events::resets()),
        "first_over_time" => Box::new(Choice::First),
        "last_over_time" => Box::new(Choice::Last),
        "ts_of_first_over_time" => Box::new(Times(Choice::First)),
        "ts_of_last_over_time" => Box::new(Times(Choice::Last)),
        "count_over_time" => Box::new(Count),
        "present_over_time" => Box::new(Presence),
        _ => Box::new(Ignored),
    }
}

/// Whether the histograms of the answer are those that were given.
pub fn is_choice(name: &str) -> bool {
    matches!(name, "first_over_time" | "last_over_time")
}

/// The range function `name` over all windows; as `functions::apply`, with histograms. Where it is a
/// choice, the numbers in `index` are those of the given histograms, and the pool is empty.
pub fn apply(name: &str, windows: MixedWindows<'_>, args: &[&[f64]]) -> Result<Answer> {
    let (range_ms, steps) = (windows.range_ms, windows.steps.count);
    functions::apply(name, range_ms, args, steps, Named { name, windows })
}

/// Windows of one width at each step over many series.
#[derive(Debug, Clone, Copy)]
pub struct MixedWindows<'a> {
    pub samples: MixedSamples<'a>,
    pub steps: Steps,
    pub range_ms: i64,
}

struct Named<'a> {
    name: &'a str,
    windows: MixedWindows<'a>,
}

impl Sink for Named<'_> {
    type Out = Answer;

    fn run<F: Function>(self, function: impl Fn() -> F + Sync) -> Result<Answer> {
        let MixedWindows {
            samples,
            steps,
            range_ms,
        } = self.windows;
        let work = samples.work() + samples.count() * steps.count;
        let state = || {
            let own = of_histograms(self.name, range_ms);
            (function(), own, Scratch::default())
        };
        Answer::fill(
            samples.count(),
            steps.count,
            work,
            state,
            |(function, own_function, scratch), at, mut out| {
                let row = samples.row(at, scratch);
                fill(
                    function,
                    row.floats,
                    steps,
                    range_ms,
                    out.values,
                    out.present,
                );
                if let Some(own) = row.histograms {
                    own_function.begin(&row, &own);
                    overrule(own_function.as_mut(), row, own, steps, range_ms, &mut out);
                }
            },
        )
    }
}

/// Gives every window with a histogram to the function.
fn overrule(
    function: &mut dyn MixedFunction,
    row: Row<'_>,
    own: HistogramSeries<'_>,
    steps: Steps,
    range_ms: i64,
    out: &mut Out<'_>,
) {
    let (mut floats, mut histograms) = (0..0, 0..0);
    for step in 0..steps.count {
        let end_ms = steps.at(step);
        slide(&mut histograms, own.times_ms(), end_ms, range_ms);
        if histograms.is_empty() {
            continue;
        }
        slide(&mut floats, row.floats.timestamps_ms, end_ms, range_ms);
        let window = MixedWindow {
            row,
            own,
            floats: floats.clone(),
            histograms: histograms.clone(),
            end_ms,
            range_ms,
        };
        let mut desk = Desk {
            pool: out.pool,
            notes: out.notes,
        };
        let cell = function.cell(&window, &mut desk);
        out.write(step, cell);
    }
}

impl Out<'_> {
    pub fn write(&mut self, step: usize, cell: Cell) {
        let index = match cell {
            Cell::Floats => return,
            Cell::Absent => None,
            Cell::Float(value) => {
                (self.values[step], self.present[step]) = (value, true);
                return;
            }
            Cell::Given(at) => Some(at),
            Cell::Made => self.pool.len().checked_sub(1),
        };
        self.present[step] = false;
        self.index[step] = index.map_or(NONE, |at| at as i64);
    }
}

/// Moves a range of samples on to those in the window that ends at `end_ms`.
fn slide(range: &mut Range<usize>, times: &[i64], end_ms: i64, range_ms: i64) {
    while times.get(range.end).is_some_and(|&time| time <= end_ms) {
        range.end += 1;
    }
    while range.start < range.end && is_before(times[range.start], end_ms, range_ms) {
        range.start += 1;
    }
}
