//! Labels of a series as bytes: `0x0a len { 0x0a len name 0x12 len value }` for each, as remote write 1.0
//! has them.

use crate::write::symbols::{Refs, Symbol};

pub const TAG_LABEL: u8 = 0x0a;
pub const TAG_NAME: u8 = 0x0a;
pub const TAG_VALUE: u8 = 0x12;

/// Where the labels of a series are.
#[derive(Debug, Clone, Copy)]
pub enum Run {
    /// A run of labels in the message that arrived, in whatever order they came.
    Message { start: u32, end: u32 },
    /// Encoded by us, because they came in another form or from arrays.
    Encoded { start: u32, end: u32 },
    /// A packed list of references to symbols in the message: name, value, name, value.
    Refs { start: u32, end: u32 },
    /// Nowhere: who sent the series takes it for known.
    Absent,
}

pub fn put_label(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let inner = 2 + varint_len(name.len()) + name.len() + varint_len(value.len()) + value.len();
    out.push(TAG_LABEL);
    put_varint(out, inner);
    out.push(TAG_NAME);
    put_varint(out, name.len());
    out.extend_from_slice(name);
    out.push(TAG_VALUE);
    put_varint(out, value.len());
    out.extend_from_slice(value);
}

fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn varint_len(value: usize) -> usize {
    (usize::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// The content of the first field of `bytes`, which must have this one-byte tag, and the rest.
#[inline]
pub fn split_field(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, mut rest) = bytes.split_first()?;
    if first != tag {
        return None;
    }
    let mut length = 0usize;
    for shift in [0, 7, 14, 21, 28] {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        length |= ((byte & 0x7f) as usize) << shift;
        if byte < 0x80 {
            return rest.split_at_checked(length);
        }
    }
    None
}

/// Adds the labels of a run that are not empty.
pub fn collect<'a>(mut run: &'a [u8], out: &mut Vec<(&'a str, &'a str)>) {
    while let Some(((name, value), rest)) = split_label(run) {
        if !value.is_empty() {
            out.push((name, value));
        }
        run = rest;
    }
}

/// Adds the labels of a list of references that are not empty. It was checked when it entered the
/// batch, so an odd one ends the walk.
pub fn collect_refs<'a>(
    mut refs: Refs<'_>,
    symbols: &[Symbol],
    message: &'a [u8],
    out: &mut Vec<(&'a str, &'a str)>,
) {
    let text = |number: Option<Option<u32>>| {
        let symbol = symbols.get(number?? as usize)?;
        std::str::from_utf8(symbol.of(message)).ok()
    };
    while let (Some(name), Some(value)) = (text(refs.next()), text(refs.next())) {
        if !value.is_empty() {
            out.push((name, value));
        }
    }
}

/// The first label of a run, and the rest. Runs were checked when they entered the batch, so an
/// odd one ends the walk.
fn split_label(run: &[u8]) -> Option<((&str, &str), &[u8])> {
    let (label, rest) = split_field(run, TAG_LABEL)?;
    let (name, label) = split_field(label, TAG_NAME)?;
    let (value, _) = split_field(label, TAG_VALUE)?;
    let name = std::str::from_utf8(name).ok()?;
    let value = std::str::from_utf8(value).ok()?;
    Some(((name, value), rest))
}
