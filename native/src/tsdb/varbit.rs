//! Integers in as few bits as they need: a prefix of set bits says how many follow.

use super::bits::{Reader, Writer};
use crate::error::Result;

/// Widths after 1, 2, ... set bits; eight set bits are followed by all 64.
const WIDTHS: [u32; 7] = [3, 6, 9, 12, 18, 25, 56];
const PREFIX_MAX: u32 = WIDTHS.len() as u32 + 1;

pub fn write_signed(out: &mut Writer, value: i64) {
    let fits = |width: u32| {
        let half = 1i64 << (width - 1);
        (1 - half..=half).contains(&value)
    };
    write(out, value as u64, fits);
}

pub fn write_unsigned(out: &mut Writer, value: u64) {
    write(out, value, |width| value >> width == 0);
}

pub fn read_signed(input: &mut Reader<'_>) -> Result<i64> {
    let (value, width) = read(input)?;
    let value = value as i64;
    // A range has one more number above zero than below.
    let wraps = width < 64 && width > 0 && value > 1i64 << (width - 1);
    Ok(if wraps {
        value - (1i64 << width)
    } else {
        value
    })
}

pub fn read_unsigned(input: &mut Reader<'_>) -> Result<u64> {
    Ok(read(input)?.0)
}

fn write(out: &mut Writer, value: u64, fits: impl Fn(u32) -> bool) {
    if value == 0 {
        return out.bit(false);
    }
    match WIDTHS.iter().position(|&width| fits(width)) {
        Some(at) => {
            let prefix = at as u32 + 2;
            out.bits((1 << prefix) - 2, prefix);
            out.bits(value, WIDTHS[at]);
        }
        None => {
            out.bits((1 << PREFIX_MAX) - 1, PREFIX_MAX);
            out.bits(value, 64);
        }
    }
}

fn read(input: &mut Reader<'_>) -> Result<(u64, u32)> {
    let width = match input.ones(PREFIX_MAX)? {
        0 => 0,
        PREFIX_MAX => 64,
        ones => WIDTHS[ones as usize - 1],
    };
    Ok((input.bits(width)?, width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_every_width_come_back() {
        for width in WIDTHS {
            let half = 1i64 << (width - 1);
            for value in [
                half,
                half + 1,
                1 - half,
                -half,
                half - 1,
                0,
                i64::MIN,
                i64::MAX,
            ] {
                let mut out = Writer::default();
                write_signed(&mut out, value);
                write_unsigned(&mut out, value as u64);
                let bytes = out.finish();
                let mut input = Reader::new(&bytes);
                assert_eq!(read_signed(&mut input), Ok(value));
                assert_eq!(read_unsigned(&mut input), Ok(value as u64));
            }
        }
    }
}
