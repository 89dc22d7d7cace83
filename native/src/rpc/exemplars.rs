//! Exemplars of many series as bytes.

use crate::block::bytes::{Cursor, put_signed, put_varint};
use crate::block::exemplars::Exemplars;
use crate::error::{Error, Result};
use crate::labels::LabelSets;
use crate::rpc::labels;
use crate::rpc::seal::{EXEMPLARS, Sealed, open, seal};

/// What came back.
#[derive(Debug)]
pub struct Found {
    pub labels: LabelSets,
    pub offsets: Vec<i64>,
    pub times: Vec<i64>,
    pub values: Vec<f64>,
    /// One set an exemplar.
    pub exemplar_labels: LabelSets,
}

/// The exemplars of the series with these labels, a row each.
pub fn encode(series: &LabelSets, all: &Exemplars<'_>) -> Result<Sealed<1>> {
    all.check()?;
    let rows = all.offsets.len() - 1;
    if series.count() != rows {
        let message = format!(
            "{} label sets for exemplars of {rows} series",
            series.count()
        );
        return Err(Error::invalid("bad-frame", message));
    }
    let range = all.offsets[0] as usize..all.offsets[rows] as usize;
    let mut out = Vec::new();
    put_labels(series, &mut out)?;
    match range.len() == all.times.len() {
        true => put_labels(all.labels, &mut out)?,
        false => put_labels(&taken(all.labels, range.clone())?, &mut out)?,
    }
    put_varint(&mut out, rows as u64);
    for pair in all.offsets.windows(2) {
        put_varint(&mut out, (pair[1] - pair[0]) as u64);
    }
    let mut before_ms = 0;
    for &time_ms in &all.times[range.clone()] {
        put_signed(&mut out, time_ms.wrapping_sub(before_ms));
        before_ms = time_ms;
    }
    for value in &all.values[range] {
        out.extend_from_slice(&value.to_bits().to_le_bytes());
    }
    Ok(seal(EXEMPLARS, [out]))
}

fn taken(labels: &LabelSets, range: std::ops::Range<usize>) -> Result<LabelSets> {
    let rows: Vec<i64> = range.map(|row| row as i64).collect();
    labels.taken(rows.into_iter())
}

fn put_labels(labels: &LabelSets, out: &mut Vec<u8>) -> Result<()> {
    let mut packed = Vec::new();
    labels::encode(labels, &mut packed)?;
    put_varint(out, packed.len() as u64);
    out.extend_from_slice(&packed);
    Ok(())
}

fn take_labels(cursor: &mut Cursor<'_>) -> Result<LabelSets> {
    let size = cursor.bounded(cursor.remaining(), "size of labels")?;
    labels::decode(Cursor::new(cursor.take(size)?, 0))
}

pub fn decode(data: &[u8]) -> Result<Found> {
    let mut cursor = open(data, EXEMPLARS)?;
    let labels = take_labels(&mut cursor)?;
    let exemplar_labels = take_labels(&mut cursor)?;
    let rows = cursor.bounded(cursor.remaining(), "series")?;
    let total = exemplar_labels.count();
    let mut offsets = Vec::with_capacity(rows + 1);
    let mut end = 0;
    offsets.push(0);
    for _ in 0..rows {
        end += cursor.bounded(total - end, "exemplars of a series")?;
        offsets.push(end as i64);
    }
    if end != total || rows != labels.count() || total > cursor.remaining() / 9 {
        let message = format!(
            "{total} sets of labels for {end} exemplars, {} for {rows} series",
            labels.count()
        );
        return Err(cursor.corrupt(message));
    }
    let mut before_ms = 0i64;
    let mut times = Vec::with_capacity(total);
    for _ in 0..total {
        before_ms = before_ms.wrapping_add(cursor.signed()?);
        times.push(before_ms);
    }
    let values = (0..total).map(|_| cursor.u64().map(f64::from_bits));
    let values = values.collect::<Result<Vec<f64>>>()?;
    cursor.finish()?;
    let ascends = |pair: &[i64]| times[pair[0] as usize..pair[1] as usize].is_sorted();
    if !offsets.windows(2).all(ascends) {
        return Err(cursor.corrupt("times of exemplars do not ascend"));
    }
    Ok(Found {
        labels,
        offsets,
        times,
        values,
        exemplar_labels,
    })
}
