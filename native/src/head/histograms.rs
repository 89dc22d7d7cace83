//! The histogram column of a series (`docs/format/chunk.md`): an open chunk, closed chunks, late samples.

use std::sync::Arc;

use crate::error::Result;
use crate::head::blocks::Arenas;
use crate::head::cells;
use crate::head::series::{append_start, boxed_bytes};
use crate::head::step::{SAMPLES_MAX, TIME_BYTES, time_class};
use crate::head::track::{Chunk, LATE_MAX, Room, Seen, Track};
use crate::histogram::{Hint, Histogram, Layout, View, rank, resolved};

/// An open chunk that has grown to this size is followed by a new one.
const CHUNK_BYTES: usize = 16 << 10;
/// Closed chunks, from the newest, whose layout may be that of a new one: some senders go to and fro.
const LAYOUTS_SEARCHED: usize = 4;
const HAS_CELLS: u8 = 1 << 4;

/// The bytes of a chunk, and what is needed to go on.
#[derive(Debug, Default)]
pub struct Writer {
    pub bytes: Vec<u8>,
    pub min_ms: i64,
    pub last_ms: i64,
    delta: i32,
    pub count: u16,
}

impl Writer {
    /// Begins a chunk, of one range.
    pub fn start(&mut self, time_ms: i64, hint: Hint, cells: &[f64]) {
        self.bytes.clear();
        self.min_ms = time_ms;
        self.last_ms = time_ms;
        self.delta = 0;
        self.count = 0;
        self.put(time_ms, hint, &vec![0.0; cells.len()], cells);
    }

    pub fn is_full(&self) -> bool {
        self.count as usize == SAMPLES_MAX || self.bytes.len() >= CHUNK_BYTES
    }

    pub fn put(&mut self, time_ms: i64, hint: Hint, before: &[f64], cells: &[f64]) {
        let delta = time_ms.wrapping_sub(self.last_ms) as i32;
        let dod = delta.wrapping_sub(self.delta);
        self.last_ms = time_ms;
        self.delta = delta;
        self.count += 1;
        let time = time_class(dod);
        let code = self.bytes.len();
        self.bytes.push(time | (hint as u8) << 2);
        let size = TIME_BYTES[time as usize] as usize;
        self.bytes.extend_from_slice(&dod.to_le_bytes()[..size]);
        if !is_equal(before, cells) {
            self.bytes[code] |= HAS_CELLS;
            cells::encode(before, cells, &mut self.bytes);
        }
    }
}

fn is_equal(left: &[f64], right: &[f64]) -> bool {
    let mut pairs = left.iter().zip(right);
    pairs.all(|(left, right)| left.to_bits() == right.to_bits())
}

/// Gives each sample of a chunk to `take`: time, hint, cells. Says how many bytes they were.
pub fn decode(
    bytes: &[u8],
    count: usize,
    min_ms: i64,
    cells: &mut [f64],
    mut take: impl FnMut(i64, Hint, &[f64]),
) -> Result<usize> {
    cells.fill(0.0);
    let (mut time_ms, mut delta, mut at) = (min_ms, 0i32, 0);
    for _ in 0..count {
        let code = *bytes.get(at).ok_or_else(|| cells::odd(at))?;
        at += 1;
        let size = TIME_BYTES[(code & 3) as usize] as usize;
        let mut word = [0; 4];
        word[..size].copy_from_slice(bytes.get(at..at + size).ok_or_else(|| cells::odd(at))?);
        at += size;
        let unused = 32 - 8 * size as u32;
        if size > 0 {
            delta = delta.wrapping_add(i32::from_le_bytes(word) << unused >> unused);
        }
        time_ms = time_ms.wrapping_add(i64::from(delta));
        if code & HAS_CELLS != 0 {
            cells::decode(bytes, &mut at, cells)?;
        }
        take(time_ms, Hint::of(code >> 2 & 3).unwrap_or_default(), cells);
    }
    Ok(at)
}

