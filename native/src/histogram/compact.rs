//! Empty buckets taken out, where an operation's result shows that it is only what is counted.

use std::sync::Arc;

use super::{FIXED_CELLS, Hint, Histogram, Histograms, Layout, View};

impl Histogram {
    /// Drops every bucket that counts nothing.
    pub fn compact(&mut self) {
        if let Some(layout) = compacted(&self.layout, &self.cells) {
            self.layout = Arc::new(layout);
            drop_empty(&mut self.cells);
        }
    }
}

impl Histograms {
    /// Pushes without the buckets that count nothing. Results with the same buckets share a layout.
    pub fn push_compacted(&mut self, view: View<'_>, scratch: &mut Vec<f64>) {
        if !view.cells[FIXED_CELLS..].contains(&0.0) {
            return self.push(view);
        }
        scratch.clear();
        scratch.extend_from_slice(view.cells);
        drop_empty(scratch);
        if let Some(last) = self.last_layout()
            && is_compaction(last, &view)
        {
            let layout = Arc::clone(last);
            return self.push_parts(&layout, view.hint, scratch);
        }
        if let Some(layout) = compacted(view.layout, view.cells) {
            self.push_parts(&Arc::new(layout), view.hint, scratch);
        }
    }

    fn push_parts(&mut self, layout: &Arc<Layout>, hint: Hint, cells: &[f64]) {
        self.push(View {
            layout,
            hint,
            cells,
        });
    }
}

fn drop_empty(cells: &mut Vec<f64>) {
    let mut at = 0;
    cells.retain(|cell| {
        at += 1;
        at <= FIXED_CELLS || *cell != 0.0
    });
}

/// The layout without empty buckets; None where there are none.
fn compacted(layout: &Layout, cells: &[f64]) -> Option<Layout> {
    let buckets = &cells[FIXED_CELLS..];
    if !buckets.contains(&0.0) {
        return None;
    }
    let (positive, negative) = buckets.split_at(layout.positive.len());
    Some(Layout {
        schema: layout.schema,
        zero_threshold: layout.zero_threshold,
        bounds: layout.bounds.clone(),
        positive: kept(&layout.positive, positive).collect(),
        negative: kept(&layout.negative, negative).collect(),
    })
}

fn kept(indexes: &[i32], cells: &[f64]) -> impl Iterator<Item = i32> {
    let pairs = indexes.iter().zip(cells);
    pairs
        .filter(|(_, cell)| **cell != 0.0)
        .map(|(&index, _)| index)
}

/// Whether `layout` is what compaction leaves of that of `view`.
fn is_compaction(layout: &Layout, view: &View<'_>) -> bool {
    let before = view.layout;
    layout.schema == before.schema
        && layout.zero_threshold.to_bits() == before.zero_threshold.to_bits()
        && layout.bounds == before.bounds
        && kept(&before.positive, view.positive()).eq(layout.positive.iter().copied())
        && kept(&before.negative, view.negative()).eq(layout.negative.iter().copied())
}
