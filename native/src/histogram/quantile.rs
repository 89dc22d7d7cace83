//! Estimates of how the observations of a histogram are distributed.
//!
//! Inside an exponential bucket they are taken as evenly spread on a logarithmic scale; inside the zero
//! bucket and custom ones, on a linear scale. Observations of NaN are in the count and in no bucket, and
//! make the sum NaN.

use super::{Bucket, Notes, View};
use crate::kernel::sum::Sum;

/// The value below which a share `q` of the observations lies.
///
/// Infinite outside [0, 1]; NaN of nothing, and where the observations of NaN are reached.
pub fn quantile(view: View<'_>, q: f64) -> (f64, Notes) {
    if q < 0.0 {
        return (f64::NEG_INFINITY, Notes::NONE);
    }
    if q > 1.0 {
        return (f64::INFINITY, Notes::NONE);
    }
    if view.count() == 0.0 || q.is_nan() {
        return (f64::NAN, Notes::NONE);
    }
    // Counted from below or from above, whichever is nearer; only from below with observations of NaN.
    let forward = view.sum().is_nan() || q < 0.5;
    let (found, rank) = if forward {
        let rank = q * view.count();
        (find(view, view.slots(), rank), rank)
    } else {
        let rank = (1.0 - q) * view.count();
        (find(view, view.slots().rev(), rank), rank)
    };
    within(view, found, rank, forward)
}

/// Where a rank lies.
struct Found {
    bucket: Bucket,
    /// What is counted up to and with the bucket.
    count: f64,
}

fn find(view: View<'_>, slots: impl Iterator<Item = (super::Slot, f64)>, rank: f64) -> Found {
    let (mut count, mut last) = (0.0, None);
    for (slot, own) in slots {
        last = Some(slot);
        if own == 0.0 {
            continue;
        }
        count += own;
        if count >= rank {
            break;
        }
    }
    let nothing = Bucket {
        lower: 0.0,
        upper: 0.0,
        lower_closed: false,
        upper_closed: false,
        count: 0.0,
    };
    Found {
        bucket: last.map_or(nothing, |slot| view.bucket_outside_zero(slot)),
        count,
    }
}

fn within(view: View<'_>, found: Found, rank: f64, forward: bool) -> (f64, Notes) {
    let mut bucket = found.bucket;
    let custom = view.layout.is_custom();
    if custom {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return (bucket.upper, Notes::NONE);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return (bucket.lower, Notes::NONE);
        }
    } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
        bucket = one_sided(view, bucket);
    }
    // Rounding may have counted more than there is.
    let count = found.count.min(view.count());
    if count < rank {
        return match view.sum().is_nan() {
            true => (f64::NAN, Notes::NAN_RESULT),
            false => (bucket.upper, Notes::NONE),
        };
    }
    let rank = match forward {
        true => rank - (count - bucket.count),
        false => count - rank,
    };
    let notes = match has_hidden(view) {
        true => Notes::NAN_OBSERVATIONS,
        false => Notes::NONE,
    };
    let linear = custom || (bucket.lower <= 0.0 && bucket.upper >= 0.0);
    (interpolated(bucket, rank / bucket.count, linear), notes)
}

