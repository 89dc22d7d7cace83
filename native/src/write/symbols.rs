//! The symbol table of a remote-write 2.0 request: places in the message, never strings of their own.
//!
//! Numbers of symbols differ from request to request, so the cache cannot know a series by them. Each
//! symbol is hashed once; the key of a series is made of the hashes of its labels. It does not depend on the
//! order of labels, so a sender that shuffles them is known too.

use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::error::{Error, Result};
use crate::labels::METRIC_NAME;
use crate::write::labels::Label;
use crate::write::limits::Limits;
use crate::write::wire::{Reader, Span, Value};

/// Where a symbol is in the message: positions are 32 bits wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Symbol {
    pub start: u32,
    pub length: u32,
}

impl Symbol {
    #[inline]
    pub fn of(self, message: &[u8]) -> &[u8] {
        let start = self.start as usize;
        &message[start..start + self.length as usize]
    }
}

const FIELD_SYMBOL: u64 = 4;

#[derive(Debug, Default)]
pub struct Symbols {
    pub places: Vec<Symbol>,
    hashes: Vec<[u64; 2]>,
}

impl Symbols {
    /// Those of a message; they may stand anywhere between its series.
    pub fn read(message: &[u8], limits: &Limits, seed: u64) -> Result<Self> {
        let whole = Span {
            start: 0,
            end: message.len(),
        };
        let mut symbols = Self::default();
        let mut reader = Reader::new(message, whole);
        while let Some(field) = reader.field()? {
            if let (FIELD_SYMBOL, Value::Bytes(span)) = (field.number, field.value) {
                symbols.push(span, message, limits, seed)?;
            }
        }
        Ok(symbols)
    }

    fn push(&mut self, span: Span, message: &[u8], limits: &Limits, seed: u64) -> Result<()> {
        if self.places.len() >= limits.symbols {
            return Err(Error::invalid(
                "max-symbols-per-request",
                format!("request has more than {} symbols", limits.symbols),
            ));
        }
        let hash = xxh3_128_with_seed(span.of(message), seed);
        self.hashes.push([hash as u64, (hash >> 64) as u64]);
        self.places.push(Symbol {
            start: span.start as u32,
            length: (span.end - span.start) as u32,
        });
        Ok(())
    }

    pub fn get(&self, number: u32) -> Option<Symbol> {
        self.places.get(number as usize).copied()
    }

    /// The text of a symbol as it came.
    pub fn text<'a>(&self, number: u32, message: &'a [u8]) -> Option<&'a [u8]> {
        self.get(number).map(|symbol| symbol.of(message))
    }

    /// The labels of a list of references, and how many came; at most `labels_max` and one more are given.
    ///
    /// None if a reference leads nowhere or has no partner.
    pub fn labels<'a>(
        &self,
        refs: impl Iterator<Item = Option<u32>>,
        message: &'a [u8],
        labels_max: usize,
        out: &mut Vec<Label<'a>>,
    ) -> Option<usize> {
        out.clear();
        let mut count = 0;
        let mut refs = refs;
        while let Some(name) = refs.next() {
            let value = refs.next()?;
            let label = (self.text(name?, message)?, self.text(value?, message)?);
            if count <= labels_max {
                out.push(label);
            }
            count += 1;
        }
        Some(count)
    }

    /// The value of the metric name among references.
    pub fn metric(
        &self,
        mut refs: impl Iterator<Item = Option<u32>>,
        message: &[u8],
    ) -> Option<u32> {
        while let (Some(Some(name)), Some(Some(value))) = (refs.next(), refs.next()) {
            if self.text(name, message) == Some(METRIC_NAME.as_bytes()) {
                return Some(value);
            }
        }
        None
    }
}

/// The key of a series, label by label.
///
/// A sum of products of secret hashes, twice, with the parts of name and value crossed: two sets of labels have
/// the same key only if two different polynomials agree at a point that nobody outside knows.
#[derive(Debug, Default)]
pub struct SeriesKey {
    crossed: u128,
    straight: u128,
    pub label_bytes: usize,
}

impl SeriesKey {
    #[inline]
    fn add(&mut self, symbols: &Symbols, name: u32, value: u32) -> Option<()> {
        let (name, value) = (name as usize, value as usize);
        let (left, right) = (symbols.hashes.get(name)?, symbols.hashes.get(value)?);
        let product = |a: u64, b: u64| u128::from(a) * u128::from(b);
        self.crossed = self.crossed.wrapping_add(product(left[0], right[1]));
        self.straight = self
            .straight
            .wrapping_add(product(left[1], right[0]).rotate_left(1));
        self.label_bytes += (symbols.places[name].length + symbols.places[value].length) as usize;
        Some(())
    }

