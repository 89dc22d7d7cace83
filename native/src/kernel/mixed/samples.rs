//! The samples of both kinds: floats and histograms, each with times of their own.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::histogram::{Histograms, View};
use crate::kernel::samples::{Samples, Scratch as Fresh, Series, is_stale};

/// Many series with samples of both kinds; checked once.
#[derive(Debug, Clone, Copy)]
pub struct MixedSamples<'a> {
    pub floats: Samples<'a>,
    /// None where no series has a histogram.
    pub histograms: Option<HistogramSamples<'a>>,
}

/// The histograms of many series, laid out as floats are.
#[derive(Debug, Clone, Copy)]
pub struct HistogramSamples<'a> {
    offsets: &'a [i64],
    timestamps_ms: &'a [i64],
    /// Empty where no sample has a start.
    starts_ms: &'a [i64],
    pub pool: &'a Histograms,
}

impl<'a> HistogramSamples<'a> {
    pub fn new(
        offsets: &'a [i64],
        timestamps_ms: &'a [i64],
        starts_ms: Option<&'a [i64]>,
        pool: &'a Histograms,
    ) -> Result<Self> {
        let count = timestamps_ms.len();
        let starts_ms = starts_ms.unwrap_or_default();
        let has_starts = starts_ms.len() == count || starts_ms.is_empty();
        if pool.len() != count || !has_starts {
            let message = format!(
                "{count} timestamps and {} starts for {} histograms",
                starts_ms.len(),
                pool.len()
            );
            return Err(Error::invalid("frame-shape", message));
        }
        let ascending = offsets.windows(2).all(|pair| pair[0] <= pair[1]);
        let inside = match (offsets.first(), offsets.last()) {
            (Some(&first), Some(&last)) => first >= 0 && last as usize <= count,
            _ => false,
        };
        if !ascending || !inside {
            let message = format!("offsets do not ascend within {count} histograms");
            return Err(Error::invalid("frame-shape", message));
        }
        Ok(Self {
            offsets,
            timestamps_ms,
            starts_ms,
            pool,
        })
    }

    /// Where the histograms of a series are in the pool.
    pub fn range(&self, row: usize) -> Range<usize> {
        self.offsets[row] as usize..self.offsets[row + 1] as usize
    }

    pub fn times(&self, row: usize) -> &'a [i64] {
        &self.timestamps_ms[self.range(row)]
    }
}

impl<'a> MixedSamples<'a> {
    pub fn new(floats: Samples<'a>, histograms: Option<HistogramSamples<'a>>) -> Result<Self> {
        let rows = histograms.map_or(floats.count(), |own| own.offsets.len() - 1);
        if rows != floats.count() {
            let message = format!("floats of {} series, histograms of {rows}", floats.count());
            return Err(Error::invalid("frame-shape", message));
        }
        Ok(Self { floats, histograms })
    }

    pub fn count(&self) -> usize {
        self.floats.count()
    }

    /// What a pass over the samples costs, in floats.
    pub fn work(&self) -> usize {
        let cells = self.histograms.map_or(0, |own| own.pool.cell_count());
        self.floats.sample_count() + cells
    }

    /// The series as functions of a window see it: each time once, no staleness markers. Of a float and a
    /// histogram at one time the histogram stays, unless it is a marker and the float is none.
    pub fn row<'b>(&self, row: usize, scratch: &'b mut Scratch) -> Row<'b>
    where
        'a: 'b,
    {
        let floats = self.floats.series(row);
        let Scratch { fresh, own: room } = scratch;
        let Some(own) = self.histograms.filter(|own| !own.range(row).is_empty()) else {
            return Row {
                floats: floats.fresh(fresh),
                histograms: None,
            };
        };
        room.take(own, row);
        let room = &*room;
        let floats = if room.hides_any(floats) {
            room.visible(floats, fresh)
        } else {
            floats.fresh(fresh)
        };
        Row {
            floats,
            histograms: Some(room.series(own.pool)),
        }
    }
}

