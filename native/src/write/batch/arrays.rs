//! A batch from arrays: what a self-scrape, a rule or a test writes.

use numpy::PyReadonlyArray1;
use pyo3::prelude::*;

use crate::error::{Error, Result};
use crate::frame::{FrameView, HistogramFrameView};
use crate::labels::LabelSets;
use crate::write::batch::{Exemplar, WriteBatch};

/// Exemplars that Python holds: `(offsets, timestamps_ms, values, labels)`, a set an exemplar.
#[derive(FromPyObject)]
pub struct ExemplarArrays<'py>(
    PyReadonlyArray1<'py, i64>,
    PyReadonlyArray1<'py, i64>,
    PyReadonlyArray1<'py, f64>,
    Py<LabelSets>,
);

/// The same, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct ExemplarView<'a> {
    pub offsets: &'a [i64],
    pub timestamps_ms: &'a [i64],
    pub values: &'a [f64],
    pub labels: &'a LabelSets,
}

impl ExemplarArrays<'_> {
    pub fn view(&self) -> PyResult<ExemplarView<'_>> {
        Ok(ExemplarView {
            offsets: self.0.as_slice()?,
            timestamps_ms: self.1.as_slice()?,
            values: self.2.as_slice()?,
            labels: self.3.get(),
        })
    }
}

