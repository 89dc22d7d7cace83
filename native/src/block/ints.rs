//! Integer columns: a line, pco over the integers, or the residuals of a delta of order 0 to 2, as
//! pco or as varints in the page's shared zstd zone. Arithmetic wraps, so every i64 comes back.

use pco::data_types::Number;
use pco::wrapped::{FileCompressor, FileDecompressor};
use pco::{ChunkConfig, DeltaSpec, ModeSpec};

use crate::block::bytes::{Cursor, put_signed, put_varint, unzigzag, zigzag};
use crate::block::columns::Encoded;
use crate::block::page::compress_default;
use crate::error::{Error, Result};

const LINE: u8 = 0;
const PCO: u8 = 1;
const RESIDUAL_PCO: u8 = 2;
const RESIDUAL_ZONE: u8 = 3;
const RESIDUAL_BITS: u8 = 4;
/// One unaligned load of eight bytes holds any value of so many bits.
const BITS_MAX: u32 = 56;
pub const ORDER_MAX: usize = 2;

/// Neighbours in one zstd frame share what they repeat; measured on real scrapes, about a seventh.
const ZONE_GAIN: (usize, usize) = (7, 8);
/// Below this pco's tables cost more than they save.
const PCO_SAMPLES_MIN: usize = 24;
/// From here on it pays to let pco look for structure by itself, which takes half a microsecond a sample.
const PCO_SEARCH_SAMPLES_MIN: usize = 400;

/// Encodes a column; `params` of the result start with the codec's byte.
pub fn encode(values: &[i64]) -> Result<Encoded> {
    if let Some(line) = encode_line(values) {
        return Ok(line);
    }
    let residuals = (0..=ORDER_MAX).map(|order| residual(values, order));
    let best = residuals
        .enumerate()
        .min_by_key(|(_, residuals)| varint_cost(residuals))
        .unwrap_or_default();
    let (order, residuals) = best;
    encode_residuals(values, order, &residuals, encode_pco, ZONE_GAIN)
}

/// Encodes integers as they are, which nothing but their distribution makes smaller.
pub fn encode_plain(values: &[i64]) -> Result<Encoded> {
    if let Some(line) = encode_line(values) {
        return Ok(line);
    }
    encode_residuals(values, 0, &residual(values, 0), encode_residual_pco, (1, 1))
}

type Pack = fn(&[i64], usize, &[u64]) -> Result<Encoded>;

fn encode_residuals(
    values: &[i64],
    order: usize,
    residuals: &[u64],
    pack: Pack,
    zone_gain: (usize, usize),
) -> Result<Encoded> {
    let zone = encode_zone(values, order, residuals);
    if values.len() < PCO_SAMPLES_MIN {
        return Ok(zone);
    }
    let zone_cost =
        zone.params.len() + compress_default(&zone.zone)?.len() * zone_gain.0 / zone_gain.1;
    let pco = pack(values, order, residuals)?;
    if let Some(bits) = encode_bits(values, order, residuals)
        && bits.cost() * 16 / 17 < zone_cost.min(pco.cost())
    {
        return Ok(bits);
    }
    Ok(if zone_cost < pco.cost() { zone } else { pco })
}

fn encode_pco(values: &[i64], order: usize, residuals: &[u64]) -> Result<Encoded> {
    let residual = encode_residual_pco(values, order, residuals)?;
    if values.len() < PCO_SEARCH_SAMPLES_MIN {
        return Ok(residual);
    }
    let body = pack(values, DeltaSpec::Auto, ModeSpec::Auto)?;
    let whole = Encoded {
        params: vec![PCO],
        body,
        ..Encoded::default()
    };
    Ok(if residual.cost() < whole.cost() {
        residual
    } else {
        whole
    })
}

