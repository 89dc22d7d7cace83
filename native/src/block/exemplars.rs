//! Pages of exemplars: the exemplars of some series, with their labels by number of a table in the page.

use std::ops::Range;

use crate::block::bytes::{Cursor, put_signed, put_varint};
use crate::block::encoder::Output;
use crate::block::index::{SECTION_ROWS, Totals};
use crate::block::page::{self, kind};
use crate::block::slabs::{PageRef, starts_at_zero};
use crate::error::{Error, Result};
use crate::labels::{LabelSets, LabelSetsBuilder};
use crate::symbols::Interner;

/// A page is closed at so many bytes before compression.
const PAGE_BYTES: usize = 128 << 10;
/// The exemplars of a series are cut into pieces of so many.
const PIECE_EXEMPLARS: usize = 1024;

/// Exemplars of several series; those of series `i` are `[offsets[i], offsets[i + 1])`.
#[derive(Debug, Clone, Copy)]
pub struct Exemplars<'a> {
    pub offsets: &'a [i64],
    pub times: &'a [i64],
    pub values: &'a [f64],
    /// One set an exemplar.
    pub labels: &'a LabelSets,
}

impl Exemplars<'_> {
    pub fn check(&self) -> Result<()> {
        let count = self.times.len();
        let fits = self.values.len() == count
            && self.labels.count() == count
            && self.offsets.first().is_some_and(|&first| first >= 0)
            && self.offsets.windows(2).all(|pair| pair[0] <= pair[1])
            && self
                .offsets
                .last()
                .is_some_and(|&last| last as usize <= count);
        let ascends = |pair: &[i64]| self.times[pair[0] as usize..pair[1] as usize].is_sorted();
        if fits && self.offsets.windows(2).all(ascends) {
            Ok(())
        } else {
            let message = "offsets of exemplars do not fit, or their times do not ascend";
            Err(Error::invalid("bad-frame", message))
        }
    }

    pub fn range(&self, row: usize) -> Range<usize> {
        self.offsets[row] as usize..self.offsets[row + 1] as usize
    }
}

/// The exemplars that a read found.
#[derive(Debug, Default)]
pub struct Found {
    pub offsets: Vec<i64>,
    pub times: Vec<i64>,
    pub values: Vec<f64>,
    pub labels: LabelSetsBuilder,
}

/// The pieces of a block, in the order of series, then of time, and the pages that hold them.
#[derive(Debug, Default)]
pub struct ExemplarSeries {
    pub series: Vec<u32>,
    /// First and last timestamp of each piece.
    pub bounds: Vec<(i64, i64)>,
    pub pages: Vec<PageRef>,
}

impl ExemplarSeries {
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        if self.series.is_empty() {
            return Ok(());
        }
        for start in (0..self.series.len()).step_by(SECTION_ROWS) {
            let rows = start..self.series.len().min(start + SECTION_ROWS);
            let mut raw = Vec::new();
            put_varint(&mut raw, rows.len() as u64);
            let mut last = 0;
            for &id in &self.series[rows.clone()] {
                put_varint(&mut raw, u64::from(id - last));
                last = id;
            }
            for &(mint_ms, maxt_ms) in &self.bounds[rows] {
                put_signed(&mut raw, mint_ms);
                put_signed(&mut raw, maxt_ms);
            }
            page::seal_packed(kind::EXEMPLAR_SERIES, &raw, out)?;
        }
        let pages = crate::block::slabs::encode_pages(kind::EXEMPLARS, 0, &self.pages);
        page::seal_packed(kind::PAGES, &pages, out).map(drop)
    }

    pub fn take(&mut self, cursor: &mut Cursor<'_>, totals: &Totals) -> Result<()> {
        let count = cursor.bounded(cursor.remaining(), "series with exemplars")?;
        let mut id = 0u64;
        for _ in 0..count {
            id = id.saturating_add(cursor.varint()?);
            let ascends = self.series.last().is_none_or(|&last| u64::from(last) <= id);
            if id >= totals.series || !ascends {
                let message = format!("exemplars of series {id}, {} series", totals.series);
                return Err(cursor.corrupt(message));
            }
            self.series.push(id as u32);
        }
        for _ in 0..count {
            self.bounds.push((cursor.signed()?, cursor.signed()?));
        }
        cursor.finish()
    }

    pub fn is_complete(&self, totals: &Totals) -> bool {
        self.series.len() as u64 == totals.exemplar_pieces
            && starts_at_zero(&self.pages, self.series.len())
    }

    pub fn size_bytes(&self) -> usize {
        self.series.len() * 20 + self.pages.len() * 16
    }

    /// The pieces of a series that may have exemplars in the range.
    pub fn of(&self, id: u32, mint_ms: i64, maxt_ms: i64) -> impl Iterator<Item = usize> {
        let start = self.series.partition_point(|&series| series < id);
        let end = start + self.series[start..].partition_point(|&series| series == id);
        (start..end).filter(move |&piece| {
            self.bounds[piece].0 <= maxt_ms && self.bounds[piece].1 >= mint_ms
        })
    }
}

