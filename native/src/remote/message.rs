//! Protobuf, written: fields one after the other, a nested message with its length in front.

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;

/// The key of a field: its number and how it is written.
fn key(out: &mut Vec<u8>, field: u8, kind: u8) {
    varint(out, u64::from(field) << 3 | u64::from(kind));
}

pub fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A number; zero is the same as no field, and is left out.
pub fn number(out: &mut Vec<u8>, field: u8, value: i64) {
    if value != 0 {
        key(out, field, VARINT);
        varint(out, value as u64);
    }
}

/// A number that is as often below zero as above.
pub fn zigzag(out: &mut Vec<u8>, field: u8, value: i64) {
    number(out, field, (value << 1) ^ (value >> 63));
}

/// Packed numbers; none are no field.
pub fn doubles(out: &mut Vec<u8>, field: u8, values: &[f64]) {
    if !values.is_empty() {
        key(out, field, BYTES);
        varint(out, values.len() as u64 * 8);
        out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
}

pub fn double(out: &mut Vec<u8>, field: u8, value: f64) {
    if value.to_bits() != 0 {
        key(out, field, FIXED64);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

pub fn bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    key(out, field, BYTES);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// A message whose body `write` appends.
pub fn nested(out: &mut Vec<u8>, field: u8, write: impl FnOnce(&mut Vec<u8>)) {
    key(out, field, BYTES);
    let start = out.len();
    write(out);
    let mut length = Vec::with_capacity(5);
    varint(&mut length, (out.len() - start) as u64);
    // The body moves by the few bytes of its length, which nobody knew before.
    out.splice(start..start, length);
}

pub fn varint_size(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}
