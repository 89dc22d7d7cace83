//! Mixed samples as Python sees them: the arrays of a frame in, floats and histograms out.

use numpy::ndarray::Array2;
use numpy::{
    IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods,
};
use pyo3::prelude::*;

use super::aggregate::{Batch, HistogramAggregation};
use super::answer::Answer;
use super::extended::{self, Extension};
use super::instant;
use super::samples::{HistogramSamples, MixedSamples};
use super::window::{self, MixedWindows};
use crate::error::Error;
use crate::histogram::{Histograms, Notes};
use crate::kernel::python::{Arrays, StepArgs, arrays, steps_of};
use crate::kernel::reduce::{Presence, Values, cells};
use crate::kernel::samples::{Samples, span};

type Times<'py> = PyReadonlyArray1<'py, i64>;
type Index<'py> = Bound<'py, PyArray2<i64>>;
type HistogramArrays<'py> = (Times<'py>, Times<'py>, Option<Times<'py>>, Py<Histograms>);
/// `FrameArrays` of `_native.pyi`.
type FrameArrays<'py> = (
    Times<'py>,
    Times<'py>,
    PyReadonlyArray1<'py, f64>,
    Option<Times<'py>>,
    Option<HistogramArrays<'py>>,
);

fn samples<'a>(frame: &'a FrameArrays<'_>) -> PyResult<MixedSamples<'a>> {
    let (offsets, timestamps_ms, values, starts_ms, own) = frame;
    let floats = Samples::new(
        offsets.as_slice()?,
        timestamps_ms.as_slice()?,
        values.as_slice()?,
    )?;
    let floats = floats.with_starts(slice(starts_ms)?)?;
    let own = match own {
        Some((offsets, timestamps_ms, starts_ms, pool)) => Some(HistogramSamples::new(
            offsets.as_slice()?,
            timestamps_ms.as_slice()?,
            slice(starts_ms)?,
            pool.get(),
        )?),
        None => None,
    };
    Ok(MixedSamples::new(floats, own)?)
}

fn slice<'a>(array: &'a Option<Times<'_>>) -> PyResult<Option<&'a [i64]>> {
    Ok(array.as_ref().map(PyReadonlyArray1::as_slice).transpose()?)
}

fn matrix<T: numpy::Element>(
    py: Python<'_>,
    cells: Vec<T>,
    rows: usize,
    width: usize,
) -> PyResult<Bound<'_, PyArray2<T>>> {
    let shape = (rows, width);
    let array = Array2::from_shape_vec(shape, cells)
        .map_err(|cause| Error::invalid("matrix-shape", format!("{shape:?}: {cause}")))?;
    Ok(array.into_pyarray(py))
}

fn bits(py: Python<'_>, notes: Vec<Notes>) -> Bound<'_, PyArray1<u32>> {
    let bits: Vec<u32> = notes.into_iter().map(|notes| notes.0).collect();
    bits.into_pyarray(py)
}

type InstantArrays<'py> = (
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray2<bool>>,
    Index<'py>,
    Bound<'py, PyArray2<f64>>,
);

#[pyfunction]
fn instant_mixed<'py>(
    py: Python<'py>,
    frame: FrameArrays<'py>,
    steps: StepArgs,
    lookback_ms: i64,
) -> PyResult<InstantArrays<'py>> {
    let samples = samples(&frame)?;
    let steps = steps_of(steps)?;
    let lookback_ms = span("lookback", lookback_ms)?;
    let picked = py.detach(|| instant::select(&samples, steps, lookback_ms))?;
    let (rows, width) = (picked.matrix.rows, picked.matrix.width);
    let (values, present): Arrays<'_> = arrays(py, picked.matrix)?;
    let index = matrix(py, picked.index, rows, width)?;
    let times_s = matrix(py, picked.times_s, rows, width)?;
    Ok((values, present, index, times_s))
}

type WindowArrays<'py> = (
    Bound<'py, PyArray2<f64>>,
    Bound<'py, PyArray2<bool>>,
    Index<'py>,
    Py<Histograms>,
    Bound<'py, PyArray1<u32>>,
);

