//! The `*_over_time` functions that look at each sample of the window alike, `changes` and `resets`.
//!
//! Windows of neighbouring steps overlap. What can be carried over exactly is: counts, extremes, and sums
//! of whole numbers; other sums are computed anew for each window, to the digits of a compensated sum.

use std::collections::VecDeque;

use super::samples::Series;
use super::sum::{Mean, Sum, Variance};
use super::window::{Function, Window};

/// Whole numbers below this add up without rounding, in any order.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// `sum_over_time` and `avg_over_time`.
#[derive(Debug)]
pub struct Total {
    averaged: bool,
    /// Sums of the first 0, 1, 2... samples, where all are whole numbers; else empty.
    prefix: Vec<f64>,
}

impl Total {
    pub fn new(averaged: bool) -> Self {
        Self {
            averaged,
            prefix: Vec::new(),
        }
    }

    fn scan(&self, values: &[f64]) -> f64 {
        if self.averaged {
            let mut mean = Mean::of(values[0]);
            values[1..].iter().for_each(|&value| mean.add(value));
            return mean.value();
        }
        let sum = values
            .iter()
            .fold(Sum::default(), |sum, &value| sum.plus(value));
        if sum.sum.is_infinite() {
            sum.sum
        } else {
            sum.total()
        }
    }
}

impl Function for Total {
    fn begin(&mut self, series: Series<'_>) {
        self.prefix.clear();
        let (mut total, mut size) = (0.0, 0.0);
        self.prefix.push(0.0);
        for &value in series.values {
            total += value;
            size += value.abs();
            // NaN is not whole; infinities are, but not small.
            if value.trunc() != value || size >= WHOLE_MAX {
                self.prefix.clear();
                return;
            }
            self.prefix.push(total);
        }
    }

    #[inline]
    fn value(&mut self, window: Window<'_>) -> Option<f64> {
        if self.prefix.is_empty() {
            return Some(self.scan(window.values()));
        }
        let total = self.prefix[window.until] - self.prefix[window.from];
        Some(if self.averaged {
            total / window.len() as f64
        } else {
            total
        })
    }
}

/// Which extreme, and what of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Extreme {
    Min,
    Max,
    /// Time in seconds of the last sample that is the smallest.
    TimeOfMin,
    TimeOfMax,
}

/// `min_over_time` and its like, by the queue of samples that may still become the extreme. NaN counts
/// only where there is nothing else.
#[derive(Debug)]
pub struct Extremes {
    wanted: Extreme,
    queue: VecDeque<usize>,
    pushed: usize,
}

impl Extremes {
    pub fn new(wanted: Extreme) -> Self {
        Self {
            wanted,
            queue: VecDeque::new(),
            pushed: 0,
        }
    }

    /// Whether a later sample puts an earlier one out of the race.
    fn beats(&self, later: f64, earlier: f64) -> bool {
        match self.wanted {
            Extreme::Min => later < earlier,
            Extreme::Max => later > earlier,
            Extreme::TimeOfMin => later <= earlier,
            Extreme::TimeOfMax => later >= earlier,
        }
    }

    #[inline]
    fn move_to(&mut self, window: Window<'_>) {
        let values = window.series.values;
        for at in self.pushed.max(window.from)..window.until {
            if values[at].is_nan() {
                continue;
            }
            while self
                .queue
                .back()
                .is_some_and(|&back| self.beats(values[at], values[back]))
            {
                self.queue.pop_back();
            }
            self.queue.push_back(at);
        }
        self.pushed = window.until;
        while self.queue.front().is_some_and(|&front| front < window.from) {
            self.queue.pop_front();
        }
    }
}

impl Function for Extremes {
    fn begin(&mut self, _series: Series<'_>) {
        self.queue.clear();
        self.pushed = 0;
    }

    #[inline]
    fn value(&mut self, window: Window<'_>) -> Option<f64> {
        self.move_to(window);
        let at = self.queue.front().copied().unwrap_or(window.until - 1);
        Some(match self.wanted {
            Extreme::Min | Extreme::Max => window.series.values[at],
            Extreme::TimeOfMin | Extreme::TimeOfMax => seconds(window.series.timestamps_ms[at]),
        })
    }
}

/// `changes` and `resets`: how often neighbours in the window differ in some way.
#[derive(Debug)]
pub struct Steps {
    counts: fn(f64, f64) -> bool,
    /// Whether a start timestamp may say that the later one differs.
    by_start: bool,
    /// Of the first 0, 1, 2... samples, how many differ from their predecessor.
    prefix: Vec<u32>,
}

impl Steps {
    pub fn changes() -> Self {
        Self {
            counts: |before, after| before != after && !(before.is_nan() && after.is_nan()),
            by_start: false,
            prefix: Vec::new(),
        }
    }

    pub fn resets() -> Self {
        Self {
            counts: |before, after| after < before,
            by_start: true,
            prefix: Vec::new(),
        }
    }
}

impl Function for Steps {
    fn begin(&mut self, series: Series<'_>) {
        self.prefix.clear();
        self.prefix.extend([0, 0]);
        let mut starts = series.resets().filter(|_| self.by_start).peekable();
        let mut count = 0;
        for (at, pair) in series.values.windows(2).enumerate() {
            let by_start = starts.next_if_eq(&(at + 1)).is_some();
            count += u32::from(by_start || (self.counts)(pair[0], pair[1]));
            self.prefix.push(count);
        }
    }

    #[inline]
    fn value(&mut self, window: Window<'_>) -> Option<f64> {
        Some(f64::from(
            self.prefix[window.until] - self.prefix[window.from + 1],
        ))
    }
}

pub fn count(window: Window<'_>) -> Option<f64> {
    Some(window.len() as f64)
}

pub fn present(_window: Window<'_>) -> Option<f64> {
    Some(1.0)
}

pub fn first(window: Window<'_>) -> Option<f64> {
    window.values().first().copied()
}

pub fn last(window: Window<'_>) -> Option<f64> {
    window.values().last().copied()
}

pub fn time_of_first(window: Window<'_>) -> Option<f64> {
    window.timestamps_ms().first().copied().map(seconds)
}

pub fn time_of_last(window: Window<'_>) -> Option<f64> {
    window.timestamps_ms().last().copied().map(seconds)
}

pub fn stdvar(window: Window<'_>) -> Option<f64> {
    let mut variance = Variance::EMPTY;
    window
        .values()
        .iter()
        .for_each(|&value| variance.add(value));
    Some(variance.value())
}

pub fn stddev(window: Window<'_>) -> Option<f64> {
    stdvar(window).map(f64::sqrt)
}

fn seconds(time_ms: i64) -> f64 {
    time_ms as f64 / 1000.0
}
