//! The kernels as Python sees them: arrays in, `(values, present)` out, the GIL released between.

use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1};
use pyo3::prelude::*;

use super::functions;
use super::instant::{Take, select};
use super::parallel::Matrix;
use super::samples::{Samples, Steps, span};
use super::starts;
use super::window::Windows;
use crate::error::Error;

pub type Arrays<'py> = (Bound<'py, PyArray2<f64>>, Bound<'py, PyArray2<bool>>);

pub fn arrays(py: Python<'_>, matrix: Matrix) -> PyResult<Arrays<'_>> {
    let shape = (matrix.rows, matrix.width);
    let shape_error = |cause| Error::invalid("matrix-shape", format!("{shape:?}: {cause}"));
    let values = Array2::from_shape_vec(shape, matrix.values).map_err(shape_error)?;
    let present = Array2::from_shape_vec(shape, matrix.present).map_err(shape_error)?;
    Ok((values.into_pyarray(py), present.into_pyarray(py)))
}

#[pyfunction]
#[expect(
    clippy::too_many_arguments,
    reason = "the frame and the steps, spelled out"
)]
fn instant<'py>(
    py: Python<'py>,
    offsets: PyReadonlyArray1<'py, i64>,
    timestamps_ms: PyReadonlyArray1<'py, i64>,
    values: PyReadonlyArray1<'py, f64>,
    start_ms: i64,
    step_ms: i64,
    count: usize,
    lookback_ms: i64,
) -> PyResult<Arrays<'py>> {
    let samples = Samples::new(
        offsets.as_slice()?,
        timestamps_ms.as_slice()?,
        values.as_slice()?,
    )?;
    let steps = Steps::new(start_ms, step_ms, count)?;
    let lookback_ms = span("lookback", lookback_ms)?;
    arrays(
        py,
        py.detach(|| select(&samples, steps, lookback_ms, Take::Value))?,
    )
}

#[pyfunction]
#[expect(
    clippy::too_many_arguments,
    reason = "the frame and the steps, spelled out"
)]
fn instant_timestamps<'py>(
    py: Python<'py>,
    offsets: PyReadonlyArray1<'py, i64>,
    timestamps_ms: PyReadonlyArray1<'py, i64>,
    values: PyReadonlyArray1<'py, f64>,
    start_ms: i64,
    step_ms: i64,
    count: usize,
    lookback_ms: i64,
) -> PyResult<Arrays<'py>> {
    let samples = Samples::new(
        offsets.as_slice()?,
        timestamps_ms.as_slice()?,
        values.as_slice()?,
    )?;
    let steps = Steps::new(start_ms, step_ms, count)?;
    let lookback_ms = span("lookback", lookback_ms)?;
    arrays(
        py,
        py.detach(|| select(&samples, steps, lookback_ms, Take::Timestamp))?,
    )
}

/// What there is of an optional array.
pub fn slice<'a, T: numpy::Element>(
    array: Option<&'a PyReadonlyArray1<'_, T>>,
) -> PyResult<Option<&'a [T]>> {
    Ok(array.map(PyReadonlyArray1::as_slice).transpose()?)
}

#[pyfunction]
#[expect(
    clippy::too_many_arguments,
    reason = "the frame and the steps, spelled out"
)]
#[pyo3(signature = (function, offsets, timestamps_ms, values, start_ms, step_ms, count, range_ms, args, starts_ms=None))]
fn window<'py>(
    py: Python<'py>,
    function: &str,
    offsets: PyReadonlyArray1<'py, i64>,
    timestamps_ms: PyReadonlyArray1<'py, i64>,
    values: PyReadonlyArray1<'py, f64>,
    start_ms: i64,
    step_ms: i64,
    count: usize,
    range_ms: i64,
    args: Vec<PyReadonlyArray1<'py, f64>>,
    starts_ms: Option<PyReadonlyArray1<'py, i64>>,
) -> PyResult<Arrays<'py>> {
    let samples = Samples::new(
        offsets.as_slice()?,
        timestamps_ms.as_slice()?,
        values.as_slice()?,
    )?
    .with_starts(slice(starts_ms.as_ref())?)?;
    let steps = Steps::new(start_ms, step_ms, count)?;
    let range_ms = span("range", range_ms)?;
    let args = args
        .iter()
        .map(PyReadonlyArray1::as_slice)
        .collect::<std::result::Result<Vec<_>, _>>()?;
    let windows = Windows {
        samples,
        steps,
        range_ms,
    };
    arrays(
        py,
        py.detach(|| functions::apply(function, range_ms, &args, count, windows))?,
    )
}

#[pyfunction]
#[expect(
    clippy::too_many_arguments,
    reason = "the frame and the steps, spelled out"
)]
fn start_overlaps<'py>(
    py: Python<'py>,
    offsets: PyReadonlyArray1<'py, i64>,
    timestamps_ms: PyReadonlyArray1<'py, i64>,
    values: PyReadonlyArray1<'py, f64>,
    starts_ms: PyReadonlyArray1<'py, i64>,
    start_ms: i64,
    step_ms: i64,
    count: usize,
    range_ms: i64,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let samples = Samples::new(
        offsets.as_slice()?,
        timestamps_ms.as_slice()?,
        values.as_slice()?,
    )?
    .with_starts(Some(starts_ms.as_slice()?))?;
    let steps = Steps::new(start_ms, step_ms, count)?;
    let range_ms = span("range", range_ms)?;
    let counts = py.detach(|| starts::overlaps(&samples, steps, range_ms));
    Ok(counts.into_pyarray(py))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(instant, module)?)?;
    module.add_function(wrap_pyfunction!(instant_timestamps, module)?)?;
    module.add_function(wrap_pyfunction!(start_overlaps, module)?)?;
    module.add_function(wrap_pyfunction!(window, module)?)?;
    Ok(())
}