/// Residuals less their minimum, each in as many bits as the widest needs: much the fastest to decode.
fn encode_bits(values: &[i64], order: usize, residuals: &[u64]) -> Option<Encoded> {
    let signed = || residuals.iter().map(|&value| unzigzag(value));
    let (min, max) = (signed().min()?, signed().max()?);
    let width = 64 - (max.wrapping_sub(min) as u64).leading_zeros();
    if width > BITS_MAX {
        return None;
    }
    let mut params = residual_params(RESIDUAL_BITS, values, order);
    put_signed(&mut params, min);
    params.push(width as u8);
    let mut body = Vec::with_capacity(bits_bytes(residuals.len(), width));
    let (mut word, mut filled) = (0u64, 0);
    for value in signed() {
        word |= (value.wrapping_sub(min) as u64) << filled;
        filled += width;
        while filled >= 8 {
            body.push(word as u8);
            word >>= 8;
            filled -= 8;
        }
    }
    if filled > 0 {
        body.push(word as u8);
    }
    Some(Encoded {
        params,
        body,
        ..Encoded::default()
    })
}

fn bits_bytes(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

fn encode_line(values: &[i64]) -> Option<Encoded> {
    let first = values.first().copied().unwrap_or_default();
    let step = values.get(1).map_or(0, |second| second.wrapping_sub(first));
    let straight = values
        .windows(2)
        .all(|pair| pair[1].wrapping_sub(pair[0]) == step);
    straight.then(|| {
        let mut params = vec![LINE];
        put_signed(&mut params, first);
        put_signed(&mut params, step);
        Encoded {
            params,
            ..Encoded::default()
        }
    })
}

/// Zigzag of the order-th difference; the first `order` values are kept as seeds beside it.
pub fn residual(values: &[i64], order: usize) -> Vec<u64> {
    match order {
        0 => values.iter().map(|&value| zigzag(value)).collect(),
        1 => values
            .windows(2)
            .map(|w| zigzag(w[1].wrapping_sub(w[0])))
            .collect(),
        _ => values
            .windows(3)
            .map(|w| {
                zigzag(
                    w[2].wrapping_sub(w[1])
                        .wrapping_sub(w[1].wrapping_sub(w[0])),
                )
            })
            .collect(),
    }
}

/// Bits of the varints, more or less.
pub fn varint_cost(residuals: &[u64]) -> usize {
    residuals
        .iter()
        .map(|&value| 70 - (value | 1).leading_zeros() as usize)
        .sum()
}

fn residual_params(codec: u8, values: &[i64], order: usize) -> Vec<u8> {
    let mut params = vec![codec, order as u8];
    for &seed in &values[..order] {
        put_signed(&mut params, seed);
    }
    params
}

fn encode_zone(values: &[i64], order: usize, residuals: &[u64]) -> Encoded {
    let mut zone = Vec::with_capacity(residuals.len() * 2);
    for &value in residuals {
        put_varint(&mut zone, value);
    }
    Encoded {
        params: residual_params(RESIDUAL_ZONE, values, order),
        zone,
        ..Encoded::default()
    }
}

fn encode_residual_pco(values: &[i64], order: usize, residuals: &[u64]) -> Result<Encoded> {
    let mut params = residual_params(RESIDUAL_PCO, values, order);
    let largest = residuals.iter().copied().max().unwrap_or_default();
    let body = if largest <= u64::from(u16::MAX) {
        params.push(2);
        let narrow: Vec<u16> = residuals.iter().map(|&value| value as u16).collect();
        pack(&narrow, DeltaSpec::NoOp, ModeSpec::Classic)?
    } else if largest <= u64::from(u32::MAX) {
        params.push(4);
        let narrow: Vec<u32> = residuals.iter().map(|&value| value as u32).collect();
        pack(&narrow, DeltaSpec::NoOp, ModeSpec::Classic)?
    } else {
        params.push(8);
        pack(residuals, DeltaSpec::NoOp, ModeSpec::Classic)?
    };
    Ok(Encoded {
        params,
        body,
        ..Encoded::default()
    })
}

/// One pco chunk of one page, without pco's own file header.
pub fn pack<T: Number>(values: &[T], delta: DeltaSpec, mode: ModeSpec) -> Result<Vec<u8>> {
    let config = ChunkConfig::default()
        .with_delta_spec(delta)
        .with_mode_spec(mode);
    let failed = |cause| {
        Error::limit(
            "block-encode",
            format!("pco of {} numbers: {cause}", values.len()),
        )
    };
    let mut chunk = FileCompressor::default()
        .chunk_compressor(values, &config)
        .map_err(failed)?;
    let out = chunk.write_meta(Vec::new()).map_err(failed)?;
    chunk.write_page(0, out).map_err(failed)
}

/// The reverse of `pack`. pco checks its input, but is not ours: a panic in it is damage as well.
pub fn unpack<T: Number + Default>(body: &[u8], count: usize, at: u64) -> Result<Vec<T>> {
    let run = || -> pco::errors::PcoResult<Vec<T>> {
        let mut header = Vec::new();
        FileCompressor::default().write_header(&mut header)?;
        let (file, _) = FileDecompressor::new(header.as_slice())?;
        let (mut chunk, rest) = file.chunk_decompressor::<T, _>(body)?;
        let mut out = vec![T::default(); count];
        chunk.page_decompressor(rest, count)?.read(&mut out)?;
        Ok(out)
    };
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)) {
        Ok(Ok(values)) => Ok(values),
        Ok(Err(cause)) => Err(Error::corrupt(format!("pco column: {cause}"), at)),
        Err(_) => Err(Error::corrupt("pco column cannot be decoded", at)),
    }
}

