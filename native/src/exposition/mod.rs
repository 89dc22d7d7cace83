//! The latest sample of many series as a scrape shows it: text, or protobuf with native histograms.
//!
//! Rows come sorted by metric name; consecutive rows of one name and kind are one family. `names` spells
//! names for readers that know only the old character set.

mod names;
mod protobuf;
mod python;
mod text;

pub use python::register;

use crate::histogram::Histograms;
use crate::labels::{LabelSets, METRIC_NAME};

/// One sample a series.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    pub labels: &'a LabelSets,
    pub timestamps_ms: &'a [i64],
    pub values: &'a [f64],
    /// Which histogram a row has, -1 where it has the value; empty where no row has one.
    pub index: &'a [i64],
    pub histograms: &'a Histograms,
}

impl Rows<'_> {
    fn name(&self, row: usize) -> &str {
        let named = self
            .labels
            .labels_of(row)
            .find(|(name, _)| *name == METRIC_NAME);
        named.map_or("", |(_, value)| value)
    }

    /// The labels but for the name, and an empty `instance` where there is none: whoever scrapes this must
    /// not add its own.
    fn others(&self, row: usize) -> impl Iterator<Item = (&str, &str)> {
        let lacking = !self
            .labels
            .labels_of(row)
            .any(|(name, _)| name == "instance");
        self.labels
            .labels_of(row)
            .filter(|(name, _)| *name != METRIC_NAME)
            .chain(lacking.then_some(("instance", "")))
    }
}
