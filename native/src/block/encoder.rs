//! `BlockEncoder`: frames in block order in, bytes of the data file out, the index at the end.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::ops::Range;

use numpy::PyReadonlyArray1;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::block::columns::{COLUMN_SAMPLES_MAX, ColumnPageWriter, Encoded};
use crate::block::exemplars::{ExemplarWriter, Exemplars};
use crate::block::index::{self, DATA_MAGIC, Parts, SLAB_MS, TimeColumn, Totals};
use crate::block::layouts::LayoutTable;
use crate::block::page::kind;
use crate::block::shared::SharedColumns;
use crate::block::slabs::{Columns, PageRef, Slab};
use crate::block::{floats, histograms};
use crate::error::{Error, Result};
use crate::frame::{FrameArrays, FrameView, HistogramFrameView};
use crate::labels::{LabelSets, Pair};
use crate::symbols::Interner;

/// A page of histograms is closed when its layouts have so many buckets.
const PAGE_BUCKETS: usize = 1 << 14;

/// The page of one kind of columns of a slab that is being filled.
#[derive(Debug, Default)]
struct OpenPage {
    page: ColumnPageWriter,
    layouts: LayoutTable,
    first: u32,
}

#[derive(Debug, Default)]
struct OpenSlab {
    slab: Slab,
    floats: OpenPage,
    histograms: OpenPage,
}

/// Bytes of the data file that no one has taken yet, and where they start in it.
#[derive(Debug, Default)]
pub struct Output {
    pub bytes: Vec<u8>,
    taken: u64,
}

impl Output {
    /// Where the next byte goes.
    pub fn offset(&self) -> u64 {
        self.taken + self.bytes.len() as u64
    }
}

#[derive(Debug)]
pub struct Encoder {
    interner: Interner,
    pairs: Vec<Pair>,
    offsets: Vec<usize>,
    last: Option<LabelSets>,
    slabs: BTreeMap<i64, OpenSlab>,
    times: SharedColumns,
    time_columns: Vec<TimeColumn>,
    starts: SharedColumns,
    exemplars: ExemplarWriter,
    out: Output,
    totals: Totals,
}

impl Encoder {
    pub fn new() -> Self {
        Self {
            interner: Interner::default(),
            pairs: Vec::new(),
            offsets: vec![0],
            last: None,
            slabs: BTreeMap::new(),
            times: SharedColumns::new(kind::TIMES),
            time_columns: Vec::new(),
            starts: SharedColumns::new(kind::STARTS),
            exemplars: ExemplarWriter::default(),
            out: Output {
                bytes: DATA_MAGIC.to_vec(),
                taken: 0,
            },
            totals: Totals {
                mint_ms: i64::MAX,
                maxt_ms: i64::MIN,
                ..Totals::default()
            },
        }
    }

    /// Adds the series of a frame that have anything, with their exemplars if there are any.
    pub fn add(
        &mut self,
        labels: &LabelSets,
        frame: &FrameView<'_>,
        exemplars: Option<&Exemplars<'_>>,
    ) -> Result<()> {
        let rows = frame.offsets.len() - 1;
        if let Some(exemplars) = exemplars {
            exemplars.check()?;
        }
        if labels.count() != rows || exemplars.is_some_and(|one| one.offsets.len() != rows + 1) {
            let message = "labels or exemplars of a frame do not fit its arrays";
            return Err(Error::invalid("bad-frame", message));
        }
        let mut symbols = vec![u32::MAX; labels.symbols.len()];
        for row in 0..rows {
            let floats = range(frame.offsets, row);
            let histograms = frame.histograms.map_or(0..0, |own| range(own.offsets, row));
            let own = exemplars.map_or(0..0, |one| one.range(row));
            if floats.is_empty() && histograms.is_empty() && own.is_empty() {
                continue;
            }
            self.begin_series(labels, row, &mut symbols)?;
            self.add_floats(frame, floats)?;
            if let Some(samples) = &frame.histograms {
                self.add_histograms(samples, histograms)?;
            }
            if let Some(exemplars) = exemplars {
                self.add_exemplars(exemplars, own)?;
            }
        }
        Ok(())
    }

    fn begin_series(&mut self, labels: &LabelSets, row: usize, symbols: &mut [u32]) -> Result<()> {
        if let Some(last) = &self.last
            && last.compare(0, labels, row) != Ordering::Less
        {
            return Err(Error::invalid(
                "block-order",
                "series of a block must come in block order, each once",
            ));
        }
        let mut intern = |id: u32| {
            let known = &mut symbols[id as usize];
            if *known == u32::MAX {
                *known = self.interner.intern(labels.symbols.get(id));
            }
            *known
        };
        for &[name, value] in labels.pairs_of(row) {
            let pair = [intern(name), intern(value)];
            self.pairs.push(pair);
        }
        self.offsets.push(self.pairs.len());
        self.last = Some(LabelSets {
            symbols: labels.symbols.clone(),
            pairs: labels.pairs_of(row).to_vec(),
            offsets: vec![0, labels.pairs_of(row).len() as u32],
        });
        self.totals.series += 1;
        Ok(())
    }

