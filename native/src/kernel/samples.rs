//! Borrowed views: the samples of many series, the steps of a query, the matrix that is written.

use std::ops::Range;

use crate::error::{Error, Result};

const STALE_BITS: u64 = 0x7ff0_0000_0000_0002;

/// The marker that says that a series ended here.
#[inline]
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_BITS
}

/// Many series as flat arrays; checked once, so that slicing by `offsets` cannot fail later.
#[derive(Debug, Clone, Copy)]
pub struct Samples<'a> {
    offsets: &'a [i64],
    timestamps_ms: &'a [i64],
    values: &'a [f64],
    /// Empty where no sample has a start.
    starts_ms: &'a [i64],
}

/// Samples of one series, strictly ascending in time.
#[derive(Debug, Clone, Copy)]
pub struct Series<'a> {
    pub timestamps_ms: &'a [i64],
    pub values: &'a [f64],
    /// Since when each sample counts (0: nobody said); empty where nobody asks or knows.
    pub starts_ms: &'a [i64],
}

/// Room for a series without its staleness markers.
pub type Scratch = (Vec<i64>, Vec<f64>, Vec<i64>);

impl<'a> Samples<'a> {
    pub fn new(offsets: &'a [i64], timestamps_ms: &'a [i64], values: &'a [f64]) -> Result<Self> {
        let count = timestamps_ms.len();
        if values.len() != count {
            let message = format!("{count} timestamps for {} values", values.len());
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
        Ok(Self {
            offsets,
            timestamps_ms,
            values,
            starts_ms: &[],
        })
    }

    /// The same samples with their start timestamps, where there are any.
    pub fn with_starts(self, starts_ms: Option<&'a [i64]>) -> Result<Self> {
        let Some(starts_ms) = starts_ms else {
            return Ok(self);
        };
        if starts_ms.len() != self.timestamps_ms.len() {
            let (starts, count) = (starts_ms.len(), self.timestamps_ms.len());
            let message = format!("{count} timestamps for {starts} start timestamps");
            return Err(Error::invalid("frame-shape", message));
        }
        Ok(Self { starts_ms, ..self })
    }

    pub fn count(&self) -> usize {
        self.offsets.len() - 1
    }

    pub fn sample_count(&self) -> usize {
        (self.offsets[self.count()] - self.offsets[0]) as usize
    }

    #[inline]
    pub fn series(&self, index: usize) -> Series<'a> {
        let range = self.offsets[index] as usize..self.offsets[index + 1] as usize;
        Series {
            timestamps_ms: &self.timestamps_ms[range.clone()],
            values: &self.values[range.clone()],
            starts_ms: self.starts_ms.get(range).unwrap_or_default(),
        }
    }
}

impl<'a> Series<'a> {
    /// The samples that a window at any of the steps can see. `hint` is where they were in the series
    /// before, which is where they are in most: series that are scraped together have the same times.
    pub fn within(self, steps: Steps, range_ms: i64, hint: &mut Range<usize>) -> Self {
        let last_ms = steps.at(steps.count.saturating_sub(1));
        let times = self.timestamps_ms;
        let from = point(times, hint.start, |time| {
            is_before(time, steps.start_ms, range_ms)
        });
        let until = point(times, hint.end, |time| time <= last_ms).max(from);
        *hint = from..until;
        Self {
            timestamps_ms: &times[from..until],
            values: &self.values[from..until],
            starts_ms: self.starts_ms.get(from..until).unwrap_or_default(),
        }
    }

    /// The interval of the samples, where it is the same between all of them.
    pub fn interval_ms(self) -> Option<i64> {
        let &[first_ms, second_ms, ..] = self.timestamps_ms else {
            return None;
        };
        let interval_ms = second_ms.checked_sub(first_ms)?;
        let pairs = self.timestamps_ms.iter().zip(&self.timestamps_ms[1..]);
        let odd = pairs.fold(false, |odd, (&before, &after)| {
            odd | (after.wrapping_sub(before) != interval_ms)
        });
        (!odd).then_some(interval_ms)
    }

