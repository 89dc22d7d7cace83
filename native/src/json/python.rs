//! The encoders as Python sees them: arrays in, bytes out, the GIL released between.

use numpy::{PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArrayDyn};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::{Cells, Parts, number};
use crate::frame::FrameArrays;
use crate::histogram::Histograms;
use crate::kernel::samples::Steps;
use crate::labels::LabelSets;

fn joined<'py>(py: Python<'py>, parts: &Parts) -> PyResult<Bound<'py, PyBytes>> {
    let size = parts.iter().map(Vec::len).sum();
    PyBytes::new_with(py, size, |bytes| {
        let mut rest = bytes;
        for part in parts {
            let (here, after) = rest.split_at_mut(part.len());
            here.copy_from_slice(part);
            rest = after;
        }
        Ok(())
    })
}

/// Which histogram each cell has, and all of them.
type PyCells<'py> = (PyReadonlyArrayDyn<'py, i64>, Py<Histograms>);

fn cells<'a>(histograms: &'a Option<PyCells<'_>>, count: usize) -> PyResult<Option<Cells<'a>>> {
    let Some((index, pool)) = histograms else {
        return Ok(None);
    };
    Ok(Some(Cells::new(index.as_slice()?, pool.get(), count)?))
}

#[pyfunction]
#[pyo3(signature = (labels, start_ms, step_ms, values, present, histograms=None, stats=None))]
#[expect(
    clippy::too_many_arguments,
    reason = "the steps and the cells, spelled out"
)]
fn json_matrix<'py>(
    py: Python<'py>,
    labels: &LabelSets,
    start_ms: i64,
    step_ms: i64,
    values: PyReadonlyArray2<'py, f64>,
    present: PyReadonlyArray2<'py, bool>,
    histograms: Option<PyCells<'py>>,
    stats: Option<&[u8]>,
) -> PyResult<Bound<'py, PyBytes>> {
    let steps = Steps::new(start_ms, step_ms, values.as_array().ncols())?;
    let (values, present) = (values.as_slice()?, present.as_slice()?);
    let cells = cells(&histograms, values.len())?;
    let parts = py.detach(|| super::matrix(labels, steps, values, present, cells, stats))?;
    joined(py, &parts)
}

#[pyfunction]
#[pyo3(signature = (labels, time_ms, values, histograms=None, stats=None))]
fn json_vector<'py>(
    py: Python<'py>,
    labels: &LabelSets,
    time_ms: i64,
    values: PyReadonlyArray1<'py, f64>,
    histograms: Option<PyCells<'py>>,
    stats: Option<&[u8]>,
) -> PyResult<Bound<'py, PyBytes>> {
    let values = values.as_slice()?;
    let cells = cells(&histograms, values.len())?;
    let parts = py.detach(|| super::vector(labels, time_ms, values, cells, stats))?;
    joined(py, &parts)
}

#[pyfunction]
#[pyo3(signature = (labels, arrays, stats=None))]
fn json_frame<'py>(
    py: Python<'py>,
    labels: &LabelSets,
    arrays: FrameArrays<'py>,
    stats: Option<&[u8]>,
) -> PyResult<Bound<'py, PyBytes>> {
    let frame = arrays.view()?;
    let parts = py.detach(|| super::frame(labels, &frame, stats))?;
    joined(py, &parts)
}

#[pyfunction]
#[pyo3(signature = (time_ms, value, stats=None))]
fn json_scalar<'py>(
    py: Python<'py>,
    time_ms: i64,
    value: f64,
    stats: Option<&[u8]>,
) -> PyResult<Bound<'py, PyBytes>> {
    joined(py, &super::scalar(time_ms, value, stats))
}

#[pyfunction]
#[pyo3(signature = (time_ms, value, stats=None))]
fn json_string<'py>(
    py: Python<'py>,
    time_ms: i64,
    value: &str,
    stats: Option<&[u8]>,
) -> PyResult<Bound<'py, PyBytes>> {
    joined(py, &super::string(time_ms, value, stats))
}

#[pyfunction]
fn json_label_sets<'py>(py: Python<'py>, labels: &LabelSets) -> Bound<'py, PyBytes> {
    PyBytes::new(py, &py.detach(|| super::label_sets(labels)))
}

#[pyfunction]
fn json_strings(py: Python<'_>, values: Vec<String>) -> Bound<'_, PyBytes> {
    PyBytes::new(py, &py.detach(|| super::strings(&values)))
}

/// The text of each value, never with an exponent.
#[pyfunction]
fn float_texts(values: PyReadonlyArray1<'_, f64>) -> Vec<String> {
    let text = |&value: &f64| {
        let mut out = Vec::new();
        number::push_plain(&mut out, value);
        out.into_iter().map(char::from).collect()
    };
    values.as_array().iter().map(text).collect()
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(float_texts, module)?)?;
    module.add_function(wrap_pyfunction!(json_frame, module)?)?;
    module.add_function(wrap_pyfunction!(json_label_sets, module)?)?;
    module.add_function(wrap_pyfunction!(json_matrix, module)?)?;
    module.add_function(wrap_pyfunction!(json_scalar, module)?)?;
    module.add_function(wrap_pyfunction!(json_string, module)?)?;
    module.add_function(wrap_pyfunction!(json_strings, module)?)?;
    module.add_function(wrap_pyfunction!(json_vector, module)?)?;
    Ok(())
}
