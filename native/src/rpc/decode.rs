//! The samples of an answer as a frame, cut to the range that was asked for.

use std::sync::Arc;

use crate::block::bytes::Cursor;
use crate::block::layouts;
use crate::error::Result;
use crate::frame::{Frame, HistogramFrame};
use crate::head::histograms;
use crate::head::read::{Window, Words, ascends};
use crate::head::step::SAMPLES_MAX;
use crate::histogram::{Layout, View};
use crate::rpc::replicas::Digests;
use crate::rpc::seal::{SAMPLES, open};
use crate::rpc::writer::{BUCKETS_MAX, Column, FrameWriter, Kinds, SAMPLES_A_BYTE};

/// More cells of histograms in one answer are damage.
const CELLS_MAX: usize = 1 << 28;

/// The frame, of exactly so many series.
pub fn decode(data: &[u8], series: usize) -> Result<Frame> {
    Ok(decode_with(data, series, None)?.frame)
}

/// Samples, and what they are compared by.
#[derive(Debug)]
pub struct Decoded {
    pub frame: Frame,
    pub digests: Digests,
}

/// The frame with the digests of its series, as whoever sent it would have told them.
pub fn decode_digested(data: &[u8], series: usize) -> Result<Decoded> {
    decode_with(data, series, Some(FrameWriter::of_digests()))
}

fn decode_with(data: &[u8], series: usize, digester: Option<FrameWriter>) -> Result<Decoded> {
    let mut cursor = open(data, SAMPLES)?;
    let window = Window {
        mint_ms: cursor.signed()?,
        maxt_ms: cursor.signed()?,
        arena: None,
    };
    let kinds = Kinds::of(cursor.u8()?);
    let most = cursor.remaining().saturating_mul(SAMPLES_A_BYTE);
    let samples = cursor.bounded(most, "samples")?;
    let count = cursor.bounded(cursor.remaining(), "series")?;
    if count != series {
        return Err(cursor.corrupt(format!("{count} series, {series} were asked for")));
    }
    let mut reader = Reader::new(cursor, window, samples);
    reader.digester = digester;
    for _ in 0..count {
        reader.take_series()?;
    }
    reader.cursor.finish()?;
    let digester = reader.digester.take();
    let digests = Digests {
        window: (window.mint_ms, window.maxt_ms),
        of: digester.map(FrameWriter::into_digests).unwrap_or_default(),
    };
    let frame = reader.into_frame(kinds);
    Ok(Decoded { frame, digests })
}

/// What is being read.
struct Reader<'a> {
    cursor: Cursor<'a>,
    window: Window,
    /// Of the chunk before.
    first_ms: i64,
    floats: Words,
    offsets: Vec<i64>,
    starts: Vec<i64>,
    /// Starts of one column of one series.
    shadow: Words,
    histograms: HistogramFrame,
    layouts: Vec<Arc<Layout>>,
    buckets_left: usize,
    cells_left: usize,
    cells: Vec<f64>,
    times: Vec<i64>,
    /// Hears of every chunk, where digests are wanted.
    digester: Option<FrameWriter>,
}

impl<'a> Reader<'a> {
    fn new(cursor: Cursor<'a>, window: Window, samples: usize) -> Self {
        let mut floats = Words::default();
        floats.times.reserve_exact(samples);
        floats.values.reserve_exact(samples);
        Self {
            cursor,
            window,
            first_ms: 0,
            floats,
            offsets: vec![0],
            starts: Vec::new(),
            shadow: Words::default(),
            histograms: HistogramFrame {
                offsets: vec![0],
                ..HistogramFrame::default()
            },
            layouts: Vec::new(),
            buckets_left: BUCKETS_MAX,
            cells_left: CELLS_MAX,
            cells: Vec::new(),
            times: Vec::new(),
            digester: None,
        }
    }

    /// Takes the chunks of one series.
    fn take_series(&mut self) -> Result<()> {
        let floats = self.floats.times.len();
        let histograms = self.histograms.timestamps_ms.len();
        let mut column = Column::Floats;
        let mut last_ms = None;
        loop {
            let head = self.cursor.varint()?;
            if head == 0 {
                break;
            }
            let next = Column::of(head);
            if next < column {
                return Err(self.cursor.corrupt("columns of a series are not in order"));
            }
            if next > column {
                self.put_starts(column, floats, histograms);
                (column, last_ms) = (next, None);
            }
            last_ms = Some(self.take_chunk(column, head >> 2, last_ms)?);
        }
        self.put_starts(column, floats, histograms);
        self.offsets.push(self.floats.times.len() as i64);
        let end = self.histograms.timestamps_ms.len() as i64;
        self.histograms.offsets.push(end);
        if let Some(digester) = &mut self.digester {
            digester.end_series();
        }
        Ok(())
    }