/// A closed chunk.
#[derive(Debug)]
pub struct HistogramChunk {
    pub chunk: Chunk,
    pub layout: Arc<Layout>,
}

/// A sample that came out of order.
#[derive(Debug)]
pub struct Late {
    pub time_ms: i64,
    pub value: Histogram,
}

/// The bytes of a chunk, open or closed, and what they mean.
pub struct Encoded<'a> {
    pub bytes: &'a [u8],
    pub layout: &'a Arc<Layout>,
    pub count: usize,
    pub min_ms: i64,
    pub max_ms: i64,
    pub late: bool,
    /// None while it is open.
    pub arena: Option<u32>,
}

#[derive(Debug, Default)]
pub struct HistogramTrack {
    open: Writer,
    /// Where the open chunk goes.
    arena: u32,
    /// The newest in order: the next one is coded and compared against it.
    last: Option<Histogram>,
    closed: Vec<HistogramChunk>,
    /// Ascending, one a timestamp.
    pub late: Vec<Late>,
    /// Starts of the samples that have one.
    pub starts: Option<Box<Track>>,
}

impl HistogramTrack {
    /// Compares a sample with what can be seen without decoding a chunk. Hints are not compared.
    pub fn seen(&self, time_ms: i64, value: View<'_>) -> Seen {
        let last_ms = self.open.last_ms;
        let Some(last) = self.last.as_ref().filter(|_| time_ms <= last_ms) else {
            return Seen::New;
        };
        if time_ms == last_ms && is_same(last.view(), value) {
            return Seen::Same;
        }
        match self.late.binary_search_by_key(&time_ms, |one| one.time_ms) {
            Ok(at) if is_same(self.late[at].value.view(), value) => Seen::Same,
            Err(_) if time_ms != last_ms => Seen::New,
            _ => Seen::Different,
        }
    }

    /// Takes a sample; as floats, it is never refused. A start of 0 is none.
    pub fn append(&mut self, time_ms: i64, start_ms: i64, value: View<'_>, room: &mut Room<'_>) {
        if start_ms != 0 {
            append_start(self.starts.get_or_insert_default(), time_ms, start_ms, room);
        }
        if let Some(last) = &self.last
            && time_ms <= self.open.last_ms
        {
            if time_ms != self.open.last_ms || !is_same(last.view(), value) {
                self.append_late(time_ms, value, room);
            }
            return;
        }
        let hint = resolved(value, self.last.as_ref().map(Histogram::view));
        let arena = room.arenas.open_at(time_ms);
        if self.open.count > 0 && (self.arena != arena || self.is_full(value)) {
            self.close(room);
        }
        match &mut self.last {
            Some(last) if self.open.count > 0 => {
                reserve(&mut self.open.bytes);
                self.open.put(time_ms, hint, &last.cells, value.cells);
                last.cells.copy_from_slice(value.cells);
                last.hint = hint;
            }
            _ => {
                self.arena = arena;
                self.open.start(time_ms, hint, value.cells);
                self.last = Some(self.kept(value, hint));
            }
        }
    }

    fn is_full(&self, value: View<'_>) -> bool {
        let last = self.last.as_ref().map(Histogram::view);
        self.open.is_full() || !last.is_some_and(|last| last.is_laid_out_as(&value))
    }

    /// A histogram to keep, with a layout that is here already, if one is equal.
    fn kept(&self, value: View<'_>, hint: Hint) -> Histogram {
        let recent = self.closed.iter().rev().take(LAYOUTS_SEARCHED);
        let layouts = self.last.iter().map(|last| &last.layout);
        let mut layouts = layouts.chain(recent.map(|chunk| &chunk.layout));
        let known = layouts.find(|layout| *layout == value.layout);
        Histogram {
            layout: Arc::clone(known.unwrap_or(value.layout)),
            hint,
            cells: value.cells.to_vec(),
        }
    }

