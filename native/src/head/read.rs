//! Samples of many series as flat arrays: merged, one value a timestamp, ascending.

use crate::frame::Frame;
use crate::head::blocks::Arenas;
use crate::head::read_histograms::HistogramColumns;
use crate::head::series::{Extras, Series, larger_start};
use crate::head::step::{self, Decoded, SCRATCH_BYTES, Scratch};
use crate::head::store::Store;
use crate::head::track::{Chunk, Open, Pick, Track};

/// Which samples of a series are wanted; both ends included.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub mint_ms: i64,
    pub maxt_ms: i64,
    /// Only closed chunks of this arena.
    pub arena: Option<u32>,
}

/// Collects series after series. `counts[i]` float samples belong to the i-th series read.
#[derive(Debug, Default)]
pub struct Columns {
    counts: Vec<u32>,
    floats: Words,
    /// As long as the floats up to the last series that has any, or empty.
    starts: Vec<i64>,
    /// The starts of the series that is read, for few series have any.
    shadow: Option<Box<Words>>,
    histograms: Option<Box<HistogramColumns>>,
}

/// Samples of tracks, one track behind the other.
#[derive(Debug)]
pub struct Words {
    pub times: Vec<i64>,
    pub values: Vec<f64>,
    scratch: Box<Scratch>,
    decoded: Box<Decoded>,
}

impl Default for Words {
    fn default() -> Self {
        Self {
            times: Vec::new(),
            values: Vec::new(),
            scratch: Box::new([0; SCRATCH_BYTES]),
            decoded: Box::default(),
        }
    }
}

impl Columns {
    pub fn read(&mut self, store: &Store, series: &Series, window: &Window) {
        let base = self.floats.times.len();
        self.floats.read(store, &series.floats, window, step::pick);
        if let Some(extras) = series.extras.as_deref() {
            self.read_extras(store, extras, window, base);
        }
        self.counts.push((self.floats.times.len() - base) as u32);
    }

    /// A series that is gone.
    pub fn read_nothing(&mut self) {
        self.counts.push(0);
    }

    fn read_extras(&mut self, store: &Store, extras: &Extras, window: &Window, base: usize) {
        if let Some(track) = extras.starts.as_deref() {
            let shadow = self.shadow.get_or_insert_default();
            shadow.replace(store, track, window);
            shadow.put_starts(&self.floats.times[base..], base, &mut self.starts);
        }
        if let Some(track) = extras.histograms.as_deref() {
            let columns = self.histograms.get_or_insert_default();
            let shadow = self.shadow.get_or_insert_default();
            columns.read(store, self.counts.len(), track, window, shadow);
        }
    }

    /// Makes room for so many float samples, so that growing copies nothing.
    pub fn reserve(&mut self, samples: usize) {
        self.floats.times.reserve_exact(samples);
        self.floats.values.reserve_exact(samples);
    }

    pub fn append(&mut self, mut other: Self) {
        if !other.starts.is_empty() {
            self.starts.resize(self.floats.times.len(), 0);
            self.starts.append(&mut other.starts);
        }
        if let Some(others) = other.histograms {
            let own = self.histograms.get_or_insert_default();
            own.append(self.counts.len(), *others);
        }
        self.counts.append(&mut other.counts);
        self.floats.times.append(&mut other.floats.times);
        self.floats.values.append(&mut other.floats.values);
    }

    pub fn into_frame(mut self) -> Frame {
        let samples = self.floats.times.len();
        if !self.starts.is_empty() {
            self.starts.resize(samples, 0);
        }
        let series = self.counts.len();
        let histograms = self.histograms;
        Frame {
            offsets: offsets(&self.counts),
            timestamps_ms: self.floats.times,
            values: self.floats.values,
            starts_ms: self.starts,
            histograms: histograms.and_then(|columns| columns.into_frame(series)),
        }
    }
}

/// Whether each time is later than the one before; without a branch for each, so that several are compared at once.
pub fn ascends(times: &[i64]) -> bool {
    let pairs = times.windows(2);
    pairs.fold(true, |all, pair| all & (pair[0] < pair[1]))
}

/// `counts` as positions: where each series starts, and the end.
pub fn offsets(counts: &[u32]) -> Vec<i64> {
    let mut offsets = Vec::with_capacity(counts.len() + 1);
    let mut end = 0;
    offsets.push(0);
    for &count in counts {
        end += i64::from(count);
        offsets.push(end);
    }
    offsets
}

impl Words {
    pub fn clear(&mut self) {
        self.times.clear();
        self.values.clear();
    }

    /// Reads the starts of one series, and nothing else.
    pub fn replace(&mut self, store: &Store, starts: &Track, window: &Window) {
        self.clear();
        self.read(store, starts, window, larger_start);
    }

    /// Puts the starts to the samples that lie at `times`, from row `base` of `out`; 0 where there is none.
    pub fn put_starts(&self, times: &[i64], base: usize, out: &mut Vec<i64>) {
        if self.times.is_empty() || times.is_empty() {
            return;
        }
        out.resize(base, 0);
        let mut own = self.times.iter().zip(&self.values).peekable();
        for time_ms in times {
            while own.next_if(|(own_ms, _)| *own_ms < time_ms).is_some() {}
            let start = own.next_if(|(own_ms, _)| *own_ms == time_ms);
            out.push(start.map_or(0, |(_, value)| value.to_bits() as i64));
        }
    }

