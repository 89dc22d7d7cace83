//! The observations of a histogram on one side of a value, as the operators `</` and `>/` keep them.
//!
//! A bucket that the value cuts is interpolated. Of a bucket without a bound nothing is known, so it goes,
//! unless zero bounds it naturally. When something went, the sum is estimated anew from the middles of what
//! stayed.

use super::quantile::share_below;
use super::{Bucket, Histogram, Slot, View};

/// What is kept of a bucket: a count, and the middle of where it was observed.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Kept {
    count: f64,
    middle: f64,
}

/// One side of a value.
#[derive(Debug, Clone, Copy)]
struct Cut {
    at: f64,
    /// Whether what is below stays.
    below: bool,
    /// Whether buckets are custom.
    linear: bool,
}

/// What of `view` lies below `at`, or above it.
pub fn trimmed(view: View<'_>, at: f64, below: bool) -> Histogram {
    let mut result = Histogram::from(view);
    let cut = Cut {
        at,
        below,
        linear: view.layout.is_custom(),
    };
    let (mut count, mut sum, mut changed) = (0.0, 0.0, false);
    let mut keep = |cell: &mut f64, kept: Kept| {
        count += kept.count;
        sum += kept.middle * kept.count;
        changed |= cell.to_bits() != kept.count.to_bits();
        *cell = kept.count;
    };
    let positives = view.layout.positive.len();
    let buckets = &mut result.cells[super::FIXED_CELLS..];
    for (index, cell) in buckets
        .iter_mut()
        .enumerate()
        .filter(|(_, cell)| **cell != 0.0)
    {
        let slot = match index.checked_sub(positives) {
            None => Slot::Positive(index),
            Some(index) => Slot::Negative(index),
        };
        keep(cell, cut.bucket(view.bucket(slot), index < positives));
    }
    if view.zero_count() > 0.0 {
        let kept = cut.zero_bucket(view);
        keep(&mut result.cells[2], kept);
    }
    if changed {
        (result.cells[0], result.cells[1]) = (count, sum);
        result.compact();
    }
    result
}

const NOTHING: Kept = Kept {
    count: 0.0,
    middle: 0.0,
};

impl Cut {
    fn bucket(self, bucket: Bucket, positive: bool) -> Kept {
        let (whole, some) = match self.below {
            true => (bucket.upper <= self.at, bucket.lower < self.at),
            false => (bucket.lower >= self.at, bucket.upper > self.at),
        };
        if whole {
            Kept {
                count: bucket.count,
                middle: self.middle(bucket.lower, bucket.upper, positive),
            }
        } else if !some {
            NOTHING
        } else if bucket.lower == f64::NEG_INFINITY {
            self.open_below(bucket)
        } else if bucket.upper == f64::INFINITY {
            self.open_above(bucket)
        } else {
            self.split(bucket, positive)
        }
    }

    fn split(self, bucket: Bucket, positive: bool) -> Kept {
        let share = match self.linear {
            true => (self.at - bucket.lower) / (bucket.upper - bucket.lower),
            false => share_below(bucket, self.at),
        };
        let under = bucket.count * share;
        if self.below {
            Kept {
                count: under,
                middle: self.middle(bucket.lower, self.at, positive),
            }
        } else {
            Kept {
                count: bucket.count - under,
                middle: self.middle(self.at, bucket.upper, positive),
            }
        }
    }

    /// A cut custom bucket that reaches down without end: where it has values above 0, those are all.
    fn open_below(self, bucket: Bucket) -> Kept {
        let from_zero = bucket.upper > 0.0 && bucket.upper.is_finite();
        if self.below {
            if from_zero && self.at > 0.0 {
                return Kept {
                    count: bucket.count * self.at / bucket.upper,
                    middle: self.at / 2.0,
                };
            }
            if bucket.upper <= 0.0 {
                return Kept {
                    count: bucket.count,
                    middle: self.at,
                };
            }
        } else if from_zero && self.at >= 0.0 {
            return Kept {
                count: bucket.count * (1.0 - self.at / bucket.upper),
                middle: (self.at + bucket.upper) / 2.0,
            };
        }
        NOTHING
    }

    /// A cut bucket that reaches up without end: what is above the cut is all that may be there.
    fn open_above(self, bucket: Bucket) -> Kept {
        match self.below {
            true => NOTHING,
            false => Kept {
                count: bucket.count,
                middle: self.at,
            },
        }
    }

    fn zero_bucket(self, view: View<'_>) -> Kept {
        let mut bucket = view.bucket(Slot::Zero);
        let has = |counts: &[f64]| counts.iter().any(|&count| count != 0.0);
        match (has(view.negative()), has(view.positive())) {
            (true, false) => bucket.upper = 0.0,
            (false, true) => bucket.lower = 0.0,
            _ => {}
        }
        let (lower, upper) = (bucket.lower, bucket.upper);
        let (none, whole) = match self.below {
            true => (self.at <= lower, self.at >= upper),
            false => (self.at >= upper, self.at <= lower),
        };
        // A zero bucket without width is both where the cut is zero: below it is nothing, above it is all.
        if none && (self.below || !whole) {
            return NOTHING;
        }
        if whole {
            return Kept {
                count: bucket.count,
                middle: (lower + upper) / 2.0,
            };
        }
        let (from, to) = match self.below {
            true => (lower, self.at),
            false => (self.at, upper),
        };
        Kept {
            count: bucket.count * ((to - from) / (upper - lower)),
            middle: (from + to) / 2.0,
        }
    }

