//! Results as the JSON of the Prometheus HTTP API, written straight from arrays to bytes.

mod histogram;
pub mod number;
mod python;
mod text;

use pyo3::prelude::*;

use crate::error::{Error, Result};
use crate::frame::FrameView;
use crate::histogram::View;
use crate::kernel::parallel::each;
use crate::kernel::samples::{Steps, is_stale};
use crate::labels::LabelSets;
use histogram::Writer;

pub use histogram::Cells;

/// Series that one thread writes before it takes the next ones: at most so many, and few enough that
/// both threads have something to do.
const BLOCK_MAX: usize = 256;
const BLOCKS: usize = 8;
/// What a point takes, nearly, and how much room a block gets before it is written.
const POINT_BYTES: usize = 30;
const ROOM_BYTES_MAX: usize = 1 << 20;
/// To write a number costs so many times what other work on a cell does.
const WORK: usize = 16;

/// A finished piece of JSON in parts, so that it is copied only once.
pub type Parts = Vec<Vec<u8>>;

/// `{"metric":{...}` of each series that `body` has something for, then what `body` wrote, and `}`;
/// every element after a comma. `body` returns whether the series is shown; each thread has a writer.
fn elements(
    labels: &LabelSets,
    work: usize,
    body: impl Fn(&mut Writer, usize, &mut Vec<u8>) -> bool + Sync,
) -> Parts {
    let count = labels.count();
    let block = count.div_ceil(BLOCKS).clamp(1, BLOCK_MAX);
    let mut blocks: Vec<(usize, Vec<u8>)> = (0..count)
        .step_by(block)
        .map(|start| (start, Vec::new()))
        .collect();
    each(
        blocks.iter_mut(),
        work.saturating_mul(WORK),
        Writer::default,
        |writer, (start, out)| {
            out.reserve(
                (work / BLOCKS)
                    .saturating_mul(POINT_BYTES)
                    .min(ROOM_BYTES_MAX),
            );
            for index in *start..count.min(*start + block) {
                let before = out.len();
                out.extend_from_slice(br#",{"metric":"#);
                label_set(out, labels, index);
                if body(writer, index, out) {
                    out.push(b'}');
                } else {
                    out.truncate(before);
                }
            }
        },
    );
    blocks.into_iter().map(|(_, out)| out).collect()
}

fn label_set(out: &mut Vec<u8>, labels: &LabelSets, index: usize) {
    out.push(b'{');
    for (at, (name, value)) in labels.labels_of(index).enumerate() {
        if at > 0 {
            out.push(b',');
        }
        text::push(out, name);
        out.push(b':');
        text::push(out, value);
    }
    out.push(b'}');
}

/// `{"resultType":"...","result":[...]}` around elements that each begin with a comma; `stats` is JSON.
fn enclosed(kind: &str, mut elements: Parts, stats: Option<&[u8]>) -> Parts {
    if let Some(first) = elements.iter_mut().find(|part| !part.is_empty()) {
        first.remove(0);
    }
    elements.insert(0, opening(kind, b"["));
    elements.push(closing(b"]", stats));
    elements
}

fn opening(kind: &str, bracket: &[u8]) -> Vec<u8> {
    [
        br#"{"resultType":""#,
        kind.as_bytes(),
        br#"","result":"#,
        bracket,
    ]
    .concat()
}

fn closing(bracket: &[u8], stats: Option<&[u8]>) -> Vec<u8> {
    match stats {
        Some(stats) => [bracket, br#","stats":"#, stats, b"}"].concat(),
        None => [bracket, b"}"].concat(),
    }
}

/// `[seconds,"` before and `"]` after: one point.
fn point(out: &mut Vec<u8>, time_ms: i64, value: f64) {
    out.push(b'[');
    number::push_seconds(out, time_ms);
    out.extend_from_slice(b",\"");
    number::push_float(out, value);
    out.extend_from_slice(b"\"]");
}

/// A list under a key of an element: the key before the first item, a comma before every other.
struct List {
    key: &'static [u8],
    any: bool,
}

impl List {
    const fn of(key: &'static [u8]) -> Self {
        Self { key, any: false }
    }

    #[inline]
    fn separate(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.any { b"," } else { self.key });
        self.any = true;
    }

    /// Ends the list; whether it is there at all.
    fn close(self, out: &mut Vec<u8>) -> bool {
        if self.any {
            out.push(b']');
        }
        self.any
    }
}

const VALUES: &[u8] = br#","values":["#;
const HISTOGRAMS: &[u8] = br#","histograms":["#;

/// A range query's answer; series without a point are left out.
pub fn matrix(
    labels: &LabelSets,
    steps: Steps,
    values: &[f64],
    present: &[bool],
    histograms: Option<Cells<'_>>,
    stats: Option<&[u8]>,
) -> Result<Parts> {
    let width = steps.count;
    check(labels, labels.count().checked_mul(width), values.len())?;
    check(labels, labels.count().checked_mul(width), present.len())?;
    let prefixes = Prefixes::new(steps);
    let body = |writer: &mut Writer, row: usize, out: &mut Vec<u8>| {
        let range = row * width..(row + 1) * width;
        let points = values[range.clone()]
            .iter()
            .zip(&present[range.clone()])
            .enumerate();
        let mut list = List::of(VALUES);
        for (step, (&value, _)) in points.filter(|(_, (_, present))| **present) {
            if list.any {
                prefixes.push(out, step);
            } else {
                list.separate(out);
                out.extend_from_slice(prefixes.first(step));
            }
            number::push_float(out, value);
            out.extend_from_slice(b"\"]");
        }
        let floats = list.close(out);
        let mut list = List::of(HISTOGRAMS);
        let cells = histograms.into_iter().flat_map(|cells| {
            let cell = move |(step, at)| cells.get(at).map(|view| (step, view));
            range.clone().enumerate().filter_map(cell)
        });
        for (step, view) in cells {
            list.separate(out);
            out.extend_from_slice(prefixes.unquoted(step));
            writer.push(out, view);
            out.push(b']');
        }
        list.close(out) || floats
    };
    let work = values.len() + histograms.map_or(0, |cells| cells.work());
    Ok(enclosed("matrix", elements(labels, work, body), stats))
}

/// `,[seconds,"` of every step, written once for all series.
struct Prefixes(Vec<Prefix>);

struct Prefix {
    bytes: [u8; PREFIX_MAX],
    size: usize,
}

/// A comma, a bracket, the seconds of an `i64` of milliseconds (21 characters at most), a comma, a quote.
const PREFIX_MAX: usize = 32;

impl Prefixes {
    fn new(steps: Steps) -> Self {
        let mut text = Vec::new();
        let prefix = |step| {
            text.clear();
            text.extend_from_slice(b",[");
            number::push_seconds(&mut text, steps.at(step));
            text.extend_from_slice(b",\"");
            let (mut bytes, size) = ([0; PREFIX_MAX], text.len());
            bytes[..size].copy_from_slice(&text);
            Prefix { bytes, size }
        };
        Self((0..steps.count).map(prefix).collect())
    }

    /// Adds one behind another point.
    #[inline]
    fn push(&self, out: &mut Vec<u8>, step: usize) {
        let Prefix { bytes, size } = &self.0[step];
        // Whole, because a copy of a fixed size is two instructions.
        let end = out.len() + size;
        out.extend_from_slice(bytes);
        out.truncate(end);
    }

    /// The same without the comma, for the first point.
    fn first(&self, step: usize) -> &[u8] {
        let Prefix { bytes, size } = &self.0[step];
        &bytes[1..*size]
    }

    /// As `first` without the quote.
    fn unquoted(&self, step: usize) -> &[u8] {
        let Prefix { bytes, size } = &self.0[step];
        &bytes[1..*size - 1]
    }
}

/// An instant query's answer, all at one time.
pub fn vector(
    labels: &LabelSets,
    time_ms: i64,
    values: &[f64],
    histograms: Option<Cells<'_>>,
    stats: Option<&[u8]>,
) -> Result<Parts> {
    check(labels, Some(labels.count()), values.len())?;
    let body = |writer: &mut Writer, row: usize, out: &mut Vec<u8>| {
        match histograms.and_then(|cells| cells.get(row)) {
            Some(view) => {
                out.extend_from_slice(br#","histogram":"#);
                histogram_point(writer, out, time_ms, view);
            }
            None => {
                out.extend_from_slice(br#","value":"#);
                point(out, time_ms, values[row]);
            }
        }
        true
    };
    let work = values.len() + histograms.map_or(0, |cells| cells.work());
    Ok(enclosed("vector", elements(labels, work, body), stats))
}

/// `[seconds,{...}]`
fn histogram_point(writer: &mut Writer, out: &mut Vec<u8>, time_ms: i64, view: View<'_>) {
    out.push(b'[');
    number::push_seconds(out, time_ms);
    out.push(b',');
    writer.push(out, view);
    out.push(b']');
}

/// An instant query of a range vector: the samples themselves, without staleness markers. Of a float and a
/// histogram at one time, the histogram is shown.
pub fn frame(labels: &LabelSets, samples: &FrameView<'_>, stats: Option<&[u8]>) -> Result<Parts> {
    check(labels, Some(labels.count()), samples.offsets.len() - 1)?;
    let body = |writer: &mut Writer, row: usize, out: &mut Vec<u8>| {
        let histograms = || histograms_of(samples, row);
        let mut list = List::of(VALUES);
        let mut shown = histograms().map(|(time_ms, _)| time_ms).peekable();
        for (time_ms, value) in floats_of(samples, row) {
            while shown.next_if(|&other| other < time_ms).is_some() {}
            if shown.peek() != Some(&time_ms) {
                list.separate(out);
                point(out, time_ms, value);
            }
        }
        let floats = list.close(out);
        let mut list = List::of(HISTOGRAMS);
        for (time_ms, view) in histograms() {
            list.separate(out);
            histogram_point(writer, out, time_ms, view);
        }
        list.close(out) || floats
    };
    let cells = samples
        .histograms
        .map_or(0, |histograms| histograms.values.cell_count());
    let work = samples.values.len() + cells;
    Ok(enclosed("matrix", elements(labels, work, body), stats))
}

/// Float samples of a series, but for staleness markers.
fn floats_of<'a>(samples: &FrameView<'a>, row: usize) -> impl Iterator<Item = (i64, f64)> + 'a {
    let range = samples.offsets[row] as usize..samples.offsets[row + 1] as usize;
    let pairs = samples.timestamps_ms[range.clone()]
        .iter()
        .zip(&samples.values[range]);
    pairs
        .map(|(&time_ms, &value)| (time_ms, value))
        .filter(|&(_, value)| !is_stale(value))
}

/// Its histogram samples, but for staleness markers.
fn histograms_of<'a>(
    samples: &FrameView<'a>,
    row: usize,
) -> impl Iterator<Item = (i64, View<'a>)> + 'a {
    samples.histograms.into_iter().flat_map(move |histograms| {
        let range = histograms.offsets[row] as usize..histograms.offsets[row + 1] as usize;
        let pairs = range.map(move |at| (histograms.timestamps_ms[at], histograms.values.get(at)));
        pairs.filter(|(_, view)| !view.is_stale())
    })
}

/// A scalar's answer; scalars are never written with an exponent.
pub fn scalar(time_ms: i64, value: f64, stats: Option<&[u8]>) -> Parts {
    let mut out = opening("scalar", b"[");
    number::push_seconds(&mut out, time_ms);
    out.extend_from_slice(b",\"");
    number::push_plain(&mut out, value);
    out.push(b'"');
    vec![out, closing(b"]", stats)]
}

/// A string literal's answer.
pub fn string(time_ms: i64, value: &str, stats: Option<&[u8]>) -> Parts {
    let mut out = opening("string", b"[");
    number::push_seconds(&mut out, time_ms);
    out.push(b',');
    text::push(&mut out, value);
    vec![out, closing(b"]", stats)]
}

/// A list of label sets.
pub fn label_sets(labels: &LabelSets) -> Vec<u8> {
    let mut out = vec![b'['];
    for index in 0..labels.count() {
        if index > 0 {
            out.push(b',');
        }
        label_set(&mut out, labels, index);
    }
    out.push(b']');
    out
}

/// A list of strings.
pub fn strings(values: &[String]) -> Vec<u8> {
    let mut out = vec![b'['];
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        text::push(&mut out, value);
    }
    out.push(b']');
    out
}

fn check(labels: &LabelSets, want: Option<usize>, actual: usize) -> Result<()> {
    if want == Some(actual) {
        return Ok(());
    }
    let message = format!("{actual} values do not fit {} series", labels.count());
    Err(Error::invalid("result-shape", message))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    python::register(module)
}
