//! Functions of many histograms, one by one, as Python sees them: the GIL is released within.

use std::ops::Range;
use std::sync::Arc;

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::quantile::{fraction, quantile, variance};
use super::reset::resolved;
use super::trim::trimmed;
use super::{Hint, Histogram, Histograms, Notes, View, text};
use crate::error::{Error, Result};
use crate::kernel::parallel::each;

/// Histograms that one thread takes before the next ones.
const BLOCK_MIN: usize = 64;
const BLOCKS: usize = 8;
/// Cells below which one thread takes all.
const WORK_MIN: usize = 200_000;

/// `of(range)` for ranges that together are `0..count`, in order; on two threads where the work pays.
fn in_blocks<T: Send>(count: usize, work: usize, of: impl Fn(Range<usize>) -> T + Sync) -> Vec<T> {
    let blocks = if work < WORK_MIN { 1 } else { BLOCKS };
    let block = count.div_ceil(blocks).max(BLOCK_MIN);
    let mut results: Vec<(usize, Option<T>)> = (0..count)
        .step_by(block)
        .map(|start| (start, None))
        .collect();
    each(
        results.iter_mut(),
        work,
        || (),
        |(), (start, result)| *result = Some(of(*start..count.min(*start + block))),
    );
    results
        .into_iter()
        .filter_map(|(_, result)| result)
        .collect()
}

/// A pool of what `push` makes of each of `all`.
fn pool(all: &Histograms, push: impl Fn(&mut Desk, usize) + Sync) -> Histograms {
    let parts = in_blocks(all.len(), all.cell_count(), |range| {
        let mut desk = Desk::with_room(all, &range);
        range.for_each(|index| push(&mut desk, index));
        desk.made
    });
    joined(parts)
}

fn joined(mut parts: Vec<Histograms>) -> Histograms {
    match parts.len() {
        1 => parts.swap_remove(0),
        _ => Histograms::concatenated(&parts.iter().collect::<Vec<_>>()),
    }
}

/// One number each.
fn numbers<T: Send>(all: &Histograms, of: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let parts = in_blocks(all.len(), all.cell_count(), |range| {
        range.map(&of).collect::<Vec<_>>()
    });
    parts.into_iter().flatten().collect()
}

/// What one thread works with, so that memory is taken once and not for every histogram.
#[derive(Default)]
struct Desk {
    made: Histograms,
    one: Option<Histogram>,
    scratch: Vec<f64>,
}

impl Desk {
    /// With room for as much as `all` has in the range.
    fn with_room(all: &Histograms, range: &Range<usize>) -> Self {
        Self {
            made: Histograms::with_room(range.len(), all.cells_in(range)),
            ..Self::default()
        }
    }

    /// A copy of `view` to work on.
    fn load(&mut self, view: View<'_>) -> &mut Histogram {
        let one = self.one.get_or_insert_with(|| Histogram::from(view));
        one.layout = Arc::clone(view.layout);
        one.hint = view.hint;
        one.cells.clear();
        one.cells.extend_from_slice(view.cells);
        one
    }

    /// Appends what was worked on, without empty buckets.
    fn push(&mut self) {
        if let Some(one) = &self.one {
            self.made.push_compacted(one.view(), &mut self.scratch);
        }
    }
}

fn check(want: usize, actual: usize) -> Result<()> {
    if want == actual {
        return Ok(());
    }
    let message = format!("{actual} values for {want} histograms");
    Err(Error::invalid("histogram-shape", message))
}

type Added<'py> = (
    Histograms,
    Bound<'py, PyArray1<u32>>,
    Bound<'py, PyArray1<bool>>,
);

#[pyfunction]
fn histogram_add<'py>(
    py: Python<'py>,
    left: &Histograms,
    right: &Histograms,
    subtract: bool,
) -> PyResult<Added<'py>> {
    check(left.len(), right.len())?;
    let (sums, notes, fits) = py.detach(|| sums(left, right, subtract));
    Ok((sums, notes.into_pyarray(py), fits.into_pyarray(py)))
}

/// Sums or differences; where two do not fit, the left one stands.
fn sums(
    left: &Histograms,
    right: &Histograms,
    subtract: bool,
) -> (Histograms, Vec<u32>, Vec<bool>) {
    let work = left.cell_count() + right.cell_count();
    let parts = in_blocks(left.len(), work, |range| {
        let mut desk = Desk::with_room(left, &range);
        let (mut notes, mut fits) = (Vec::new(), Vec::new());
        for index in range {
            let sum = desk.load(left.get(index));
            let done = match subtract {
                true => sum.subtract(right.get(index)),
                false => sum.add(right.get(index)),
            };
            if subtract {
                sum.hint = Hint::Gauge;
            }
            notes.push(done.unwrap_or(Notes::INCOMPATIBLE).0);
            fits.push(done.is_ok());
            desk.push();
        }
        (desk.made, notes, fits)
    });
    let (mut pools, mut all_notes, mut all_fits) = (Vec::new(), Vec::new(), Vec::new());
    for (made, notes, fits) in parts {
        pools.push(made);
        all_notes.extend(notes);
        all_fits.extend(fits);
    }
    (joined(pools), all_notes, all_fits)
}