    fn middle(self, lower: f64, upper: f64, positive: bool) -> f64 {
        match (lower.is_infinite(), upper.is_infinite()) {
            (true, true) => 0.0,
            (true, false) if upper > 0.0 => upper / 2.0,
            (true, false) => upper,
            (false, true) => lower,
            (false, false) if self.linear => (lower + upper) / 2.0,
            (false, false) => {
                let mean = (lower * upper).abs().sqrt();
                if positive { mean } else { -mean }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::histogram::{CUSTOM, Hint, Layout};

    fn histogram(layout: Layout, cells: &[f64]) -> Histogram {
        Histogram {
            layout: Arc::new(layout),
            hint: Hint::NotReset,
            cells: cells.to_vec(),
        }
    }

    fn custom(bounds: &[f64], counts: &[f64]) -> Histogram {
        let layout = Layout {
            schema: CUSTOM,
            bounds: bounds.to_vec(),
            positive: (0..counts.len() as i32).collect(),
            ..Layout::default()
        };
        let mut cells = vec![counts.iter().sum(), 1000.0, 0.0];
        cells.extend(counts);
        histogram(layout, &cells)
    }

    /// Indexes, then count, sum, zero count and the buckets.
    fn trimmed_to(one: &Histogram, at: f64, below: bool) -> (Vec<i32>, Vec<f64>) {
        let result = trimmed(one.view(), at, below);
        assert_eq!(result.hint, Hint::NotReset);
        (result.layout.positive.clone(), result.cells)
    }

    #[test]
    fn a_sum_is_estimated_from_the_middles_of_what_stays() {
        let one = custom(&[0.0, 4.0, 8.0], &[0.0, 4.0, 8.0]);
        let below = trimmed_to(&one, 6.0, true);
        assert_eq!(below, (vec![1, 2], vec![8.0, 28.0, 0.0, 4.0, 4.0]));
        let above = trimmed_to(&one, 6.0, false);
        assert_eq!(above, (vec![2], vec![4.0, 28.0, 0.0, 4.0]));
    }

    #[test]
    fn what_loses_nothing_keeps_its_sum_and_its_empty_buckets() {
        let one = custom(&[0.0, 4.0, 8.0], &[0.0, 4.0, 8.0]);
        assert_eq!(trimmed(one.view(), 8.0, true).cells, one.cells);
        assert_eq!(
            trimmed(one.view(), f64::NEG_INFINITY, false).cells,
            one.cells
        );
    }

    #[test]
    fn of_a_cut_bucket_without_an_end_nothing_stays_below() {
        let one = custom(&[2.0], &[1.0, 10.0]);
        assert_eq!(
            trimmed_to(&one, 5.0, true),
            (vec![0], vec![1.0, 1.0, 0.0, 1.0])
        );
        assert_eq!(
            trimmed_to(&one, 5.0, false),
            (vec![1], vec![10.0, 50.0, 0.0, 10.0])
        );
        let endless = custom(&[], &[7.0]);
        assert_eq!(trimmed_to(&endless, 5.0, true), (vec![], vec![0.0; 3]));
        assert_eq!(trimmed_to(&endless, 5.0, false), (vec![], vec![0.0; 3]));
    }

    #[test]
    fn a_first_custom_bucket_begins_at_zero_or_where_it_is_cut() {
        let above_zero = custom(&[4.0], &[8.0]);
        assert_eq!(
            trimmed_to(&above_zero, 1.0, true),
            (vec![0], vec![2.0, 1.0, 0.0, 2.0])
        );
        assert_eq!(
            trimmed_to(&above_zero, 1.0, false),
            (vec![0], vec![6.0, 15.0, 0.0, 6.0])
        );
        let below_zero = custom(&[-4.0], &[8.0, 1.0]);
        assert_eq!(
            trimmed_to(&below_zero, -6.0, true),
            (vec![0], vec![8.0, -48.0, 0.0, 8.0])
        );
        assert_eq!(
            trimmed_to(&below_zero, -6.0, false),
            (vec![1], vec![1.0, -4.0, 0.0, 1.0])
        );
    }

    #[test]
    fn exponential_buckets_are_cut_on_a_logarithmic_scale() {
        let layout = Layout {
            schema: -1,
            positive: vec![2],
            ..Layout::default()
        };
        // (4, 16], whose logarithmic middle is 8.
        let one = histogram(layout.clone(), &[6.0, 50.0, 0.0, 6.0]);
        let (_, below) = trimmed_to(&one, 8.0, true);
        assert_eq!(below, [3.0, 3.0 * 32f64.sqrt(), 0.0, 3.0]);
        let mirrored = Layout {
            positive: vec![],
            negative: vec![2],
            ..layout
        };
        let one = histogram(mirrored, &[6.0, -50.0, 0.0, 6.0]);
        let (_, above) = trimmed_to(&one, -8.0, false);
        assert_eq!(above, [3.0, -3.0 * 32f64.sqrt(), 0.0, 3.0]);
    }

    #[test]
    fn a_zero_bucket_reaches_to_the_sides_that_have_buckets() {
        let both = Layout {
            zero_threshold: 2.0,
            ..Layout::default()
        };
        let one = histogram(both.clone(), &[4.0, 0.5, 4.0]);
        assert_eq!(trimmed_to(&one, 1.0, true).1, [3.0, -1.5, 3.0]);
        assert_eq!(trimmed_to(&one, 1.0, false).1, [1.0, 1.5, 1.0]);
        let positive = Layout {
            positive: vec![3],
            ..both
        };
        let one = histogram(positive, &[5.0, 9.0, 4.0, 1.0]);
        assert_eq!(trimmed_to(&one, 1.0, true).1, [2.0, 1.0, 2.0]);
        assert_eq!(trimmed_to(&one, 0.0, true).1, [0.0; 3]);
    }
}
