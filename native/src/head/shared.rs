//! What `Head`, `Pending` and `Pin` share, and how a lock is held: never while waiting for the GIL.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hashbrown::{HashMap, HashSet};
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
    open: Mutex<Open>,
    ids: Mutex<Ids>,
}

impl Shared {
    pub fn new(options: Options) -> Self {
        Self {
            range_ms: options.range_ms,
            store: RwLock::new(Store::new(options)),
            epochs: Mutex::default(),
            open: Mutex::default(),
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

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops series without samples that no open batch will append to.
    pub fn collect(&self) -> usize {
        let mut store = self.write();
        let held = self.open().slots();
        store.collect(&held)
    }
}

/// Batches that are prepared, and neither committed nor aborted: their slots are not given to others.
///
/// One enters while the store is locked, for reading at least, and `collect` locks it for writing.
#[derive(Debug, Default)]
struct Open {
    last: u64,
    batches: HashMap<u64, Arc<Prepared>>,
}

impl Open {
    fn enter(&mut self, prepared: &Arc<Prepared>) -> u64 {
        self.last += 1;
        self.batches.insert(self.last, Arc::clone(prepared));
        self.last
    }

    fn slots(&self) -> HashSet<u32> {
        let batches = self.batches.values();
        batches.flat_map(|one| one.slots.iter().copied()).collect()
    }
}

/// Resolves the series of a batch, creating those that are new, and decides on its content.
pub fn prepare(shared: &Arc<Shared>, batch: &WriteBatch, now_ms: i64, repair: bool) -> Pending {
    let mut slots = Vec::with_capacity(batch.len());
    let collections;
    {
        let store = shared.read();
        if store.resolve(batch, &mut slots) || !may_create(batch, &slots) {
            let prepared = store.check(batch, &store.bounds(now_ms, repair), &slots);
            return Pending::new(shared, &store, prepared);
        }
        collections = store.collections;
    }
    let mut store = shared.write();
    if store.collections != collections {
        slots.clear();
        store.resolve(batch, &mut slots);
    }
    let bounds = store.bounds(now_ms, repair);
    let created = store.create(batch, &bounds, &mut slots);
    let mut prepared = store.check(batch, &bounds, &slots);
    prepared.created = created;
    Pending::new(shared, &store, prepared)
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
    pub prepared: Arc<Prepared>,
    number: u64,
}

impl Pending {
    /// Of the store that the batch was resolved in, which is still locked.
    fn new(shared: &Arc<Shared>, _: &Store, prepared: Prepared) -> Self {
        let prepared = Arc::new(prepared);
        let number = shared.open().enter(&prepared);
        Self {
            shared: Arc::clone(shared),
            prepared,
            number,
        }
    }

    /// Whether it was still open; it is closed from here on.
    pub fn close(&self) -> bool {
        self.shared.open().batches.remove(&self.number).is_some()
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
