//! `WriteDecoder`: a body becomes a batch in one call, with the GIL released.

use std::sync::Mutex;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::error::Result;
use crate::write::assembly::Assembly;
use crate::write::batch::WriteBatch;
use crate::write::cache::{Cache, Next, lock};
use crate::write::limits::Limits;
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
}

impl WriteDecoder {
    pub fn decode_body(&self, body: &[u8], now_ms: i64, version: Version) -> Result<WriteBatch> {
        let message = snappy::decompress(body, self.limits.message_bytes)?;
        let mut batch = WriteBatch::for_message(message.len());
        let latest_ms = now_ms.saturating_add(self.limits.creation_grace_ms);
        match version {
            Version::One => self.walk(&message, &mut batch, latest_ms)?,
            Version::Two => self.walk2(&message, &mut batch, latest_ms)?,
        }
        batch.keep_message(message);
        Ok(batch)
    }

    fn walk(&self, message: &[u8], batch: &mut WriteBatch, latest_ms: i64) -> Result<()> {
        Walk {
            message,
            assembly: Assembly::new(message, batch, &self.limits, latest_ms, None),
            cache: &self.cache,
            next: Next::default(),
            seed: self.seed,
        }
        .request()
    }

    fn walk2(&self, message: &[u8], batch: &mut WriteBatch, latest_ms: i64) -> Result<()> {
        let symbols = Symbols::read(message, &self.limits, self.seed)?;
        Walk2 {
            message,
            assembly: Assembly::new(message, batch, &self.limits, latest_ms, Some(&symbols)),
            symbols: &symbols,
            cache: &self.cache,
            next: Next::default(),
            seed: self.seed,
            label_bytes: 0,
            families: Families::default(),
        }
        .request()?;
        batch.keep_symbols(symbols.places);
        Ok(())
    }
}

#[pymethods]
impl WriteDecoder {
    #[new]
    #[pyo3(signature = (*, message_size_bytes_max, samples_max, exemplars_max, metadata_max, symbols_max,
        label_name_bytes_max, label_value_bytes_max, labels_per_series_max, histogram_buckets_max,
        metadata_bytes_max, creation_grace_ms, cache_series, cache_seed))]
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
        }
    }

    /// Decodes one body of remote write 1.0 or 2.0; raises `InvalidData` if nothing of it can be used.
    #[pyo3(signature = (body, now_ms, version=1))]
    fn decode(
        &self,
        py: Python<'_>,
        body: &[u8],
        now_ms: i64,
        version: u8,
    ) -> PyResult<WriteBatch> {
        let version = match version {
            1 => Version::One,
            2 => Version::Two,
            _ => {
                let message = format!("remote write {version} does not exist");
                return Err(PyValueError::new_err(message));
            }
        };
        Ok(py.detach(|| self.decode_body(body, now_ms, version))?)
    }

    /// `(series, bytes, misses)` of the cache.
    fn cache_stats(&self) -> (usize, usize, u64) {
        let cache = lock(&self.cache);
        (cache.len(), cache.size_bytes(), cache.misses())
    }
}