/// The batch of a frame whose columns were checked against each other.
pub fn batch_of(
    labels: &LabelSets,
    frame: FrameView<'_>,
    exemplars: Option<ExemplarView<'_>>,
) -> Result<WriteBatch> {
    let series = labels.count();
    check_shape(series, frame.offsets, frame.timestamps_ms.len())?;
    if let Some(histograms) = frame.histograms {
        check_shape(series, histograms.offsets, histograms.timestamps_ms.len())?;
    }
    if let Some(exemplars) = exemplars {
        check_exemplars(series, exemplars)?;
    }
    let mut batch = WriteBatch::default();
    let mut scratch = Vec::new();
    for index in 0..series {
        push_floats(&mut batch, frame, index);
        if let Some(histograms) = frame.histograms {
            push_histograms(&mut batch, histograms, index);
        }
        if let Some(exemplars) = exemplars {
            push_exemplars(&mut batch, exemplars, index);
        }
        let pairs = labels.labels_of(index);
        let run =
            batch.encode_labels(pairs.map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        if batch.encoded.len() > u32::MAX as usize {
            return Err(misshapen("labels take more than 4 GiB"));
        }
        batch.end_series(labels.fingerprint_of(index, &mut scratch), run);
    }
    batch.finish();
    Ok(batch)
}

fn push_floats(batch: &mut WriteBatch, frame: FrameView<'_>, index: usize) {
    for at in frame.offsets[index] as usize..frame.offsets[index + 1] as usize {
        batch.push_sample(frame.timestamps_ms[at], frame.values[at]);
        if let Some(&start_ms) = frame.starts_ms.get(at) {
            batch.start_sample(start_ms);
        }
    }
}

fn push_histograms(batch: &mut WriteBatch, frame: HistogramFrameView<'_>, index: usize) {
    for at in frame.offsets[index] as usize..frame.offsets[index + 1] as usize {
        let start_ms = frame.starts_ms.get(at).copied().unwrap_or(0);
        batch.push_histogram(frame.timestamps_ms[at], start_ms, frame.values.get(at));
    }
}

fn push_exemplars(batch: &mut WriteBatch, exemplars: ExemplarView<'_>, index: usize) {
    for at in exemplars.offsets[index] as usize..exemplars.offsets[index + 1] as usize {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        batch.push_exemplar(Exemplar {
            time_ms: exemplars.timestamps_ms[at],
            value: exemplars.values[at],
            labels: exemplars.labels.labels_of(at).map(owned).collect(),
        });
    }
}

fn check_exemplars(series: usize, exemplars: ExemplarView<'_>) -> Result<()> {
    let count = exemplars.timestamps_ms.len();
    if exemplars.values.len() != count || exemplars.labels.count() != count {
        return Err(misshapen(format!(
            "{count} timestamps of exemplars with {} values and {} label sets",
            exemplars.values.len(),
            exemplars.labels.count()
        )));
    }
    check_shape(series, exemplars.offsets, count)
}

fn check_shape(series: usize, offsets: &[i64], rows: usize) -> Result<()> {
    if offsets.len() != series + 1 || rows > u32::MAX as usize {
        return Err(misshapen(format!(
            "{series} series with {} offsets and {rows} timestamps",
            offsets.len()
        )));
    }
    let whole = offsets[0] == 0 && offsets[series] as usize == rows;
    if !whole || !offsets.is_sorted() {
        return Err(misshapen("offsets must ascend from 0 to the samples"));
    }
    Ok(())
}

fn misshapen(message: impl Into<String>) -> Error {
    Error::invalid("batch-misshapen", message)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::histogram::{Hint, Histograms, Layout, View};
    use crate::labels::LabelSetsBuilder;

    fn labels(sets: &[&[(&str, &str)]]) -> LabelSets {
        let mut builder = LabelSetsBuilder::default();
        for set in sets {
            for (name, value) in *set {
                builder.label(name, value);
            }
            builder.end_set();
        }
        builder.build()
    }

    fn floats<'a>(offsets: &'a [i64], times: &'a [i64], values: &'a [f64]) -> FrameView<'a> {
        FrameView {
            offsets,
            timestamps_ms: times,
            values,
            starts_ms: &[],
            histograms: None,
        }
    }

    #[test]
    fn labels_of_any_length_come_back() {
        let long = "v".repeat(20_000);
        let pairs: &[(&str, &str)] = &[("__name__", "up"), ("a", &long), ("b", "ü")];
        let batch = batch_of(&labels(&[pairs]), floats(&[0, 1], &[7], &[1.0]), None);
        let batch = batch.expect("well shaped");
        let mut out = Vec::new();
        batch.labels(0, &mut out);
        assert_eq!(out, pairs);
        let mut scratch = Vec::new();
        let print = crate::fingerprint::fingerprint(pairs.iter().copied(), &mut scratch);
        assert_eq!(batch.fingerprint(0), print);
    }

    #[test]
    fn samples_of_a_series_are_sorted_by_time_and_stable() {
        let sets = labels(&[&[("__name__", "a")], &[("__name__", "b")]]);
        let starts_ms: &[i64] = &[0, 1, 2, 3, 4];
        let frame = FrameView {
            starts_ms,
            ..floats(
                &[0, 1, 5],
                &[9, 4, 3, 4, i64::MIN],
                &[0.0, 1.0, 2.0, 3.0, 4.0],
            )
        };
        let batch = batch_of(&sets, frame, None).expect("well shaped");
        assert_eq!(batch.samples(0), (&[9][..], &[0.0][..]));
        let sorted: &[i64] = &[i64::MIN, 3, 4, 4];
        assert_eq!(batch.samples(1), (sorted, &[4.0, 2.0, 1.0, 3.0][..]));
        assert_eq!(batch.starts(0), [0]);
        assert_eq!(batch.starts(1), [4, 2, 1, 3]);
    }

    #[test]
    fn histograms_and_exemplars_of_a_series_are_sorted_by_time() {
        let mut values = Histograms::default();
        let layout = Arc::new(Layout::default());
        for count in 0..3 {
            let cells = [f64::from(count), 0.0, f64::from(count)];
            let hint = Hint::Unknown;
            values.push(View {
                layout: &layout,
                hint,
                cells: &cells,
            });
        }
        let frame = FrameView {
            histograms: Some(HistogramFrameView {
                offsets: &[0, 0, 3],
                timestamps_ms: &[5, 3, 4],
                starts_ms: &[50, 30, 40],
                values: &values,
            }),
            ..floats(&[0, 0, 0], &[], &[])
        };
        let traces = labels(&[&[("trace_id", "late")], &[("trace_id", "early")]]);
        let exemplars = ExemplarView {
            offsets: &[0, 2, 2],
            timestamps_ms: &[2, 1],
            values: &[0.5, 0.25],
            labels: &traces,
        };
        let sets = labels(&[&[("__name__", "a")], &[("__name__", "b")]]);
        let batch = batch_of(&sets, frame, Some(exemplars)).expect("well shaped");
        assert!(batch.histograms(0).0.is_empty());
        assert_eq!(batch.histograms(1), (&[3, 4, 5][..], &[30, 40, 50][..], 0));
        let counts: Vec<f64> = batch
            .histogram_values()
            .iter()
            .map(|view| view.count())
            .collect();
        assert_eq!(counts, [1.0, 2.0, 0.0]);
        let trace = |at: usize| batch.exemplars(0)[at].labels[0].1.as_str();
        assert_eq!((trace(0), trace(1)), ("early", "late"));
        assert!(batch.exemplars(1).is_empty());
        assert!(batch.starts(1).is_empty());
    }

    #[test]
    fn arrays_that_do_not_fit_are_refused() {
        let sets = labels(&[&[("__name__", "a")]]);
        for offsets in [&[0i64, 2][..], &[0], &[1, 1], &[-1, 1], &[0, 0]] {
            assert!(batch_of(&sets, floats(offsets, &[1], &[1.0]), None).is_err());
        }
        let exemplars = ExemplarView {
            offsets: &[0, 1],
            timestamps_ms: &[1],
            values: &[],
            labels: &sets,
        };
        assert!(batch_of(&sets, floats(&[0, 1], &[1], &[1.0]), Some(exemplars)).is_err());
    }
}
