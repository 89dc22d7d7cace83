//! The series of one tenant: resolve, append, freeze, release, collect.
//!
//! The store is a set of accepted samples. `check` decides what is accepted, against what is visible at that
//! moment; `commit` takes all of it, in any order, and never refuses. So the WAL may
//! be replayed in any order too, and gives the same view.

use hashbrown::{HashSet, HashTable};

use crate::fields::sections::{More, rows};
use crate::head::blocks::{Arenas, Blocks, fetch};
use crate::head::check::{Bounds, Prepared};
use crate::head::exemplars::Arrivals;
use crate::head::index::Index;
use crate::head::ownership::Ownership;
use crate::head::series::Series;
use crate::head::track::Room;
use crate::write::batch::WriteBatch;

pub const NO_SLOT: u32 = u32::MAX;
/// Entries between the fetch of a series, that of its open block, and the append.
const FETCH_DISTANCE: usize = 8;

/// What bounds a head. Times in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Length of an aligned range; at most 7 days.
    pub range_ms: i64,
    /// How far a sample may lie behind the newest one of the tenant.
    pub window_ms: i64,
    /// How far a sample may lie ahead of the clock.
    pub grace_ms: i64,
    /// Active series of the tenant everywhere; 0 for no limit. `Ownership` has what of it is ours.
    pub series_max: usize,
    /// Exemplars of the tenant, and of one series; 0 for none.
    pub exemplars_max: usize,
    pub exemplars_per_series_max: usize,
}

/// Most of an append is waiting for memory: a series, then the block that it names. Both are asked for early.
#[inline]
fn fetch_ahead(series: &[Series], blocks: &Blocks, slots: &[u32], entry: usize) {
    let at = |distance: usize| series.get(*slots.get(entry + distance)? as usize);
    if let Some(far) = at(2 * FETCH_DISTANCE) {
        fetch(far);
    }
    if let Some(near) = at(FETCH_DISTANCE) {
        blocks.fetch(&near.floats.open.chain);
    }
}

#[derive(Debug)]
pub struct Store {
    pub options: Options,
    pub index: Index,
    pub series: Vec<Series>,
    pub blocks: Blocks,
    pub arenas: Arenas,
    pub arrivals: Arrivals,
    pub ownership: Ownership,
    by_print: HashTable<u32>,
    free: Vec<u32>,
    dead: usize,
    /// How often slots were given back: what was resolved before may be another series now.
    pub collections: u64,
    next_id: u64,
    /// Newest time of a committed sample.
    pub max_ms: Option<i64>,
}

impl Store {
    pub fn new(options: Options) -> Self {
        Self {
            options,
            index: Index::default(),
            series: Vec::new(),
            blocks: Blocks::default(),
            arenas: Arenas::new(options.range_ms),
            arrivals: Arrivals::default(),
            ownership: Ownership::of_all(options.series_max),
            by_print: HashTable::new(),
            free: Vec::new(),
            dead: 0,
            collections: 0,
            next_id: 1,
            max_ms: None,
        }
    }

    pub fn live(&self) -> usize {
        self.by_print.len()
    }

    #[inline]
    pub fn find(&self, print: u128) -> Option<u32> {
        let series = &self.series;
        self.by_print
            .find(print as u64, |&slot| series[slot as usize].print == print)
            .copied()
    }

    /// The slot of each series of the batch that exists; returns whether all do.
    ///
    /// A sender repeats its series in the order in which they were made, so the next one is in the
    /// next slot, nearly always: a look at memory that was fetched ahead instead of a search.
    pub fn resolve(&self, batch: &WriteBatch, slots: &mut Vec<u32>) -> bool {
        let mut next = 0;
        let mut all = true;
        slots.extend((0..batch.len()).map(|index| {
            let print = batch.fingerprint(index);
            let slot = match self.series.get(next as usize) {
                Some(series) if series.print == print && series.id != 0 => next,
                _ => self.find(print).unwrap_or(NO_SLOT),
            };
            all &= slot != NO_SLOT;
            next = slot.wrapping_add(1);
            slot
        }));
        all
    }