    /// Moves the open chunk to the arena of its range.
    fn close(&mut self, room: &mut Room<'_>) {
        let Some(last) = self.last.as_ref().filter(|_| self.open.count > 0) else {
            return;
        };
        let layout = Arc::clone(&last.layout);
        let chunk = closed(&self.open, self.arena, false, room.arenas);
        self.push(HistogramChunk { chunk, layout });
        self.open.count = 0;
        self.open.bytes = Vec::new();
    }

    fn push(&mut self, chunk: HistogramChunk) {
        self.closed.reserve_exact(1);
        self.closed.push(chunk);
    }

    #[cold]
    fn append_late(&mut self, time_ms: i64, value: View<'_>, room: &mut Room<'_>) {
        // What came out of order was compared with nothing.
        let hint = match value.hint {
            Hint::Gauge => Hint::Gauge,
            _ => Hint::Unknown,
        };
        match self.late.binary_search_by_key(&time_ms, |one| one.time_ms) {
            Ok(at) => {
                if rank(self.late[at].value.view(), value).is_lt() {
                    self.late[at].value = self.kept(value, hint);
                }
            }
            Err(at) => {
                let value = self.kept(value, hint);
                self.late.insert(at, Late { time_ms, value });
            }
        }
        if self.late.len() >= LATE_MAX {
            self.close_late(room, None);
        }
    }

    /// Encodes the waiting out-of-order samples (of one range only, where it is given).
    fn close_late(&mut self, room: &mut Room<'_>, only: Option<i64>) {
        let range_ms = room.arenas.range_ms;
        let range_of = |one: &Late| one.time_ms.div_euclid(range_ms);
        let late = std::mem::take(&mut self.late);
        let (ready, waiting): (Vec<Late>, Vec<Late>) = late
            .into_iter()
            .partition(|one| only.is_none_or(|range| range == range_of(one)));
        self.late = waiting;
        let together = |left: &Late, right: &Late| {
            range_of(left) == range_of(right)
                && left.value.view().is_laid_out_as(&right.value.view())
        };
        for samples in ready.chunk_by(together) {
            let mut writer = Writer::default();
            let mut before: Option<&Histogram> = None;
            for Late { time_ms, value } in samples {
                match before {
                    Some(before) => writer.put(*time_ms, value.hint, &before.cells, &value.cells),
                    None => writer.start(*time_ms, value.hint, &value.cells),
                }
                before = Some(value);
            }
            let arena = room.arenas.open(range_of(&samples[0]));
            let chunk = closed(&writer, arena, true, room.arenas);
            let layout = Arc::clone(&samples[0].value.layout);
            self.push(HistogramChunk { chunk, layout });
        }
    }

    /// Closes what it has in a range, but for its starts.
    pub fn close_range(&mut self, range: i64, room: &mut Room<'_>) {
        if self.open.count > 0 && room.arenas.range_of(self.arena) == Some(range) {
            self.close(room);
        }
        if !self.late.is_empty() {
            self.close_late(room, Some(range));
        }
    }

    /// Forgets the chunks of an arena.
    pub fn release(&mut self, arena: u32) {
        let before = self.closed.len();
        self.closed.retain(|one| one.chunk.arena != arena);
        if self.closed.len() != before {
            self.closed.shrink_to_fit();
        }
    }

    /// Its chunks, the open one last; in order of time but for those of late samples.
    pub fn chunks<'a>(&'a self, arenas: &'a Arenas) -> impl Iterator<Item = Encoded<'a>> {
        let closed = self.closed.iter().map(|one| Encoded {
            bytes: arenas.get(one.chunk.arena, one.chunk.place),
            layout: &one.layout,
            count: one.chunk.count as usize,
            min_ms: one.chunk.min_ms,
            max_ms: one.chunk.max_ms,
            late: one.chunk.late,
            arena: Some(one.chunk.arena),
        });
        let growing = self.last.iter().filter(|_| self.open.count > 0);
        closed.chain(growing.map(|last| Encoded {
            bytes: &self.open.bytes,
            layout: &last.layout,
            count: self.open.count as usize,
            min_ms: self.open.min_ms,
            max_ms: self.open.last_ms,
            late: false,
            arena: None,
        }))
    }

