//! Which series are ours: a ring gives an ingester ranges of hashes, and takes some back.

use crate::error::{Error, Result};
use crate::head::store::Store;

/// Ranges of hashes that are ours, and how many series may be in them. At first all hashes are.
#[derive(Debug, Default)]
pub struct Ownership {
    /// The last hash of each range, ascending, the last of all hashes at the end; or empty.
    ends: Vec<u64>,
    ours: Vec<bool>,
    /// Active series that are ours; those of others are on their way out.
    pub count: usize,
    /// How many of them there may be; 0 for no limit.
    pub series_max: usize,
}

impl Ownership {
    /// All hashes are ours.
    pub fn of_all(series_max: usize) -> Self {
        Self {
            series_max,
            ..Self::default()
        }
    }

    pub fn new(ends: &[u64], ours: &[bool], series_max: usize) -> Result<Self> {
        let ascends = ends.is_sorted_by(|left, right| left < right);
        if ends.len() != ours.len() || !ascends || ends.last().is_some_and(|&end| end != u64::MAX) {
            let message = format!(
                "{} ranges of hashes with {} owners: want them ascending, up to the last hash",
                ends.len(),
                ours.len()
            );
            return Err(Error::invalid("bad-data", message));
        }
        let mut found = Self::of_all(series_max);
        for (at, (&end, &is_ours)) in ends.iter().zip(ours).enumerate() {
            // Neighbours of one owner are one range: a look-up is a search in few.
            if ours.get(at + 1) != Some(&is_ours) {
                found.ends.push(end);
                found.ours.push(is_ours);
            }
        }
        Ok(found)
    }

    /// Whether the series of a fingerprint, whose hash is its low half, is ours.
    #[inline]
    pub fn has(&self, print: u128) -> bool {
        let hash = print as u64;
        let at = self.ends.partition_point(|&end| end < hash);
        self.ours.get(at).copied().unwrap_or(true)
    }

    pub fn entered(&mut self, print: u128) {
        self.count += usize::from(self.has(print));
    }

    pub fn left(&mut self, print: u128) {
        self.count -= usize::from(self.has(print));
    }

    pub fn is_full(&self) -> bool {
        self.series_max != 0 && self.count >= self.series_max
    }
}

impl Store {
    /// Says anew which series are ours.
    pub fn own(&mut self, mut ownership: Ownership) {
        let living = self.series.iter().filter(|series| series.id != 0);
        ownership.count = living.filter(|series| ownership.has(series.print)).count();
        self.ownership = ownership;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_belongs_to_the_range_that_ends_next() {
        let found = Ownership::new(&[9, 20, 30, u64::MAX], &[true, false, false, true], 0);
        let Ok(found) = found else {
            unreachable!("they ascend")
        };
        let ours: Vec<bool> = [0, 9, 10, 30, 31, u64::MAX]
            .iter()
            .map(|&hash| found.has(u128::from(hash) | 7 << 64))
            .collect();
        assert_eq!(ours, [true, true, false, false, true, true]);
        assert_eq!(found.ends, [9, 30, u64::MAX]);
    }

    #[test]
    fn ranges_that_leave_hashes_out_are_refused() {
        for (ends, ours) in [
            (&[9, 8, u64::MAX][..], &[true; 3][..]),
            (&[9], &[true]),
            (&[u64::MAX], &[]),
        ] {
            assert!(Ownership::new(ends, ours, 0).is_err());
        }
    }
}
