//! The arithmetic of the query engine: windows over samples, aggregation over series.
//!
//! Samples come in as the flat arrays of a frame; results are step matrices, `values` and `present`
//! of shape `[series, steps]`. Absence is only ever said by `present`.

mod aggregate;
mod buckets;
mod cells;
mod functions;
mod instant;
mod mixed;
mod over_time;
pub mod parallel;
mod python;
mod quantile;
mod rate;
mod reduce;
mod regex;
pub mod samples;
mod select;
pub mod starts;
pub mod sum;
mod trend;
mod window;

use pyo3::prelude::*;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    mixed::register(module)?;
    python::register(module)?;
    reduce::register(module)?;
    regex::register(module)
}
