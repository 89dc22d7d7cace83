//! Judges the labels of one series: the rules of the write path, and the fingerprint.

use std::borrow::Cow;

use xxhash_rust::xxh3::xxh3_128;

use crate::fingerprint::SEPARATOR;
use crate::labels::METRIC_NAME;
use crate::write::limits::Limits;

/// Bytes of a name or value that an error message quotes.
const QUOTED_BYTES_MAX: usize = 120;

pub type Label<'a> = (&'a [u8], &'a [u8]);

/// Why a series was left out.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    pub id: &'static str,
    pub message: String,
}

/// Sorts the labels, drops those with an empty value and the one named `left_out`, and gives the fingerprint of
/// the rest.
///
/// `count` is the number of labels that came, which may be more than were collected. `left_out` is empty where
/// no label is to be left out; it is judged like the others and does not count.
pub fn judge(
    labels: &mut Vec<Label<'_>>,
    count: usize,
    left_out: &[u8],
    limits: &Limits,
    scratch: &mut Vec<u8>,
) -> Result<u128, Verdict> {
    let refuse = |id, message| Err(Verdict { id, message });
    let is_left_out = |name: &[u8]| !left_out.is_empty() && name == left_out;
    let count = count - usize::from(labels.iter().any(|(name, _)| is_left_out(name)));
    if count > limits.labels_per_series {
        let message = format!(
            "series has {count} labels, more than max_label_names_per_series {}: {}",
            limits.labels_per_series,
            series_text(labels)
        );
        return refuse("max-label-names-per-series", message);
    }
    if !labels.is_sorted_by(|a, b| a.0 < b.0) {
        labels.sort_unstable();
    }
    if let Some(pair) = labels.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let message = format!(
            "label {} comes twice: {}",
            quote(pair[0].0),
            series_text(labels)
        );
        return refuse("duplicate-label-names", message);
    }
    for &(name, value) in labels.iter() {
        judge_label(name, value, limits)?;
    }
    labels.retain(|(name, value)| !value.is_empty() && !is_left_out(name));
    if !labels
        .iter()
        .any(|(name, _)| *name == METRIC_NAME.as_bytes())
    {
        let message = format!("series has no metric name: {}", series_text(labels));
        return refuse("missing-metric-name", message);
    }
    Ok(fingerprint(labels, scratch))
}

fn judge_label(name: &[u8], value: &[u8], limits: &Limits) -> Result<(), Verdict> {
    let refuse = |id, message| Err(Verdict { id, message });
    if name.is_empty() {
        let message = format!("label name is empty, its value is {}", quote(value));
        return refuse("label-invalid", message);
    }
    if name.len() > limits.label_name_bytes {
        let message = format!(
            "label name has {} bytes, more than max_label_name_length {}: {}",
            name.len(),
            limits.label_name_bytes,
            quote(name)
        );
        return refuse("label-name-too-long", message);
    }
    if value.len() > limits.label_value_bytes {
        let message = format!(
            "value of label {} has {} bytes, more than max_label_value_length {}: {}",
            quote(name),
            value.len(),
            limits.label_value_bytes,
            quote(value)
        );
        return refuse("label-value-too-long", message);
    }
    if std::str::from_utf8(name).is_err() {
        let message = format!("label name is not UTF-8: {}", quote(name));
        return refuse("label-invalid", message);
    }
    if std::str::from_utf8(value).is_err() {
        let message = format!(
            "value of label {} is not UTF-8: {}",
            quote(name),
            quote(value)
        );
        if name == METRIC_NAME.as_bytes() {
            return refuse("metric-name-invalid", message);
        }
        return refuse("label-value-invalid", message);
    }
    Ok(())
}

/// As `fingerprint::fingerprint`, over bytes whose UTF-8 was checked a moment ago.
fn fingerprint(labels: &[Label<'_>], scratch: &mut Vec<u8>) -> u128 {
    scratch.clear();
    for (name, value) in labels {
        scratch.extend_from_slice(name);
        scratch.push(SEPARATOR);
        scratch.extend_from_slice(value);
        scratch.push(SEPARATOR);
    }
    xxh3_128(scratch)
}

/// A name or value from outside in a message: cut, and valid UTF-8.
pub fn quote(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(QUOTED_BYTES_MAX)];
    format!("{:?}", String::from_utf8_lossy(cut))
}

