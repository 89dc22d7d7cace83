//! Start timestamps: since when a counter counts, as its producer says. 0 says nothing.

use super::samples::{Samples, Series, Steps, is_before};

/// A sample's time and the time since which it counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stamp {
    pub start_ms: i64,
    pub time_ms: i64,
}

impl Stamp {
    /// Whether the start says anything at all: it is set, and before the sample.
    fn is_known(self) -> bool {
        self.start_ms != 0 && self.start_ms < self.time_ms
    }

    /// Whether the counter began anew after the sample `before`.
    ///
    /// A start that is exactly the time of the sample before is what deltas have, but also the second
    /// sample of a counter that nobody knows the start of: there the sample before has none either.
    #[inline]
    pub fn is_reset(self, before: Self) -> bool {
        if !self.is_known() || self.start_ms < before.time_ms {
            return false;
        }
        self.start_ms > before.time_ms || before.is_known()
    }

    /// Whether this sample claims time that the sample `before` has covered, under another start.
    #[inline]
    pub fn overlaps(self, before: Self) -> bool {
        self.start_ms != 0 && self.start_ms < before.time_ms && self.start_ms != before.start_ms
    }
}

impl Series<'_> {
    /// Indices of the samples before which the counter began anew, as far as starts tell.
    pub fn resets(self) -> impl Iterator<Item = usize> {
        self.stamped(|before, now| now.is_reset(before))
    }

    /// Indices of the samples that are `odd` against the one before, by their stamps; none where the
    /// series has no starts.
    fn stamped(self, odd: impl Fn(Stamp, Stamp) -> bool) -> impl Iterator<Item = usize> {
        let stamp = move |at: usize| Stamp {
            start_ms: self.starts_ms[at],
            time_ms: self.timestamps_ms[at],
        };
        (1..self.starts_ms.len()).filter(move |&at| odd(stamp(at - 1), stamp(at)))
    }
}

/// For each series, in how many of the windows `(t - range, t]` a sample overlaps the one before it.
/// Staleness markers are no samples.
pub fn overlaps(samples: &Samples<'_>, steps: Steps, range_ms: i64) -> Vec<i64> {
    let mut scratch = Default::default();
    let each = (0..samples.count()).map(|row| {
        let series = samples.series(row).fresh(&mut scratch);
        overlapping_windows(series, steps, range_ms)
    });
    each.collect()
}

fn overlapping_windows(series: Series<'_>, steps: Steps, range_ms: i64) -> i64 {
    let pairs: Vec<_> = series
        .stamped(|before, now| now.overlaps(before))
        .map(|at| (series.timestamps_ms[at - 1], series.timestamps_ms[at]))
        .collect();
    let mut from = 0;
    let mut count = 0;
    for step in 0..steps.count {
        let end_ms = steps.at(step);
        while from < pairs.len() && is_before(pairs[from].0, end_ms, range_ms) {
            from += 1;
        }
        count += i64::from(pairs.get(from).is_some_and(|pair| pair.1 <= end_ms));
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(start_ms: i64, time_ms: i64) -> Stamp {
        Stamp { start_ms, time_ms }
    }

    #[test]
    fn a_start_after_the_sample_before_is_a_reset() {
        assert!(stamp(1_001, 2_000).is_reset(stamp(0, 1_000)));
        assert!(!stamp(999, 2_000).is_reset(stamp(0, 1_000)));
        assert!(!stamp(0, 2_000).is_reset(stamp(0, 1_000)));
    }

    #[test]
    fn a_start_at_its_own_sample_or_later_says_nothing() {
        assert!(!stamp(2_000, 2_000).is_reset(stamp(500, 1_000)));
        assert!(!stamp(2_001, 2_000).is_reset(stamp(500, 1_000)));
    }

    #[test]
    fn a_start_at_the_sample_before_is_a_reset_where_that_had_a_start() {
        let delta = stamp(1_000, 2_000);
        assert!(delta.is_reset(stamp(500, 1_000)));
        assert!(!delta.is_reset(stamp(0, 1_000)));
        assert!(!delta.is_reset(stamp(1_000, 1_000)));
        assert!(!delta.is_reset(stamp(1_500, 1_000)));
    }

    #[test]
    fn only_another_start_before_the_sample_before_overlaps() {
        let before = stamp(500, 1_000);
        assert!(stamp(600, 2_000).overlaps(before));
        assert!(!stamp(500, 2_000).overlaps(before));
        assert!(!stamp(1_000, 2_000).overlaps(before));
        assert!(!stamp(0, 2_000).overlaps(before));
    }
}
