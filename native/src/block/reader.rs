//! `BlockIndex`: finds series; `plan` says which pages hold them.

use std::sync::Arc;

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyDict;
use roaring::RoaringBitmap;

use crate::block::columns::ColumnPage;
use crate::block::exemplar_plan::ExemplarPlan;
use crate::block::exemplars::ExemplarPage;
use crate::block::index::Index;
use crate::block::page::{self, kind};
use crate::block::plan::ReadPlan;
use crate::block::{floats, strings};
use crate::error::{Error, Result};
use crate::labels::LabelSets;
use crate::matcher::{Matcher, Matchers};

impl Index {
    fn all(&self) -> RoaringBitmap {
        let mut ids = RoaringBitmap::new();
        ids.insert_range(0..self.series.count as u32);
        ids
    }

    /// Union of the lists of one name whose value passes.
    fn union(&self, name: u32, wanted: impl Fn(&str) -> bool) -> Result<RoaringBitmap> {
        let mut ids = RoaringBitmap::new();
        for list in self.postings.of_name(name) {
            if wanted(self.symbols.get(list.value)) {
                ids |= self.postings.ids(list, self.series.count)?;
            }
        }
        Ok(ids)
    }

    /// Series that one matcher takes; `None` where that is all of them.
    fn matching(&self, matcher: &Matcher) -> Result<Option<RoaringBitmap>> {
        let name = strings::find(&self.symbols, &matcher.name);
        if matcher.matches_empty() {
            let Some(name) = name else { return Ok(None) };
            let rejected = self.union(name, |value| !matcher.matches(value))?;
            return Ok((!rejected.is_empty()).then(|| self.all() - rejected));
        }
        let Some(name) = name else {
            return Ok(Some(RoaringBitmap::new()));
        };
        if let crate::matcher::Test::Equal(wanted) = &matcher.test {
            let value = strings::find(&self.symbols, wanted);
            let list = value.and_then(|value| self.postings.find(name, value));
            return list
                .map_or(Ok(RoaringBitmap::new()), |list| {
                    self.postings.ids(list, self.series.count)
                })
                .map(Some);
        }
        self.union(name, |value| matcher.matches(value)).map(Some)
    }

    pub fn select(&self, matchers: &[Matcher], mint_ms: i64, maxt_ms: i64) -> Result<Vec<u32>> {
        let mut found: Option<RoaringBitmap> = None;
        for matcher in matchers {
            if let Some(ids) = self.matching(matcher)? {
                found = Some(match found {
                    Some(before) => before & ids,
                    None => ids,
                });
            }
            if found.as_ref().is_some_and(RoaringBitmap::is_empty) {
                return Ok(Vec::new());
            }
        }
        let mut ids: Vec<u32> = found.unwrap_or_else(|| self.all()).into_iter().collect();
        if mint_ms > self.totals.mint_ms || maxt_ms < self.totals.maxt_ms {
            ids.retain(|&id| self.has_any(id, mint_ms, maxt_ms));
        }
        Ok(ids)
    }

    /// Whether a series may have samples or exemplars in the range.
    fn has_any(&self, id: u32, mint_ms: i64, maxt_ms: i64) -> bool {
        let has = |kind| self.columns_of(kind, id, mint_ms, maxt_ms).next().is_some();
        has(kind::VALUES)
            || has(kind::HISTOGRAMS)
            || self.exemplars.of(id, mint_ms, maxt_ms).next().is_some()
    }

    /// `(slab, column)` of a series that may have samples of a kind in the range, in order of time.
    pub fn columns_of(
        &self,
        kind: u8,
        id: u32,
        mint_ms: i64,
        maxt_ms: i64,
    ) -> impl Iterator<Item = (usize, usize)> {
        self.slabs
            .iter()
            .enumerate()
            .flat_map(move |(number, slab)| {
                let columns = slab.columns(kind);
                let start = columns.series.partition_point(|&series| series < id);
                let end = start + columns.series[start..].partition_point(|&series| series == id);
                (start..end)
                    .filter(move |&column| {
                        let times = &self.time_columns[columns.times[column] as usize];
                        times.overlaps(mint_ms, maxt_ms)
                    })
                    .map(move |column| (number, column))
            })
    }

    pub fn labels(&self, ids: &[u32]) -> Result<LabelSets> {
        let mut pairs = Vec::with_capacity(ids.len() * 8);
        let mut offsets = Vec::with_capacity(ids.len() + 1);
        offsets.push(0);
        self.series.visit(ids, self.symbols.len(), |set| {
            pairs.extend_from_slice(set);
            offsets.push(pairs.len() as u32);
        })?;
        Ok(LabelSets {
            symbols: Arc::clone(&self.symbols),
            pairs,
            offsets,
        })
    }

    fn label_names(&self, ids: Option<&[u32]>) -> Result<Vec<String>> {
        let mut names: Vec<u32> = match ids {
            None => self.postings.names().collect(),
            Some(ids) => {
                let mut seen = RoaringBitmap::new();
                self.series.visit(ids, self.symbols.len(), |set| {
                    seen.extend(set.iter().map(|&[name, _]| name))
                })?;
                seen.into_iter().collect()
            }
        };
        names.sort_unstable();
        Ok(names
            .into_iter()
            .map(|name| self.symbols.get(name).to_owned())
            .collect())
    }

