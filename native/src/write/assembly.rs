//! From the parts of one series to rows of the batch: what both versions of remote write have in common.

use crate::error::{Error, Result};
use crate::histogram::View;
use crate::write::batch::{Run, WriteBatch};
use crate::write::exemplar;
use crate::write::histogram::HistogramReader;
use crate::write::labels::{Label, Verdict, judge};
use crate::write::limits::Limits;
use crate::write::metadata::Entry;
use crate::write::pair::Pair;
use crate::write::symbols::Symbols;
use crate::write::wire::Span;

/// What a new layout of histogram buckets counts like, on top of its buckets.
const LAYOUT_BUCKETS: usize = 16;

pub struct Assembly<'a> {
    pub message: &'a [u8],
    pub batch: &'a mut WriteBatch,
    pub limits: &'a Limits,
    /// Samples later than this are refused.
    pub latest_ms: i64,
    /// Of a 2.0 message.
    pub symbols: Option<&'a Symbols>,
    /// The label that no series keeps; empty where there is none.
    left_out: &'a [u8],
    /// Of the series that is being read.
    pub labels: Vec<Label<'a>>,
    histograms: Vec<Span>,
    exemplars: Vec<Span>,
    scratch: Vec<u8>,
    reader: HistogramReader,
    buckets: usize,
}

impl<'a> Assembly<'a> {
    pub fn new(
        message: &'a [u8],
        batch: &'a mut WriteBatch,
        limits: &'a Limits,
        latest_ms: i64,
        symbols: Option<&'a Symbols>,
        pair: Option<&'a Pair>,
    ) -> Self {
        Self {
            message,
            batch,
            limits,
            latest_ms,
            symbols,
            left_out: pair.map_or(&[], |pair| pair.replica_label.as_bytes()),
            labels: Vec::new(),
            histograms: Vec::new(),
            exemplars: Vec::new(),
            scratch: Vec::new(),
            reader: HistogramReader::new(limits.histogram_buckets),
            buckets: 0,
        }
    }

    /// Forgets what was read of a series so far.
    pub fn drop_series(&mut self) {
        self.batch.drop_open_samples();
        self.histograms.clear();
        self.exemplars.clear();
    }

    /// Keeps the place of a histogram until the labels of its series are judged.
    pub fn add_histogram(&mut self, span: Span) -> Result<()> {
        self.histograms.push(span);
        self.check_sample_count()
    }

    /// Keeps the place of an exemplar until the labels of its series are judged.
    pub fn add_exemplar(&mut self, span: Span) -> Result<()> {
        self.exemplars.push(span);
        let most = self.limits.exemplars;
        if self.batch.exemplar_count() + self.exemplars.len() <= most {
            return Ok(());
        }
        Err(Error::invalid(
            "max-exemplars-per-request",
            format!("request has more than {most} exemplars"),
        ))
    }

    /// Adds what a producer says of a metric family.
    pub fn add_metadata(&mut self, entry: Entry<'_>) -> Result<()> {
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

    /// Whether the series has nothing to store.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.batch.open_samples().is_empty()
            && self.histograms.is_empty()
            && self.exemplars.is_empty()
    }

    /// The fingerprint of the collected labels, or the series is recorded as left out.
    pub fn judge(&mut self, count: usize) -> Option<u128> {
        let (labels, scratch) = (&mut self.labels, &mut self.scratch);
        match judge(labels, count, self.left_out, self.limits, scratch) {
            Ok(fingerprint) => Some(fingerprint),
            Err(verdict) => {
                self.refuse_series(verdict);
                None
            }
        }
    }

    /// Records a series as left out, with all that belongs to it.
    #[cold]
    pub fn refuse_series(&mut self, verdict: Verdict) {
        let samples = self.batch.open_samples().len() + self.histograms.len();
        let exemplars = self.exemplars.len() as u64;
        if exemplars > 0 {
            let message = || "the series of an exemplar was left out".to_owned();
            self.batch
                .drop_exemplars("exemplar-series-invalid", exemplars, message);
        }
        self.drop_series();
        self.batch
            .reject(verdict.id, samples as u64, || verdict.message);
    }

