//! Aggregation over series as Python sees it.

use numpy::{
    IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods,
};
use pyo3::prelude::*;

use super::aggregate::Aggregation;
use super::buckets::{self, Fixed};
use super::cells::Cells;
use super::functions;
use super::instant;
use super::python::{Arrays, FloatArrays, StepArgs, arrays, samples, steps_of};
use super::samples::span;
use super::select;
use super::window::{Folded, Windows};
use crate::error::Error;

pub type Values<'py> = PyReadonlyArray2<'py, f64>;
pub type Presence<'py> = PyReadonlyArray2<'py, bool>;

/// `group, steps, lowest and highest bound, largest raise, first and last step` of one histogram.
type FixRow = (usize, usize, f64, f64, f64, usize, usize);

pub fn cells<'a>(values: &'a Values<'_>, present: &'a Presence<'_>) -> PyResult<Cells<'a>> {
    let &[rows, width] = values.shape() else {
        return Err(Error::invalid("matrix-shape", "values are not a matrix").into());
    };
    Ok(Cells::new(
        values.as_slice()?,
        present.as_slice()?,
        rows,
        width,
    )?)
}

fn mask_array<'py>(
    py: Python<'py>,
    mask: Vec<bool>,
    cells: &Cells<'_>,
) -> PyResult<Bound<'py, PyArray2<bool>>> {
    let shape = (cells.rows, cells.width);
    let array = numpy::ndarray::Array2::from_shape_vec(shape, mask)
        .map_err(|cause| Error::invalid("matrix-shape", format!("{shape:?}: {cause}")))?;
    Ok(array.into_pyarray(py))
}

/// See `Aggregation`.
#[pyclass(module = "rondel._native")]
pub struct Aggregator {
    aggregation: Aggregation,
}

#[pymethods]
impl Aggregator {
    #[new]
    fn new(operator: &str, groups: usize, steps: usize) -> PyResult<Self> {
        let aggregation = Aggregation::new(operator, groups, steps)?;
        Ok(Self { aggregation })
    }

    fn add(
        &mut self,
        py: Python<'_>,
        group_of: PyReadonlyArray1<'_, i32>,
        values: Values<'_>,
        present: Presence<'_>,
    ) -> PyResult<()> {
        let cells = cells(&values, &present)?;
        let group_of = group_of.as_slice()?;
        Ok(py.detach(|| self.aggregation.add(group_of, &cells))?)
    }

    fn add_instant(
        &mut self,
        py: Python<'_>,
        group_of: PyReadonlyArray1<'_, i32>,
        floats: FloatArrays<'_>,
        steps: StepArgs,
        lookback_ms: i64,
    ) -> PyResult<()> {
        let (samples, steps) = (samples(&floats)?, steps_of(steps)?);
        let lookback_ms = span("lookback", lookback_ms)?;
        let group_of = group_of.as_slice()?;
        let into = &mut self.aggregation;
        Ok(py.detach(|| instant::fold(&samples, steps, lookback_ms, group_of, into))?)
    }

    fn add_window(
        &mut self,
        py: Python<'_>,
        group_of: PyReadonlyArray1<'_, i32>,
        function: &str,
        floats: FloatArrays<'_>,
        steps: StepArgs,
        range_ms: i64,
    ) -> PyResult<()> {
        let steps = steps_of(steps)?;
        let folded = Folded {
            windows: Windows {
                samples: samples(&floats)?,
                steps,
                range_ms: span("range", range_ms)?,
            },
            group_of: group_of.as_slice()?,
            into: &mut self.aggregation,
        };
        Ok(py.detach(|| functions::apply(function, range_ms, &[], steps.count, folded))?)
    }

    fn finish<'py>(&self, py: Python<'py>) -> PyResult<Arrays<'py>> {
        arrays(py, py.detach(|| self.aggregation.finish())?)
    }
}

#[pyfunction]
fn topk<'py>(
    py: Python<'py>,
    group_of: PyReadonlyArray1<'py, i32>,
    groups: usize,
    k: PyReadonlyArray1<'py, f64>,
    values: Values<'py>,
    present: Presence<'py>,
    largest: bool,
) -> PyResult<Bound<'py, PyArray2<bool>>> {
    let cells = cells(&values, &present)?;
    let (group_of, k) = (group_of.as_slice()?, k.as_slice()?);
    let mask = py.detach(|| select::top(group_of, groups, k, &cells, largest))?;
    mask_array(py, mask, &cells)
}

#[pyfunction]
fn limitk<'py>(
    py: Python<'py>,
    group_of: PyReadonlyArray1<'py, i32>,
    groups: usize,
    k: PyReadonlyArray1<'py, f64>,
    values: Values<'py>,
    present: Presence<'py>,
) -> PyResult<Bound<'py, PyArray2<bool>>> {
    let cells = cells(&values, &present)?;
    let (group_of, k) = (group_of.as_slice()?, k.as_slice()?);
    let mask = py.detach(|| select::limit(group_of, groups, k, &cells))?;
    mask_array(py, mask, &cells)
}

