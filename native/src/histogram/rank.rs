//! Which of two histograms that one series has at one time counts.

use std::cmp::Ordering;

use crate::histogram::{Layout, View};

/// A total order of everything but hints, in which the larger one stays, whoever compares: a histogram beats
/// a staleness marker; then count, then sum, in the total order of their bits; then layout and cells.
/// Equal means the same bit for bit.
pub fn rank(left: View<'_>, right: View<'_>) -> Ordering {
    right
        .is_stale()
        .cmp(&left.is_stale())
        .then_with(|| left.count().total_cmp(&right.count()))
        .then_with(|| left.sum().total_cmp(&right.sum()))
        .then_with(|| {
            if left.is_laid_out_as(&right) {
                Ordering::Equal
            } else {
                rank_layouts(left.layout, right.layout)
            }
        })
        .then_with(|| rank_floats(left.cells, right.cells))
}

fn rank_layouts(left: &Layout, right: &Layout) -> Ordering {
    left.schema
        .cmp(&right.schema)
        .then_with(|| left.zero_threshold.total_cmp(&right.zero_threshold))
        .then_with(|| rank_floats(&left.bounds, &right.bounds))
        .then_with(|| left.positive.cmp(&right.positive))
        .then_with(|| left.negative.cmp(&right.negative))
}

fn rank_floats(left: &[f64], right: &[f64]) -> Ordering {
    let unequal = left
        .iter()
        .zip(right)
        .map(|(left, right)| left.total_cmp(right))
        .find(|order| order.is_ne());
    unequal.unwrap_or_else(|| left.len().cmp(&right.len()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::histogram::{Hint, Histogram};

    fn histogram(schema: i8, positive: &[i32], cells: &[f64]) -> Histogram {
        let layout = Layout {
            schema,
            positive: positive.to_vec(),
            ..Layout::default()
        };
        Histogram {
            layout: Arc::new(layout),
            hint: Hint::Unknown,
            cells: cells.to_vec(),
        }
    }

    #[test]
    fn histograms_in_their_order_from_the_marker_to_the_largest() {
        let stale = f64::from_bits(0x7ff0_0000_0000_0002);
        let ascending = [
            histogram(0, &[], &[9.0, stale, 0.0]),
            histogram(0, &[], &[1.0, 1.0, 1.0]),
            histogram(0, &[], &[2.0, -0.0, 2.0]),
            histogram(0, &[], &[2.0, 0.0, 2.0]),
            histogram(0, &[1, 2], &[2.0, 1.0, 0.0, 1.0, 1.0]),
            histogram(0, &[1, 3], &[2.0, 1.0, 0.0, 0.0, 2.0]),
            histogram(0, &[1, 3], &[2.0, 1.0, 0.0, 1.0, 1.0]),
            histogram(1, &[1], &[2.0, 1.0, 0.0, 2.0]),
            histogram(0, &[], &[f64::NAN, 0.0, 0.0]),
        ];
        for (left, one) in ascending.iter().enumerate() {
            for (right, other) in ascending.iter().enumerate() {
                assert_eq!(rank(one.view(), other.view()), left.cmp(&right));
            }
        }
    }
}