    /// Over all references of a packed list; None if one leads nowhere, has no partner or is malformed.
    #[inline]
    pub fn of(refs: &[u8], symbols: &Symbols) -> Option<Self> {
        let mut key = Self::default();
        let mut refs = Refs(refs);
        while let Some(name) = refs.next() {
            key.add(symbols, name?, refs.next()??)?;
        }
        Some(key)
    }

    #[inline]
    pub fn key(&self, seed: u64) -> u128 {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&self.crossed.to_le_bytes());
        bytes[16..].copy_from_slice(&self.straight.to_le_bytes());
        xxh3_128_with_seed(&bytes, seed)
    }
}

/// The numbers of a packed list of uint32; `Some(None)` where it is malformed, and then no more.
#[derive(Debug, Clone, Copy)]
pub struct Refs<'a>(pub &'a [u8]);

impl Iterator for Refs<'_> {
    type Item = Option<u32>;

    #[inline]
    fn next(&mut self) -> Option<Option<u32>> {
        match *self.0 {
            [] => None,
            [first, ref rest @ ..] if first < 0x80 => {
                self.0 = rest;
                Some(Some(u32::from(first)))
            }
            [first, second, ref rest @ ..] if second < 0x80 => {
                self.0 = rest;
                Some(Some(u32::from(first & 0x7f) | u32::from(second) << 7))
            }
            _ => Some(self.long()),
        }
    }
}

impl Refs<'_> {
    fn long(&mut self) -> Option<u32> {
        match crate::write::wire::long_varint(self.0) {
            Some((value, length)) => {
                self.0 = &self.0[length..];
                Some(value as u32)
            }
            None => {
                self.0 = &[];
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::limits::TEST_LIMITS;

    fn message(symbols: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for symbol in symbols {
            out.extend([0x22, symbol.len() as u8]);
            out.extend(symbol.as_bytes());
        }
        out
    }

    fn key(symbols: &[&str], refs: &[u8], seed: u64) -> Option<u128> {
        let table = Symbols::read(&message(symbols), &TEST_LIMITS, seed).expect("well formed");
        SeriesKey::of(refs, &table).map(|key| key.key(seed))
    }

    #[test]
    fn a_key_speaks_of_labels_and_of_nothing_else() {
        let one = key(&["", "a", "x", "b", "y"], &[1, 2, 3, 4], 7);
        assert!(one.is_some());
        let others = [
            key(&["", "y", "b", "x", "a"], &[4, 3, 2, 1], 7),
            key(&["b", "y", "a", "x", "x"], &[0, 1, 2, 4], 7),
        ];
        for other in others {
            assert_eq!(one, other);
        }
        assert_ne!(one, key(&["", "a", "x", "b", "y"], &[1, 2, 3, 4], 8));
    }

    #[test]
    fn other_labels_have_other_keys() {
        let table = ["", "a", "b", "c"];
        let lists: &[&[u8]] = &[
            &[],
            &[1, 2],
            &[2, 1],
            &[1, 1],
            &[2, 2],
            &[1, 2, 1, 2],
            &[1, 2, 2, 1],
            &[1, 1, 2, 2],
            &[1, 2, 3, 1],
            &[1, 1, 3, 2],
            &[1, 0],
            &[0, 1],
        ];
        let mut keys: Vec<_> = lists.iter().map(|refs| key(&table, refs, 3)).collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), lists.len());
    }

    #[test]
    fn references_that_lead_nowhere_have_no_key() {
        let broken: [&[u8]; 5] = [&[1], &[1, 9], &[9, 1], &[1, 0x80], &[0xff, 0xff, 0xff]];
        for refs in broken {
            assert_eq!(key(&["", "a"], refs, 1), None, "{refs:?}");
        }
    }

    #[test]
    fn references_of_any_size_are_read() {
        let bytes = [
            5, 0x80, 0x01, 0xff, 0xff, 0x03, 0xff, 0xff, 0xff, 0xff, 0x0f,
        ];
        let read: Vec<_> = Refs(&bytes).collect();
        let wanted = [5, 128, 65_535, u32::MAX].map(Some);
        assert_eq!(read, wanted);
    }

    #[test]
    fn too_many_symbols_are_refused() {
        let limits = Limits {
            symbols: 2,
            ..TEST_LIMITS
        };
        assert!(Symbols::read(&message(&["", "a"]), &limits, 0).is_ok());
        assert!(Symbols::read(&message(&["", "a", "b"]), &limits, 0).is_err());
    }
}
