//! `KnownMetadata`: which metadata an ingester has already. Remote write 2.0 repeats it with every sample.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashSet;
use pyo3::prelude::*;
use xxhash_rust::xxh3::xxh3_128;

use crate::fingerprint::SEPARATOR;
use crate::write::batch::WriteBatch;

/// Hashes of the entries of one tenant, so that what comes again is known without making strings of it.
#[pyclass(frozen, module = "rondel._native")]
#[derive(Debug, Default)]
pub struct KnownMetadata(Mutex<HashSet<u128>>);

type Entry<'a> = (&'a str, &'a str, &'a str, &'a str);

fn key((metric, kind, help, unit): Entry<'_>) -> u128 {
    let mut bytes = Vec::with_capacity(metric.len() + kind.len() + help.len() + unit.len() + 4);
    for text in [metric, kind, help, unit] {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(SEPARATOR);
    }
    xxh3_128(&bytes)
}

impl KnownMetadata {
    /// A set that a panic left behind is whole: keys are added in one step.
    fn keys(&self) -> MutexGuard<'_, HashSet<u128>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh<'a>(&self, entries: impl Iterator<Item = Entry<'a>>) -> Vec<Entry<'a>> {
        let known = self.keys();
        let mut seen = HashSet::new();
        entries
            .filter(|&entry| {
                let key = key(entry);
                !known.contains(&key) && seen.insert(key)
            })
            .collect()
    }
}

#[pymethods]
impl KnownMetadata {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// The entries of a batch that are not known, each once: `(metric, type, help, unit)`.
    fn unknown<'a>(&self, batch: &'a Bound<'_, WriteBatch>) -> Vec<Entry<'a>> {
        let entries = batch.get().metadata().iter();
        self.fresh(entries.map(|one| {
            (
                one.metric.as_str(),
                one.kind,
                one.help.as_str(),
                one.unit.as_str(),
            )
        }))
    }

    fn add(&self, metric: &str, kind: &str, help: &str, unit: &str) {
        self.keys().insert(key((metric, kind, help, unit)));
    }

    fn remove(&self, metric: &str, kind: &str, help: &str, unit: &str) {
        self.keys().remove(&key((metric, kind, help, unit)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_fresh_once_and_again_when_it_was_removed() {
        let known = KnownMetadata::new();
        let entries = [
            ("up", "gauge", "Whether.", ""),
            ("up", "gauge", "Whether.", ""),
            ("up", "gauge", "Whether", "."),
        ];
        let fresh = |known: &KnownMetadata| known.fresh(entries.into_iter());
        assert_eq!(fresh(&known), [entries[0], entries[2]]);
        known.add("up", "gauge", "Whether.", "");
        assert_eq!(fresh(&known), [entries[2]]);
        known.remove("up", "gauge", "Whether.", "");
        assert_eq!(fresh(&known).len(), 2);
    }
}
