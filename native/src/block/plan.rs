//! `ReadPlan`: which pages a read of some series needs, and how to decode them.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use hashbrown::HashMap;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

use crate::block::bytes::Cursor;
use crate::block::columns::{Column, ColumnPage};
use crate::block::index::Index;
use crate::block::page::kind;
use crate::block::slabs::{Columns, PageRef};
use crate::block::{floats, histograms, ints, layouts};
use crate::error::{Error, Result};
use crate::frame::{Frame, HistogramFrame, PyFrame};
use crate::histogram::{Histograms, Layout};

/// A page of the plan, and which of its columns.
type Slot = (u32, u32);

/// One column of one series: where its values, its times and its starts are.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    row: u32,
    values: Slot,
    times: Slot,
    starts: Option<Slot>,
}

/// Everything that a read of some series in a time range needs, and in which pages it is.
#[pyclass(frozen, module = "rondel._native")]
pub struct ReadPlan {
    rows: usize,
    mint_ms: i64,
    maxt_ms: i64,
    floats: Vec<Chunk>,
    histograms: Vec<Chunk>,
    /// Ascending by offset.
    pages: Vec<PageKey>,
}

/// Offset, length and kind of a page.
type PageKey = (u64, u32, u8);

/// Numbers pages in the order in which they are met.
#[derive(Default)]
struct Pages {
    all: Vec<PageKey>,
    numbers: HashMap<u64, u32>,
}

impl Pages {
    fn locate(&mut self, pages: &[PageRef], column: u32, kind: u8) -> Slot {
        let page = pages[pages.partition_point(|page| page.first <= column) - 1];
        let number = *self.numbers.entry(page.offset).or_insert_with(|| {
            self.all.push((page.offset, page.length, kind));
            self.all.len() as u32 - 1
        });
        (number, column - page.first)
    }

    /// The pages by offset, and the new number of each.
    fn sorted(mut self) -> (Vec<PageKey>, Vec<u32>) {
        let mut order: Vec<u32> = (0..self.all.len() as u32).collect();
        order.sort_unstable_by_key(|&number| self.all[number as usize].0);
        let mut rank = vec![0; order.len()];
        for (new, &old) in order.iter().enumerate() {
            rank[old as usize] = new as u32;
        }
        self.all.sort_unstable();
        (self.all, rank)
    }
}

impl Index {
    pub fn plan(&self, ids: &[u32], mint_ms: i64, maxt_ms: i64) -> ReadPlan {
        let mut pages = Pages::default();
        let mut floats = self.chunks(kind::VALUES, ids, (mint_ms, maxt_ms), &mut pages);
        let mut histograms = self.chunks(kind::HISTOGRAMS, ids, (mint_ms, maxt_ms), &mut pages);
        let (pages, rank) = pages.sorted();
        for chunk in floats.iter_mut().chain(&mut histograms) {
            chunk.values.0 = rank[chunk.values.0 as usize];
            chunk.times.0 = rank[chunk.times.0 as usize];
            if let Some(starts) = &mut chunk.starts {
                starts.0 = rank[starts.0 as usize];
            }
        }
        ReadPlan {
            rows: ids.len(),
            mint_ms,
            maxt_ms,
            floats,
            histograms,
            pages,
        }
    }

    fn chunks(
        &self,
        kind: u8,
        ids: &[u32],
        (mint_ms, maxt_ms): (i64, i64),
        pages: &mut Pages,
    ) -> Vec<Chunk> {
        let mut chunks = Vec::with_capacity(if kind == kind::VALUES { ids.len() } else { 0 });
        for (row, &id) in ids.iter().enumerate() {
            for (slab, column) in self.columns_of(kind, id, mint_ms, maxt_ms) {
                let columns: &Columns = self.slabs[slab].columns(kind);
                let start = columns.start_of(column);
                chunks.push(Chunk {
                    row: row as u32,
                    values: pages.locate(&columns.pages, column as u32, kind),
                    times: pages.locate(&self.time_pages, columns.times[column], kind::TIMES),
                    starts: start.map(|start| pages.locate(&self.start_pages, start, kind::STARTS)),
                });
            }
        }
        chunks
    }
}

/// A decoded time column, and the part of it that a read wants.
#[derive(Debug, Clone)]
struct Cut {
    times: Rc<[i64]>,
    from: usize,
    to: usize,
}

impl Cut {
    fn range(&self) -> Range<usize> {
        self.from..self.to
    }

