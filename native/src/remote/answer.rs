//! Series as the two answers of remote read: one message of samples, or a stream of chunks.

use std::ops::Range;

use crate::error::Result;
use crate::frame::FrameView;
use crate::histogram::View;
use crate::labels::LabelSets;
use crate::remote::message::{bytes, double, nested, number, varint, varint_size};
use crate::remote::sample::push_histogram;
use crate::tsdb::{histogram, xor};

/// Samples of a chunk, as Prometheus cuts them.
const CHUNK_SAMPLES: usize = 120;
const XOR: i64 = 1;
const FLOAT_HISTOGRAM: i64 = 3;

/// Every series with samples as a `timeseries` field of `QueryResult`.
pub fn series(labels: &LabelSets, frame: &FrameView<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(frame.values.len() * 18);
    for index in 0..labels.count() {
        let (floats, histograms) = (floats_of(frame, index), histograms_of(frame, index));
        if floats.is_empty() && histograms.is_empty() {
            continue;
        }
        nested(&mut out, 1, |out| {
            push_labels(out, labels, index);
            for at in floats {
                nested(out, 2, |out| {
                    double(out, 1, frame.values[at]);
                    number(out, 2, frame.timestamps_ms[at]);
                });
            }
            for (time_ms, view) in histogram_samples(frame, histograms) {
                nested(out, 4, |out| push_histogram(out, time_ms, &view));
            }
        });
    }
    out
}

/// `ReadResponse` of one result a query, each the fields that `series` wrote, in parts.
pub fn response(results: &[Vec<&[u8]>]) -> Vec<u8> {
    let size = |parts: &[&[u8]]| parts.iter().map(|part| part.len()).sum::<usize>();
    let total: usize = results.iter().map(|parts| size(parts) + 11).sum();
    let mut out = Vec::with_capacity(total);
    for parts in results {
        out.push(1 << 3 | 2);
        varint(&mut out, size(parts) as u64);
        for part in parts {
            out.extend_from_slice(part);
        }
    }
    out
}

/// Every series with samples as frames of `ChunkedReadResponse`, one a series; more where one would
/// be larger than `frame_bytes_max`, each with the labels and at least one chunk.
pub fn frames(
    labels: &LabelSets,
    frame: &FrameView<'_>,
    query: i64,
    frame_bytes_max: usize,
) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(frame.values.len() * 4);
    let mut body = Vec::new();
    for index in 0..labels.count() {
        body.clear();
        push_labels(&mut body, labels, index);
        let head = body.len();
        for (_, chunk) in chunks(frame, index)? {
            if body.len() > head && body.len() + chunk.len() > frame_bytes_max {
                push_frame(&mut out, &body, query);
                body.truncate(head);
            }
            body.extend_from_slice(&chunk);
        }
        if body.len() > head {
            push_frame(&mut out, &body, query);
        }
    }
    Ok(out)
}

/// The `chunks` fields of a series with their first times, in order of time.
fn chunks(frame: &FrameView<'_>, index: usize) -> Result<Vec<(i64, Vec<u8>)>> {
    let mut all = Vec::new();
    let floats = floats_of(frame, index);
    let times = frame.timestamps_ms[floats.clone()].chunks(CHUNK_SAMPLES);
    for (times, values) in times.zip(frame.values[floats].chunks(CHUNK_SAMPLES)) {
        all.push(chunk(times, XOR, &xor::encode(times, values)?));
    }
    let (times, views): (Vec<i64>, Vec<View<'_>>) =
        histogram_samples(frame, histograms_of(frame, index)).unzip();
    for range in cuts(&views) {
        let times = &times[range.clone()];
        let data = histogram::encode(times, &views[range])?;
        all.push(chunk(times, FLOAT_HISTOGRAM, &data));
    }
    all.sort_by_key(|(first_ms, _)| *first_ms);
    Ok(all)
}

/// Histograms that go into one chunk each.
fn cuts(views: &[View<'_>]) -> Vec<Range<usize>> {
    let (mut ranges, mut first) = (Vec::new(), 0);
    for next in 1..=views.len() {
        let goes_on = next < views.len()
            && next - first < CHUNK_SAMPLES
            && histogram::fits(&views[first], &views[next - 1], &views[next]);
        if !goes_on {
            ranges.push(first..next);
            first = next;
        }
    }
    ranges
}

fn chunk(times: &[i64], kind: i64, data: &[u8]) -> (i64, Vec<u8>) {
    let (first_ms, last_ms) = (times[0], times[times.len() - 1]);
    let mut out = Vec::with_capacity(data.len() + 30);
    nested(&mut out, 2, |out| {
        number(out, 1, first_ms);
        number(out, 2, last_ms);
        number(out, 3, kind);
        bytes(out, 4, data);
    });
    (first_ms, out)
}

/// Length, checksum, message.
fn push_frame(out: &mut Vec<u8>, series: &[u8], query: i64) {
    let mut message = Vec::with_capacity(series.len() + 16);
    bytes(&mut message, 1, series);
    number(&mut message, 2, query);
    varint(out, message.len() as u64);
    let checksum = crc32c::crc32c(&message);
    out.extend([24, 16, 8, 0].map(|shift| (checksum >> shift) as u8));
    out.extend_from_slice(&message);
}

fn push_labels(out: &mut Vec<u8>, labels: &LabelSets, index: usize) {
    for (name, value) in labels.labels_of(index) {
        let size = |text: &str| 1 + varint_size(text.len() as u64) + text.len();
        out.push(1 << 3 | 2);
        varint(out, (size(name) + size(value)) as u64);
        bytes(out, 1, name.as_bytes());
        bytes(out, 2, value.as_bytes());
    }
}

fn floats_of(frame: &FrameView<'_>, index: usize) -> Range<usize> {
    frame.offsets[index] as usize..frame.offsets[index + 1] as usize
}

fn histograms_of(frame: &FrameView<'_>, index: usize) -> Range<usize> {
    match &frame.histograms {
        Some(own) => own.offsets[index] as usize..own.offsets[index + 1] as usize,
        None => 0..0,
    }
}

fn histogram_samples<'a>(
    frame: &FrameView<'a>,
    range: Range<usize>,
) -> impl Iterator<Item = (i64, View<'a>)> {
    let own = frame.histograms;
    range.filter_map(move |at| own.map(|own| (own.timestamps_ms[at], own.values.get(at))))
}
