//! WAL records of samples (`docs/format/wal.md`): what `prepare` accepted, as bytes and back.

use hashbrown::HashMap;

use crate::error::Result;
use crate::fields::sections::{self, More, rows};
use crate::fields::wire::{Reader, put_signed, put_text, put_times, put_varint};
use crate::fingerprint::fingerprint;
use crate::head::check::{Counts, Prepared};
use crate::head::store::{NO_SLOT, Store};
use crate::symbols::Interner;

const WHAT: &str = "WAL record";
/// Kind of a record with float samples only.
pub const KIND_SAMPLES: u8 = 1;
/// Kind of a record with starts, histograms or exemplars.
pub const KIND_MORE: u8 = 3;

/// Encodes the payload, and says of which kind it is; series that the segment does not define yet are defined
/// in it.
pub fn encode(store: &mut Store, tenant: &str, prepared: &Prepared, segment: u32) -> (u8, Vec<u8>) {
    let mut out = Vec::with_capacity(64 + prepared.slots.len() * 2 + prepared.times.len() * 10);
    put_text(&mut out, tenant);
    put_series(&mut out, store, &prepared.slots, segment);
    put_counts(&mut out, prepared);
    put_times(&mut out, &prepared.times);
    put_values(&mut out, &prepared.bits);
    if !prepared.has_more() {
        return (KIND_SAMPLES, out);
    }
    let more = prepared.more.as_deref().map(More::view);
    sections::encode(&mut out, &prepared.starts, &more.unwrap_or_default());
    (KIND_MORE, out)
}

/// The ids of the series, and the definitions of those that the segment does not have; a series is looked at once.
fn put_series(out: &mut Vec<u8>, store: &mut Store, slots: &[u32], segment: u32) {
    let mut ids = Vec::with_capacity(slots.len() * 2);
    let mut fresh = Vec::new();
    let mut before = 0;
    for &slot in slots {
        let series = &mut store.series[slot as usize];
        put_signed(&mut ids, series.id.wrapping_sub(before) as i64);
        before = series.id;
        if series.segment != segment {
            series.segment = segment;
            fresh.push(slot);
        }
    }
    put_definitions(out, store, &fresh);
    put_varint(out, slots.len() as u64);
    out.extend_from_slice(&ids);
}

fn put_definitions(out: &mut Vec<u8>, store: &Store, fresh: &[u32]) {
    let mut strings = Interner::default();
    let mut sets = Vec::new();
    for &slot in fresh {
        let series = &store.series[slot as usize];
        put_varint(&mut sets, series.id);
        put_varint(&mut sets, u64::from(series.run.count));
        for (name, value) in store.index.labels(series.run) {
            put_varint(&mut sets, u64::from(strings.intern(name)));
            put_varint(&mut sets, u64::from(strings.intern(value)));
        }
    }
    put_varint(out, strings.symbols.len() as u64);
    for text in strings.symbols.iter() {
        put_text(out, text);
    }
    put_varint(out, fresh.len() as u64);
    out.extend_from_slice(&sets);
}

fn put_counts(out: &mut Vec<u8>, prepared: &Prepared) {
    // An entry without histograms and exemplars has a sample, or it would not be here.
    let single = prepared.ends.len() == prepared.times.len()
        && (prepared.more.is_none()
            || prepared
                .ends
                .iter()
                .zip(1..)
                .all(|(&end, entry)| end == entry));
    out.push(u8::from(!single));
    if single {
        return;
    }
    for entry in 0..prepared.ends.len() {
        put_varint(out, rows(&prepared.ends, entry).len() as u64);
    }
}

fn put_values(out: &mut Vec<u8>, bits: &[u64]) {
    let start = out.len();
    out.resize(start + bits.len() * 8, 0);
    let (words, _) = out[start..].as_chunks_mut::<8>();
    for (word, bits) in words.iter_mut().zip(bits) {
        *word = bits.to_le_bytes();
    }
}

/// The tenant of a payload and where the rest starts.
pub fn tenant(payload: &[u8]) -> Result<(&str, usize)> {
    let mut reader = Reader::new(payload, WHAT);
    let tenant = reader.text()?;
    Ok((tenant, reader.at))
}

/// What one replay call found.
#[derive(Debug, Default)]
pub struct Outcome {
    pub taken: Counts,
    /// Samples and histograms in ranges that were shipped.
    pub skipped: u64,
    /// Samples and histograms whose series is defined nowhere: the definition was in a damaged record.
    pub unknown: u64,
    /// Numbers of the ranges that something was taken in, ascending.
    pub ranges: Vec<i64>,
}

/// Series ids of the WAL and their slots, kept from segment to segment of one replay.
///
/// Records repeat series in the order in which they were defined, so the one behind the last one found
/// is tried before the map is asked.
#[derive(Debug, Default)]
pub struct Ids {
    all: Vec<(u64, u32)>,
    by_id: HashMap<u64, u32>,
    next: usize,
}

impl Ids {
    fn define(&mut self, id: u64, slot: u32) {
        let at = *self.by_id.entry(id).or_insert(self.all.len() as u32) as usize;
        match self.all.get_mut(at) {
            Some(known) => known.1 = slot,
            None => self.all.push((id, slot)),
        }
    }

    #[inline]
    fn find(&mut self, id: u64) -> Option<u32> {
        if let Some(&(found, slot)) = self.all.get(self.next)
            && found == id
        {
            self.next += 1;
            return Some(slot);
        }
        let at = *self.by_id.get(&id)? as usize;
        self.next = at + 1;
        Some(self.all[at].1)
    }
}

