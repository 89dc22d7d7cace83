//! What a request may contain. Names and defaults are set by `rondel/model/write.py`.

#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of the decompressed message.
    pub message_bytes: usize,
    /// Float and histogram samples.
    pub samples: usize,
    pub exemplars: usize,
    pub metadata: usize,
    /// Distinct strings of a 2.0 request.
    pub symbols: usize,
    pub label_name_bytes: usize,
    pub label_value_bytes: usize,
    pub labels_per_series: usize,
    /// Buckets, bounds or spans of one histogram.
    pub histogram_buckets: usize,
    /// Bytes of a metric name, help or unit in metadata.
    pub metadata_bytes: usize,
    /// How far ahead of our clock a sample may be.
    pub creation_grace_ms: i64,
}

/// Buckets that a request may have for each sample that it may have.
const BUCKETS_PER_SAMPLE: usize = 4;

impl Limits {
    /// Buckets of all histograms of one request.
    pub fn buckets_per_request(&self) -> usize {
        self.samples.saturating_mul(BUCKETS_PER_SAMPLE)
    }
}

#[cfg(test)]
pub const TEST_LIMITS: Limits = Limits {
    message_bytes: 1 << 20,
    samples: 100,
    exemplars: 10,
    metadata: 100,
    symbols: 100,
    label_name_bytes: 10,
    label_value_bytes: 20,
    labels_per_series: 4,
    histogram_buckets: 20,
    metadata_bytes: 10,
    creation_grace_ms: 0,
};
