//! Functions of a window that pick, count or pass over samples without looking into histograms.

use super::window::{Cell, Desk, MixedFunction, MixedWindow};
use crate::histogram::Notes;

/// `first_over_time` and `last_over_time`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Choice {
    First,
    Last,
}

impl Choice {
    /// The chosen histogram and its time, or None where a float is chosen.
    fn histogram(self, window: &MixedWindow<'_>) -> Option<(usize, i64)> {
        let (at, float) = match self {
            Self::First => (window.histograms.start, window.floats.clone().next()),
            Self::Last => (window.histograms.end - 1, window.floats.clone().next_back()),
        };
        let time = window.own.times_ms()[at];
        let float_time = float.map(|float| window.row.floats.timestamps_ms[float]);
        let chosen = float_time.is_none_or(|other| match self {
            Self::First => time < other,
            Self::Last => time > other,
        });
        chosen.then_some((at, time))
    }
}

impl MixedFunction for Choice {
    fn cell(&mut self, window: &MixedWindow<'_>, _desk: &mut Desk<'_>) -> Cell {
        match self.histogram(window) {
            Some((at, _)) => Cell::Given(window.own.at[at]),
            None => Cell::Floats,
        }
    }
}

/// `ts_of_first_over_time` and `ts_of_last_over_time`.
pub struct Times(pub Choice);

impl MixedFunction for Times {
    fn cell(&mut self, window: &MixedWindow<'_>, _desk: &mut Desk<'_>) -> Cell {
        match self.0.histogram(window) {
            Some((_, time)) => Cell::Float(time as f64 / 1000.0),
            None => Cell::Floats,
        }
    }
}

/// `count_over_time`.
pub struct Count;

impl MixedFunction for Count {
    fn cell(&mut self, window: &MixedWindow<'_>, _desk: &mut Desk<'_>) -> Cell {
        Cell::Float((window.floats.len() + window.histograms.len()) as f64)
    }
}

/// `present_over_time`.
pub struct Presence;

impl MixedFunction for Presence {
    fn cell(&mut self, _window: &MixedWindow<'_>, _desk: &mut Desk<'_>) -> Cell {
        Cell::Float(1.0)
    }
}

/// Functions that are of floats alone: histograms beside those are passed over, and that is said.
pub struct Ignored;

impl MixedFunction for Ignored {
    fn cell(&mut self, window: &MixedWindow<'_>, desk: &mut Desk<'_>) -> Cell {
        if !window.floats.is_empty() {
            *desk.notes |= Notes::HISTOGRAMS_IGNORED;
        }
        Cell::Floats
    }
}
