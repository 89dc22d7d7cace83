//! The columns of a batch beside float samples: few series have rows in them, and they cost nothing without.

use std::ops::Range;

use crate::histogram::{Histograms, View};

/// Where the rows of each series end. Ends with the last series that has rows.
#[derive(Debug, Clone, Default)]
pub struct Ends(Vec<u32>);

impl Ends {
    /// Ascending.
    pub fn new(ends: Vec<u32>) -> Self {
        Self(ends)
    }

    pub fn last(&self) -> usize {
        self.0.last().map_or(0, |&end| end as usize)
    }

    pub fn range(&self, series: usize) -> Range<usize> {
        let at = |index: usize| self.0.get(index).map_or(self.last(), |&end| end as usize);
        match series {
            0 if self.0.is_empty() => 0..0,
            0 => 0..at(0),
            _ => at(series - 1)..at(series),
        }
    }

    /// Gives the rows up to `end` to a series; the series before it that were not named have none.
    #[inline]
    pub fn close(&mut self, series: usize, end: usize) {
        if end > self.last() {
            let last = self.last() as u32;
            self.0.resize(series, last);
            self.0.push(end as u32);
        }
    }

    pub fn size_bytes(&self) -> usize {
        self.0.capacity() * 4
    }
}

/// Puts a start to the row that was added last; rows that were given none have 0.
pub fn put_start(starts_ms: &mut Vec<i64>, rows: usize, start_ms: i64) {
    if start_ms != 0 {
        starts_ms.resize(rows - 1, 0);
        starts_ms.push(start_ms);
    }
}

/// Makes a column of starts as long as its rows; one without starts stays empty.
pub fn pad_starts(starts_ms: &mut Vec<i64>, rows: usize) {
    if !starts_ms.is_empty() {
        starts_ms.resize(rows, 0);
    }
}

/// The order that sorts `times`, equal ones as they are; None where they are in order.
pub fn order_of(times: &[i64]) -> Option<Vec<usize>> {
    if times.is_sorted() {
        return None;
    }
    let mut order: Vec<usize> = (0..times.len()).collect();
    order.sort_by_key(|&at| times[at]);
    Some(order)
}

/// Puts what is behind `start` into an order.
pub fn permute<T: Copy>(column: &mut [T], start: usize, order: &[usize]) {
    let rows = &mut column[start..];
    let sorted: Vec<T> = order.iter().map(|&at| rows[at]).collect();
    rows.copy_from_slice(&sorted);
}

/// Histogram samples of all series.
#[derive(Debug, Clone, Default)]
pub struct HistogramColumn {
    pub ends: Ends,
    pub timestamps_ms: Vec<i64>,
    /// As long as the timestamps once the batch is whole, or empty.
    pub starts_ms: Vec<i64>,
    pub values: Histograms,
}

impl HistogramColumn {
    pub fn push(&mut self, timestamp_ms: i64, start_ms: i64, value: View<'_>) {
        self.timestamps_ms.push(timestamp_ms);
        put_start(&mut self.starts_ms, self.timestamps_ms.len(), start_ms);
        self.values.push(value);
    }

    /// Gives the open rows to a series, in order of time.
    pub fn close(&mut self, series: usize) {
        let start = self.ends.last();
        if let Some(order) = order_of(&self.timestamps_ms[start..]) {
            permute(&mut self.timestamps_ms, start, &order);
            if self.starts_ms.len() > start {
                pad_starts(&mut self.starts_ms, self.timestamps_ms.len());
                permute(&mut self.starts_ms, start, &order);
            }
            let mut sorted = Histograms::default();
            for at in order {
                sorted.push(self.values.get(start + at));
            }
            self.values.truncate(start);
            self.values.append(&sorted);
        }
        self.ends.close(series, self.timestamps_ms.len());
    }

    pub fn size_bytes(&self) -> usize {
        self.ends.size_bytes()
            + (self.timestamps_ms.capacity() + self.starts_ms.capacity()) * 8
            + self.values.size_bytes()
    }
}

/// One observation that stands for many, with labels of its own: the id of a trace, nearly always.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    pub time_ms: i64,
    pub value: f64,
    /// Sorted by name, distinct, without empty values.
    pub labels: Vec<(String, String)>,
}

impl Exemplar {
    fn size_bytes(&self) -> usize {
        let texts = |(name, value): &(String, String)| name.capacity() + value.capacity();
        let labels: usize = self.labels.iter().map(texts).sum();
        size_of::<Self>() + self.labels.capacity() * size_of::<(String, String)>() + labels
    }
}

/// Exemplars of all series.
#[derive(Debug, Clone, Default)]
pub struct ExemplarColumn {
    pub ends: Ends,
    pub rows: Vec<Exemplar>,
}

impl ExemplarColumn {
    /// Gives the open rows to a series, in order of time.
    pub fn close(&mut self, series: usize) {
        let start = self.ends.last();
        self.rows[start..].sort_by_key(|one| one.time_ms);
        self.ends.close(series, self.rows.len());
    }

    pub fn size_bytes(&self) -> usize {
        let rows: usize = self.rows.iter().map(Exemplar::size_bytes).sum();
        self.ends.size_bytes() + rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_without_rows_have_empty_ranges() {
        let mut ends = Ends::default();
        assert_eq!(ends.range(0), 0..0);
        assert_eq!(ends.range(9), 0..0);
        ends.close(2, 3);
        ends.close(3, 3);
        ends.close(5, 4);
        let ranges: Vec<Range<usize>> = (0..8).map(|series| ends.range(series)).collect();
        assert_eq!(ranges, [0..0, 0..0, 0..3, 3..3, 3..3, 3..4, 4..4, 4..4]);
    }

    #[test]
    fn starts_are_there_from_the_first_that_is_set() {
        let mut starts = Vec::new();
        put_start(&mut starts, 1, 0);
        assert!(starts.is_empty());
        put_start(&mut starts, 3, 7);
        put_start(&mut starts, 4, 0);
        pad_starts(&mut starts, 5);
        assert_eq!(starts, [0, 0, 7, 0, 0]);
    }
}