    /// Creates the series of the batch that are missing, up to the limit, but only for samples that
    /// have a chance to be accepted. Those that came without labels stay missing.
    pub fn create(&mut self, batch: &WriteBatch, bounds: &Bounds, slots: &mut [u32]) -> u64 {
        let mut created = 0;
        let mut labels = Vec::new();
        for (index, slot) in slots.iter_mut().enumerate() {
            if *slot != NO_SLOT {
                continue;
            }
            let print = batch.fingerprint(index);
            let mut times = batch.samples(index).0.iter();
            let mut others = batch.histograms(index).0.iter();
            if let Some(found) = self.find(print) {
                *slot = found;
            } else if (bounds.is_repair || !self.ownership.is_full())
                && batch.has_labels(index)
                && (times.any(|&time_ms| bounds.admit(time_ms))
                    || others.any(|&time_ms| bounds.admit(time_ms)))
            {
                batch.labels(index, &mut labels);
                *slot = self.insert(print, &labels, None);
                created += 1;
            }
        }
        if created > 0 && slots.contains(&NO_SLOT) {
            self.find_again(batch, slots);
        }
        created
    }

    /// Exemplars may stand before the samples that their series was created for, and rows without labels
    /// before those with.
    fn find_again(&self, batch: &WriteBatch, slots: &mut [u32]) {
        let missing = slots.iter_mut().enumerate();
        for (index, slot) in missing.filter(|(_, slot)| **slot == NO_SLOT) {
            *slot = self.find(batch.fingerprint(index)).unwrap_or(NO_SLOT);
        }
    }

