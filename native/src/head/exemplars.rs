//! Exemplars: with their series, in order of time; bounded for each series and for the tenant.

use std::cmp::Ordering;
use std::collections::VecDeque;

use crate::fields::wire::{Reader, put_text};
use crate::head::index::Plan;
use crate::head::store::Store;
use crate::labels::{LabelSets, LabelSetsBuilder};
use crate::matcher::Matchers;
use crate::write::batch::Exemplar;

/// An exemplar that a series holds.
#[derive(Debug)]
pub struct Held {
    pub time_ms: i64,
    bits: u64,
    /// Name, value, name, value: texts of the WAL, sorted by name.
    labels: Box<[u8]>,
    /// Number in the order of arrival.
    number: u64,
    /// The arena of its range: it is shipped and forgotten with it.
    pub arena: u32,
}

impl Held {
    fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut reader = Reader::new(&self.labels, "exemplar");
        std::iter::from_fn(move || Some((reader.text().ok()?, reader.text().ok()?)))
    }

    fn compare(&self, time_ms: i64, bits: u64, labels: &[u8]) -> Ordering {
        let own = f64::from_bits(self.bits);
        let by_time = self.time_ms.cmp(&time_ms);
        by_time
            .then_with(|| own.total_cmp(&f64::from_bits(bits)))
            .then_with(|| (*self.labels).cmp(labels))
    }

    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.labels.len()
    }
}

fn encoded(exemplar: &Exemplar) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in &exemplar.labels {
        put_text(&mut bytes, name);
        put_text(&mut bytes, value);
    }
    bytes
}

/// Where an exemplar is among others in order, or where it would be.
fn place(held: &[Held], exemplar: &Exemplar, labels: &[u8]) -> Result<usize, usize> {
    let bits = exemplar.value.to_bits();
    held.binary_search_by(|one| one.compare(exemplar.time_ms, bits, labels))
}

/// The exemplars of a tenant in the order of arrival, some of which are gone.
#[derive(Debug, Default)]
pub struct Arrivals {
    queue: VecDeque<(u32, u64)>,
    next: u64,
    pub held: usize,
}

/// Exemplars of many series as flat arrays: those of the i-th are `[offsets[i], offsets[i + 1])`.
#[derive(Debug)]
pub struct ExemplarColumns {
    pub offsets: Vec<i64>,
    pub times: Vec<i64>,
    pub values: Vec<f64>,
    pub labels: LabelSets,
}

impl Store {
    /// Whether a series has it already.
    pub fn has_exemplar(&self, slot: u32, exemplar: &Exemplar) -> bool {
        let held = self.series[slot as usize].exemplars();
        !held.is_empty() && place(held, exemplar, &encoded(exemplar)).is_ok()
    }

    /// Takes an exemplar of a series, and lets the oldest go where there are too many.
    pub fn add_exemplar(&mut self, slot: u32, exemplar: &Exemplar) {
        let labels = encoded(exemplar);
        let all = &mut self.series[slot as usize].extras().exemplars;
        let Err(at) = place(all, exemplar, &labels) else {
            return;
        };
        let number = self.arrivals.next;
        let held = Held {
            time_ms: exemplar.time_ms,
            bits: exemplar.value.to_bits(),
            labels: labels.into_boxed_slice(),
            number,
            arena: self.arenas.open_at(exemplar.time_ms),
        };
        all.insert(at, held);
        if all.len() > self.options.exemplars_per_series_max {
            all.remove(0);
        } else {
            self.arrivals.held += 1;
        }
        self.arrivals.next += 1;
        self.arrivals.queue.push_back((slot, number));
        self.bound_exemplars();
    }

    /// Lets those go that came first, as many as are too many.
    fn bound_exemplars(&mut self) {
        let max = self.options.exemplars_max;
        while self.arrivals.held > max
            && let Some((slot, number)) = self.arrivals.queue.pop_front()
        {
            if let Some((all, at)) = self.find_exemplar(slot, number) {
                all.remove(at);
                self.arrivals.held -= 1;
            }
        }
        if self.arrivals.queue.len() > 2 * self.arrivals.held + 1024 {
            let queue = std::mem::take(&mut self.arrivals.queue);
            let living = queue.into_iter();
            let living =
                living.filter(|&(slot, number)| self.find_exemplar(slot, number).is_some());
            self.arrivals.queue = living.collect();
        }
    }

    fn find_exemplar(&mut self, slot: u32, number: u64) -> Option<(&mut Vec<Held>, usize)> {
        let extras = self.series.get_mut(slot as usize)?.extras.as_deref_mut()?;
        let at = extras.exemplars.iter().position(|one| one.number == number);
        at.map(|at| (&mut extras.exemplars, at))
    }

    /// The exemplars in the range of the series that match any of the sets and have any; with the labels
    /// of those series.
    pub fn exemplars(
        &self,
        sets: &[&Matchers],
        mint_ms: i64,
        maxt_ms: i64,
    ) -> (LabelSets, ExemplarColumns) {
        let wanted = |one: &Held| mint_ms <= one.time_ms && one.time_ms <= maxt_ms;
        let plans: Vec<Plan<'_>> = sets
            .iter()
            .map(|set| Plan::new(&self.index, &set.all))
            .collect();
        let matches = |slot: &u32| {
            let series = &self.series[*slot as usize];
            // In this order: the labels of a series that is gone may be gone, too.
            let is_wanted = series.id != 0 && series.exemplars().iter().any(wanted);
            is_wanted && {
                let pairs = self.index.get(series.run);
                plans.iter().any(|plan| plan.accepts(pairs))
            }
        };
        let slots: Vec<u32> = match self.arrivals.held {
            0 => Vec::new(),
            _ => (0..self.series.len() as u32).filter(matches).collect(),
        };
        let rows = slots.iter().map(|&slot| Some(slot));
        (self.label_sets(&slots), self.exemplar_columns(rows, wanted))
    }

    /// The exemplars of each slot that are wanted; no slot has none.
    pub fn exemplar_columns(
        &self,
        slots: impl Iterator<Item = Option<u32>>,
        wanted: impl Fn(&Held) -> bool,
    ) -> ExemplarColumns {
        let mut labels = LabelSetsBuilder::default();
        let (mut offsets, mut times, mut values) = (vec![0], Vec::new(), Vec::new());
        for slot in slots {
            let held = slot.map_or(&[][..], |slot| self.series[slot as usize].exemplars());
            for one in held.iter().filter(|one| wanted(one)) {
                times.push(one.time_ms);
                values.push(f64::from_bits(one.bits));
                for (name, value) in one.labels() {
                    labels.label(name, value);
                }
                labels.end_set();
            }
            offsets.push(times.len() as i64);
        }
        ExemplarColumns {
            offsets,
            times,
            values,
            labels: labels.build(),
        }
    }
}
