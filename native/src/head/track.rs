//! A column of 64-bit words in time: an open chunk, closed chunks, late samples. Floats are one, starts another.

use crate::head::blocks::{Arenas, Blocks, Chain, Place};
use crate::head::step::{self, FIRST_BYTES, SAMPLES_MAX, STEP_BYTES_MAX, Scratch, State, Step};

/// Samples that wait, sorted, before they become an out-of-order chunk.
pub const LATE_MAX: usize = 32;

/// A closed chunk.
#[derive(Debug, Clone, Copy)]
pub struct Chunk {
    pub min_ms: i64,
    pub max_ms: i64,
    pub place: Place,
    pub arena: u32,
    pub count: u16,
    pub late: bool,
}

/// The chunk that grows.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Open {
    pub state: State,
    pub chain: Chain,
    pub arena: u32,
    pub min_ms: i64,
}

#[derive(Debug, Default)]
#[repr(C)] // What every append touches comes first.
pub struct Track {
    pub open: Open,
    pub closed: Vec<Chunk>,
    /// Out-of-order samples, ascending, one a timestamp.
    #[allow(clippy::box_collection)] // Few series have any: eight bytes instead of 24.
    pub late: Option<Box<Vec<(i64, u64)>>>,
}

/// What appends need beside the series.
pub struct Room<'a> {
    pub blocks: &'a mut Blocks,
    pub arenas: &'a mut Arenas,
}

/// What is known of a sample before it is taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    New,
    Same,
    Different,
}

/// Which of two words for one time stays.
pub type Pick = fn(u64, u64) -> u64;

impl Track {
    /// Compares a sample with what can be seen without decoding a chunk.
    #[inline]
    pub fn seen(&self, time_ms: i64, bits: u64) -> Seen {
        let state = &self.open.state;
        if !state.started || time_ms > state.last_ms {
            return Seen::New;
        }
        if time_ms == state.last_ms && bits == state.last_bits {
            return Seen::Same;
        }
        match self.late_at(time_ms) {
            Some(held) if held == bits => Seen::Same,
            None if time_ms != state.last_ms => Seen::New,
            _ => Seen::Different,
        }
    }

    fn late_at(&self, time_ms: i64) -> Option<u64> {
        let late = self.late.as_deref()?;
        let at = late
            .binary_search_by_key(&time_ms, |sample| sample.0)
            .ok()?;
        Some(late[at].1)
    }

    /// Takes a sample. Never refuses: the view of several values for one time is a rule, not an order.
    #[inline]
    pub fn append(&mut self, time_ms: i64, bits: u64, pick: Pick, room: &mut Room<'_>) {
        let state = &self.open.state;
        if state.started && time_ms <= state.last_ms {
            if time_ms != state.last_ms || bits != state.last_bits {
                self.append_late(time_ms, bits, pick, room);
            }
            return;
        }
        let arena = room.arenas.open_at(time_ms);
        let count = self.open.state.count;
        if count > 0 && (self.open.arena != arena || count as usize == SAMPLES_MAX) {
            self.close(room);
        }
        if self.open.state.count == 0 {
            self.start(time_ms, bits, arena, room);
            return;
        }
        match self.open.state.step(time_ms, bits) {
            Step::Append(bytes, size) => {
                room.blocks.append_step(&mut self.open.chain, &bytes, size);
            }
            Step::Replace(byte) => room.blocks.replace_last(&self.open.chain, byte),
        }
    }

    fn start(&mut self, time_ms: i64, bits: u64, arena: u32, room: &mut Room<'_>) {
        self.open.state = State::start(time_ms, bits);
        self.open.min_ms = time_ms;
        self.open.arena = arena;
        room.blocks
            .append(&mut self.open.chain, &bits.to_le_bytes());
    }

    /// Moves the open chunk to the arena of its range.
    pub fn close(&mut self, room: &mut Room<'_>) {
        let open = &mut self.open;
        if open.state.count == 0 {
            return;
        }
        let mut scratch: Scratch = [0; step::SCRATCH_BYTES];
        let size = room.blocks.gather(&open.chain, &mut scratch);
        let place = room.arenas.push(open.arena, &scratch[..size]);
        self.closed.reserve_exact(1);
        self.closed.push(Chunk {
            min_ms: open.min_ms,
            max_ms: open.state.last_ms,
            place,
            arena: open.arena,
            count: open.state.count,
            late: false,
        });
        room.blocks.release(&mut open.chain);
        open.state.count = 0;
    }