    fn add_floats(&mut self, frame: &FrameView<'_>, samples: Range<usize>) -> Result<()> {
        check_times(&frame.timestamps_ms[samples.clone()])?;
        let mut rest = samples;
        while !rest.is_empty() {
            let (number, end) = end_of_slab(frame.timestamps_ms, &rest);
            let column = rest.start..end.min(rest.start + COLUMN_SAMPLES_MAX);
            rest.start = column.end;
            let times = &frame.timestamps_ms[column.clone()];
            let time = self.time_column(times)?;
            let start = self.start_column(frame.starts_ms, column.clone())?;
            let encoded = floats::encode(&frame.values[column])?;
            let series = self.totals.series as u32 - 1;
            let open = slab(&mut self.slabs, number);
            let columns = &mut open.slab.floats;
            columns.push(series, time, start);
            open.floats
                .add(&encoded, times.len(), kind::VALUES, columns, &mut self.out)?;
            self.totals.columns += 1;
            self.totals.samples += times.len() as u64;
        }
        Ok(())
    }

    fn add_histograms(
        &mut self,
        frame: &HistogramFrameView<'_>,
        samples: Range<usize>,
    ) -> Result<()> {
        check_times(&frame.timestamps_ms[samples.clone()])?;
        let mut rest = samples;
        while !rest.is_empty() {
            let (number, end) = end_of_slab(frame.timestamps_ms, &rest);
            let column = rest.start..histograms::cut(frame.values, rest.start..end);
            rest.start = column.end;
            let times = &frame.timestamps_ms[column.clone()];
            let time = self.time_column(times)?;
            let start = self.start_column(frame.starts_ms, column.clone())?;
            let series = self.totals.series as u32 - 1;
            let open = slab(&mut self.slabs, number);
            let columns = &mut open.slab.histograms;
            columns.push(series, time, start);
            let page = &mut open.histograms;
            let encoded = histograms::encode(frame.values, column, &mut page.layouts)?;
            page.add(
                &encoded,
                times.len(),
                kind::HISTOGRAMS,
                columns,
                &mut self.out,
            )?;
            self.totals.histogram_columns += 1;
            self.totals.histograms += times.len() as u64;
        }
        Ok(())
    }

    fn add_exemplars(&mut self, all: &Exemplars<'_>, own: Range<usize>) -> Result<()> {
        let series = self.totals.series as u32 - 1;
        let mut rest = own;
        while !rest.is_empty() {
            if self.exemplars.is_full(0) {
                self.exemplars.seal(&mut self.out)?;
            }
            let taken = self.exemplars.add(series, all, rest.clone());
            self.cover(&all.times[rest.start..rest.start + taken]);
            rest.start += taken;
            self.totals.exemplars += taken as u64;
            self.totals.exemplar_pieces += 1;
        }
        Ok(())
    }

    /// The id of an equal time column, which is encoded if it is the first of its kind.
    fn time_column(&mut self, times: &[i64]) -> Result<u32> {
        self.cover(times);
        let id = self.times.id(times, &mut self.out)?;
        if id as usize == self.time_columns.len() {
            self.time_columns.push(TimeColumn {
                mint_ms: times[0],
                maxt_ms: times[times.len() - 1],
                samples: times.len() as u32,
            });
        }
        Ok(id)
    }

