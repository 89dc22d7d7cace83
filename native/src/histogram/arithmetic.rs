//! Sums, differences and multiples of histograms.
//!
//! Two histograms of one layout are added cell by cell. Others are brought to common buckets first: the
//! coarser schema, a zero bucket that covers both, the bounds that both have. Exponential and custom
//! buckets never meet.

use std::sync::Arc;

use super::cell::Cell;
use super::side::{Parts, Side};
use super::{FIXED_CELLS, Hint, Histogram, Layout, Notes, View, zero};

/// Exponential buckets here, custom ones there: nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Incompatible;

impl Histogram {
    /// Adds `other`. Buckets that are empty then stay; see [`Histogram::compact`].
    pub fn add(&mut self, other: View<'_>) -> Result<Notes, Incompatible> {
        self.combine(other, false)
    }

    /// Subtracts `other`; hints are those of a sum, which the operator `-` turns into a gauge.
    pub fn subtract(&mut self, other: View<'_>) -> Result<Notes, Incompatible> {
        self.combine(other, true)
    }

    fn combine(&mut self, other: View<'_>, negative: bool) -> Result<Notes, Incompatible> {
        let bounds = combine(&mut self.layout, &mut self.cells, other, negative)?;
        Ok(bounds | self.hint.joined(other.hint))
    }

    /// Every count and the sum times `factor`; a negative one makes a gauge.
    pub fn multiply(&mut self, factor: f64) {
        self.cells.iter_mut().for_each(|cell| *cell *= factor);
        if factor < 0.0 {
            self.hint = Hint::Gauge;
        }
    }

    /// Every count and the sum divided; by 0, no bucket is left.
    pub fn divide(&mut self, by: f64) {
        if by == 0.0 {
            self.cells.truncate(FIXED_CELLS);
            self.layout = Arc::new(self.layout.without_buckets());
        }
        self.cells.iter_mut().for_each(|cell| *cell /= by);
        if by < 0.0 {
            self.hint = Hint::Gauge;
        }
    }

    /// Whether a count or the sum is infinite.
    pub fn has_overflow(&self) -> bool {
        self.cells.iter().any(|cell| cell.is_infinite())
    }
}

impl Hint {
    /// Becomes the hint of a sum of both.
    pub fn joined(&mut self, other: Self) -> Notes {
        *self = match (*self, other) {
            (mine, theirs) if mine == theirs => mine,
            (Self::Gauge, _) | (_, Self::Gauge) => Self::Gauge,
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            _ => {
                *self = Self::Unknown;
                return Notes::HINTS_COLLIDE;
            }
        };
        Notes::NONE
    }
}

impl Layout {
    pub(super) fn without_buckets(&self) -> Self {
        Self {
            positive: Vec::new(),
            negative: Vec::new(),
            ..self.clone()
        }
    }

    /// Whether custom bounds are the same.
    pub(super) fn has_bounds_of(&self, other: &Self) -> bool {
        self.bounds == other.bounds
    }
}

/// Adds `other`, or subtracts it where `negative`, to cells under a layout.
pub(super) fn combine<C: Cell>(
    layout: &mut Arc<Layout>,
    cells: &mut Vec<C>,
    other: View<'_>,
    negative: bool,
) -> Result<Notes, Incompatible> {
    if Arc::ptr_eq(layout, other.layout) || **layout == **other.layout {
        if !other.layout.overlaps_zero() {
            add_cells(cells, other.cells, negative);
            return Ok(Notes::NONE);
        }
    } else if layout.is_custom() != other.layout.is_custom() {
        return Err(Incompatible);
    }
    if layout.is_custom() && !layout.has_bounds_of(other.layout) {
        combine_bounds(layout, cells, other, negative);
        return Ok(Notes::BOUNDS_RECONCILED);
    }
    if !combine_subset(layout, cells, other, negative) {
        combine_layouts(layout, cells, other, negative);
    }
    Ok(Notes::NONE)
}

/// The inner loop of everything: one pass over the cells of both.
#[inline]
fn add_cells<C: Cell>(cells: &mut [C], other: &[f64], negative: bool) {
    if negative {
        for (cell, &value) in cells.iter_mut().zip(other) {
            *cell = cell.plus(C::of(-value));
        }
    } else {
        for (cell, &value) in cells.iter_mut().zip(other) {
            *cell = cell.plus(C::of(value));
        }
    }
}

