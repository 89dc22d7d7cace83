//! Where chunk bytes live: a slab of small blocks for open chunks, an arena a range for closed ones.

use std::collections::BTreeMap;

use crate::head::step::{STEP_BYTES_MAX, Scratch};

const BLOCK_BYTES: usize = 64;
const PAYLOAD_BYTES: usize = BLOCK_BYTES - 4;
pub const NO_BLOCK: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
struct Block {
    payload: [u8; PAYLOAD_BYTES],
    next: u32,
}

/// Asks the processor for the memory of a value that will be used soon.
#[inline]
pub fn fetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    for offset in (0..size_of::<T>()).step_by(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let at = std::ptr::from_ref(value).cast::<i8>().wrapping_add(offset);
        // SAFETY: a hint; it reads nothing that a program could see, and no address makes it fail.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

/// A growing byte string: a chain of blocks. `size` is enough to find the place in the last one.
#[derive(Debug, Clone, Copy)]
pub struct Chain {
    pub first: u32,
    pub last: u32,
    pub size: u16,
}

impl Default for Chain {
    fn default() -> Self {
        Self {
            first: NO_BLOCK,
            last: NO_BLOCK,
            size: 0,
        }
    }
}

/// A slab of blocks of one size: growth of a chain copies nothing, a free block fits everybody.
#[derive(Debug)]
pub struct Blocks {
    all: Vec<Block>,
    free: u32,
    free_count: usize,
}

impl Default for Blocks {
    fn default() -> Self {
        Self {
            all: Vec::new(),
            free: NO_BLOCK,
            free_count: 0,
        }
    }
}

impl Blocks {
    pub fn append(&mut self, chain: &mut Chain, bytes: &[u8]) {
        let used = chain.size as usize % PAYLOAD_BYTES;
        chain.size += bytes.len() as u16;
        let mut rest = bytes;
        if used != 0 {
            let head = rest.len().min(PAYLOAD_BYTES - used);
            self.all[chain.last as usize].payload[used..used + head].copy_from_slice(&rest[..head]);
            rest = &rest[head..];
        }
        while !rest.is_empty() {
            let head = rest.len().min(PAYLOAD_BYTES);
            let block = self.take();
            self.all[block as usize].payload[..head].copy_from_slice(&rest[..head]);
            match chain.last {
                NO_BLOCK => chain.first = block,
                last => self.all[last as usize].next = block,
            }
            chain.last = block;
            rest = &rest[head..];
        }
    }

    /// Appends the first `size` bytes of a step. Where the block has room for any step, all of them
    /// are copied: a copy of known length is two instructions, and what lies behind the end is free.
    #[inline]
    pub fn append_step(&mut self, chain: &mut Chain, bytes: &[u8; STEP_BYTES_MAX], size: usize) {
        let used = chain.size as usize % PAYLOAD_BYTES;
        if used == 0 || used + STEP_BYTES_MAX > PAYLOAD_BYTES {
            self.append(chain, &bytes[..size]);
            return;
        }
        let payload = &mut self.all[chain.last as usize].payload;
        payload[used..used + STEP_BYTES_MAX].copy_from_slice(bytes);
        chain.size += size as u16;
    }

    /// Asks for the block that the next step of a chain goes to.
    #[inline]
    pub fn fetch(&self, chain: &Chain) {
        if let Some(block) = self.all.get(chain.last as usize) {
            fetch(block);
        }
    }

    /// Overwrites the last byte of a chain that is not empty.
    #[inline]
    pub fn replace_last(&mut self, chain: &Chain, byte: u8) {
        let at = (chain.size as usize - 1) % PAYLOAD_BYTES;
        self.all[chain.last as usize].payload[at] = byte;
    }

    /// Copies the bytes of a chain to the start of `scratch`; returns how many there are.
    pub fn gather(&self, chain: &Chain, scratch: &mut Scratch) -> usize {
        let size = chain.size as usize;
        let mut block = chain.first;
        let mut at = 0;
        while at < size {
            let Block { payload, next } = &self.all[block as usize];
            // Whole, because a copy of a fixed size is a few instructions; the scratch has the room.
            scratch[at..at + PAYLOAD_BYTES].copy_from_slice(payload);
            at += PAYLOAD_BYTES;
            block = *next;
        }
        size
    }

    pub fn release(&mut self, chain: &mut Chain) {
        let mut block = chain.first;
        while block != NO_BLOCK {
            let next = self.all[block as usize].next;
            self.all[block as usize].next = self.free;
            self.free = block;
            self.free_count += 1;
            block = next;
        }
        *chain = Chain::default();
    }

    fn take(&mut self) -> u32 {
        let block = self.free;
        if block == NO_BLOCK {
            self.all.push(Block {
                payload: [0; PAYLOAD_BYTES],
                next: NO_BLOCK,
            });
            return self.all.len() as u32 - 1;
        }
        self.free = self.all[block as usize].next;
        self.free_count -= 1;
        self.all[block as usize].next = NO_BLOCK;
        block
    }

    /// Whether most of the slab is free, so that moving the rest to a smaller one is worth it.
    pub fn is_sparse(&self) -> bool {
        self.all.len() > 4096 && self.free_count * 4 > self.all.len() * 3
    }

    pub fn size_bytes(&self) -> usize {
        self.all.len() * BLOCK_BYTES
    }
}

const PAGE_BYTES: usize = 1 << 20;

/// The closed chunks of one aligned range. Dropped as a whole.
#[derive(Debug)]
pub struct Arena {
    /// Number of the range: covers `[range * range_ms, (range + 1) * range_ms)`.
    pub range: i64,
    pub frozen: bool,
    pages: Vec<Vec<u8>>,
}

/// Where the bytes of a closed chunk are in its arena.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    page: u32,
    start: u32,
    size: u32,
}