    fn is_empty(&self) -> bool {
        self.from >= self.to
    }
}

/// An opened page of a plan.
struct Opened<'a> {
    page: ColumnPage<'a>,
    at: u64,
}

impl<'a> Opened<'a> {
    fn of(bytes: &'a [u8], &(at, length, kind): &PageKey) -> Result<Self> {
        if bytes.len() != length as usize {
            let message = format!("page has {} bytes, want {length}", bytes.len());
            return Err(Error::corrupt(message, at));
        }
        let page = ColumnPage::open(bytes, kind, at)?;
        Ok(Self { page, at })
    }

    /// The column of a slot, which must be as long as its time column.
    fn column(&self, slot: u32, samples: usize) -> Result<Column<'_>> {
        let column = self.page.column(slot as usize)?;
        if column.samples != samples {
            let message = format!("{} values for {samples} timestamps", column.samples);
            return Err(Error::corrupt(message, self.at));
        }
        Ok(column)
    }

    fn integers(&self, column: &Column<'_>) -> Result<Vec<i64>> {
        let mut params = Cursor::new(column.params, self.at);
        ints::decode(
            &mut params,
            column.samples,
            column.zone,
            column.body,
            self.at,
        )
    }

    /// The layouts of a page of histograms: its last entry.
    fn layouts(&self) -> Result<Vec<Arc<Layout>>> {
        let last = self.page.column(self.page.len().saturating_sub(1))?;
        layouts::decode(last.zone, self.at)
    }
}

/// The pages of a plan while they are decoded.
struct Decoder<'a> {
    plan: &'a ReadPlan,
    opened: Vec<Opened<'a>>,
    times: HashMap<Slot, Cut>,
    starts: HashMap<Slot, Rc<[i64]>>,
}

