//! Cells of histograms as tokens (`docs/format/chunk.md`), against the cells of the sample before.

use crate::error::{Error, Result};
use crate::head::step::Span;

/// Unchanged cells that one token stands for, at most.
const RUN_MAX: usize = 64;
const MORE_FIRST: u8 = 64;
const MORE_MAX: i64 = 112;
const LESS_FIRST: u8 = 176;
const LESS_MAX: i64 = 16;
const WIDE_FIRST: u8 = 192;
const WIDE_MAX: i64 = MORE_MAX + (16 << 8);
const SIGNED_FIRST: u8 = 208;
const XOR_FIRST: u8 = 216;
const XOR_LAST: u8 = 251;
/// Up to here every whole number is a double.
const WHOLE_MAX: u64 = 1 << 53;

/// Encodes cells against as many before them.
pub fn encode(before: &[f64], cells: &[f64], out: &mut Vec<u8>) {
    let mut same = 0;
    for (&old, &new) in before.iter().zip(cells) {
        if old.to_bits() == new.to_bits() {
            same += 1;
            continue;
        }
        put_run(same, out);
        same = 0;
        put_change(old, new, out);
    }
    put_run(same, out);
}

fn put_run(mut same: usize, out: &mut Vec<u8>) {
    while same > 0 {
        let run = same.min(RUN_MAX);
        out.push(run as u8 - 1);
        same -= run;
    }
}

#[inline]
fn put_change(old: f64, new: f64, out: &mut Vec<u8>) {
    let xor = old.to_bits() ^ new.to_bits();
    let span = Span::of(xor);
    if let (Some(old), Some(new)) = (whole(old), whole(new)) {
        let delta = new - old;
        if signed_bytes(delta) <= span.bytes || (-LESS_MAX..=WIDE_MAX).contains(&delta) {
            put_integer(delta, out);
            return;
        }
    }
    out.push(XOR_FIRST - 1 + span.class);
    out.extend_from_slice(&(xor >> span.shift_bits).to_le_bytes()[..span.bytes]);
}

/// The integer that a cell is, bit for bit.
#[inline]
fn whole(cell: f64) -> Option<i64> {
    let number = cell as i64;
    let is_exact = (number as f64).to_bits() == cell.to_bits();
    (is_exact && number.unsigned_abs() <= WHOLE_MAX).then_some(number)
}

/// Bytes of the shortest two's complement form.
#[inline]
fn signed_bytes(number: i64) -> usize {
    let magnitude = number ^ (number >> 63);
    (65 - magnitude.leading_zeros() as usize).div_ceil(8)
}

#[inline]
fn put_integer(delta: i64, out: &mut Vec<u8>) {
    match delta {
        1..=MORE_MAX => out.push(MORE_FIRST + (delta - 1) as u8),
        ..0 if delta >= -LESS_MAX => out.push(LESS_FIRST + (-delta - 1) as u8),
        0.. if delta <= WIDE_MAX => {
            let rest = delta - MORE_MAX - 1;
            out.push(WIDE_FIRST + (rest >> 8) as u8);
            out.push(rest as u8);
        }
        _ => {
            let size = signed_bytes(delta);
            out.push(SIGNED_FIRST + size as u8 - 1);
            out.extend_from_slice(&delta.to_le_bytes()[..size]);
        }
    }
}

/// Reads tokens from `bytes` at `at` until every cell is told; `cells` holds those before, and then those after.
pub fn decode(bytes: &[u8], at: &mut usize, cells: &mut [f64]) -> Result<()> {
    let mut next = 0;
    while next < cells.len() {
        let token = *bytes.get(*at).ok_or_else(|| odd(*at))?;
        *at += 1;
        if token < MORE_FIRST {
            next += token as usize + 1;
            continue;
        }
        let cell = &mut cells[next];
        next += 1;
        if token < XOR_FIRST {
            let delta = match token {
                MORE_FIRST..LESS_FIRST => i64::from(token - MORE_FIRST) + 1,
                LESS_FIRST..WIDE_FIRST => -i64::from(token - LESS_FIRST) - 1,
                WIDE_FIRST..SIGNED_FIRST => {
                    let high = i64::from(token - WIDE_FIRST) << 8;
                    MORE_MAX + 1 + high + load(bytes, at, 1)? as i64
                }
                _ => {
                    let size = (token - SIGNED_FIRST) as usize + 1;
                    let unused = 64 - 8 * size as u32;
                    (load(bytes, at, size)? << unused) as i64 >> unused
                }
            };
            *cell = (*cell as i64).wrapping_add(delta) as f64;
            continue;
        }
        if token > XOR_LAST {
            return Err(odd(*at));
        }
        let span = Span::of_class(token - XOR_FIRST + 1);
        let xor = load(bytes, at, span.bytes)? << span.shift_bits;
        *cell = f64::from_bits(cell.to_bits() ^ xor);
    }
    if next > cells.len() {
        return Err(odd(*at));
    }
    Ok(())
}

