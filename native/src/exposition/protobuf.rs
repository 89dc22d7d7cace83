//! `io.prometheus.client.MetricFamily` after `MetricFamily`, each behind its length.

use super::Rows;
use super::names::Escaping;
use crate::histogram::{Hint, View};
use crate::remote::message::{bytes, double, doubles, nested, number, varint, zigzag};
use crate::tsdb::layout::spans;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Untyped = 3,
    Histogram = 4,
    GaugeHistogram = 5,
}

pub fn encode(rows: &Rows<'_>, escaping: Escaping) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.values.len() * 64);
    let (mut family, mut last) = (Vec::new(), None);
    for row in 0..rows.values.len() {
        let name = rows.name(row);
        if name.is_empty() {
            continue;
        }
        let histogram = histogram_of(rows, row);
        let key = (name, kind(histogram.as_ref()));
        if last != Some(key) {
            push_family(&mut out, &mut family);
            bytes(&mut family, 1, escaping.apply(name).as_bytes());
            number(&mut family, 3, key.1 as i64);
            last = Some(key);
        }
        nested(&mut family, 4, |out| {
            push_metric(out, rows, row, histogram, escaping)
        });
    }
    push_family(&mut out, &mut family);
    out
}

fn push_family(out: &mut Vec<u8>, family: &mut Vec<u8>) {
    if !family.is_empty() {
        varint(out, family.len() as u64);
        out.append(family);
    }
}

fn histogram_of<'a>(rows: &Rows<'a>, row: usize) -> Option<View<'a>> {
    let at = rows.index.get(row).copied().unwrap_or(-1);
    usize::try_from(at).ok().map(|at| rows.histograms.get(at))
}

fn kind(histogram: Option<&View<'_>>) -> Kind {
    match histogram {
        None => Kind::Untyped,
        Some(view) if view.hint == Hint::Gauge => Kind::GaugeHistogram,
        Some(_) => Kind::Histogram,
    }
}

fn push_metric(
    out: &mut Vec<u8>,
    rows: &Rows<'_>,
    row: usize,
    histogram: Option<View<'_>>,
    escaping: Escaping,
) {
    for (name, value) in rows.others(row) {
        nested(out, 1, |out| {
            bytes(out, 1, escaping.apply(name).as_bytes());
            bytes(out, 2, value.as_bytes());
        });
    }
    match histogram {
        None => nested(out, 5, |out| double(out, 1, rows.values[row])),
        Some(view) => nested(out, 7, |out| push_histogram(out, &view)),
    }
    number(out, 6, rows.timestamps_ms[row]);
}

/// Always in floats; custom buckets as the classic ones that they stand for.
fn push_histogram(out: &mut Vec<u8>, view: &View<'_>) {
    double(out, 4, view.count());
    double(out, 2, view.sum());
    let layout = view.layout;
    if layout.is_custom() {
        return push_classic(out, view);
    }
    zigzag_always(out, 5, i64::from(layout.schema));
    double(out, 6, layout.zero_threshold);
    double(out, 8, view.zero_count());
    for (field, indexes, counts) in [
        (9, &layout.negative, view.negative()),
        (12, &layout.positive, view.positive()),
    ] {
        for (offset, length) in spans(indexes) {
            nested(out, field, |out| {
                zigzag(out, 1, offset);
                number(out, 2, length as i64);
            });
        }
        doubles(out, field + 2, counts);
    }
    // A span of nothing says that an empty histogram is a native one.
    if layout.positive.is_empty() && layout.negative.is_empty() {
        nested(out, 12, |_| ());
    }
}

fn push_classic(out: &mut Vec<u8>, view: &View<'_>) {
    let mut cumulative = 0.0;
    let mut counts = view.layout.positive.iter().zip(view.positive()).peekable();
    for (bucket, &bound) in view
        .layout
        .bounds
        .iter()
        .chain(&[f64::INFINITY])
        .enumerate()
    {
        if let Some((_, count)) = counts.next_if(|(index, _)| **index as usize == bucket) {
            cumulative += count;
        }
        nested(out, 3, |out| {
            double(out, 4, cumulative);
            double(out, 2, bound);
        });
    }
}

/// Schema 0 is a schema, too.
fn zigzag_always(out: &mut Vec<u8>, field: u8, value: i64) {
    match value {
        0 => out.extend_from_slice(&[field << 3, 0]),
        _ => zigzag(out, field, value),
    }
}