    /// Takes a chunk, and returns the time of its last sample.
    fn take_chunk(&mut self, column: Column, count: u64, last_ms: Option<i64>) -> Result<i64> {
        if count == 0 || count > SAMPLES_MAX as u64 {
            let message = format!("a chunk of {count} samples");
            return Err(self.cursor.corrupt(message));
        }
        let count = count as usize;
        let first_ms = self.first_ms.wrapping_add(self.cursor.signed()?);
        self.first_ms = first_ms;
        if last_ms.is_some_and(|last_ms| last_ms >= first_ms) {
            return Err(self.cursor.corrupt("chunks of a series overlap"));
        }
        if column == Column::Histograms {
            return self.take_histograms(count, first_ms);
        }
        let size = match count {
            1 => 8,
            _ => self
                .cursor
                .bounded(self.cursor.remaining(), "size of a chunk")?,
        };
        let bytes = self.cursor.take(size)?;
        if let Some(digester) = &mut self.digester {
            digester.chunk(column, count, first_ms, bytes);
        }
        let words = match column {
            Column::Floats => &mut self.floats,
            _ => &mut self.shadow,
        };
        let last_ms = words.take(bytes, count, first_ms, &self.window);
        last_ms.ok_or_else(|| self.cursor.corrupt("a chunk is damaged"))
    }

    fn take_histograms(&mut self, count: usize, first_ms: i64) -> Result<i64> {
        let layout = self.take_layout()?;
        let cells = count * layout.cell_count();
        let Some(left) = self.cells_left.checked_sub(cells) else {
            let message = format!("histograms of more than {CELLS_MAX} cells");
            return Err(self.cursor.corrupt(message));
        };
        self.cells_left = left;
        let size = self
            .cursor
            .bounded(self.cursor.remaining(), "size of a chunk")?;
        let bytes = self.cursor.take(size)?;
        if let Some(digester) = &mut self.digester {
            digester.histogram_chunk(&layout, count, first_ms, bytes);
        }
        self.cells.clear();
        self.cells.resize(layout.cell_count(), 0.0);
        self.times.clear();
        let (window, found, times) = (&self.window, &mut self.histograms, &mut self.times);
        let used = histograms::decode(
            bytes,
            count,
            first_ms,
            &mut self.cells,
            |time_ms, hint, cells| {
                times.push(time_ms);
                if window.overlaps(time_ms, time_ms) {
                    found.timestamps_ms.push(time_ms);
                    found.values.push(View {
                        layout: &layout,
                        hint,
                        cells,
                    });
                }
            },
        )?;
        match (times.first(), times.last()) {
            (Some(&first), Some(&last_ms))
                if used == size && first == first_ms && ascends(times) =>
            {
                Ok(last_ms)
            }
            _ => Err(self.cursor.corrupt("a chunk of histograms is damaged")),
        }
    }

    fn take_layout(&mut self) -> Result<Arc<Layout>> {
        let number = self
            .cursor
            .bounded(self.layouts.len(), "number of a layout")?;
        if number == self.layouts.len() {
            let layout = layouts::take(&mut self.cursor, &mut self.buckets_left, 0)?;
            self.layouts.push(Arc::new(layout));
        }
        Ok(Arc::clone(&self.layouts[number]))
    }

    /// Puts the starts that were read to the samples of the series, which begin at these rows.
    fn put_starts(&mut self, column: Column, floats: usize, histograms: usize) {
        match column {
            Column::Starts => {
                let times = &self.floats.times[floats..];
                self.shadow.put_starts(times, floats, &mut self.starts);
            }
            Column::HistogramStarts => {
                let own = &mut self.histograms;
                let times = &own.timestamps_ms[histograms..];
                self.shadow
                    .put_starts(times, histograms, &mut own.starts_ms);
            }
            _ => return,
        }
        self.shadow.times.clear();
        self.shadow.values.clear();
    }

