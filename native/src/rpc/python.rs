//! Answers as Python sees them: arrays in, bytes out, and back, the GIL released between.

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::block::encoder::ExemplarArrays;
use crate::frame::{FrameArrays, PyFrame};
use crate::labels::LabelSets;
use crate::rpc::seal::{LABELS, Sealed, open, seal};
use crate::rpc::{decode, encode, exemplars, labels, replicas};

/// `(offsets, timestamps_ms, values, labels)`
type PyExemplars<'py> = (
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<f64>>,
    LabelSets,
);

impl<const N: usize> Sealed<N> {
    pub fn into_python(self, py: Python<'_>) -> PyResult<Bound<'_, PyBytes>> {
        PyBytes::new_with(py, self.size_bytes(), |out| {
            py.detach(|| self.write(out));
            Ok(())
        })
    }
}

/// Label sets as an answer.
#[pyfunction]
fn encode_labels<'py>(py: Python<'py>, sets: &LabelSets) -> PyResult<Bound<'py, PyBytes>> {
    let sealed = py.detach(|| {
        let mut packed = Vec::new();
        labels::encode(sets, &mut packed)?;
        crate::error::Result::Ok(seal(LABELS, [packed]))
    })?;
    sealed.into_python(py)
}

#[pyfunction]
fn decode_labels(py: Python<'_>, data: PyBackedBytes) -> PyResult<LabelSets> {
    Ok(py.detach(|| labels::decode(open(&data, LABELS)?))?)
}

/// The samples of a frame as an answer; whoever reads it has the labels.
#[pyfunction]
fn encode_frame<'py>(py: Python<'py>, arrays: FrameArrays<'py>) -> PyResult<Bound<'py, PyBytes>> {
    let view = arrays.view()?;
    py.detach(|| encode::encode(&view))?.into_python(py)
}

/// A digest of the samples of each series of a frame as an answer.
#[pyfunction]
fn encode_digests<'py>(py: Python<'py>, arrays: FrameArrays<'py>) -> PyResult<Bound<'py, PyBytes>> {
    let view = arrays.view()?;
    py.detach(|| encode::digest(&view))?.into_python(py)
}

/// The samples of `count` series from `(answer, series in it, rows)` of several replicas, and for each answer
/// the rows that its digests tell something else of.
#[pyfunction]
fn decode_replicas<'py>(
    py: Python<'py>,
    count: usize,
    answers: Vec<(PyBackedBytes, usize, PyReadonlyArray1<'py, i64>)>,
) -> PyResult<(PyFrame<'py>, Vec<Bound<'py, PyArray1<i64>>>)> {
    let answers = answers
        .iter()
        .map(|(data, series, rows)| {
            Ok(replicas::Answer {
                data,
                series: *series,
                rows: rows.as_slice()?,
            })
        })
        .collect::<PyResult<Vec<_>>>()?;
    let (frame, differing) = py.detach(|| replicas::decode(&answers, count))?;
    let differing = differing.into_iter().map(|rows| rows.into_pyarray(py));
    Ok((frame.into_python(py), differing.collect()))
}

/// The frame of exactly so many series, cut to the range that was asked for.
#[pyfunction]
fn decode_frame(py: Python<'_>, data: PyBackedBytes, series: usize) -> PyResult<PyFrame<'_>> {
    let frame = py.detach(|| decode::decode(&data, series))?;
    Ok(frame.into_python(py))
}

/// The exemplars of the series with these labels as an answer.
#[pyfunction]
fn encode_exemplars<'py>(
    py: Python<'py>,
    series: &LabelSets,
    arrays: ExemplarArrays<'py>,
) -> PyResult<Bound<'py, PyBytes>> {
    let view = arrays.view()?;
    py.detach(|| exemplars::encode(series, &view))?
        .into_python(py)
}

/// `(labels, exemplars)`
#[pyfunction]
fn decode_exemplars(py: Python<'_>, data: PyBackedBytes) -> PyResult<(LabelSets, PyExemplars<'_>)> {
    let found = py.detach(|| exemplars::decode(&data))?;
    let arrays = (
        found.offsets.into_pyarray(py),
        found.times.into_pyarray(py),
        found.values.into_pyarray(py),
        found.exemplar_labels,
    );
    Ok((found.labels, arrays))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(encode_labels, module)?)?;
    module.add_function(wrap_pyfunction!(decode_labels, module)?)?;
    module.add_function(wrap_pyfunction!(encode_frame, module)?)?;
    module.add_function(wrap_pyfunction!(encode_digests, module)?)?;
    module.add_function(wrap_pyfunction!(decode_replicas, module)?)?;
    module.add_function(wrap_pyfunction!(decode_frame, module)?)?;
    module.add_function(wrap_pyfunction!(encode_exemplars, module)?)?;
    module.add_function(wrap_pyfunction!(decode_exemplars, module)?)
}