    /// Adds a series that does not exist yet; `id` is given when the WAL named it.
    pub fn insert(&mut self, print: u128, labels: &[(&str, &str)], id: Option<u64>) -> u32 {
        let id = id.unwrap_or(self.next_id);
        self.next_id = self.next_id.max(id.saturating_add(1));
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => self.series.len() as u32,
        };
        let run = self.index.insert(slot, labels);
        let fresh = Series::new(print, id, run);
        match self.series.get_mut(slot as usize) {
            Some(old) => *old = fresh,
            None => self.series.push(fresh),
        }
        let series = &self.series;
        self.by_print.insert_unique(print as u64, slot, |&other| {
            series[other as usize].print as u64
        });
        self.ownership.entered(print);
        slot
    }

    /// Ids that the WAL named are not given again.
    pub fn reserve_id(&mut self, id: u64) {
        self.next_id = self.next_id.max(id.saturating_add(1));
    }

    /// Makes what was prepared visible.
    pub fn commit(&mut self, prepared: &Prepared) {
        let mut room = Room {
            blocks: &mut self.blocks,
            arenas: &mut self.arenas,
        };
        for (entry, &slot) in prepared.slots.iter().enumerate() {
            fetch_ahead(&self.series, room.blocks, &prepared.slots, entry);
            let (times, bits) = prepared.samples(entry);
            let series = &mut self.series[slot as usize];
            for (&time_ms, &bits) in times.iter().zip(bits) {
                series.append(time_ms, bits, &mut room);
            }
            if let Some(starts) = prepared.starts.get(rows(&prepared.ends, entry)) {
                for (&time_ms, &start_ms) in times.iter().zip(starts) {
                    series.append_start(time_ms, start_ms, &mut room);
                }
            }
        }
        self.saw(prepared.times.iter().copied().max());
        if let Some(more) = &prepared.more {
            self.commit_more(&prepared.slots, more);
        }
    }

    fn commit_more(&mut self, slots: &[u32], more: &More) {
        for (entry, &slot) in slots.iter().enumerate() {
            for row in rows(&more.histogram_ends, entry) {
                self.append_histogram(slot, more, row);
            }
            for exemplar in &more.exemplars[rows(&more.exemplar_ends, entry)] {
                self.add_exemplar(slot, exemplar);
            }
        }
        self.saw(more.histogram_times.iter().copied().max());
    }

    /// Moves the clock of the head.
    pub fn saw(&mut self, time_ms: Option<i64>) {
        self.max_ms = self.max_ms.max(time_ms);
    }

    /// Asks for what appends to the series behind an entry will need.
    #[inline]
    pub fn fetch_ahead(&self, slots: &[u32], entry: usize) {
        fetch_ahead(&self.series, &self.blocks, slots, entry);
    }

    fn room(&mut self, slot: u32) -> (&mut Series, Room<'_>) {
        let room = Room {
            blocks: &mut self.blocks,
            arenas: &mut self.arenas,
        };
        (&mut self.series[slot as usize], room)
    }

    /// Takes one sample of a known series.
    #[inline]
    pub fn append(&mut self, slot: u32, time_ms: i64, start_ms: i64, bits: u64) {
        let (series, mut room) = self.room(slot);
        series.append(time_ms, bits, &mut room);
        series.append_start(time_ms, start_ms, &mut room);
    }

    /// Takes a histogram of a known series.
    pub fn append_histogram(&mut self, slot: u32, more: &More, row: usize) {
        let (series, mut room) = self.room(slot);
        let track = series.extras().histograms.get_or_insert_default();
        let (time_ms, start_ms) = (more.histogram_times[row], more.histogram_start(row));
        track.append(time_ms, start_ms, more.histograms.get(row), &mut room);
    }

    /// Closes what lies in a range, so that it never changes again; later samples go elsewhere.
    pub fn freeze(&mut self, range: i64) -> Option<u32> {
        self.close_range(range, 0..self.series.len());
        self.arenas.freeze(range)
    }

    /// Closes what some slots have in a range.
    pub fn close_range(&mut self, range: i64, slots: std::ops::Range<usize>) {
        let slots = slots.start.min(self.series.len())..slots.end.min(self.series.len());
        let mut room = Room {
            blocks: &mut self.blocks,
            arenas: &mut self.arenas,
        };
        let series = self.series[slots].iter_mut();
        for series in series.filter(|series| series.id != 0) {
            series.close_range(range, &mut room);
        }
    }

    /// Ranges with samples that are not frozen, ascending.
    pub fn ranges(&self) -> Vec<i64> {
        let mut ranges: Vec<i64> = self.arenas.ranges().collect();
        let late = self.series.iter().flat_map(Series::late_times);
        ranges.extend(late.map(|time_ms| time_ms.div_euclid(self.options.range_ms)));
        ranges.sort_unstable();
        ranges.dedup();
        ranges
    }

    /// Series with anything in an arena, in slot order.
    pub fn series_in(&self, arena: u32) -> Vec<u32> {
        let slots = 0..self.series.len() as u32;
        let held = slots.filter(|&slot| self.series[slot as usize].is_in(arena));
        held.collect()
    }

    /// Forgets a frozen arena, its chunks and its exemplars.
    pub fn release(&mut self, arena: u32) -> bool {
        if !self.arenas.is_frozen(arena) {
            return false;
        }
        for series in &mut self.series {
            self.arrivals.held -= series.release(arena);
        }
        self.arenas.release(arena)
    }

    /// Drops series without samples whose slots nobody holds; returns how many.
    pub fn collect(&mut self, held: &HashSet<u32>) -> usize {
        let mut dropped = 0;
        for slot in 0..self.series.len() as u32 {
            let series = &mut self.series[slot as usize];
            if series.id == 0 || !series.is_empty() || held.contains(&slot) {
                continue;
            }
            let print = series.print;
            series.id = 0;
            if let Ok(entry) = self
                .by_print
                .find_entry(print as u64, |&other| other == slot)
            {
                entry.remove();
            }
            self.ownership.left(print);
            dropped += 1;
        }
        self.dead += dropped;
        self.collections += u64::from(dropped > 0);
        if self.dead * 4 > self.series.len() {
            self.rebuild();
        }
        dropped
    }

    /// Gives back what dead series held. Their slots stay in postings until here, so only now may
    /// they be used again.
    fn rebuild(&mut self) {
        while self.series.last().is_some_and(|series| series.id == 0) {
            self.series.pop();
        }
        self.series.shrink_to_fit();
        let living = self.series.iter_mut().enumerate();
        let living = living.filter(|(_, series)| series.id != 0);
        self.index = self
            .index
            .rebuild(living.map(|(slot, series)| (slot as u32, &mut series.run)));
        let dead = (0..self.series.len() as u32).rev();
        self.free = dead
            .filter(|&slot| self.series[slot as usize].id == 0)
            .collect();
        self.dead = 0;
        let series = &self.series;
        self.by_print
            .shrink_to(0, |&other| series[other as usize].print as u64);
        if self.blocks.is_sparse() {
            self.move_blocks();
        }
    }

    fn move_blocks(&mut self) {
        let mut fresh = Blocks::default();
        let mut scratch = [0; crate::head::step::SCRATCH_BYTES];
        for track in self.series.iter_mut().flat_map(Series::tracks_mut) {
            let size = self.blocks.gather(&track.open.chain, &mut scratch);
            track.open.chain = Default::default();
            fresh.append(&mut track.open.chain, &scratch[..size]);
        }
        self.blocks = fresh;
    }
}
