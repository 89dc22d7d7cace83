//! `Head`: what Python sees of a head. Every call releases the GIL and then locks; nothing that holds the lock
//! ever waits for the GIL.

use std::sync::Arc;

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::error::{Error, Result};
use crate::frame::PyFrame;
use crate::head::exemplars::ExemplarColumns;
use crate::head::gather;
use crate::head::ownership::Ownership;
use crate::head::read::Window;
use crate::head::record::{self, Ids, Outcome};
use crate::head::shared::{Pending, Pin, Shared, prepare};
use crate::head::store::Options;
use crate::head::wal::framed;
use crate::labels::LabelSets;
use crate::matcher::Matchers;
use crate::rpc::writer::FrameWriter;
use crate::write::batch::WriteBatch;

/// Longest range: distances within a chunk must fit in 32 bits.
const RANGE_MS_MAX: i64 = 7 * 24 * 3_600_000;
/// Series closed under one hold of the lock, before a range is frozen.
const SERIES_A_CLOSE: usize = 16_384;

/// Recent samples of one tenant.
#[pyclass(frozen, module = "rondel._native")]
pub struct Head {
    shared: Arc<Shared>,
}

/// Exemplars of as many series as asked for: `(offsets, timestamps_ms, values, labels)`.
type Exemplars<'py> = (
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<f64>>,
    LabelSets,
);

/// `(samples, histograms, exemplars, skipped, unknown, ranges)`
type Replayed = (u64, u64, u64, u64, u64, Vec<i64>);

