//! OpenTelemetry's metrics (OTLP) -> `WriteBatch`, as Prometheus' receiver translates them by default.
//!
//! `request` walks an `ExportMetricsServiceRequest` in place: resources, scopes, metrics. `points` has the data
//! points of each kind, `exponential` those that become native histograms, `exemplar` what hangs on both. `names` makes names of metrics and
//! labels, `value` texts of attributes, `attributes` the labels of a point; `sink` judges them and fills the
//! batch. What the reader of remote write bounds is bounded here by the same limits.

mod attributes;
mod exemplar;
mod exponential;
mod names;
mod points;
mod request;
mod sink;
mod value;

use crate::error::{Error, Result};
use crate::otlp::request::Walk;
use crate::otlp::sink::Sink;
use crate::write::batch::WriteBatch;
use crate::write::limits::Limits;

/// What a receiver of OTLP may be told.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Whether points that tell a change since the last one are kept as they are.
    pub accept_delta: bool,
    /// Attributes of resources that become labels of every series.
    pub promoted: Vec<String>,
}

/// The batch of one message. Errors where nothing of it can be used.
pub fn translate(
    message: &[u8],
    now_ms: i64,
    limits: &Limits,
    options: &Options,
) -> Result<WriteBatch> {
    if message.len() > limits.message_bytes {
        return Err(Error::invalid(
            "distributor-max-write-message-size",
            format!(
                "message of {} bytes exceeds the limit of {}",
                message.len(),
                limits.message_bytes
            ),
        ));
    }
    let latest_ms = now_ms.saturating_add(limits.creation_grace_ms);
    let mut batch = WriteBatch::for_message(message.len());
    Walk {
        message,
        options,
        sink: Sink::new(&mut batch, limits, latest_ms),
    }
    .request()?;
    // Labels are written out: nothing points into the message.
    batch.keep_message(Vec::new());
    Ok(batch)
}
