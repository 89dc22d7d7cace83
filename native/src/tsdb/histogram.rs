//! Float histograms of one layout: every cell is a column of its own, written as float samples are.
//!
//! A chunk says of its first histogram whether the counter was reset there; those after it go on from the
//! one before, or are all gauges. `fits` tells where that, or the buckets, ask for a new chunk.

use std::sync::Arc;

use super::bits::{Reader, Writer};
use super::layout;
use super::varbit::{read_signed, read_unsigned, write_signed, write_unsigned};
use super::xor::Column;
use crate::error::{Error, Result};
use crate::histogram::{FIXED_CELLS, Hint, Histograms, Layout, View};

/// Order of the first columns in a chunk, as cells: count, zero count, sum.
const ORDER: [usize; FIXED_CELLS] = [0, 2, 1];
const SUM: usize = 1;

/// The two bits that say how the chunk began, by hint.
const HEADERS: [(Hint, u8); 4] = [
    (Hint::Unknown, 0b00),
    (Hint::Reset, 0b10),
    (Hint::NotReset, 0b01),
    (Hint::Gauge, 0b11),
];

/// Whether `next` may stand behind `last` in a chunk that began with `first`.
pub fn fits(first: &View<'_>, last: &View<'_>, next: &View<'_>) -> bool {
    if next.is_stale() {
        return true;
    }
    let follows = match first.hint {
        Hint::Gauge => next.hint == Hint::Gauge,
        _ => next.hint == Hint::NotReset,
    };
    follows && !last.is_stale() && next.is_laid_out_as(last)
}

/// One chunk of histograms that all fit.
pub fn encode(times: &[i64], histograms: &[View<'_>]) -> Result<Vec<u8>> {
    let count = u16::try_from(times.len()).map_err(|_| too_many(times.len()))?;
    let Some(first) = histograms.first() else {
        return Ok(vec![0; 3]);
    };
    let header = HEADERS.iter().find(|(hint, _)| *hint == first.hint);
    let header = header.map_or(0, |(_, bits)| *bits);
    let mut out = Writer::after(vec![(count >> 8) as u8, count as u8, header << 6]);
    let empty = Arc::new(Layout::default());
    layout::write(
        &mut out,
        if first.is_stale() {
            &empty
        } else {
            first.layout
        },
    );
    write_signed(&mut out, times[0]);
    let mut columns: Vec<Column> = ordered(first)
        .map(|cell| Column::start(cell.to_bits()))
        .collect();
    for column in &columns {
        out.bits(column.bits, 64);
    }
    let (mut time, mut delta) = (times[0], None);
    for (&now, histogram) in times[1..].iter().zip(&histograms[1..]) {
        let step = now.wrapping_sub(time);
        match delta {
            None => write_unsigned(&mut out, step as u64),
            Some(last) => write_signed(&mut out, step.wrapping_sub(last)),
        }
        (time, delta) = (now, Some(step));
        for (column, cell) in columns.iter_mut().zip(ordered(histogram)) {
            column.write(&mut out, cell.to_bits());
        }
    }
    Ok(out.finish())
}

/// Cells as they stand in a chunk; of a staleness marker only its sum.
fn ordered<'a>(view: &View<'a>) -> impl Iterator<Item = f64> + use<'a> {
    let (cells, stale) = (view.cells, view.is_stale());
    let fixed = ORDER.map(|at| if stale && at != SUM { 0.0 } else { cells[at] });
    let buckets = if stale {
        &[][..]
    } else {
        &cells[FIXED_CELLS..]
    };
    fixed.into_iter().chain(buckets.iter().copied())
}

/// Times and histograms of a chunk.
pub fn decode(chunk: &[u8]) -> Result<(Vec<i64>, Histograms)> {
    let Some((&[high, low, flags], rest)) = chunk.split_first_chunk() else {
        return Err(Error::corrupt("histogram chunk without a header", 0));
    };
    let count = usize::from(high) << 8 | usize::from(low);
    let (mut times, mut all) = (Vec::new(), Histograms::default());
    if count == 0 {
        return Ok((times, all));
    }
    let mut input = Reader::new(rest);
    let layout = Arc::new(layout::read(&mut input)?);
    let began = HEADERS.iter().find(|(_, bits)| *bits == flags >> 6);
    let began = began.map_or(Hint::Unknown, |(hint, _)| *hint);
    let mut decoder = Decoder::start(&mut input, layout.cell_count())?;
    let mut delta = 0i64;
    for index in 0..count {
        if index > 0 {
            delta = match index {
                1 => read_unsigned(&mut input)? as i64,
                _ => delta.wrapping_add(read_signed(&mut input)?),
            };
            decoder.time = decoder.time.wrapping_add(delta);
            decoder.next(&mut input)?;
        }
        times.push(decoder.time);
        decoder.push(&mut all, &layout, hint(began, index));
    }
    Ok((times, all))
}

/// What a chunk says of its histogram at `index`. A first one is only known to go on from another where
/// that one is at hand, which a chunk cannot promise.
fn hint(began: Hint, index: usize) -> Hint {
    match (began, index) {
        (Hint::Gauge, _) => Hint::Gauge,
        (Hint::NotReset, 0) => Hint::Unknown,
        (began, 0) => began,
        _ => Hint::NotReset,
    }
}

struct Decoder {
    time: i64,
    /// In the order of a chunk.
    columns: Vec<Column>,
    cells: Vec<f64>,
}

impl Decoder {
    fn start(input: &mut Reader<'_>, width: usize) -> Result<Self> {
        let time = read_signed(input)?;
        let columns = (0..width).map(|_| input.bits(64).map(Column::start));
        let columns: Vec<Column> = columns.collect::<Result<_>>()?;
        Ok(Self {
            time,
            cells: vec![0.0; columns.len()],
            columns,
        })
    }

    fn next(&mut self, input: &mut Reader<'_>) -> Result<()> {
        let (fixed, buckets) = self.columns.split_at_mut(FIXED_CELLS);
        for column in fixed.iter_mut() {
            column.read(input)?;
        }
        // A staleness marker has no buckets.
        if !crate::kernel::samples::is_stale(f64::from_bits(fixed[2].bits)) {
            for column in buckets {
                column.read(input)?;
            }
        }
        Ok(())
    }

    fn push(&mut self, all: &mut Histograms, layout: &Arc<Layout>, hint: Hint) {
        for (at, column) in self.columns.iter().enumerate() {
            let cell = ORDER.get(at).copied().unwrap_or(at);
            self.cells[cell] = f64::from_bits(column.bits);
        }
        let whole = View {
            layout,
            hint,
            cells: &self.cells,
        };
        if whole.is_stale() {
            let cells = &[0.0, whole.sum(), 0.0];
            let layout = &Arc::new(Layout::default());
            return all.push(View {
                layout,
                hint,
                cells,
            });
        }
        all.push(whole);
    }
}

fn too_many(count: usize) -> Error {
    let limit = super::xor::SAMPLES_MAX;
    let message = format!("{count} histograms for one chunk (limit: {limit})");
    Error::invalid("chunk-samples", message)
}
