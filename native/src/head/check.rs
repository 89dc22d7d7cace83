//! What of a batch is accepted: decided before it is written, against what is visible at that moment.

use crate::fields::sections::{More, rows};
use crate::head::histograms::is_same;
use crate::head::store::{NO_SLOT, Store};
use crate::head::track::Seen;
use crate::histogram::View;
use crate::write::batch::WriteBatch;
use crate::write::rejection::Rejections;

/// The accepted content of a batch, resolved to series.
#[derive(Debug, Default)]
pub struct Prepared {
    pub slots: Vec<u32>,
    /// Where the float samples of each series end.
    pub ends: Vec<u32>,
    pub times: Vec<i64>,
    pub bits: Vec<u64>,
    /// As long as the samples, or empty where none has one.
    pub starts: Vec<i64>,
    /// What few batches have.
    pub more: Option<Box<More>>,
    /// What was there already; it counts as accepted.
    pub same: Counts,
    /// Exemplars that were left out. No sender is told: they are a help, not a record.
    pub exemplars_refused: u64,
    pub created: u64,
    pub rejections: Rejections,
    /// Fingerprints of series that came without labels and do not exist; nothing else here is of them.
    pub unknown: Vec<u128>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub samples: u64,
    pub histograms: u64,
    pub exemplars: u64,
}

impl Prepared {
    #[inline]
    pub fn samples(&self, entry: usize) -> (&[i64], &[u64]) {
        let range = rows(&self.ends, entry);
        (&self.times[range.clone()], &self.bits[range])
    }

    /// What is new, and so has to be written.
    pub fn fresh(&self) -> Counts {
        let more = self.more.as_deref();
        Counts {
            samples: self.times.len() as u64,
            histograms: more.map_or(0, |more| more.histogram_times.len() as u64),
            exemplars: more.map_or(0, |more| more.exemplars.len() as u64),
        }
    }

    /// Whether it is more than float samples.
    pub fn has_more(&self) -> bool {
        self.more.is_some() || !self.starts.is_empty()
    }

    /// Numbers of the ranges that its content lies in, ascending.
    pub fn ranges(&self, range_ms: i64) -> Vec<i64> {
        let mut ranges: Vec<i64> = Vec::new();
        let (mut start_ms, mut end_ms) = (0, 0);
        let more = self.more.as_deref();
        let histograms = more.into_iter().flat_map(|more| &more.histogram_times);
        let exemplars = more.into_iter().flat_map(|more| &more.exemplars);
        let exemplars = exemplars.map(|one| &one.time_ms);
        for &time_ms in self.times.iter().chain(histograms).chain(exemplars) {
            if start_ms <= time_ms && time_ms < end_ms {
                continue;
            }
            let range = time_ms.div_euclid(range_ms);
            start_ms = range.saturating_mul(range_ms);
            end_ms = start_ms.saturating_add(range_ms);
            ranges.push(range);
        }
        ranges.sort_unstable();
        ranges.dedup();
        ranges
    }

    /// Ends an entry, if anything of the series was accepted.
    #[inline]
    fn end(&mut self, slot: u32) {
        let end = self.times.len() as u32;
        let mut any = end != self.ends.last().copied().unwrap_or(0);
        if let Some(more) = &mut self.more {
            any |= more.has_open();
            if any {
                more.end();
            }
        }
        if any {
            self.slots.push(slot);
            self.ends.push(end);
        }
    }

    /// Lets go of columns in which nothing is.
    fn finish(mut self) -> Self {
        if self.starts.iter().all(|&start_ms| start_ms == 0) {
            self.starts = Vec::new();
        }
        if let Some(more) = &mut self.more
            && more.histogram_starts.iter().all(|&start_ms| start_ms == 0)
        {
            more.histogram_starts = Vec::new();
        }
        self.more = self.more.take().filter(|more| !more.is_empty());
        self
    }
}

impl More {
    fn is_empty(&self) -> bool {
        self.histogram_times.is_empty() && self.exemplars.is_empty()
    }

    fn has_open(&self) -> bool {
        let end = |ends: &[u32]| ends.last().copied().unwrap_or(0) as usize;
        self.histogram_times.len() > end(&self.histogram_ends)
            || self.exemplars.len() > end(&self.exemplar_ends)
    }

