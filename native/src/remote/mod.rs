//! Remote read on the wire: what a client asks in, series as samples or as chunks out.
//!
//! `request` reads the protobuf of a request, `message` writes protobuf, `answer` the two forms of an
//! answer, `sample` a histogram in them. Whoever reads the series decides how many of them are in memory at a time.

mod answer;
pub mod message;
mod python;
mod request;
mod sample;

pub use python::register;
