//! Protobuf's wire format: fields of a message, without copies and without recursion.
//!
//! A reader covers `[at, end)` of one buffer and speaks in positions of that buffer, so that spans of
//! nested messages and the places of errors need no translation. Groups are refused.

use crate::error::{Error, Result};

/// Positions in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    pub const EMPTY: Self = Self { start: 0, end: 0 };

    #[inline]
    pub fn of(self, buffer: &[u8]) -> &[u8] {
        &buffer[self.start..self.end]
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    Varint(u64),
    Fixed64(u64),
    Bytes(Span),
    Fixed32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    pub number: u64,
    pub value: Value,
}

const FIELD_NUMBER_MAX: u64 = (1 << 29) - 1;

#[derive(Debug, Clone)]
pub struct Reader<'a> {
    buffer: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    /// `span` must lie within the buffer.
    #[inline]
    pub fn new(buffer: &'a [u8], span: Span) -> Self {
        debug_assert!(span.start <= span.end && span.end <= buffer.len());
        Self {
            buffer,
            at: span.start,
            end: span.end,
        }
    }

    #[inline]
    pub fn at(&self) -> usize {
        self.at
    }

    /// What is left.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        &self.buffer[self.at..self.end]
    }

    /// Steps over bytes of `rest` that the caller has read itself.
    #[inline]
    pub fn advance(&mut self, count: usize) {
        debug_assert!(count <= self.end - self.at);
        self.at += count;
    }

    /// The next field, or `None` at the end.
    #[inline]
    pub fn field(&mut self) -> Result<Option<Field>> {
        if self.at == self.end {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 || number > FIELD_NUMBER_MAX {
            return Err(self.malformed("field number out of range"));
        }
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(self.fixed64()?),
            2 => Value::Bytes(self.bytes()?),
            5 => {
                self.take(4)?;
                Value::Fixed32
            }
            3 | 4 => return Err(self.malformed("groups are not part of remote write")),
            _ => return Err(self.malformed("unknown wire type")),
        };
        Ok(Some(Field { number, value }))
    }

    #[inline]
    pub fn varint(&mut self) -> Result<u64> {
        match self.rest().first() {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    #[inline]
    fn long_varint(&mut self) -> Result<u64> {
        match long_varint(self.rest()) {
            Some((value, length)) => {
                self.at += length;
                Ok(value)
            }
            None => Err(self.malformed("varint is cut off or longer than 64 bits")),
        }
    }

    #[inline]
    pub fn bytes(&mut self) -> Result<Span> {
        let length = self.varint()?;
        match usize::try_from(length) {
            Ok(length) => self.take(length),
            Err(_) => Err(self.malformed("length exceeds its message")),
        }
    }

    fn fixed64(&mut self) -> Result<u64> {
        match self.rest().first_chunk() {
            Some(bytes) => {
                self.at += 8;
                Ok(u64::from_le_bytes(*bytes))
            }
            None => Err(self.malformed("fixed64 is cut off")),
        }
    }

    #[inline]
    fn take(&mut self, length: usize) -> Result<Span> {
        if length > self.end - self.at {
            return Err(self.malformed("length exceeds its message"));
        }
        let start = self.at;
        self.at += length;
        Ok(Span {
            start,
            end: self.at,
        })
    }

    #[cold]
    pub fn malformed(&self, what: &str) -> Error {
        Error::invalid(
            "protobuf-malformed",
            format!("malformed protobuf at byte {}: {what}", self.at),
        )
    }
}

/// A varint of up to 10 bytes with its length; `None` if it is cut off or does not fit 64 bits.
#[inline]
pub fn long_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().take(10).enumerate() {
        if index == 9 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte < 0x80 {
            return Some((value, index + 1));
        }
    }
    None
}

/// Of a sint32, whose upper bits do not count.
pub fn zigzag_32(value: u64) -> i32 {
    let value = value as u32;
    (value >> 1) as i32 ^ -((value & 1) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<Field>> {
        let span = Span {
            start: 0,
            end: bytes.len(),
        };
        let mut reader = Reader::new(bytes, span);
        let mut all = Vec::new();
        while let Some(field) = reader.field()? {
            all.push(field);
        }
        Ok(all)
    }

    #[test]
    fn every_wire_type_is_read() {
        let bytes = [
            0x08, 0x96, 0x01, 0x11, 1, 0, 0, 0, 0, 0, 0, 0, 0x1a, 2, 8, 9, 0x25, 0, 0, 0, 0,
        ];
        let values: Vec<Value> = fields(&bytes)
            .expect("well formed")
            .iter()
            .map(|f| f.value)
            .collect();
        let span = Span { start: 14, end: 16 };
        assert_eq!(
            values,
            [
                Value::Varint(150),
                Value::Fixed64(1),
                Value::Bytes(span),
                Value::Fixed32
            ]
        );
    }

    #[test]
    fn malformed_fields_are_refused() {
        let cases: &[&[u8]] = &[
            &[0x00],
            &[0x08],
            &[0x08, 0x80],
            &[0x0b],
            &[0x0c],
            &[0x0e],
            &[0x0f],
            &[0x0a, 1],
            &[
                0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
            ],
            &[0x09, 1, 2, 3],
            &[0x0d, 1, 2, 3],
            &[
                0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02,
            ],
            &[0xff, 0xff, 0xff, 0xff, 0x7f, 0],
        ];
        for case in cases {
            assert!(fields(case).is_err(), "{case:?}");
        }
    }

    #[test]
    fn varints_reach_the_ends_of_64_bits() {
        let max = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(long_varint(&max), Some((u64::MAX, 10)));
        let min = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
        assert_eq!(long_varint(&min), Some((1 << 63, 10)));
    }
}
