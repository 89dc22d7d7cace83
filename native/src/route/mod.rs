//! A batch on its way to many ingesters (`docs/format/push.md`).
//!
//! | module | what |
//! |---|---|
//! | `table` | hash -> replica set |
//! | `work` | a routed batch: which members get which of its items |
//! | `known` | what a destination has acknowledged |
//! | `encode`, `decode` | items of a batch -> parcel, parcel -> batch |
//! | `python` | what Python sees |

mod decode;
mod encode;
mod known;
mod python;
mod table;
mod work;

pub use decode::batch_of;

use pyo3::prelude::*;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<python::Routing>()?;
    module.add_class::<python::Routed>()?;
    module.add_class::<python::Parcel>()?;
    module.add_class::<python::KnownSeries>()
}
