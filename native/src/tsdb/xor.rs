//! Float samples: times as differences of differences, values as the bits in which they differ.

use super::bits::{Reader, Writer};
use crate::error::{Error, Result};

/// A chunk counts its samples in 16 bits.
pub const SAMPLES_MAX: usize = u16::MAX as usize;
/// Widths of a difference of differences; the prefix has one more bit set from each to the next.
const WIDTHS: [u32; 3] = [14, 17, 20];
/// Leading zeros are counted in 5 bits.
const LEADING_MAX: u32 = 31;

/// The window of bits in which values differed last, none before the first difference.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    leading: u32,
    trailing: u32,
}

/// The last value of a column and the window of its last difference.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub bits: u64,
    window: Option<Window>,
}

impl Column {
    pub fn start(bits: u64) -> Self {
        Self { bits, window: None }
    }

    pub fn write(&mut self, out: &mut Writer, bits: u64) {
        let difference = bits ^ self.bits;
        self.bits = bits;
        if difference == 0 {
            out.bit(false);
            return;
        }
        out.bit(true);
        let leading = difference.leading_zeros().min(LEADING_MAX);
        let trailing = difference.trailing_zeros();
        let within = |last: &Window| leading >= last.leading && trailing >= last.trailing;
        let window = if let Some(last) = self.window.filter(within) {
            out.bit(false);
            last
        } else {
            out.bit(true);
            out.bits(u64::from(leading), 5);
            // All 64 bits do not fit 6, and are written as none.
            out.bits(u64::from(64 - leading - trailing), 6);
            Window { leading, trailing }
        };
        self.window = Some(window);
        let width = 64 - window.leading - window.trailing;
        out.bits(difference >> window.trailing, width);
    }

    pub fn read(&mut self, input: &mut Reader<'_>) -> Result<u64> {
        if !input.bit()? {
            return Ok(self.bits);
        }
        let window = if input.bit()? {
            let leading = input.bits(5)? as u32;
            let width = match input.bits(6)? as u32 {
                0 => 64,
                width => width,
            };
            let trailing = (64 - leading).checked_sub(width);
            let trailing =
                trailing.ok_or_else(|| input.damaged("difference wider than a value"))?;
            Window { leading, trailing }
        } else {
            let last = self.window;
            last.ok_or_else(|| input.damaged("difference in a window that was never named"))?
        };
        self.window = Some(window);
        let width = 64 - window.leading - window.trailing;
        self.bits ^= input.bits(width)? << window.trailing;
        Ok(self.bits)
    }
}

/// One chunk of at most `SAMPLES_MAX` samples, whose times ascend.
pub fn encode(times: &[i64], values: &[f64]) -> Result<Vec<u8>> {
    let count = u16::try_from(times.len()).map_err(|_| too_many(times.len()))?;
    if values.len() != times.len() {
        let message = format!("{} timestamps for {} values", times.len(), values.len());
        return Err(Error::invalid("frame-shape", message));
    }
    let mut bytes = Vec::with_capacity(16 + times.len() * 4);
    bytes.extend_from_slice(&count_bytes(count));
    let mut out = Writer::after(bytes);
    let (Some(&first), Some(value)) = (times.first(), values.first()) else {
        return Ok(out.finish());
    };
    out.varint(first);
    out.bits(value.to_bits(), 64);
    let mut column = Column::start(value.to_bits());
    let (mut time, mut delta) = (first, None);
    for (&now, value) in times[1..].iter().zip(&values[1..]) {
        let step = now.wrapping_sub(time);
        match delta {
            None => out.uvarint(step as u64),
            Some(last) => write_change(&mut out, step.wrapping_sub(last)),
        }
        (time, delta) = (now, Some(step));
        column.write(&mut out, value.to_bits());
    }
    Ok(out.finish())
}

/// Times and values of a chunk; bytes after its last sample are not looked at.
pub fn decode(chunk: &[u8]) -> Result<(Vec<i64>, Vec<f64>)> {
    let Some((&[high, low], rest)) = chunk.split_first_chunk() else {
        return Err(Error::corrupt("chunk without a count", 0));
    };
    let count = usize::from(high) << 8 | usize::from(low);
    // Two bits a sample is the least, so that the count cannot ask for more than the bytes may hold.
    let room = count.min(rest.len() * 4);
    let (mut times, mut values) = (Vec::with_capacity(room), Vec::with_capacity(room));
    if count == 0 {
        return Ok((times, values));
    }
    let mut input = Reader::new(rest);
    let mut time = input.varint()?;
    let mut column = Column::start(input.bits(64)?);
    times.push(time);
    values.push(f64::from_bits(column.bits));
    let mut delta = 0i64;
    for index in 1..count {
        delta = match index {
            1 => input.uvarint()? as i64,
            _ => delta.wrapping_add(read_change(&mut input)?),
        };
        time = time.wrapping_add(delta);
        times.push(time);
        values.push(f64::from_bits(column.read(&mut input)?));
    }
    Ok((times, values))
}

fn write_change(out: &mut Writer, change: i64) {
    if change == 0 {
        return out.bit(false);
    }
    for (index, width) in WIDTHS.into_iter().enumerate() {
        let half = 1i64 << (width - 1);
        if (1 - half..=half).contains(&change) {
            // 10, 110 or 1110
            out.bits((1 << (index + 2)) - 2, index as u32 + 2);
            return out.bits(change as u64, width);
        }
    }
    out.bits(0b1111, 4);
    out.bits(change as u64, 64);
}

fn read_change(input: &mut Reader<'_>) -> Result<i64> {
    match input.ones(4)? {
        0 => Ok(0),
        4 => Ok(input.bits(64)? as i64),
        index => {
            let width = WIDTHS[index as usize - 1];
            let value = input.bits(width)? as i64;
            // The range has one more number above zero than below.
            let half = 1i64 << (width - 1);
            Ok(if value > half {
                value - 2 * half
            } else {
                value
            })
        }
    }
}

fn count_bytes(count: u16) -> [u8; 2] {
    [(count >> 8) as u8, count as u8]
}

fn too_many(count: usize) -> Error {
    let message = format!("{count} samples for one chunk (limit: {SAMPLES_MAX})");
    Error::invalid("chunk-samples", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_reach_the_ends_of_each_width() {
        let mut edges = vec![0, i64::MIN, i64::MAX];
        for width in WIDTHS {
            let half = 1i64 << (width - 1);
            edges.extend([half, half + 1, half - 1, 1 - half, -half, -half - 1]);
        }
        for change in edges {
            let mut out = Writer::default();
            write_change(&mut out, change);
            let bytes = out.finish();
            assert_eq!(read_change(&mut Reader::new(&bytes)), Ok(change));
        }
    }

    #[test]
    fn every_cut_of_a_chunk_is_refused() {
        let times: Vec<i64> = (0..50).map(|i| 1_700_000_000_000 + i * i * 1000).collect();
        let values: Vec<f64> = (0..50).map(|i| f64::from(i) * 0.1).collect();
        let chunk = encode(&times, &values).expect("encodes");
        assert_eq!(decode(&chunk), Ok((times, values)));
        for end in 0..chunk.len() {
            assert!(decode(&chunk[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn impossible_windows_are_refused() {
        // Two samples; the second reuses a window that there is not, then names one of 94 bits.
        let head = [0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        for bits in [0b1000_0000, 0b1111_1110] {
            let chunk = [&head[..], &[bits, 0xff, 0xff, 0xff]].concat();
            assert!(decode(&chunk).is_err());
        }
    }
}
