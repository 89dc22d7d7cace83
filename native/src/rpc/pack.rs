//! Bytes in sections, each compressed where it gets smaller.

use zstd::bulk::Compressor;

use crate::block::bytes::{Cursor, put_varint};
use crate::block::page::decompress;
use crate::error::{Error, Result};

/// What is allocated for a section before it is decompressed.
const SECTION_BYTES: usize = 1 << 20;
/// Less is sent as it is.
const PACKED_BYTES_MIN: usize = 256;
/// More in one answer is damage: the answer itself is smaller.
const BYTES_MAX: usize = 1 << 30;
/// The fastest: what it saves is sent between neighbours.
const ZSTD_LEVEL: i32 = 1;

pub fn pack(raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let failed = |cause: std::io::Error| {
        let message = format!("zstd of {} bytes: {cause}", raw.len());
        Error::limit("rpc-encode", message)
    };
    if raw.len() < PACKED_BYTES_MIN {
        put_section(raw, None, out);
        return Ok(());
    }
    let mut compressor = Compressor::new(ZSTD_LEVEL).map_err(failed)?;
    for section in raw.chunks(SECTION_BYTES) {
        let packed = compressor.compress(section).map_err(failed)?;
        put_section(section, Some(packed), out);
    }
    Ok(())
}

fn put_section(section: &[u8], packed: Option<Vec<u8>>, out: &mut Vec<u8>) {
    put_varint(out, section.len() as u64);
    match packed.filter(|packed| packed.len() < section.len()) {
        Some(packed) => {
            put_varint(out, packed.len() as u64);
            out.extend_from_slice(&packed);
        }
        None => {
            put_varint(out, 0);
            out.extend_from_slice(section);
        }
    }
}

/// Reads all sections up to the end.
pub fn unpack(mut cursor: Cursor<'_>) -> Result<Vec<u8>> {
    let mut raw = Vec::new();
    while cursor.remaining() > 0 {
        let size = cursor.bounded(SECTION_BYTES, "size of a section")?;
        let packed = cursor.bounded(cursor.remaining(), "packed size of a section")?;
        if raw.len() + size > BYTES_MAX {
            return Err(cursor.corrupt(format!("sections of more than {BYTES_MAX} bytes")));
        }
        match packed {
            0 => raw.extend_from_slice(cursor.take(size)?),
            _ => raw.extend_from_slice(&decompress(cursor.take(packed)?, size, 0)?),
        }
    }
    Ok(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_of_any_size_come_back() -> Result<()> {
        for size in [0, 1, 255, 256, 5000, SECTION_BYTES, SECTION_BYTES + 1] {
            let raw: Vec<u8> = (0..size).map(|at| (at / 7) as u8).collect();
            let mut packed = Vec::new();
            pack(&raw, &mut packed)?;
            assert!(size < 5000 || packed.len() < size / 2);
            assert_eq!(unpack(Cursor::new(&packed, 0))?, raw);
        }
        Ok(())
    }

    #[test]
    fn a_section_cannot_claim_more_than_it_may_have() {
        let mut odd = Vec::new();
        put_varint(&mut odd, 1 << 40);
        odd.extend_from_slice(&[0; 40]);
        assert!(unpack(Cursor::new(&odd, 0)).is_err());
    }
}