/// Adds in place where every bucket of `other` is there already; false where one is not.
fn combine_subset<C: Cell>(
    layout: &Layout,
    cells: &mut [C],
    other: View<'_>,
    negative: bool,
) -> bool {
    let theirs = other.layout;
    let same = layout.schema == theirs.schema && layout.zero_threshold == theirs.zero_threshold;
    if !same
        || theirs.overlaps_zero()
        || !is_within(&theirs.positive, &layout.positive)
        || !is_within(&theirs.negative, &layout.negative)
    {
        return false;
    }
    let (fixed, buckets) = cells.split_at_mut(FIXED_CELLS);
    let (positive, negatives) = buckets.split_at_mut(layout.positive.len());
    add_cells(fixed, &other.cells[..FIXED_CELLS], negative);
    scatter(
        positive,
        &layout.positive,
        &theirs.positive,
        other.positive(),
        negative,
    );
    scatter(
        negatives,
        &layout.negative,
        &theirs.negative,
        other.negative(),
        negative,
    );
    true
}

/// Whether all of `some`, ascending, are among `all`, ascending.
fn is_within(some: &[i32], all: &[i32]) -> bool {
    let mut rest = all.iter();
    some.len() <= all.len()
        && some
            .iter()
            .all(|index| rest.by_ref().any(|one| one == index))
}

fn scatter<C: Cell>(
    cells: &mut [C],
    indexes: &[i32],
    other_indexes: &[i32],
    other: &[f64],
    negative: bool,
) {
    let mut at = 0;
    for (index, &value) in other_indexes.iter().zip(other) {
        while indexes[at] != *index {
            at += 1;
        }
        let value = if negative { -value } else { value };
        cells[at] = cells[at].plus(C::of(value));
    }
}

/// The general case: both become buckets of one schema beyond one zero bucket, and those are joined.
fn combine_layouts<C: Cell>(
    layout: &mut Arc<Layout>,
    cells: &mut Vec<C>,
    other: View<'_>,
    negative: bool,
) {
    let schema = layout.schema.min(other.layout.schema);
    let mut mine = Parts::of(layout, cells);
    let mut theirs = Parts::<C>::of_view(other, negative);
    zero::reconcile((&mut mine, layout), (&mut theirs, other.layout));
    let threshold = mine.threshold;
    let mine = mine.coarser(layout.schema, schema);
    let mut theirs = theirs.coarser(other.layout.schema, schema);
    if !layout.is_custom() {
        theirs.positive = theirs.positive.beyond(threshold, schema);
        theirs.negative = theirs.negative.beyond(threshold, schema);
    }
    let positive = mine.positive.joined(&theirs.positive);
    let negative_side = mine.negative.joined(&theirs.negative);
    add_cells(&mut cells[..2], &other.cells[..2], negative);
    cells[2] = mine.zero.plus(theirs.zero);
    cells.truncate(FIXED_CELLS);
    cells.extend_from_slice(&positive.cells);
    cells.extend_from_slice(&negative_side.cells);
    *layout = shared(
        Layout {
            schema,
            zero_threshold: threshold,
            bounds: layout.bounds.clone(),
            positive: positive.indexes,
            negative: negative_side.indexes,
        },
        &[layout, other.layout],
    );
}

/// Custom buckets under different bounds, brought to the bounds that both have; empty ones fall away.
fn combine_bounds<C: Cell>(
    layout: &mut Arc<Layout>,
    cells: &mut Vec<C>,
    other: View<'_>,
    negative: bool,
) {
    let bounds = common_bounds(&layout.bounds, &other.layout.bounds);
    let theirs: Parts<C> = Parts::of_view(other, negative);
    let mut sums = vec![C::default(); bounds.len() + 1];
    add_under(&mut sums, &bounds, layout, &cells[FIXED_CELLS..]);
    add_under(&mut sums, &bounds, other.layout, &theirs.positive.cells);
    let mut kept = Side {
        indexes: (0..sums.len() as i32).collect(),
        cells: sums,
    };
    kept.retain(|cell| !cell.is_zero());
    add_cells(&mut cells[..2], &other.cells[..2], negative);
    cells.truncate(FIXED_CELLS);
    cells.extend_from_slice(&kept.cells);
    *layout = shared(
        Layout {
            schema: layout.schema,
            zero_threshold: layout.zero_threshold,
            bounds,
            positive: kept.indexes,
            negative: Vec::new(),
        },
        &[layout, other.layout],
    );
}