#[pymethods]
impl Head {
    /// Times in milliseconds; `series_max` 0 means no limit, the other two that no exemplar is kept.
    #[new]
    #[pyo3(signature = (
        *, range_ms, window_ms, grace_ms, series_max, exemplars_max=0, exemplars_per_series_max=0
    ))]
    fn new(
        range_ms: i64,
        window_ms: i64,
        grace_ms: i64,
        series_max: usize,
        exemplars_max: usize,
        exemplars_per_series_max: usize,
    ) -> PyResult<Self> {
        if range_ms <= 0 || range_ms > RANGE_MS_MAX {
            let message = format!("block range of {range_ms} ms: want 1 to {RANGE_MS_MAX}");
            return Err(Error::invalid("bad-data", message).into());
        }
        let shared = Shared::new(Options {
            range_ms,
            window_ms,
            grace_ms,
            series_max,
            exemplars_max,
            exemplars_per_series_max,
        });
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    // --- write ---

    /// Resolves series, creating those that are new, and decides on everything in it. What another one has
    /// taken already is not too old for a `repair`, and no series of it is one too many.
    #[pyo3(signature = (batch, now_ms, repair=false))]
    fn prepare(
        &self,
        py: Python<'_>,
        batch: &Bound<'_, WriteBatch>,
        now_ms: i64,
        repair: bool,
    ) -> Pending {
        let batch = batch.get();
        py.detach(|| prepare(&self.shared, batch, now_ms, repair))
    }

    /// The framed WAL record; it defines the series that `segment` does not know yet.
    fn record<'py>(
        &self,
        py: Python<'py>,
        pending: &Bound<'py, Pending>,
        tenant: &str,
        segment: u32,
        salt: u64,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let pending = pending.get();
        let (kind, payload) = py.detach(|| {
            let mut store = pending.shared.write();
            record::encode(&mut store, tenant, &pending.prepared, segment)
        });
        framed(py, kind, &payload, salt)
    }

    /// Makes the samples visible; a second call does nothing.
    fn commit(&self, py: Python<'_>, pending: &Bound<'_, Pending>) {
        let pending = pending.get();
        py.detach(|| {
            let mut store = pending.shared.write();
            if pending.close() {
                store.commit(&pending.prepared);
            }
        });
    }

    /// Forgets the samples. Series that were created for them stay empty until they are collected.
    fn abort(&self, pending: &Bound<'_, Pending>) {
        pending.get().close();
    }

    // --- replay ---

    /// Applies payloads of `data`, `(kind, start, stop)` each, from after its tenant. What lies in the ranges
    /// with the numbers `covered` is skipped, it is in blocks.
    fn replay(
        &self,
        py: Python<'_>,
        data: &[u8],
        spans: Vec<(u8, usize, usize)>,
        covered: Vec<i64>,
    ) -> PyResult<Replayed> {
        let found = py.detach(|| -> Result<Outcome> {
            let mut store = self.shared.write();
            let mut ids = self.shared.ids();
            let mut outcome = Outcome::default();
            for (kind, start, stop) in spans {
                let payload = (kind, data.get(start..stop).unwrap_or_default());
                record::replay(&mut store, &mut ids, payload, &covered, &mut outcome)?;
            }
            Ok(outcome)
        })?;
        let taken = found.taken;
        Ok((
            taken.samples,
            taken.histograms,
            taken.exemplars,
            found.skipped,
            found.unknown,
            found.ranges,
        ))
    }

    /// Ends a replay: forgets the ids of the WAL and drops series without samples.
    fn end_replay(&self, py: Python<'_>) {
        py.detach(|| {
            *self.shared.ids() = Ids::default();
            self.shared.collect();
        });
    }

    // --- read ---

    /// Keeps what is selected from now on readable until the pin is gone.
    fn pin(&self) -> Pin {
        let mut epochs = self.shared.epochs();
        let epoch = epochs.now;
        *epochs.pins.entry(epoch).or_insert(0) += 1;
        Pin {
            shared: Arc::clone(&self.shared),
            epoch,
        }
    }

    /// Label sets and refs (int64[n]) of the series that match and may have samples in the range.
    fn select<'py>(
        &self,
        py: Python<'py>,
        matchers: &Bound<'py, Matchers>,
        mint_ms: i64,
        maxt_ms: i64,
    ) -> (LabelSets, Bound<'py, PyArray1<i64>>) {
        let matchers = matchers.get();
        let (labels, refs) = py.detach(|| {
            let store = self.shared.read();
            let slots = store.select(matchers, mint_ms, maxt_ms);
            (store.label_sets(&slots), gather::refs(&store, &slots))
        });
        (labels, refs.into_pyarray(py))
    }

    /// The samples of the refs, both ends of the range included, or only those of a frozen arena. None when
    /// the pin is too old: chunks that it protected were released.
    #[pyo3(signature = (refs, mint_ms, maxt_ms, pin, *, arena=None))]
    fn read<'py>(
        &self,
        py: Python<'py>,
        refs: PyReadonlyArray1<'py, i64>,
        mint_ms: i64,
        maxt_ms: i64,
        pin: &Bound<'py, Pin>,
        arena: Option<u32>,
    ) -> PyResult<Option<PyFrame<'py>>> {
        let refs = refs.as_slice()?;
        let window = Window {
            mint_ms,
            maxt_ms,
            arena,
        };
        let frame = py.detach(|| gather::read(&self.shared, refs, &window).into_frame());
        let whole = pin.get().epoch >= self.shared.epochs().released;
        Ok(whole.then(|| frame.into_python(py)))
    }

    /// The same for another process, in bytes: chunks as they are stored, or a digest of those of each series
    /// (`docs/format/select.md`).
    #[pyo3(signature = (refs, mint_ms, maxt_ms, pin, *, digests=false))]
    fn encoded<'py>(
        &self,
        py: Python<'py>,
        refs: PyReadonlyArray1<'py, i64>,
        mint_ms: i64,
        maxt_ms: i64,
        pin: &Bound<'py, Pin>,
        digests: bool,
    ) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let refs = refs.as_slice()?;
        let window = Window {
            mint_ms,
            maxt_ms,
            arena: None,
        };
        let writer = match digests {
            true => FrameWriter::of_digests(),
            false => FrameWriter::default(),
        };
        let sealed = py.detach(|| gather::copy(&self.shared, refs, &window, writer))?;
        let whole = pin.get().epoch >= self.shared.epochs().released;
        whole.then(|| sealed.into_python(py)).transpose()
    }

    /// `(labels, exemplars)` of the series that match any of the sets and have exemplars in the range.
    fn exemplars<'py>(
        &self,
        py: Python<'py>,
        sets: Vec<Bound<'_, Matchers>>,
        mint_ms: i64,
        maxt_ms: i64,
    ) -> (LabelSets, Exemplars<'py>) {
        let sets: Vec<&Matchers> = sets.iter().map(Bound::get).collect();
        let (labels, found) = py.detach(|| self.shared.read().exemplars(&sets, mint_ms, maxt_ms));
        (labels, exemplars(py, found))
    }

    /// Distinct label sets of the series that match any of the sets (of all where none is given).
    fn series(
        &self,
        py: Python<'_>,
        sets: Vec<Bound<'_, Matchers>>,
        mint_ms: i64,
        maxt_ms: i64,
    ) -> LabelSets {
        let sets: Vec<&Matchers> = sets.iter().map(Bound::get).collect();
        py.detach(|| self.shared.read().select_series(&sets, mint_ms, maxt_ms))
    }

    /// Sorted distinct label names of those series.
    fn label_names(
        &self,
        py: Python<'_>,
        sets: Vec<Bound<'_, Matchers>>,
        mint_ms: i64,
        maxt_ms: i64,
    ) -> Vec<String> {
        let sets: Vec<&Matchers> = sets.iter().map(Bound::get).collect();
        py.detach(|| self.shared.read().label_names(&sets, mint_ms, maxt_ms))
    }

    /// Sorted distinct values of one label of those series.
    fn label_values(
        &self,
        py: Python<'_>,
        name: &str,
        sets: Vec<Bound<'_, Matchers>>,
        mint_ms: i64,
        maxt_ms: i64,
    ) -> Vec<String> {
        let sets: Vec<&Matchers> = sets.iter().map(Bound::get).collect();
        py.detach(|| {
            let store = self.shared.read();
            store.label_values(name, &sets, mint_ms, maxt_ms)
        })
    }

    // --- ship ---

    /// Numbers of the ranges with samples that are not frozen, ascending. Range `n` covers
    /// `[n * range_ms, (n + 1) * range_ms)`.
    fn ranges(&self, py: Python<'_>) -> Vec<i64> {
        py.detach(|| self.shared.read().ranges())
    }

    /// Closes what lies in a range and returns its arena; later samples of it go to another one.
    fn freeze(&self, py: Python<'_>, range: i64) -> Option<u32> {
        py.detach(|| {
            // Most of the work in many short holds of the lock; the last one finds little left.
            let slots = self.shared.read().series.len();
            for start in (0..slots).step_by(SERIES_A_CLOSE) {
                let end = start + SERIES_A_CLOSE;
                self.shared.write().close_range(range, start..end);
            }
            self.shared.write().freeze(range)
        })
    }

    /// Label sets and refs of the series with chunks or exemplars in an arena.
    fn frozen<'py>(&self, py: Python<'py>, arena: u32) -> (LabelSets, Bound<'py, PyArray1<i64>>) {
        let (labels, refs) = py.detach(|| {
            let store = self.shared.read();
            let slots = store.series_in(arena);
            (store.label_sets(&slots), gather::refs(&store, &slots))
        });
        (labels, refs.into_pyarray(py))
    }

    /// Exemplars of the refs in an arena, one row a ref.
    fn frozen_exemplars<'py>(
        &self,
        py: Python<'py>,
        refs: PyReadonlyArray1<'py, i64>,
        arena: u32,
    ) -> PyResult<Exemplars<'py>> {
        let refs = refs.as_slice()?;
        let found = py.detach(|| {
            let store = self.shared.read();
            let slots = refs.iter().map(|&found| gather::slot_of(&store, found));
            store.exemplar_columns(slots, |one| one.arena == arena)
        });
        Ok(exemplars(py, found))
    }

    /// Starts a generation: pins from now on do not need what earlier ones do. Returns its number.
    fn advance(&self) -> u64 {
        let mut epochs = self.shared.epochs();
        epochs.now += 1;
        epochs.now
    }

    /// Whether a pin from before the generation is still held.
    fn is_pinned(&self, epoch: u64) -> bool {
        self.shared.epochs().pins.range(..epoch).next().is_some()
    }

    /// Forgets a frozen arena. Readers with a pin from before the generation `epoch` get None.
    fn release(&self, py: Python<'_>, arena: u32, epoch: u64) -> bool {
        {
            let mut epochs = self.shared.epochs();
            epochs.released = epochs.released.max(epoch);
        }
        py.detach(|| self.shared.write().release(arena))
    }

    /// Drops series without samples and gives memory back; returns how many. Those of prepared batches stay.
    fn collect(&self, py: Python<'_>) -> usize {
        py.detach(|| self.shared.collect())
    }

    // --- own ---

    /// Says which hashes are ours, by the last one of each range, ascending (uint64[n], bool[n]), and how many
    /// series may be active in them; 0 for no limit. Before the first call all are ours.
    fn own(
        &self,
        py: Python<'_>,
        ends: PyReadonlyArray1<'_, u64>,
        ours: PyReadonlyArray1<'_, bool>,
        series_max: usize,
    ) -> PyResult<()> {
        let ownership = Ownership::new(ends.as_slice()?, ours.as_slice()?, series_max)?;
        py.detach(|| self.shared.write().own(ownership));
        Ok(())
    }

    /// Active series that are ours.
    #[getter]
    fn owned_count(&self, py: Python<'_>) -> usize {
        py.detach(|| self.shared.read().ownership.count)
    }

    // --- look ---

    #[getter]
    fn range_ms(&self) -> i64 {
        self.shared.range_ms
    }

    /// Active series.
    #[getter]
    fn series_count(&self, py: Python<'_>) -> usize {
        py.detach(|| self.shared.read().live())
    }

    /// Time of the newest sample, None before the first.
    #[getter]
    fn max_time_ms(&self, py: Python<'_>) -> Option<i64> {
        py.detach(|| self.shared.read().max_ms)
    }

    /// Times of the oldest and the newest sample held.
    fn bounds_ms(&self, py: Python<'_>) -> Option<(i64, i64)> {
        py.detach(|| self.shared.read().bounds_ms())
    }

    /// Chunks held.
    fn chunk_count(&self, py: Python<'_>) -> usize {
        py.detach(|| self.shared.read().chunk_count())
    }

    /// Exemplars held.
    #[getter]
    fn exemplar_count(&self, py: Python<'_>) -> usize {
        py.detach(|| self.shared.read().arrivals.held)
    }

    /// Bytes held, nearly.
    fn size_bytes(&self, py: Python<'_>) -> usize {
        py.detach(|| self.shared.read().size_bytes())
    }

    /// What has most series, values and bytes: `limit` entries a list.
    fn cardinality<'py>(&self, py: Python<'py>, limit: usize) -> PyResult<Bound<'py, PyDict>> {
        let found = py.detach(|| self.shared.read().cardinality(limit));
        let out = PyDict::new(py);
        out.set_item("label_pairs", found.label_pairs)?;
        out.set_item("series_by_metric", found.series_by_metric)?;
        out.set_item("values_by_name", found.values_by_name)?;
        out.set_item("bytes_by_name", found.bytes_by_name)?;
        out.set_item("series_by_pair", found.series_by_pair)?;
        Ok(out)
    }
}

fn exemplars(py: Python<'_>, found: ExemplarColumns) -> Exemplars<'_> {
    (
        found.offsets.into_pyarray(py),
        found.times.into_pyarray(py),
        found.values.into_pyarray(py),
        found.labels,
    )
}
