//! Slabs: the columns of one span of time, and the pages of the index that say where they are.

use crate::block::bytes::{Cursor, put_signed, put_varint};
use crate::block::index::{SECTION_ROWS, Totals};
use crate::block::page::{self, kind};
use crate::error::Result;

/// Where a page of the data file is, and the number of its first column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRef {
    pub offset: u64,
    pub length: u32,
    pub first: u32,
}

/// Columns of one kind, in the order of series, then of time.
#[derive(Debug, Default)]
pub struct Columns {
    /// Series of each column, ascending.
    pub series: Vec<u32>,
    /// Time column of each column.
    pub times: Vec<u32>,
    /// Columns that have start timestamps, ascending, each with its column of them.
    pub starts: Vec<(u32, u32)>,
    pub pages: Vec<PageRef>,
}

impl Columns {
    pub fn push(&mut self, series: u32, time: u32, start: Option<u32>) {
        let column = self.series.len() as u32;
        self.starts.extend(start.map(|start| (column, start)));
        self.series.push(series);
        self.times.push(time);
    }

    pub fn start_of(&self, column: usize) -> Option<u32> {
        let found = self
            .starts
            .binary_search_by_key(&(column as u32), |one| one.0);
        found.ok().map(|index| self.starts[index].1)
    }

    pub fn size_bytes(&self) -> usize {
        self.series.len() * 8 + self.starts.len() * 8 + self.pages.len() * 16
    }

    /// Whether there is a page for every column.
    pub fn is_complete(&self) -> bool {
        starts_at_zero(&self.pages, self.series.len())
    }
}

pub fn starts_at_zero(pages: &[PageRef], columns: usize) -> bool {
    pages.first().is_some_and(|page| page.first == 0) || columns == 0
}

/// What a block has in one slab of time.
#[derive(Debug, Default)]
pub struct Slab {
    pub number: i64,
    pub floats: Columns,
    pub histograms: Columns,
}

impl Slab {
    pub fn columns(&self, kind: u8) -> &Columns {
        match kind {
            kind::HISTOGRAMS => &self.histograms,
            _ => &self.floats,
        }
    }

    fn columns_mut(&mut self, kind: u8) -> &mut Columns {
        match kind {
            kind::HISTOGRAMS => &mut self.histograms,
            _ => &mut self.floats,
        }
    }

    pub fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        let kinds = [
            (kind::VALUES, kind::COLUMNS),
            (kind::HISTOGRAMS, kind::HISTOGRAM_COLUMNS),
        ];
        for (kind, table) in kinds {
            let columns = self.columns(kind);
            if columns.series.is_empty() {
                continue;
            }
            self.encode_columns(columns, table, out)?;
            let pages = encode_pages(kind, self.number, &columns.pages);
            page::seal_packed(kind::PAGES, &pages, out)?;
            for starts in columns.starts.chunks(SECTION_ROWS) {
                let starts = encode_starts(kind, self.number, starts);
                page::seal_packed(kind::STARTS_OF_COLUMNS, &starts, out)?;
            }
        }
        Ok(())
    }

    fn encode_columns(&self, columns: &Columns, table: u8, out: &mut Vec<u8>) -> Result<()> {
        for start in (0..columns.series.len()).step_by(SECTION_ROWS) {
            let end = columns.series.len().min(start + SECTION_ROWS);
            let mut raw = Vec::new();
            put_signed(&mut raw, self.number);
            put_varint(&mut raw, (end - start) as u64);
            let mut last = 0;
            for &id in &columns.series[start..end] {
                put_varint(&mut raw, u64::from(id - last));
                last = id;
            }
            let mut last = 0;
            for &time in &columns.times[start..end] {
                put_signed(&mut raw, i64::from(time) - last);
                last = i64::from(time);
            }
            page::seal_packed(table, &raw, out)?;
        }
        Ok(())
    }
}

/// The list of pages of one kind; `slab` is 0 where they are not of a slab.
pub fn encode_pages(kind: u8, slab: i64, pages: &[PageRef]) -> Vec<u8> {
    let mut raw = vec![kind];
    put_signed(&mut raw, slab);
    put_varint(&mut raw, pages.len() as u64);
    for page in pages {
        put_varint(&mut raw, page.offset);
        put_varint(&mut raw, u64::from(page.length));
        put_varint(&mut raw, u64::from(page.first));
    }
    raw
}

fn encode_starts(kind: u8, slab: i64, starts: &[(u32, u32)]) -> Vec<u8> {
    let mut raw = vec![kind];
    put_signed(&mut raw, slab);
    put_varint(&mut raw, starts.len() as u64);
    let (mut next, mut last) = (0, 0);
    for &(column, start) in starts {
        put_varint(&mut raw, u64::from(column - next));
        put_signed(&mut raw, i64::from(start) - last);
        next = column + 1;
        last = i64::from(start);
    }
    raw
}

