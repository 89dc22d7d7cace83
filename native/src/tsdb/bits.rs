//! Bits in a row, the most significant of a byte first.

use crate::error::{Error, Result};

#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    /// Bits of the last byte that are still free.
    free: u32,
}

impl Writer {
    /// Continues after whole bytes.
    pub fn after(bytes: Vec<u8>) -> Self {
        Self { bytes, free: 0 }
    }

    pub fn bit(&mut self, bit: bool) {
        self.bits(u64::from(bit), 1);
    }

    /// The lowest `count` bits of `value`, at most 64.
    pub fn bits(&mut self, value: u64, count: u32) {
        let mut left = count;
        while left > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let taken = left.min(self.free);
            let part = (value >> (left - taken)) & ((1 << taken) - 1);
            if let Some(last) = self.bytes.last_mut() {
                *last |= (part << (self.free - taken)) as u8;
            }
            self.free -= taken;
            left -= taken;
        }
    }

    /// Seven bits a byte, least significant first; not aligned to bytes of the stream.
    pub fn uvarint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bits(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.bits(value, 8);
    }

    /// Zigzag, then as `uvarint`.
    pub fn varint(&mut self, value: i64) {
        self.uvarint(((value << 1) ^ (value >> 63)) as u64);
    }

    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

#[derive(Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    /// Position in bits.
    at: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bits that are left.
    pub fn left(&self) -> usize {
        self.bytes.len() * 8 - self.at
    }

    pub fn bit(&mut self) -> Result<bool> {
        Ok(self.bits(1)? == 1)
    }

    /// The next `count` bits, at most 64, as a number.
    pub fn bits(&mut self, count: u32) -> Result<u64> {
        if count as usize > self.left() {
            return Err(self.damaged("chunk ends within a sample"));
        }
        let (mut value, mut left) = (0u64, count);
        while left > 0 {
            let used = (self.at % 8) as u32;
            let taken = left.min(8 - used);
            let byte = u64::from(self.bytes[self.at / 8]);
            let part = (byte >> (8 - used - taken)) & ((1 << taken) - 1);
            value = (value << taken) | part;
            self.at += taken as usize;
            left -= taken;
        }
        Ok(value)
    }

    /// How many bits are set before the next clear one, which is read as well unless `max` are set.
    pub fn ones(&mut self, max: u32) -> Result<u32> {
        let mut count = 0;
        while count < max && self.bit()? {
            count += 1;
        }
        Ok(count)
    }

    pub fn uvarint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for index in 0..10 {
            let byte = self.bits(8)?;
            if index == 9 && byte > 1 {
                break;
            }
            value |= (byte & 0x7f) << (7 * index);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.damaged("varint is longer than 64 bits"))
    }

    pub fn varint(&mut self) -> Result<i64> {
        let value = self.uvarint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    #[cold]
    pub fn damaged(&self, what: &str) -> Error {
        Error::corrupt(what, (self.at / 8) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut out = Writer::default();
        let values = [(1u64, 1), (0, 3), (u64::MAX, 64), (5, 17), (0x1234, 13)];
        for (value, count) in values {
            out.bits(value, count);
        }
        out.varint(i64::MIN);
        out.uvarint(u64::MAX);
        out.varint(-300);
        let bytes = out.finish();
        let mut reader = Reader::new(&bytes);
        for (value, count) in values {
            let kept = if count == 64 {
                value
            } else {
                value & ((1 << count) - 1)
            };
            assert_eq!(reader.bits(count), Ok(kept));
        }
        assert_eq!(reader.varint(), Ok(i64::MIN));
        assert_eq!(reader.uvarint(), Ok(u64::MAX));
        assert_eq!(reader.varint(), Ok(-300));
        assert!(reader.bits(8).is_err());
    }
}
