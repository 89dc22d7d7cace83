//! A frame as the samples of an answer.

use crate::error::{Error, Result};
use crate::frame::{FrameView, HistogramFrameView};
use crate::head::read::ascends;
use crate::rpc::seal::Sealed;
use crate::rpc::writer::{Column, FrameWriter, Kinds};

/// All of it; times that do not ascend within a series are refused.
pub fn encode(frame: &FrameView<'_>) -> Result<Sealed<2>> {
    encode_with(FrameWriter::default(), frame)
}

/// What the samples are compared by.
pub fn digest(frame: &FrameView<'_>) -> Result<Sealed<2>> {
    encode_with(FrameWriter::of_digests(), frame)
}

fn encode_with(mut writer: FrameWriter, frame: &FrameView<'_>) -> Result<Sealed<2>> {
    for row in 0..frame.offsets.len().saturating_sub(1) {
        let range = frame.offsets[row] as usize..frame.offsets[row + 1] as usize;
        let times = &frame.timestamps_ms[range.clone()];
        check(times)?;
        let values = frame.values[range.clone()].iter();
        writer.words(Column::Floats, times, values.map(|value| value.to_bits()));
        if let Some(starts) = frame.starts_ms.get(range) {
            writer.starts(Column::Starts, times, starts);
        }
        if let Some(own) = &frame.histograms {
            put_histograms(&mut writer, own, row)?;
        }
        writer.end_series();
    }
    let own = frame.histograms.as_ref();
    let kinds = Kinds {
        starts: !frame.starts_ms.is_empty(),
        histograms: own.is_some(),
        histogram_starts: own.is_some_and(|own| !own.starts_ms.is_empty()),
    };
    writer.finish(i64::MIN, i64::MAX, kinds)
}

fn put_histograms(
    writer: &mut FrameWriter,
    own: &HistogramFrameView<'_>,
    row: usize,
) -> Result<()> {
    let range = own.offsets[row] as usize..own.offsets[row + 1] as usize;
    let times = &own.timestamps_ms[range.clone()];
    check(times)?;
    writer.histograms(times, own.values, range.start);
    if let Some(starts) = own.starts_ms.get(range) {
        writer.starts(Column::HistogramStarts, times, starts);
    }
    Ok(())
}

fn check(times: &[i64]) -> Result<()> {
    match ascends(times) {
        true => Ok(()),
        false => {
            let message = "times of a series do not ascend";
            Err(Error::invalid("frame-shape", message))
        }
    }
}