/// Decodes `count` integers; `zone` and `body` are this column's share of them.
pub fn decode(
    params: &mut Cursor<'_>,
    count: usize,
    zone: &[u8],
    body: &[u8],
    at: u64,
) -> Result<Vec<i64>> {
    match params.u8()? {
        LINE => {
            let first = params.signed()?;
            let step = params.signed()?;
            Ok((0..count as i64)
                .map(|n| first.wrapping_add(step.wrapping_mul(n)))
                .collect())
        }
        PCO => unpack::<i64>(body, count, at),
        RESIDUAL_BITS => {
            let seeds = read_seeds(params, count)?;
            let left = count - seeds.len();
            let residuals = residuals_of_bits(params, body, left)?;
            Ok(integrate(&seeds, residuals))
        }
        codec @ (RESIDUAL_PCO | RESIDUAL_ZONE) => {
            let seeds = read_seeds(params, count)?;
            let left = count - seeds.len();
            let residuals = if codec == RESIDUAL_PCO {
                residuals_of_pco(params.u8()?, body, left, at)?
            } else {
                residuals_of_zone(zone, left, at)?
            };
            Ok(integrate(&seeds, residuals.into_iter().map(unzigzag)))
        }
        other => Err(Error::corrupt(
            format!("integer codec {other} is unknown"),
            at,
        )),
    }
}

fn read_seeds(params: &mut Cursor<'_>, count: usize) -> Result<Vec<i64>> {
    let order = params.u8()? as usize;
    if order > ORDER_MAX || order > count {
        return Err(params.corrupt(format!("delta order {order} for {count} samples")));
    }
    (0..order).map(|_| params.signed()).collect()
}

fn residuals_of_pco(width: u8, body: &[u8], count: usize, at: u64) -> Result<Vec<u64>> {
    match width {
        2 => Ok(unpack::<u16>(body, count, at)?
            .into_iter()
            .map(u64::from)
            .collect()),
        4 => Ok(unpack::<u32>(body, count, at)?
            .into_iter()
            .map(u64::from)
            .collect()),
        8 => unpack::<u64>(body, count, at),
        _ => Err(Error::corrupt(format!("residuals of {width} bytes"), at)),
    }
}

