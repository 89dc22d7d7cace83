//! Value columns, lossless bit for bit: one constant; decimal-scaled integers with the odd values
//! that are none kept beside them; pco over the floats; XOR byte planes in the zone; raw bytes.

use pco::{DeltaSpec, ModeSpec};

use crate::block::bytes::{Cursor, put_varint};
use crate::block::columns::Encoded;
use crate::block::ints;
use crate::block::page::compress_default;
use crate::error::{Error, Result};

const CONSTANT: u8 = 0;
const DECIMAL: u8 = 1;
const PCO: u8 = 2;
const XOR: u8 = 3;
const RAW: u8 = 4;

/// 10^22 is the largest power of ten that an f64 holds exactly; digits beyond 2^53 are none anyway.
const EXPONENT_MAX: usize = 18;
const MANTISSA_MAX: f64 = 9_007_199_254_740_992.0;
const POWERS: [f64; EXPONENT_MAX + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18,
];

/// Names of the codecs, by their byte, for statistics.
pub const CODEC_NAMES: [&str; 5] = ["constant", "decimal", "pco", "xor", "raw"];

pub fn encode(values: &[f64]) -> Result<Encoded> {
    let first = values.first().copied().unwrap_or_default().to_bits();
    if values.iter().all(|value| value.to_bits() == first) {
        let mut params = vec![CONSTANT];
        params.extend_from_slice(&first.to_le_bytes());
        return Ok(Encoded {
            params,
            ..Encoded::default()
        });
    }
    if let Some(decimal) = Decimal::of(values) {
        return decimal.encode();
    }
    encode_float(values)
}

fn encode_float(values: &[f64]) -> Result<Encoded> {
    let body = ints::pack(values, DeltaSpec::Auto, ModeSpec::Auto)?;
    let zone = planes(values);
    let xor_bytes = compress_default(&zone)?.len();
    let raw_bytes = values.len() * 8;
    if xor_bytes < body.len().min(raw_bytes) {
        return Ok(Encoded {
            params: vec![XOR],
            zone,
            ..Encoded::default()
        });
    }
    if body.len() < raw_bytes {
        return Ok(Encoded {
            params: vec![PCO],
            body,
            ..Encoded::default()
        });
    }
    let body = values
        .iter()
        .flat_map(|value| value.to_bits().to_le_bytes())
        .collect();
    Ok(Encoded {
        params: vec![RAW],
        body,
        ..Encoded::default()
    })
}

/// Each value XORed with the one before it, as eight planes of bytes, the high bytes first.
fn planes(values: &[f64]) -> Vec<u8> {
    let count = values.len();
    let mut out = vec![0; count * 8];
    let mut last = 0;
    for (index, value) in values.iter().enumerate() {
        let word = value.to_bits() ^ last;
        last = value.to_bits();
        for plane in 0..8 {
            out[plane * count + index] = (word >> (56 - 8 * plane)) as u8;
        }
    }
    out
}

fn of_planes(zone: &[u8], count: usize) -> Vec<f64> {
    let mut last = 0;
    let value = |index: usize| {
        let word = (0..8).fold(0u64, |word, plane| {
            word << 8 | u64::from(zone[plane * count + index])
        });
        last ^= word;
        f64::from_bits(last)
    };
    (0..count).map(value).collect()
}

/// A column as `mantissa / 10^exponent`, and the values for which that does not give the same bits.
struct Decimal {
    exponent: usize,
    mantissas: Vec<i64>,
    exceptions: Vec<(usize, u64)>,
}

fn mantissa(value: f64, power: f64) -> Option<i64> {
    let scaled = (value * power).round();
    let exact =
        scaled.abs() <= MANTISSA_MAX && (scaled as i64 as f64 / power).to_bits() == value.to_bits();
    exact.then_some(scaled as i64)
}

/// The integer that a value is, bit for bit.
pub fn integer(value: f64) -> Option<i64> {
    mantissa(value, 1.0)
}

