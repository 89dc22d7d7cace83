//! The histogram half of a merge.
//!
//! At one timestamp the largest stays ([`rank`]), of equal ones the later start. What a sample says of a
//! counter reset holds against the sample before it in its own source: it stays only where that sample is
//! before it in the result as well. Gauges stay gauges.

use crate::frame::{HistogramFrame, HistogramFrameView};
use crate::histogram::{Hint, View, rank};

/// The histograms of one source, and which of its rows each row of the result takes (-1: none).
pub struct HistogramPart<'a> {
    rows: &'a [i64],
    frame: HistogramFrameView<'a>,
}

impl<'a> HistogramPart<'a> {
    /// The part, if it has any histogram.
    pub fn of(rows: &'a [i64], frame: HistogramFrameView<'a>) -> Option<Self> {
        (!frame.timestamps_ms.is_empty()).then_some(Self { rows, frame })
    }

    fn cursor(&self, row: usize) -> Option<Cursor<'a>> {
        let own = usize::try_from(self.rows[row]).ok()?;
        let at = self.frame.offsets[own] as usize;
        let end = self.frame.offsets[own + 1] as usize;
        (at < end).then_some(Cursor {
            frame: self.frame,
            at,
            end,
            joined: None,
        })
    }
}

/// Where the merge is in one source.
struct Cursor<'a> {
    frame: HistogramFrameView<'a>,
    at: usize,
    end: usize,
    /// The place in the result that the sample before `at` has, if it is the one that stayed there.
    joined: Option<usize>,
}

impl<'a> Cursor<'a> {
    fn is_done(&self) -> bool {
        self.at == self.end
    }

    fn time(&self) -> i64 {
        self.frame.timestamps_ms[self.at]
    }

    fn view(&self) -> View<'a> {
        self.frame.values.get(self.at)
    }

    fn start(&self) -> i64 {
        self.frame
            .starts_ms
            .get(self.at)
            .copied()
            .unwrap_or_default()
    }
}

/// What a source says of a sample, as far as it holds in the result.
fn kept(said: Hint, holds: bool) -> Hint {
    match said {
        Hint::Reset | Hint::NotReset if !holds => Hint::Unknown,
        said => said,
    }
}

/// Of what several say of equal samples, the most definite.
fn firmer(left: Hint, right: Hint) -> Hint {
    let firmness = |hint: Hint| match hint {
        Hint::Unknown => 0,
        Hint::NotReset => 1,
        Hint::Reset => 2,
        Hint::Gauge => 3,
    };
    if firmness(left) < firmness(right) {
        right
    } else {
        left
    }
}

struct Merger {
    out: HistogramFrame,
    has_starts: bool,
    /// Where the row began in the result.
    first: usize,
}

impl Merger {
    fn push(&mut self, time: i64, view: View<'_>, start: i64) {
        self.out.timestamps_ms.push(time);
        self.out.values.push(view);
        if self.has_starts {
            self.out.starts_ms.push(start);
        }
    }

    /// The result's sample before the next one; before the first there is none.
    fn before(&self) -> Option<usize> {
        let count = self.out.timestamps_ms.len();
        (count > self.first).then(|| count - 1)
    }

    /// Takes the samples of one source that are before all others'.
    fn take_run(&mut self, cursor: &mut Cursor<'_>, until: Option<i64>) {
        while !cursor.is_done() && until.is_none_or(|until| cursor.time() < until) {
            let mut view = cursor.view();
            view.hint = kept(view.hint, cursor.joined == self.before());
            self.push(cursor.time(), view, cursor.start());
            cursor.at += 1;
            cursor.joined = self.before();
        }
    }

    /// Takes the sample that several sources have at one time.
    fn take_one(&mut self, cursors: &mut [Cursor<'_>], time: i64) {
        let at_time = |cursor: &Cursor<'_>| cursor.time() == time;
        let here = cursors.iter().filter(|cursor| at_time(cursor));
        let Some(mut best) = here.map(Cursor::view).max_by(|a, b| rank(*a, *b)) else {
            return;
        };
        let winner = best;
        let (before, place) = (self.before(), self.out.timestamps_ms.len());
        let mut start = i64::MIN;
        best.hint = Hint::Unknown;
        for cursor in cursors.iter_mut().filter(|cursor| at_time(cursor)) {
            let said = kept(cursor.view().hint, cursor.joined == before);
            let stays = rank(cursor.view(), winner).is_eq();
            if stays {
                start = start.max(cursor.start());
                best.hint = firmer(best.hint, said);
            }
            cursor.joined = Some(if stays { place } else { usize::MAX });
            cursor.at += 1;
        }
        self.push(time, best, start);
    }

    fn take_row(&mut self, cursors: &mut Vec<Cursor<'_>>) {
        self.first = self.out.timestamps_ms.len();
        while let Some(time) = cursors.iter().map(Cursor::time).min() {
            let later = |cursor: &&mut Cursor<'_>| cursor.time() > time;
            let until = cursors.iter_mut().filter(later).map(|one| one.time()).min();
            let mut here = cursors.iter_mut().filter(|cursor| cursor.time() == time);
            match (here.next(), here.next()) {
                (Some(only), None) => self.take_run(only, until),
                _ => self.take_one(cursors, time),
            }
            cursors.retain(|cursor| !cursor.is_done());
        }
    }
}

/// The histograms of `count` series; rows and offsets of the parts were checked.
pub fn merge(parts: &[HistogramPart<'_>], count: usize) -> HistogramFrame {
    let mut merger = Merger {
        out: HistogramFrame::default(),
        has_starts: parts.iter().any(|part| !part.frame.starts_ms.is_empty()),
        first: 0,
    };
    merger.out.offsets.push(0);
    let mut cursors = Vec::with_capacity(parts.len());
    for row in 0..count {
        cursors.clear();
        cursors.extend(parts.iter().filter_map(|part| part.cursor(row)));
        merger.take_row(&mut cursors);
        let taken = merger.out.timestamps_ms.len();
        merger.out.offsets.push(taken as i64);
    }
    merger.out
}
