//! Many histograms as flat columns.

use std::sync::Arc;

use pyo3::prelude::*;

use crate::error::{Error, Result};
use crate::histogram::{FIXED_CELLS, Hint, Layout};
use crate::kernel::samples::is_stale;

/// Layouts looked at, from the newest, for one that is equal; a copy more does no harm.
const LAYOUTS_SEARCHED: usize = 16;

/// Histograms in order; immutable once Python holds them.
#[pyclass(frozen, module = "rondel._native")]
#[derive(Debug, Clone, Default)]
pub struct Histograms {
    layouts: Vec<Arc<Layout>>,
    layout_of: Vec<u32>,
    hints: Vec<Hint>,
    /// Where the cells of each end.
    ends: Vec<usize>,
    cells: Vec<f64>,
}

/// One histogram, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    pub layout: &'a Arc<Layout>,
    pub hint: Hint,
    /// Count, sum, zero count, positive buckets, negative buckets.
    pub cells: &'a [f64],
}

impl<'a> View<'a> {
    #[inline]
    pub fn count(&self) -> f64 {
        self.cells[0]
    }

    #[inline]
    pub fn sum(&self) -> f64 {
        self.cells[1]
    }

    #[inline]
    pub fn zero_count(&self) -> f64 {
        self.cells[2]
    }

    #[inline]
    pub fn positive(&self) -> &'a [f64] {
        &self.cells[FIXED_CELLS..FIXED_CELLS + self.layout.positive.len()]
    }

    #[inline]
    pub fn negative(&self) -> &'a [f64] {
        &self.cells[FIXED_CELLS + self.layout.positive.len()..]
    }

    /// Whether this is the marker that says that a series ended here.
    #[inline]
    pub fn is_stale(&self) -> bool {
        is_stale(self.sum())
    }

    /// Whether both are the same but for hints: buckets, empty ones too, and every bit of every cell.
    pub fn equals(self, other: View<'_>) -> bool {
        let bits = |cells: &'a [f64]| cells.iter().map(|cell| cell.to_bits());
        self.is_laid_out_as(&other)
            && bits(self.cells).eq(other.cells.iter().map(|cell| cell.to_bits()))
    }

    /// Whether both have the same buckets, so that their cells stand for the same.
    #[inline]
    pub fn is_laid_out_as(&self, other: &View<'_>) -> bool {
        Arc::ptr_eq(self.layout, other.layout) || self.layout == other.layout
    }
}

impl Histograms {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The histogram at `index`, which must be below `len()`.
    #[inline]
    pub fn get(&self, index: usize) -> View<'_> {
        let start = match index {
            0 => 0,
            _ => self.ends[index - 1],
        };
        View {
            layout: &self.layouts[self.layout_of[index] as usize],
            hint: self.hints[index],
            cells: &self.cells[start..self.ends[index]],
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = View<'_>> {
        (0..self.len()).map(|index| self.get(index))
    }

    #[inline]
    pub fn push(&mut self, view: View<'_>) {
        debug_assert_eq!(view.cells.len(), view.layout.cell_count());
        let layout = self.number(view.layout);
        self.layout_of.push(layout);
        self.hints.push(view.hint);
        self.cells.extend_from_slice(view.cells);
        self.ends.push(self.cells.len());
    }

    /// Adds all of `other` behind these.
    pub fn append(&mut self, other: &Self) {
        let numbers: Vec<u32> = other.layouts.iter().map(|one| self.number(one)).collect();
        let before = self.cells.len();
        self.layout_of
            .extend(other.layout_of.iter().map(|&old| numbers[old as usize]));
        self.hints.extend_from_slice(&other.hints);
        self.cells.extend_from_slice(&other.cells);
        self.ends.extend(other.ends.iter().map(|end| before + end));
    }

    /// None, with room for so many that have so many cells together.
    pub fn with_room(count: usize, cells: usize) -> Self {
        Self {
            layouts: Vec::new(),
            layout_of: Vec::with_capacity(count),
            hints: Vec::with_capacity(count),
            ends: Vec::with_capacity(count),
            cells: Vec::with_capacity(cells),
        }
    }

    pub fn concatenated(parts: &[&Self]) -> Self {
        let count = parts.iter().map(|part| part.len()).sum();
        let mut all = Self::with_room(count, parts.iter().map(|part| part.cell_count()).sum());
        for part in parts {
            all.append(part);
        }
        all
    }

