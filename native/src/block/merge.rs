//! Merges the samples of several sources, series by series, in time.
//!
//! Same timestamp, different floats: a value beats a staleness marker, then the larger one in the total
//! order of the bits wins, of equal ones the later start. The rule is a maximum, so every order of merging
//! gives the same result. Histograms have a rule of the same kind (`merge_histograms`).

use std::cmp::Ordering;

use numpy::PyReadonlyArray1;
use pyo3::prelude::*;

use crate::block::merge_histograms::{self, HistogramPart};
use crate::error::{Error, Result};
use crate::frame::{Frame, FrameArrays, FrameView, PyFrame};
use crate::kernel::samples::is_stale;

/// The samples of one source, and which of its rows each row of the result takes (-1: none).
pub struct Part<'a> {
    pub rows: &'a [i64],
    pub frame: FrameView<'a>,
}

impl<'a> Part<'a> {
    fn check(&self, count: usize) -> Result<()> {
        let rows = self.frame.offsets.len() as i64 - 1;
        let fits =
            self.rows.len() == count && self.rows.iter().all(|&row| (-1..rows).contains(&row));
        if fits {
            Ok(())
        } else {
            let message = format!("rows of a merge of {count} series, of a part of {rows}");
            Err(Error::invalid("bad-frame", message))
        }
    }

    fn samples(&self, row: usize) -> Option<Samples<'a>> {
        let own = usize::try_from(self.rows[row]).ok()?;
        let offsets = self.frame.offsets;
        let range = offsets[own] as usize..offsets[own + 1] as usize;
        (!range.is_empty()).then(|| Samples {
            times: &self.frame.timestamps_ms[range.clone()],
            values: &self.frame.values[range.clone()],
            starts: self.frame.starts_ms.get(range).unwrap_or_default(),
        })
    }
}

/// Samples of one series; `starts` is empty where the source has none.
#[derive(Debug, Clone, Copy)]
struct Samples<'a> {
    times: &'a [i64],
    values: &'a [f64],
    starts: &'a [i64],
}

impl Samples<'_> {
    fn start(&self, index: usize) -> i64 {
        self.starts.get(index).copied().unwrap_or_default()
    }
}

/// The samples of the result; `starts` stays empty unless `STARTS`.
#[derive(Debug, Default)]
struct Column<const STARTS: bool> {
    times: Vec<i64>,
    values: Vec<f64>,
    starts: Vec<i64>,
}

impl<const STARTS: bool> Column<STARTS> {
    fn with_capacity(total: usize) -> Self {
        Self {
            times: Vec::with_capacity(total),
            values: Vec::with_capacity(total),
            starts: Vec::with_capacity(if STARTS { total } else { 0 }),
        }
    }

    fn push(&mut self, time: i64, value: f64, start: i64) {
        self.times.push(time);
        self.values.push(value);
        if STARTS {
            self.starts.push(start);
        }
    }

    fn extend(&mut self, samples: Samples<'_>, from: usize) {
        self.times.extend_from_slice(&samples.times[from..]);
        self.values.extend_from_slice(&samples.values[from..]);
        if STARTS && samples.starts.is_empty() {
            self.starts.resize(self.times.len(), 0);
        } else if STARTS {
            self.starts.extend_from_slice(&samples.starts[from..]);
        }
    }

    fn tail(&self, from: usize) -> Samples<'_> {
        Samples {
            times: &self.times[from..],
            values: &self.values[from..],
            starts: self.starts.get(from..).unwrap_or_default(),
        }
    }

    fn truncate(&mut self, length: usize) {
        self.times.truncate(length);
        self.values.truncate(length);
        self.starts.truncate(length);
    }

    fn add(&mut self, left: Samples<'_>, right: Samples<'_>) {
        let (mut l, mut r) = (0, 0);
        while l < left.times.len() && r < right.times.len() {
            match left.times[l].cmp(&right.times[r]) {
                Ordering::Less => {
                    self.push(left.times[l], left.values[l], left.start(l));
                    l += 1;
                }
                Ordering::Greater => {
                    self.push(right.times[r], right.values[r], right.start(r));
                    r += 1;
                }
                Ordering::Equal => {
                    let ours = (left.values[l], left.start(l));
                    let theirs = (right.values[r], right.start(r));
                    let (value, start) = pick(ours, theirs);
                    self.push(left.times[l], value, start);
                    l += 1;
                    r += 1;
                }
            }
        }
        self.extend(left, l);
        self.extend(right, r);
    }
}