    fn end(&mut self) {
        self.histogram_ends.push(self.histogram_times.len() as u32);
        self.exemplar_ends.push(self.exemplars.len() as u32);
    }
}

/// What `check` compares timestamps with.
#[derive(Clone, Copy)]
pub struct Bounds {
    newest_ms: Option<i64>,
    oldest_ms: i64,
    latest_ms: i64,
    /// Whether as many series as there are may be: what a replica took counts already.
    pub is_repair: bool,
}

/// A series of the batch that is looked at.
#[derive(Clone, Copy)]
struct Subject<'a> {
    store: &'a Store,
    batch: &'a WriteBatch,
    index: usize,
    slot: u32,
}

impl Store {
    /// What is admitted now; in a repair there is no window, everything is late, and no limit.
    pub fn bounds(&self, now_ms: i64, repair: bool) -> Bounds {
        let newest_ms = self.max_ms.filter(|_| !repair);
        Bounds {
            newest_ms,
            oldest_ms: newest_ms.map_or(i64::MIN, |max_ms| {
                max_ms.saturating_sub(self.options.window_ms)
            }),
            latest_ms: now_ms.saturating_add(self.options.grace_ms),
            is_repair: repair,
        }
    }

    /// Decides on everything in the batch. `slots` holds its series, `NO_SLOT` where none may be.
    pub fn check(&self, batch: &WriteBatch, bounds: &Bounds, slots: &[u32]) -> Prepared {
        let has_more = batch.histogram_count() + batch.exemplar_count() > 0;
        let mut out = Prepared {
            slots: Vec::with_capacity(slots.len()),
            ends: Vec::with_capacity(slots.len()),
            times: Vec::with_capacity(batch.sample_count()),
            bits: Vec::with_capacity(batch.sample_count()),
            more: has_more.then(Box::default),
            ..Prepared::default()
        };
        for (index, &slot) in slots.iter().enumerate() {
            if slot == NO_SLOT && !batch.has_labels(index) {
                out.unknown.push(batch.fingerprint(index));
                continue;
            }
            let subject = Subject {
                store: self,
                batch,
                index,
                slot,
            };
            self.check_samples(subject, bounds, &mut out);
            if has_more {
                self.check_histograms(subject, bounds, &mut out);
                self.check_exemplars(subject, bounds, &mut out);
            }
            out.end(slot);
        }
        out.finish()
    }

    #[inline]
    fn check_samples(&self, subject: Subject<'_>, bounds: &Bounds, out: &mut Prepared) {
        let (times, values) = subject.batch.samples(subject.index);
        let starts = subject.batch.starts(subject.index);
        let mut previous: Option<(i64, u64)> = None;
        for (at, (&time_ms, value)) in times.iter().zip(values).enumerate() {
            let bits = value.to_bits();
            if !self.admits(subject, bounds, time_ms, &mut out.rejections) {
                continue;
            }
            let seen = match previous {
                Some((before_ms, before)) if before_ms == time_ms => {
                    if before == bits {
                        Seen::Same
                    } else {
                        Seen::Different
                    }
                }
                _ => self.series[subject.slot as usize]
                    .floats
                    .seen(time_ms, bits),
            };
            match seen {
                Seen::New => {
                    out.times.push(time_ms);
                    out.bits.push(bits);
                    if let Some(&start_ms) = starts.get(at) {
                        out.starts.push(start_ms);
                    }
                    previous = Some((time_ms, bits));
                }
                Seen::Same => out.same.samples += 1,
                Seen::Different => subject.refuse_duplicate(time_ms, &mut out.rejections),
            }
        }
    }

    /// Whether a sample of that time may be taken; where not, says why.
    #[inline]
    fn admits(
        &self,
        subject: Subject<'_>,
        bounds: &Bounds,
        time_ms: i64,
        rejections: &mut Rejections,
    ) -> bool {
        if !bounds.admit(time_ms) {
            bounds.refuse(subject, time_ms, rejections);
            return false;
        }
        if subject.slot == NO_SLOT {
            self.refuse_series(subject, rejections);
            return false;
        }
        true
    }

