//! Label sets as bytes: symbols once, then what each set does not share with the one before.

use std::sync::Arc;

use crate::block::bytes::{Cursor, put_varint};
use crate::error::Result;
use crate::labels::{LabelSets, Pair};
use crate::rpc::pack::{pack, unpack};
use crate::symbols::Interner;

/// More labels in one answer are damage.
const PAIRS_MAX: usize = 1 << 28;

/// Numbers symbols in the order in which they are first named.
struct Numbers {
    /// 0 where a symbol has none, else one more than its number.
    of: Vec<u32>,
    symbols: Vec<u32>,
}

impl Numbers {
    fn put(&mut self, symbol: u32, out: &mut Vec<u8>) {
        let number = &mut self.of[symbol as usize];
        put_varint(out, u64::from(*number));
        if *number == 0 {
            self.symbols.push(symbol);
            *number = self.symbols.len() as u32;
        }
    }
}

pub fn encode(labels: &LabelSets, out: &mut Vec<u8>) -> Result<()> {
    let mut numbers = Numbers {
        of: vec![0; labels.symbols.len()],
        symbols: Vec::new(),
    };
    let mut sets = Vec::with_capacity(labels.count() * 8);
    put_varint(&mut sets, labels.count() as u64);
    let mut before: &[Pair] = &[];
    for index in 0..labels.count() {
        let pairs = labels.pairs_of(index);
        put_set(before, pairs, &mut numbers, &mut sets);
        before = pairs;
    }
    let texts = || numbers.symbols.iter().map(|&id| labels.symbols.get(id));
    let size: usize = texts().map(str::len).sum();
    let mut raw = Vec::with_capacity(sets.len() + size + 2 * numbers.symbols.len() + 10);
    put_varint(&mut raw, numbers.symbols.len() as u64);
    texts().for_each(|text| put_varint(&mut raw, text.len() as u64));
    texts().for_each(|text| raw.extend_from_slice(text.as_bytes()));
    raw.extend_from_slice(&sets);
    pack(&raw, out)
}

fn put_set(before: &[Pair], pairs: &[Pair], numbers: &mut Numbers, out: &mut Vec<u8>) {
    put_varint(out, pairs.len() as u64);
    let bits = out.len();
    out.resize(bits + pairs.len().div_ceil(8), 0);
    for (place, pair) in pairs.iter().enumerate() {
        if before.get(place) != Some(pair) {
            out[bits + place / 8] |= 1 << (place % 8);
            numbers.put(pair[0], out);
            numbers.put(pair[1], out);
        }
    }
}

/// Reads label sets up to the end.
pub fn decode(packed: Cursor<'_>) -> Result<LabelSets> {
    let raw = unpack(packed)?;
    let mut cursor = Cursor::new(&raw, 0);
    let symbols = take_symbols(&mut cursor)?;
    let count = cursor.bounded(cursor.remaining(), "sets")?;
    let mut sets = Sets {
        empty: symbols.find(""),
        symbols,
        named: 0,
        pairs: Vec::new(),
        start: 0,
    };
    let mut offsets = Vec::with_capacity(count + 1);
    offsets.push(0);
    for _ in 0..count {
        sets.take(&mut cursor)?;
        offsets.push(sets.pairs.len() as u32);
    }
    cursor.finish()?;
    if sets.named as usize != sets.symbols.symbols.len() {
        return Err(cursor.corrupt("a symbol that no set names"));
    }
    Ok(LabelSets {
        symbols: Arc::new(sets.symbols.symbols),
        pairs: sets.pairs,
        offsets,
    })
}

fn take_symbols(cursor: &mut Cursor<'_>) -> Result<Interner> {
    let count = cursor.bounded(cursor.remaining(), "symbols")?;
    let mut sizes = Vec::with_capacity(count);
    let mut total = 0usize;
    for _ in 0..count {
        let size = cursor.bounded(cursor.remaining(), "length of a symbol")?;
        total = total.saturating_add(size);
        sizes.push(size);
    }
    let texts = std::str::from_utf8(cursor.take(total)?)
        .map_err(|_| cursor.corrupt("symbols are not UTF-8"))?;
    let mut symbols = Interner::default();
    let mut at = 0;
    for (number, size) in sizes.into_iter().enumerate() {
        let text = texts
            .get(at..at + size)
            .ok_or_else(|| cursor.corrupt("a symbol ends in the middle of a character"))?;
        if symbols.intern(text) as usize != number {
            return Err(cursor.corrupt("a symbol is told twice"));
        }
        at += size;
    }
    Ok(symbols)
}

/// Sets that are being read.
struct Sets {
    symbols: Interner,
    /// The symbol that no value may be.
    empty: Option<u32>,
    /// So many symbols were named.
    named: u32,
    pairs: Vec<Pair>,
    /// Where the set before begins.
    start: usize,
}

