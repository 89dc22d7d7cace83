//! Zero buckets of different width, made the same.

use super::Layout;
use super::cell::Cell;
use super::side::{Parts, Side};

/// A threshold that fits both: the larger one, or further out where that lies inside a populated bucket of
/// either. Counts of buckets that the zero bucket then covers move into it.
pub fn reconcile<C: Cell>(
    (mine, my_layout): (&mut Parts<C>, &Layout),
    (other, other_layout): (&mut Parts<C>, &Layout),
) {
    while mine.threshold != other.threshold {
        if mine.threshold > other.threshold {
            let (zero, threshold) = covered(other_layout, other, mine.threshold);
            other.zero = zero;
            other.threshold = threshold;
            other.drop_covered(other_layout);
        }
        if other.threshold > mine.threshold {
            let (zero, threshold) = covered(my_layout, mine, other.threshold);
            mine.zero = zero;
            mine.threshold = threshold;
            mine.drop_covered(my_layout);
            mine.drop_empty();
        }
    }
}

/// The cell of zero, and the threshold, where the zero bucket reaches at least to `threshold`.
pub fn covered<C: Cell>(layout: &Layout, parts: &Parts<C>, mut threshold: f64) -> (C, f64) {
    loop {
        let mut zero = parts.zero;
        if let Some(bound) = take_in(layout, &parts.positive, threshold, &mut zero) {
            threshold = bound;
        }
        match take_in(layout, &parts.negative, threshold, &mut zero) {
            // What was taken of the positive buckets is too little now.
            Some(bound) => threshold = bound,
            None => return (zero, threshold),
        }
    }
}

/// Adds the buckets below `threshold` to `zero`. The bound of a populated one that reaches beyond it.
fn take_in<C: Cell>(layout: &Layout, side: &Side<C>, threshold: f64, zero: &mut C) -> Option<f64> {
    for (&index, &cell) in side.indexes.iter().zip(&side.cells) {
        let index = i64::from(index);
        if layout.bound(index - 1) >= threshold {
            return None;
        }
        *zero = zero.plus(cell);
        let upper = layout.bound(index);
        if upper > threshold {
            return (!cell.is_zero()).then_some(upper);
        }
    }
    None
}

impl<C: Cell> Parts<C> {
    /// Removes buckets that the zero bucket covers, wholly or in part.
    fn drop_covered(&mut self, layout: &Layout) {
        for side in [&mut self.positive, &mut self.negative] {
            let covered = |index: &&i32| layout.bound(i64::from(**index) - 1) < self.threshold;
            let count = side.indexes.iter().take_while(covered).count();
            side.indexes.drain(..count);
            side.cells.drain(..count);
        }
    }

    fn drop_empty(&mut self) {
        for side in [&mut self.positive, &mut self.negative] {
            side.retain(|cell| !cell.is_zero());
        }
    }
}

impl<C: Cell> Side<C> {
    pub fn retain(&mut self, keep: impl Fn(C) -> bool) {
        let mut kept = 0;
        for at in 0..self.cells.len() {
            if keep(self.cells[at]) {
                self.cells[kept] = self.cells[at];
                self.indexes[kept] = self.indexes[at];
                kept += 1;
            }
        }
        self.cells.truncate(kept);
        self.indexes.truncate(kept);
    }
}
