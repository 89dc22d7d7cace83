//! `rate`, `increase`, `delta`: the change over a window, extrapolated to its ends; `irate`, `idelta`:
//! the change between its last two samples.

use super::samples::{Series, is_before, seconds};
use super::starts::Stamp;
use super::window::{Function, Window};

/// How much further than the average gap a window's end may lie from the nearest sample for the
/// change still to be taken as reaching to that end.
const GAP_FACTOR: f64 = 1.1;

/// What `Extrapolated` computes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// Change of a gauge.
    Delta,
    /// Growth of a counter.
    Increase,
    /// Growth of a counter a second.
    Rate,
}

/// The counter resets of a series are found once, so a window costs the resets in it, not its samples;
/// and where samples come at one interval, all windows lie alike over them, so how far the change
/// reaches is computed once, too.
#[derive(Debug)]
pub struct Extrapolated {
    change: Change,
    range_s: f64,
    /// Indices of samples that are below their predecessor, or whose start says that they began anew.
    resets: Vec<usize>,
    /// The first of `resets` that a window may still contain.
    next_reset: usize,
    reach: Reach,
}

impl Extrapolated {
    pub fn new(change: Change, range_ms: i64) -> Self {
        Self {
            change,
            range_s: range_ms as f64 / 1000.0,
            resets: Vec::new(),
            next_reset: 0,
            reach: Reach::default(),
        }
    }

    /// What the counter lost at the resets between the first and the last sample of the window.
    #[inline]
    fn plus_lost(&mut self, window: Window<'_>, mut growth: f64) -> f64 {
        if self.next_reset == self.resets.len() {
            return growth;
        }
        while self
            .resets
            .get(self.next_reset)
            .is_some_and(|&at| at <= window.from)
        {
            self.next_reset += 1;
        }
        for &at in &self.resets[self.next_reset..] {
            if at >= window.until {
                break;
            }
            growth += window.series.values[at - 1];
        }
        growth
    }

    /// Finds how far the change reaches, where the window does not lie as the one before did.
    #[inline]
    fn look(&mut self, window: Window<'_>) {
        let times = window.timestamps_ms();
        let last = times.len() - 1;
        let lie = Lie {
            until_first_ms: times[0].wrapping_sub(window.end_ms),
            until_last_ms: times[last].wrapping_sub(window.end_ms),
            gaps: last,
        };
        if self.reach.lie != lie {
            self.reach = Reach::new(lie, window.range_ms, self.change);
            self.reach.scaled = self.scale(self.reach.factor(self.reach.to_start));
        }
    }

    /// The start of the first sample, where it lies in the window: there the counter was zero.
    #[inline]
    pub fn start_inside(&self, window: Window<'_>) -> Option<i64> {
        let start_ms = *window.starts_ms().first()?;
        let is_inside = self.change != Change::Delta
            && start_ms != 0
            && start_ms < window.timestamps_ms()[0]
            && !is_before(start_ms, window.end_ms, window.range_ms);
        is_inside.then_some(start_ms)
    }

    /// The growth from zero at `start_ms` to the last sample, extrapolated to the end of the window alone.
    fn since(&mut self, start_ms: i64, window: Window<'_>) -> f64 {
        let values = window.values();
        let growth = values[values.len() - 1] - values[0];
        let growth = self.plus_lost(window, growth) + values[0];
        growth * self.factor_since(start_ms, window)
    }

    /// What a change since `start_ms` is multiplied with to cover the window.
    pub fn factor_since(&self, start_ms: i64, window: Window<'_>) -> f64 {
        let times = window.timestamps_ms();
        let last = times.len() - 1;
        let sampled = seconds(start_ms, times[last]);
        let to_end = match last {
            0 => 0.0,
            gaps => {
                let gap = seconds(times[0], times[last]) / gaps as f64;
                inside(seconds(times[last], window.end_ms), gap)
            }
        };
        self.scale((sampled + to_end) / sampled)
    }

    /// What a change between the first and the last of several samples is multiplied with; `growth` is that
    /// of the values of the series.
    pub fn factor(&mut self, window: Window<'_>, growth: f64) -> f64 {
        self.look(window);
        self.reaching(growth, window.values()[0])
    }

    fn exact(&self, change: f64, first: f64) -> f64 {
        change * self.reaching(change, first)
    }

    fn reaching(&self, change: f64, first: f64) -> f64 {
        self.scale(self.reach.factor(self.reach.reach_to_start(change, first)))
    }

    #[inline]
    fn scale(&self, factor: f64) -> f64 {
        match self.change {
            Change::Rate => factor / self.range_s,
            Change::Delta | Change::Increase => factor,
        }
    }
}

impl Function for Extrapolated {
    fn begin(&mut self, series: Series<'_>) {
        self.resets.clear();
        self.next_reset = 0;
        if self.change == Change::Delta {
            return;
        }
        // Counted first because that takes no branches, and most series have none.
        let after = series.values.get(1..).unwrap_or_default();
        let pairs = || series.values.iter().zip(after);
        let count: usize = pairs()
            .map(|(before, after)| usize::from(after < before))
            .sum();
        if count > 0 {
            let drops = pairs().enumerate();
            self.resets.extend(
                drops
                    .filter(|(_, (before, after))| after < before)
                    .map(|(at, _)| at + 1),
            );
        }
        if !series.starts_ms.is_empty() {
            self.resets.extend(series.resets());
            self.resets.sort_unstable();
            self.resets.dedup();
        }
    }

