//! Sums and means of histograms, over time and over series.

use super::window::{Cell, Desk, MixedFunction, MixedWindow};
use crate::histogram::{Accumulator, Hint, Histogram, Notes, View};

/// A compensated sum of histograms, or their mean: that is a sum until it overflows, and a running mean
/// from then on.
#[derive(Debug, Clone)]
pub struct Summary {
    state: Accumulator,
    averaged: bool,
    /// Whether `state` is the mean.
    running: bool,
    count: f64,
    resets: bool,
    not_resets: bool,
    notes: Notes,
}

impl Summary {
    pub fn of(first: View<'_>, averaged: bool) -> Self {
        Self {
            state: Accumulator::from(first),
            averaged,
            running: false,
            count: 1.0,
            resets: first.hint == Hint::Reset,
            not_resets: first.hint == Hint::NotReset,
            notes: Notes::NONE,
        }
    }

    /// Takes one more in; after the first that does not go together with the others, nothing.
    pub fn add(&mut self, view: View<'_>) {
        if self.is_broken() {
            return;
        }
        self.resets |= view.hint == Hint::Reset;
        self.not_resets |= view.hint == Hint::NotReset;
        self.count += 1.0;
        if self.averaged && !self.running && self.state.overflows_with(view) {
            self.running = true;
            self.state.divide(self.count - 1.0);
        }
        let added = if self.running {
            self.state.multiply((self.count - 1.0) / self.count);
            let mut share = Histogram::from(view);
            share.divide(self.count);
            self.state.add(share.view())
        } else {
            self.state.add(view)
        };
        self.notes |= match added {
            Ok(notes) => notes & Notes::BOUNDS_RECONCILED,
            Err(_) => Notes::MIXED_SCHEMAS,
        };
    }

    /// Bytes held, its own among them.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.state.size_bytes()
    }

    fn is_broken(&self) -> bool {
        self.notes & Notes::MIXED_SCHEMAS != Notes::NONE
    }

    /// The result, if there is one, and what is to be told of it.
    pub fn finish(mut self) -> (Option<Histogram>, Notes) {
        let mut notes = self.notes;
        if self.resets && self.not_resets {
            notes |= Notes::HINTS_COLLIDE;
        }
        if self.is_broken() {
            return (None, notes);
        }
        if self.averaged && !self.running && self.count > 1.0 {
            self.state.divide(self.count);
        }
        (Some(self.state.finish()), notes)
    }
}

/// `sum_over_time` and `avg_over_time`.
pub struct Total {
    averaged: bool,
}

impl Total {
    pub fn new(averaged: bool) -> Self {
        Self { averaged }
    }
}

impl MixedFunction for Total {
    fn cell(&mut self, window: &MixedWindow<'_>, desk: &mut Desk<'_>) -> Cell {
        if !window.floats.is_empty() {
            return desk.refuse(Notes::MIXED);
        }
        let mut inside = window.histograms.clone().map(|at| window.own.view(at));
        let Some(first) = inside.next() else {
            return Cell::Absent;
        };
        let mut summary = Summary::of(first, self.averaged);
        inside.for_each(|view| summary.add(view));
        let (total, notes) = summary.finish();
        *desk.notes |= notes;
        match total {
            Some(total) => {
                desk.pool.push(total.view());
                Cell::Made
            }
            None => Cell::Absent,
        }
    }
}
