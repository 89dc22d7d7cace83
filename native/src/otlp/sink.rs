//! Series of translated points: judged, bounded, and put into the batch.

use crate::error::{Error, Result};
use crate::histogram::View;
use crate::labels::METRIC_NAME;
use crate::otlp::attributes::Labels;
use crate::write::assembly::future;
use crate::write::batch::{Exemplar, Run, WriteBatch};
use crate::write::labels::{Label, judge};
use crate::write::limits::Limits;
use crate::write::metadata::Entry;

/// Bytes of labels that a message may become for each of its own: a histogram is a series a bucket, each of
/// which has its attributes.
const GROWTH_MAX: usize = 4;
const NANOS_PER_MS: u64 = 1_000_000;

/// When something was observed, and since when.
#[derive(Debug, Clone, Copy, Default)]
pub struct When {
    pub nanos: u64,
    pub start_nanos: u64,
}

impl When {
    pub fn at_ms(self) -> i64 {
        (self.nanos / NANOS_PER_MS) as i64
    }

    /// 0 where it is not told, or no start of this sample.
    pub fn start_ms(self) -> i64 {
        match self.start_nanos <= self.nanos {
            true => (self.start_nanos / NANOS_PER_MS) as i64,
            false => 0,
        }
    }

    /// The same without a start.
    pub fn alone(self) -> Self {
        Self {
            start_nanos: 0,
            ..self
        }
    }
}

pub struct Sink<'b> {
    pub batch: &'b mut WriteBatch,
    pub limits: &'b Limits,
    latest_ms: i64,
    scratch: Vec<u8>,
    label_bytes: usize,
    buckets: usize,
}

impl<'b> Sink<'b> {
    pub fn new(batch: &'b mut WriteBatch, limits: &'b Limits, latest_ms: i64) -> Self {
        Self {
            batch,
            limits,
            latest_ms,
            scratch: Vec::new(),
            label_bytes: 0,
            buckets: 0,
        }
    }

    /// One float sample of the series `name` with these labels and one more.
    pub fn float(
        &mut self,
        labels: &Labels<'_>,
        name: &str,
        more: Option<Label<'_>>,
        when: When,
        value: f64,
        exemplars: Vec<Exemplar>,
    ) -> Result<()> {
        let Some((fingerprint, run)) = self.series(labels, name, more, when)? else {
            return Ok(());
        };
        self.batch.push_sample(when.at_ms(), value);
        if when.start_ms() != 0 {
            self.batch.start_sample(when.start_ms());
        }
        self.end(fingerprint, run, exemplars)
    }

    /// One native histogram.
    pub fn histogram(
        &mut self,
        labels: &Labels<'_>,
        name: &str,
        when: When,
        value: View<'_>,
        exemplars: Vec<Exemplar>,
    ) -> Result<()> {
        let Some((fingerprint, run)) = self.series(labels, name, None, when)? else {
            return Ok(());
        };
        self.buckets += 2 * value.cells.len();
        let most = self.limits.buckets_per_request();
        if self.buckets > most {
            return Err(Error::invalid(
                "max-samples-per-request",
                format!("histograms of the request have more than {most} buckets"),
            ));
        }
        self.batch
            .push_histogram(when.at_ms(), when.start_ms(), value);
        self.end(fingerprint, run, exemplars)
    }

    pub fn describe(&mut self, entry: Entry<'_>) -> Result<()> {
        let most = self.limits.metadata;
        if self.batch.metadata().len() >= most {
            return Err(Error::invalid(
                "max-metadata-per-request",
                format!("request has more than {most} metadata entries"),
            ));
        }
        entry.push(self.limits, self.batch);
        Ok(())
    }

    /// The fingerprint and the labels of a series, unless they or the time break a rule.
    fn series(
        &mut self,
        labels: &Labels<'_>,
        name: &str,
        more: Option<Label<'_>>,
        when: When,
    ) -> Result<Option<(u128, Run)>> {
        let mut all = Vec::new();
        let named = (METRIC_NAME.as_bytes(), name.as_bytes());
        match more {
            Some(more) => labels.with(&[named, more], &mut all),
            None => labels.with(&[named], &mut all),
        }
        let bytes = |&(name, value): &Label<'_>| name.len() + value.len() + 8;
        self.count_label_bytes(all.iter().map(bytes).sum())?;
        let at_ms = when.at_ms();
        if at_ms > self.latest_ms {
            let message = || future(at_ms, self.latest_ms);
            self.batch.reject("too-far-in-future", 1, message);
            return Ok(None);
        }
        let count = all.len();
        match judge(&mut all, count, &[], self.limits, &mut self.scratch) {
            Ok(fingerprint) => {
                let run = self.batch.encode_labels(all.into_iter());
                Ok(Some((fingerprint, run)))
            }
            Err(verdict) => {
                self.batch.reject(verdict.id, 1, || verdict.message);
                Ok(None)
            }
        }
    }

    fn end(&mut self, fingerprint: u128, run: Run, exemplars: Vec<Exemplar>) -> Result<()> {
        for exemplar in exemplars {
            if exemplar.time_ms > self.latest_ms {
                let message = || future(exemplar.time_ms, self.latest_ms);
                self.batch.drop_exemplars("too-far-in-future", 1, message);
                continue;
            }
            self.batch.push_exemplar(exemplar);
        }
        self.batch.end_series(fingerprint, run);
        let most = self.limits.exemplars;
        if self.batch.exemplar_count() > most {
            return Err(Error::invalid(
                "max-exemplars-per-request",
                format!("request has more than {most} exemplars"),
            ));
        }
        let most = self.limits.samples;
        if self.batch.sample_count() + self.batch.histogram_count() > most {
            return Err(Error::invalid(
                "max-samples-per-request",
                format!("request has more than {most} samples"),
            ));
        }
        Ok(())
    }

    fn count_label_bytes(&mut self, more: usize) -> Result<()> {
        self.label_bytes = self.label_bytes.saturating_add(more);
        let most = self.limits.message_bytes.saturating_mul(GROWTH_MAX);
        if self.label_bytes <= most.min(u32::MAX as usize) {
            return Ok(());
        }
        Err(Error::invalid(
            "distributor-max-write-message-size",
            format!("labels of the request, written out, exceed the limit of {most} bytes"),
        ))
    }
}