impl Arena {
    fn push(&mut self, bytes: &[u8]) -> Place {
        let fits = |page: &Vec<u8>| page.len() + bytes.len() <= PAGE_BYTES;
        if !self.pages.last().is_some_and(fits) {
            // A page that is not the first will be full: it need not grow.
            let room = if self.pages.is_empty() { 0 } else { PAGE_BYTES };
            self.pages.push(Vec::with_capacity(room.max(bytes.len())));
        }
        let page = self.pages.len() - 1;
        let start = self.pages[page].len() as u32;
        self.pages[page].extend_from_slice(bytes);
        Place {
            page: page as u32,
            start,
            size: bytes.len() as u32,
        }
    }

    fn size_bytes(&self) -> usize {
        self.pages.iter().map(Vec::capacity).sum()
    }
}

/// All arenas of a head, and which of them takes new chunks of a range.
#[derive(Debug)]
pub struct Arenas {
    pub range_ms: i64,
    all: BTreeMap<u32, Arena>,
    open: BTreeMap<i64, u32>,
    next: u32,
    /// The arena asked for last; nearly every sample asks for the same.
    recent: Recent,
}

#[derive(Debug, Clone, Copy, Default)]
struct Recent {
    start_ms: i64,
    end_ms: i64,
    id: u32,
}

impl Arenas {
    pub fn new(range_ms: i64) -> Self {
        Self {
            range_ms,
            all: BTreeMap::new(),
            open: BTreeMap::new(),
            next: 0,
            recent: Recent::default(),
        }
    }

    /// The arena that takes a chunk with this time.
    #[inline]
    pub fn open_at(&mut self, time_ms: i64) -> u32 {
        if self.recent.start_ms <= time_ms && time_ms < self.recent.end_ms {
            return self.recent.id;
        }
        let range = time_ms.div_euclid(self.range_ms);
        let id = self.open(range);
        let start_ms = range.saturating_mul(self.range_ms);
        self.recent = Recent {
            start_ms,
            end_ms: start_ms.saturating_add(self.range_ms),
            id,
        };
        id
    }

    /// The arena that takes chunks of a range now; a new one after the last was frozen.
    pub fn open(&mut self, range: i64) -> u32 {
        if let Some(&id) = self.open.get(&range) {
            return id;
        }
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        let arena = Arena {
            range,
            frozen: false,
            pages: Vec::new(),
        };
        self.all.insert(id, arena);
        self.open.insert(range, id);
        id
    }

    pub fn push(&mut self, id: u32, bytes: &[u8]) -> Place {
        match self.all.get_mut(&id) {
            Some(arena) => arena.push(bytes),
            None => Place {
                page: 0,
                start: 0,
                size: 0,
            },
        }
    }

    /// The bytes of a closed chunk.
    pub fn get(&self, id: u32, place: Place) -> &[u8] {
        let Some(arena) = self.all.get(&id) else {
            return &[];
        };
        let start = place.start as usize;
        &arena.pages[place.page as usize][start..start + place.size as usize]
    }

    /// Copies the bytes of a closed chunk of floats to the start of `scratch`.
    pub fn gather(&self, id: u32, place: Place, scratch: &mut Scratch) {
        let bytes = self.get(id, place);
        scratch[..bytes.len()].copy_from_slice(bytes);
    }

    /// Later samples of the range go to another arena.
    pub fn freeze(&mut self, range: i64) -> Option<u32> {
        self.recent = Recent::default();
        let id = self.open.remove(&range)?;
        if let Some(arena) = self.all.get_mut(&id) {
            arena.frozen = true;
        }
        Some(id)
    }

    pub fn ranges(&self) -> impl Iterator<Item = i64> + '_ {
        self.open.keys().copied()
    }

    pub fn range_of(&self, id: u32) -> Option<i64> {
        self.all.get(&id).map(|arena| arena.range)
    }

    pub fn is_frozen(&self, id: u32) -> bool {
        self.all.get(&id).is_some_and(|arena| arena.frozen)
    }

    pub fn release(&mut self, id: u32) -> bool {
        if !self.is_frozen(id) {
            return false;
        }
        self.all.remove(&id).is_some()
    }

    pub fn size_bytes(&self) -> usize {
        self.all.values().map(Arena::size_bytes).sum()
    }
}
