//! What the buckets of a histogram are.

use std::hash::{Hash, Hasher};

use crate::error::{Error, Result};
use crate::histogram::FIXED_CELLS;

/// The schema of histograms whose bucket bounds are listed.
pub const CUSTOM: i8 = -53;

/// Of a time, and of all in a histogram that is not in a list.
const HEAD_BYTES: i64 = 176;
const SAMPLE_BYTES: i64 = 16;

const FINEST: i8 = 8;
const COARSEST: i8 = -4;

/// The buckets that a row of cells has counts for; two are equal when all their bits are.
///
/// Exponential: bucket `i` reaches from `base^(i - 1)`, exclusive, to `base^i`, inclusive, with
/// `base = 2^(2^-schema)`; negative buckets mirror that. Custom: bucket `i` ends at `bounds[i]`, inclusive,
/// and one more reaches to infinity. Empty buckets may be among those listed.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    pub schema: i8,
    pub zero_threshold: f64,
    /// Upper bounds of custom buckets, strictly ascending, without the infinite one.
    pub bounds: Vec<f64>,
    /// Indexes of buckets, strictly ascending.
    pub positive: Vec<i32>,
    pub negative: Vec<i32>,
}

impl Layout {
    /// The layout itself where it is one; errors name what is wrong with it.
    pub fn checked(self) -> Result<Self> {
        let exponential = (COARSEST..=FINEST).contains(&self.schema);
        if !exponential && self.schema != CUSTOM {
            let message = format!(
                "histogram schema {}, want {COARSEST} to {FINEST} or {CUSTOM}",
                self.schema
            );
            return Err(invalid(message));
        }
        let ascends = |indexes: &[i32]| indexes.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascends(&self.positive) || !ascends(&self.negative) {
            return Err(invalid("histogram buckets do not ascend"));
        }
        if self.zero_threshold.is_nan() || self.zero_threshold < 0.0 {
            let message = format!(
                "zero threshold {} of a histogram, want 0 or more",
                self.zero_threshold
            );
            return Err(invalid(message));
        }
        if exponential && !self.bounds.is_empty() {
            return Err(invalid("histogram with exponential buckets lists bounds"));
        }
        if !exponential {
            self.check_custom()?;
        }
        Ok(self)
    }

    fn check_custom(&self) -> Result<()> {
        if !self.negative.is_empty() || self.zero_threshold != 0.0 {
            return Err(invalid(
                "histogram with custom buckets has negative buckets or a zero threshold",
            ));
        }
        let ascends = self.bounds.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascends || !self.bounds.iter().all(|bound| bound.is_finite()) {
            return Err(invalid("custom bounds of a histogram do not ascend"));
        }
        let last = self.bounds.len() as i64;
        let outside = |&index: &i32| index < 0 || i64::from(index) > last;
        match self.positive.iter().find(|index| outside(index)) {
            Some(index) => {
                let message = format!("custom bucket {index} of a histogram with {last} bounds");
                Err(invalid(message))
            }
            None => Ok(()),
        }
    }

    pub fn is_custom(&self) -> bool {
        self.schema == CUSTOM
    }

    /// Cells of a histogram of this layout.
    pub fn cell_count(&self) -> usize {
        FIXED_CELLS + self.positive.len() + self.negative.len()
    }

    /// How many float samples (16 bytes each) one histogram of this layout counts for in the statistics of
    /// a query: what its bytes were if it had spans of neighbouring buckets, as Prometheus' have.
    pub fn sample_size(&self) -> i64 {
        let buckets = self.positive.len() + self.negative.len() + self.bounds.len();
        let words = buckets + spans(&self.positive) + spans(&self.negative);
        (HEAD_BYTES + 8 * words as i64) / SAMPLE_BYTES
    }

    /// Heap bytes held.
    pub fn size_bytes(&self) -> usize {
        self.bounds.capacity() * 8 + (self.positive.capacity() + self.negative.capacity()) * 4
    }
}

/// Runs of neighbouring indexes.
fn spans(indexes: &[i32]) -> usize {
    let gaps = indexes
        .windows(2)
        .filter(|pair| pair[1] != pair[0] + 1)
        .count();
    gaps + usize::from(!indexes.is_empty())
}

fn invalid(message: impl Into<String>) -> Error {
    Error::invalid("histogram-invalid", message)
}

impl PartialEq for Layout {
    fn eq(&self, other: &Self) -> bool {
        self.schema == other.schema
            && self.zero_threshold.to_bits() == other.zero_threshold.to_bits()
            && self.positive == other.positive
            && self.negative == other.negative
            && self.bounds.len() == other.bounds.len()
            && self
                .bounds
                .iter()
                .zip(&other.bounds)
                .all(|(mine, theirs)| mine.to_bits() == theirs.to_bits())
    }
}

impl Eq for Layout {}

impl Hash for Layout {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.schema.hash(state);
        self.zero_threshold.to_bits().hash(state);
        for bound in &self.bounds {
            bound.to_bits().hash(state);
        }
        self.positive.hash(state);
        self.negative.hash(state);
    }
}