/// The slabs of an index as its pages are read one after the other.
#[derive(Debug, Default)]
pub struct Slabs(pub Vec<Slab>);

impl Slabs {
    /// The slab of this number, which must be the last or a new one.
    fn last(&mut self, number: i64, cursor: &Cursor<'_>) -> Result<&mut Slab> {
        if self.0.last().is_none_or(|slab| slab.number < number) {
            self.0.push(Slab {
                number,
                ..Slab::default()
            });
        }
        match self.0.last_mut() {
            Some(slab) if slab.number == number => Ok(slab),
            _ => Err(cursor.corrupt("slabs are not in order")),
        }
    }

    pub fn take_columns(&mut self, cursor: &mut Cursor<'_>, kind: u8, all: &Totals) -> Result<()> {
        let number = cursor.signed()?;
        let count = cursor.bounded(cursor.remaining(), "columns of a slab")?;
        let columns = self.last(number, cursor)?.columns_mut(kind);
        if !columns.pages.is_empty() {
            return Err(cursor.corrupt("columns of a slab after its pages"));
        }
        let mut id = 0u64;
        for _ in 0..count {
            id = id.saturating_add(cursor.varint()?);
            if id >= all.series
                || columns
                    .series
                    .last()
                    .is_some_and(|&last| u64::from(last) > id)
            {
                return Err(cursor.corrupt(format!("column of series {id}, {} series", all.series)));
            }
            columns.series.push(id as u32);
        }
        let mut time = 0i64;
        for _ in 0..count {
            time = time.wrapping_add(cursor.signed()?);
            if time < 0 || time as u64 >= all.time_columns {
                return Err(cursor.corrupt(format!("time column {time} of {}", all.time_columns)));
            }
            columns.times.push(time as u32);
        }
        cursor.finish()
    }

    pub fn take_pages(
        &mut self,
        cursor: &Cursor<'_>,
        kind: u8,
        number: i64,
        pages: Vec<PageRef>,
    ) -> Result<()> {
        let columns = self.last(number, cursor)?.columns_mut(kind);
        if columns.series.is_empty() || !columns.pages.is_empty() {
            return Err(cursor.corrupt("pages of a slab without columns"));
        }
        columns.pages = pages;
        Ok(())
    }

    pub fn take_starts(&mut self, cursor: &mut Cursor<'_>, all: &Totals) -> Result<()> {
        let kind = cursor.u8()?;
        let number = cursor.signed()?;
        let count = cursor.bounded(cursor.remaining(), "columns with starts")?;
        let columns = self.last(number, cursor)?.columns_mut(kind);
        let (mut next, mut start) = (0u64, 0i64);
        for _ in 0..count {
            let column = next.saturating_add(cursor.varint()?);
            start = start.wrapping_add(cursor.signed()?);
            let ascends = columns
                .starts
                .last()
                .is_none_or(|one| u64::from(one.0) < column);
            let inside = column < columns.series.len() as u64;
            if !ascends || !inside || start < 0 || start as u64 >= all.start_columns {
                return Err(cursor.corrupt(format!("starts {start} of column {column}")));
            }
            columns.starts.push((column as u32, start as u32));
            next = column + 1;
        }
        cursor.finish()
    }
}

/// The kind, the slab and the pages of one list.
pub fn decode_pages(cursor: &mut Cursor<'_>, data_bytes: u64) -> Result<(u8, i64, Vec<PageRef>)> {
    let kind = cursor.u8()?;
    let slab = cursor.signed()?;
    let count = cursor.bounded(cursor.remaining(), "number of pages")?;
    let mut pages: Vec<PageRef> = Vec::with_capacity(count);
    for _ in 0..count {
        let offset = cursor.varint()?;
        let length = cursor.bounded(
            page::HEADER_BYTES + page::PAYLOAD_BYTES_MAX,
            "length of a page",
        )? as u32;
        let first = cursor.bounded(u32::MAX as usize, "first column of a page")? as u32;
        let ends = offset.checked_add(u64::from(length));
        if ends.is_none_or(|end| end > data_bytes)
            || pages.last().is_some_and(|last| last.first >= first)
        {
            return Err(cursor.corrupt(format!("page at {offset} of {data_bytes} bytes")));
        }
        pages.push(PageRef {
            offset,
            length,
            first,
        });
    }
    cursor.finish()?;
    Ok((kind, slab, pages))
}