    #[inline]
    fn value(&mut self, window: Window<'_>) -> Option<f64> {
        if let Some(start_ms) = self.start_inside(window) {
            return Some(self.since(start_ms, window));
        }
        if window.len() < 2 {
            return None;
        }
        self.look(window);
        let (first, last) = (window.from, window.until - 1);
        let values = window.series.values;
        let change = self.plus_lost(window, values[last] - values[first]);
        if self.reach.is_surely_whole(change, values[first]) {
            return Some(change * self.reach.scaled);
        }
        Some(self.exact(change, values[first]))
    }

    fn values(&mut self, window: Window<'_>, stride: usize, results: &mut [f64]) -> bool {
        if window.len() < 2 || !self.resets.is_empty() || !window.series.starts_ms.is_empty() {
            return false;
        }
        self.look(window);
        let series = window.series.values;
        let (firsts, lasts) = (&series[window.from..], &series[window.until - 1..]);
        let reach = self.reach;
        let mut whole = true;
        let mut compute = |result: &mut f64, first: f64, last: f64| {
            let change = last - first;
            *result = change * reach.scaled;
            whole &= reach.is_surely_whole(change, first);
        };
        let ends = || firsts.iter().zip(lasts);
        if stride == 1 {
            // Apart, because without gaps it takes several at once.
            let cells = results.iter_mut().zip(ends());
            cells.for_each(|(result, (&first, &last))| compute(result, first, last));
        } else {
            let cells = results.iter_mut().zip(ends().step_by(stride));
            cells.for_each(|(result, (&first, &last))| compute(result, first, last));
        }
        if !whole {
            for (result, (&first, &last)) in results.iter_mut().zip(ends().step_by(stride)) {
                *result = self.exact(last - first, first);
            }
        }
        true
    }
}

/// Where the first and the last sample of a window lie, seen from its end, and how many gaps between
/// samples there are.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Lie {
    until_first_ms: i64,
    until_last_ms: i64,
    /// 0 in no window that has a change.
    gaps: usize,
}

/// How far the change between the first and the last sample reaches, in seconds.
#[derive(Debug, Clone, Copy, Default)]
struct Reach {
    lie: Lie,
    counter: bool,
    sampled: f64,
    /// Beyond the first sample, to the start of the window or half a gap.
    to_start: f64,
    to_end: f64,
    /// What the change is multiplied with where it reaches `to_start`.
    scaled: f64,
}

impl Reach {
    fn new(lie: Lie, range_ms: i64, change: Change) -> Self {
        let to_start = range_ms.wrapping_add(lie.until_first_ms) as f64 / 1000.0;
        let to_end = lie.until_last_ms.wrapping_neg() as f64 / 1000.0;
        let sampled = lie.until_last_ms.wrapping_sub(lie.until_first_ms) as f64 / 1000.0;
        let gap = sampled / lie.gaps as f64;
        Self {
            lie,
            counter: change != Change::Delta,
            sampled,
            to_start: inside(to_start, gap),
            to_end: inside(to_end, gap),
            scaled: 0.0,
        }
    }

    /// By how much the change grows to cover the window.
    fn factor(&self, to_start: f64) -> f64 {
        (self.sampled + to_start + self.to_end) / self.sampled
    }

    /// Whether the change surely reaches all of `to_start`, with room for any rounding; a division is
    /// spared where it does. False says nothing.
    #[inline]
    fn is_surely_whole(&self, change: f64, first: f64) -> bool {
        let enough = 2.0 * self.to_start * change + f64::MIN_POSITIVE;
        !self.counter | (change <= 0.0) | (self.sampled * first > enough)
    }

    /// `to_start`, but for a counter not to before the time at which it was zero.
    fn reach_to_start(&self, growth: f64, first: f64) -> f64 {
        if self.counter && growth > 0.0 && first >= 0.0 {
            let to_zero = self.sampled * (first / growth);
            if to_zero < self.to_start {
                return to_zero;
            }
        }
        self.to_start
    }
}

/// `distance` to an end of the window where samples come in such gaps, or half a gap where the series
/// seems to end before.
fn inside(distance: f64, gap: f64) -> f64 {
    if distance >= gap * GAP_FACTOR {
        gap / 2.0
    } else {
        distance
    }
}

/// `irate`: a drop is a reset to zero, so the growth is the last value; so is a start that says so.
pub fn instant_rate(window: Window<'_>) -> Option<f64> {
    let ([before, last], seconds) = last_two(window)?;
    let growth = if last < before || last_began_anew(window) {
        last
    } else {
        last - before
    };
    Some(growth / seconds)
}

fn last_began_anew(window: Window<'_>) -> bool {
    let (Some(starts), Some(times)) = (
        window.starts_ms().last_chunk::<2>(),
        window.timestamps_ms().last_chunk::<2>(),
    ) else {
        return false;
    };
    let [before, last] = [0, 1].map(|at| Stamp {
        start_ms: starts[at],
        time_ms: times[at],
    });
    last.is_reset(before)
}

pub fn instant_delta(window: Window<'_>) -> Option<f64> {
    let ([before, last], _) = last_two(window)?;
    Some(last - before)
}

fn last_two(window: Window<'_>) -> Option<([f64; 2], f64)> {
    let (&times, &values) = (
        window.timestamps_ms().last_chunk::<2>()?,
        window.values().last_chunk::<2>()?,
    );
    Some((values, seconds(times[0], times[1])))
}
