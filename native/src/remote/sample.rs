//! One histogram as the protobuf `Histogram` of remote read and write 1.0, always in floats.

use crate::histogram::View;
use crate::remote::message::{double, doubles, nested, number, zigzag};
use crate::tsdb::layout::spans;

pub fn push_histogram(out: &mut Vec<u8>, time_ms: i64, view: &View<'_>) {
    let layout = view.layout;
    // The oneof is there even when it is zero: it says that this is a histogram of floats.
    out.push(2 << 3 | 1);
    out.extend_from_slice(&view.count().to_le_bytes());
    double(out, 3, view.sum());
    zigzag(out, 4, i64::from(layout.schema));
    double(out, 5, layout.zero_threshold);
    out.push(7 << 3 | 1);
    out.extend_from_slice(&view.zero_count().to_le_bytes());
    push_buckets(out, 8, &layout.negative, view.negative());
    push_buckets(out, 11, &layout.positive, view.positive());
    number(out, 14, view.hint as i64);
    number(out, 15, time_ms);
    doubles(out, 16, &layout.bounds);
}

/// Spans as field `field`, absolute counts two fields further on.
fn push_buckets(out: &mut Vec<u8>, field: u8, indexes: &[i32], counts: &[f64]) {
    for (offset, length) in spans(indexes) {
        nested(out, field, |out| {
            zigzag(out, 1, offset);
            number(out, 2, length as i64);
        });
    }
    doubles(out, field + 2, counts);
}
