//! `Histograms` as Python sees it; the dicts are for tests and single values, never for a hot path.

use std::collections::BTreeMap;
use std::sync::Arc;

use numpy::{IntoPyArray, PyArray1, PyArrayLike1};
use pyo3::exceptions::{PyIndexError, PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::histogram::{FIXED_CELLS, Hint, Histograms, Layout, View};

#[pymethods]
impl Histograms {
    /// From one mapping a histogram, with the keys of `__getitem__`; what is left out is 0 or empty.
    #[staticmethod]
    fn from_dicts(items: Vec<Bound<'_, PyDict>>) -> PyResult<Self> {
        let mut all = Self::default();
        for item in &items {
            let (layout, hint, cells) = parse(item)?;
            all.push(View {
                layout: &Arc::new(layout),
                hint,
                cells: &cells,
            });
        }
        Ok(all)
    }

    /// All histograms of all parts, in order.
    #[staticmethod]
    fn concat(py: Python<'_>, parts: Vec<Py<Self>>) -> Self {
        let parts: Vec<&Self> = parts.iter().map(Py::get).collect();
        py.detach(|| Self::concatenated(&parts))
    }

    fn __len__(&self) -> usize {
        self.len()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, index: isize) -> PyResult<Bound<'py, PyDict>> {
        let count = self.len() as isize;
        let at = if index < 0 { index + count } else { index };
        if at < 0 || at >= count {
            return Err(PyIndexError::new_err(format!(
                "histogram {index} of {count}"
            )));
        }
        let view = self.get(at as usize);
        let layout = view.layout;
        let pairs = |indexes: &[i32], counts: &[f64]| -> BTreeMap<i32, f64> {
            indexes
                .iter()
                .copied()
                .zip(counts.iter().copied())
                .collect()
        };
        let dict = PyDict::new(py);
        dict.set_item("schema", layout.schema)?;
        dict.set_item("count", view.count())?;
        dict.set_item("sum", view.sum())?;
        dict.set_item("zero_count", view.zero_count())?;
        dict.set_item("zero_threshold", layout.zero_threshold)?;
        dict.set_item("positive", pairs(&layout.positive, view.positive()))?;
        dict.set_item("negative", pairs(&layout.negative, view.negative()))?;
        dict.set_item("custom_values", layout.bounds.clone())?;
        dict.set_item("hint", view.hint.name())?;
        Ok(dict)
    }

    /// The histograms at `indices`, in that order.
    fn take(&self, py: Python<'_>, indices: PyArrayLike1<'_, i64>) -> PyResult<Self> {
        let indices = indices.as_array();
        py.detach(|| self.taken(indices.iter().copied()))
            .map_err(|error| PyIndexError::new_err(error.to_string()))
    }

    /// float64[n]
    fn counts<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        let counts: Vec<f64> = self.iter().map(|view| view.count()).collect();
        counts.into_pyarray(py)
    }

    /// float64[n]
    fn sums<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        let sums: Vec<f64> = self.iter().map(|view| view.sum()).collect();
        sums.into_pyarray(py)
    }

    /// int64[n]: how many float samples each counts for, where queries count samples.
    fn sample_sizes<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i64>> {
        let sizes: Vec<i64> = self.iter().map(|view| view.layout.sample_size()).collect();
        sizes.into_pyarray(py)
    }

    /// int8[n]
    fn schemas<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<i8>> {
        let schemas: Vec<i8> = self.iter().map(|view| view.layout.schema).collect();
        schemas.into_pyarray(py)
    }

    /// uint8[n]
    fn hints<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u8>> {
        let hints: Vec<u8> = self.iter().map(|view| view.hint as u8).collect();
        hints.into_pyarray(py)
    }

    /// The same histograms with these hints.
    fn with_hints(&self, py: Python<'_>, hints: PyArrayLike1<'_, u8>) -> PyResult<Self> {
        let hints: Option<Vec<Hint>> = hints
            .as_array()
            .iter()
            .map(|&hint| Hint::of(hint))
            .collect();
        match hints.filter(|hints| hints.len() == self.len()) {
            Some(hints) => Ok(py.detach(|| self.hinted(hints))),
            None => Err(PyValueError::new_err(format!("want {} hints", self.len()))),
        }
    }

    #[getter]
    #[pyo3(name = "size_bytes")]
    fn py_size_bytes(&self) -> usize {
        self.size_bytes()
    }
}

fn parse(item: &Bound<'_, PyDict>) -> PyResult<(Layout, Hint, Vec<f64>)> {
    let mut layout = Layout::default();
    let mut hint = Hint::Unknown;
    let mut cells = vec![0.0; FIXED_CELLS];
    let mut positive = BTreeMap::new();
    let mut negative = BTreeMap::new();
    for (key, value) in item.iter() {
        match key.extract::<String>()?.as_str() {
            "schema" => layout.schema = value.extract()?,
            "count" => cells[0] = value.extract()?,
            "sum" => cells[1] = value.extract()?,
            "zero_count" => cells[2] = value.extract()?,
            "zero_threshold" => layout.zero_threshold = value.extract()?,
            "custom_values" => layout.bounds = value.extract()?,
            "positive" => positive = value.extract::<BTreeMap<i32, f64>>()?,
            "negative" => negative = value.extract::<BTreeMap<i32, f64>>()?,
            "hint" => {
                let name: String = value.extract()?;
                hint = Hint::named(&name)
                    .ok_or_else(|| PyValueError::new_err(format!("no hint {name:?}")))?;
            }
            other => return Err(PyKeyError::new_err(other.to_owned())),
        }
    }
    cells.extend(positive.values());
    cells.extend(negative.values());
    layout.positive = positive.into_keys().collect();
    layout.negative = negative.into_keys().collect();
    Ok((layout.checked()?, hint, cells))
}
