//! The index of a block: written once at the end, opened whole, checked at opening.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::block::bytes::{Cursor, put_signed, put_varint};
use crate::block::exemplars::ExemplarSeries;
use crate::block::page::{self, kind};
use crate::block::postings::{self, Postings};
use crate::block::series::{self, PAGE_SERIES, SeriesTable};
use crate::block::slabs::{self, PageRef, Slab, Slabs, starts_at_zero};
use crate::block::strings;
use crate::error::{Error, Result};
use crate::labels::Pair;
use crate::symbols::Symbols;

pub const MAGIC: &[u8; 8] = b"RNDLIDX1";
pub const DATA_MAGIC: &[u8; 8] = b"RNDLDAT1";

/// Columns of all series are cut at multiples of this, so a short window of a long block reads little.
pub const SLAB_MS: i64 = 4 * 3600 * 1000;
pub const SECTION_ROWS: usize = 1 << 18;

#[derive(Debug, Clone, Copy)]
pub struct TimeColumn {
    pub mint_ms: i64,
    pub maxt_ms: i64,
    pub samples: u32,
}

impl TimeColumn {
    pub fn overlaps(&self, mint_ms: i64, maxt_ms: i64) -> bool {
        self.mint_ms <= maxt_ms && self.maxt_ms >= mint_ms
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub series: u64,
    pub symbols: u64,
    pub columns: u64,
    pub time_columns: u64,
    pub samples: u64,
    pub data_bytes: u64,
    pub mint_ms: i64,
    pub maxt_ms: i64,
    pub histograms: u64,
    pub histogram_columns: u64,
    pub start_columns: u64,
    pub exemplars: u64,
    pub exemplar_pieces: u64,
}

impl Totals {
    pub fn to_dict<'py>(self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let totals = PyDict::new(py);
        for (name, count) in [
            ("series", self.series),
            ("symbols", self.symbols),
            ("columns", self.columns),
            ("time_columns", self.time_columns),
            ("samples", self.samples),
            ("data_bytes", self.data_bytes),
            ("histograms", self.histograms),
            ("histogram_columns", self.histogram_columns),
            ("start_columns", self.start_columns),
            ("exemplars", self.exemplars),
            ("exemplar_pieces", self.exemplar_pieces),
        ] {
            totals.set_item(name, count)?;
        }
        totals.set_item("mint_ms", self.mint_ms)?;
        totals.set_item("maxt_ms", self.maxt_ms)?;
        Ok(totals)
    }
}

#[derive(Debug, Default)]
pub struct Index {
    pub symbols: Arc<Symbols>,
    pub series: SeriesTable,
    pub postings: Postings,
    pub slabs: Vec<Slab>,
    pub time_columns: Vec<TimeColumn>,
    pub time_pages: Vec<PageRef>,
    pub start_pages: Vec<PageRef>,
    pub exemplars: ExemplarSeries,
    pub totals: Totals,
    pub size_bytes: usize,
}

/// What the encoder has gathered; symbol ids are in order of interning.
pub struct Parts<'a> {
    pub symbols: &'a Symbols,
    pub pairs: &'a [Pair],
    pub offsets: &'a [usize],
    pub slabs: &'a [Slab],
    pub time_columns: &'a [TimeColumn],
    pub time_pages: &'a [PageRef],
    pub start_pages: &'a [PageRef],
    pub exemplars: &'a ExemplarSeries,
    pub totals: Totals,
}

/// Writes the whole index file.
pub fn encode(parts: &Parts<'_>) -> Result<Vec<u8>> {
    let mut order: Vec<u32> = (0..parts.symbols.len() as u32).collect();
    order.sort_unstable_by_key(|&id| parts.symbols.get(id));
    let mut rank = vec![0u32; order.len()];
    for (new, &old) in order.iter().enumerate() {
        rank[old as usize] = new as u32;
    }
    let pairs: Vec<Pair> = parts
        .pairs
        .iter()
        .map(|&[name, value]| [rank[name as usize], rank[value as usize]])
        .collect();

    let mut out = MAGIC.to_vec();
    for raw in strings::encode(order.iter().map(|&id| parts.symbols.get(id))) {
        page::seal_packed(kind::SYMBOLS, &raw, &mut out)?;
    }
    for bounds in (0..parts.offsets.len() - 1)
        .collect::<Vec<_>>()
        .chunks(PAGE_SERIES)
    {
        let sets = bounds
            .iter()
            .map(|&id| &pairs[parts.offsets[id]..parts.offsets[id + 1]]);
        page::seal_packed(kind::SERIES, &series::encode(sets), &mut out)?;
    }
    for raw in postings::encode(triples(&pairs, parts.offsets)) {
        page::seal_packed(kind::POSTINGS, &raw, &mut out)?;
    }
    for slab in parts.slabs {
        slab.encode(&mut out)?;
    }
    let times = slabs::encode_pages(kind::TIMES, 0, parts.time_pages);
    page::seal_packed(kind::PAGES, &times, &mut out)?;
    if !parts.start_pages.is_empty() {
        let starts = slabs::encode_pages(kind::STARTS, 0, parts.start_pages);
        page::seal_packed(kind::PAGES, &starts, &mut out)?;
    }
    parts.exemplars.encode(&mut out)?;
    for rows in parts.time_columns.chunks(SECTION_ROWS) {
        page::seal_packed(kind::TIME_COLUMNS, &encode_times(rows), &mut out)?;
    }
    page::seal_packed(kind::END, &encode_totals(&parts.totals), &mut out)?;
    Ok(out)
}

