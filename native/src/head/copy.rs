//! Samples for another process: chunks as they are stored, not decoded (`docs/format/select.md`).

use crate::head::blocks::Arenas;
use crate::head::histograms::{Encoded, HistogramTrack};
use crate::head::read::{Window, Words, has_late};
use crate::head::read_histograms::{self, HistogramColumns};
use crate::head::series::{Extras, Series, larger_start};
use crate::head::step;
use crate::head::store::Store;
use crate::head::track::{Chunk, Pick, Track};
use crate::rpc::writer::{Column, FrameWriter};

/// A chunk of so many bytes is copied whole, whatever part of it is wanted.
const WHOLE_BYTES: usize = 64;

/// Copies series after series.
#[derive(Debug)]
pub struct Copier {
    pub writer: FrameWriter,
    words: Words,
}

impl Copier {
    pub fn new(writer: FrameWriter) -> Self {
        Self {
            writer,
            words: Words::default(),
        }
    }

    pub fn copy(&mut self, store: &Store, series: &Series, window: &Window) {
        self.copy_track(store, &series.floats, window, (Column::Floats, step::pick));
        if let Some(extras) = series.extras.as_deref() {
            self.copy_extras(store, extras, window);
        }
        self.writer.end_series();
    }

    /// A series that is gone.
    pub fn copy_nothing(&mut self) {
        self.writer.end_series();
    }

    fn copy_extras(&mut self, store: &Store, extras: &Extras, window: &Window) {
        if let Some(track) = extras.starts.as_deref() {
            self.copy_track(store, track, window, (Column::Starts, larger_start));
        }
        let Some(histograms) = extras.histograms.as_deref() else {
            return;
        };
        self.copy_histograms(store, histograms, window);
        if let Some(track) = histograms.starts.as_deref() {
            self.copy_track(
                store,
                track,
                window,
                (Column::HistogramStarts, larger_start),
            );
        }
    }

    fn copy_track(
        &mut self,
        store: &Store,
        track: &Track,
        window: &Window,
        (column, pick): (Column, Pick),
    ) {
        if has_late(track, window) {
            self.words.clear();
            self.words.read(store, track, window, pick);
            self.put_words(column);
            return;
        }
        for chunk in track.closed.iter().filter(|chunk| window.wants(chunk)) {
            self.copy_chunk(&store.arenas, chunk, window, column);
        }
        let (open, state) = (&track.open, &track.open.state);
        if state.count == 0 || !window.overlaps(open.min_ms, state.last_ms) {
            return;
        }
        if window.takes(open.chain.size as usize, open.min_ms, state.last_ms) {
            let bytes = self.words.gathered(store, open);
            let count = state.count as usize;
            self.writer.chunk(column, count, open.min_ms, bytes);
        } else {
            self.words.clear();
            self.words.decode_open(store, track, window);
            self.put_words(column);
        }
    }

    fn copy_chunk(&mut self, arenas: &Arenas, chunk: &Chunk, window: &Window, column: Column) {
        let bytes = arenas.get(chunk.arena, chunk.place);
        if window.takes(bytes.len(), chunk.min_ms, chunk.max_ms) {
            let count = chunk.count as usize;
            self.writer.chunk(column, count, chunk.min_ms, bytes);
        } else {
            self.words.clear();
            self.words.decode_closed(arenas, chunk, window);
            self.put_words(column);
        }
    }

    fn put_words(&mut self, column: Column) {
        let words = self.words.values.iter().map(|value| value.to_bits());
        self.writer.words(column, &self.words.times, words);
    }

    fn copy_histograms(&mut self, store: &Store, track: &HistogramTrack, window: &Window) {
        if read_histograms::has_late(store, track, window) {
            let mut columns = HistogramColumns::default();
            columns.read_merged(store, track, window);
            self.put_histograms(&columns);
            return;
        }
        for chunk in track.chunks(&store.arenas).filter(|one| one.is_in(window)) {
            self.copy_histogram_chunk(&chunk, window);
        }
    }

    fn copy_histogram_chunk(&mut self, chunk: &Encoded<'_>, window: &Window) {
        if window.takes(chunk.bytes.len(), chunk.min_ms, chunk.max_ms) {
            let (layout, bytes) = (chunk.layout, chunk.bytes);
            self.writer
                .histogram_chunk(layout, chunk.count, chunk.min_ms, bytes);
        } else {
            let mut columns = HistogramColumns::default();
            columns.read_chunk(chunk, window);
            self.put_histograms(&columns);
        }
    }

    fn put_histograms(&mut self, columns: &HistogramColumns) {
        self.writer.histograms(&columns.times, &columns.values, 0);
    }
}

impl Window {
    /// Whether a chunk is copied whole: it is small, or at least half of its time is wanted.
    fn takes(&self, size_bytes: usize, min_ms: i64, max_ms: i64) -> bool {
        let inside = max_ms.min(self.maxt_ms) - min_ms.max(self.mint_ms);
        size_bytes <= WHOLE_BYTES || inside >= (max_ms - min_ms) / 2
    }
}