    fn check_histograms(&self, subject: Subject<'_>, bounds: &Bounds, out: &mut Prepared) {
        let Some(more) = out.more.as_deref_mut() else {
            return;
        };
        let (times, starts, first) = subject.batch.histograms(subject.index);
        let values = subject.batch.histogram_values();
        let mut previous: Option<(i64, View<'_>)> = None;
        for (at, &time_ms) in times.iter().enumerate() {
            if !self.admits(subject, bounds, time_ms, &mut out.rejections) {
                continue;
            }
            let value = values.get(first + at);
            let seen = match previous {
                Some((before_ms, before)) if before_ms == time_ms => {
                    if is_same(before, value) {
                        Seen::Same
                    } else {
                        Seen::Different
                    }
                }
                _ => match self.series[subject.slot as usize].histograms() {
                    Some(track) => track.seen(time_ms, value),
                    None => Seen::New,
                },
            };
            match seen {
                Seen::New => {
                    more.histogram_times.push(time_ms);
                    more.histograms.push(value);
                    if let Some(&start_ms) = starts.get(at) {
                        more.histogram_starts.push(start_ms);
                    }
                    previous = Some((time_ms, value));
                }
                Seen::Same => out.same.histograms += 1,
                Seen::Different => subject.refuse_duplicate(time_ms, &mut out.rejections),
            }
        }
    }

    /// Exemplars need a series that exists, and a time at which a sample would be taken.
    fn check_exemplars(&self, subject: Subject<'_>, bounds: &Bounds, out: &mut Prepared) {
        let Some(more) = out.more.as_deref_mut() else {
            return;
        };
        let options = &self.options;
        let stores = options.exemplars_max > 0 && options.exemplars_per_series_max > 0;
        for exemplar in subject.batch.exemplars(subject.index) {
            if !stores || subject.slot == NO_SLOT || !bounds.admit(exemplar.time_ms) {
                out.exemplars_refused += 1;
            } else if self.has_exemplar(subject.slot, exemplar) {
                out.same.exemplars += 1;
            } else {
                more.exemplars.push(exemplar.clone());
            }
        }
    }

    #[cold]
    fn refuse_series(&self, subject: Subject<'_>, rejections: &mut Rejections) {
        rejections.add_row("max-series-per-user", subject.index, || {
            format!(
                "the limit of {} active series of a tenant (max_global_series_per_user) is reached, \
                 {}no room for {}",
                self.options.series_max,
                self.share(),
                subject.describe()
            )
        });
    }
}

impl Store {
    /// How many of the series may be here, where there are others who have some.
    fn share(&self) -> String {
        let own = self.ownership.series_max;
        if own == self.options.series_max {
            return String::new();
        }
        format!("of which {own} may be on this ingester, ")
    }
}

impl Bounds {
    #[inline]
    pub fn admit(&self, time_ms: i64) -> bool {
        self.oldest_ms <= time_ms && time_ms <= self.latest_ms
    }

    #[cold]
    fn refuse(&self, subject: Subject<'_>, time_ms: i64, rejections: &mut Rejections) {
        if time_ms > self.latest_ms {
            rejections.add_row("too-far-in-future", subject.index, || {
                format!(
                    "timestamp {time_ms} lies beyond {}, the clock plus creation_grace_period, of {}",
                    self.latest_ms,
                    subject.describe()
                )
            });
            return;
        }
        rejections.add_row("sample-timestamp-too-old", subject.index, || {
            format!(
                "timestamp {time_ms} is older than {}, the newest sample of the tenant ({}) less \
                 out_of_order_time_window, of {}",
                self.oldest_ms,
                self.newest_ms.unwrap_or(self.oldest_ms),
                subject.describe()
            )
        });
    }
}

impl Subject<'_> {
    #[cold]
    fn refuse_duplicate(&self, time_ms: i64, rejections: &mut Rejections) {
        rejections.add_row("sample-duplicate-timestamp", self.index, || {
            format!(
                "timestamp {time_ms} has another value already, of {}",
                self.describe()
            )
        });
    }

    /// The series as people write it.
    fn describe(&self) -> String {
        let mut labels = Vec::new();
        self.batch.labels(self.index, &mut labels);
        if let Some(series) = self.store.series.get(self.slot as usize)
            && labels.is_empty()
        {
            labels.extend(self.store.index.labels(series.run));
        }
        let shown: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}={value:?}"))
            .collect();
        format!("series {{{}}}", shown.join(", "))
    }
}
