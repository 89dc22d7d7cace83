//! `sum` and `avg` of histograms by group: one summary a (group, step), fed batch after batch of series.

use std::ops::Range;

use super::answer::NONE;
use super::total::Summary;
use crate::error::{Error, Result};
use crate::histogram::{Histograms, Notes};
use crate::kernel::cells::check_groups;
use crate::kernel::parallel::{cells, each};

/// The summaries of some of the steps, for all groups; one thread works on it at a time.
struct Strip {
    steps: Range<usize>,
    summaries: Vec<Option<Box<Summary>>>,
    /// Of the summaries.
    size_bytes: usize,
}

impl Strip {
    fn new(groups: usize, steps: Range<usize>) -> Self {
        Self {
            summaries: vec![None; groups * steps.len()],
            steps,
            size_bytes: 0,
        }
    }

    fn add(&mut self, batch: &Batch<'_>, averaged: bool) {
        let width = self.steps.len();
        for (row, &group) in batch.group_of.iter().enumerate() {
            let start = row * batch.width;
            let index = &batch.index[start + self.steps.start..start + self.steps.end];
            let first = group as usize * width;
            let summaries = &mut self.summaries[first..first + width];
            for (summary, &at) in summaries.iter_mut().zip(index) {
                if at == NONE {
                    continue;
                }
                let view = batch.pool.get(at as usize);
                match summary {
                    Some(summary) => {
                        self.size_bytes -= summary.size_bytes();
                        summary.add(view);
                        self.size_bytes += summary.size_bytes();
                    }
                    None => {
                        let first = summary.insert(Box::new(Summary::of(view, averaged)));
                        self.size_bytes += first.size_bytes();
                    }
                }
            }
        }
    }
}

/// Step matrices of histograms with the group of each series.
#[derive(Clone, Copy)]
pub struct Batch<'a> {
    pub group_of: &'a [i32],
    /// Which histogram of `pool` each cell is, or `NONE`.
    pub index: &'a [i64],
    pub width: usize,
    pub pool: &'a Histograms,
}

/// `sum` or `avg` by group.
pub struct HistogramAggregation {
    strips: Vec<Strip>,
    averaged: bool,
    groups: usize,
    steps: usize,
}

/// The results of groups.
pub struct Sums {
    /// Which histogram of `pool` each (group, step) is, or `NONE`.
    pub index: Vec<i64>,
    pub pool: Histograms,
    /// For each group.
    pub notes: Vec<Notes>,
}

impl HistogramAggregation {
    pub fn new(operator: &str, groups: usize, steps: usize) -> Result<Self> {
        cells(groups, steps)?;
        let averaged = match operator {
            "sum" => false,
            "avg" => true,
            other => {
                let message = format!("no aggregation operator {other:?} of histograms");
                return Err(Error::invalid("operator-unknown", message));
            }
        };
        let half = steps / 2;
        Ok(Self {
            strips: vec![Strip::new(groups, 0..half), Strip::new(groups, half..steps)],
            averaged,
            groups,
            steps,
        })
    }

    /// Takes in a batch of series.
    pub fn add(&mut self, batch: &Batch<'_>) -> Result<()> {
        check_groups(batch.group_of, self.groups, batch.group_of.len())?;
        let rows = batch.group_of.len();
        if batch.width != self.steps || batch.index.len() != cells(rows, batch.width)? {
            let message = format!(
                "{} cells of {rows} x {} for {} steps",
                batch.index.len(),
                batch.width,
                self.steps
            );
            return Err(Error::invalid("matrix-shape", message));
        }
        let count = batch.pool.len() as i64;
        if let Some(at) = batch.index.iter().find(|&&at| at < NONE || at >= count) {
            let message = format!("histogram {at} of {count}");
            return Err(Error::invalid("index-outside", message));
        }
        let averaged = self.averaged;
        let work = batch.pool.cell_count() + batch.index.len();
        each(
            self.strips.iter_mut(),
            work,
            || (),
            |(), strip| strip.add(batch, averaged),
        );
        Ok(())
    }

    /// Bytes that the summaries hold.
    pub fn size_bytes(&self) -> usize {
        self.strips.iter().map(|strip| strip.size_bytes).sum()
    }

    /// The results so far, one row a group. The summaries are spent.
    pub fn finish(&mut self) -> Result<Sums> {
        let mut sums = Sums {
            index: vec![NONE; cells(self.groups, self.steps)?],
            pool: Histograms::default(),
            notes: vec![Notes::NONE; self.groups],
        };
        for group in 0..self.groups {
            for strip in &mut self.strips {
                strip.size_bytes = 0;
                let width = strip.steps.len();
                let summaries = &mut strip.summaries[group * width..(group + 1) * width];
                for (summary, step) in summaries.iter_mut().zip(strip.steps.clone()) {
                    let Some(summary) = summary.take() else {
                        continue;
                    };
                    let (sum, notes) = summary.finish();
                    sums.notes[group] |= notes;
                    if let Some(sum) = sum {
                        sums.index[group * self.steps + step] = sums.pool.len() as i64;
                        sums.pool.push(sum.view());
                    }
                }
            }
        }
        Ok(sums)
    }
}
