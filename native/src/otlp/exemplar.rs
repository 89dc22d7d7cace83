//! Exemplars of points: the ids of a trace and a span as hexadecimal labels, and the attributes that fit.

use crate::error::Result;
use crate::otlp::attributes::Attribute;
use crate::otlp::sink::{Sink, When};
use crate::write::batch::Exemplar;
use crate::write::exemplar::{LABEL_CHARS_MAX, of};
use crate::write::labels::Label;
use crate::write::wire::{Reader, Span, Value};

const TRACE: &[u8] = b"trace_id";
const SPAN: &[u8] = b"span_id";

/// Those of a point that can be kept; the others are counted.
pub fn read_all(message: &[u8], spans: &[Span], sink: &mut Sink<'_>) -> Result<Vec<Exemplar>> {
    let mut all = Vec::new();
    for &span in spans {
        if let Some(one) = read(message, span, sink)? {
            all.push(one);
        }
    }
    Ok(all)
}

fn read(message: &[u8], span: Span, sink: &mut Sink<'_>) -> Result<Option<Exemplar>> {
    let mut when = When::default();
    let mut value = None;
    let (mut trace, mut span_id) = (String::new(), String::new());
    let mut attributes = Vec::new();
    let mut reader = Reader::new(message, span);
    while let Some(field) = reader.field()? {
        match (field.number, field.value) {
            (2, Value::Fixed64(nanos)) => when.nanos = nanos,
            (3, Value::Fixed64(bits)) => value = Some(f64::from_bits(bits)),
            (4, Value::Bytes(span)) => span_id = hex(span.of(message)),
            (5, Value::Bytes(span)) => trace = hex(span.of(message)),
            (6, Value::Fixed64(bits)) => value = Some(bits as i64 as f64),
            (7, Value::Bytes(span)) if attributes.len() <= LABEL_CHARS_MAX => {
                attributes.push(Attribute::read(message, span)?);
            }
            _ => {}
        }
    }
    let Some(value) = value else {
        let message = || "exemplar has no value".to_owned();
        sink.batch
            .drop_exemplars("otlp-point-without-value", 1, message);
        return Ok(None);
    };
    let mut labels: Vec<Label<'_>> = [(TRACE, trace.as_bytes()), (SPAN, span_id.as_bytes())].into();
    labels.retain(|(_, id)| !id.is_empty());
    let more: Vec<Label<'_>> = attributes.iter().map(Attribute::label).collect();
    if chars(&labels) + chars(&more) <= LABEL_CHARS_MAX {
        labels.extend(more);
    }
    match of(when.at_ms(), value, labels) {
        Ok(exemplar) => Ok(Some(exemplar)),
        Err(verdict) => {
            let message = || verdict.message;
            sink.batch.drop_exemplars(verdict.id, 1, message);
            Ok(None)
        }
    }
}

fn chars(labels: &[Label<'_>]) -> usize {
    let count = |bytes: &[u8]| String::from_utf8_lossy(bytes).chars().count();
    labels
        .iter()
        .map(|(name, value)| count(name) + count(value))
        .sum()
}

/// An id of zeros alone is none.
fn hex(id: &[u8]) -> String {
    if id.iter().all(|&byte| byte == 0) {
        return String::new();
    }
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
