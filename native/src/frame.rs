//! The arrays of a frame on their way between Python and kernels (`rondel/model/frame.py`).

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::error::{Error, Result};
use crate::histogram::Histograms;

/// A frame that Python holds: `(offsets, timestamps_ms, values, starts_ms, histograms)`.
#[derive(FromPyObject)]
pub struct FrameArrays<'py>(
    pub PyReadonlyArray1<'py, i64>,
    pub PyReadonlyArray1<'py, i64>,
    pub PyReadonlyArray1<'py, f64>,
    pub Option<PyReadonlyArray1<'py, i64>>,
    pub Option<HistogramArrays<'py>>,
);

/// Its histogram samples: `(offsets, timestamps_ms, starts_ms, histograms)`.
#[derive(FromPyObject)]
pub struct HistogramArrays<'py>(
    pub PyReadonlyArray1<'py, i64>,
    pub PyReadonlyArray1<'py, i64>,
    pub Option<PyReadonlyArray1<'py, i64>>,
    pub Py<Histograms>,
);

/// A frame that a kernel made: samples of series `i` are `[offsets[i], offsets[i + 1])`.
#[derive(Debug, Default)]
pub struct Frame {
    pub offsets: Vec<i64>,
    pub timestamps_ms: Vec<i64>,
    pub values: Vec<f64>,
    /// As long as the samples, or empty where no sample has a start.
    pub starts_ms: Vec<i64>,
    pub histograms: Option<HistogramFrame>,
}

#[derive(Debug, Default)]
pub struct HistogramFrame {
    pub offsets: Vec<i64>,
    pub timestamps_ms: Vec<i64>,
    pub starts_ms: Vec<i64>,
    pub values: Histograms,
}

impl HistogramFrame {
    fn view(&self) -> HistogramFrameView<'_> {
        HistogramFrameView {
            offsets: &self.offsets,
            timestamps_ms: &self.timestamps_ms,
            starts_ms: &self.starts_ms,
            values: &self.values,
        }
    }
}

/// A frame that is borrowed and was checked: slicing by offsets cannot fail.
#[derive(Debug, Clone, Copy)]
pub struct FrameView<'a> {
    pub offsets: &'a [i64],
    pub timestamps_ms: &'a [i64],
    pub values: &'a [f64],
    /// As long as the samples, or empty.
    pub starts_ms: &'a [i64],
    pub histograms: Option<HistogramFrameView<'a>>,
}

#[derive(Debug, Clone, Copy)]
pub struct HistogramFrameView<'a> {
    pub offsets: &'a [i64],
    pub timestamps_ms: &'a [i64],
    pub starts_ms: &'a [i64],
    pub values: &'a Histograms,
}

impl FrameArrays<'_> {
    pub fn view(&self) -> PyResult<FrameView<'_>> {
        let view = FrameView {
            offsets: self.0.as_slice()?,
            timestamps_ms: self.1.as_slice()?,
            values: self.2.as_slice()?,
            starts_ms: match &self.3 {
                Some(starts_ms) => starts_ms.as_slice()?,
                None => &[],
            },
            histograms: match &self.4 {
                Some(histograms) => Some(histograms.view()?),
                None => None,
            },
        };
        check_columns(
            view.offsets,
            view.timestamps_ms,
            view.starts_ms,
            view.values.len(),
        )?;
        if let Some(histograms) = view.histograms
            && histograms.offsets.len() != view.offsets.len()
        {
            let (floats, others) = (view.offsets.len(), histograms.offsets.len());
            let message = format!("{others} offsets of histograms beside {floats} of floats");
            return Err(Error::invalid("frame-shape", message).into());
        }
        Ok(view)
    }
}

impl HistogramArrays<'_> {
    fn view(&self) -> PyResult<HistogramFrameView<'_>> {
        let view = HistogramFrameView {
            offsets: self.0.as_slice()?,
            timestamps_ms: self.1.as_slice()?,
            starts_ms: match &self.2 {
                Some(starts_ms) => starts_ms.as_slice()?,
                None => &[],
            },
            values: self.3.get(),
        };
        check_columns(
            view.offsets,
            view.timestamps_ms,
            view.starts_ms,
            view.values.len(),
        )?;
        Ok(view)
    }
}

fn check_columns(offsets: &[i64], times: &[i64], starts: &[i64], values: usize) -> Result<()> {
    let count = times.len();
    if values != count || (!starts.is_empty() && starts.len() != count) {
        let message = format!("{count} timestamps for {values} values");
        return Err(Error::invalid("frame-shape", message));
    }
    let ascending = offsets.windows(2).all(|pair| pair[0] <= pair[1]);
    let inside = match (offsets.first(), offsets.last()) {
        (Some(&first), Some(&last)) => first >= 0 && last as usize <= count,
        _ => false,
    };
    if !ascending || !inside {
        let message = format!("offsets do not ascend within {count} samples");
        return Err(Error::invalid("frame-shape", message));
    }
    Ok(())
}

type Integers<'py> = Bound<'py, PyArray1<i64>>;
type PyHistograms<'py> = (
    Integers<'py>,
    Integers<'py>,
    Option<Integers<'py>>,
    Histograms,
);

/// What Python gets of a frame.
pub type PyFrame<'py> = (
    Integers<'py>,
    Integers<'py>,
    Bound<'py, PyArray1<f64>>,
    Option<Integers<'py>>,
    Option<PyHistograms<'py>>,
);

impl Frame {
    pub fn view(&self) -> FrameView<'_> {
        FrameView {
            offsets: &self.offsets,
            timestamps_ms: &self.timestamps_ms,
            values: &self.values,
            starts_ms: &self.starts_ms,
            histograms: self.histograms.as_ref().map(HistogramFrame::view),
        }
    }

    pub fn into_python(self, py: Python<'_>) -> PyFrame<'_> {
        (
            self.offsets.into_pyarray(py),
            self.timestamps_ms.into_pyarray(py),
            self.values.into_pyarray(py),
            starts(py, self.starts_ms),
            self.histograms.map(|histograms| {
                (
                    histograms.offsets.into_pyarray(py),
                    histograms.timestamps_ms.into_pyarray(py),
                    starts(py, histograms.starts_ms),
                    histograms.values,
                )
            }),
        )
    }
}

fn starts(py: Python<'_>, starts_ms: Vec<i64>) -> Option<Integers<'_>> {
    (!starts_ms.is_empty()).then(|| starts_ms.into_pyarray(py))
}
