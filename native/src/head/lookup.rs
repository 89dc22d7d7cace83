//! Label look-ups: which series match, which names and values they have.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use crate::head::index::Plan;
use crate::head::series::Series;
use crate::head::store::Store;
use crate::labels::{LabelSets, METRIC_NAME};
use crate::matcher::Matchers;
use crate::symbols::Symbols;

impl Store {
    fn is_in(&self, slot: u32, mint_ms: i64, maxt_ms: i64) -> bool {
        let series = &self.series[slot as usize];
        series.id != 0 && series.overlaps(mint_ms, maxt_ms)
    }

    /// Slots of the series that match and may have samples in the range, ascending.
    pub fn select(&self, matchers: &Matchers, mint_ms: i64, maxt_ms: i64) -> Vec<u32> {
        let plan = Plan::new(&self.index, &matchers.all);
        let wanted = |&slot: &u32| {
            self.is_in(slot, mint_ms, maxt_ms)
                && plan.accepts(self.index.get(self.series[slot as usize].run))
        };
        match plan.candidates() {
            Some(mut slots) => {
                slots.retain(wanted);
                slots.sort_unstable();
                slots
            }
            None => (0..self.series.len() as u32).filter(wanted).collect(),
        }
    }

    /// The series that match any of the sets, each once; all series where no set is given.
    fn select_any(&self, sets: &[&Matchers], mint_ms: i64, maxt_ms: i64) -> Vec<u32> {
        if sets.is_empty() {
            let all = 0..self.series.len() as u32;
            return all
                .filter(|&slot| self.is_in(slot, mint_ms, maxt_ms))
                .collect();
        }
        let mut slots = BTreeSet::new();
        for set in sets {
            slots.extend(self.select(set, mint_ms, maxt_ms));
        }
        slots.into_iter().collect()
    }

    pub fn select_series(&self, sets: &[&Matchers], mint_ms: i64, maxt_ms: i64) -> LabelSets {
        self.label_sets(&self.select_any(sets, mint_ms, maxt_ms))
    }

    /// Sorted distinct label names of the series that match any of the sets.
    pub fn label_names(&self, sets: &[&Matchers], mint_ms: i64, maxt_ms: i64) -> Vec<String> {
        let mut names = HashSet::new();
        for slot in self.select_any(sets, mint_ms, maxt_ms) {
            for &number in self.index.get(self.series[slot as usize].run) {
                names.insert(self.index.pairs[number as usize].pair[0]);
            }
        }
        self.sorted(names)
    }

    /// Sorted distinct values of one label of the series that match any of the sets.
    pub fn label_values(
        &self,
        name: &str,
        sets: &[&Matchers],
        mint_ms: i64,
        maxt_ms: i64,
    ) -> Vec<String> {
        let mut values = HashSet::new();
        if sets.is_empty() {
            for &number in self.index.pairs_of_name(name) {
                let entry = &self.index.pairs[number as usize];
                let slots = entry.series.as_slice();
                if slots.iter().any(|&slot| self.is_in(slot, mint_ms, maxt_ms)) {
                    values.insert(entry.pair[1]);
                }
            }
            return self.sorted(values);
        }
        let Some(wanted) = self.index.interner.find(name) else {
            return Vec::new();
        };
        for slot in self.select_any(sets, mint_ms, maxt_ms) {
            for &number in self.index.get(self.series[slot as usize].run) {
                let [name, value] = self.index.pairs[number as usize].pair;
                if name == wanted {
                    values.insert(value);
                }
            }
        }
        self.sorted(values)
    }

    fn sorted(&self, symbols: HashSet<u32>) -> Vec<String> {
        let all = &self.index.interner.symbols;
        let mut texts: Vec<String> = symbols
            .into_iter()
            .map(|id| all.get(id).to_owned())
            .collect();
        texts.sort_unstable();
        texts
    }

    /// Label sets of the slots, with the symbols that they use.
    pub fn label_sets(&self, slots: &[u32]) -> LabelSets {
        let mut symbols = Symbols::default();
        let mut moved: HashMap<u32, u32> = HashMap::new();
        let mut pairs = Vec::with_capacity(slots.len() * 8);
        let mut offsets = Vec::with_capacity(slots.len() + 1);
        offsets.push(0);
        for &slot in slots {
            for &number in self.index.get(self.series[slot as usize].run) {
                let pair = self.index.pairs[number as usize].pair;
                pairs.push(pair.map(|id| {
                    *moved
                        .entry(id)
                        .or_insert_with(|| symbols.push(self.index.interner.symbols.get(id)))
                }));
            }
            offsets.push(pairs.len() as u32);
        }
        LabelSets {
            symbols: Arc::new(symbols),
            pairs,
            offsets,
        }
    }
}

/// A name and how many, largest first.
pub type Top = Vec<(String, usize)>;

/// What `/api/v1/status/tsdb` tells.
#[derive(Debug)]
pub struct Cardinality {
    pub label_pairs: usize,
    pub series_by_metric: Top,
    pub values_by_name: Top,
    pub bytes_by_name: Top,
    pub series_by_pair: Top,
}

impl Store {
    pub fn cardinality(&self, limit: usize) -> Cardinality {
        let index = &self.index;
        let alive = |number: u32| {
            let slots = index.pairs[number as usize].series.as_slice();
            let living = |slot: &&u32| self.series[**slot as usize].id != 0;
            slots.iter().filter(living).count()
        };
        let by_name = |weigh: &dyn Fn(u32) -> usize| {
            let texts = index.names.iter().map(|(&name, numbers)| {
                let weight = numbers.iter().map(|&number| weigh(number)).sum();
                (index.interner.symbols.get(name).to_owned(), weight)
            });
            top(texts, limit)
        };
        let metrics = index.pairs_of_name(METRIC_NAME).iter();
        let pairs = 0..index.pairs.len() as u32;
        Cardinality {
            label_pairs: index.pairs.len(),
            series_by_metric: top(
                metrics.map(|&number| (index.value(number).to_owned(), alive(number))),
                limit,
            ),
            values_by_name: by_name(&|number| usize::from(alive(number) > 0)),
            bytes_by_name: by_name(&|number| index.value(number).len()),
            series_by_pair: top(
                pairs.map(|number| {
                    let name = index.pairs[number as usize].pair[0];
                    let name = index.interner.symbols.get(name);
                    (format!("{name}={}", index.value(number)), alive(number))
                }),
                limit,
            ),
        }
    }

    /// Times of the oldest and the newest sample held.
    pub fn bounds_ms(&self) -> Option<(i64, i64)> {
        self.series
            .iter()
            .filter_map(Series::bounds_ms)
            .reduce(|all, one| (all.0.min(one.0), all.1.max(one.1)))
    }

    pub fn chunk_count(&self) -> usize {
        self.series.iter().map(Series::chunk_count).sum()
    }

    pub fn size_bytes(&self) -> usize {
        let chunks: usize = self.series.iter().map(Series::size_bytes).sum();
        self.index.size_bytes()
            + self.series.len() * size_of::<Series>()
            + self.live() * 6
            + self.blocks.size_bytes()
            + self.arenas.size_bytes()
            + chunks
    }
}

fn top(all: impl Iterator<Item = (String, usize)>, limit: usize) -> Top {
    let mut all: Top = all.filter(|(_, count)| *count > 0).collect();
    all.sort_unstable_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
    all.truncate(limit);
    all
}
