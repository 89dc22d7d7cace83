//! WAL framing as Python sees it.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::Error;
use crate::head::record::{self, KIND_MORE, KIND_SAMPLES};
use crate::head::segment;

/// A framed payload.
pub fn framed<'py>(
    py: Python<'py>,
    kind: u8,
    payload: &[u8],
    salt: u64,
) -> PyResult<Bound<'py, PyBytes>> {
    if payload.len() > segment::PAYLOAD_BYTES_MAX {
        let message = format!(
            "a WAL record of {} bytes: at most {} are allowed",
            payload.len(),
            segment::PAYLOAD_BYTES_MAX
        );
        return Err(Error::limit("request-too-large", message).into());
    }
    let frame = segment::frame(kind, payload, salt);
    PyBytes::new_with(py, frame.len() + payload.len(), |out| {
        let (head, rest) = out.split_at_mut(frame.len());
        head.copy_from_slice(&frame);
        rest.copy_from_slice(payload);
        Ok(())
    })
}

/// The header of a segment.
#[pyfunction]
fn wal_header(py: Python<'_>, salt: u64) -> Bound<'_, PyBytes> {
    PyBytes::new(py, &segment::header(salt))
}

/// The salt that a segment's header holds; None when both copies are damaged.
#[pyfunction]
fn wal_salt(header: &[u8]) -> Option<u64> {
    segment::salt(header)
}

/// One record as bytes: `kind` is any number but those of samples, which heads write.
#[pyfunction]
fn wal_frame<'py>(
    py: Python<'py>,
    kind: u8,
    payload: &[u8],
    salt: u64,
) -> PyResult<Bound<'py, PyBytes>> {
    framed(py, kind, payload, salt)
}

type Found = (Vec<(u8, usize, usize)>, Vec<(usize, usize)>, usize);

/// `(records, damages, consumed)` of the next bytes of a segment: records as (kind, start, stop) of
/// their payloads, damages as (start, stop). Without `at_end`, what may go on is left unconsumed.
#[pyfunction]
fn wal_scan(py: Python<'_>, data: &[u8], salt: u64, at_end: bool) -> Found {
    let scan = py.detach(|| segment::scan(data, salt, at_end));
    let records = scan.records.iter();
    (
        records
            .map(|record| (record.kind, record.start, record.stop))
            .collect(),
        scan.damages,
        scan.consumed,
    )
}

/// The tenant of a payload with samples, and where the rest of it starts.
#[pyfunction]
fn wal_tenant(data: &[u8], start: usize, stop: usize) -> PyResult<(String, usize)> {
    let payload = data.get(start..stop).unwrap_or_default();
    let (tenant, at) = record::tenant(payload)?;
    Ok((tenant.to_owned(), start + at))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("WAL_HEADER_BYTES", segment::HEADER_BYTES)?;
    module.add("WAL_KINDS_OF_SAMPLES", (KIND_SAMPLES, KIND_MORE))?;
    module.add_function(wrap_pyfunction!(wal_header, module)?)?;
    module.add_function(wrap_pyfunction!(wal_salt, module)?)?;
    module.add_function(wrap_pyfunction!(wal_frame, module)?)?;
    module.add_function(wrap_pyfunction!(wal_scan, module)?)?;
    module.add_function(wrap_pyfunction!(wal_tenant, module)?)
}
