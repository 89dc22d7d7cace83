//! Names of metrics and labels, as Prometheus makes them of OpenTelemetry's: what it does not spell becomes an
//! underscore, and units and kinds become suffixes.
//!
//! The rules: https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/

use std::borrow::Cow;

/// Of what `prefix_of` gives.
const PREFIX_BYTES_MAX: usize = 4;

/// What a metric is, as far as its name says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Gauge,
    /// A sum that only grows.
    Counter,
    /// A sum that does not.
    UpDownCounter,
    Histogram,
    Summary,
}

impl Kind {
    /// The number of its type in remote write's metadata.
    pub fn number(self) -> u64 {
        match self {
            Self::Counter => 1,
            Self::Gauge | Self::UpDownCounter => 2,
            Self::Histogram => 3,
            Self::Summary => 5,
        }
    }
}

/// The name of a metric; empty where nothing of the name can be spelled.
pub fn metric_name(name: &str, unit: &str, kind: Kind) -> String {
    let is_separator = |c: char| !(c.is_ascii_alphanumeric() || c == ':');
    let words = name.split(is_separator).filter(|word| !word.is_empty());
    let mut words: Vec<&str> = words.collect();
    let (main, per) = unit_words(unit);
    add_unit(&mut words, &main, &per);
    if kind == Kind::Counter {
        put_last(&mut words, "total");
    }
    if kind == Kind::Gauge && unit == "1" {
        put_last(&mut words, "ratio");
    }
    let mut whole = words.join("_");
    if whole.starts_with(|c: char| c.is_ascii_digit()) {
        whole.insert(0, '_');
    }
    whole
}

fn add_unit<'a>(words: &mut Vec<&'a str>, main: &'a str, per: &'a str) {
    let per = match per {
        "per_" => "",
        per => per.strip_suffix('_').unwrap_or(per),
    };
    let main = match words.contains(&main) {
        true => "",
        false => main,
    };
    let per = match words.contains(&per) {
        true => "",
        false => per,
    };
    let main = match per {
        "" => main,
        _ => main.strip_suffix('_').unwrap_or(main),
    };
    words.extend([main, per].iter().filter(|word| !word.is_empty()));
}

fn put_last<'a>(words: &mut Vec<&'a str>, last: &'a str) {
    words.retain(|&word| word != last);
    words.push(last);
}

/// What a unit adds to a name: `By/s` gives `bytes` and `per_second`. Units in braces say nothing.
fn unit_words(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let says_something = |part: &&str| !part.is_empty() && !part.contains(['{', '}']);
    let main = Some(main.trim()).filter(says_something);
    let per = Some(per.trim()).filter(says_something);
    let main = main.map_or(String::new(), |unit| spelled(long_unit(unit)));
    let per = per.map_or(String::new(), |unit| {
        spelled(&format!("per_{}", long_per_unit(unit)))
    });
    (main, per)
}

fn long_unit(unit: &str) -> &str {
    match unit {
        "d" => "days",
        "h" => "hours",
        "min" => "minutes",
        "s" => "seconds",
        "ms" => "milliseconds",
        "us" => "microseconds",
        "ns" => "nanoseconds",
        "By" => "bytes",
        "KiBy" => "kibibytes",
        "MiBy" => "mebibytes",
        "GiBy" => "gibibytes",
        "TiBy" => "tibibytes",
        "KBy" => "kilobytes",
        "MBy" => "megabytes",
        "GBy" => "gigabytes",
        "TBy" => "terabytes",
        "m" => "meters",
        "V" => "volts",
        "A" => "amperes",
        "J" => "joules",
        "W" => "watts",
        "g" => "grams",
        "Cel" => "celsius",
        "Hz" => "hertz",
        "1" => "",
        "%" => "percent",
        other => other,
    }
}

fn long_per_unit(unit: &str) -> &str {
    match unit {
        "s" => "second",
        "m" => "minute",
        "h" => "hour",
        "d" => "day",
        "w" => "week",
        "mo" => "month",
        "y" => "year",
        other => other,
    }
}

/// Runs of what a metric name cannot have become one underscore; none is at the start.
fn spelled(unit: &str) -> String {
    let mut out = String::with_capacity(unit.len());
    for c in unit.chars() {
        match c.is_ascii_alphanumeric() || c == ':' {
            true => out.push(c),
            false if out.is_empty() || out.ends_with('_') => {}
            false => out.push('_'),
        }
    }
    out
}

/// The name of the label of an attribute.
pub fn label_name(key: &[u8]) -> Cow<'_, [u8]> {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    if key.iter().all(is_plain) && prefix_of(key).is_empty() {
        return Cow::Borrowed(key);
    }
    let mut name = Vec::with_capacity(key.len() + PREFIX_BYTES_MAX);
    if key.is_ascii() {
        name.extend(
            key.iter()
                .map(|byte| if is_plain(byte) { *byte } else { b'_' }),
        );
    } else {
        let text = String::from_utf8_lossy(key);
        let plain = |c: char| {
            if c.is_ascii_alphanumeric() {
                c as u8
            } else {
                b'_'
            }
        };
        name.extend(text.chars().map(plain));
    }
    name.splice(..0, prefix_of(&name).iter().copied());
    Cow::Owned(name)
}

/// Two underscores at the start are a name of the system's; one alone is not to look like it.
fn prefix_of(name: &[u8]) -> &'static [u8] {
    match name {
        [b'0'..=b'9', ..] => b"key_",
        [b'_', b'_', ..] => b"",
        [b'_', ..] => b"key",
        _ => b"",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_named_by_their_words_their_unit_and_their_kind() {
        let cases = [
            (
                "http.server.duration",
                "ms",
                Kind::Histogram,
                "http_server_duration_milliseconds",
            ),
            (
                "http_server_duration_seconds",
                "s",
                Kind::Histogram,
                "http_server_duration_seconds",
            ),
            ("requests", "1", Kind::Counter, "requests_total"),
            (
                "requests.total.count",
                "{request}",
                Kind::Counter,
                "requests_count_total",
            ),
            ("cpu.utilization", "1", Kind::Gauge, "cpu_utilization_ratio"),
            ("cpu.ratio.now", "1", Kind::Gauge, "cpu_now_ratio"),
            ("queue.size", "1", Kind::UpDownCounter, "queue_size"),
            ("net.io", "By/s", Kind::Gauge, "net_io_bytes_per_second"),
            ("net.io", "{packet}/s", Kind::Gauge, "net_io_per_second"),
            ("net.io", "By/{packet}", Kind::Gauge, "net_io_bytes"),
            (
                "net.io",
                "furlong²/fortnight",
                Kind::Gauge,
                "net_io_furlong_per_fortnight",
            ),
            ("__a--b__:c", "", Kind::Gauge, "a_b_:c"),
            ("1st", "", Kind::Summary, "_1st"),
            ("größe", "%", Kind::Gauge, "gr_e_percent"),
            ("...", "", Kind::Gauge, ""),
        ];
        for (name, unit, kind, wanted) in cases {
            assert_eq!(metric_name(name, unit, kind), wanted, "{name} {unit}");
        }
    }

    #[test]
    fn labels_are_named_after_attributes() {
        let cases = [
            ("http.method", "http_method"),
            ("plain_name", "plain_name"),
            ("1st", "key_1st"),
            ("_a", "key_a"),
            (".a", "key_a"),
            ("__a", "__a"),
            ("..a", "__a"),
            ("größe", "gr__e"),
            ("", ""),
        ];
        for (key, wanted) in cases {
            assert_eq!(label_name(key.as_bytes()), wanted.as_bytes(), "{key}");
        }
    }
}