/// The value that a share of the bucket's observations is below.
fn interpolated(bucket: Bucket, share: f64, linear: bool) -> f64 {
    if linear {
        return bucket.lower + (bucket.upper - bucket.lower) * share;
    }
    let (lower, upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    if bucket.lower > 0.0 {
        (lower + (upper - lower) * share).exp2()
    } else {
        -(upper + (lower - upper) * (1.0 - share)).exp2()
    }
}

/// The zero bucket without the side on which nothing was observed.
fn one_sided(view: View<'_>, mut bucket: Bucket) -> Bucket {
    // An empty bucket may be left of an operation, or of a layout that the store keeps for others.
    let counts = |side: &[f64]| side.iter().any(|&count| count != 0.0);
    match (!counts(view.negative()), !counts(view.positive())) {
        (true, false) => bucket.lower = 0.0,
        (false, true) => bucket.upper = 0.0,
        _ => {}
    }
    bucket
}

/// Whether observations of NaN are counted. Infinite ones of both signs also make a sum NaN.
fn has_hidden(view: View<'_>) -> bool {
    view.sum().is_nan() && shown(view) < view.count()
}

/// What the buckets count.
fn shown(view: View<'_>) -> f64 {
    view.slots().map(|(_, count)| count).sum()
}

/// The share of observations between `lower` and `upper`.
pub fn fraction(view: View<'_>, lower: f64, upper: f64) -> (f64, Notes) {
    if view.count() == 0.0 || lower.is_nan() || upper.is_nan() {
        return (f64::NAN, Notes::NONE);
    }
    if lower >= upper {
        return (0.0, Notes::NONE);
    }
    let (below_lower, below_upper) = ranks(view, lower, upper);
    let notes = match has_hidden(view) {
        true => Notes::NAN_OBSERVATIONS,
        false => Notes::NONE,
    };
    let count = match view.sum().is_nan() {
        true => shown(view),
        false => view.count(),
    };
    let capped =
        |rank: Option<f64>| rank.map_or(count, |rank| if rank > count { count } else { rank });
    let between = capped(below_upper) - capped(below_lower);
    (between / view.count(), notes)
}

/// How many observations are below `lower`, and below `upper`; None where all are.
fn ranks(view: View<'_>, lower: f64, upper: f64) -> (Option<f64>, Option<f64>) {
    let (mut below_lower, mut below_upper) = (None, None);
    let mut rank = 0.0;
    for (slot, count) in view.slots() {
        let mut bucket = view.bucket_outside_zero(slot);
        let has_zero = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        if has_zero {
            bucket = one_sided(view, bucket);
        }
        let linear = view.layout.is_custom() || has_zero;
        for (bound, found) in [(lower, &mut below_lower), (upper, &mut below_upper)] {
            if found.is_none() {
                *found = rank_in(bucket, bound, rank, linear);
            }
        }
        if below_lower.is_some() && below_upper.is_some() {
            break;
        }
        rank += count;
    }
    (below_lower, below_upper)
}

/// How many observations are below `bound`, where `rank` are below the bucket; None where it is beyond.
fn rank_in(bucket: Bucket, bound: f64, rank: f64, linear: bool) -> Option<f64> {
    if bucket.lower >= bound {
        return Some(rank);
    }
    if bucket.upper <= bound {
        return None;
    }
    if linear && bucket.lower == f64::NEG_INFINITY {
        return Some(bucket.count);
    }
    if linear {
        let part = bucket.count * (bound - bucket.lower) / (bucket.upper - bucket.lower);
        return Some(rank + part);
    }
    Some(rank + bucket.count * share_below(bucket, bound))
}

/// The share of an exponential bucket's observations that are below a bound inside it.
pub(super) fn share_below(bucket: Bucket, bound: f64) -> f64 {
    let (lower, upper) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    let at = bound.abs().log2();
    if bucket.upper > 0.0 {
        (at - lower) / (upper - lower)
    } else {
        1.0 - (at - upper) / (lower - upper)
    }
}

/// The variance, with every observation in the middle of its bucket; NaN of nothing.
pub fn variance(view: View<'_>) -> f64 {
    let mean = view.sum() / view.count();
    let mut squares = Sum::of(0.0);
    for (slot, count) in view.slots().filter(|&(_, count)| count != 0.0) {
        let delta = middle(view, view.bucket_outside_zero(slot)) - mean;
        squares = squares.plus(count * delta * delta);
    }
    squares.total() / view.count()
}

fn middle(view: View<'_>, bucket: Bucket) -> f64 {
    if view.layout.is_custom() {
        (bucket.upper + bucket.lower) / 2.0
    } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
        0.0
    } else {
        let mean = (bucket.upper * bucket.lower).sqrt();
        if bucket.upper < 0.0 { -mean } else { mean }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::histogram::{Hint, Histogram, Layout};

    fn histogram(threshold: f64, cells: &[f64], positive: &[i32], negative: &[i32]) -> Histogram {
        let layout = Layout {
            zero_threshold: threshold,
            positive: positive.to_vec(),
            negative: negative.to_vec(),
            ..Layout::default()
        };
        Histogram {
            layout: Arc::new(layout),
            hint: Hint::Unknown,
            cells: cells.to_vec(),
        }
    }

    #[test]
    fn quantiles_interpolate_by_the_kind_of_the_bucket() {
        let one = histogram(0.5, &[8.0, 9.0, 2.0, 4.0, 2.0], &[1, 2], &[]);
        let median = quantile(one.view(), 0.5).0;
        assert!((median - 2f64.sqrt()).abs() < 1e-12);
        assert_eq!(quantile(one.view(), 0.125).0, 0.25);
        let mirrored = histogram(0.5, &[8.0, -9.0, 2.0, 4.0, 2.0], &[], &[1, 2]);
        let median = quantile(mirrored.view(), 0.5).0;
        assert!((median + 2f64.sqrt()).abs() < 1e-12);
        assert_eq!(fraction(one.view(), 0.0, 0.25).0, 0.125);
        assert!((fraction(one.view(), 2f64.sqrt(), 2.0).0 - 0.25).abs() < 1e-12);
    }

    #[test]
    fn a_zero_bucket_has_two_sides_where_no_other_bucket_counts() {
        for (cells, median) in [
            ([4.0, 0.0, 4.0, 0.0, 0.0], 0.0),
            ([4.0, 0.0, 3.0, 1.0, 0.0], 1.0 / 3.0),
            ([4.0, 0.0, 3.0, 0.0, 1.0], -1.0 / 3.0),
        ] {
            let one = histogram(0.5, &cells, &[1], &[1]);
            assert!((quantile(one.view(), 0.5).0 - median).abs() < 1e-12);
        }
    }

    #[test]
    fn observations_of_nan_are_above_all_and_noted() {
        let one = histogram(0.0, &[10.0, f64::NAN, 0.0, 8.0], &[0], &[]);
        assert_eq!(quantile(one.view(), 0.8), (1.0, Notes::NAN_OBSERVATIONS));
        let (value, notes) = quantile(one.view(), 0.9);
        assert!(value.is_nan());
        assert_eq!(notes, Notes::NAN_RESULT);
        let all = fraction(one.view(), f64::NEG_INFINITY, f64::INFINITY);
        assert_eq!(all, (0.8, Notes::NAN_OBSERVATIONS));
    }
}
