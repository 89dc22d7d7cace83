//! Judges what a producer says of a metric family.

use crate::write::batch::{Metadata, WriteBatch};
use crate::write::labels::quote;
use crate::write::limits::Limits;

/// By their numbers in remote write.
pub const METRIC_TYPES: [&str; 8] = [
    "unknown",
    "counter",
    "gauge",
    "histogram",
    "gaugehistogram",
    "summary",
    "info",
    "stateset",
];

/// Metadata as it came.
#[derive(Debug, Clone, Copy, Default)]
pub struct Entry<'a> {
    pub kind: u64,
    pub metric: &'a [u8],
    pub help: &'a [u8],
    pub unit: &'a [u8],
}

impl<'a> Entry<'a> {
    /// The entry of the family that a series belongs to: 2.0 sends metadata with series, and three series kinds
    /// of a histogram have names of their own.
    pub fn of_family(self) -> Self {
        let suffixes: &[&[u8]] = match self.kind {
            3 | 4 => &[b"_bucket", b"_count", b"_sum", b"_gcount", b"_gsum"],
            5 => &[b"_count", b"_sum"],
            _ => &[],
        };
        let stem = suffixes
            .iter()
            .find_map(|suffix| self.metric.strip_suffix(*suffix))
            .filter(|stem| !stem.is_empty());
        Self {
            metric: stem.unwrap_or(self.metric),
            ..self
        }
    }

    /// Adds the entry to the batch, or what is wrong with it.
    pub fn push(self, limits: &Limits, batch: &mut WriteBatch) {
        let max = limits.metadata_bytes;
        let Self {
            kind,
            metric,
            help,
            unit,
        } = self;
        if metric.is_empty() {
            let message = || "metadata names no metric".to_owned();
            return batch.reject("metadata-missing-metric-name", 0, message);
        }
        if metric.len() > max {
            let (length, metric) = (metric.len(), quote(metric));
            return batch.reject("metric-name-too-long", 0, || {
                format!("metric name in metadata has {length} bytes, more than max_metadata_length {max}: {metric}")
            });
        }
        if unit.len() > max {
            let (length, metric) = (unit.len(), quote(metric));
            return batch.reject("unit-too-long", 0, || {
                format!("unit of {metric} has {length} bytes, more than max_metadata_length {max}")
            });
        }
        let Ok(metric_text) = std::str::from_utf8(metric) else {
            let message = || format!("metric name in metadata is not UTF-8: {}", quote(metric));
            return batch.reject("metric-name-invalid", 0, message);
        };
        batch.push_metadata(Metadata {
            metric: metric_text.to_owned(),
            kind: usize::try_from(kind)
                .ok()
                .and_then(|kind| METRIC_TYPES.get(kind))
                .unwrap_or(&"unknown"),
            help: prose(help, max),
            unit: prose(unit, max),
        });
    }
}

/// Text for people: what is too long or not UTF-8 is mended, not refused.
fn prose(bytes: &[u8], bytes_max: usize) -> String {
    let mut text = String::from_utf8_lossy(&bytes[..bytes.len().min(bytes_max + 4)]).into_owned();
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_a_histogram_speak_of_their_family() {
        let family = |metric: &'static str, kind| {
            let metric = metric.as_bytes();
            let entry = Entry {
                kind,
                metric,
                ..Entry::default()
            };
            std::str::from_utf8(entry.of_family().metric).map(str::to_owned)
        };
        assert_eq!(family("x_bucket", 3), Ok("x".to_owned()));
        assert_eq!(family("x_gsum", 4), Ok("x".to_owned()));
        assert_eq!(family("x_count", 5), Ok("x".to_owned()));
        assert_eq!(family("x_bucket", 5), Ok("x_bucket".to_owned()));
        assert_eq!(family("x_count", 1), Ok("x_count".to_owned()));
        assert_eq!(family("_sum", 3), Ok("_sum".to_owned()));
    }
}