/// Collects exemplars into pages.
#[derive(Debug, Default)]
pub struct ExemplarWriter {
    pub index: ExemplarSeries,
    interner: Interner,
    symbol_bytes: usize,
    raw: Vec<u8>,
    page_first: usize,
}

impl ExemplarWriter {
    /// Adds one piece at most: returns how many exemplars of the range it took.
    pub fn add(&mut self, series: u32, all: &Exemplars<'_>, range: Range<usize>) -> usize {
        let end = range.end.min(range.start + PIECE_EXEMPLARS);
        let mut sets = Vec::new();
        let mut taken = range.start;
        while taken < end && !self.is_full(sets.len()) {
            let labels = all.labels.pairs_of(taken);
            put_varint(&mut sets, labels.len() as u64);
            for &[name, value] in labels {
                for symbol in [name, value] {
                    let text = all.labels.symbols.get(symbol);
                    let known = self.interner.symbols.len();
                    let id = self.interner.intern(text);
                    self.symbol_bytes += if id as usize == known {
                        text.len() + 2
                    } else {
                        0
                    };
                    put_varint(&mut sets, u64::from(id));
                }
            }
            taken += 1;
        }
        let range = range.start..taken;
        put_varint(&mut self.raw, range.len() as u64);
        let mut last = 0i64;
        for &time in &all.times[range.clone()] {
            put_signed(&mut self.raw, time.wrapping_sub(last));
            last = time;
        }
        for value in &all.values[range.clone()] {
            self.raw.extend_from_slice(&value.to_bits().to_le_bytes());
        }
        self.raw.extend_from_slice(&sets);
        self.index.series.push(series);
        self.index
            .bounds
            .push((all.times[range.start], all.times[range.end - 1]));
        range.len()
    }

    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// Whether the page should be sealed before more is added, `more` bytes apart.
    pub fn is_full(&self, more: usize) -> bool {
        self.raw.len() + self.symbol_bytes + more >= PAGE_BYTES
    }

    /// Appends the page to `out` and starts an empty one.
    pub fn seal(&mut self, out: &mut Output) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let symbols = &self.interner.symbols;
        let mut raw = Vec::with_capacity(self.raw.len() + self.symbol_bytes + 16);
        put_varint(&mut raw, symbols.len() as u64);
        for id in 0..symbols.len() as u32 {
            put_varint(&mut raw, symbols.get(id).len() as u64);
            raw.extend_from_slice(symbols.get(id).as_bytes());
        }
        put_varint(&mut raw, (self.index.series.len() - self.page_first) as u64);
        raw.extend_from_slice(&self.raw);
        let mut payload = (raw.len() as u32).to_le_bytes().to_vec();
        payload.extend_from_slice(&page::compress_default(&raw)?);
        let offset = out.offset();
        let length = page::seal(kind::EXEMPLARS, &payload, &mut out.bytes) as u32;
        self.index.pages.push(PageRef {
            offset,
            length,
            first: self.page_first as u32,
        });
        self.page_first = self.index.series.len();
        self.interner = Interner::default();
        self.symbol_bytes = 0;
        self.raw.clear();
        Ok(())
    }
}

/// An opened page.
#[derive(Debug)]
pub struct ExemplarPage {
    at: u64,
    raw: Vec<u8>,
    /// Where each symbol is in `raw`.
    symbols: Vec<Range<usize>>,
    pieces: Vec<Piece>,
}

#[derive(Debug)]
struct Piece {
    times: Vec<i64>,
    /// Where the values, and after them the sets, begin.
    values: usize,
}

impl ExemplarPage {
    pub fn open(bytes: &[u8], at: u64) -> Result<Self> {
        let raw = page::unpack(page::open_exact(bytes, kind::EXEMPLARS, at)?, at)?;
        let mut cursor = Cursor::new(&raw, at);
        let mut symbols = Vec::new();
        for _ in 0..cursor.bounded(raw.len(), "symbols of a page")? {
            let length = cursor.bounded(cursor.remaining(), "length of a symbol")?;
            let start = cursor.position();
            if std::str::from_utf8(cursor.take(length)?).is_err() {
                return Err(cursor.corrupt("a symbol is not UTF-8"));
            }
            symbols.push(start..start + length);
        }
        let mut pieces = Vec::new();
        for _ in 0..cursor.bounded(raw.len(), "pieces of a page")? {
            pieces.push(Piece::skip(&mut cursor)?);
        }
        cursor.finish()?;
        Ok(Self {
            at,
            symbols,
            pieces,
            raw,
        })
    }

