//! The order of sets. The distinct symbols are sorted once; sets then compare as integers.

use std::cmp::Ordering;

use super::{LabelSets, METRIC_NAME};

impl LabelSets {
    /// Position of each used symbol in the order of their bytes; 0 for symbols that no set uses.
    fn ranks(&self) -> Vec<u32> {
        let mut ranks = vec![0u32; self.symbols.len()];
        let mut used = Vec::new();
        for &id in self.pairs.iter().flatten() {
            let rank = &mut ranks[id as usize];
            if *rank == 0 {
                *rank = 1;
                used.push(id);
            }
        }
        used.sort_unstable_by(|&a, &b| self.symbols.get(a).cmp(self.symbols.get(b)));
        for (rank, id) in used.into_iter().enumerate() {
            ranks[id as usize] = rank as u32;
        }
        ranks
    }

    /// All pairs as integers that order like their text.
    fn ranked_pairs(&self, ranks: &[u32]) -> Vec<u64> {
        let rank = |id: u32| u64::from(ranks[id as usize]);
        let ranked = |&[name, value]: &[u32; 2]| rank(name) << 32 | rank(value);
        self.pairs.iter().map(ranked).collect()
    }

    /// Indices in block order: as `compare`, equal sets in their given order.
    pub fn ordered(&self) -> Vec<i64> {
        let ranks = self.ranks();
        let ranked = self.ranked_pairs(&ranks);
        let metric = self.symbols.iter().position(|text| text == METRIC_NAME);
        let mut keyed: Vec<(u64, &[u64], i64)> = (0..self.count())
            .map(|index| {
                let range = self.offsets[index] as usize..self.offsets[index + 1] as usize;
                let named = self.pairs[range.clone()]
                    .iter()
                    .find(|pair| Some(pair[0] as usize) == metric);
                let first = named.map_or(0, |pair| u64::from(ranks[pair[1] as usize]) + 1);
                (first, &ranked[range], index as i64)
            })
            .collect();
        keyed.sort_unstable();
        keyed.into_iter().map(|(_, _, index)| index).collect()
    }

    /// Indices by the values of the named labels, with numbers within them as numbers; then by all
    /// labels. Descending reverses both.
    pub fn naturally_ordered(&self, names: &[String], descending: bool) -> Vec<i64> {
        let ranked = self.ranked_pairs(&self.ranks());
        let set = |index: usize| -> &[u64] {
            &ranked[self.offsets[index] as usize..self.offsets[index + 1] as usize]
        };
        let turned = |order: Ordering| if descending { order.reverse() } else { order };
        if names.is_empty() {
            // The first label beside the slice: most sets differ in it, and it costs no look elsewhere.
            let mut keyed: Vec<(u64, &[u64], i64)> = (0..self.count())
                .map(|index| {
                    (
                        set(index).first().copied().unwrap_or(0),
                        set(index),
                        index as i64,
                    )
                })
                .collect();
            keyed.sort_unstable_by(|left, right| {
                let order = (left.0, left.1).cmp(&(right.0, right.1));
                turned(order).then(left.2.cmp(&right.2))
            });
            return keyed.into_iter().map(|(_, _, index)| index).collect();
        }
        let mut keyed: Vec<(Vec<u32>, &[u64], i64)> = (0..self.count())
            .map(|index| (Vec::with_capacity(names.len()), set(index), index as i64))
            .collect();
        for name in names {
            let (codes, values) = self.column(name);
            let positions = natural_positions(&values);
            for (key, code) in keyed.iter_mut().zip(codes) {
                key.0.push(positions[code as usize]);
            }
        }
        keyed.sort_by(|left, right| turned((&left.0, left.1).cmp(&(&right.0, right.1))));
        keyed.into_iter().map(|(_, _, index)| index).collect()
    }
}

/// Position of each value in natural order.
fn natural_positions(values: &[&str]) -> Vec<u32> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| natural(values[a], values[b]));
    let mut positions = vec![0; values.len()];
    for (position, index) in order.into_iter().enumerate() {
        positions[index] = position as u32;
    }
    positions
}

/// Compares run by run; two runs of digits compare as numbers of any length.
fn natural(left: &str, right: &str) -> Ordering {
    let mut runs = (runs(left), runs(right));
    loop {
        let order = match (runs.0.next(), runs.1.next()) {
            (None, None) => return left.cmp(right),
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (number(a), number(b)) {
                (Some(a), Some(b)) => (a.len(), a).cmp(&(b.len(), b)),
                _ => a.cmp(b),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// Maximal runs of digits and of other text.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    text.as_bytes()
        .chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit())
        .scan(0, move |start, run| {
            let run = &text[*start..*start + run.len()];
            *start += run.len();
            Some(run)
        })
}

/// The digits of a number without leading zeros.
fn number(run: &str) -> Option<&str> {
    run.as_bytes()[0]
        .is_ascii_digit()
        .then(|| run.trim_start_matches('0'))
}
