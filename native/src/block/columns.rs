//! A page of columns: a directory of all columns, one zstd zone that small columns share, and the
//! bodies of those that are compressed by themselves.

use crate::block::bytes::{Cursor, put_varint};
use crate::block::page::{self, compress_default, decompress};
use crate::error::Result;

/// A longer piece of a series is cut: decoding one column is bounded work.
pub const COLUMN_SAMPLES_MAX: usize = 8192;
const PAGE_BYTES: usize = 64 << 10;
const ZONE_BYTES: usize = 256 << 10;
const PAGE_COLUMNS_MAX: usize = 4096;
const COLUMNS_LIMIT: usize = 1 << 16;

/// One encoded column before it is laid into a page.
#[derive(Debug, Clone, Default)]
pub struct Encoded {
    pub params: Vec<u8>,
    /// Goes into the page's shared zstd frame.
    pub zone: Vec<u8>,
    /// Stands by itself.
    pub body: Vec<u8>,
}

impl Encoded {
    /// Bytes that are no column, for the page's zstd frame.
    pub fn in_zone(zone: Vec<u8>) -> Self {
        Self {
            zone,
            ..Self::default()
        }
    }

    pub fn cost(&self) -> usize {
        self.params.len() + self.body.len()
    }
}

#[derive(Debug, Default)]
pub struct ColumnPageWriter {
    directory: Vec<u8>,
    zone: Vec<u8>,
    body: Vec<u8>,
    columns: usize,
}

impl ColumnPageWriter {
    pub fn add(&mut self, column: &Encoded, samples: usize) {
        put_varint(&mut self.directory, samples as u64);
        put_varint(&mut self.directory, column.zone.len() as u64);
        put_varint(&mut self.directory, column.body.len() as u64);
        put_varint(&mut self.directory, column.params.len() as u64);
        self.directory.extend_from_slice(&column.params);
        self.zone.extend_from_slice(&column.zone);
        self.body.extend_from_slice(&column.body);
        self.columns += 1;
    }

    pub fn is_empty(&self) -> bool {
        self.columns == 0
    }

    pub fn is_full(&self) -> bool {
        self.body.len() + self.zone.len() / 4 >= PAGE_BYTES
            || self.zone.len() >= ZONE_BYTES
            || self.columns >= PAGE_COLUMNS_MAX
    }

    /// Appends the page to `out` and starts an empty one; returns the page's length.
    pub fn seal(&mut self, kind: u8, out: &mut Vec<u8>) -> Result<usize> {
        let directory = compress_default(&self.directory)?;
        let zone = compress_default(&self.zone)?;
        let mut payload = Vec::with_capacity(20 + directory.len() + zone.len() + self.body.len());
        for length in [
            self.columns,
            self.directory.len(),
            directory.len(),
            self.zone.len(),
            zone.len(),
        ] {
            payload.extend_from_slice(&(length as u32).to_le_bytes());
        }
        payload.extend_from_slice(&directory);
        payload.extend_from_slice(&zone);
        payload.extend_from_slice(&self.body);
        *self = Self::default();
        Ok(page::seal(kind, &payload, out))
    }
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    samples: usize,
    params: (usize, usize),
    zone: (usize, usize),
    body: (usize, usize),
}

/// An opened page: its directory is parsed, its zone decompressed, no column decoded yet.
#[derive(Debug)]
pub struct ColumnPage<'a> {
    at: u64,
    directory: Vec<u8>,
    zone: Vec<u8>,
    body: &'a [u8],
    entries: Vec<Entry>,
}

/// One column of an opened page.
pub struct Column<'p> {
    pub samples: usize,
    pub params: &'p [u8],
    pub zone: &'p [u8],
    pub body: &'p [u8],
}

impl<'a> ColumnPage<'a> {
    pub fn open(bytes: &'a [u8], kind: u8, at: u64) -> Result<Self> {
        let payload = page::open_exact(bytes, kind, at)?;
        let mut cursor = Cursor::new(payload, at);
        let columns = cursor.u32()? as usize;
        let lengths = [cursor.u32()?, cursor.u32()?, cursor.u32()?, cursor.u32()?]
            .map(|length| length as usize);
        if columns > COLUMNS_LIMIT {
            return Err(cursor.corrupt(format!(
                "{columns} columns in a page, at most {COLUMNS_LIMIT} are possible"
            )));
        }
        let directory = decompress(cursor.take(lengths[1])?, lengths[0], at)?;
        let zone = decompress(cursor.take(lengths[3])?, lengths[2], at)?;
        let body = cursor.take(cursor.remaining())?;
        let entries = parse(&directory, columns, zone.len(), body.len(), at)?;
        Ok(Self {
            at,
            directory,
            zone,
            body,
            entries,
        })
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn column(&self, index: usize) -> Result<Column<'_>> {
        let Some(entry) = self.entries.get(index) else {
            let message = format!("column {index} of a page with {}", self.entries.len());
            return Err(crate::error::Error::corrupt(message, self.at));
        };
        Ok(Column {
            samples: entry.samples,
            params: &self.directory[entry.params.0..entry.params.1],
            zone: &self.zone[entry.zone.0..entry.zone.1],
            body: &self.body[entry.body.0..entry.body.1],
        })
    }
}

fn parse(
    directory: &[u8],
    columns: usize,
    zone_bytes: usize,
    body_bytes: usize,
    at: u64,
) -> Result<Vec<Entry>> {
    let mut cursor = Cursor::new(directory, at);
    let mut entries = Vec::with_capacity(columns);
    let (mut zone, mut body) = (0, 0);
    for _ in 0..columns {
        let samples = cursor.bounded(COLUMN_SAMPLES_MAX, "samples of a column")?;
        let zone_length = cursor.bounded(zone_bytes - zone, "zone of a column")?;
        let body_length = cursor.bounded(body_bytes - body, "body of a column")?;
        let params_length = cursor.bounded(cursor.remaining(), "parameters of a column")?;
        let params = cursor.position();
        cursor.take(params_length)?;
        entries.push(Entry {
            samples,
            params: (params, params + params_length),
            zone: (zone, zone + zone_length),
            body: (body, body + body_length),
        });
        zone += zone_length;
        body += body_length;
    }
    cursor.finish()?;
    if zone != zone_bytes || body != body_bytes {
        return Err(cursor.corrupt("columns do not fill their page"));
    }
    Ok(entries)
}
