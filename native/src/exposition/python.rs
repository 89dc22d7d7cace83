//! The encoders as Python sees them.

use numpy::PyReadonlyArray1;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::names::Escaping;
use super::{Rows, protobuf, text};
use crate::error::{Error, Result};
use crate::histogram::Histograms;
use crate::labels::LabelSets;

/// One sample a series, sorted by metric name; `index` says which histogram a row has, -1 for none.
#[pyfunction]
#[pyo3(signature = (labels, timestamps_ms, values, escaping, histograms=None))]
fn exposition_text<'py>(
    py: Python<'py>,
    labels: &LabelSets,
    timestamps_ms: PyReadonlyArray1<'py, i64>,
    values: PyReadonlyArray1<'py, f64>,
    escaping: &str,
    histograms: Option<(PyReadonlyArray1<'py, i64>, Py<Histograms>)>,
) -> PyResult<Bound<'py, PyBytes>> {
    let parts = (timestamps_ms.as_slice()?, values.as_slice()?);
    encoded(py, labels, parts, escaping, histograms, text::encode)
}

/// As `exposition_text`, with the histograms.
#[pyfunction]
#[pyo3(signature = (labels, timestamps_ms, values, escaping, histograms=None))]
fn exposition_protobuf<'py>(
    py: Python<'py>,
    labels: &LabelSets,
    timestamps_ms: PyReadonlyArray1<'py, i64>,
    values: PyReadonlyArray1<'py, f64>,
    escaping: &str,
    histograms: Option<(PyReadonlyArray1<'py, i64>, Py<Histograms>)>,
) -> PyResult<Bound<'py, PyBytes>> {
    let parts = (timestamps_ms.as_slice()?, values.as_slice()?);
    encoded(py, labels, parts, escaping, histograms, protobuf::encode)
}

fn encoded<'py>(
    py: Python<'py>,
    labels: &LabelSets,
    (timestamps_ms, values): (&[i64], &[f64]),
    escaping: &str,
    histograms: Option<(PyReadonlyArray1<'py, i64>, Py<Histograms>)>,
    encode: fn(&Rows<'_>, Escaping) -> Vec<u8>,
) -> PyResult<Bound<'py, PyBytes>> {
    let escaping = Escaping::named(escaping).ok_or_else(|| {
        let message = format!("unknown escaping scheme {escaping:?}");
        Error::invalid("exposition-shape", message)
    })?;
    let none = Histograms::default();
    let rows = Rows {
        labels,
        timestamps_ms,
        values,
        index: match &histograms {
            Some((index, _)) => index.as_slice()?,
            None => &[],
        },
        histograms: histograms.as_ref().map_or(&none, |(_, pool)| pool.get()),
    };
    check(&rows, histograms.is_some())?;
    Ok(PyBytes::new(py, &py.detach(|| encode(&rows, escaping))))
}

fn check(rows: &Rows<'_>, has_index: bool) -> Result<()> {
    let count = rows.labels.count();
    let index_fits = !has_index || rows.index.len() == count;
    let inside = rows
        .index
        .iter()
        .all(|&at| at < rows.histograms.len() as i64);
    if rows.values.len() == count && rows.timestamps_ms.len() == count && index_fits && inside {
        return Ok(());
    }
    let message = format!("arrays of an exposition that do not fit its {count} series");
    Err(Error::invalid("exposition-shape", message))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(exposition_protobuf, module)?)?;
    module.add_function(wrap_pyfunction!(exposition_text, module)?)?;
    Ok(())
}
