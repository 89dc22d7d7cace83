//! `rondel._native`: the in-memory kernels of Rondel.
//!
//! A leaf: pure functions and structures over buffers. No I/O, no clock, no background work, no
//! panic on bytes that came from outside. This file only registers; each module documents itself.

mod block;
mod dialect;
mod error;
mod exposition;
mod fields;
mod fingerprint;
mod frame;
mod head;
mod histogram;
mod join;
mod json;
mod kernel;
mod labels;
mod matcher;
mod otlp;
mod remote;
mod route;
mod rpc;
mod sampling;
mod symbols;
mod tsdb;
mod write;

use pyo3::prelude::*;

#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    block::register(module)?;
    exposition::register(module)?;
    head::register(module)?;
    histogram::register(module)?;
    join::register(module)?;
    json::register(module)?;
    kernel::register(module)?;
    labels::register(module)?;
    matcher::register(module)?;
    remote::register(module)?;
    route::register(module)?;
    rpc::register(module)?;
    sampling::register(module)?;
    tsdb::register(module)?;
    write::register(module)?;
    Ok(())
}
