//! What an ingester answers to a select, as bytes (`docs/format/select.md`).
//!
//! | module | what |
//! |---|---|
//! | `seal` | kind and checksum of any answer |
//! | `pack` | compression of labels |
//! | `labels`, `exemplars` | those |
//! | `writer` | samples as chunks, one after the other; `native/src/head/copy.rs` gives it chunks as they are stored |
//! | `encode` | a frame that was decoded, as chunks |
//! | `decode` | chunks as a frame, cut to the range that was asked for |
//! | `replicas` | answers of several that should have the same: samples once, and where digests differ |
//! | `python` | the door |

mod decode;
mod encode;
mod exemplars;
mod labels;
mod pack;
mod python;
mod replicas;
pub mod seal;
pub mod writer;

pub use python::register;