impl Decoder<'_> {
    /// The time column of every chunk and which part of it lies in the range; equal ones are decoded once.
    fn cuts(&mut self, chunks: &[Chunk]) -> Result<Vec<Cut>> {
        let mut cuts = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let cut = match self.times.get(&chunk.times) {
                Some(cut) => cut.clone(),
                None => {
                    let cut = self.cut(chunk.times)?;
                    self.times.insert(chunk.times, cut.clone());
                    cut
                }
            };
            cuts.push(cut);
        }
        Ok(cuts)
    }

    fn cut(&self, (page, slot): Slot) -> Result<Cut> {
        let opened = &self.opened[page as usize];
        let times = opened.integers(&opened.page.column(slot as usize)?)?;
        if times.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(Error::corrupt("timestamps do not ascend", opened.at));
        }
        Ok(Cut {
            from: times.partition_point(|&time| time < self.plan.mint_ms),
            to: times.partition_point(|&time| time <= self.plan.maxt_ms),
            times: times.into(),
        })
    }

    fn floats(&mut self) -> Result<Frame> {
        let plan = self.plan;
        let cuts = self.cuts(&plan.floats)?;
        let total = cuts.iter().map(|cut| cut.range().len()).sum();
        let mut frame = Frame {
            offsets: Vec::with_capacity(plan.rows + 1),
            timestamps_ms: Vec::with_capacity(total),
            values: Vec::with_capacity(total),
            ..Frame::default()
        };
        let mut chunks = plan.floats.iter().zip(&cuts).peekable();
        frame.offsets.push(0);
        for row in 0..plan.rows as u32 {
            while let Some((chunk, cut)) = chunks.next_if(|(chunk, _)| chunk.row == row) {
                if !cut.is_empty() {
                    frame
                        .timestamps_ms
                        .extend_from_slice(&cut.times[cut.range()]);
                    self.float_values(chunk.values, cut, &mut frame.values)?;
                }
            }
            frame.offsets.push(frame.timestamps_ms.len() as i64);
        }
        frame.starts_ms = self.all_starts(&plan.floats, &cuts)?;
        Ok(frame)
    }

    fn float_values(&self, (page, slot): Slot, cut: &Cut, out: &mut Vec<f64>) -> Result<()> {
        let opened = &self.opened[page as usize];
        let column = opened.column(slot, cut.times.len())?;
        if let Some(constant) = floats::constant(column.params, opened.at)? {
            out.resize(out.len() + cut.range().len(), constant);
            return Ok(());
        }
        let values = floats::decode(
            column.params,
            column.samples,
            column.zone,
            column.body,
            opened.at,
        )?;
        out.extend_from_slice(&values[cut.range()]);
        Ok(())
    }

    fn histograms(&mut self) -> Result<Option<HistogramFrame>> {
        let plan = self.plan;
        if plan.histograms.is_empty() {
            return Ok(None);
        }
        let cuts = self.cuts(&plan.histograms)?;
        let mut frame = HistogramFrame::default();
        let mut tables: HashMap<u32, Vec<Arc<Layout>>> = HashMap::new();
        let mut chunks = plan.histograms.iter().zip(&cuts).peekable();
        frame.offsets.push(0);
        for row in 0..plan.rows as u32 {
            while let Some((chunk, cut)) = chunks.next_if(|(chunk, _)| chunk.row == row) {
                if cut.is_empty() {
                    continue;
                }
                let page = chunk.values.0;
                if !tables.contains_key(&page) {
                    tables.insert(page, self.opened[page as usize].layouts()?);
                }
                frame
                    .timestamps_ms
                    .extend_from_slice(&cut.times[cut.range()]);
                self.histogram_values(chunk.values, cut, &tables[&page], &mut frame.values)?;
            }
            frame.offsets.push(frame.timestamps_ms.len() as i64);
        }
        frame.starts_ms = self.all_starts(&plan.histograms, &cuts)?;
        Ok((!frame.timestamps_ms.is_empty()).then_some(frame))
    }

    fn histogram_values(
        &self,
        (page, slot): Slot,
        cut: &Cut,
        table: &[Arc<Layout>],
        out: &mut Histograms,
    ) -> Result<()> {
        let opened = &self.opened[page as usize];
        let column = opened.column(slot, cut.times.len())?;
        histograms::decode(&column, table, cut.range(), out, opened.at)
    }

    /// The starts of all samples; empty where none of the columns has any.
    fn all_starts(&mut self, chunks: &[Chunk], cuts: &[Cut]) -> Result<Vec<i64>> {
        if chunks.iter().all(|chunk| chunk.starts.is_none()) {
            return Ok(Vec::new());
        }
        let mut all = Vec::new();
        for (chunk, cut) in chunks.iter().zip(cuts).filter(|(_, cut)| !cut.is_empty()) {
            match chunk.starts {
                None => all.resize(all.len() + cut.range().len(), 0),
                Some(slot) => {
                    let own = self.starts_of(slot, cut.times.len())?;
                    all.extend_from_slice(&own[cut.range()]);
                }
            }
        }
        Ok(all)
    }

    fn starts_of(&mut self, slot: Slot, samples: usize) -> Result<Rc<[i64]>> {
        let opened = &self.opened[slot.0 as usize];
        let column = opened.column(slot.1, samples)?;
        if let Some(known) = self.starts.get(&slot) {
            return Ok(Rc::clone(known));
        }
        let starts: Rc<[i64]> = opened.integers(&column)?.into();
        self.starts.insert(slot, Rc::clone(&starts));
        Ok(starts)
    }
}

impl ReadPlan {
    fn frame(&self, pages: &[PyBackedBytes]) -> Result<Frame> {
        if pages.len() != self.pages.len() {
            let message = format!("{} pages for a plan of {}", pages.len(), self.pages.len());
            return Err(Error::invalid("bad-pages", message));
        }
        let opened = pages
            .iter()
            .zip(&self.pages)
            .map(|(bytes, page)| Opened::of(bytes, page))
            .collect::<Result<Vec<_>>>()?;
        let mut decoder = Decoder {
            plan: self,
            opened,
            times: HashMap::new(),
            starts: HashMap::new(),
        };
        let mut frame = decoder.floats()?;
        frame.histograms = decoder.histograms()?;
        Ok(frame)
    }
}

#[pymethods]
impl ReadPlan {
    fn __len__(&self) -> usize {
        self.pages.len()
    }

    /// `(offset, length)` of every page, ascending by offset.
    fn pages(&self) -> Vec<(u64, u32)> {
        self.pages
            .iter()
            .map(|&(offset, length, _)| (offset, length))
            .collect()
    }

    /// The arrays of a frame from the pages' bytes, in the order of `pages`.
    fn decode<'py>(&self, py: Python<'py>, pages: Vec<PyBackedBytes>) -> PyResult<PyFrame<'py>> {
        let frame = py.detach(|| self.frame(&pages))?;
        Ok(frame.into_python(py))
    }
}