fn triples(pairs: &[Pair], offsets: &[usize]) -> Vec<[u32; 3]> {
    let mut triples = Vec::with_capacity(pairs.len());
    for (id, bounds) in offsets.windows(2).enumerate() {
        triples.extend(
            pairs[bounds[0]..bounds[1]]
                .iter()
                .map(|&[name, value]| [name, value, id as u32]),
        );
    }
    triples
}

fn encode_times(rows: &[TimeColumn]) -> Vec<u8> {
    let mut raw = Vec::new();
    put_varint(&mut raw, rows.len() as u64);
    for row in rows {
        put_signed(&mut raw, row.mint_ms);
        put_signed(&mut raw, row.maxt_ms);
        put_varint(&mut raw, u64::from(row.samples));
    }
    raw
}

fn encode_totals(totals: &Totals) -> Vec<u8> {
    let mut raw = Vec::new();
    for count in [
        totals.series,
        totals.symbols,
        totals.columns,
        totals.time_columns,
        totals.samples,
        totals.data_bytes,
    ] {
        put_varint(&mut raw, count);
    }
    put_signed(&mut raw, totals.mint_ms);
    put_signed(&mut raw, totals.maxt_ms);
    let more = [
        totals.histograms,
        totals.histogram_columns,
        totals.start_columns,
        totals.exemplars,
        totals.exemplar_pieces,
    ];
    if more.iter().any(|&count| count > 0) {
        more.iter().for_each(|&count| put_varint(&mut raw, count));
    }
    raw
}

impl Index {
    /// Opens an index file; every table is decoded and checked, but for series and postings, whose
    /// pages are checked when they are touched.
    pub fn open(bytes: &[u8]) -> Result<Self> {
        if bytes.len() < MAGIC.len() || bytes[..MAGIC.len()] != *MAGIC {
            return Err(Error::corrupt("not an index of block format 1", 0));
        }
        let totals = Self::totals(bytes)?;
        let mut index = Self::default();
        let mut slabs = Slabs::default();
        index.series.count = totals.series as usize;
        let mut symbols = Symbols::default();
        let mut rest = &bytes[MAGIC.len()..];
        let mut ended = false;
        while !rest.is_empty() {
            let at = (bytes.len() - rest.len()) as u64;
            let (kind, payload, next) = page::open(rest, at)?;
            if ended {
                return Err(Error::corrupt("a page follows the end of the index", at));
            }
            ended = kind == kind::END;
            index.take_page(kind, payload, at, &totals, &mut symbols, &mut slabs)?;
            rest = next;
        }
        index.totals = totals;
        index.slabs = slabs.0;
        index.symbols = Arc::new(symbols);
        index.check(ended)?;
        index.size_bytes = index.measure();
        Ok(index)
    }

    /// The last page says how much of everything there must be, so it is read first.
    fn totals(bytes: &[u8]) -> Result<Totals> {
        let mut rest = &bytes[MAGIC.len()..];
        while !rest.is_empty() {
            let at = (bytes.len() - rest.len()) as u64;
            let (kind, payload, next) = page::open(rest, at)?;
            if kind == kind::END {
                let raw = page::unpack(payload, at)?;
                return decode_totals(&mut Cursor::new(&raw, at));
            }
            rest = next;
        }
        Err(Error::corrupt(
            "the index has no end page",
            bytes.len() as u64,
        ))
    }

