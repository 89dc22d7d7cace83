//! Samples of both kinds: floats and histograms in one series.
//!
//! Results are a matrix of floats and, beside it, `index`: which histogram of a pool each cell is, or -1.
//! No cell is both.

mod aggregate;
mod answer;
mod choice;
mod events;
mod extended;
mod growth;
mod instant;
mod python;
mod samples;
mod total;
mod window;

pub use python::register;
