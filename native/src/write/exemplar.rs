//! Reads and judges exemplars. They never cost a request its samples: what cannot be kept is dropped and counted.

use crate::error::Result;
use crate::write::batch::Exemplar;
use crate::write::labels::{Label, Verdict};
use crate::write::symbols::{Refs, Symbols};
use crate::write::wire::{Reader, Span, Value};

/// Characters of all names and values of an exemplar's labels, as OpenMetrics has it.
pub const LABEL_CHARS_MAX: usize = 128;
/// More labels than this do not fit these characters, but for empty ones.
const LABELS_MAX: usize = LABEL_CHARS_MAX;
/// References of one exemplar that are looked at; more are too many labels in any case.
const REFS_MAX: usize = 4 * LABELS_MAX;
/// A character has up to four bytes.
const LABEL_BYTES_MAX: usize = 4 * LABEL_CHARS_MAX;

/// Whether senders are told of it, as Prometheus does: references that do not lead to labels.
pub fn is_told(verdict: &Verdict) -> bool {
    verdict.id == "exemplar-label-refs-invalid"
}

/// What an exemplar is before its labels are looked at.
struct Fields<'a> {
    time_ms: i64,
    value: f64,
    labels: Vec<Label<'a>>,
}

/// An exemplar of a 1.0 message.
pub fn read(message: &[u8], span: Span) -> Result<std::result::Result<Exemplar, Verdict>> {
    let mut fields = Fields {
        time_ms: 0,
        value: 0.0,
        labels: Vec::new(),
    };
    let mut count = 0;
    let mut reader = Reader::new(message, span);
    while let Some(field) = reader.field()? {
        match (field.number, field.value) {
            (1, Value::Bytes(span)) => {
                let label = read_label(message, span)?;
                if fields.labels.len() < LABELS_MAX {
                    fields.labels.push(label);
                }
                count += 1;
            }
            (2, Value::Fixed64(bits)) => fields.value = f64::from_bits(bits),
            (3, Value::Varint(bits)) => fields.time_ms = bits as i64,
            _ => {}
        }
    }
    Ok(judge(fields, count))
}

/// An exemplar of a 2.0 message.
pub fn read_refs(
    message: &[u8],
    span: Span,
    symbols: &Symbols,
) -> Result<std::result::Result<Exemplar, Verdict>> {
    let mut fields = Fields {
        time_ms: 0,
        value: 0.0,
        labels: Vec::new(),
    };
    let mut refs = Vec::new();
    let mut reader = Reader::new(message, span);
    while let Some(field) = reader.field()? {
        match (field.number, field.value) {
            (1, Value::Bytes(span)) => {
                let room = REFS_MAX - refs.len();
                refs.extend(Refs(span.of(message)).take(room));
            }
            (1, Value::Varint(number)) if refs.len() < REFS_MAX => refs.push(Some(number as u32)),
            (2, Value::Fixed64(bits)) => fields.value = f64::from_bits(bits),
            (3, Value::Varint(bits)) => fields.time_ms = bits as i64,
            _ => {}
        }
    }
    let count = symbols.labels(refs.into_iter(), message, LABELS_MAX, &mut fields.labels);
    Ok(match count {
        Some(count) => judge(fields, count),
        None => refuse(
            "exemplar-label-refs-invalid",
            "label references of an exemplar lead to no symbol or have no partner".to_owned(),
        ),
    })
}

/// An exemplar of these labels, or the rule that they break.
pub fn of(
    time_ms: i64,
    value: f64,
    labels: Vec<Label<'_>>,
) -> std::result::Result<Exemplar, Verdict> {
    let count = labels.len();
    let fields = Fields {
        time_ms,
        value,
        labels,
    };
    judge(fields, count)
}

/// A label of a 1.0 message.
pub fn read_label(message: &[u8], span: Span) -> Result<Label<'_>> {
    let mut reader = Reader::new(message, span);
    let mut label: Label<'_> = (&[], &[]);
    while let Some(field) = reader.field()? {
        match (field.number, field.value) {
            (1, Value::Bytes(span)) => label.0 = span.of(message),
            (2, Value::Bytes(span)) => label.1 = span.of(message),
            _ => {}
        }
    }
    Ok(label)
}

fn judge(fields: Fields<'_>, count: usize) -> std::result::Result<Exemplar, Verdict> {
    let bytes = |&(name, value): &Label<'_>| name.len() + value.len();
    if count > LABELS_MAX || fields.labels.iter().map(bytes).sum::<usize>() > LABEL_BYTES_MAX {
        return refuse_long(count);
    }
    let mut texts: Vec<(&str, &str)> = Vec::with_capacity(fields.labels.len());
    let mut chars = 0;
    for &(name, value) in &fields.labels {
        let (Ok(name), Ok(value)) = (std::str::from_utf8(name), std::str::from_utf8(value)) else {
            let message = "label of an exemplar is not UTF-8";
            return refuse("exemplar-labels-invalid", message.to_owned());
        };
        chars += name.chars().count() + value.chars().count();
        if !value.is_empty() {
            texts.push((name, value));
        }
    }
    if chars > LABEL_CHARS_MAX {
        return refuse_long(count);
    }
    texts.sort_unstable();
    let is_twice = texts.windows(2).any(|pair| pair[0].0 == pair[1].0);
    if is_twice || texts.iter().any(|(name, _)| name.is_empty()) {
        let message = "labels of an exemplar have an empty name or one that comes twice";
        return refuse("exemplar-labels-invalid", message.to_owned());
    }
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    Ok(Exemplar {
        time_ms: fields.time_ms,
        value: fields.value,
        labels: texts.into_iter().map(owned).collect(),
    })
}

fn refuse_long<T>(count: usize) -> std::result::Result<T, Verdict> {
    refuse(
        "exemplar-labels-too-long",
        format!("{count} labels of an exemplar have more than {LABEL_CHARS_MAX} characters"),
    )
}

fn refuse<T>(id: &'static str, message: String) -> std::result::Result<T, Verdict> {
    Err(Verdict { id, message })
}