/// Room for what one series has after its staleness markers are gone.
#[derive(Debug, Default)]
pub struct Scratch {
    fresh: Fresh,
    own: Room,
}

#[derive(Debug, Default)]
struct Room {
    times_ms: Vec<i64>,
    starts_ms: Vec<i64>,
    counts: Vec<f64>,
    at: Vec<usize>,
}

impl Room {
    fn take(&mut self, own: HistogramSamples<'_>, row: usize) {
        self.times_ms.clear();
        self.starts_ms.clear();
        self.counts.clear();
        self.at.clear();
        for at in own.range(row) {
            let view = own.pool.get(at);
            if !view.is_stale() {
                self.times_ms.push(own.timestamps_ms[at]);
                self.starts_ms.extend(own.starts_ms.get(at));
                self.counts.push(view.count());
                self.at.push(at);
            }
        }
    }

    fn series<'b>(&'b self, pool: &'b Histograms) -> HistogramSeries<'b> {
        HistogramSeries {
            counts: Series {
                timestamps_ms: &self.times_ms,
                values: &self.counts,
                starts_ms: &self.starts_ms,
            },
            at: &self.at,
            pool,
        }
    }

    /// Whether a float has the time of a histogram.
    fn hides_any(&self, floats: Series<'_>) -> bool {
        let mut own = Cursor::new(&self.times_ms);
        floats.timestamps_ms.iter().any(|&time| own.finds(time))
    }

    /// The floats that are no staleness markers and have times of their own.
    fn visible<'b>(&self, floats: Series<'_>, fresh: &'b mut Fresh) -> Series<'b> {
        let (timestamps_ms, values, starts_ms) = fresh;
        timestamps_ms.clear();
        values.clear();
        starts_ms.clear();
        let mut own = Cursor::new(&self.times_ms);
        for (at, (&time, &value)) in floats.timestamps_ms.iter().zip(floats.values).enumerate() {
            if !own.finds(time) && !is_stale(value) {
                timestamps_ms.push(time);
                values.push(value);
                starts_ms.extend(floats.starts_ms.get(at));
            }
        }
        Series {
            timestamps_ms,
            values,
            starts_ms,
        }
    }
}

/// Looks for ascending times in ascending times.
struct Cursor<'a> {
    times_ms: &'a [i64],
    next: usize,
}

impl<'a> Cursor<'a> {
    fn new(times_ms: &'a [i64]) -> Self {
        Self { times_ms, next: 0 }
    }

    fn finds(&mut self, time: i64) -> bool {
        while self.times_ms.get(self.next).is_some_and(|&own| own < time) {
            self.next += 1;
        }
        self.times_ms.get(self.next) == Some(&time)
    }
}

/// One series without staleness markers.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    pub floats: Series<'a>,
    pub histograms: Option<HistogramSeries<'a>>,
}

/// The histograms of one series.
#[derive(Debug, Clone, Copy)]
pub struct HistogramSeries<'a> {
    /// Their times and starts, with how much each has counted.
    pub counts: Series<'a>,
    /// Where each is in the pool.
    pub at: &'a [usize],
    pub pool: &'a Histograms,
}

impl<'a> HistogramSeries<'a> {
    #[inline]
    pub fn times_ms(&self) -> &'a [i64] {
        self.counts.timestamps_ms
    }

    #[inline]
    pub fn view(&self, index: usize) -> View<'a> {
        self.pool.get(self.at[index])
    }

    pub fn views(&self) -> impl Iterator<Item = View<'a>> + use<'a> {
        let Self { at, pool, .. } = *self;
        at.iter().map(|&at| pool.get(at))
    }

    /// The same histograms, where start timestamps are of no account.
    pub fn without_starts(&self) -> Self {
        let counts = Series {
            starts_ms: &[],
            ..self.counts
        };
        Self { counts, ..*self }
    }

    /// Whether all have the same buckets.
    pub fn is_uniform(&self) -> bool {
        let mut views = self.views();
        let first = views.next();
        first.is_none_or(|first| views.all(|view| view.is_laid_out_as(&first)))
    }
}
