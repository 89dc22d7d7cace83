//! Buckets of one sign while two histograms are brought to common buckets.

use super::cell::Cell;
use super::{FIXED_CELLS, Layout, View, bounds};

/// Bucket indexes, strictly ascending, with their cells.
#[derive(Debug, Clone, Default)]
pub struct Side<C> {
    pub indexes: Vec<i32>,
    pub cells: Vec<C>,
}

impl<C: Cell> Side<C> {
    pub fn with_room(count: usize) -> Self {
        Self {
            indexes: Vec::with_capacity(count),
            cells: Vec::with_capacity(count),
        }
    }

    pub fn push(&mut self, index: i32, cell: C) {
        self.indexes.push(index);
        self.cells.push(cell);
    }

    /// Adds to the last bucket, or makes one behind it; indexes must not descend.
    fn push_or_add(&mut self, index: i32, cell: C) {
        match (self.indexes.last(), self.cells.last_mut()) {
            (Some(&last), Some(sum)) if last == index => *sum = sum.plus(cell),
            _ => self.push(index, cell),
        }
    }

    /// The buckets of a coarser schema.
    #[must_use]
    pub fn coarser(self, from: i8, to: i8) -> Self {
        if from == to {
            return self;
        }
        let shift = u32::from(from.abs_diff(to));
        let mut merged = Self::with_room(self.indexes.len());
        for (index, cell) in self.indexes.into_iter().zip(self.cells) {
            merged.push_or_add(coarser_index(index, shift), cell);
        }
        merged
    }

    /// These with `other` added, one entry a bucket of either.
    #[must_use]
    pub fn joined(self, other: &Self) -> Self {
        let mut all = Self::with_room(self.indexes.len() + other.indexes.len());
        let mut at = 0;
        for (index, cell) in self.indexes.into_iter().zip(self.cells) {
            while at < other.indexes.len() && other.indexes[at] < index {
                all.push(other.indexes[at], other.cells[at]);
                at += 1;
            }
            if other.indexes.get(at) == Some(&index) {
                all.push(index, cell.plus(other.cells[at]));
                at += 1;
            } else {
                all.push(index, cell);
            }
        }
        all.indexes.extend_from_slice(&other.indexes[at..]);
        all.cells.extend_from_slice(&other.cells[at..]);
        all
    }

    /// Without the first buckets that end at or below `threshold`, which the zero bucket covers.
    #[must_use]
    pub fn beyond(mut self, threshold: f64, schema: i8) -> Self {
        let inside = |index: &&i32| bounds::exponential(i64::from(**index), schema) <= threshold;
        let count = self.indexes.iter().take_while(inside).count();
        self.indexes.drain(..count);
        self.cells.drain(..count);
        self
    }
}

/// The bucket of a schema coarser by `shift` that bucket `index` is a part of.
pub fn coarser_index(index: i32, shift: u32) -> i32 {
    (((i64::from(index) - 1) >> shift.min(62)) + 1) as i32
}

/// Both sides of a histogram and its cell of zero, for arithmetic with cells `C`.
#[derive(Debug, Clone)]
pub struct Parts<C> {
    pub threshold: f64,
    pub zero: C,
    pub positive: Side<C>,
    pub negative: Side<C>,
}

impl<C: Cell> Parts<C> {
    pub fn of(layout: &Layout, cells: &[C]) -> Self {
        let (positive, negative) = cells[FIXED_CELLS..].split_at(layout.positive.len());
        Self {
            threshold: layout.zero_threshold,
            zero: cells[2],
            positive: Side {
                indexes: layout.positive.clone(),
                cells: positive.to_vec(),
            },
            negative: Side {
                indexes: layout.negative.clone(),
                cells: negative.to_vec(),
            },
        }
    }

    /// Those of a borrowed histogram, each cell times `sign`.
    pub fn of_view(view: View<'_>, negative: bool) -> Self {
        let cells: Vec<C> = view
            .cells
            .iter()
            .map(|&value| match negative {
                true => C::of(value).negated(),
                false => C::of(value),
            })
            .collect();
        Self::of(view.layout, &cells)
    }

    #[must_use]
    pub fn coarser(mut self, from: i8, to: i8) -> Self {
        self.positive = self.positive.coarser(from, to);
        self.negative = self.negative.coarser(from, to);
        self
    }
}
