//! Whether a counter began again between two histograms of a series.

use std::sync::Arc;

use super::arithmetic::{add_under, common_bounds};
use super::side::{Parts, Side, coarser_index};
use super::{Hint, Layout, View, bounds, zero};

/// Whether `current` cannot follow `before` without a reset: it says so, or it counts less somewhere.
///
/// Finer buckets and a smaller zero bucket only come with a reset. Coarser buckets and a wider zero bucket
/// are compared with what `before` has there. Of custom buckets, those between common bounds are compared.
pub fn is_reset(current: View<'_>, before: View<'_>) -> bool {
    match current.hint {
        Hint::Reset => return true,
        Hint::NotReset => return false,
        Hint::Unknown | Hint::Gauge => {}
    }
    if current.count() < before.count() {
        return true;
    }
    let (now, then) = (current.layout, before.layout);
    if now.is_custom() && then.is_custom() && !now.has_bounds_of(then) {
        return is_less_between_bounds(current, before);
    }
    if now.is_custom() != then.is_custom()
        || now.schema > then.schema
        || now.zero_threshold < then.zero_threshold
    {
        return true;
    }
    let same = Arc::ptr_eq(now, then) || **now == **then;
    if same && !now.overlaps_zero() {
        let cells = current.cells[2..].iter().zip(&before.cells[2..]);
        return cells.into_iter().any(|(now, then)| now < then);
    }
    is_less_in_buckets(current, before)
}

/// As a store resolves the hint of a sample that comes behind `before` in its series.
///
/// What says that it is a gauge or a reset is believed. Where nothing can be compared, nothing is known.
pub fn resolved(current: View<'_>, before: Option<View<'_>>) -> Hint {
    if matches!(current.hint, Hint::Gauge | Hint::Reset) {
        return current.hint;
    }
    let Some(before) = before else {
        return Hint::Unknown;
    };
    if current.is_stale() || before.is_stale() || before.hint == Hint::Gauge {
        return Hint::Unknown;
    }
    let (now, then) = (current.layout, before.layout);
    let comparable = now.schema == then.schema
        && now.zero_threshold == then.zero_threshold
        && now.has_bounds_of(then);
    let unhinted = View {
        hint: Hint::Unknown,
        ..current
    };
    match comparable {
        false => Hint::Unknown,
        true if is_reset(unhinted, before) => Hint::Reset,
        true => Hint::NotReset,
    }
}

fn is_less_in_buckets(current: View<'_>, before: View<'_>) -> bool {
    let layout = current.layout;
    let parts = Parts::of(before.layout, before.cells);
    if layout.zero_threshold > before.layout.zero_threshold {
        let (count, threshold) = zero::covered(before.layout, &parts, layout.zero_threshold);
        if threshold != layout.zero_threshold || current.zero_count() < count {
            return true;
        }
    } else if current.zero_count() < before.zero_count() {
        return true;
    }
    let schemas = (before.layout.schema, layout.schema);
    let positive = (layout.positive.as_slice(), current.positive());
    let negative = (layout.negative.as_slice(), current.negative());
    is_less(layout, positive, &parts.positive, schemas)
        || is_less(layout, negative, &parts.negative, schemas)
}

/// Whether a bucket of `then`, brought to the schema of `layout`, counts more than `now` does.
fn is_less(
    layout: &Layout,
    (indexes, counts): (&[i32], &[f64]),
    then: &Side<f64>,
    (from, to): (i8, i8),
) -> bool {
    let shift = u32::from(from.abs_diff(to));
    let inside = |index: i32| {
        !layout.is_custom() && bounds::exponential(i64::from(index), to) <= layout.zero_threshold
    };
    let mut now = indexes.iter().zip(counts).peekable();
    let mut at = 0;
    while at < then.indexes.len() {
        let index = coarser_index(then.indexes[at], shift);
        let mut sum = 0.0;
        while at < then.indexes.len() && coarser_index(then.indexes[at], shift) == index {
            sum += then.cells[at];
            at += 1;
        }
        if inside(index) {
            continue;
        }
        while now.next_if(|(mine, _)| **mine < index).is_some() {}
        let less = match now.next_if(|(mine, _)| **mine == index) {
            Some((_, &count)) => count < sum,
            None => sum != 0.0,
        };
        if less {
            return true;
        }
    }
    false
}

fn is_less_between_bounds(current: View<'_>, before: View<'_>) -> bool {
    let bounds = common_bounds(&current.layout.bounds, &before.layout.bounds);
    let mut now = vec![0.0; bounds.len() + 1];
    let mut then = now.clone();
    add_under(&mut now, &bounds, current.layout, current.positive());
    add_under(&mut then, &bounds, before.layout, before.positive());
    now.iter().zip(&then).any(|(now, then)| now < then)
}
