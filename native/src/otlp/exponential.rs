//! Exponential histograms, which become native ones.
//!
//! OpenTelemetry's bucket `i` reaches from `base^i` to `base^(i + 1)`, ours to `base^i`: indexes are one more here.
//! Scales above 8 are brought down to it, so neighbours become one bucket.

use std::sync::Arc;

use crate::error::Result;
use crate::histogram::{FIXED_CELLS, Hint, Layout, View};
use crate::otlp::exemplar;
use crate::otlp::points::{Point, STALE};
use crate::otlp::request::Metric;
use crate::otlp::sink::{Sink, When};
use crate::write::labels::Verdict;
use crate::write::wire::{Reader, Span, Value, long_varint, zigzag_32};

const SCALE_MIN: i32 = -4;
const SCALE_MAX: i32 = 8;
/// What Prometheus takes where the sender tells none.
const ZERO_THRESHOLD: f64 = 1e-128;
/// Empty buckets between others that are kept: a layout that changes with every sample costs more.
const EMPTY_MAX: i64 = 2;

/// Dense counts of one side.
#[derive(Debug, Default)]
struct Side {
    offset: i32,
    counts: Vec<u64>,
}

#[derive(Debug, Default)]
struct Exponential {
    scale: i32,
    count: u64,
    sum: f64,
    zero_count: u64,
    zero_threshold: f64,
    positive: Side,
    negative: Side,
}

pub fn exponential(metric: &Metric<'_, '_>, span: Span, sink: &mut Sink<'_>) -> Result<When> {
    let message = metric.message;
    let most = sink.limits.histogram_buckets;
    let mut point = Point::default();
    let mut read = Exponential::default();
    let mut reader = Reader::new(message, span);
    while let Some(field) = reader.field()? {
        match (field.number, field.value) {
            (1, Value::Bytes(span)) => point.add_attribute(message, span)?,
            (2, Value::Fixed64(nanos)) => point.when.start_nanos = nanos,
            (3, Value::Fixed64(nanos)) => point.when.nanos = nanos,
            (4, Value::Fixed64(count)) => read.count = count,
            (5, Value::Fixed64(bits)) => read.sum = f64::from_bits(bits),
            (6, Value::Varint(scale)) => read.scale = zigzag_32(scale),
            (7, Value::Fixed64(count)) => read.zero_count = count,
            (8, Value::Bytes(span)) => read.positive.read(message, span, most)?,
            (9, Value::Bytes(span)) => read.negative.read(message, span, most)?,
            (10, Value::Varint(flags)) => point.set_flags(flags),
            (11, Value::Bytes(span)) => point.exemplars.push(span),
            (14, Value::Fixed64(bits)) => read.zero_threshold = f64::from_bits(bits),
            _ => {}
        }
    }
    let when = point.when;
    let exemplars = exemplar::read_all(message, &point.exemplars, sink)?;
    match read.translated(point.is_stale(), most) {
        Ok((layout, cells)) => {
            let labels = metric.resource.labels_of(point.attributes);
            let view = View {
                layout: &Arc::new(layout),
                hint: if metric.is_delta {
                    Hint::Gauge
                } else {
                    Hint::Unknown
                },
                cells: &cells,
            };
            sink.histogram(&labels, &metric.name, when, view, exemplars)?;
        }
        Err(verdict) => sink.batch.reject(verdict.id, 1, || verdict.message),
    }
    Ok(when)
}

