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

type Times<'py> = PyReadonlyArray1<'py, i64>;
/// `FloatArrays` of `_native.pyi`: offsets, timestamps, values, starts.
pub type FloatArrays<'py> = (
    Times<'py>,
    Times<'py>,
    PyReadonlyArray1<'py, f64>,
    Option<Times<'py>>,
);
/// First step, distance between steps, count.
pub type StepArgs = (i64, i64, usize);
pub type Arrays<'py> = (Bound<'py, PyArray2<f64>>, Bound<'py, PyArray2<bool>>);

pub fn samples<'a>(floats: &'a FloatArrays<'_>) -> PyResult<Samples<'a>> {
    let (offsets, timestamps_ms, values, starts_ms) = floats;
    let starts_ms = starts_ms
        .as_ref()
        .map(PyReadonlyArray1::as_slice)
        .transpose()?;
    let samples = Samples::new(
        offsets.as_slice()?,
        timestamps_ms.as_slice()?,
        values.as_slice()?,
    )?;
    Ok(samples.with_starts(starts_ms)?)
}

pub fn steps_of((start_ms, step_ms, count): StepArgs) -> PyResult<Steps> {
    Ok(Steps::new(start_ms, step_ms, count)?)
}

pub fn arrays(py: Python<'_>, matrix: Matrix) -> PyResult<Arrays<'_>> {
    let shape = (matrix.rows, matrix.width);
    let shape_error = |cause| Error::invalid("matrix-shape", format!("{shape:?}: {cause}"));
    let values = Array2::from_shape_vec(shape, matrix.values).map_err(shape_error)?;
    let present = Array2::from_shape_vec(shape, matrix.present).map_err(shape_error)?;
    Ok((values.into_pyarray(py), present.into_pyarray(py)))
}

#[pyfunction]
fn instant<'py>(
    py: Python<'py>,
    floats: FloatArrays<'py>,
    steps: StepArgs,
    lookback_ms: i64,
) -> PyResult<Arrays<'py>> {
    let samples = samples(&floats)?;
    let steps = steps_of(steps)?;
    let lookback_ms = span("lookback", lookback_ms)?;
    arrays(
        py,
        py.detach(|| select(&samples, steps, lookback_ms, Take::Value))?,
    )
}

#[pyfunction]
fn instant_timestamps<'py>(
    py: Python<'py>,
    floats: FloatArrays<'py>,
    steps: StepArgs,
    lookback_ms: i64,
) -> PyResult<Arrays<'py>> {
    let samples = samples(&floats)?;
    let steps = steps_of(steps)?;
    let lookback_ms = span("lookback", lookback_ms)?;
    arrays(
        py,
        py.detach(|| select(&samples, steps, lookback_ms, Take::Timestamp))?,
    )
}

#[pyfunction]
fn window<'py>(
    py: Python<'py>,
    function: &str,
    floats: FloatArrays<'py>,
    steps: StepArgs,
    range_ms: i64,
    args: Vec<PyReadonlyArray1<'py, f64>>,
) -> PyResult<Arrays<'py>> {
    let samples = samples(&floats)?;
    let steps = steps_of(steps)?;
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
        py.detach(|| functions::apply(function, range_ms, &args, steps.count, windows))?,
    )
}

#[pyfunction]
fn start_overlaps<'py>(
    py: Python<'py>,
    floats: FloatArrays<'py>,
    steps: StepArgs,
    range_ms: i64,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let samples = samples(&floats)?;
    let steps = steps_of(steps)?;
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
