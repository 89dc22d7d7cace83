//! Reads of many series: the lock is held for a few at a time, and two threads share a long one.

use crate::error::Result;
use crate::head::copy::Copier;
use crate::head::read::{Columns, Window};
use crate::head::series::Series;
use crate::head::shared::Shared;
use crate::head::store::Store;
use crate::rpc::seal::Sealed;
use crate::rpc::writer::{FrameWriter, Kinds};

/// Series decoded under one hold of the lock, so that a long read does not hold up appends.
const SERIES_A_LOCK: usize = 256;
/// Samples from which a read is worth a second thread.
const SAMPLES_A_THREAD: usize = 1 << 17;
/// Decoding a histogram takes as long as decoding so many floats.
const SAMPLES_A_HISTOGRAM: usize = 16;

/// A ref is a slot and the low bits of the id of the series in it, so that one that outlived its
/// series is noticed.
pub fn refs(store: &Store, slots: &[u32]) -> Vec<i64> {
    let encode = |&slot: &u32| tag(store.series[slot as usize].id) | i64::from(slot);
    slots.iter().map(encode).collect()
}

fn tag(id: u64) -> i64 {
    ((id & 0x7fff_ffff) << 32) as i64
}

/// A series that is gone has no samples: all it had was released, which a pin that is not too old
/// need not see, since it was in a block before the pin was taken.
pub fn read(shared: &Shared, refs: &[i64], window: &Window) -> Columns {
    let mut columns = Columns::default();
    let (samples, histograms) = bound(shared, refs, window);
    columns.reserve(samples);
    let work = samples + histograms * SAMPLES_A_HISTOGRAM;
    if refs.len() < 2 || work < SAMPLES_A_THREAD {
        read_part(shared, refs, window, &mut columns);
        return columns;
    }
    let (left, right) = refs.split_at(refs.len() / 2);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let mut columns = Columns::default();
            columns.reserve(bound(shared, right, window).0);
            read_part(shared, right, window, &mut columns);
            columns
        });
        read_part(shared, left, window, &mut columns);
        match other.join() {
            Ok(other) => columns.append(other),
            Err(panic) => std::panic::resume_unwind(panic),
        }
        columns
    })
}

/// The same samples for another process, not decoded; or their digests, as the writer is.
pub fn copy(
    shared: &Shared,
    refs: &[i64],
    window: &Window,
    writer: FrameWriter,
) -> Result<Sealed<2>> {
    let mut copier = Copier::new(writer);
    for part in refs.chunks(SERIES_A_LOCK) {
        let store = shared.read();
        for &found in part {
            match series_of(&store, found) {
                Some(series) => copier.copy(&store, series, window),
                None => copier.copy_nothing(),
            }
        }
    }
    let (mint_ms, maxt_ms) = (window.mint_ms, window.maxt_ms);
    copier.writer.finish(mint_ms, maxt_ms, Kinds::default())
}

/// At most so many float samples and histograms are in the window.
fn bound(shared: &Shared, refs: &[i64], window: &Window) -> (usize, usize) {
    let store = shared.read();
    let living = refs.iter().filter_map(|&found| series_of(&store, found));
    living.fold((0, 0), |(samples, histograms), series| {
        (
            samples + window.bound(series),
            histograms + window.bound_histograms(&store, series),
        )
    })
}

fn read_part(shared: &Shared, refs: &[i64], window: &Window, columns: &mut Columns) {
    for part in refs.chunks(SERIES_A_LOCK) {
        let store = shared.read();
        for &found in part {
            match series_of(&store, found) {
                Some(series) => columns.read(&store, series, window),
                None => columns.read_nothing(),
            }
        }
    }
}

pub fn series_of(store: &Store, found: i64) -> Option<&Series> {
    let series = store.series.get(found as u32 as usize)?;
    (series.id != 0 && tag(series.id) == found & !0xffff_ffff).then_some(series)
}

/// The slot of a ref, unless its series is gone.
pub fn slot_of(store: &Store, found: i64) -> Option<u32> {
    series_of(store, found).map(|_| found as u32)
}