    /// Those at `indices`, in that order.
    pub fn taken(&self, indices: impl Iterator<Item = i64>) -> Result<Self> {
        let mut taken = Self::default();
        for index in indices {
            let at = usize::try_from(index).ok().filter(|&at| at < self.len());
            match at {
                Some(at) => taken.push(self.get(at)),
                None => {
                    let message = format!("histogram {index} of {}", self.len());
                    return Err(Error::invalid("index-outside", message));
                }
            }
        }
        Ok(taken)
    }

    pub fn set_hint(&mut self, index: usize, hint: Hint) {
        self.hints[index] = hint;
    }

    /// The same histograms with other hints, one for each.
    pub fn hinted(&self, hints: Vec<Hint>) -> Self {
        debug_assert_eq!(hints.len(), self.len());
        Self {
            hints,
            ..self.clone()
        }
    }

    pub fn truncate(&mut self, count: usize) {
        if count < self.len() {
            self.cells.truncate(match count {
                0 => 0,
                _ => self.ends[count - 1],
            });
            self.ends.truncate(count);
            self.hints.truncate(count);
            self.layout_of.truncate(count);
        }
    }

    /// Heap bytes held.
    pub fn size_bytes(&self) -> usize {
        let layouts: usize = self.layouts.iter().map(|one| one.size_bytes() + 96).sum();
        layouts + self.cells.capacity() * 8 + self.ends.capacity() * 8 + self.hints.capacity() * 5
    }

    /// Cells of all.
    pub fn cell_count(&self) -> usize {
        self.cells.len()
    }

    /// Cells of those in the range, which must lie within `0..len()`.
    pub fn cells_in(&self, range: &std::ops::Range<usize>) -> usize {
        let end_of = |count: usize| match count {
            0 => 0,
            _ => self.ends[count - 1],
        };
        end_of(range.end) - end_of(range.start)
    }

    /// The layout of the newest.
    pub(super) fn last_layout(&self) -> Option<&Arc<Layout>> {
        let number = *self.layout_of.last()?;
        self.layouts.get(number as usize)
    }

    #[inline]
    fn number(&mut self, layout: &Arc<Layout>) -> u32 {
        if let Some(&last) = self.layout_of.last()
            && Arc::ptr_eq(&self.layouts[last as usize], layout)
        {
            return last;
        }
        let recent = self.layouts.iter().enumerate().rev().take(LAYOUTS_SEARCHED);
        let found = recent
            .filter(|(_, one)| Arc::ptr_eq(one, layout) || *one == layout)
            .map(|(number, _)| number as u32)
            .next();
        found.unwrap_or_else(|| {
            self.layouts.push(Arc::clone(layout));
            self.layouts.len() as u32 - 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(positive: Vec<i32>) -> Arc<Layout> {
        Arc::new(Layout {
            positive,
            ..Layout::default()
        })
    }

    #[test]
    fn what_was_pushed_comes_back_and_equal_layouts_are_kept_once() {
        let mut all = Histograms::default();
        let (first, second) = (layout(vec![0, 1]), layout(vec![0, 1]));
        for (layout, hint) in [(&first, Hint::Unknown), (&second, Hint::Gauge)] {
            all.push(View {
                layout,
                hint,
                cells: &[3.0, 1.5, 0.0, 1.0, 2.0],
            });
        }
        assert_eq!(all.layouts.len(), 1);
        assert_eq!(all.get(1).hint, Hint::Gauge);
        assert_eq!(all.get(1).positive(), [1.0, 2.0]);
        assert!(all.get(1).negative().is_empty());
        all.truncate(1);
        assert_eq!((all.len(), all.cells.len()), (1, 5));
    }

    #[test]
    fn parts_are_joined_and_picked_with_their_layouts() {
        let mut one = Histograms::default();
        let mut other = Histograms::default();
        one.push(View {
            layout: &layout(vec![]),
            hint: Hint::Reset,
            cells: &[1.0, 2.0, 1.0],
        });
        other.push(View {
            layout: &layout(vec![7]),
            hint: Hint::NotReset,
            cells: &[2.0, 4.0, 0.0, 2.0],
        });
        let all = Histograms::concatenated(&[&one, &other]);
        let picked = all.taken([1, 0, 1].into_iter()).expect("inside");
        assert_eq!(picked.get(0).layout.positive, [7]);
        assert_eq!(picked.get(1).cells, [1.0, 2.0, 1.0]);
        assert_eq!(picked.get(2).hint, Hint::NotReset);
        assert!(all.taken([2].into_iter()).is_err());
    }
}
