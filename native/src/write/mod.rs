//! From the body of a remote-write request to a `WriteBatch`.
//!
//! `snappy` opens the body, `wire` reads protobuf. `request` walks a remote-write 1.0 message, `request2` a
//! 2.0 message with its `symbols`; both hand the parts of a series to `assembly`. `labels` judges the labels of
//! a series that is not in the `cache`, `histogram`, `exemplar` and `metadata` what else a series can carry;
//! `pair` tells which of several scrapers sent it. `batch` holds the outcome. `known` tells the metadata that an
//! ingester lacks.

pub mod assembly;
pub mod batch;
mod cache;
mod decoder;
pub mod exemplar;
mod histogram;
mod known;
pub mod labels;
pub mod limits;
pub mod metadata;
mod pair;
pub mod rejection;
mod request;
mod request2;
pub mod snappy;
pub mod symbols;
pub mod wire;

use pyo3::prelude::*;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<batch::WriteBatch>()?;
    module.add_class::<decoder::WriteDecoder>()?;
    module.add_class::<known::KnownMetadata>()?;
    module.add_function(wrap_pyfunction!(snappy::snappy_compress, module)?)
}
