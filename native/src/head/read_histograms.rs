//! Histograms of many series as flat arrays: merged, one a timestamp, ascending, with hints that hold.

use std::sync::Arc;

use crate::frame::HistogramFrame;
use crate::head::histograms::{Encoded, HistogramTrack, decode};
use crate::head::read::{Window, Words, offsets};
use crate::head::store::Store;
use crate::histogram::{Hint, Histogram, Histograms, View, rank};

/// Collects series after series. `counts[i]` histograms belong to the i-th; those behind the end have none.
#[derive(Debug, Default)]
pub struct HistogramColumns {
    counts: Vec<u32>,
    pub times: Vec<i64>,
    /// As long as the histograms up to the last series that has any, or empty.
    starts: Vec<i64>,
    pub values: Histograms,
    cells: Vec<f64>,
}

/// A sample on its way through a merge.
struct Found {
    time_ms: i64,
    /// Its number among those that came in order.
    number: Option<usize>,
    value: Histogram,
}

impl Encoded<'_> {
    pub fn is_in(&self, window: &Window) -> bool {
        (window.arena.is_none() || window.arena == self.arena)
            && window.overlaps(self.min_ms, self.max_ms)
    }
}

impl HistogramColumns {
    /// Reads the histograms of series number `series`; `shadow` is room for its starts.
    pub fn read(
        &mut self,
        store: &Store,
        series: usize,
        track: &HistogramTrack,
        window: &Window,
        shadow: &mut Words,
    ) {
        let base = self.times.len();
        if has_late(store, track, window) {
            self.read_merged(store, track, window);
        } else {
            for chunk in track.chunks(&store.arenas).filter(|one| one.is_in(window)) {
                self.read_chunk(&chunk, window);
            }
        }
        self.counts.resize(series, 0);
        self.counts.push((self.times.len() - base) as u32);
        if let Some(starts) = track.starts.as_deref() {
            shadow.replace(store, starts, window);
            shadow.put_starts(&self.times[base..], base, &mut self.starts);
        }
    }

    pub fn read_chunk(&mut self, chunk: &Encoded<'_>, window: &Window) {
        let (times, values) = (&mut self.times, &mut self.values);
        let layout = chunk.layout;
        each_sample(chunk, &mut self.cells, |time_ms, hint, cells| {
            if window.overlaps(time_ms, time_ms) {
                times.push(time_ms);
                values.push(View {
                    layout,
                    hint,
                    cells,
                });
            }
        });
    }

    /// The slow way, for series with out-of-order samples in the window.
    pub fn read_merged(&mut self, store: &Store, track: &HistogramTrack, window: &Window) {
        let mut found = collect(store, track, window, &mut self.cells);
        // Stable, with those in order first: of equal ones they stay, since they know more.
        found.sort_by_key(|one| (one.time_ms, one.number.is_none()));
        let mut before: Option<&Found> = None;
        for same in found.chunk_by(|left, right| left.time_ms == right.time_ms) {
            let larger = |best, next| match is_smaller(best, next) {
                true => next,
                false => best,
            };
            let Some(best) = same.iter().reduce(larger) else {
                continue;
            };
            let mut view = best.value.view();
            let follows = before.is_none_or(|before| best.follows(before));
            if matches!(view.hint, Hint::Reset | Hint::NotReset) && !follows {
                view.hint = Hint::Unknown;
            }
            self.times.push(best.time_ms);
            self.values.push(view);
            before = Some(best);
        }
    }

    /// Adds the series of `other` behind the first `series`.
    pub fn append(&mut self, series: usize, mut other: Self) {
        if !other.starts.is_empty() {
            self.starts.resize(self.times.len(), 0);
            self.starts.append(&mut other.starts);
        }
        self.counts.resize(series, 0);
        self.counts.append(&mut other.counts);
        self.times.append(&mut other.times);
        self.values.append(&other.values);
    }

    /// The frame of so many series; None without any histogram.
    pub fn into_frame(mut self, series: usize) -> Option<HistogramFrame> {
        if self.times.is_empty() {
            return None;
        }
        self.counts.resize(series, 0);
        if !self.starts.is_empty() {
            self.starts.resize(self.times.len(), 0);
        }
        Some(HistogramFrame {
            offsets: offsets(&self.counts),
            timestamps_ms: self.times,
            starts_ms: self.starts,
            values: self.values,
        })
    }
}

impl Found {
    /// Whether `before` is the sample that its hint speaks of.
    fn follows(&self, before: &Self) -> bool {
        self.number.is_some() && self.number == before.number.map(|number| number + 1)
    }
}

fn is_smaller(left: &Found, right: &Found) -> bool {
    rank(left.value.view(), right.value.view()).is_lt()
}

/// Everything in the window: in order and out of order.
fn collect(
    store: &Store,
    track: &HistogramTrack,
    window: &Window,
    cells: &mut Vec<f64>,
) -> Vec<Found> {
    let mut found = Vec::new();
    let mut numbers = 0..;
    for chunk in track.chunks(&store.arenas).filter(|one| one.is_in(window)) {
        let layout = chunk.layout;
        each_sample(&chunk, cells, |time_ms, hint, cells| {
            if window.overlaps(time_ms, time_ms) {
                let layout = Arc::clone(layout);
                let cells = cells.to_vec();
                found.push(Found {
                    time_ms,
                    number: if chunk.late { None } else { numbers.next() },
                    value: Histogram {
                        layout,
                        hint,
                        cells,
                    },
                });
            }
        });
    }
    let waiting = track.late.iter().filter(|_| window.arena.is_none());
    let inside = waiting.filter(|one| window.overlaps(one.time_ms, one.time_ms));
    found.extend(inside.map(|one| Found {
        time_ms: one.time_ms,
        number: None,
        value: one.value.clone(),
    }));
    found
}

/// Decodes a chunk. Its bytes are our own, so they are whole.
fn each_sample(chunk: &Encoded<'_>, cells: &mut Vec<f64>, take: impl FnMut(i64, Hint, &[f64])) {
    cells.resize(chunk.layout.cell_count(), 0.0);
    let whole = decode(chunk.bytes, chunk.count, chunk.min_ms, cells, take);
    debug_assert!(whole.is_ok());
}

pub fn has_late(store: &Store, track: &HistogramTrack, window: &Window) -> bool {
    let waiting = window.arena.is_none()
        && track
            .late_times()
            .any(|time_ms| window.overlaps(time_ms, time_ms));
    let mut chunks = track.chunks(&store.arenas);
    waiting || chunks.any(|one| one.late && one.is_in(window))
}
