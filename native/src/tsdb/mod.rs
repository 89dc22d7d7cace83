//! Chunks as Prometheus' TSDB stores them and remote read sends them.
//!
//! `bits` is the bit stream below all encodings and `varbit` its short integers; `xor` holds float samples,
//! `histogram` native histograms, whose buckets `layout` names. A chunk starts with the number of its
//! samples, 16 bits; what it decodes to is checked against nothing else, so a reader of stored chunks
//! verifies their checksum first.

mod bits;
pub mod histogram;
pub mod layout;
mod python;
mod varbit;
pub mod xor;

pub use python::register;