    pub fn has_stale(self) -> bool {
        // Without an early end the search takes several values at once.
        let values = self.values.iter();
        values.fold(false, |found, &value| found | is_stale(value))
    }

    /// This series without staleness markers; copies into `scratch` only where there are any.
    pub fn fresh<'b>(self, scratch: &'b mut Scratch) -> Series<'b>
    where
        'a: 'b,
    {
        if !self.has_stale() {
            return self;
        }
        let (timestamps_ms, values, starts_ms) = scratch;
        timestamps_ms.clear();
        values.clear();
        starts_ms.clear();
        let kept = self.starts_ms.iter().zip(self.values);
        starts_ms.extend(
            kept.filter(|&(_, &value)| !is_stale(value))
                .map(|(start, _)| start),
        );
        for (&time, &value) in self.timestamps_ms.iter().zip(self.values) {
            if !is_stale(value) {
                timestamps_ms.push(time);
                values.push(value);
            }
        }
        Series {
            timestamps_ms,
            values,
            starts_ms,
        }
    }
}

/// Where the leading times that are `inside` end, looked for at `hint` first.
fn point(times: &[i64], hint: usize, inside: impl Fn(i64) -> bool) -> usize {
    let hint = hint.min(times.len());
    let fits = hint
        .checked_sub(1)
        .is_none_or(|before| inside(times[before]))
        && times.get(hint).is_none_or(|&time| !inside(time));
    if fits {
        return hint;
    }
    times.partition_point(|&time| inside(time))
}

/// The evaluation times of a query; times beyond int64 saturate.
#[derive(Debug, Clone, Copy)]
pub struct Steps {
    pub start_ms: i64,
    pub step_ms: i64,
    pub count: usize,
}

impl Steps {
    pub fn new(start_ms: i64, step_ms: i64, count: usize) -> Result<Self> {
        if step_ms < 0 {
            let message = format!("step of {step_ms} ms, want 0 or more");
            return Err(Error::invalid("step-negative", message));
        }
        Ok(Self {
            start_ms,
            step_ms,
            count,
        })
    }

    /// By how many samples a window moves from step to step over a series with one interval; None where
    /// it does not move by whole samples.
    pub fn stride(&self, series: Series<'_>) -> Option<usize> {
        let span_ms = self.step_ms.checked_mul(i64::try_from(self.count).ok()?)?;
        self.start_ms.checked_add(span_ms)?;
        if self.count < 2 || self.step_ms == 0 {
            return None;
        }
        let interval_ms = series.interval_ms()?;
        let moves = interval_ms > 0 && self.step_ms % interval_ms == 0;
        moves.then(|| (self.step_ms / interval_ms) as usize)
    }

    /// Some of the steps, as steps of their own.
    pub fn part(&self, part: Range<usize>) -> Self {
        Self {
            start_ms: self.at(part.start),
            step_ms: self.step_ms,
            count: part.len(),
        }
    }

    #[inline]
    pub fn at(&self, index: usize) -> i64 {
        self.start_ms
            .saturating_add(self.step_ms.saturating_mul(index as i64))
    }
}

/// A span of time that is open at its start.
pub fn span(name: &str, span_ms: i64) -> Result<i64> {
    if span_ms < 0 {
        let message = format!("{name} of {span_ms} ms, want 0 or more");
        return Err(Error::invalid("range-negative", message));
    }
    Ok(span_ms)
}

/// Whether `time` lies at or before the open start of the window of `span_ms` that ends at `end`.
#[inline]
pub fn is_before(time: i64, end: i64, span_ms: i64) -> bool {
    end.checked_sub(span_ms).is_some_and(|start| time <= start)
}

/// Seconds from one time to another, also where the difference leaves int64.
#[inline]
pub fn seconds(from_ms: i64, to_ms: i64) -> f64 {
    let distance = match to_ms.checked_sub(from_ms) {
        Some(distance) => distance as f64,
        None => to_ms as f64 - from_ms as f64,
    };
    distance / 1000.0
}