    /// The id of an equal column of starts; none where all are unset.
    fn start_column(&mut self, starts: &[i64], column: Range<usize>) -> Result<Option<u32>> {
        match starts.get(column) {
            Some(own) if own.iter().any(|&start| start != 0) => {
                self.starts.id(own, &mut self.out).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The block covers these times, which ascend.
    fn cover(&mut self, times: &[i64]) {
        if let (Some(&first), Some(&last)) = (times.first(), times.last()) {
            self.totals.mint_ms = self.totals.mint_ms.min(first);
            self.totals.maxt_ms = self.totals.maxt_ms.max(last);
        }
    }

    pub fn take(&mut self) -> Vec<u8> {
        self.out.taken = self.out.offset();
        std::mem::take(&mut self.out.bytes)
    }

    /// The rest of the data file is left in `take`; returns the index file.
    pub fn finish(&mut self) -> Result<Vec<u8>> {
        let mut slabs = Vec::with_capacity(self.slabs.len());
        for (_, mut open) in std::mem::take(&mut self.slabs) {
            let slab = &mut open.slab;
            open.floats
                .seal(kind::VALUES, &mut slab.floats, &mut self.out)?;
            open.histograms
                .seal(kind::HISTOGRAMS, &mut slab.histograms, &mut self.out)?;
            slabs.push(open.slab);
        }
        self.times.seal(&mut self.out)?;
        self.starts.seal(&mut self.out)?;
        self.exemplars.seal(&mut self.out)?;
        self.totals.symbols = self.interner.symbols.len() as u64;
        self.totals.time_columns = self.time_columns.len() as u64;
        self.totals.start_columns = u64::from(self.starts.count());
        self.totals.data_bytes = self.out.offset();
        index::encode(&Parts {
            symbols: &self.interner.symbols,
            pairs: &self.pairs,
            offsets: &self.offsets,
            slabs: &slabs,
            time_columns: &self.time_columns,
            time_pages: &self.times.pages,
            start_pages: &self.starts.pages,
            exemplars: &self.exemplars.index,
            totals: self.totals,
        })
    }
}

impl OpenPage {
    fn add(
        &mut self,
        column: &Encoded,
        samples: usize,
        kind: u8,
        columns: &mut Columns,
        out: &mut Output,
    ) -> Result<()> {
        self.page.add(column, samples);
        if self.page.is_full() || self.layouts.buckets() >= PAGE_BUCKETS {
            self.seal(kind, columns, out)?;
        }
        Ok(())
    }

    fn seal(&mut self, kind: u8, columns: &mut Columns, out: &mut Output) -> Result<()> {
        if self.page.is_empty() {
            return Ok(());
        }
        if kind == kind::HISTOGRAMS {
            let layouts = std::mem::take(&mut self.layouts).encode();
            self.page.add(&Encoded::in_zone(layouts), 0);
        }
        let offset = out.offset();
        let length = self.page.seal(kind, &mut out.bytes)? as u32;
        columns.pages.push(PageRef {
            offset,
            length,
            first: self.first,
        });
        self.first = columns.series.len() as u32;
        Ok(())
    }
}

fn slab(slabs: &mut BTreeMap<i64, OpenSlab>, number: i64) -> &mut OpenSlab {
    let open = slabs.entry(number).or_default();
    open.slab.number = number;
    open
}

fn range(offsets: &[i64], row: usize) -> Range<usize> {
    offsets[row] as usize..offsets[row + 1] as usize
}

fn check_times(times: &[i64]) -> Result<()> {
    if times.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(Error::invalid(
            "block-order",
            "timestamps of a series must ascend strictly",
        ));
    }
    Ok(())
}

/// The slab of the first sample of a range, and where its samples end.
fn end_of_slab(times: &[i64], range: &Range<usize>) -> (i64, usize) {
    let number = times[range.start].div_euclid(SLAB_MS);
    let inside = |time: &i64| time.div_euclid(SLAB_MS) == number;
    (
        number,
        range.start + times[range.clone()].partition_point(inside),
    )
}

/// Exemplars that Python holds: `(offsets, timestamps_ms, values, labels)`.
#[derive(FromPyObject)]
pub struct ExemplarArrays<'py>(
    PyReadonlyArray1<'py, i64>,
    PyReadonlyArray1<'py, i64>,
    PyReadonlyArray1<'py, f64>,
    Py<LabelSets>,
);

impl ExemplarArrays<'_> {
    pub fn view(&self) -> PyResult<Exemplars<'_>> {
        Ok(Exemplars {
            offsets: self.0.as_slice()?,
            times: self.1.as_slice()?,
            values: self.2.as_slice()?,
            labels: self.3.get(),
        })
    }
}

#[pyclass(module = "rondel._native")]
pub struct BlockEncoder {
    encoder: Encoder,
}

#[pymethods]
impl BlockEncoder {
    #[new]
    fn new() -> Self {
        Self {
            encoder: Encoder::new(),
        }
    }

    /// Encodes a frame; returns the bytes of the data file that are now final.
    #[pyo3(signature = (labels, arrays, exemplars=None))]
    fn add<'py>(
        &mut self,
        py: Python<'py>,
        labels: &Bound<'py, LabelSets>,
        arrays: FrameArrays<'py>,
        exemplars: Option<ExemplarArrays<'py>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let labels = labels.get();
        let frame = arrays.view()?;
        let exemplars = exemplars.as_ref().map(ExemplarArrays::view).transpose()?;
        let encoder = &mut self.encoder;
        let bytes = py.detach(move || {
            encoder
                .add(labels, &frame, exemplars.as_ref())
                .map(|()| encoder.take())
        })?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// The totals so far.
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.encoder.totals.to_dict(py)
    }

    /// `(rest of the data file, index file, totals)`; nothing can be added after it.
    fn finish<'py>(
        &mut self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyBytes>, Bound<'py, PyBytes>, Bound<'py, PyDict>)> {
        let encoder = &mut self.encoder;
        let (index, data) =
            py.detach(move || encoder.finish().map(|index| (index, encoder.take())))?;
        let totals = self.encoder.totals.to_dict(py)?;
        Ok((PyBytes::new(py, &data), PyBytes::new(py, &index), totals))
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<BlockEncoder>()
}
