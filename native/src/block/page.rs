//! The frame of every page: magic, kind, length, CRC32C. Also the zstd sections inside pages.

use crate::block::bytes::Cursor;
use crate::error::{Error, Result};

pub const MAGIC: [u8; 4] = *b"RPG1";
pub const HEADER_BYTES: usize = 16;

/// No page that we write comes near it; a larger length is damage.
pub const PAYLOAD_BYTES_MAX: usize = 16 << 20;
pub const SECTION_BYTES_MAX: usize = 16 << 20;
const ZSTD_LEVEL: i32 = 3;
/// Index pages are few and read often: they may cost more to write.
pub const ZSTD_LEVEL_INDEX: i32 = 12;

pub mod kind {
    pub const VALUES: u8 = 1;
    pub const TIMES: u8 = 2;
    pub const HISTOGRAMS: u8 = 3;
    pub const STARTS: u8 = 4;
    pub const EXEMPLARS: u8 = 5;
    pub const SYMBOLS: u8 = 16;
    pub const SERIES: u8 = 17;
    pub const POSTINGS: u8 = 18;
    pub const COLUMNS: u8 = 19;
    pub const PAGES: u8 = 20;
    pub const TIME_COLUMNS: u8 = 21;
    pub const HISTOGRAM_COLUMNS: u8 = 22;
    pub const STARTS_OF_COLUMNS: u8 = 23;
    pub const EXEMPLAR_SERIES: u8 = 24;
    pub const END: u8 = 31;
}

/// Appends a page to `out`; returns its length.
pub fn seal(kind: u8, payload: &[u8], out: &mut Vec<u8>) -> usize {
    let head = head(kind, payload.len());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&head);
    out.extend_from_slice(&checksum(&head, payload).to_le_bytes());
    out.extend_from_slice(payload);
    HEADER_BYTES + payload.len()
}

fn head(kind: u8, length: usize) -> [u8; 8] {
    let mut head = [0; 8];
    head[0] = kind;
    head[4..].copy_from_slice(&(length as u32).to_le_bytes());
    head
}

fn checksum(head: &[u8], payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(head), payload)
}

/// One page that starts at `at` in its file; the bytes after it are returned with it.
pub fn open(bytes: &[u8], at: u64) -> Result<(u8, &[u8], &[u8])> {
    let mut cursor = Cursor::new(bytes, at);
    if cursor.take(4)? != MAGIC {
        return Err(Error::corrupt("no page starts here", at));
    }
    let head = cursor.take(8)?;
    let mut fields = Cursor::new(head, at);
    let kind = fields.u8()?;
    fields.take(3)?;
    let length = fields.u32()? as usize;
    let wanted = cursor.u32()?;
    if length > PAYLOAD_BYTES_MAX {
        let message = format!("page length {length}, at most {PAYLOAD_BYTES_MAX} is possible");
        return Err(Error::corrupt(message, at));
    }
    let payload = cursor.take(length)?;
    if checksum(head, payload) != wanted {
        return Err(Error::corrupt("page checksum does not match", at));
    }
    Ok((kind, payload, &bytes[HEADER_BYTES + length..]))
}

/// A page that must fill `bytes` and be of this kind.
pub fn open_exact(bytes: &[u8], wanted: u8, at: u64) -> Result<&[u8]> {
    let (kind, payload, rest) = open(bytes, at)?;
    if kind != wanted || !rest.is_empty() {
        let message = format!(
            "page of kind {kind}, want {wanted} filling its {} bytes",
            bytes.len()
        );
        return Err(Error::corrupt(message, at));
    }
    Ok(payload)
}

pub fn compress(raw: &[u8], level: i32) -> Result<Vec<u8>> {
    zstd::bulk::compress(raw, level).map_err(|cause| {
        Error::limit(
            "block-encode",
            format!("zstd of {} bytes: {cause}", raw.len()),
        )
    })
}

pub fn compress_default(raw: &[u8]) -> Result<Vec<u8>> {
    compress(raw, ZSTD_LEVEL)
}

pub fn decompress(packed: &[u8], raw_bytes: usize, at: u64) -> Result<Vec<u8>> {
    if raw_bytes > SECTION_BYTES_MAX {
        let message =
            format!("section of {raw_bytes} bytes, at most {SECTION_BYTES_MAX} is possible");
        return Err(Error::corrupt(message, at));
    }
    let raw = zstd::bulk::decompress(packed, raw_bytes)
        .map_err(|cause| Error::corrupt(format!("zstd section: {cause}"), at))?;
    if raw.len() != raw_bytes {
        let message = format!("zstd section has {} bytes, want {raw_bytes}", raw.len());
        return Err(Error::corrupt(message, at));
    }
    Ok(raw)
}

/// A page whose payload is `u32 raw length` and one zstd section.
pub fn seal_packed(kind: u8, raw: &[u8], out: &mut Vec<u8>) -> Result<usize> {
    let mut payload = (raw.len() as u32).to_le_bytes().to_vec();
    payload.extend_from_slice(&compress(raw, ZSTD_LEVEL_INDEX)?);
    Ok(seal(kind, &payload, out))
}

pub fn unpack(payload: &[u8], at: u64) -> Result<Vec<u8>> {
    let mut cursor = Cursor::new(payload, at);
    let raw_bytes = cursor.u32()? as usize;
    decompress(cursor.take(cursor.remaining())?, raw_bytes, at)
}
