//! The envelope of every answer: its kind, and a checksum.

use crate::block::bytes::Cursor;
use crate::error::{Error, Result};

pub const LABELS: u8 = 1;
pub const SAMPLES: u8 = 2;
pub const EXEMPLARS: u8 = 3;
pub const DIGESTS: u8 = 4;

const HEAD_BYTES: usize = 5;

/// An answer in pieces, whose bytes are copied once more only: to where Python has them.
#[derive(Debug)]
pub struct Sealed<const N: usize> {
    head: [u8; HEAD_BYTES],
    pieces: [Vec<u8>; N],
}

/// A payload, which is the pieces one after the other.
pub fn seal<const N: usize>(kind: u8, pieces: [Vec<u8>; N]) -> Sealed<N> {
    let start = crc32c::crc32c(&[kind]);
    let all = pieces.iter();
    let crc = all.fold(start, |crc, piece| crc32c::crc32c_append(crc, piece));
    let mut head = [kind; HEAD_BYTES];
    head[1..].copy_from_slice(&crc.to_le_bytes());
    Sealed { head, pieces }
}

impl<const N: usize> Sealed<N> {
    pub fn size_bytes(&self) -> usize {
        HEAD_BYTES + self.pieces.iter().map(Vec::len).sum::<usize>()
    }

    /// Fills `out`, which must have that size.
    pub fn write(&self, out: &mut [u8]) {
        let pieces = self.pieces.iter().map(Vec::as_slice);
        let mut rest = out;
        for piece in std::iter::once(&self.head[..]).chain(pieces) {
            let (own, after) = rest.split_at_mut(piece.len());
            own.copy_from_slice(piece);
            rest = after;
        }
    }

    #[cfg(test)]
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = vec![0; self.size_bytes()];
        self.write(&mut out);
        out
    }
}

/// The payload of an answer, which must be of this kind.
pub fn open(data: &[u8], wanted: u8) -> Result<Cursor<'_>> {
    let mut cursor = Cursor::new(data, 0);
    let kind = cursor.u8()?;
    let crc = cursor.u32()?;
    let payload = cursor.take(cursor.remaining())?;
    if crc32c::crc32c_append(crc32c::crc32c(&[kind]), payload) != crc {
        return Err(Error::corrupt("checksum of an answer does not match", 0));
    }
    if kind != wanted {
        let message = format!("answer of kind {kind}, want {wanted}");
        return Err(Error::corrupt(message, 0));
    }
    Ok(Cursor::new(payload, HEAD_BYTES as u64))
}

/// The envelope around a payload that a test has changed.
#[cfg(test)]
pub fn resealed(kind: u8, payload: &[u8]) -> Vec<u8> {
    seal(kind, [payload.to_vec()]).bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flip_and_every_cut_is_found() -> Result<()> {
        let sealed = seal(LABELS, [vec![1, 2], vec![3]]).bytes();
        assert_eq!(open(&sealed, LABELS)?.take(3)?, [1, 2, 3]);
        assert!(open(&sealed, SAMPLES).is_err());
        for bit in 0..8 * sealed.len() {
            let mut other = sealed.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&other, LABELS).is_err());
        }
        for size in 0..sealed.len() {
            assert!(open(&sealed[..size], LABELS).is_err());
        }
        Ok(())
    }
}
