//! One series of a head: its identity, its floats, and what few series have beside them.

use crate::head::exemplars::Held;
use crate::head::histograms::HistogramTrack;
use crate::head::index::Run;
use crate::head::step;
use crate::head::track::{Room, Track};

/// A segment number that no segment has.
pub const NO_SEGMENT: u32 = u32::MAX;

/// A series without histograms, starts and exemplars, which most are, takes 128 bytes and its chunks.
///
/// Fields lie in the order in which a push looks at them: what `check` needs of a series is 48 bytes, and what
/// is written follows, so that a push waits for memory as seldom as can be.
#[derive(Debug)]
#[repr(C)]
pub struct Series {
    pub print: u128,
    /// Never used again for another series; 0 marks a slot without one.
    pub id: u64,
    pub floats: Track,
    /// The last WAL segment that defines the series.
    pub segment: u32,
    pub run: Run,
    pub extras: Option<Box<Extras>>,
}

const _: () = assert!(size_of::<Series>() == 128);

#[derive(Debug, Default)]
pub struct Extras {
    /// Starts of the float samples that have one.
    pub starts: Option<Box<Track>>,
    pub histograms: Option<Box<HistogramTrack>>,
    /// Ascending by time, value, labels.
    pub exemplars: Vec<Held>,
}

impl Series {
    pub fn new(print: u128, id: u64, run: Run) -> Self {
        Self {
            print,
            id,
            floats: Track::default(),
            extras: None,
            segment: NO_SEGMENT,
            run,
        }
    }

    /// Takes a float sample.
    #[inline]
    pub fn append(&mut self, time_ms: i64, bits: u64, room: &mut Room<'_>) {
        self.floats.append(time_ms, bits, step::pick, room);
    }

    /// Takes the start of a float sample; 0 is none.
    #[inline]
    pub fn append_start(&mut self, time_ms: i64, start_ms: i64, room: &mut Room<'_>) {
        if start_ms != 0 {
            let starts = self.extras().starts.get_or_insert_default();
            append_start(starts, time_ms, start_ms, room);
        }
    }

    pub fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    pub fn starts(&self) -> Option<&Track> {
        self.extras.as_ref()?.starts.as_deref()
    }

    pub fn histograms(&self) -> Option<&HistogramTrack> {
        self.extras.as_ref()?.histograms.as_deref()
    }

    pub fn exemplars(&self) -> &[Held] {
        self.extras.as_ref().map_or(&[], |extras| &extras.exemplars)
    }

    /// All columns of words: their open chunks are in the slab.
    pub fn tracks_mut(&mut self) -> impl Iterator<Item = &mut Track> {
        let extras = self.extras.as_deref_mut();
        let (starts, histograms) = extras.map_or((None, None), |extras| {
            (
                extras.starts.as_deref_mut(),
                extras.histograms.as_deref_mut(),
            )
        });
        let others = histograms.and_then(|track| track.starts.as_deref_mut());
        std::iter::once(&mut self.floats)
            .chain(starts)
            .chain(others)
    }

    /// Closes what it has in a range.
    pub fn close_range(&mut self, range: i64, room: &mut Room<'_>) {
        self.tracks_mut()
            .for_each(|track| track.close_range(range, room));
        if let Some(histograms) = self.histograms_mut() {
            histograms.close_range(range, room);
        }
    }

    fn histograms_mut(&mut self) -> Option<&mut HistogramTrack> {
        self.extras.as_mut()?.histograms.as_deref_mut()
    }

    /// Forgets what it has in an arena; returns how many exemplars that were.
    pub fn release(&mut self, arena: u32) -> usize {
        self.tracks_mut().for_each(|track| track.release(arena));
        if let Some(histograms) = self.histograms_mut() {
            histograms.release(arena);
        }
        let Some(extras) = &mut self.extras else {
            return 0;
        };
        let before = extras.exemplars.len();
        extras.exemplars.retain(|one| one.arena != arena);
        before - extras.exemplars.len()
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.floats.is_empty()
            && self.histograms().is_none_or(HistogramTrack::is_empty)
            && self.exemplars().is_empty()
    }

    /// Whether it has anything in an arena.
    pub fn is_in(&self, arena: u32) -> bool {
        self.floats.is_in(arena)
            || self.histograms().is_some_and(|track| track.is_in(arena))
            || self.exemplars().iter().any(|one| one.arena == arena)
    }

    /// Whether a chunk may have samples between the two times, both included.
    #[inline]
    pub fn overlaps(&self, mint_ms: i64, maxt_ms: i64) -> bool {
        self.floats.overlaps(mint_ms, maxt_ms)
            || self
                .histograms()
                .is_some_and(|track| track.overlaps(mint_ms, maxt_ms))
    }

    pub fn chunk_count(&self) -> usize {
        let histograms = self.histograms().map_or(0, HistogramTrack::chunk_count);
        self.floats.chunk_count() + histograms
    }

    /// Times of its samples that wait for a chunk; starts are at times of samples.
    pub fn late_times(&self) -> impl Iterator<Item = i64> {
        let histograms = self.histograms().into_iter();
        self.floats
            .late_times()
            .chain(histograms.flat_map(HistogramTrack::late_times))
    }

    /// Times of its oldest and newest sample.
    pub fn bounds_ms(&self) -> Option<(i64, i64)> {
        let histograms = self.histograms().and_then(HistogramTrack::bounds_ms);
        let parts = self.floats.bounds_ms().into_iter().chain(histograms);
        parts.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))
    }

    /// Heap bytes held beside blocks and arenas.
    pub fn size_bytes(&self) -> usize {
        let extras = self.extras.as_deref().map_or(0, Extras::size_bytes);
        self.floats.size_bytes() + extras
    }
}

impl Extras {
    fn size_bytes(&self) -> usize {
        let starts = self.starts.as_deref().map_or(0, boxed_bytes);
        let histograms = self.histograms.as_deref();
        let exemplars: usize = self.exemplars.iter().map(Held::size_bytes).sum();
        size_of::<Self>()
            + starts
            + histograms.map_or(0, HistogramTrack::size_bytes)
            + exemplars
            + (self.exemplars.capacity() - self.exemplars.len()) * size_of::<Held>()
    }
}

/// Takes the start of a sample.
pub fn append_start(starts: &mut Track, time_ms: i64, start_ms: i64, room: &mut Room<'_>) {
    starts.append(time_ms, start_ms as u64, larger_start, room);
}

/// Of two starts for one time, the one that stays.
pub fn larger_start(left: u64, right: u64) -> u64 {
    (left as i64).max(right as i64) as u64
}

/// Bytes of a track in a box of its own.
pub fn boxed_bytes(track: &Track) -> usize {
    size_of::<Track>() + track.size_bytes()
}
