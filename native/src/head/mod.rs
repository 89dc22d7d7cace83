//! The head: recent samples of one tenant.
//!
//! | module | what |
//! |---|---|
//! | `step`, `cells` | chunk codecs of floats and of histograms |
//! | `blocks` | where chunk bytes live |
//! | `track`, `histograms` | a column of a series: open chunk, closed chunks, late samples |
//! | `series`, `exemplars` | one series, and what it has beside its floats |
//! | `index` | labels: interned pairs, postings, matchers |
//! | `store` | all series: resolve, commit, freeze, release, collect |
//! | `ownership` | which series a ring gives us |
//! | `check` | what of a batch is accepted |
//! | `read`, `read_histograms`, `gather`, `lookup` | samples and labels for queries |
//! | `copy` | samples for queries of other processes, as they are stored |
//! | `record`, `segment` | WAL payloads and their framing |
//! | `door`, `shared`, `wal` | what Python sees |

mod blocks;
pub mod cells;
mod check;
mod copy;
mod door;
mod exemplars;
mod gather;
pub mod histograms;
mod index;
mod lookup;
mod ownership;
pub mod read;
mod read_histograms;
mod record;
mod segment;
mod series;
mod shared;
pub mod step;
mod store;
mod track;
mod wal;

use pyo3::prelude::*;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<door::Head>()?;
    module.add_class::<shared::Pending>()?;
    module.add_class::<shared::Pin>()?;
    wal::register(module)
}
