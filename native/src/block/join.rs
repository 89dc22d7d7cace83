//! Joins several selections by fingerprint: which row of which source is which series.

use std::sync::Arc;

use hashbrown::HashMap;
use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;

use crate::error::{Error, Result};
use crate::labels::LabelSets;
use crate::symbols::Interner;

/// All distinct label sets in block order, and for each part which row of it each set is (-1: none).
pub fn join(parts: &[&LabelSets]) -> Result<(LabelSets, Vec<Vec<i64>>)> {
    let mut scratch = Vec::new();
    let mut known: HashMap<u128, usize> = HashMap::new();
    let mut interner = Interner::default();
    let mut pairs = Vec::new();
    let mut offsets = vec![0u32];
    let mut rows: Vec<Vec<i64>> = vec![Vec::new(); parts.len()];
    for (part, labels) in parts.iter().enumerate() {
        let mut symbols = vec![u32::MAX; labels.symbols.len()];
        for row in 0..labels.count() {
            let next = offsets.len() - 1;
            let set = *known
                .entry(labels.fingerprint_of(row, &mut scratch))
                .or_insert(next);
            if set == next {
                let mut intern = |id: u32| {
                    let known = &mut symbols[id as usize];
                    if *known == u32::MAX {
                        *known = interner.intern(labels.symbols.get(id));
                    }
                    *known
                };
                for &[name, value] in labels.pairs_of(row) {
                    let pair = [intern(name), intern(value)];
                    pairs.push(pair);
                }
                offsets.push(pairs.len() as u32);
            }
            if rows[part].len() <= set {
                rows[part].resize(set + 1, -1);
            }
            if rows[part][set] >= 0 {
                return Err(Error::invalid(
                    "duplicate-series",
                    "a selection has the same series twice",
                ));
            }
            rows[part][set] = row as i64;
        }
    }
    let union = LabelSets {
        symbols: Arc::new(interner.symbols),
        pairs,
        offsets,
    };
    let count = union.count();
    let order = union.ordered();
    for part in &mut rows {
        part.resize(count, -1);
        *part = order.iter().map(|&set| part[set as usize]).collect();
    }
    Ok((union.taken(order.iter().copied())?, rows))
}

/// `(labels, rows)`: distinct sets of all parts in block order, and each part's row of every set or -1.
#[pyfunction]
fn join_labels<'py>(
    py: Python<'py>,
    parts: Vec<Bound<'py, LabelSets>>,
) -> PyResult<(LabelSets, Vec<Bound<'py, PyArray1<i64>>>)> {
    let parts: Vec<&LabelSets> = parts.iter().map(Bound::get).collect();
    let (labels, rows) = py.detach(|| join(&parts))?;
    Ok((
        labels,
        rows.into_iter().map(|rows| rows.into_pyarray(py)).collect(),
    ))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(join_labels, module)?)
}