    /// Whether it holds no sample.
    pub fn is_empty(&self) -> bool {
        self.open.count == 0 && self.closed.is_empty() && self.late.is_empty()
    }

    /// Whether it has a chunk in an arena.
    pub fn is_in(&self, arena: u32) -> bool {
        self.closed.iter().any(|one| one.chunk.arena == arena)
    }

    /// Times of the first and the last sample of each part of it.
    fn spans(&self) -> impl Iterator<Item = (i64, i64)> {
        let growing = (self.open.count > 0).then_some((self.open.min_ms, self.open.last_ms));
        let closed = self.closed.iter();
        let closed = closed.map(|one| (one.chunk.min_ms, one.chunk.max_ms));
        let late = self.late_times().map(|time_ms| (time_ms, time_ms));
        growing.into_iter().chain(closed).chain(late)
    }

    /// Whether it may have samples between the two times, both included.
    pub fn overlaps(&self, mint_ms: i64, maxt_ms: i64) -> bool {
        self.spans()
            .any(|(first_ms, last_ms)| first_ms <= maxt_ms && last_ms >= mint_ms)
    }

    pub fn bounds_ms(&self) -> Option<(i64, i64)> {
        self.spans()
            .reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))
    }

    pub fn late_times(&self) -> impl Iterator<Item = i64> {
        self.late.iter().map(|one| one.time_ms)
    }

    pub fn chunk_count(&self) -> usize {
        self.closed.len() + usize::from(self.open.count > 0)
    }

    /// Bytes held beside arenas. A layout counts once for each run of chunks that share it.
    pub fn size_bytes(&self) -> usize {
        let last = self.last.iter().map(|last| &last.layout);
        let mut layouts: Vec<&Arc<Layout>> = self.closed.iter().map(|one| &one.layout).collect();
        layouts.extend(last);
        layouts.dedup_by(|left, right| Arc::ptr_eq(left, right));
        let layouts = layouts.into_iter().map(|layout| layout_bytes(layout));
        let kept = |value: &Histogram| value.cells.capacity() * 8;
        let late = self.late.iter().map(|one| kept(&one.value));
        size_of::<Self>()
            + self.open.bytes.capacity()
            + self.last.as_ref().map_or(0, kept)
            + self.closed.capacity() * size_of::<HistogramChunk>()
            + self.late.capacity() * size_of::<Late>()
            + layouts.sum::<usize>()
            + late.sum::<usize>()
            + self.starts.as_deref().map_or(0, boxed_bytes)
    }
}

/// Whether two are the same bit for bit, hints aside.
pub fn is_same(left: View<'_>, right: View<'_>) -> bool {
    left.is_laid_out_as(&right) && is_equal(left.cells, right.cells)
}

/// Bytes of a layout behind its `Arc`.
fn layout_bytes(layout: &Layout) -> usize {
    size_of::<Layout>() + 16 + layout.size_bytes()
}

/// Makes room for the next samples a quarter at a time: many series have an open chunk.
fn reserve(bytes: &mut Vec<u8>) {
    if bytes.capacity() - bytes.len() < 64 {
        bytes.reserve_exact(bytes.len() / 4 + 64);
    }
}

fn closed(writer: &Writer, arena: u32, late: bool, arenas: &mut Arenas) -> Chunk {
    Chunk {
        min_ms: writer.min_ms,
        max_ms: writer.last_ms,
        place: arenas.push(arena, &writer.bytes),
        arena,
        count: writer.count,
        late,
    }
}