    /// Gives what was read to a series whose labels are known to be valid.
    #[inline]
    pub fn end_series(&mut self, fingerprint: u128, run: Run) -> Result<()> {
        let latest_ms = self.latest_ms;
        if self.batch.open_samples().iter().any(|&at| at > latest_ms) {
            self.leave_out_future();
        }
        if !(self.histograms.is_empty() && self.exemplars.is_empty()) {
            self.read_histograms()?;
            self.read_exemplars()?;
        }
        if self.batch.has_open() {
            self.batch.end_series(fingerprint, run);
        }
        self.check_sample_count()
    }

    /// A sample can be two bytes on the wire and is sixteen here.
    #[inline]
    pub fn check_sample_count(&self) -> Result<()> {
        let histograms = self.batch.histogram_count() + self.histograms.len();
        if self.batch.sample_count() + histograms <= self.limits.samples {
            return Ok(());
        }
        Err(Error::invalid(
            "max-samples-per-request",
            format!("request has more than {} samples", self.limits.samples),
        ))
    }

    fn read_histograms(&mut self) -> Result<()> {
        for at in 0..self.histograms.len() {
            self.read_histogram(self.histograms[at])?;
        }
        self.histograms.clear();
        Ok(())
    }

    fn read_histogram(&mut self, span: Span) -> Result<()> {
        self.reader.read(self.message, span)?;
        let (time_ms, start_ms) = (self.reader.timestamp_ms, self.reader.start_ms);
        let start_ms = if self.symbols.is_some() { start_ms } else { 0 };
        if time_ms > self.latest_ms {
            let message = || future(time_ms, self.latest_ms);
            self.batch.reject("too-far-in-future", 1, message);
            return Ok(());
        }
        match self.reader.judge() {
            Ok(view) => {
                self.buckets += view.cells.len() + layout_cost(self.batch, &view);
                self.batch.push_histogram(time_ms, start_ms, view);
            }
            Err(verdict) => self.batch.reject(verdict.id, 1, || verdict.message),
        }
        let most = self.limits.buckets_per_request();
        if self.buckets <= most {
            return Ok(());
        }
        Err(Error::invalid(
            "max-samples-per-request",
            format!("histograms of the request have more than {most} buckets"),
        ))
    }

    fn read_exemplars(&mut self) -> Result<()> {
        for at in 0..self.exemplars.len() {
            let span = self.exemplars[at];
            let read = match self.symbols {
                Some(symbols) => exemplar::read_refs(self.message, span, symbols)?,
                None => exemplar::read(self.message, span)?,
            };
            match read {
                Ok(one) if one.time_ms > self.latest_ms => {
                    let message = || future(one.time_ms, self.latest_ms);
                    self.batch.drop_exemplars("too-far-in-future", 1, message);
                }
                Ok(one) => self.batch.push_exemplar(one),
                Err(verdict) => self.refuse_exemplar(verdict),
            }
        }
        self.exemplars.clear();
        Ok(())
    }

    fn refuse_exemplar(&mut self, verdict: Verdict) {
        if exemplar::is_told(&verdict) {
            let message = || verdict.message.clone();
            self.batch.reject(verdict.id, 0, message);
        }
        self.batch.drop_exemplars(verdict.id, 1, || verdict.message);
    }

    #[cold]
    fn leave_out_future(&mut self) {
        let latest_ms = self.latest_ms;
        let open = self.batch.open_samples().iter().copied();
        let furthest = open.max().unwrap_or(latest_ms);
        let dropped = self.batch.retain_open_samples(|at| at <= latest_ms);
        let message = || future(furthest, latest_ms);
        self.batch.reject("too-far-in-future", dropped, message);
    }
}

/// Why a sample of this time is left out.
pub fn future(time_ms: i64, latest_ms: i64) -> String {
    format!(
        "sample timestamp {time_ms} is later than {latest_ms}, the clock plus creation_grace_period"
    )
}

/// Neighbours nearly always share a layout.
fn layout_cost(batch: &WriteBatch, view: &View<'_>) -> usize {
    let values = batch.histogram_values();
    match values.len().checked_sub(1) {
        Some(last) if values.get(last).is_laid_out_as(view) => 0,
        _ => LAYOUT_BUCKETS + view.cells.len() + view.layout.bounds.len(),
    }
}