    fn into_frame(mut self, kinds: Kinds) -> Frame {
        let samples = self.floats.times.len();
        if kinds.starts || !self.starts.is_empty() {
            self.starts.resize(samples, 0);
        }
        let mut own = self.histograms;
        let count = own.timestamps_ms.len();
        if kinds.histogram_starts || !own.starts_ms.is_empty() {
            own.starts_ms.resize(count, 0);
        }
        Frame {
            offsets: self.offsets,
            timestamps_ms: self.floats.times,
            values: self.floats.values,
            starts_ms: self.starts,
            histograms: (kinds.histograms || count > 0).then_some(own),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{FrameView, HistogramFrameView};
    use crate::histogram::{Hint, Histograms};
    use crate::rpc::encode::encode;
    use crate::rpc::seal::resealed;

    const TIMES: [i64; 6] = [i64::MIN, -5, 7, 1 << 40, (1 << 40) + 1, i64::MAX];

    fn histograms() -> Histograms {
        let layout = |positive: Vec<i32>| {
            Arc::new(Layout {
                positive,
                ..Layout::default()
            })
        };
        let mut all = Histograms::default();
        for (index, layout) in [layout(vec![0, 1]), layout(vec![-7])].iter().enumerate() {
            for count in 0..3 {
                let mut cells = vec![f64::from(count) * 1.5; layout.cell_count()];
                cells[0] = index as f64;
                all.push(View {
                    layout,
                    hint: Hint::Gauge,
                    cells: &cells,
                });
            }
        }
        all
    }

    fn answer() -> Vec<u8> {
        let values = [1.0, 2.0, f64::NAN, 4.0, 4.0, -0.0];
        let starts = [0, 3, 3, 0, i64::MIN, 9];
        let own = histograms();
        let frame = FrameView {
            offsets: &[0, 2, 2, 6],
            timestamps_ms: &TIMES,
            values: &values,
            starts_ms: &starts,
            histograms: Some(HistogramFrameView {
                offsets: &[0, 0, 6, 6],
                timestamps_ms: &TIMES,
                starts_ms: &starts,
                values: &own,
            }),
        };
        encode(&frame).expect("a frame").bytes()
    }

    #[test]
    fn times_of_any_distance_come_back() -> Result<()> {
        let frame = decode(&answer(), 3)?;
        assert_eq!(frame.offsets, [0, 2, 2, 6]);
        assert_eq!(frame.timestamps_ms, TIMES);
        assert_eq!(frame.starts_ms, [0, 3, 3, 0, i64::MIN, 9]);
        let own = frame.histograms.expect("histograms");
        assert_eq!(own.offsets, [0, 0, 6, 6]);
        assert_eq!(own.timestamps_ms, TIMES);
        assert_eq!(own.starts_ms, frame.starts_ms);
        assert!((0..6).all(|at| own.values.get(at).equals(histograms().get(at))));
        assert!(decode(&answer(), 2).is_err());
        Ok(())
    }

    /// What an answer may be after damage that the checksum does not see.
    fn check(payload: &[u8]) -> bool {
        let Ok(frame) = decode(&resealed(SAMPLES, payload), 3) else {
            return false;
        };
        let ends = |offsets: &[i64], times: &[i64]| {
            assert_eq!(offsets.len(), 4);
            assert_eq!(offsets[3], times.len() as i64);
            let rows = offsets.windows(2);
            rows.for_each(|row| assert!(ascends(&times[row[0] as usize..row[1] as usize])));
        };
        assert_eq!(frame.values.len(), frame.timestamps_ms.len());
        ends(&frame.offsets, &frame.timestamps_ms);
        if let Some(own) = &frame.histograms {
            assert_eq!(own.values.len(), own.timestamps_ms.len());
            ends(&own.offsets, &own.timestamps_ms);
        }
        true
    }

    #[test]
    fn what_is_damaged_is_refused_or_is_a_frame() {
        let answer = answer();
        let payload = &answer[5..];
        assert!(check(payload));
        for at in 0..payload.len() {
            assert!(!check(&payload[..at]));
            for value in 0..=u8::MAX {
                let mut other = payload.to_vec();
                other[at] = value;
                check(&other);
            }
        }
        assert!(!check(&[payload, &[0]].concat()));
    }

    #[test]
    fn a_few_bytes_cannot_ask_for_much_memory() {
        let huge = Arc::new(Layout {
            positive: (0..1 << 21).collect(),
            ..Layout::default()
        });
        let mut writer = FrameWriter::default();
        for series in 0..200 {
            writer.histogram_chunk(&huge, 240, series, &[0; 240]);
            writer.end_series();
        }
        let sealed = writer.finish(0, 0, Kinds::default()).expect("an answer");
        assert!(decode(&sealed.bytes(), 200).is_err());
        let mut samples = vec![0, 0, 0];
        crate::block::bytes::put_varint(&mut samples, 1 << 50);
        samples.push(0);
        assert!(decode(&resealed(SAMPLES, &samples), 0).is_err());
    }
}