    fn label_values(&self, name: &str, ids: Option<&[u32]>) -> Result<Vec<String>> {
        let Some(name) = strings::find(&self.symbols, name) else {
            return Ok(Vec::new());
        };
        let wanted: Option<RoaringBitmap> = ids.map(|ids| ids.iter().copied().collect());
        let mut values = Vec::new();
        for list in self.postings.of_name(name) {
            let taken = match &wanted {
                None => true,
                Some(wanted) => !wanted.is_disjoint(&self.postings.ids(list, self.series.count)?),
            };
            if taken {
                values.push(self.symbols.get(list.value).to_owned());
            }
        }
        Ok(values)
    }

    fn check_ids(&self, ids: &[u32]) -> Result<()> {
        match ids.iter().find(|&&id| id as usize >= self.series.count) {
            None => Ok(()),
            Some(id) => Err(Error::invalid(
                "bad-series",
                format!("series {id} of {}", self.series.count),
            )),
        }
    }
}

/// The opened index of one block; immutable, shared between threads.
#[pyclass(frozen, module = "rondel._native")]
pub struct BlockIndex {
    index: Index,
}

#[pymethods]
impl BlockIndex {
    #[new]
    fn new(py: Python<'_>, data: PyBackedBytes) -> PyResult<Self> {
        let index = py.detach(|| Index::open(&data))?;
        Ok(Self { index })
    }

    fn __len__(&self) -> usize {
        self.index.series.count
    }

    #[getter]
    fn size_bytes(&self) -> usize {
        self.index.size_bytes
    }

    /// Counts of everything, for `meta.json` and for people.
    fn totals<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.index.totals.to_dict(py)
    }

    /// uint32[n], ascending: series that match and have a column in the range.
    fn select<'py>(
        &self,
        py: Python<'py>,
        matchers: &Bound<'py, Matchers>,
        mint_ms: i64,
        maxt_ms: i64,
    ) -> PyResult<Bound<'py, PyArray1<u32>>> {
        let matchers = matchers.get();
        let ids = py.detach(|| self.index.select(&matchers.all, mint_ms, maxt_ms))?;
        Ok(ids.into_pyarray(py))
    }

    fn labels(&self, py: Python<'_>, ids: PyReadonlyArray1<'_, u32>) -> PyResult<LabelSets> {
        let ids = ids.as_slice()?;
        Ok(py.detach(|| {
            self.index
                .check_ids(ids)
                .and_then(|()| self.index.labels(ids))
        })?)
    }

    #[pyo3(signature = (ids=None))]
    fn label_names(
        &self,
        py: Python<'_>,
        ids: Option<PyReadonlyArray1<'_, u32>>,
    ) -> PyResult<Vec<String>> {
        let ids = ids.as_ref().map(|ids| ids.as_slice()).transpose()?;
        self.index.check_ids(ids.unwrap_or_default())?;
        Ok(py.detach(|| self.index.label_names(ids))?)
    }

    #[pyo3(signature = (name, ids=None))]
    fn label_values(
        &self,
        py: Python<'_>,
        name: &str,
        ids: Option<PyReadonlyArray1<'_, u32>>,
    ) -> PyResult<Vec<String>> {
        let ids = ids.as_ref().map(|ids| ids.as_slice()).transpose()?;
        Ok(py.detach(|| self.index.label_values(name, ids))?)
    }

    /// What to read for these series in this range.
    fn plan(
        &self,
        py: Python<'_>,
        ids: PyReadonlyArray1<'_, u32>,
        mint_ms: i64,
        maxt_ms: i64,
    ) -> PyResult<ReadPlan> {
        let ids = ids.as_slice()?;
        Ok(py.detach(|| {
            self.index
                .check_ids(ids)
                .map(|()| self.index.plan(ids, mint_ms, maxt_ms))
        })?)
    }

    /// What to read for the exemplars of these series in this range.
    fn exemplar_plan(
        &self,
        py: Python<'_>,
        ids: PyReadonlyArray1<'_, u32>,
        mint_ms: i64,
        maxt_ms: i64,
    ) -> PyResult<ExemplarPlan> {
        let ids = ids.as_slice()?;
        Ok(py.detach(|| {
            self.index
                .check_ids(ids)
                .map(|()| self.index.exemplar_plan(ids, mint_ms, maxt_ms))
        })?)
    }
}

type Described = (&'static str, usize, usize, usize);

/// `(codec, samples, bytes in the zone, bytes by itself)` of every column of a page of the data file.
#[pyfunction]
fn describe_page(page: PyBackedBytes, offset: u64) -> PyResult<Vec<Described>> {
    let (kind, _, _) = page::open(&page, offset)?;
    if kind == kind::EXEMPLARS {
        let opened = ExemplarPage::open(&page, offset)?;
        return Ok(vec![("exemplars", opened.len(), 0, page.len())]);
    }
    let opened = ColumnPage::open(&page, kind, offset)?;
    let describe = |index| {
        let column = opened.column(index)?;
        let own = column.params.len() + column.body.len();
        let name = name_of(kind, column.params, index + 1 == opened.len());
        Ok((name, column.samples, column.zone.len(), own))
    };
    Ok((0..opened.len())
        .map(describe)
        .collect::<Result<Vec<_>>>()?)
}

/// What a column is, for people.
fn name_of(kind: u8, params: &[u8], is_last: bool) -> &'static str {
    match (kind, params.first()) {
        (kind::TIMES, _) => "times",
        (kind::STARTS, _) => "starts",
        (kind::HISTOGRAMS, _) if is_last => "layouts",
        (kind::HISTOGRAMS, _) => "histogram",
        (_, Some(&codec)) => floats::CODEC_NAMES
            .get(codec as usize)
            .copied()
            .unwrap_or("unknown"),
        (_, None) => "unknown",
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(describe_page, module)?)?;
    module.add_class::<BlockIndex>()?;
    module.add_class::<ReadPlan>()
}
