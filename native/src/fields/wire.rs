//! Numbers, texts and times as bytes.

use crate::error::{Error, Result};

#[inline]
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[inline]
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, ((value << 1) ^ (value >> 63)) as u64);
}

pub fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// The starts of samples; 0 is none.
pub fn put_starts(out: &mut Vec<u8>, starts: &[i64]) {
    let mut before_ms = 0;
    for &start_ms in starts {
        put_signed(out, start_ms.wrapping_sub(before_ms));
        before_ms = start_ms;
    }
}

/// The times of samples, or that all are the same.
pub fn put_times(out: &mut Vec<u8>, times: &[i64]) {
    let base_ms = times.first().copied().unwrap_or(0);
    put_signed(out, base_ms);
    let shared = times.iter().all(|&time_ms| time_ms == base_ms);
    out.push(u8::from(!shared));
    if shared {
        return;
    }
    let mut before_ms = base_ms;
    for &time_ms in times {
        put_signed(out, time_ms.wrapping_sub(before_ms));
        before_ms = time_ms;
    }
}

/// Reads a payload; every length is checked against what is left.
pub struct Reader<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
    /// What the bytes are, for messages.
    what: &'static str,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { bytes, at: 0, what }
    }

    /// What is wrong with the bytes before this place.
    #[cold]
    pub fn odd(&self, fault: impl std::fmt::Display) -> Error {
        Error::corrupt(format!("{} {fault}", self.what), self.at as u64)
    }

    #[cold]
    pub fn short(&self) -> Error {
        self.odd("ends in the middle of a field")
    }

    #[inline]
    pub fn take(&mut self, size: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(size).ok_or_else(|| self.short())?;
        let part = self.bytes.get(self.at..end).ok_or_else(|| self.short())?;
        self.at = end;
        Ok(part)
    }

    #[inline]
    pub fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    pub fn float(&mut self) -> Result<f64> {
        let (words, _) = self.take(8)?.as_chunks::<8>();
        let word = words.first().ok_or_else(|| self.short())?;
        Ok(f64::from_bits(u64::from_le_bytes(*word)))
    }

    #[inline]
    pub fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.odd("has an overlong number"))
    }

    #[inline]
    pub fn signed(&mut self) -> Result<i64> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A count of items of at least `size` bytes each.
    pub fn count(&mut self, size: usize) -> Result<usize> {
        let count = self.varint()?;
        if count > ((self.bytes.len() - self.at) / size) as u64 {
            return Err(self.short());
        }
        Ok(count as usize)
    }

    pub fn text(&mut self) -> Result<&'a str> {
        let size = self.count(1)?;
        let text = self.take(size)?;
        std::str::from_utf8(text).map_err(|_| self.odd("has text that is not UTF-8"))
    }

    /// `total` times, as `put_times` writes them; the caller has checked that so many can be.
    pub fn times(&mut self, total: usize) -> Result<Vec<i64>> {
        let base_ms = self.signed()?;
        if self.byte()? == 0 {
            return Ok(vec![base_ms; total]);
        }
        self.differences(total, base_ms)
    }

    /// `total` numbers, each the difference from the one before.
    pub fn differences(&mut self, total: usize, mut before: i64) -> Result<Vec<i64>> {
        let mut numbers = Vec::with_capacity(total);
        for _ in 0..total {
            before = before.wrapping_add(self.signed()?);
            numbers.push(before);
        }
        Ok(numbers)
    }

    /// `entries` counts of items of at least `size` bytes each, as where the items of each end.
    pub fn ends(&mut self, entries: usize, size: usize) -> Result<Vec<u32>> {
        let mut ends = Vec::with_capacity(entries);
        let mut end = 0u64;
        for _ in 0..entries {
            end = end.saturating_add(self.varint()?);
            ends.push(end as u32);
        }
        let room = ((self.bytes.len() - self.at) / size) as u64;
        if end > room.min(u64::from(u32::MAX)) {
            return Err(self.short());
        }
        Ok(ends)
    }

    /// The strings of a dictionary.
    pub fn texts(&mut self) -> Result<Vec<&'a str>> {
        let count = self.count(1)?;
        let mut texts = Vec::with_capacity(count);
        for _ in 0..count {
            texts.push(self.text()?);
        }
        Ok(texts)
    }

    /// A label whose name and value are numbers of strings.
    pub fn label(&mut self, texts: &[&'a str]) -> Result<(&'a str, &'a str)> {
        let (name, value) = (self.varint()?, self.varint()?);
        match (texts.get(name as usize), texts.get(value as usize)) {
            (Some(name), Some(value)) => Ok((name, value)),
            _ => Err(self.odd("names no string")),
        }
    }
}