#[pyfunction]
fn quantile_groups<'py>(
    py: Python<'py>,
    group_of: PyReadonlyArray1<'py, i32>,
    groups: usize,
    q: PyReadonlyArray1<'py, f64>,
    values: Values<'py>,
    present: Presence<'py>,
) -> PyResult<Arrays<'py>> {
    let cells = cells(&values, &present)?;
    let (group_of, q) = (group_of.as_slice()?, q.as_slice()?);
    arrays(
        py,
        py.detach(|| select::quantiles(group_of, groups, q, &cells))?,
    )
}

type ValueCountArrays<'py> = (
    Bound<'py, PyArray1<i32>>,
    Bound<'py, PyArray1<f64>>,
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray2<bool>>,
);

#[pyfunction]
fn count_values<'py>(
    py: Python<'py>,
    group_of: PyReadonlyArray1<'py, i32>,
    groups: usize,
    values: Values<'py>,
    present: Presence<'py>,
    rows_max: usize,
) -> PyResult<ValueCountArrays<'py>> {
    let cells = cells(&values, &present)?;
    let group_of = group_of.as_slice()?;
    let counted = py.detach(|| select::count_values(group_of, groups, &cells, rows_max))?;
    let (counts, present) = arrays(py, counted.counts)?;
    let group_of = counted.group_of.into_pyarray(py);
    Ok((group_of, counted.values.into_pyarray(py), counts, present))
}

type QuantileArrays<'py> = (
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray2<bool>>,
    Vec<FixRow>,
);

#[pyfunction]
fn bucket_quantile<'py>(
    py: Python<'py>,
    q: PyReadonlyArray1<'py, f64>,
    group_of: PyReadonlyArray1<'py, i32>,
    groups: usize,
    bounds: PyReadonlyArray1<'py, f64>,
    values: Values<'py>,
    present: Presence<'py>,
) -> PyResult<QuantileArrays<'py>> {
    let cells = cells(&values, &present)?;
    let (q, group_of, bounds) = (q.as_slice()?, group_of.as_slice()?, bounds.as_slice()?);
    let (matrix, fixes) = py.detach(|| buckets::quantiles(q, group_of, groups, bounds, &cells))?;
    let (values, present) = arrays(py, matrix)?;
    Ok((values, present, fix_rows(&fixes)))
}

/// Fixes come by group and step; one row a group is left.
fn fix_rows(fixes: &[Fixed]) -> Vec<FixRow> {
    let by_group = fixes.chunk_by(|left, right| left.0 == right.0);
    let row = |fixes: &[Fixed]| {
        let each = || fixes.iter().map(|(_, _, fix)| fix);
        (
            fixes[0].0,
            fixes.len(),
            each()
                .map(|fix| fix.bound_min)
                .fold(f64::INFINITY, f64::min),
            each()
                .map(|fix| fix.bound_max)
                .fold(f64::NEG_INFINITY, f64::max),
            each().map(|fix| fix.raised_max).fold(0.0, f64::max),
            fixes[0].1,
            fixes[fixes.len() - 1].1,
        )
    };
    by_group.map(row).collect()
}

#[pyfunction]
#[expect(
    clippy::too_many_arguments,
    reason = "the matrix and the groups, spelled out"
)]
fn bucket_fraction<'py>(
    py: Python<'py>,
    lower: PyReadonlyArray1<'py, f64>,
    upper: PyReadonlyArray1<'py, f64>,
    group_of: PyReadonlyArray1<'py, i32>,
    groups: usize,
    bounds: PyReadonlyArray1<'py, f64>,
    values: Values<'py>,
    present: Presence<'py>,
) -> PyResult<Arrays<'py>> {
    let cells = cells(&values, &present)?;
    let (lower, upper) = (lower.as_slice()?, upper.as_slice()?);
    let (group_of, bounds) = (group_of.as_slice()?, bounds.as_slice()?);
    let fractions = || buckets::fractions(lower, upper, group_of, groups, bounds, &cells);
    arrays(py, py.detach(fractions)?)
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Aggregator>()?;
    module.add_function(wrap_pyfunction!(bucket_fraction, module)?)?;
    module.add_function(wrap_pyfunction!(bucket_quantile, module)?)?;
    module.add_function(wrap_pyfunction!(count_values, module)?)?;
    module.add_function(wrap_pyfunction!(limitk, module)?)?;
    module.add_function(wrap_pyfunction!(quantile_groups, module)?)?;
    module.add_function(wrap_pyfunction!(topk, module)?)?;
    Ok(())
}
