//! The buckets of a histogram chunk: zero threshold, schema, spans of indexes, custom bounds.

use super::bits::{Reader, Writer};
use super::varbit::{read_signed, read_unsigned, write_signed, write_unsigned};
use crate::error::Result;
use crate::histogram::Layout;

/// Zero thresholds that are powers of two with these exponents take one byte.
const EXPONENT_MIN: i32 = -243;
const EXPONENT_MAX: i32 = 10;
const RAW_THRESHOLD: u64 = 255;
/// Bounds that are whole thousandths below this are written as such, one added.
const THOUSANDTHS_MAX: f64 = 33_554_430.0;

pub fn write(out: &mut Writer, layout: &Layout) {
    write_threshold(out, layout.zero_threshold);
    write_signed(out, i64::from(layout.schema));
    for indexes in [&layout.positive, &layout.negative] {
        write_spans(out, indexes);
    }
    if layout.is_custom() {
        write_unsigned(out, layout.bounds.len() as u64);
        for &bound in &layout.bounds {
            write_bound(out, bound);
        }
    }
}

/// A layout that is one; its buckets are no more than the bits behind it can fill.
pub fn read(input: &mut Reader<'_>) -> Result<Layout> {
    let mut layout = Layout {
        zero_threshold: read_threshold(input)?,
        ..Layout::default()
    };
    let schema = read_signed(input)?;
    layout.schema = i8::try_from(schema).map_err(|_| input.damaged("impossible schema"))?;
    layout.positive = read_spans(input)?;
    layout.negative = read_spans(input)?;
    if layout.is_custom() {
        let count = read_unsigned(input)?;
        // A bound takes a bit and more.
        if count > input.left() as u64 {
            return Err(input.damaged("more bounds than bits"));
        }
        let bounds = (0..count).map(|_| read_bound(input));
        layout.bounds = bounds.collect::<Result<_>>()?;
    }
    layout
        .checked()
        .map_err(|error| input.damaged(&error.to_string()))
}

/// Runs of indexes: how many are left out before each, and how long it is.
pub fn spans(indexes: &[i32]) -> impl Iterator<Item = (i64, usize)> {
    let mut next = 0i64;
    indexes
        .chunk_by(|a, b| i64::from(*a) + 1 == i64::from(*b))
        .map(move |run| {
            let first = i64::from(run[0]);
            let offset = first - next;
            next = first + run.len() as i64;
            (offset, run.len())
        })
}

fn write_spans(out: &mut Writer, indexes: &[i32]) {
    write_unsigned(out, spans(indexes).count() as u64);
    for (offset, length) in spans(indexes) {
        write_unsigned(out, length as u64);
        write_signed(out, offset);
    }
}

fn read_spans(input: &mut Reader<'_>) -> Result<Vec<i32>> {
    let (mut indexes, mut next) = (Vec::new(), 0i64);
    for _ in 0..read_unsigned(input)? {
        let (length, offset) = (read_unsigned(input)?, read_signed(input)?);
        // Each bucket has 64 bits in the first sample.
        let room = (input.left() / 64).saturating_sub(indexes.len());
        if length > room as u64 {
            return Err(input.damaged("more buckets than bits"));
        }
        let first = next.checked_add(offset);
        next = first
            .and_then(|first| first.checked_add(length as i64))
            .filter(|&end| i32::try_from(end).is_ok() && end - length as i64 >= i64::from(i32::MIN))
            .ok_or_else(|| input.damaged("bucket index out of range"))?;
        indexes.extend((next - length as i64..next).map(|index| index as i32));
    }
    Ok(indexes)
}

fn write_threshold(out: &mut Writer, threshold: f64) {
    let exponent = (threshold.to_bits() >> 52) as i32 - 1023;
    let power_of_two = threshold.to_bits() << 12 == 0;
    if threshold == 0.0 {
        out.bits(0, 8);
    } else if power_of_two && (EXPONENT_MIN..=EXPONENT_MAX).contains(&exponent) {
        out.bits((exponent - EXPONENT_MIN + 1) as u64, 8);
    } else {
        out.bits(RAW_THRESHOLD, 8);
        out.bits(threshold.to_bits(), 64);
    }
}

fn read_threshold(input: &mut Reader<'_>) -> Result<f64> {
    match input.bits(8)? {
        0 => Ok(0.0),
        RAW_THRESHOLD => Ok(f64::from_bits(input.bits(64)?)),
        byte => Ok(2f64.powi(byte as i32 - 1 + EXPONENT_MIN)),
    }
}

fn write_bound(out: &mut Writer, bound: f64) {
    let thousandths = (bound * 1000.0).round();
    let exact = thousandths / 1000.0 == bound && bound.is_sign_positive();
    if exact && bound * 1000.0 <= THOUSANDTHS_MAX {
        write_unsigned(out, thousandths as u64 + 1);
    } else {
        out.bit(false);
        out.bits(bound.to_bits(), 64);
    }
}

fn read_bound(input: &mut Reader<'_>) -> Result<f64> {
    match read_unsigned(input)? {
        0 => Ok(f64::from_bits(input.bits(64)?)),
        thousandths => Ok((thousandths - 1) as f64 / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(layout: &Layout) -> Layout {
        let mut out = Writer::default();
        write(&mut out, layout);
        // The buckets of the first sample, which a layout may count on.
        for _ in 0..layout.cell_count() {
            out.bits(0, 64);
        }
        let bytes = out.finish();
        read(&mut Reader::new(&bytes)).expect("reads")
    }

    #[test]
    fn layouts_come_back() {
        let thresholds = [
            0.0,
            2f64.powi(-128),
            2f64.powi(-243),
            1024.0,
            2048.0,
            1e-300,
            5e-324,
            0.3,
        ];
        for zero_threshold in thresholds {
            let layout = Layout {
                schema: -4,
                zero_threshold,
                positive: vec![-9, -8, 0, 1, 2, 100],
                negative: vec![i32::MIN, 4],
                bounds: Vec::new(),
            };
            assert_eq!(through(&layout), layout);
        }
        let custom = Layout {
            schema: crate::histogram::CUSTOM,
            positive: vec![0, 2],
            bounds: vec![-1.5, -0.0, 0.001, 0.3, 33_554.43, 33_554.431, 1e300],
            ..Layout::default()
        };
        assert_eq!(through(&custom), custom);
    }

    #[test]
    fn spans_count_what_lies_between() {
        let all: Vec<_> = spans(&[-2, -1, 3, 4, 6]).collect();
        assert_eq!(all, [(-2, 2), (3, 2), (1, 1)]);
    }
}
