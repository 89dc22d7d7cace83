//! `ExemplarPlan`: which pages the exemplars of some series are in; and the door to exemplars.

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use crate::block::encoder::ExemplarArrays;
use crate::block::exemplars::{self, ExemplarPage, Exemplars, Found};
use crate::block::index::Index;
use crate::error::{Error, Result};
use crate::labels::LabelSets;

#[pyclass(frozen, module = "rondel._native")]
pub struct ExemplarPlan {
    rows: usize,
    mint_ms: i64,
    maxt_ms: i64,
    /// Row, page and place in it of each piece.
    pieces: Vec<(u32, u32, u32)>,
    /// Ascending by offset.
    pages: Vec<(u64, u32)>,
}

impl Index {
    pub fn exemplar_plan(&self, ids: &[u32], mint_ms: i64, maxt_ms: i64) -> ExemplarPlan {
        let mut plan = ExemplarPlan {
            rows: ids.len(),
            mint_ms,
            maxt_ms,
            pieces: Vec::new(),
            pages: Vec::new(),
        };
        let all = &self.exemplars.pages;
        let mut wanted = Vec::new();
        for (row, &id) in ids.iter().enumerate() {
            for piece in self.exemplars.of(id, mint_ms, maxt_ms) {
                let page = all.partition_point(|page| page.first <= piece as u32) - 1;
                let place = piece as u32 - all[page].first;
                plan.pieces.push((row as u32, page as u32, place));
                wanted.push(page as u32);
            }
        }
        wanted.sort_unstable_by_key(|&page| all[page as usize].offset);
        wanted.dedup();
        let mut ranks = vec![0; all.len()];
        for (rank, &page) in wanted.iter().enumerate() {
            ranks[page as usize] = rank as u32;
        }
        for piece in &mut plan.pieces {
            piece.1 = ranks[piece.1 as usize];
        }
        let key = |&page: &u32| (all[page as usize].offset, all[page as usize].length);
        plan.pages = wanted.iter().map(key).collect();
        plan
    }
}

impl ExemplarPlan {
    fn read(&self, pages: &[PyBackedBytes]) -> Result<Found> {
        if pages.len() != self.pages.len() {
            let message = format!("{} pages for a plan of {}", pages.len(), self.pages.len());
            return Err(Error::invalid("bad-pages", message));
        }
        let opened = pages
            .iter()
            .zip(&self.pages)
            .map(|(bytes, &(at, _))| ExemplarPage::open(bytes, at))
            .collect::<Result<Vec<_>>>()?;
        let mut found = Found::default();
        let mut pieces = self.pieces.iter().peekable();
        found.offsets.push(0);
        for row in 0..self.rows as u32 {
            while let Some(&(_, page, place)) = pieces.next_if(|piece| piece.0 == row) {
                let page = &opened[page as usize];
                page.read(place as usize, self.mint_ms, self.maxt_ms, &mut found)?;
            }
            found.offsets.push(found.times.len() as i64);
        }
        Ok(found)
    }
}

/// `(offsets, timestamps_ms, values, labels)` for Python.
pub type PyExemplars<'py> = (
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<f64>>,
    LabelSets,
);

impl Found {
    pub fn into_python(self, py: Python<'_>) -> PyExemplars<'_> {
        (
            self.offsets.into_pyarray(py),
            self.times.into_pyarray(py),
            self.values.into_pyarray(py),
            self.labels.build(),
        )
    }
}

#[pymethods]
impl ExemplarPlan {
    fn __len__(&self) -> usize {
        self.pages.len()
    }

    /// `(offset, length)` of every page, ascending by offset.
    fn pages(&self) -> Vec<(u64, u32)> {
        self.pages.clone()
    }

    /// `(offsets, timestamps_ms, values, labels)` from the pages' bytes, in the order of `pages`.
    fn decode<'py>(
        &self,
        py: Python<'py>,
        pages: Vec<PyBackedBytes>,
    ) -> PyResult<PyExemplars<'py>> {
        let found = py.detach(|| self.read(&pages))?;
        Ok(found.into_python(py))
    }
}

/// Merges the exemplars of `count` series from `(rows, exemplars)` of each part, equal ones once.
#[pyfunction]
fn merge_exemplars<'py>(
    py: Python<'py>,
    count: usize,
    parts: Vec<(PyReadonlyArray1<'py, i64>, ExemplarArrays<'py>)>,
) -> PyResult<PyExemplars<'py>> {
    let parts = parts
        .iter()
        .map(|(rows, arrays)| Ok((rows.as_slice()?, arrays.view()?)))
        .collect::<PyResult<Vec<(&[i64], Exemplars<'_>)>>>()?;
    let found = py.detach(|| exemplars::merge(&parts, count))?;
    Ok(found.into_python(py))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<ExemplarPlan>()?;
    module.add_function(wrap_pyfunction!(merge_exemplars, module)?)
}
