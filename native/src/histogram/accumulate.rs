//! Sums of many histograms that keep what rounding would lose.

use std::sync::Arc;

use super::arithmetic::combine;
use super::cell::Cell;
use super::{Hint, Histogram, Incompatible, Layout, Notes, View};
use crate::kernel::sum::Sum;

/// A compensated sum of histograms. It starts with one of them, as a sum of nothing has no buckets.
#[derive(Debug, Clone)]
pub struct Accumulator {
    pub layout: Arc<Layout>,
    pub hint: Hint,
    cells: Vec<Sum>,
}

impl Accumulator {
    pub fn add(&mut self, other: View<'_>) -> Result<Notes, Incompatible> {
        let bounds = combine(&mut self.layout, &mut self.cells, other, false)?;
        Ok(bounds | self.hint.joined(other.hint))
    }

    /// Whether some cell would be infinite after `add(other)`.
    pub fn overflows_with(&self, other: View<'_>) -> bool {
        // However many cells fall together, numbers of this size do not overflow.
        let small = |value: f64| value.abs() < 1e300;
        let mine = self
            .cells
            .iter()
            .fold(true, |all, cell| all & small(cell.sum));
        if mine
            && other
                .cells
                .iter()
                .fold(true, |all, &value| all & small(value))
        {
            return false;
        }
        let mut after = self.clone();
        after.add(other).is_ok() && after.has_overflow()
    }

    pub fn multiply(&mut self, factor: f64) {
        for cell in &mut self.cells {
            *cell = cell.scaled(factor);
        }
    }

    /// Divides by what is not 0.
    pub fn divide(&mut self, by: f64) {
        for cell in &mut self.cells {
            *cell = cell.divided(by);
        }
    }

    /// Heap bytes held.
    pub fn size_bytes(&self) -> usize {
        self.cells.capacity() * size_of::<Sum>()
    }

    pub fn has_overflow(&self) -> bool {
        self.cells.iter().any(|&cell| Cell::is_infinite(cell))
    }

    /// The sum. Buckets that are empty are still there; see [`Histogram::compact`].
    pub fn finish(self) -> Histogram {
        Histogram {
            layout: self.layout,
            hint: self.hint,
            cells: self.cells.iter().map(|cell| cell.total()).collect(),
        }
    }
}

impl From<View<'_>> for Accumulator {
    fn from(view: View<'_>) -> Self {
        Self {
            layout: Arc::clone(view.layout),
            hint: view.hint,
            cells: view.cells.iter().map(|&value| Sum::of(value)).collect(),
        }
    }
}
