//! Remote read as Python sees it: bodies and frames in, bytes out, the GIL released between.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use snap::raw::Encoder;

use super::{answer, request};
use crate::error::Error;
use crate::frame::{FrameArrays, FrameView};
use crate::labels::LabelSets;
use crate::write::snappy;

type Matcher = (String, &'static str, String);
/// `(queries, accepted)`, a query being `(mint_ms, maxt_ms, matchers)`.
type Request = (Vec<(i64, i64, Vec<Matcher>)>, Vec<u64>);

/// What the snappy body of a request asks.
#[pyfunction]
fn read_request(py: Python<'_>, body: &[u8], bytes_max: usize) -> PyResult<Request> {
    let parsed = py.detach(|| request::parse(&snappy::decompress(body, bytes_max)?))?;
    let queries = parsed.queries.into_iter();
    let queries = queries.map(|one| (one.mint_ms, one.maxt_ms, one.matchers));
    Ok((queries.collect(), parsed.accepted))
}

/// Series as fields of one query's result.
#[pyfunction]
fn read_series<'py>(
    py: Python<'py>,
    labels: &LabelSets,
    arrays: FrameArrays<'py>,
) -> PyResult<Bound<'py, PyBytes>> {
    let frame = checked(labels, &arrays)?;
    Ok(PyBytes::new(
        py,
        &py.detach(|| answer::series(labels, &frame)),
    ))
}

/// The snappy body of an answer of samples: the parts of each query's result.
#[pyfunction]
fn read_response<'py>(
    py: Python<'py>,
    results: Vec<Vec<Vec<u8>>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let block = py.detach(|| {
        let parts: Vec<Vec<&[u8]>> = results
            .iter()
            .map(|parts| parts.iter().map(Vec::as_slice).collect())
            .collect();
        let message = answer::response(&parts);
        Encoder::new().compress_vec(&message)
    });
    let block = block.map_err(|cause| Error::limit("remote-read-size", cause.to_string()))?;
    Ok(PyBytes::new(py, &block))
}

/// Series as frames of a stream of chunks.
#[pyfunction]
fn read_frames<'py>(
    py: Python<'py>,
    labels: &LabelSets,
    arrays: FrameArrays<'py>,
    query: i64,
    frame_bytes_max: usize,
) -> PyResult<Bound<'py, PyBytes>> {
    let frame = checked(labels, &arrays)?;
    let frames = py.detach(|| answer::frames(labels, &frame, query, frame_bytes_max))?;
    Ok(PyBytes::new(py, &frames))
}

fn checked<'a>(labels: &LabelSets, arrays: &'a FrameArrays<'_>) -> PyResult<FrameView<'a>> {
    let frame = arrays.view()?;
    if frame.offsets.len() != labels.count() + 1 {
        let (series, sets) = (frame.offsets.len() - 1, labels.count());
        let message = format!("{series} series with {sets} label sets");
        return Err(Error::invalid("frame-shape", message).into());
    }
    Ok(frame)
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(read_frames, module)?)?;
    module.add_function(wrap_pyfunction!(read_request, module)?)?;
    module.add_function(wrap_pyfunction!(read_response, module)?)?;
    module.add_function(wrap_pyfunction!(read_series, module)?)?;
    Ok(())
}
