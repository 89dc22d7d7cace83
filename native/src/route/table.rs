//! From a hash to its replica set.

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, Result};

/// A place in a set that nobody has.
pub const NOBODY: i16 = -1;
const WIDTH_MAX: usize = 16;
/// Entries of the directory, at most: 1 MiB.
const DIRECTORY_BITS_MAX: u32 = 18;

/// The ranges of a ring; immutable.
#[derive(Debug)]
pub struct Table {
    /// Last hash of each range, ascending; the last of all is the largest hash.
    ends: Vec<u64>,
    /// The set of each range.
    set_of: Vec<u32>,
    /// First range that hashes with these high bits may lie in; and one more, the last range.
    directory: Vec<u32>,
    shift_bits: u32,
    /// Each distinct set once, `width` places each: ascending, `NOBODY` behind the last.
    pub sets: Vec<i16>,
    pub width: usize,
    /// Places are below it.
    pub members: usize,
}

impl Table {
    /// Of ranges that end at `ends`, each with a row of `width` places in `sets`.
    pub fn new(ends: &[u64], sets: &[i16], width: usize) -> Result<Self> {
        check(ends, sets, width)?;
        let (set_of, sets) = distinct(sets, width);
        let bits = (2 * ends.len()).ilog2().clamp(1, DIRECTORY_BITS_MAX);
        let shift_bits = 64 - bits;
        let mut directory: Vec<u32> = (0..1u64 << bits)
            .map(|high| ends.partition_point(|&end| end < high << shift_bits) as u32)
            .collect();
        directory.push(ends.len() as u32 - 1);
        let highest = sets.iter().copied().max().unwrap_or(NOBODY);
        Ok(Self {
            ends: ends.to_vec(),
            set_of,
            directory,
            shift_bits,
            sets,
            width,
            members: (highest + 1) as usize,
        })
    }

    /// The row of `sets` that a hash belongs to.
    #[inline]
    pub fn set_of(&self, hash: u64) -> u32 {
        let at = (hash >> self.shift_bits) as usize;
        let (first, last) = (self.directory[at] as usize, self.directory[at + 1] as usize);
        let range = first + self.ends[first..last].partition_point(|&end| end < hash);
        self.set_of[range]
    }

    /// Members of a set.
    #[inline]
    pub fn set(&self, row: u32) -> impl Iterator<Item = usize> {
        let start = row as usize * self.width;
        let places = self.sets[start..start + self.width].iter();
        places
            .take_while(|&&member| member != NOBODY)
            .map(|&member| member as usize)
    }
}

fn check(ends: &[u64], sets: &[i16], width: usize) -> Result<()> {
    if width == 0 || width > WIDTH_MAX || ends.len() >= 1 << 31 {
        let message = format!("{} ranges with {width} replicas", ends.len());
        return Err(misshapen(message));
    }
    if sets.len() != ends.len() * width {
        let message = format!("{} ends for {} sets", ends.len(), sets.len() / width);
        return Err(misshapen(message));
    }
    if ends.last() != Some(&u64::MAX) || ends.windows(2).any(|pair| pair[0] >= pair[1]) {
        return Err(misshapen("ends do not ascend to the largest hash"));
    }
    if sets.iter().any(|&member| member < NOBODY) {
        return Err(misshapen("a place in a set is negative"));
    }
    Ok(())
}

/// The number of the set of each row, and each distinct set once, in order of first use.
fn distinct(rows: &[i16], width: usize) -> (Vec<u32>, Vec<i16>) {
    let mut sets: Vec<i16> = Vec::new();
    let mut numbers: HashTable<u32> = HashTable::new();
    let mut row = vec![NOBODY; width];
    let number_of = |raw: &[i16]| {
        sort_set(raw, &mut row);
        let hash = hash_of(&row);
        let of = |number: u32| number as usize * width..(number as usize + 1) * width;
        let known = numbers.find(hash, |&number| sets[of(number)] == row);
        if let Some(&number) = known {
            return number;
        }
        let number = (sets.len() / width) as u32;
        sets.extend_from_slice(&row);
        numbers.insert_unique(hash, number, |&other| hash_of(&sets[of(other)]));
        number
    };
    let set_of = rows.chunks_exact(width).map(number_of).collect();
    (set_of, sets)
}

/// Ascending, each member once, `NOBODY` behind the last.
fn sort_set(raw: &[i16], row: &mut [i16]) {
    // As an unsigned number, `NOBODY` is the largest.
    let rank = |member: &i16| *member as u16;
    row.copy_from_slice(raw);
    row.sort_unstable_by_key(rank);
    for at in (1..row.len()).rev() {
        if row[at] == row[at - 1] {
            row[at] = NOBODY;
        }
    }
    row.sort_unstable_by_key(rank);
}

fn hash_of(row: &[i16]) -> u64 {
    let mut bytes = [0; 2 * WIDTH_MAX];
    for (word, member) in bytes.as_chunks_mut::<2>().0.iter_mut().zip(row) {
        *word = member.to_le_bytes();
    }
    xxh3_64(&bytes)
}

fn misshapen(message: impl Into<String>) -> Error {
    Error::invalid("routing-misshapen", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_in_the_first_range_that_does_not_end_before_it() {
        let ends = [0, 5, 1 << 40, (1 << 63) - 1, 1 << 63, u64::MAX];
        let sets: Vec<i16> = (0..6).collect();
        let table = Table::new(&ends, &sets, 1).expect("well shaped");
        let mut hashes: Vec<u64> = vec![1, 2, 77, u64::MAX - 1];
        for end in ends {
            hashes.extend([end.wrapping_sub(1), end, end.wrapping_add(1)]);
        }
        for hash in hashes {
            let wanted = ends.partition_point(|&end| end < hash) as u32;
            assert_eq!(table.set_of(hash), wanted, "{hash}");
        }
        assert_eq!(table.members, 6);
    }

    #[test]
    fn sets_with_the_same_members_are_one() {
        let ends = [10, 20, 30, 40, u64::MAX];
        let sets = [2, 0, 0, 2, 1, 2, 2, 2, -1, -1];
        let table = Table::new(&ends, &sets, 2).expect("well shaped");
        assert_eq!(table.sets, [0, 2, 1, 2, 2, -1, -1, -1]);
        assert_eq!(table.set_of, [0, 0, 1, 2, 3]);
        let members = |row| table.set(row).collect::<Vec<_>>();
        assert_eq!(members(0), [0, 2]);
        assert_eq!(members(2), [2]);
        assert!(members(3).is_empty());
    }

    #[test]
    fn what_is_no_routing_is_refused() {
        for (ends, sets, width) in [
            (&[][..], &[][..], 1),
            (&[5], &[0], 1),
            (&[u64::MAX], &[0], 2),
            (&[u64::MAX], &[-2], 1),
            (&[u64::MAX], &[], 0),
            (&[7, 7, u64::MAX], &[0, 1, 2], 1),
            (&[8, 7, u64::MAX], &[0, 1, 2], 1),
        ] {
            assert!(Table::new(ends, sets, width).is_err(), "{ends:?}");
        }
    }
}
