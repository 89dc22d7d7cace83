//! Native histograms: what their cells mean, many of them as flat columns, one of them for arithmetic.
//!
//! A histogram is a row of cells (count, sum, zero count, one a bucket) under a [`Layout`] that says what
//! the buckets are. Neighbours nearly always share a layout, so that arithmetic on them is one loop over
//! cells. All counts are absolute and float64: integer histograms are exact up to 2^53 in a bucket.

mod columns;
mod layout;
mod python;
mod rank;
mod value;

pub use columns::{Histograms, View};
pub use layout::{CUSTOM, Layout};
pub use rank::rank;
pub use value::{Hint, Histogram};

use pyo3::prelude::*;

/// Cells before the first bucket: count, sum, zero count.
pub const FIXED_CELLS: usize = 3;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Histograms>()
}