/// The next `size` bytes, at most 8, as a number.
#[inline]
fn load(bytes: &[u8], at: &mut usize, size: usize) -> Result<u64> {
    let part = bytes.get(*at..*at + size).ok_or_else(|| odd(*at))?;
    *at += size;
    let mut word = [0; 8];
    word[..size].copy_from_slice(part);
    Ok(u64::from_le_bytes(word))
}

#[cold]
pub fn odd(at: usize) -> Error {
    Error::corrupt("cells of a histogram are cut short or damaged", at as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes_of(before: &[f64], cells: &[f64]) -> usize {
        let mut bytes = Vec::new();
        encode(before, cells, &mut bytes);
        let mut back = before.to_vec();
        let mut at = 0;
        decode(&bytes, &mut at, &mut back).expect("what was encoded");
        let bits = |cells: &[f64]| cells.iter().map(|cell| cell.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&back), bits(cells));
        assert_eq!(at, bytes.len());
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end], &mut 0, &mut before.to_vec()).is_err());
        }
        bytes.len()
    }

    #[test]
    fn each_change_takes_the_bytes_that_the_format_says() {
        let two_to = |exponent: u32| (1u64 << exponent) as f64;
        for (old, new, size) in [
            (0.0, 1.0, 1),
            (5.0, 117.0, 1),
            (5.0, 118.0, 2),
            (0.0, 4208.0, 2),
            (0.0, 4209.0, 3),
            (20.0, 4.0, 1),
            (20.0, 3.0, 2),
            (0.0, -129.0, 3),
            (two_to(53), -two_to(53), 2),
            (two_to(53) - 1.0, two_to(53), 1),
            (0.0, two_to(53), 3),
            (two_to(53), two_to(53) + 2.0, 2),
            (0.5, 1.5, 2),
            (0.0, -0.0, 2),
            (3.0, f64::INFINITY, 3),
            (1.0, f64::from_bits(0x7ff0_0000_0000_0002), 9),
        ] {
            assert_eq!(sizes_of(&[old], &[new]), size, "{old} to {new}");
        }
    }

    #[test]
    fn runs_of_unchanged_cells_take_a_byte_for_64() {
        for (count, size) in [(1, 1), (64, 1), (65, 2), (128, 2), (1000, 16)] {
            let cells = vec![1.5; count];
            assert_eq!(sizes_of(&cells, &cells), size);
        }
    }

    #[test]
    fn random_cells_survive() {
        let mut state = 88_172_645_463_325_252u64;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..2_000 {
            let count = 1 + next() as usize % 100;
            let mut draw = || match next() % 5 {
                0 => f64::from_bits(next()),
                1 => (next() >> (next() % 64)) as f64,
                2 => -((next() >> (next() % 64)) as f64),
                3 => (next() % 300) as f64,
                _ => 7.0,
            };
            let before: Vec<f64> = (0..count).map(|_| draw()).collect();
            let after: Vec<f64> = (0..count).map(|_| draw()).collect();
            sizes_of(&before, &after);
        }
    }

    #[test]
    fn bytes_that_are_no_tokens_are_refused() {
        for bytes in [&[252][..], &[255], &[5], &[63], &[200], &[215, 1], &[251]] {
            assert!(decode(bytes, &mut 0, &mut [1.0, 2.0]).is_err());
        }
    }
}
