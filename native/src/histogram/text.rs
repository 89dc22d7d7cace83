//! A histogram as one line of text.

use super::View;
use crate::json::number;

/// `{count:4, sum:5, [-2,-1):1, [-0.5,0.5]:1, (1,2]:2}`: buckets that count something, by rising value.
pub fn text(view: View<'_>) -> String {
    let mut out = b"{count:".to_vec();
    number::push_general(&mut out, view.count());
    out.extend_from_slice(b", sum:");
    number::push_general(&mut out, view.sum());
    let zero = view.zero_count();
    // The slots leave out a zero bucket that counts less than nothing; the text does not.
    let below_zero = (zero < 0.0 || zero.is_nan()).then_some((super::Slot::Zero, zero));
    let (negative, rest): (Vec<_>, Vec<_>) = view
        .slots()
        .partition(|(slot, _)| matches!(slot, super::Slot::Negative(_)));
    for (slot, count) in negative.into_iter().chain(below_zero).chain(rest) {
        if count != 0.0 {
            push_bucket(&mut out, view, slot);
        }
    }
    out.push(b'}');
    out.into_iter().map(char::from).collect()
}

fn push_bucket(out: &mut Vec<u8>, view: View<'_>, slot: super::Slot) {
    let bucket = view.bucket(slot);
    out.extend_from_slice(if bucket.lower_closed { b", [" } else { b", (" });
    number::push_general(out, bucket.lower);
    out.push(b',');
    number::push_general(out, bucket.upper);
    out.extend_from_slice(if bucket.upper_closed { b"]:" } else { b"):" });
    number::push_general(out, bucket.count);
}
