//! The buckets of a histogram with their bounds, in order of the values that they count.

use super::{FIXED_CELLS, Layout, View, bounds};

/// Observations between two bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    pub lower: f64,
    pub upper: f64,
    /// Whether a value equal to the bound is counted here.
    pub lower_closed: bool,
    pub upper_closed: bool,
    pub count: f64,
}

/// Names a bucket: its place among those of its side, nearest to zero first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    Negative(usize),
    Zero,
    Positive(usize),
}

impl Layout {
    /// Where the bucket of this index ends, away from zero; a custom one, upwards.
    pub fn bound(&self, index: i64) -> f64 {
        if !self.is_custom() {
            return bounds::exponential(index, self.schema);
        }
        match usize::try_from(index) {
            Ok(index) => self.bounds.get(index).copied().unwrap_or(f64::INFINITY),
            Err(_) => f64::NEG_INFINITY,
        }
    }

    /// Whether a listed bucket lies inside the zero bucket, which only odd input has.
    pub(super) fn overlaps_zero(&self) -> bool {
        let inside = |indexes: &[i32]| {
            let first = indexes.first().map(|&index| i64::from(index));
            first.is_some_and(|index| self.bound(index) <= self.zero_threshold)
        };
        self.zero_threshold > 0.0 && (inside(&self.positive) || inside(&self.negative))
    }
}

impl View<'_> {
    /// Every bucket that is listed, by rising value, and the zero bucket where it has a count.
    #[inline]
    pub fn slots(self) -> impl DoubleEndedIterator<Item = (Slot, f64)> {
        let positives = self.layout.positive.len();
        let zero = (self.zero_count() > 0.0).then_some((Slot::Zero, self.zero_count()));
        let cells = self.cells;
        let negative = (0..self.layout.negative.len())
            .rev()
            .map(move |at| (Slot::Negative(at), cells[FIXED_CELLS + positives + at]));
        let positive = (0..positives).map(move |at| (Slot::Positive(at), cells[FIXED_CELLS + at]));
        negative.chain(zero).chain(positive)
    }

    /// The bucket in that slot, whole.
    pub fn bucket(self, slot: Slot) -> Bucket {
        let layout = self.layout;
        match slot {
            Slot::Zero => Bucket {
                lower: -layout.zero_threshold,
                upper: layout.zero_threshold,
                lower_closed: true,
                upper_closed: true,
                count: self.zero_count(),
            },
            Slot::Positive(at) => {
                let index = i64::from(layout.positive[at]);
                let (lower, upper) = (layout.bound(index - 1), layout.bound(index));
                Bucket {
                    lower,
                    upper,
                    lower_closed: layout.is_custom() && index == 0,
                    upper_closed: layout.is_custom() || upper > 0.0,
                    count: self.positive()[at],
                }
            }
            Slot::Negative(at) => {
                let index = i64::from(layout.negative[at]);
                let (lower, upper) = (-layout.bound(index), -layout.bound(index - 1));
                Bucket {
                    lower,
                    upper,
                    lower_closed: lower < 0.0,
                    upper_closed: false,
                    count: self.negative()[at],
                }
            }
        }
    }

    /// The part of the bucket in that slot that is outside the zero bucket.
    pub fn bucket_outside_zero(self, slot: Slot) -> Bucket {
        let mut bucket = self.bucket(slot);
        let threshold = self.layout.zero_threshold;
        if slot == Slot::Zero || self.layout.is_custom() {
            return bucket;
        }
        if bucket.upper < 0.0 && bucket.upper > -threshold {
            bucket.upper = -threshold;
        } else if bucket.lower > 0.0 && bucket.lower < threshold {
            bucket.lower = threshold;
        }
        bucket
    }
}
