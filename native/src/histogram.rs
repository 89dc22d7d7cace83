//! Native histograms: what their cells mean, many of them as flat columns, one of them for arithmetic.
//!
//! A histogram is a row of cells (count, sum, zero count, one a bucket) under a [`Layout`] that says what
//! the buckets are. Neighbours nearly always share a layout, so that arithmetic on them is one loop over
//! cells. All counts are absolute and float64: integer histograms are exact up to 2^53 in a bucket.

mod accumulate;
mod arithmetic;
mod bounds;
mod buckets;
mod cell;
mod columns;
mod compact;
mod elementwise;
mod layout;
mod notes;
mod python;
mod quantile;
mod rank;
mod reset;
mod side;
mod text;
mod trim;
mod value;
mod zero;

pub use accumulate::Accumulator;
pub use arithmetic::Incompatible;
pub use buckets::{Bucket, Slot};
pub use columns::{Histograms, View};
pub use layout::{CUSTOM, Layout};
pub use notes::Notes;
pub use rank::rank;
pub use reset::{is_reset, resolved};
pub use value::{Hint, Histogram};

use pyo3::prelude::*;

/// Cells before the first bucket: count, sum, zero count.
pub const FIXED_CELLS: usize = 3;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Histograms>()?;
    elementwise::register(module)
}