fn residuals_of_zone(zone: &[u8], count: usize, at: u64) -> Result<Vec<u64>> {
    let mut cursor = Cursor::new(zone, at);
    let residuals = (0..count)
        .map(|_| cursor.varint())
        .collect::<Result<Vec<_>>>()?;
    cursor.finish()?;
    Ok(residuals)
}

fn residuals_of_bits<'a>(
    params: &mut Cursor<'_>,
    body: &'a [u8],
    count: usize,
) -> Result<impl Iterator<Item = i64> + 'a> {
    let min = params.signed()?;
    let width = u32::from(params.u8()?);
    if width > BITS_MAX || body.len() != bits_bytes(count, width) {
        let message = format!("{count} residuals of {width} bits in {} bytes", body.len());
        return Err(params.corrupt(message));
    }
    let mut padded = Vec::with_capacity(body.len() + 8);
    padded.extend_from_slice(body);
    padded.extend_from_slice(&[0; 8]);
    let mask = (1u64 << width) - 1;
    Ok((0..count).map(move |index| {
        let bit = index * width as usize;
        let mut word = [0; 8];
        word.copy_from_slice(&padded[bit / 8..bit / 8 + 8]);
        min.wrapping_add((u64::from_le_bytes(word) >> (bit % 8) & mask) as i64)
    }))
}

/// The values of which these are the differences after the seeds.
pub fn integrate(seeds: &[i64], residuals: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut values = Vec::with_capacity(seeds.len() + residuals.size_hint().0);
    values.extend_from_slice(seeds);
    match *seeds {
        [] => values.extend(residuals),
        [mut last] => values.extend(residuals.map(|value| {
            last = last.wrapping_add(value);
            last
        })),
        [first, mut last, ..] => {
            let mut step = last.wrapping_sub(first);
            values.extend(residuals.map(|value| {
                step = step.wrapping_add(value);
                last = last.wrapping_add(step);
                last
            }));
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(values: &[i64]) -> Result<u8> {
        let encoded = encode(values)?;
        let mut params = Cursor::new(&encoded.params, 0);
        let decoded = decode(&mut params, values.len(), &encoded.zone, &encoded.body, 0)?;
        assert_eq!(decoded, values);
        params.finish()?;
        Ok(encoded.params[0])
    }

    #[test]
    fn the_extremes_of_i64_come_back_through_wrapping_differences() -> Result<()> {
        round_trip(&[i64::MIN, i64::MAX, 0, i64::MAX, i64::MIN])?;
        let wild: Vec<i64> = (0..500)
            .map(|n: i64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64 as i64))
            .collect();
        round_trip(&wild)?;
        Ok(())
    }

    #[test]
    fn even_steps_are_a_line_and_short_columns_go_to_the_zone() -> Result<()> {
        assert_eq!(round_trip(&[])?, LINE);
        assert_eq!(round_trip(&[7])?, LINE);
        assert_eq!(round_trip(&[5, 2, -1, -4])?, LINE);
        assert_eq!(round_trip(&[5, 2, 9])?, RESIDUAL_ZONE);
        Ok(())
    }

    #[test]
    fn noise_of_one_width_is_packed_in_bits() -> Result<()> {
        for bits in [1, 7, 8, 33, 55] {
            let mut state = 1u64;
            let mut noise = || {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> (64 - bits)) as i64 - 5
            };
            let values: Vec<i64> = (0..300).map(|_| noise()).collect();
            assert_eq!(round_trip(&values)?, RESIDUAL_BITS, "{bits} bits");
        }
        Ok(())
    }

    #[test]
    fn bytes_that_are_no_column_are_damage_and_not_a_panic() {
        for codec in 0..=255u8 {
            for order in 0..=3u8 {
                let params = [codec, order, 1, 1, 2, 9];
                let _ = decode(&mut Cursor::new(&params, 0), 40, &[0x80; 5], &[0xff; 9], 0);
            }
        }
    }
}
