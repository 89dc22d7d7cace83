//! Block format v1 (`docs/format/block.md`): column codecs, pages, index, and the merge of frames.
//!
//! Pure: bytes in, bytes out. Python owns the files and decides what to read; every byte that comes
//! back is checked here before anything is allocated for it.

pub mod bytes;
mod columns;
pub mod encoder;
mod exemplar_plan;
pub mod exemplars;
mod floats;
mod histograms;
mod index;
mod ints;
mod join;
pub mod layouts;
pub mod merge;
mod merge_histograms;
pub mod page;
mod plan;
mod postings;
mod reader;
mod series;
mod shared;
mod slabs;
mod strings;

use pyo3::prelude::*;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(bytes::crc32c, module)?)?;
    encoder::register(module)?;
    reader::register(module)?;
    exemplar_plan::register(module)?;
    join::register(module)?;
    merge::register(module)
}