/// `{a="b", ...}` of the first labels.
fn series_text(labels: &[Label<'_>]) -> String {
    let texts: Vec<String> = labels
        .iter()
        .take(8)
        .map(|(name, value)| {
            let name: Cow<'_, str> =
                String::from_utf8_lossy(&name[..name.len().min(QUOTED_BYTES_MAX)]);
            format!("{name}={}", quote(value))
        })
        .collect();
    format!("{{{}}}", texts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::limits::TEST_LIMITS;

    fn verdict(labels: &[(&str, &str)]) -> Result<u128, &'static str> {
        let bytes: Vec<Label<'_>> = labels
            .iter()
            .map(|(n, v)| (n.as_bytes(), v.as_bytes()))
            .collect();
        verdict_of_bytes(&bytes)
    }

    fn verdict_of_bytes(labels: &[Label<'_>]) -> Result<u128, &'static str> {
        judge(
            &mut labels.to_vec(),
            labels.len(),
            b"left_out",
            &TEST_LIMITS,
            &mut Vec::new(),
        )
        .map_err(|v| v.id)
    }

    #[test]
    fn order_and_empty_values_do_not_change_the_fingerprint() {
        let plain = verdict(&[("__name__", "up"), ("job", "a")]);
        assert!(plain.is_ok());
        assert_eq!(plain, verdict(&[("job", "a"), ("__name__", "up")]));
        assert_eq!(
            plain,
            verdict(&[("job", "a"), ("zone", ""), ("__name__", "up")])
        );
        let expected = crate::fingerprint::fingerprint(
            [("__name__", "up"), ("job", "a")].into_iter(),
            &mut Vec::new(),
        );
        assert_eq!(plain, Ok(expected));
    }

    #[test]
    fn a_label_that_is_left_out_does_not_count_and_is_judged_all_the_same() {
        let plain = [("__name__", "a"), ("b", "1"), ("c", "1"), ("d", "1")];
        let mut five = plain.to_vec();
        five.insert(1, ("left_out", "x"));
        assert_eq!(verdict(&plain), verdict(&five));
        five.insert(0, ("left_out", "y"));
        five.pop();
        assert_eq!(verdict(&five), Err("duplicate-label-names"));
        let long = "v".repeat(21);
        assert_eq!(
            verdict(&[("__name__", "a"), ("left_out", &long)]),
            Err("label-value-too-long")
        );
    }

    #[test]
    fn every_rule_has_its_id() {
        assert_eq!(verdict(&[("job", "a")]), Err("missing-metric-name"));
        assert_eq!(verdict(&[("__name__", "")]), Err("missing-metric-name"));
        assert_eq!(verdict(&[]), Err("missing-metric-name"));
        let twice = [("__name__", "a"), ("b", "1"), ("b", "2")];
        assert_eq!(verdict(&twice), Err("duplicate-label-names"));
        assert_eq!(
            verdict(&[("__name__", "a"), ("", "x")]),
            Err("label-invalid")
        );
        assert_eq!(
            verdict(&[("__name__", "a"), ("eleven_char", "x")]),
            Err("label-name-too-long")
        );
        let long = "v".repeat(21);
        assert_eq!(
            verdict(&[("__name__", "a"), ("b", &long)]),
            Err("label-value-too-long")
        );
        let five = [
            ("__name__", "a"),
            ("b", "1"),
            ("c", "1"),
            ("d", "1"),
            ("e", "1"),
        ];
        assert_eq!(verdict(&five), Err("max-label-names-per-series"));
        let bad: &[u8] = &[0xff];
        assert_eq!(
            verdict_of_bytes(&[(b"__name__", b"a"), (bad, b"x")]),
            Err("label-invalid")
        );
        assert_eq!(
            verdict_of_bytes(&[(b"__name__", b"a"), (b"x", bad)]),
            Err("label-value-invalid")
        );
        assert_eq!(
            verdict_of_bytes(&[(b"__name__", bad)]),
            Err("metric-name-invalid")
        );
    }

    #[test]
    fn names_and_values_of_any_utf8_are_taken() {
        assert!(verdict(&[("__name__", "my.metric\n"), ("größe", "\u{0}\t ü")]).is_ok());
    }
}