impl Side {
    fn read(&mut self, message: &[u8], span: Span, most: usize) -> Result<()> {
        let mut reader = Reader::new(message, span);
        while let Some(field) = reader.field()? {
            match (field.number, field.value) {
                (1, Value::Varint(offset)) => self.offset = zigzag_32(offset),
                (2, Value::Varint(count)) => self.put(count, most),
                (2, Value::Bytes(span)) => {
                    let mut rest = span.of(message);
                    while !rest.is_empty() {
                        let Some((count, length)) = long_varint(rest) else {
                            return Err(reader.malformed("bucket count is cut off"));
                        };
                        self.put(count, most);
                        rest = &rest[length..];
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// One more than `most` says that there were too many; the others need not be kept.
    fn put(&mut self, count: u64, most: usize) {
        if self.counts.len() <= most {
            self.counts.push(count);
        }
    }

    /// Adds the buckets that are not empty, and short runs of empty ones between them.
    fn put_buckets(
        &self,
        down: u32,
        indexes: &mut Vec<i32>,
        cells: &mut Vec<f64>,
    ) -> std::result::Result<u128, Verdict> {
        let mut total = 0u128;
        let mut last: Option<i64> = None;
        for (at, &count) in self.counts.iter().enumerate() {
            if count == 0 {
                continue;
            }
            total += u128::from(count);
            let index = ((i64::from(self.offset) + at as i64) >> down) + 1;
            let Ok(fits) = i32::try_from(index) else {
                return refuse(
                    "native-histogram-bucket-index",
                    format!("bucket index {index} does not fit 32 bits"),
                );
            };
            if last == Some(index)
                && let Some(cell) = cells.last_mut()
            {
                *cell += count as f64;
                continue;
            }
            if let Some(before) = last.filter(|before| index - before - 1 <= EMPTY_MAX) {
                for empty in before + 1..index {
                    indexes.push(empty as i32);
                    cells.push(0.0);
                }
            }
            indexes.push(fits);
            cells.push(count as f64);
            last = Some(index);
        }
        Ok(total)
    }
}

impl Exponential {
    fn translated(
        &self,
        is_stale: bool,
        most: usize,
    ) -> std::result::Result<(Layout, Vec<f64>), Verdict> {
        if self.scale < SCALE_MIN {
            return refuse(
                "otlp-scale",
                format!(
                    "histogram has the scale {}, want {SCALE_MIN} or more",
                    self.scale
                ),
            );
        }
        if self.positive.counts.len() + self.negative.counts.len() > most {
            return refuse(
                "max-native-histogram-buckets",
                format!("histogram has more than {most} buckets (max_native_histogram_buckets)"),
            );
        }
        let mut layout = Layout {
            schema: self.scale.min(SCALE_MAX) as i8,
            zero_threshold: self.threshold()?,
            ..Layout::default()
        };
        if is_stale {
            return Ok((layout, vec![0.0, STALE, 0.0]));
        }
        // A scale of 40 and one of 70 put the same into one bucket.
        let down = (self.scale - SCALE_MAX).clamp(0, 62) as u32;
        let mut cells = Vec::with_capacity(FIXED_CELLS + self.positive.counts.len());
        cells.extend([self.count as f64, self.sum, self.zero_count as f64]);
        let mut total = u128::from(self.zero_count);
        total += self
            .positive
            .put_buckets(down, &mut layout.positive, &mut cells)?;
        total += self
            .negative
            .put_buckets(down, &mut layout.negative, &mut cells)?;
        self.check_total(total)?;
        Ok((layout, cells))
    }

    fn threshold(&self) -> std::result::Result<f64, Verdict> {
        match self.zero_threshold {
            0.0 => Ok(ZERO_THRESHOLD),
            told if told > 0.0 => Ok(told),
            told => refuse(
                "native-histogram-zero-threshold",
                format!("zero threshold {told} of a histogram"),
            ),
        }
    }

    /// Observations of NaN are counted, are in no bucket, and make the sum NaN.
    fn check_total(&self, in_buckets: u128) -> std::result::Result<(), Verdict> {
        let told = u128::from(self.count);
        let message = || format!("{in_buckets} observations in buckets, but the count is {told}");
        if self.sum.is_nan() && in_buckets > told {
            return refuse("native-histogram-count-not-big-enough", message());
        }
        if !self.sum.is_nan() && in_buckets != told {
            return refuse("native-histogram-count-mismatch", message());
        }
        Ok(())
    }
}

fn refuse<T>(id: &'static str, message: String) -> std::result::Result<T, Verdict> {
    Err(Verdict { id, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(scale: i32, offset: i32, counts: &[u64]) -> (Vec<i32>, Vec<f64>) {
        let one = Exponential {
            scale,
            count: counts.iter().sum(),
            positive: Side {
                offset,
                counts: counts.to_vec(),
            },
            ..Exponential::default()
        };
        let (layout, cells) = one.translated(false, 100).expect("fits");
        (layout.positive, cells[FIXED_CELLS..].to_vec())
    }

    #[test]
    fn indexes_are_one_more() {
        assert_eq!(
            translated(3, -2, &[1, 2, 3]),
            (vec![-1, 0, 1], vec![1.0, 2.0, 3.0])
        );
    }

    #[test]
    fn long_runs_of_empty_buckets_are_left_out() {
        let (indexes, cells) = translated(0, 0, &[0, 1, 0, 0, 2, 0, 0, 0, 3, 0]);
        assert_eq!(indexes, [2, 3, 4, 5, 9]);
        assert_eq!(cells, [1.0, 0.0, 0.0, 2.0, 3.0]);
    }

    #[test]
    fn finer_scales_are_brought_down() {
        // At scale 10 four buckets are one of scale 8: -4..=-1 and 0..=3.
        let (indexes, cells) = translated(10, -3, &[1, 1, 1, 1, 1]);
        assert_eq!((indexes, cells), (vec![0, 1], vec![3.0, 2.0]));
        assert_eq!(translated(100, i32::MAX, &[5]), (vec![1], vec![5.0]));
        assert_eq!(translated(100, i32::MIN, &[5]), (vec![0], vec![5.0]));
    }

    #[test]
    fn what_does_not_add_up_is_refused() {
        let of = |scale, count, sum, offset| {
            let one = Exponential {
                scale,
                count,
                sum,
                positive: Side {
                    offset,
                    counts: vec![2],
                },
                ..Exponential::default()
            };
            one.translated(false, 100)
                .map_err(|verdict| verdict.id)
                .err()
        };
        assert_eq!(of(0, 2, 1.0, 0), None);
        assert_eq!(of(0, 3, f64::NAN, 0), None);
        assert_eq!(of(-5, 2, 1.0, 0), Some("otlp-scale"));
        assert_eq!(of(0, 3, 1.0, 0), Some("native-histogram-count-mismatch"));
        assert_eq!(
            of(0, 1, f64::NAN, 0),
            Some("native-histogram-count-not-big-enough")
        );
        assert_eq!(
            of(0, 2, 1.0, i32::MAX),
            Some("native-histogram-bucket-index")
        );
    }
}
