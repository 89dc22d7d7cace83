//! Routing, batches on their way, and what destinations know, as Python sees them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashSet;
use numpy::{
    IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::{Error, Result};
use crate::route::encode::{self, Extras};
use crate::route::known::Known;
use crate::route::table::Table;
use crate::route::work::Work;
use crate::write::batch::WriteBatch;

/// The replica sets of one ring.
#[pyclass(frozen, module = "rondel._native")]
pub struct Routing {
    table: Arc<Table>,
    sets: Py<PyArray2<i16>>,
}

#[pymethods]
impl Routing {
    /// Of ranges of hashes that end at `ends` (uint64[ranges]), each with its places (int16[ranges, width]).
    #[new]
    fn new(
        py: Python<'_>,
        ends: PyReadonlyArray1<'_, u64>,
        sets: PyReadonlyArray2<'_, i16>,
    ) -> PyResult<Self> {
        let width = sets.shape()[1];
        let (ends, sets) = (ends.as_slice()?, sets.as_slice()?);
        let table = py.detach(|| Table::new(ends, sets, width))?;
        let rows = PyArray1::from_slice(py, &table.sets);
        let rows = rows.reshape([table.sets.len() / width, width])?;
        rows.readwrite().make_nonwriteable();
        Ok(Self {
            table: Arc::new(table),
            sets: rows.unbind(),
        })
    }

    /// int16[sets, width]: each distinct set once, ascending, -1 behind the last of a smaller one.
    #[getter]
    fn sets(&self, py: Python<'_>) -> Py<PyArray2<i16>> {
        self.sets.clone_ref(py)
    }

    /// Finds out who gets what.
    fn route(&self, py: Python<'_>, batch: Py<WriteBatch>, tenant: String) -> Routed {
        let table = Arc::clone(&self.table);
        let work = py.detach(|| Work::new(batch, table, tenant));
        Routed(Arc::new(work))
    }
}

/// A batch, and which members of the ring get which of its items: its series, then its metadata entries.
#[pyclass(frozen, module = "rondel._native")]
pub struct Routed(Arc<Work>);

#[pymethods]
impl Routed {
    /// int64[items]: row of `Routing.sets` of each item.
    #[getter]
    fn set_of<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        let sets: Vec<i64> = self.0.set_of.iter().map(|&set| i64::from(set)).collect();
        sets.into_pyarray(py)
    }

    /// Places of those that get something, ascending.
    #[getter]
    fn members(&self) -> Vec<usize> {
        self.0.members().collect()
    }

    /// What one member gets; without the labels of series, and the metadata, that it is known to have.
    fn parcel(
        &self,
        py: Python<'_>,
        member: usize,
        known: &Bound<'_, KnownSeries>,
    ) -> PyResult<Parcel> {
        let work = &self.0;
        if member >= work.table.members {
            let message = format!("place {member} of {}", work.table.members);
            return Err(PyIndexError::new_err(message));
        }
        let known = known.get();
        let (rows, extras, payload) = py.detach(|| {
            let rows = work.split_items(member).0.to_vec();
            let extras = work.extras(member, &mut known.lock());
            let payload = work.encode(member, &extras);
            (rows, extras, payload)
        });
        let payload = payload.into_python(py);
        Ok(Parcel {
            work: Arc::clone(work),
            rows,
            extras,
            payload,
        })
    }
}

/// What one member gets of a batch.
#[pyclass(frozen, module = "rondel._native")]
pub struct Parcel {
    work: Arc<Work>,
    /// Series of the batch.
    rows: Vec<u32>,
    extras: Extras,
    payload: Py<PyBytes>,
}

#[pymethods]
impl Parcel {
    /// Series and metadata entries in it.
    fn __len__(&self) -> usize {
        self.rows.len() + self.extras.metadata.len()
    }

    /// The `batch` of a PushRequest: `docs/format/push.md`.
    #[getter]
    fn payload(&self, py: Python<'_>) -> Py<PyBytes> {
        self.payload.clone_ref(py)
    }

    /// Series that have their labels with them.
    #[getter]
    fn labelled(&self) -> usize {
        self.extras.labelled.len()
    }

