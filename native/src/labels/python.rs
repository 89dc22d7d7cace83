//! `LabelSets` as Python sees it; every rule stands in the Rust half.

use numpy::ndarray::Array2;
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayLike1};
use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyDictMethods};

use super::{LabelSets, LabelSetsBuilder};

#[pymethods]
impl LabelSets {
    /// From one mapping a series; names are sorted here, empty values dropped.
    #[staticmethod]
    fn from_dicts(sets: Vec<std::collections::BTreeMap<String, String>>) -> Self {
        let mut builder = LabelSetsBuilder::default();
        for set in &sets {
            for (name, value) in set {
                builder.label(name, value);
            }
            builder.end_set();
        }
        builder.build()
    }

    /// All sets of all parts, in order.
    #[staticmethod]
    fn concat(py: Python<'_>, parts: Vec<Py<Self>>) -> Self {
        let parts: Vec<&Self> = parts.iter().map(Py::get).collect();
        py.detach(|| Self::concatenated(&parts))
    }

    fn __len__(&self) -> usize {
        self.count()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, index: isize) -> PyResult<Bound<'py, PyDict>> {
        let count = self.count() as isize;
        let at = if index < 0 { index + count } else { index };
        if at < 0 || at >= count {
            return Err(PyIndexError::new_err(format!("series {index} of {count}")));
        }
        let dict = PyDict::new(py);
        for (name, value) in self.labels_of(at as usize) {
            dict.set_item(name, value)?;
        }
        Ok(dict)
    }

    /// uint64[n, 2]: low and high half of each set's fingerprint.
    fn fingerprints<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray2<u64>> {
        halves(py, py.detach(|| self.match_keys(&[], false)))
    }

    /// int64[n]: the order of blocks: by metric name, then by labels.
    fn sort_order<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        py.detach(|| self.ordered()).into_pyarray(py)
    }

    /// int64[n]: by the values of the named labels, numbers in them as numbers; then by all labels.
    fn natural_order<'py>(
        &self,
        py: Python<'py>,
        names: Vec<String>,
        descending: bool,
    ) -> Bound<'py, PyArray1<i64>> {
        py.detach(|| self.naturally_ordered(&names, descending))
            .into_pyarray(py)
    }

    /// The sets at `indices`, in that order; symbols are shared, not copied.
    fn take(&self, indices: PyArrayLike1<'_, i64>) -> PyResult<Self> {
        let indices = indices.as_array();
        self.taken(indices.iter().copied())
            .map_err(|error| PyIndexError::new_err(error.to_string()))
    }

    /// Each set with only the named labels.
    fn project(&self, py: Python<'_>, names: Vec<String>) -> Self {
        py.detach(|| self.filtered(&names, true))
    }

    /// Each set without the named labels.
    fn drop(&self, py: Python<'_>, names: Vec<String>) -> Self {
        py.detach(|| self.filtered(&names, false))
    }

    /// `(int32[n], groups)`: sets grouped by the named labels, or by all but those.
    fn group<'py>(
        &self,
        py: Python<'py>,
        names: Vec<String>,
        without: bool,
    ) -> (Bound<'py, PyArray1<i32>>, Self) {
        let (group_of, groups) = py.detach(|| self.grouped(&names, !without));
        (group_of.into_pyarray(py), groups)
    }

    /// uint64[n, 2]: the fingerprint of the named labels, or of all but those.
    #[pyo3(name = "match_keys")]
    fn py_match_keys<'py>(
        &self,
        py: Python<'py>,
        names: Vec<String>,
        on: bool,
    ) -> Bound<'py, PyArray2<u64>> {
        halves(py, py.detach(|| self.match_keys(&names, on)))
    }

    /// The names of all labels, sorted.
    #[pyo3(name = "names")]
    fn py_names(&self, py: Python<'_>) -> Vec<&str> {
        py.detach(|| self.names())
    }

    /// `(int32[n], values)`: one label of every set; "" where a set lacks it.
    #[pyo3(name = "column")]
    fn py_column<'py>(
        &self,
        py: Python<'py>,
        name: &str,
    ) -> (Bound<'py, PyArray1<i32>>, Vec<&str>) {
        let (codes, values) = py.detach(|| self.column(name));
        (codes.into_pyarray(py), values)
    }

    /// Each set with one label set to `values[codes[i]]`; "" removes it.
    #[pyo3(name = "with_column")]
    fn py_with_column(
        &self,
        py: Python<'_>,
        name: &str,
        codes: PyArrayLike1<'_, i32>,
        values: Vec<String>,
    ) -> PyResult<Self> {
        let codes: Vec<i32> = codes.as_array().to_vec();
        Ok(py.detach(|| self.with_column(name, &codes, &values))?)
    }

    /// Each set with those labels of `other[rows[i]]` that it lacks; a row of -1 adds none.
    #[pyo3(name = "completed")]
    fn py_completed(
        &self,
        py: Python<'_>,
        other: &Self,
        rows: PyArrayLike1<'_, i64>,
    ) -> PyResult<Self> {
        let rows: Vec<i64> = rows.as_array().to_vec();
        Ok(py.detach(|| self.completed(other, &rows))?)
    }

    /// `(earlier, later)` indices of the first set that occurs twice.
    #[pyo3(name = "duplicate")]
    fn py_duplicate(&self, py: Python<'_>) -> Option<(usize, usize)> {
        py.detach(|| self.duplicate())
    }
}

fn halves(py: Python<'_>, prints: Vec<[u64; 2]>) -> Bound<'_, PyArray2<u64>> {
    let mut flat = Array2::zeros((prints.len(), 2));
    for (mut row, print) in flat.outer_iter_mut().zip(prints) {
        row[0] = print[0];
        row[1] = print[1];
    }
    flat.into_pyarray(py)
}
