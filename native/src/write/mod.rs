//! From the body of a remote-write request to a `WriteBatch`.
//!
//! `snappy` opens the body, `wire` reads protobuf, `request` walks a remote-write 1.0 message,
//! `labels` judges the labels of a series that is not in the `cache`, `batch` holds the outcome.

pub mod batch;
mod cache;
mod decoder;
mod labels;
mod limits;
pub mod rejection;
mod request;
pub mod snappy;
pub mod wire;

use pyo3::prelude::*;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<batch::WriteBatch>()?;
    module.add_class::<decoder::WriteDecoder>()?;
    module.add_function(wrap_pyfunction!(snappy::snappy_compress, module)?)
}