    /// int64[n]: item of the batch of each of its items.
    #[getter]
    fn rows<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        let series = self.work.batch().len() as u32;
        let entries = self.extras.metadata.iter().map(|entry| series + entry);
        let rows = self.rows.iter().copied().chain(entries).map(i64::from);
        rows.collect::<Vec<_>>().into_pyarray(py)
    }

    /// Those of its series whose fingerprints an answer calls unknown, with labels.
    fn again(&self, py: Python<'_>, unknown: &[u8]) -> PyResult<Self> {
        let (rows, extras, payload) = py.detach(|| self.encode_again(unknown))?;
        Ok(Self {
            payload: PyBytes::new(py, &payload).unbind(),
            rows,
            extras,
            work: Arc::clone(&self.work),
        })
    }
}

impl Parcel {
    fn encode_again(&self, unknown: &[u8]) -> Result<(Vec<u32>, Extras, Vec<u8>)> {
        let wanted: HashSet<u128> = prints(unknown)?.collect();
        let batch = self.work.batch();
        let is_wanted = |row: &u32| wanted.contains(&batch.fingerprint(*row as usize));
        let rows: Vec<u32> = self.rows.iter().copied().filter(is_wanted).collect();
        let places = 0..rows.len() as u32;
        let has_labels = |place: &u32| batch.has_labels(rows[*place as usize] as usize);
        let extras = Extras {
            labelled: places.filter(has_labels).collect(),
            metadata: Vec::new(),
        };
        let mut payload = encode::columns(batch, &rows);
        encode::finish(&mut payload, batch, &rows, &extras);
        Ok((rows, extras, payload))
    }
}

/// Fingerprints that an answer names.
fn prints(bytes: &[u8]) -> Result<impl Iterator<Item = u128>> {
    let (words, rest) = bytes.as_chunks::<16>();
    match rest {
        [] => Ok(words.iter().map(|word| u128::from_le_bytes(*word))),
        _ => Err(Error::corrupt(
            "fingerprints end in the middle of one",
            bytes.len() as u64,
        )),
    }
}

/// What one destination has acknowledged.
#[pyclass(frozen, module = "rondel._native")]
pub struct KnownSeries {
    known: Mutex<Known>,
    entries_max: usize,
}

impl KnownSeries {
    /// What a panic left behind is whole: at worst a key is missing.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl KnownSeries {
    #[new]
    fn new(entries_max: usize) -> Self {
        Self {
            known: Mutex::new(Known::new(entries_max)),
            entries_max,
        }
    }

    /// Series and metadata entries held.
    fn __len__(&self) -> usize {
        let known = self.lock();
        known.series.len() + known.metadata.len()
    }

    /// The destination has acknowledged a parcel, but for the items of it (int64) that it `refused`.
    #[pyo3(signature = (parcel, refused=None))]
    fn learn(
        &self,
        py: Python<'_>,
        parcel: &Bound<'_, Parcel>,
        refused: Option<PyReadonlyArray1<'_, i64>>,
    ) -> PyResult<()> {
        let parcel = parcel.get();
        let refused = match &refused {
            Some(rows) => rows.as_slice()?,
            None => &[],
        };
        if !parcel.extras.is_empty() {
            py.detach(|| self.learn_extras(parcel, refused));
        }
        Ok(())
    }

    /// The destination does not know series of a parcel, fingerprints of 16 bytes each: it may have lost
    /// metadata, too, so all of that is forgotten.
    fn forget(&self, parcel: &Bound<'_, Parcel>, unknown: &[u8]) -> PyResult<()> {
        let mut known = self.lock();
        let keys = known.keys_of(&parcel.get().work.tenant);
        for print in prints(unknown)? {
            known.series.forget(keys.of_series(print));
        }
        if !unknown.is_empty() {
            known.metadata.clear();
        }
        Ok(())
    }

    /// Forgets everything: the stream to the destination broke.
    fn clear(&self) {
        *self.lock() = Known::new(self.entries_max);
    }
}

impl KnownSeries {
    fn learn_extras(&self, parcel: &Parcel, refused: &[i64]) {
        let refused: HashSet<i64> = refused.iter().copied().collect();
        let batch = parcel.work.batch();
        let mut known = self.lock();
        let keys = known.keys_of(&parcel.work.tenant);
        for &place in &parcel.extras.labelled {
            if !refused.contains(&i64::from(place)) {
                let row = parcel.rows[place as usize] as usize;
                known.series.learn(keys.of_series(batch.fingerprint(row)));
            }
        }
        let mut scratch = Vec::new();
        for &entry in &parcel.extras.metadata {
            let entry = &batch.metadata()[entry as usize];
            known.metadata.learn(keys.of_metadata(entry, &mut scratch));
        }
    }
}
