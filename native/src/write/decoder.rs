//! `WriteDecoder`: a body becomes a batch in one call, with the GIL released.

use std::sync::Mutex;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::error::Result;
use crate::otlp::{Options, translate};
use crate::write::assembly::Assembly;
use crate::write::batch::WriteBatch;
use crate::write::cache::{Cache, Next, lock};
use crate::write::limits::Limits;
use crate::write::pair::{Pair, PairLabels};
use crate::write::request::Walk;
use crate::write::request2::{Families, Walk2};
use crate::write::snappy;
use crate::write::symbols::Symbols;

/// Of the remote-write protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    One,
    Two,
}

/// Decodes remote-write bodies under one set of limits, and remembers the series it has seen.
#[pyclass(frozen, module = "rondel._native")]
#[derive(Debug)]
pub struct WriteDecoder {
    limits: Limits,
    cache: Mutex<Cache>,
    seed: u64,
    pair_labels: PairLabels,
}

impl WriteDecoder {
    /// `pairs`: whether pairs of scrapers are looked for.
    pub fn decode_body(
        &self,
        body: &[u8],
        now_ms: i64,
        version: Version,
        pairs: bool,
    ) -> Result<WriteBatch> {
        let message = snappy::decompress(body, self.limits.message_bytes)?;
        let mut batch = WriteBatch::for_message(message.len());
        let latest_ms = now_ms.saturating_add(self.limits.creation_grace_ms);
        let labels = pairs.then_some(&self.pair_labels);
        match version {
            Version::One => self.walk(&message, &mut batch, latest_ms, labels)?,
            Version::Two => self.walk2(&message, &mut batch, latest_ms, labels)?,
        }
        batch.keep_message(message);
        Ok(batch)
    }

    fn walk(
        &self,
        message: &[u8],
        batch: &mut WriteBatch,
        latest_ms: i64,
        labels: Option<&PairLabels>,
    ) -> Result<()> {
        let pair = self.pair(message, None, labels)?;
        Walk {
            message,
            assembly: Assembly::new(message, batch, &self.limits, latest_ms, None, pair.as_ref()),
            cache: &self.cache,
            next: Next::default(),
            seed: self.seed_of(pair.as_ref()),
        }
        .request()?;
        batch.keep_pair(pair);
        Ok(())
    }

    fn pair(
        &self,
        message: &[u8],
        symbols: Option<&Symbols>,
        labels: Option<&PairLabels>,
    ) -> Result<Option<Pair>> {
        match labels {
            Some(labels) => labels.find(message, symbols, &self.limits),
            None => Ok(None),
        }
    }

    fn seed_of(&self, pair: Option<&Pair>) -> u64 {
        pair.map_or(self.seed, |_| self.pair_labels.seed)
    }

    fn walk2(
        &self,
        message: &[u8],
        batch: &mut WriteBatch,
        latest_ms: i64,
        labels: Option<&PairLabels>,
    ) -> Result<()> {
        let symbols = Symbols::read(message, &self.limits, self.seed)?;
        let read = Some(&symbols);
        let pair = self.pair(message, read, labels)?;
        let named = pair.as_ref();
        Walk2 {
            message,
            assembly: Assembly::new(message, batch, &self.limits, latest_ms, read, named),
            symbols: &symbols,
            cache: &self.cache,
            next: Next::default(),
            seed: self.seed_of(named),
            label_bytes: 0,
            families: Families::default(),
        }
        .request()?;
        batch.keep_symbols(symbols.places);
        batch.keep_pair(pair);
        Ok(())
    }
}

#[pymethods]
impl WriteDecoder {
    #[new]
    #[pyo3(signature = (*, message_size_bytes_max, samples_max, exemplars_max, metadata_max, symbols_max,
        label_name_bytes_max, label_value_bytes_max, labels_per_series_max, histogram_buckets_max,
        metadata_bytes_max, creation_grace_ms, cache_series, cache_seed, cluster_label="cluster".to_owned(),
        replica_label="__replica__".to_owned()))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        message_size_bytes_max: u32,
        samples_max: u32,
        exemplars_max: u32,
        metadata_max: u32,
        symbols_max: u32,
        label_name_bytes_max: usize,
        label_value_bytes_max: usize,
        labels_per_series_max: usize,
        histogram_buckets_max: u32,
        metadata_bytes_max: usize,
        creation_grace_ms: i64,
        cache_series: usize,
        cache_seed: u64,
        cluster_label: String,
        replica_label: String,
    ) -> Self {
        Self {
            limits: Limits {
                message_bytes: message_size_bytes_max as usize,
                samples: samples_max as usize,
                exemplars: exemplars_max as usize,
                metadata: metadata_max as usize,
                symbols: symbols_max as usize,
                label_name_bytes: label_name_bytes_max,
                label_value_bytes: label_value_bytes_max,
                labels_per_series: labels_per_series_max,
                histogram_buckets: histogram_buckets_max as usize,
                metadata_bytes: metadata_bytes_max,
                creation_grace_ms,
            },
            cache: Mutex::new(Cache::new(cache_series)),
            seed: cache_seed,
            pair_labels: PairLabels::new(cluster_label, replica_label, cache_seed),
        }
    }

    /// Decodes one body of remote write 1.0 or 2.0; raises `InvalidData` if nothing of it can be used.
    #[pyo3(signature = (body, now_ms, version=1, pairs=false))]
    fn decode(
        &self,
        py: Python<'_>,
        body: &[u8],
        now_ms: i64,
        version: u8,
        pairs: bool,
    ) -> PyResult<WriteBatch> {
        let version = match version {
            1 => Version::One,
            2 => Version::Two,
            _ => {
                let message = format!("remote write {version} does not exist");
                return Err(PyValueError::new_err(message));
            }
        };
        Ok(py.detach(|| self.decode_body(body, now_ms, version, pairs))?)
    }

    /// The batch of one `ExportMetricsServiceRequest` of OpenTelemetry, as Prometheus translates it.
    #[pyo3(signature = (message, now_ms, accept_delta=false, promoted=Vec::new()))]
    fn decode_otlp(
        &self,
        py: Python<'_>,
        message: &[u8],
        now_ms: i64,
        accept_delta: bool,
        promoted: Vec<String>,
    ) -> PyResult<WriteBatch> {
        let options = Options {
            accept_delta,
            promoted,
        };
        Ok(py.detach(|| translate(message, now_ms, &self.limits, &options))?)
    }

    /// `(series, bytes, misses)` of the cache.
    fn cache_stats(&self) -> (usize, usize, u64) {
        let cache = lock(&self.cache);
        (cache.len(), cache.size_bytes(), cache.misses())
    }
}