#[pyfunction]
fn histogram_scale(
    py: Python<'_>,
    all: &Histograms,
    factor: PyReadonlyArray1<'_, f64>,
    divide: bool,
) -> PyResult<Histograms> {
    let factor = factor.as_slice()?;
    check(all.len(), factor.len())?;
    Ok(py.detach(|| {
        pool(all, |desk, index| {
            let scaled = desk.load(all.get(index));
            match divide {
                true => scaled.divide(factor[index]),
                false => scaled.multiply(factor[index]),
            }
            desk.push();
        })
    }))
}

#[pyfunction]
fn histogram_equal<'py>(
    py: Python<'py>,
    left: &Histograms,
    right: &Histograms,
) -> PyResult<Bound<'py, PyArray1<bool>>> {
    check(left.len(), right.len())?;
    let equal = py.detach(|| numbers(left, |at| left.get(at).equals(right.get(at))));
    Ok(equal.into_pyarray(py))
}

#[pyfunction]
fn histogram_trim(
    py: Python<'_>,
    all: &Histograms,
    bound: PyReadonlyArray1<'_, f64>,
    upper: bool,
) -> PyResult<Histograms> {
    let bound = bound.as_slice()?;
    check(all.len(), bound.len())?;
    Ok(py.detach(|| {
        pool(all, |desk, index| {
            desk.made
                .push(trimmed(all.get(index), bound[index], upper).view());
        })
    }))
}

type Noted<'py> = (Bound<'py, PyArray1<f64>>, Bound<'py, PyArray1<u32>>);

fn noted<'py>(py: Python<'py>, results: Vec<(f64, Notes)>) -> Noted<'py> {
    let (values, notes): (Vec<f64>, Vec<u32>) = results
        .into_iter()
        .map(|(value, notes)| (value, notes.0))
        .unzip();
    (values.into_pyarray(py), notes.into_pyarray(py))
}

#[pyfunction]
fn histogram_quantile<'py>(
    py: Python<'py>,
    all: &Histograms,
    q: PyReadonlyArray1<'py, f64>,
) -> PyResult<Noted<'py>> {
    let q = q.as_slice()?;
    check(all.len(), q.len())?;
    let results = py.detach(|| numbers(all, |at| quantile(all.get(at), q[at])));
    Ok(noted(py, results))
}

#[pyfunction]
fn histogram_fraction<'py>(
    py: Python<'py>,
    all: &Histograms,
    lower: PyReadonlyArray1<'py, f64>,
    upper: PyReadonlyArray1<'py, f64>,
) -> PyResult<Noted<'py>> {
    let (lower, upper) = (lower.as_slice()?, upper.as_slice()?);
    check(all.len(), lower.len())?;
    check(all.len(), upper.len())?;
    let results = py.detach(|| numbers(all, |at| fraction(all.get(at), lower[at], upper[at])));
    Ok(noted(py, results))
}

#[pyfunction]
fn histogram_variance<'py>(py: Python<'py>, all: &Histograms) -> Bound<'py, PyArray1<f64>> {
    let variances = py.detach(|| numbers(all, |at| variance(all.get(at))));
    variances.into_pyarray(py)
}

#[pyfunction]
fn histogram_texts(py: Python<'_>, all: &Histograms) -> Vec<String> {
    py.detach(|| all.iter().map(text::text).collect())
}

#[pyfunction]
fn resolve_hints(
    py: Python<'_>,
    offsets: PyReadonlyArray1<'_, i64>,
    all: &Histograms,
) -> PyResult<Histograms> {
    let offsets = offsets.as_slice()?;
    let ascending = offsets.windows(2).all(|pair| pair[0] <= pair[1]);
    let whole = offsets.first() == Some(&0) && offsets.last() == Some(&(all.len() as i64));
    if !ascending || !whole {
        let message = format!("offsets do not cover {} histograms", all.len());
        return Err(Error::invalid("frame-shape", message).into());
    }
    Ok(py.detach(|| {
        let mut resolved_all = all.clone();
        for pair in offsets.windows(2) {
            for index in pair[0] as usize..pair[1] as usize {
                let before = (index > pair[0] as usize).then(|| all.get(index - 1));
                resolved_all.set_hint(index, resolved(all.get(index), before));
            }
        }
        resolved_all
    }))
}

/// The bits of every note by its name.
#[pyfunction]
fn histogram_notes(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let notes = PyDict::new(py);
    for (name, note) in Notes::ALL {
        notes.set_item(name, note.0)?;
    }
    Ok(notes)
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(histogram_add, module)?)?;
    module.add_function(wrap_pyfunction!(histogram_equal, module)?)?;
    module.add_function(wrap_pyfunction!(histogram_fraction, module)?)?;
    module.add_function(wrap_pyfunction!(histogram_notes, module)?)?;
    module.add_function(wrap_pyfunction!(histogram_quantile, module)?)?;
    module.add_function(wrap_pyfunction!(histogram_scale, module)?)?;
    module.add_function(wrap_pyfunction!(histogram_texts, module)?)?;
    module.add_function(wrap_pyfunction!(histogram_trim, module)?)?;
    module.add_function(wrap_pyfunction!(histogram_variance, module)?)?;
    module.add_function(wrap_pyfunction!(resolve_hints, module)?)?;
    Ok(())
}