/// The bounds that are in both lists, which ascend.
pub(super) fn common_bounds(mine: &[f64], theirs: &[f64]) -> Vec<f64> {
    let mut common = Vec::with_capacity(mine.len().min(theirs.len()));
    let mut at = 0;
    for &bound in mine {
        while at < theirs.len() && theirs[at] < bound {
            at += 1;
        }
        if theirs.get(at) == Some(&bound) {
            common.push(bound);
        }
    }
    common
}

/// Adds custom buckets to `sums`, one a bucket under `bounds`, which are some of those of `layout`.
pub(super) fn add_under<C: Cell>(sums: &mut [C], bounds: &[f64], layout: &Layout, cells: &[C]) {
    let mut target = 0;
    for (&index, &cell) in layout.positive.iter().zip(cells) {
        let bound = layout.bound(i64::from(index));
        while target < bounds.len() && bounds[target] < bound {
            target += 1;
        }
        sums[target] = sums[target].plus(cell);
    }
}

/// One of `candidates` where it is equal, so that later operations see by a pointer that layouts are.
pub(super) fn shared(layout: Layout, candidates: &[&Arc<Layout>]) -> Arc<Layout> {
    match candidates.iter().find(|one| ****one == layout) {
        Some(one) => Arc::clone(one),
        None => Arc::new(layout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::{Accumulator, CUSTOM, is_reset};

    fn histogram(schema: i8, threshold: f64, zero: f64, buckets: &[(i32, f64)]) -> Histogram {
        let total: f64 = zero + buckets.iter().map(|(_, count)| count).sum::<f64>();
        let mut cells = vec![total, 1.0, zero];
        cells.extend(buckets.iter().map(|(_, count)| count));
        let layout = Layout {
            schema,
            zero_threshold: threshold,
            positive: buckets.iter().map(|&(index, _)| index).collect(),
            ..Layout::default()
        };
        Histogram {
            layout: Arc::new(layout),
            hint: Hint::Unknown,
            cells,
        }
    }

    fn custom(bounds: &[f64], counts: &[f64]) -> Histogram {
        let mut cells = vec![counts.iter().sum(), 1.0, 0.0];
        cells.extend(counts);
        let layout = Layout {
            schema: CUSTOM,
            bounds: bounds.to_vec(),
            positive: (0..counts.len() as i32).collect(),
            ..Layout::default()
        };
        Histogram {
            layout: Arc::new(layout),
            hint: Hint::Unknown,
            cells,
        }
    }

    #[test]
    fn sums_of_one_layout_keep_it() {
        let mut sum = histogram(0, 0.0, 0.0, &[(0, 1.0), (2, 5.0)]);
        let other = sum.clone();
        assert_eq!(sum.add(other.view()), Ok(Notes::NONE));
        assert!(Arc::ptr_eq(&sum.layout, &other.layout));
        assert_eq!(sum.cells, [12.0, 2.0, 0.0, 2.0, 10.0]);
        assert_eq!(sum.subtract(other.view()), Ok(Notes::NONE));
        assert_eq!(sum.cells, other.cells);
    }

    #[test]
    fn finer_buckets_join_coarser_ones() {
        let mut sum = histogram(0, 0.0, 0.0, &[(1, 1.0)]);
        let finer = histogram(1, 0.0, 0.0, &[(0, 7.0), (1, 2.0), (2, 3.0), (3, 4.0)]);
        sum.add(finer.view()).expect("both exponential");
        assert_eq!(sum.layout.schema, 0);
        assert_eq!(sum.layout.positive, [0, 1, 2]);
        assert_eq!(sum.cells[2..], [0.0, 7.0, 6.0, 4.0]);
        let mut other_way = finer;
        other_way
            .add(histogram(0, 0.0, 0.0, &[(1, 1.0)]).view())
            .expect("both exponential");
        assert_eq!(other_way.cells, sum.cells);
        assert_eq!(other_way.layout, sum.layout);
    }

    #[test]
    fn a_wider_zero_bucket_swallows_what_it_touches() {
        // 1.5 is inside (1, 2], which counts something: the zero bucket widens to 2.
        let mut sum = histogram(0, 0.0, 1.0, &[(0, 2.0), (1, 3.0), (2, 4.0)]);
        let wide = histogram(0, 1.5, 10.0, &[(2, 1.0)]);
        sum.add(wide.view()).expect("both exponential");
        assert_eq!(sum.layout.zero_threshold, 2.0);
        assert_eq!(sum.layout.positive, [2]);
        assert_eq!(sum.cells[2..], [16.0, 5.0]);
    }

    #[test]
    fn bounds_that_both_have_are_kept() {
        let mut sum = custom(&[2.0, 4.0, 6.0], &[1.0, 2.0, 5.0, 7.0]);
        let other = custom(&[2.0, 3.0, 6.0], &[10.0, 20.0, 30.0, 40.0]);
        assert_eq!(sum.add(other.view()), Ok(Notes::BOUNDS_RECONCILED));
        assert_eq!(sum.layout.bounds, [2.0, 6.0]);
        assert_eq!(sum.cells[3..], [11.0, 57.0, 47.0]);
    }

    #[test]
    fn custom_and_exponential_buckets_do_not_meet() {
        let mut sum = custom(&[2.0], &[1.0]);
        let before = sum.cells.clone();
        let other = histogram(0, 0.0, 0.0, &[]);
        assert_eq!(sum.add(other.view()), Err(Incompatible));
        assert_eq!(sum.cells, before);
    }

    #[test]
    fn a_sum_of_a_reset_and_none_is_noted() {
        let mut sum = histogram(0, 0.0, 0.0, &[]);
        let mut other = sum.clone();
        (sum.hint, other.hint) = (Hint::Reset, Hint::NotReset);
        assert_eq!(sum.add(other.view()), Ok(Notes::HINTS_COLLIDE));
        assert_eq!(sum.hint, Hint::Unknown);
        other.hint = Hint::Gauge;
        assert_eq!(sum.add(other.view()), Ok(Notes::NONE));
        assert_eq!(sum.hint, Hint::Gauge);
    }

    #[test]
    fn division_by_zero_leaves_no_bucket() {
        let mut quotient = histogram(0, 0.5, 1.0, &[(0, 2.0)]);
        quotient.divide(0.0);
        assert_eq!(quotient.cells, [f64::INFINITY; 3]);
        assert!(quotient.layout.positive.is_empty());
    }

    #[test]
    fn an_accumulator_keeps_what_rounding_loses() {
        let parts = [1.0, 1e100, 1.0, -1e100].map(|sum| {
            let mut part = histogram(0, 0.0, 0.0, &[(3, 1.0)]);
            part.cells[1] = sum;
            part
        });
        let mut sum = Accumulator::from(parts[0].view());
        for part in &parts[1..] {
            sum.add(part.view()).expect("one layout");
        }
        assert_eq!(sum.finish().cells, [4.0, 2.0, 0.0, 4.0]);
    }

    #[test]
    fn resets_are_seen_through_coarser_buckets_and_wider_zero_buckets() {
        let before = histogram(1, 0.0, 1.0, &[(0, 2.0), (1, 3.0), (2, 4.0)]);
        let same = histogram(0, 0.0, 1.0, &[(0, 2.0), (1, 7.0)]);
        assert!(!is_reset(same.view(), before.view()));
        let less = histogram(0, 0.0, 3.0, &[(0, 2.0), (1, 6.0)]);
        assert!(is_reset(less.view(), before.view()));
        let wider = histogram(1, 1.0, 3.0, &[(1, 3.0), (2, 4.0)]);
        assert!(!is_reset(wider.view(), before.view()));
        let inside_a_bucket = histogram(1, 0.9, 9.0, &[(1, 3.0), (2, 4.0)]);
        assert!(is_reset(inside_a_bucket.view(), before.view()));
        assert!(is_reset(before.view(), same.view()));
        let other_bounds = custom(&[5.0, 10.0], &[1.0]);
        assert!(!is_reset(
            other_bounds.view(),
            custom(&[5.0], &[1.0]).view()
        ));
        assert!(is_reset(
            other_bounds.view(),
            custom(&[5.0], &[0.0, 1.0]).view()
        ));
    }

    #[test]
    fn compaction_drops_what_counts_nothing() {
        let mut mixed = histogram(0, 0.0, 0.0, &[(0, 0.0), (1, 2.0), (2, 0.0)]);
        mixed.compact();
        assert_eq!(mixed.layout.positive, [1]);
        assert_eq!(mixed.cells, [2.0, 1.0, 0.0, 2.0]);
    }
}