    pub fn len(&self) -> usize {
        self.pieces.iter().map(|piece| piece.times.len()).sum()
    }

    /// Adds the exemplars of a piece that are in the range to `out`.
    pub fn read(&self, piece: usize, mint_ms: i64, maxt_ms: i64, out: &mut Found) -> Result<()> {
        let Some(piece) = self.pieces.get(piece) else {
            let message = format!("piece {piece} of a page with {}", self.pieces.len());
            return Err(Error::corrupt(message, self.at));
        };
        let mut values = Cursor::new(&self.raw[piece.values..], self.at);
        let mut sets = values.clone();
        sets.take(piece.times.len() * 8)?;
        for &time in &piece.times {
            let value = f64::from_bits(values.u64()?);
            let is_wanted = (mint_ms..=maxt_ms).contains(&time);
            if is_wanted {
                out.times.push(time);
                out.values.push(value);
            }
            self.read_set(&mut sets, is_wanted.then_some(&mut out.labels))?;
        }
        Ok(())
    }

    fn read_set(
        &self,
        sets: &mut Cursor<'_>,
        mut out: Option<&mut LabelSetsBuilder>,
    ) -> Result<()> {
        let mut last: Option<&str> = None;
        for _ in 0..sets.varint()? {
            let name = self.symbol(sets)?;
            let value = self.symbol(sets)?;
            if last.is_some_and(|last| last >= name) {
                return Err(sets.corrupt("labels of an exemplar are not in order"));
            }
            last = Some(name);
            if let Some(out) = &mut out {
                out.label(name, value);
            }
        }
        if let Some(out) = out {
            out.end_set();
        }
        Ok(())
    }

    fn symbol(&self, sets: &mut Cursor<'_>) -> Result<&str> {
        let id = sets.bounded(self.symbols.len().saturating_sub(1), "symbol of a label")?;
        let text = self.symbols.get(id).map(|range| &self.raw[range.clone()]);
        text.and_then(|text| std::str::from_utf8(text).ok())
            .ok_or_else(|| sets.corrupt("an exemplar without symbols"))
    }
}

impl Piece {
    fn skip(cursor: &mut Cursor<'_>) -> Result<Self> {
        let count = cursor.bounded(PIECE_EXEMPLARS.min(cursor.remaining()), "exemplars")?;
        let mut times = Vec::with_capacity(count);
        let mut last = 0i64;
        for _ in 0..count {
            last = last.wrapping_add(cursor.signed()?);
            times.push(last);
        }
        if !times.is_sorted() {
            return Err(cursor.corrupt("times of exemplars do not ascend"));
        }
        let values = cursor.position();
        cursor.take(count * 8)?;
        for _ in 0..count {
            for _ in 0..cursor.bounded(cursor.remaining(), "labels of an exemplar")? {
                cursor.varint()?;
                cursor.varint()?;
            }
        }
        Ok(Self { times, values })
    }
}

/// Merges exemplars, for each of `count` series those of the row that each part has of it (-1: none):
/// ascending in time, then by value and labels, equal ones once.
pub fn merge(parts: &[(&[i64], Exemplars<'_>)], count: usize) -> Result<Found> {
    let mut found = Found::default();
    found.offsets.push(0);
    for (rows, part) in parts {
        part.check()?;
        let own = part.offsets.len() as i64 - 1;
        if rows.len() != count || !rows.iter().all(|row| (-1..own).contains(row)) {
            let message = format!("rows of a merge of {count} series, of a part of {own}");
            return Err(Error::invalid("bad-frame", message));
        }
    }
    let mut here: Vec<(&Exemplars<'_>, usize)> = Vec::new();
    for row in 0..count {
        here.clear();
        for (rows, part) in parts {
            if let Ok(own) = usize::try_from(rows[row]) {
                here.extend(part.range(own).map(|index| (part, index)));
            }
        }
        let order = |&(left, l): &(&Exemplars<'_>, usize),
                     &(right, r): &(&Exemplars<'_>, usize)| {
            left.times[l]
                .cmp(&right.times[r])
                .then_with(|| left.values[l].total_cmp(&right.values[r]))
                .then_with(|| left.labels.labels_of(l).cmp(right.labels.labels_of(r)))
        };
        here.sort_by(order);
        here.dedup_by(|later, first| order(first, later).is_eq());
        for &(part, index) in &here {
            found.times.push(part.times[index]);
            found.values.push(part.values[index]);
            for (name, value) in part.labels.labels_of(index) {
                found.labels.label(name, value);
            }
            found.labels.end_set();
        }
        found.offsets.push(found.times.len() as i64);
    }
    Ok(found)
}