/// Which of two values with their starts at one timestamp stays.
pub fn pick(left: (f64, i64), right: (f64, i64)) -> (f64, i64) {
    let order = is_stale(right.0)
        .cmp(&is_stale(left.0))
        .then_with(|| left.0.total_cmp(&right.0))
        .then_with(|| left.1.cmp(&right.1));
    match order {
        Ordering::Less => right,
        _ => left,
    }
}

/// The samples of `count` series.
pub fn merge(parts: &[Part<'_>], count: usize) -> Result<Frame> {
    parts.iter().try_for_each(|part| part.check(count))?;
    let mut frame = if parts.iter().any(|part| !part.frame.starts_ms.is_empty()) {
        merge_floats::<true>(parts, count)
    } else {
        merge_floats::<false>(parts, count)
    };
    let histograms: Vec<HistogramPart<'_>> = parts
        .iter()
        .filter_map(|part| HistogramPart::of(part.rows, part.frame.histograms?))
        .collect();
    if !histograms.is_empty() {
        frame.histograms = Some(merge_histograms::merge(&histograms, count));
    }
    Ok(frame)
}

fn merge_floats<const STARTS: bool>(parts: &[Part<'_>], count: usize) -> Frame {
    let total = parts
        .iter()
        .map(|part| part.frame.timestamps_ms.len())
        .sum();
    let mut offsets = Vec::with_capacity(count + 1);
    let mut all = Column::<STARTS>::with_capacity(total);
    let mut merged = Column::<STARTS>::default();
    offsets.push(0);
    for row in 0..count {
        let first = all.times.len();
        for own in parts.iter().filter_map(|part| part.samples(row)) {
            if all.times.len() == first || all.times[all.times.len() - 1] < own.times[0] {
                all.extend(own, 0);
                continue;
            }
            merged.truncate(0);
            merged.add(all.tail(first), own);
            all.truncate(first);
            all.extend(merged.tail(0), 0);
        }
        offsets.push(all.times.len() as i64);
    }
    Frame {
        offsets,
        timestamps_ms: all.times,
        values: all.values,
        starts_ms: all.starts,
        histograms: None,
    }
}

/// Merges `count` series from `(rows, arrays of the frame)` of each part.
#[pyfunction]
fn merge_samples<'py>(
    py: Python<'py>,
    count: usize,
    parts: Vec<(PyReadonlyArray1<'py, i64>, FrameArrays<'py>)>,
) -> PyResult<PyFrame<'py>> {
    let parts = parts
        .iter()
        .map(|(rows, arrays)| {
            Ok(Part {
                rows: rows.as_slice()?,
                frame: arrays.view()?,
            })
        })
        .collect::<PyResult<Vec<_>>>()?;
    let merged = py.detach(|| merge(&parts, count))?;
    Ok(merged.into_python(py))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(merge_samples, module)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pick_is_a_maximum_so_the_order_of_sources_does_not_matter() {
        let stale = 0x7ff0_0000_0000_0002;
        let bits = [stale, 0, 1 << 63, 0x7ff8 << 48, 0xfff8 << 48, 0x3ff0 << 48];
        let samples: Vec<(f64, i64)> = bits
            .iter()
            .flat_map(|&bits| [0, 7].map(|start| (f64::from_bits(bits), start)))
            .collect();
        let exact = |sample: (f64, i64)| (sample.0.to_bits(), sample.1);
        for &a in &samples {
            for &b in &samples {
                assert_eq!(exact(pick(a, b)), exact(pick(b, a)));
                for &c in &samples {
                    assert_eq!(exact(pick(pick(a, b), c)), exact(pick(a, pick(b, c))));
                }
            }
            assert_eq!(exact(pick((f64::from_bits(stale), -1), a)), exact(a));
        }
    }
}