#[pyfunction]
fn window_mixed<'py>(
    py: Python<'py>,
    function: &str,
    frame: FrameArrays<'py>,
    steps: StepArgs,
    range_ms: i64,
    args: Vec<PyReadonlyArray1<'py, f64>>,
) -> PyResult<WindowArrays<'py>> {
    let windows = MixedWindows {
        samples: samples(&frame)?,
        steps: steps_of(steps)?,
        range_ms: span("range", range_ms)?,
    };
    let args = args
        .iter()
        .map(PyReadonlyArray1::as_slice)
        .collect::<std::result::Result<Vec<_>, _>>()?;
    let found = py.detach(|| window::apply(function, windows, &args))?;
    let given = frame.4.as_ref().map(|own| own.3.clone_ref(py));
    let given = given.filter(|_| window::is_choice(function));
    let (values, present, index, pool, notes) = answer(py, found)?;
    Ok((values, present, index, given.unwrap_or(pool), notes))
}

fn answer<'py>(py: Python<'py>, answer: Answer) -> PyResult<WindowArrays<'py>> {
    let (rows, width) = (answer.matrix.rows, answer.matrix.width);
    let (values, present) = arrays(py, answer.matrix)?;
    let index = matrix(py, answer.index, rows, width)?;
    let pool = Py::new(py, answer.pool)?;
    Ok((values, present, index, pool, bits(py, answer.notes)))
}

#[pyfunction]
#[expect(
    clippy::too_many_arguments,
    reason = "the frame and the steps, spelled out"
)]
fn extended_mixed<'py>(
    py: Python<'py>,
    function: &str,
    smoothed: bool,
    frame: FrameArrays<'py>,
    steps: StepArgs,
    range_ms: i64,
    lookback_ms: i64,
    values: Values<'py>,
    present: Presence<'py>,
) -> PyResult<WindowArrays<'py>> {
    let samples = samples(&frame)?;
    let steps = steps_of(steps)?;
    let extension = Extension {
        smoothed,
        range_ms: span("range", range_ms)?,
        lookback_ms: span("lookback", lookback_ms)?,
    };
    let floats = cells(&values, &present)?;
    let found = py.detach(|| extended::windows(function, &samples, steps, extension, &floats))?;
    answer(py, found)
}

#[pyfunction]
fn smoothed_mixed<'py>(
    py: Python<'py>,
    frame: FrameArrays<'py>,
    steps: StepArgs,
    lookback_ms: i64,
    values: Values<'py>,
    present: Presence<'py>,
) -> PyResult<WindowArrays<'py>> {
    let samples = samples(&frame)?;
    let steps = steps_of(steps)?;
    let lookback_ms = span("lookback", lookback_ms)?;
    let floats = cells(&values, &present)?;
    let found = py.detach(|| extended::instant(&samples, steps, lookback_ms, &floats))?;
    answer(py, found)
}

type GroupArrays<'py> = (Index<'py>, Py<Histograms>, Bound<'py, PyArray1<u32>>);

/// See `HistogramAggregation`.
#[pyclass(module = "rondel._native")]
struct HistogramAggregator {
    aggregation: HistogramAggregation,
    groups: usize,
    steps: usize,
}

#[pymethods]
impl HistogramAggregator {
    #[new]
    fn new(operator: &str, groups: usize, steps: usize) -> PyResult<Self> {
        let aggregation = HistogramAggregation::new(operator, groups, steps)?;
        Ok(Self {
            aggregation,
            groups,
            steps,
        })
    }

    #[getter]
    fn size_bytes(&self) -> usize {
        self.aggregation.size_bytes()
    }

    fn add(
        &mut self,
        py: Python<'_>,
        group_of: PyReadonlyArray1<'_, i32>,
        index: PyReadonlyArray2<'_, i64>,
        pool: Py<Histograms>,
    ) -> PyResult<()> {
        let batch = Batch {
            group_of: group_of.as_slice()?,
            index: index.as_slice()?,
            width: index.shape()[1],
            pool: pool.get(),
        };
        Ok(py.detach(|| self.aggregation.add(&batch))?)
    }

    fn finish<'py>(&mut self, py: Python<'py>) -> PyResult<GroupArrays<'py>> {
        let sums = py.detach(|| self.aggregation.finish())?;
        let index = matrix(py, sums.index, self.groups, self.steps)?;
        Ok((index, Py::new(py, sums.pool)?, bits(py, sums.notes)))
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<HistogramAggregator>()?;
    module.add_function(wrap_pyfunction!(extended_mixed, module)?)?;
    module.add_function(wrap_pyfunction!(instant_mixed, module)?)?;
    module.add_function(wrap_pyfunction!(smoothed_mixed, module)?)?;
    module.add_function(wrap_pyfunction!(window_mixed, module)?)?;
    Ok(())
}