    #[cold]
    fn append_late(&mut self, time_ms: i64, bits: u64, pick: Pick, room: &mut Room<'_>) {
        let late = self.late.get_or_insert_default();
        match late.binary_search_by_key(&time_ms, |sample| sample.0) {
            Ok(at) => late[at].1 = pick(late[at].1, bits),
            Err(at) => late.insert(at, (time_ms, bits)),
        }
        if late.len() >= LATE_MAX {
            self.close_late(room, None);
        }
    }

    /// Encodes the waiting out-of-order samples (of one range only, where it is given).
    fn close_late(&mut self, room: &mut Room<'_>, only: Option<i64>) {
        let Some(late) = self.late.as_deref_mut() else {
            return;
        };
        let range_ms = room.arenas.range_ms;
        let range_of = |sample: &(i64, u64)| sample.0.div_euclid(range_ms);
        let mut bytes = Vec::with_capacity(FIRST_BYTES + LATE_MAX * STEP_BYTES_MAX);
        for samples in late.chunk_by(|left, right| range_of(left) == range_of(right)) {
            let range = range_of(&samples[0]);
            if only.is_some_and(|wanted| wanted != range) {
                continue;
            }
            bytes.clear();
            step::encode(samples.iter().copied(), &mut bytes);
            let arena = room.arenas.open(range);
            let place = room.arenas.push(arena, &bytes);
            self.closed.push(Chunk {
                min_ms: samples[0].0,
                max_ms: samples[samples.len() - 1].0,
                place,
                arena,
                count: samples.len() as u16,
                late: true,
            });
        }
        match only {
            Some(range) => late.retain(|sample| range_of(sample) != range),
            None => late.clear(),
        }
        if late.is_empty() {
            self.late = None;
        }
    }

    /// Closes what it has in a range.
    pub fn close_range(&mut self, range: i64, room: &mut Room<'_>) {
        if self.open.state.count > 0 && room.arenas.range_of(self.open.arena) == Some(range) {
            self.close(room);
        }
        self.close_late(room, Some(range));
    }

    /// Forgets the chunks of an arena.
    pub fn release(&mut self, arena: u32) {
        let before = self.closed.len();
        self.closed.retain(|chunk| chunk.arena != arena);
        if self.closed.len() != before {
            self.closed.shrink_to_fit();
        }
    }

    /// Whether it holds no sample.
    pub fn is_empty(&self) -> bool {
        self.open.state.count == 0 && self.closed.is_empty() && self.late.is_none()
    }

    /// Whether it has a chunk in an arena.
    pub fn is_in(&self, arena: u32) -> bool {
        self.closed.iter().any(|chunk| chunk.arena == arena)
    }

    /// Whether a chunk may have samples between the two times, both included.
    pub fn overlaps(&self, mint_ms: i64, maxt_ms: i64) -> bool {
        let open = &self.open;
        (open.state.count > 0 && open.min_ms <= maxt_ms && open.state.last_ms >= mint_ms)
            || self
                .closed
                .iter()
                .any(|chunk| chunk.min_ms <= maxt_ms && chunk.max_ms >= mint_ms)
            || self
                .late_times()
                .any(|time_ms| mint_ms <= time_ms && time_ms <= maxt_ms)
    }

    pub fn late_times(&self) -> impl Iterator<Item = i64> {
        let late = self.late.iter().flat_map(|late| late.iter());
        late.map(|&(time_ms, _)| time_ms)
    }

    pub fn chunk_count(&self) -> usize {
        self.closed.len() + usize::from(self.open.state.count > 0)
    }

    /// Times of its oldest and newest sample.
    pub fn bounds_ms(&self) -> Option<(i64, i64)> {
        let open = &self.open;
        let growing = (open.state.count > 0).then_some((open.min_ms, open.state.last_ms));
        let closed = self.closed.iter().map(|chunk| (chunk.min_ms, chunk.max_ms));
        let late = self.late_times().map(|time_ms| (time_ms, time_ms));
        let parts = growing.into_iter().chain(closed).chain(late);
        parts.reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))
    }

    /// Heap bytes held beside blocks and arenas.
    pub fn size_bytes(&self) -> usize {
        let late = self
            .late
            .as_ref()
            .map_or(0, |late| 24 + late.capacity() * 16);
        self.closed.capacity() * size_of::<Chunk>() + late
    }
}
