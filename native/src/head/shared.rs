//! What `Head`, `Pending` and `Pin` share, and how a lock is held: never while waiting for the GIL.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::head::check::Prepared;
use crate::head::record::Ids;
use crate::head::store::{NO_SLOT, Options, Store};
use crate::write::batch::WriteBatch;

/// Which generations of the head readers still look at.
#[derive(Debug, Default)]
pub struct Epochs {
    pub now: u64,
    /// Readers that started before this one may miss chunks.
    pub released: u64,
    pub pins: BTreeMap<u64, usize>,
}

#[derive(Debug)]
pub struct Shared {
    pub range_ms: i64,
    store: RwLock<Store>,
    epochs: Mutex<Epochs>,
    /// Prepared batches that are neither committed nor aborted.
    pub pending: AtomicUsize,
    ids: Mutex<Ids>,
}

impl Shared {
    pub fn new(options: Options) -> Self {
        Self {
            range_ms: options.range_ms,
            store: RwLock::new(Store::new(options)),
            epochs: Mutex::default(),
            pending: AtomicUsize::new(0),
            ids: Mutex::default(),
        }
    }

    pub fn read(&self) -> RwLockReadGuard<'_, Store> {
        self.store.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, Store> {
        self.store.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn epochs(&self) -> MutexGuard<'_, Epochs> {
        self.epochs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn ids(&self) -> MutexGuard<'_, Ids> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Resolves the series of a batch, creating those that are new, and decides on its content.
pub fn prepare(shared: &Shared, batch: &WriteBatch, now_ms: i64, repair: bool) -> Prepared {
    let mut slots = Vec::with_capacity(batch.len());
    {
        let store = shared.read();
        if store.resolve(batch, &mut slots) || !may_create(batch, &slots) {
            return store.check(batch, &store.bounds(now_ms, repair), &slots);
        }
    }
    let mut store = shared.write();
    let bounds = store.bounds(now_ms, repair);
    let created = store.create(batch, &bounds, &mut slots);
    let mut prepared = store.check(batch, &bounds, &slots);
    prepared.created = created;
    prepared
}

/// Whether labels of any missing series came.
fn may_create(batch: &WriteBatch, slots: &[u32]) -> bool {
    let mut rows = slots.iter().enumerate();
    rows.any(|(index, &slot)| slot == NO_SLOT && batch.has_labels(index))
}

/// Holds a reader's generation: what it selected stays readable until it is gone.
#[pyclass(frozen, module = "rondel._native")]
pub struct Pin {
    pub shared: Arc<Shared>,
    pub epoch: u64,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut epochs = self.shared.epochs();
        if let Some(count) = epochs.pins.get_mut(&self.epoch) {
            *count -= 1;
            if *count == 0 {
                epochs.pins.remove(&self.epoch);
            }
        }
    }
}

/// What is accepted of one batch, resolved to series; in the WAL before they are visible.
#[pyclass(frozen, module = "rondel._native")]
pub struct Pending {
    pub shared: Arc<Shared>,
    pub prepared: Prepared,
    state: AtomicUsize,
}

const PREPARED: usize = 0;
const DONE: usize = 1;

impl Pending {
    /// Of a batch that `shared.pending` counts already.
    pub fn new(shared: Arc<Shared>, prepared: Prepared) -> Self {
        Self {
            shared,
            prepared,
            state: AtomicUsize::new(PREPARED),
        }
    }

    /// Whether it was still open; it is closed from here on.
    pub fn close(&self) -> bool {
        let first = self.state.swap(DONE, Ordering::AcqRel) == PREPARED;
        if first {
            self.shared.pending.fetch_sub(1, Ordering::AcqRel);
        }
        first
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.close();
    }
}

#[pymethods]
impl Pending {
    /// `(samples, histograms, exemplars)` accepted, those that were there already included.
    #[getter]
    fn accepted(&self) -> (u64, u64, u64) {
        let (fresh, same) = (self.prepared.fresh(), self.prepared.same);
        (
            fresh.samples + same.samples,
            fresh.histograms + same.histograms,
            fresh.exemplars + same.exemplars,
        )
    }

    /// Samples, histograms and exemplars that are new, and so have to be written.
    #[getter]
    fn fresh(&self) -> u64 {
        let fresh = self.prepared.fresh();
        fresh.samples + fresh.histograms + fresh.exemplars
    }

    /// Exemplars that were left out: without a series, out of the window, or of a tenant that keeps none.
    #[getter]
    fn exemplars_refused(&self) -> u64 {
        self.prepared.exemplars_refused
    }

    /// Series that were created for it.
    #[getter]
    fn created(&self) -> u64 {
        self.prepared.created
    }

    /// `(id, text of the first, samples)`, one an id.
    #[getter]
    fn rejections(&self) -> Vec<(&'static str, String, u64)> {
        let all = self.prepared.rejections.all().iter();
        all.map(|one| (one.id, one.message.clone(), one.samples))
            .collect()
    }

    /// int64 arrays, one an entry of `rejections`: the row of the batch of each sample that was left out.
    #[getter]
    fn rejected_rows<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyArray1<i64>>> {
        let all = self.prepared.rejections.all().iter();
        let rows = all.map(|one| {
            one.rows
                .iter()
                .map(|&row| i64::from(row))
                .collect::<Vec<_>>()
        });
        rows.map(|rows| rows.into_pyarray(py)).collect()
    }

    /// Fingerprints of rows without labels whose series the head does not have, 16 bytes each; nothing of
    /// these rows is in here.
    #[getter]
    fn unknown<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let prints = self.prepared.unknown.iter();
        let bytes: Vec<u8> = prints.flat_map(|print| print.to_le_bytes()).collect();
        PyBytes::new(py, &bytes)
    }

    /// Numbers of the ranges that its new content lies in, ascending.
    fn ranges(&self) -> Vec<i64> {
        self.prepared.ranges(self.shared.range_ms)
    }
}
