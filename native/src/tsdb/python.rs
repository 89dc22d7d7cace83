//! The codecs as Python sees them.

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::{histogram, xor};
use crate::error::Error;
use crate::histogram::{Histograms, View};

type Columns<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<f64>>);

#[pyfunction]
fn xor_encode<'py>(
    py: Python<'py>,
    timestamps_ms: PyReadonlyArray1<'py, i64>,
    values: PyReadonlyArray1<'py, f64>,
) -> PyResult<Bound<'py, PyBytes>> {
    let (times, values) = (timestamps_ms.as_slice()?, values.as_slice()?);
    let chunk = py.detach(|| xor::encode(times, values))?;
    Ok(PyBytes::new(py, &chunk))
}

#[pyfunction]
fn xor_decode<'py>(py: Python<'py>, chunk: &[u8]) -> PyResult<Columns<'py>> {
    let (times, values) = py.detach(|| xor::decode(chunk))?;
    Ok((times.into_pyarray(py), values.into_pyarray(py)))
}

/// One chunk; InvalidData where a histogram does not fit behind the one before it.
#[pyfunction]
fn histogram_chunk_encode<'py>(
    py: Python<'py>,
    timestamps_ms: PyReadonlyArray1<'py, i64>,
    histograms: &Histograms,
) -> PyResult<Bound<'py, PyBytes>> {
    let times = timestamps_ms.as_slice()?;
    let chunk = py.detach(|| {
        let views: Vec<View<'_>> = histograms.iter().collect();
        if views.len() != times.len() {
            let message = format!("{} timestamps for {} histograms", times.len(), views.len());
            return Err(Error::invalid("frame-shape", message));
        }
        let fits = |pair: &[View<'_>]| histogram::fits(&views[0], &pair[0], &pair[1]);
        if !views.windows(2).all(fits) {
            let message = "histograms that need more than one chunk";
            return Err(Error::invalid("chunk-samples", message));
        }
        histogram::encode(times, &views)
    })?;
    Ok(PyBytes::new(py, &chunk))
}

#[pyfunction]
fn histogram_chunk_decode<'py>(
    py: Python<'py>,
    chunk: &[u8],
) -> PyResult<(Bound<'py, PyArray1<i64>>, Histograms)> {
    let (times, histograms) = py.detach(|| histogram::decode(chunk))?;
    Ok((times.into_pyarray(py), histograms))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(histogram_chunk_decode, module)?)?;
    module.add_function(wrap_pyfunction!(histogram_chunk_encode, module)?)?;
    module.add_function(wrap_pyfunction!(xor_decode, module)?)?;
    module.add_function(wrap_pyfunction!(xor_encode, module)?)?;
    Ok(())
}