impl Decimal {
    fn of(values: &[f64]) -> Option<Self> {
        let exceptions_max = 2 + values.len() / 32;
        let exponent = Self::exponent_of(values, exceptions_max)?;
        let mut exceptions = Vec::new();
        let mut mantissas = Vec::with_capacity(values.len());
        let mut last = 0;
        for (index, &value) in values.iter().enumerate() {
            match mantissa(value, POWERS[exponent]) {
                Some(mantissa) => last = mantissa,
                None if exceptions.len() == exceptions_max => return None,
                None => exceptions.push((index, value.to_bits())),
            }
            mantissas.push(last);
        }
        Some(Self {
            exponent,
            mantissas,
            exceptions,
        })
    }

    /// The smallest exponent that fits all values but a few.
    fn exponent_of(values: &[f64], exceptions_max: usize) -> Option<usize> {
        let mut exponent = 0;
        let mut exceptions = 0;
        for &value in values {
            if mantissa(value, POWERS[exponent]).is_some() {
                continue;
            }
            let larger = exponent + 1..=EXPONENT_MAX;
            let fitting = value.is_finite().then(|| {
                larger
                    .into_iter()
                    .find(|&e| mantissa(value, POWERS[e]).is_some())
            });
            match fitting.flatten() {
                Some(wanted) => exponent = wanted,
                None => exceptions += 1,
            }
            if exceptions > exceptions_max {
                return None;
            }
        }
        Some(exponent)
    }

    fn encode(self) -> Result<Encoded> {
        let ints = ints::encode(&self.mantissas)?;
        let mut params = vec![DECIMAL, self.exponent as u8];
        put_varint(&mut params, self.exceptions.len() as u64);
        let mut next = 0;
        for (index, bits) in self.exceptions {
            put_varint(&mut params, (index - next) as u64);
            params.extend_from_slice(&bits.to_le_bytes());
            next = index + 1;
        }
        params.extend_from_slice(&ints.params);
        Ok(Encoded { params, ..ints })
    }
}

/// The value that a whole column has, if it is one: most columns are, and need no buffer.
pub fn constant(params: &[u8], at: u64) -> Result<Option<f64>> {
    let mut params = Cursor::new(params, at);
    match params.u8()? {
        CONSTANT => Ok(Some(f64::from_bits(params.u64()?))),
        _ => Ok(None),
    }
}

/// Decodes `count` values; `zone` and `body` are this column's share of them.
pub fn decode(params: &[u8], count: usize, zone: &[u8], body: &[u8], at: u64) -> Result<Vec<f64>> {
    let mut params = Cursor::new(params, at);
    let codec = params.u8()?;
    match codec {
        CONSTANT => Ok(vec![f64::from_bits(params.u64()?); count]),
        DECIMAL => decode_decimal(&mut params, count, zone, body, at),
        PCO => ints::unpack::<f64>(body, count, at),
        XOR if zone.len() == count * 8 => Ok(of_planes(zone, count)),
        RAW if body.len() == count * 8 => {
            let mut cursor = Cursor::new(body, at);
            (0..count)
                .map(|_| cursor.u64().map(f64::from_bits))
                .collect()
        }
        _ => Err(Error::corrupt(
            format!(
                "value codec {codec} with {count} samples, {} bytes",
                zone.len() + body.len()
            ),
            at,
        )),
    }
}

fn decode_decimal(
    params: &mut Cursor<'_>,
    count: usize,
    zone: &[u8],
    body: &[u8],
    at: u64,
) -> Result<Vec<f64>> {
    let exponent = params.u8()? as usize;
    let power = *POWERS
        .get(exponent)
        .ok_or_else(|| params.corrupt(format!("decimal exponent {exponent}")))?;
    let exceptions = params.bounded(count, "number of exceptions")?;
    let mut odd = Vec::with_capacity(exceptions);
    let mut next = 0;
    for _ in 0..exceptions {
        let index = next + params.bounded(count, "position of an exception")?;
        if index >= count {
            return Err(params.corrupt(format!("exception at {index} of {count}")));
        }
        odd.push((index, params.u64()?));
        next = index + 1;
    }
    let mantissas = ints::decode(params, count, zone, body, at)?;
    let mut values: Vec<f64> = if exponent == 0 {
        mantissas.iter().map(|&mantissa| mantissa as f64).collect()
    } else {
        mantissas
            .iter()
            .map(|&mantissa| mantissa as f64 / power)
            .collect()
    };
    for (index, bits) in odd {
        values[index] = f64::from_bits(bits);
    }
    Ok(values)
}
