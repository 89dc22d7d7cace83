//! `WriteBatch` as Python sees it.

use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;

use crate::frame::FrameArrays;
use crate::histogram::Histograms;
use crate::labels::LabelSets;
use crate::route::batch_of as batch_of_parcel;
use crate::write::batch::arrays::{ExemplarArrays, batch_of};
use crate::write::batch::{Series, WriteBatch};
use crate::write::rejection::Rejection;
use crate::write::symbols::Symbol;

type PyLabels = Vec<(String, String)>;
type PySeries = (PyLabels, Vec<i64>, Vec<f64>);

#[pymethods]
impl WriteBatch {
    /// The samples of a frame, each series with its own; labels must be within the limits.
    #[staticmethod]
    #[pyo3(signature = (labels, arrays, exemplars=None))]
    fn from_arrays(
        labels: &Bound<'_, LabelSets>,
        arrays: FrameArrays<'_>,
        exemplars: Option<ExemplarArrays<'_>>,
    ) -> PyResult<Self> {
        let exemplars = exemplars.as_ref().map(ExemplarArrays::view).transpose()?;
        Ok(batch_of(labels.get(), arrays.view()?, exemplars)?)
    }

    /// The batch that a parcel carries (`docs/format/push.md`); series of which it has no labels have none.
    #[staticmethod]
    fn from_parcel(py: Python<'_>, payload: &[u8]) -> PyResult<Self> {
        Ok(py.detach(|| batch_of_parcel(payload))?)
    }

    fn __len__(&self) -> usize {
        self.len()
    }

    #[getter(sample_count)]
    fn py_sample_count(&self) -> usize {
        self.sample_count()
    }

    #[getter(histogram_count)]
    fn py_histogram_count(&self) -> usize {
        self.histogram_count()
    }

    #[getter(exemplar_count)]
    fn py_exemplar_count(&self) -> usize {
        self.exemplar_count()
    }

    /// `(cluster, replica)` of the pair of scrapers that sent it, as its first series has it.
    #[getter(pair)]
    fn py_pair(&self) -> Option<(&str, &str)> {
        let pair = self.pair.as_ref()?;
        Some((&pair.cluster, &pair.replica))
    }

    #[getter]
    fn metadata_count(&self) -> usize {
        self.metadata.len()
    }

    /// Exemplars that came and are not in the batch: `(id, text of the first, exemplars)`.
    #[getter]
    fn exemplars_dropped(&self) -> Vec<(&'static str, &str, u64)> {
        counted(self.exemplars_dropped.all())
    }

    /// Heap bytes held.
    #[getter]
    fn size_bytes(&self) -> usize {
        let floats =
            self.timestamps_ms.capacity() + self.values.capacity() + self.starts_ms.capacity();
        self.message.capacity()
            + self.encoded.capacity()
            + self.series.capacity() * size_of::<Series>()
            + floats * 8
            + self.symbols.capacity() * size_of::<Symbol>()
            + self.histograms.size_bytes()
            + self.exemplars.size_bytes()
    }

    /// What was left out while decoding: `(id, text of the first, samples)`, one an id.
    #[getter(rejections)]
    fn py_rejections(&self) -> Vec<(&'static str, &str, u64)> {
        counted(self.rejections.all())
    }

    /// `(metric, type, help, unit)` in the order of arrival.
    #[pyo3(name = "metadata")]
    fn py_metadata(&self) -> Vec<(&str, &'static str, &str, &str)> {
        self.metadata
            .iter()
            .map(|one| {
                (
                    one.metric.as_str(),
                    one.kind,
                    one.help.as_str(),
                    one.unit.as_str(),
                )
            })
            .collect()
    }

    /// Labels, timestamps and values of one series: for tests and for people, not for a hot path.
    fn series(&self, index: usize) -> PyResult<PySeries> {
        self.check_index(index)?;
        let mut labels = Vec::new();
        self.labels(index, &mut labels);
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        let (timestamps_ms, values) = self.samples(index);
        Ok((
            labels.iter().map(owned).collect(),
            timestamps_ms.to_vec(),
            values.to_vec(),
        ))
    }

    /// The starts of the samples of one series; empty if the batch has none.
    #[pyo3(name = "starts")]
    fn py_starts(&self, index: usize) -> PyResult<Vec<i64>> {
        self.check_index(index)?;
        Ok(self.starts(index).to_vec())
    }

    /// Timestamps, starts and values of the histograms of one series.
    #[pyo3(name = "histograms")]
    fn py_histograms(&self, index: usize) -> PyResult<(Vec<i64>, Vec<i64>, Histograms)> {
        self.check_index(index)?;
        let (timestamps_ms, starts_ms, first) = self.histograms(index);
        let mut values = Histograms::default();
        for row in first..first + timestamps_ms.len() {
            values.push(self.histogram_values().get(row));
        }
        Ok((timestamps_ms.to_vec(), starts_ms.to_vec(), values))
    }

    /// `(timestamp, value, labels)` of the exemplars of one series.
    #[pyo3(name = "exemplars")]
    fn py_exemplars(&self, index: usize) -> PyResult<Vec<(i64, f64, PyLabels)>> {
        self.check_index(index)?;
        let rows = self.exemplars(index).iter();
        Ok(rows
            .map(|one| (one.time_ms, one.value, one.labels.clone()))
            .collect())
    }

    /// The fingerprint of one series: `docs/format/fingerprint.md`.
    #[pyo3(name = "fingerprint")]
    fn py_fingerprint(&self, index: usize) -> PyResult<u128> {
        self.check_index(index)?;
        Ok(self.fingerprint(index))
    }
}

fn counted(rejections: &[Rejection]) -> Vec<(&'static str, &str, u64)> {
    rejections
        .iter()
        .map(|one| (one.id, one.message.as_str(), one.samples))
        .collect()
}

impl WriteBatch {
    fn check_index(&self, index: usize) -> PyResult<()> {
        if index < self.len() {
            return Ok(());
        }
        let message = format!("series {index} of {}", self.len());
        Err(PyIndexError::new_err(message))
    }
}
