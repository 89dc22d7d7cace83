//! Histograms in the API's JSON.

use super::number;
use crate::error::{Error, Result};
use crate::histogram::{Bucket, Histograms, View};

/// Histograms of cells: one index into the pool for each, negative where a cell has none.
#[derive(Debug, Clone, Copy)]
pub struct Cells<'a> {
    index: &'a [i64],
    pool: &'a Histograms,
}

impl<'a> Cells<'a> {
    pub fn new(index: &'a [i64], pool: &'a Histograms, count: usize) -> Result<Self> {
        let outside = |&at: &i64| at >= 0 && at as usize >= pool.len();
        if index.len() != count || index.iter().any(outside) {
            let message = format!(
                "{} indexes of {} histograms do not fit {count} cells",
                index.len(),
                pool.len()
            );
            return Err(Error::invalid("result-shape", message));
        }
        Ok(Self { index, pool })
    }

    /// The histogram of cell `at`.
    #[inline]
    pub fn get(&self, at: usize) -> Option<View<'a>> {
        let index = usize::try_from(self.index[at]).ok()?;
        Some(self.pool.get(index))
    }

    /// How much there is to write.
    pub fn work(&self) -> usize {
        self.pool.cell_count()
    }
}

/// Writes histograms. Their bounds come again and again, so that the texts of those it wrote are kept.
#[derive(Debug, Default)]
pub struct Writer {
    /// Each at the place that its bits give it, if no other took it; empty until there is a histogram.
    texts: Vec<Text>,
}

/// A number and how it is written.
#[derive(Debug, Clone, Copy)]
struct Text {
    bits: u64,
    bytes: [u8; TEXT_MAX],
    /// 0 where there is none yet.
    size: u8,
}

/// Places for texts, as a power of two, and how long one may be.
const PLACES_LOG2: u32 = 9;
const TEXT_MAX: usize = 31;
/// Spreads the bits of nearby floats.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Writer {
    /// `{"count":"4","sum":"5","buckets":[[0,"1","2","4"]]}`: buckets that count something, by rising
    /// value.
    ///
    /// The first number of a bucket says which of its bounds belong to it: 0 the upper, 1 the lower, 2
    /// none, 3 both.
    pub fn push(&mut self, out: &mut Vec<u8>, view: View<'_>) {
        out.extend_from_slice(br#"{"count":""#);
        number::push_float(out, view.count());
        out.extend_from_slice(br#"","sum":""#);
        number::push_float(out, view.sum());
        out.push(b'"');
        let mut separator: &[u8] = br#","buckets":["#;
        for (slot, _) in view.slots().filter(|&(_, count)| count != 0.0) {
            out.extend_from_slice(separator);
            self.push_bucket(out, view.bucket_outside_zero(slot));
            separator = b",";
        }
        out.extend_from_slice(if separator == b"," { b"]}" } else { b"}" });
    }

    fn push_bucket(&mut self, out: &mut Vec<u8>, bucket: Bucket) {
        let rule: &[u8] = match (bucket.lower_closed, bucket.upper_closed) {
            (false, true) => b"[0,\"",
            (true, false) => b"[1,\"",
            (false, false) => b"[2,\"",
            (true, true) => b"[3,\"",
        };
        out.extend_from_slice(rule);
        self.push_bound(out, bucket.lower);
        out.extend_from_slice(b"\",\"");
        self.push_bound(out, bucket.upper);
        out.extend_from_slice(b"\",\"");
        number::push_float(out, bucket.count);
        out.extend_from_slice(b"\"]");
    }

    fn push_bound(&mut self, out: &mut Vec<u8>, bound: f64) {
        if self.texts.is_empty() {
            let none = Text {
                bits: 0,
                bytes: [0; TEXT_MAX],
                size: 0,
            };
            self.texts.resize(1 << PLACES_LOG2, none);
        }
        let bits = bound.to_bits();
        let place = bits.wrapping_mul(SPREAD) >> (u64::BITS - PLACES_LOG2);
        let text = &mut self.texts[place as usize];
        if text.size > 0 && text.bits == bits {
            return out.extend_from_slice(&text.bytes[..usize::from(text.size)]);
        }
        let start = out.len();
        number::push_float(out, bound);
        let written = &out[start..];
        if written.len() <= TEXT_MAX {
            text.bytes[..written.len()].copy_from_slice(written);
            text.size = written.len() as u8;
            text.bits = bits;
        }
    }
}
