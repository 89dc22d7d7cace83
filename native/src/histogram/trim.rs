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