/// Applies a payload (after its tenant) to a store. What cannot be read as a whole is not applied at all.
pub fn replay(
    store: &mut Store,
    ids: &mut Ids,
    (kind, payload): (u8, &[u8]),
    covered: &[i64],
    outcome: &mut Outcome,
) -> Result<()> {
    let mut reader = Reader::new(payload, WHAT);
    read_definitions(store, ids, &mut reader)?;
    let entries = reader.count(1)?;
    let mut slots = Vec::with_capacity(entries);
    let mut id = 0u64;
    for _ in 0..entries {
        id = id.wrapping_add(reader.signed()? as u64);
        store.reserve_id(id);
        slots.push(ids.find(id).unwrap_or(NO_SLOT));
    }
    let ends = match reader.byte()? {
        0 => (1..=entries as u32).collect(),
        _ => reader.ends(entries, 8)?,
    };
    let total = ends.last().map_or(0, |&end| end as usize);
    if total > payload.len() / 8 {
        return Err(reader.short());
    }
    let times = reader.times(total)?;
    let values = reader.take(total * 8)?.as_chunks::<8>().0;
    let sections = match kind {
        KIND_SAMPLES => sections::Sections::default(),
        _ => sections::read(&mut reader, entries, total)?,
    };
    let more = &sections.more;
    let mut replayer = Replayer {
        taken: Taken::new(store.options.range_ms, covered),
        store,
        outcome,
    };
    for (entry, &slot) in slots.iter().enumerate() {
        replayer.store.fetch_ahead(&slots, entry);
        for row in rows(&ends, entry) {
            let start_ms = sections.starts.get(row).copied().unwrap_or(0);
            let bits = u64::from_le_bytes(values[row]);
            replayer.sample(slot, times[row], start_ms, bits);
        }
        replayer.more(slot, more, entry);
    }
    replayer.store.saw(times.iter().copied().max());
    replayer
        .store
        .saw(more.histogram_times.iter().copied().max());
    replayer.taken.merge_into(&mut replayer.outcome.ranges);
    Ok(())
}

/// Puts the content of a record into a store.
struct Replayer<'a> {
    store: &'a mut Store,
    taken: Taken<'a>,
    outcome: &'a mut Outcome,
}

impl Replayer<'_> {
    /// Whether to take a sample: its series is known, and it is in no block.
    #[inline]
    fn place(&mut self, slot: u32, time_ms: i64) -> bool {
        if slot == NO_SLOT {
            self.outcome.unknown += 1;
            return false;
        }
        let covered = self.taken.is_covered(time_ms);
        self.outcome.skipped += u64::from(covered);
        !covered
    }

    #[inline]
    fn sample(&mut self, slot: u32, time_ms: i64, start_ms: i64, bits: u64) {
        if self.place(slot, time_ms) {
            self.outcome.taken.samples += 1;
            self.store.append(slot, time_ms, start_ms, bits);
        }
    }

    fn more(&mut self, slot: u32, more: &More, entry: usize) {
        if !more.histogram_ends.is_empty() {
            for row in rows(&more.histogram_ends, entry) {
                if self.place(slot, more.histogram_times[row]) {
                    self.outcome.taken.histograms += 1;
                    self.store.append_histogram(slot, more, row);
                }
            }
        }
        if more.exemplar_ends.is_empty() {
            return;
        }
        for exemplar in &more.exemplars[rows(&more.exemplar_ends, entry)] {
            if slot != NO_SLOT && !self.taken.is_covered(exemplar.time_ms) {
                self.outcome.taken.exemplars += 1;
                self.store.add_exemplar(slot, exemplar);
            }
        }
    }
}

fn read_definitions(store: &mut Store, ids: &mut Ids, reader: &mut Reader<'_>) -> Result<()> {
    let strings = reader.texts()?;
    let mut labels = Vec::new();
    let mut scratch = Vec::new();
    for _ in 0..reader.count(2)? {
        let id = reader.varint()?;
        if id == 0 {
            // 0 marks a slot that nobody has.
            return Err(reader.odd("defines series number 0"));
        }
        labels.clear();
        for _ in 0..reader.count(2)? {
            labels.push(reader.label(&strings)?);
        }
        let print = fingerprint(labels.iter().copied(), &mut scratch);
        let slot = match store.find(print) {
            Some(slot) => slot,
            None => store.insert(print, &labels, Some(id)),
        };
        store.reserve_id(id);
        ids.define(id, slot);
    }
    Ok(())
}

/// Which ranges the samples of a record lie in; samples come in runs of one range.
struct Taken<'a> {
    range_ms: i64,
    covered: &'a [i64],
    start_ms: i64,
    end_ms: i64,
    is_covered: bool,
    ranges: Vec<i64>,
}

impl<'a> Taken<'a> {
    fn new(range_ms: i64, covered: &'a [i64]) -> Self {
        Self {
            range_ms,
            covered,
            start_ms: 0,
            end_ms: 0,
            is_covered: false,
            ranges: Vec::new(),
        }
    }

    #[inline]
    fn is_covered(&mut self, time_ms: i64) -> bool {
        if time_ms < self.start_ms || time_ms >= self.end_ms {
            let range = time_ms.div_euclid(self.range_ms);
            self.start_ms = range.saturating_mul(self.range_ms);
            self.end_ms = self.start_ms.saturating_add(self.range_ms);
            self.is_covered = self.covered.contains(&range);
            if !self.is_covered {
                self.ranges.push(range);
            }
        }
        self.is_covered
    }

    fn merge_into(mut self, all: &mut Vec<i64>) {
        all.append(&mut self.ranges);
        all.sort_unstable();
        all.dedup();
    }
}