impl Sets {
    fn take(&mut self, cursor: &mut Cursor<'_>) -> Result<()> {
        let before = self.start..self.pairs.len();
        let count = cursor.bounded(before.len() + cursor.remaining(), "labels of a set")?;
        if before.end + count > PAIRS_MAX {
            return Err(cursor.corrupt(format!("more than {PAIRS_MAX} labels")));
        }
        let changed = cursor.take(count.div_ceil(8))?;
        let mut is_ordered = true;
        for place in 0..count {
            let old = before.clone().nth(place).map(|at| self.pairs[at]);
            if changed[place / 8] >> (place % 8) & 1 == 0 {
                let Some(old) = old else {
                    return Err(cursor.corrupt("a label like one that is not there"));
                };
                self.pairs.push(old);
                continue;
            }
            let pair = [self.symbol(cursor)?, self.symbol(cursor)?];
            if Some(pair[1]) == self.empty {
                return Err(cursor.corrupt("a label without a value"));
            }
            is_ordered &= old.is_some_and(|old| old[0] == pair[0]);
            self.pairs.push(pair);
        }
        self.start = before.end;
        if !is_ordered {
            self.check_order(cursor)?;
        }
        Ok(())
    }

    fn symbol(&mut self, cursor: &mut Cursor<'_>) -> Result<u32> {
        let number = cursor.bounded(self.named as usize, "number of a symbol")? as u32;
        if number > 0 {
            return Ok(number - 1);
        }
        if self.named as usize == self.symbols.symbols.len() {
            return Err(cursor.corrupt("more symbols are named than told"));
        }
        self.named += 1;
        Ok(self.named - 1)
    }

    /// Whether the names of the newest set ascend; where they are those of the set before, they do.
    fn check_order(&self, cursor: &Cursor<'_>) -> Result<()> {
        let names = self.pairs[self.start..].iter();
        let names = names.map(|pair| self.symbols.symbols.get(pair[0]));
        match names.is_sorted_by(|left, right| left < right) {
            true => Ok(()),
            false => Err(cursor.corrupt("labels are not sorted by name")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::labels::LabelSetsBuilder;

    fn sets(all: &[&[(&str, &str)]]) -> LabelSets {
        let mut builder = LabelSetsBuilder::default();
        for set in all {
            set.iter()
                .for_each(|(name, value)| builder.label(name, value));
            builder.end_set();
        }
        builder.build()
    }

    fn texts(labels: &LabelSets) -> Vec<Vec<(&str, &str)>> {
        (0..labels.count())
            .map(|index| labels.labels_of(index).collect())
            .collect()
    }

    fn many() -> LabelSets {
        sets(&[
            &[("__name__", "up"), ("pod", "a")],
            &[("__name__", "up"), ("pod", "b")],
            &[],
            &[("ü", "日本")],
            &[
                ("__name__", "down"),
                ("job", "up"),
                ("pod", "b"),
                ("zone", "a"),
            ],
            &[("__name__", "down"), ("job", "up"), ("pod", "c")],
            &[("__name__", "down"), ("job", "up"), ("pod", "c")],
        ])
    }

    #[test]
    fn sets_come_back_with_the_symbols_that_they_use() -> Result<()> {
        let all = many();
        let some = all.taken([5, 1].into_iter())?;
        for labels in [&sets(&[]), &all, &some] {
            let mut bytes = Vec::new();
            encode(labels, &mut bytes)?;
            let back = decode(Cursor::new(&bytes, 0))?;
            assert_eq!(texts(&back), texts(labels));
        }
        let mut bytes = Vec::new();
        encode(&some, &mut bytes)?;
        assert_eq!(decode(Cursor::new(&bytes, 0))?.symbols.len(), 7);
        Ok(())
    }

    #[test]
    fn what_is_damaged_is_refused_or_is_sets_with_sorted_names() -> Result<()> {
        let mut bytes = Vec::new();
        encode(&many(), &mut bytes)?;
        let mut refused = 0;
        for at in 2..bytes.len() {
            for value in 0..=u8::MAX {
                let mut other = bytes.clone();
                other[at] = value;
                match decode(Cursor::new(&other, 0)) {
                    Ok(labels) => {
                        for set in texts(&labels) {
                            assert!(set.is_sorted_by(|left, right| left.0 < right.0));
                            assert!(set.iter().all(|(_, value)| !value.is_empty()));
                        }
                    }
                    Err(_) => refused += 1,
                }
            }
        }
        assert!(refused > bytes.len() * 100);
        Ok(())
    }

    #[test]
    fn a_count_that_cannot_be_is_refused_before_anything_is_allocated() {
        for raw in [
            &[0xff, 0xff, 0xff, 0xff, 0x7f][..],
            &[0, 0xff, 0xff, 0xff, 0xff, 0x7f],
            &[0, 1, 0xff, 0xff, 0xff, 0x7f],
            &[1, 0xff, 0x7f, b'a'],
        ] {
            let mut bytes = Vec::new();
            assert!(pack(raw, &mut bytes).is_ok());
            assert!(decode(Cursor::new(&bytes, 0)).is_err());
        }
    }
}