    pub fn read(&mut self, store: &Store, track: &Track, window: &Window, pick: Pick) {
        if has_late(track, window) {
            self.read_merged(store, track, window, pick);
            return;
        }
        for chunk in track.closed.iter().filter(|chunk| window.wants(chunk)) {
            self.decode_closed(&store.arenas, chunk, window);
        }
        self.decode_open(store, track, window);
    }

    /// The bytes of an open chunk.
    pub fn gathered(&mut self, store: &Store, open: &Open) -> &[u8] {
        let size = store.blocks.gather(&open.chain, &mut self.scratch);
        &self.scratch[..size]
    }

    pub fn decode_closed(&mut self, arenas: &Arenas, chunk: &Chunk, window: &Window) {
        arenas.gather(chunk.arena, chunk.place, &mut self.scratch);
        self.decode(chunk.count, chunk.min_ms, chunk.max_ms, window);
    }

    pub fn decode_open(&mut self, store: &Store, track: &Track, window: &Window) {
        let open = &track.open;
        let state = &open.state;
        let wanted = state.count > 0
            && window.arena.is_none()
            && window.overlaps(open.min_ms, state.last_ms);
        if wanted {
            store.blocks.gather(&open.chain, &mut self.scratch);
            self.decode(state.count, open.min_ms, state.last_ms, window);
        }
    }

    /// Takes what lies inside the window of a chunk from outside, and returns the time of its last sample; None
    /// where the bytes are no chunk of so many samples, ascending in time.
    pub fn take(
        &mut self,
        bytes: &[u8],
        count: usize,
        first_ms: i64,
        window: &Window,
    ) -> Option<i64> {
        self.scratch.get_mut(..bytes.len())?.copy_from_slice(bytes);
        let (times, _, size) = self.decoded.decode(&self.scratch, count, first_ms);
        if size != bytes.len() || !ascends(times) {
            return None;
        }
        let last_ms = *times.last()?;
        self.keep(count, first_ms, last_ms, window);
        Some(last_ms)
    }

    /// Decodes the chunk in `scratch` and takes what lies inside the window.
    fn decode(&mut self, count: u16, min_ms: i64, max_ms: i64, window: &Window) {
        self.decoded.decode(&self.scratch, count as usize, min_ms);
        self.keep(count as usize, min_ms, max_ms, window);
    }

    /// Takes what lies inside the window of the `count` samples that were decoded last.
    #[inline]
    fn keep(&mut self, count: usize, min_ms: i64, max_ms: i64, window: &Window) {
        let (times, values) = self.decoded.samples(count);
        let mut inside = 0..times.len();
        if max_ms > window.maxt_ms {
            inside.end = times.partition_point(|&time| time <= window.maxt_ms);
        }
        if min_ms < window.mint_ms {
            inside.start = times[..inside.end].partition_point(|&time| time < window.mint_ms);
        }
        self.times.extend_from_slice(&times[inside.clone()]);
        self.values.extend_from_slice(&values[inside]);
    }

    /// The slow way, for tracks with out-of-order samples in the window.
    fn read_merged(&mut self, store: &Store, track: &Track, window: &Window, pick: Pick) {
        let base = self.times.len();
        for chunk in track.closed.iter().filter(|chunk| window.wants(chunk)) {
            self.decode_closed(&store.arenas, chunk, window);
        }
        self.decode_open(store, track, window);
        let times = self.times.drain(base..);
        let mut samples: Vec<(i64, u64)> = times
            .zip(self.values.drain(base..).map(f64::to_bits))
            .collect();
        if let Some(late) = track.late.as_deref().filter(|_| window.arena.is_none()) {
            let inside = |sample: &&(i64, u64)| window.overlaps(sample.0, sample.0);
            samples.extend(late.iter().filter(inside));
        }
        samples.sort_by_key(|sample| sample.0);
        for same in samples.chunk_by(|left, right| left.0 == right.0) {
            let picked = same[1..]
                .iter()
                .fold(same[0].1, |best, next| pick(best, next.1));
            self.times.push(same[0].0);
            self.values.push(f64::from_bits(picked));
        }
    }
}

impl Window {
    /// At most so many float samples of a series are in the window.
    pub fn bound(&self, series: &Series) -> usize {
        let track = &series.floats;
        let closed = track.closed.iter().filter(|chunk| self.wants(chunk));
        let closed: usize = closed.map(|chunk| chunk.count as usize).sum();
        let waiting = track.late.as_deref().map_or(0, Vec::len);
        closed + track.open.state.count as usize + waiting
    }

    /// At most so many histograms of a series are in the window.
    pub fn bound_histograms(&self, store: &Store, series: &Series) -> usize {
        series.histograms().map_or(0, |track| {
            let chunks = track.chunks(&store.arenas).filter(|one| one.is_in(self));
            chunks.map(|one| one.count).sum::<usize>() + track.late.len()
        })
    }

    pub fn overlaps(&self, min_ms: i64, max_ms: i64) -> bool {
        min_ms <= self.maxt_ms && max_ms >= self.mint_ms
    }

    pub fn wants(&self, chunk: &Chunk) -> bool {
        self.arena.is_none_or(|arena| arena == chunk.arena)
            && self.overlaps(chunk.min_ms, chunk.max_ms)
    }
}

pub fn has_late(track: &Track, window: &Window) -> bool {
    let waiting = window.arena.is_none()
        && track.late.as_deref().is_some_and(|late| {
            let (first, last) = (late.first(), late.last());
            first
                .zip(last)
                .is_some_and(|(first, last)| window.overlaps(first.0, last.0))
        });
    waiting
        || track
            .closed
            .iter()
            .any(|chunk| chunk.late && window.wants(chunk))
}