    fn take_page(
        &mut self,
        kind: u8,
        payload: &[u8],
        at: u64,
        totals: &Totals,
        symbols: &mut Symbols,
        slabs: &mut Slabs,
    ) -> Result<()> {
        if kind == kind::SERIES {
            self.series.push(at, payload);
            return Ok(());
        }
        let raw = page::unpack(payload, at)?;
        let mut cursor = Cursor::new(&raw, at);
        match kind {
            kind::SYMBOLS => strings::decode(&raw, at, symbols),
            kind::POSTINGS => self
                .postings
                .push(raw, at, symbols.len(), totals.series as usize),
            kind::COLUMNS => slabs.take_columns(&mut cursor, kind::VALUES, totals),
            kind::HISTOGRAM_COLUMNS => slabs.take_columns(&mut cursor, kind::HISTOGRAMS, totals),
            kind::STARTS_OF_COLUMNS => slabs.take_starts(&mut cursor, totals),
            kind::EXEMPLAR_SERIES => self.exemplars.take(&mut cursor, totals),
            kind::PAGES => self.take_pages(&mut cursor, totals, slabs),
            kind::TIME_COLUMNS => self.take_times(&mut cursor),
            kind::END => Ok(()),
            other => Err(cursor.corrupt(format!("index page of unknown kind {other}"))),
        }
    }

    fn take_pages(
        &mut self,
        cursor: &mut Cursor<'_>,
        totals: &Totals,
        slabs: &mut Slabs,
    ) -> Result<()> {
        let (kind, slab, pages) = slabs::decode_pages(cursor, totals.data_bytes)?;
        match kind {
            kind::VALUES | kind::HISTOGRAMS => {
                return slabs.take_pages(cursor, kind, slab, pages);
            }
            kind::TIMES => self.time_pages = pages,
            kind::STARTS => self.start_pages = pages,
            kind::EXEMPLARS => self.exemplars.pages = pages,
            other => return Err(cursor.corrupt(format!("pages of unknown kind {other}"))),
        }
        Ok(())
    }

    fn take_times(&mut self, cursor: &mut Cursor<'_>) -> Result<()> {
        let count = cursor.bounded(cursor.remaining(), "time columns")?;
        for _ in 0..count {
            let mint_ms = cursor.signed()?;
            let maxt_ms = cursor.signed()?;
            let samples = cursor.bounded(
                crate::block::columns::COLUMN_SAMPLES_MAX,
                "samples of a column",
            )? as u32;
            self.time_columns.push(TimeColumn {
                mint_ms,
                maxt_ms,
                samples,
            });
        }
        cursor.finish()
    }

    fn check(&self, ended: bool) -> Result<()> {
        let totals = &self.totals;
        let columns = |kind| -> usize {
            let columns = |slab: &Slab| slab.columns(kind).series.len();
            self.slabs.iter().map(columns).sum()
        };
        let slab_is_complete =
            |slab: &Slab| slab.floats.is_complete() && slab.histograms.is_complete();
        let complete = ended
            && self.symbols.len() as u64 == totals.symbols
            && columns(kind::VALUES) as u64 == totals.columns
            && columns(kind::HISTOGRAMS) as u64 == totals.histogram_columns
            && self.time_columns.len() as u64 == totals.time_columns
            && self.series.page_count() == self.series.count.div_ceil(PAGE_SERIES)
            && self.slabs.iter().all(slab_is_complete)
            && starts_at_zero(&self.time_pages, self.time_columns.len())
            && starts_at_zero(&self.start_pages, totals.start_columns as usize)
            && self.exemplars.is_complete(totals);
        if complete {
            Ok(())
        } else {
            Err(Error::corrupt("the index is not complete", 0))
        }
    }

    fn measure(&self) -> usize {
        let of_slab = |slab: &Slab| slab.floats.size_bytes() + slab.histograms.size_bytes();
        let columns: usize = self.slabs.iter().map(of_slab).sum();
        self.symbols.size_bytes()
            + self.series.size_bytes()
            + self.postings.size_bytes()
            + columns
            + self.exemplars.size_bytes()
            + self.time_columns.len() * size_of::<TimeColumn>()
    }
}

fn decode_totals(cursor: &mut Cursor<'_>) -> Result<Totals> {
    let mut totals = Totals {
        series: cursor.bounded(u32::MAX as usize, "number of series")? as u64,
        symbols: cursor.bounded(u32::MAX as usize, "number of symbols")? as u64,
        columns: cursor.varint()?,
        time_columns: cursor.bounded(u32::MAX as usize, "number of time columns")? as u64,
        samples: cursor.varint()?,
        data_bytes: cursor.varint()?,
        mint_ms: cursor.signed()?,
        maxt_ms: cursor.signed()?,
        ..Totals::default()
    };
    if cursor.remaining() > 0 {
        totals.histograms = cursor.varint()?;
        totals.histogram_columns = cursor.varint()?;
        totals.start_columns = cursor.bounded(u32::MAX as usize, "number of start columns")? as u64;
        totals.exemplars = cursor.varint()?;
        totals.exemplar_pieces = cursor.varint()?;
    }
    cursor.finish()?;
    Ok(totals)
}
