//! The text of an attribute's value: a string is itself, a list or a map is JSON.

use std::borrow::Cow;
use std::fmt::Write;

use crate::error::{Error, Result};
use crate::write::wire::{Reader, Span, Value};

/// Lists in lists that are looked into.
const DEPTH_MAX: usize = 32;

/// An `AnyValue`, still in the message.
#[derive(Debug, Clone, Copy)]
enum Any {
    Nothing,
    Text(Span),
    Bool(bool),
    Integer(i64),
    Double(f64),
    List(Span),
    Map(Span),
    Bytes(Span),
}

/// The text of the `AnyValue` at a place of the message.
pub fn text(message: &[u8], span: Span) -> Result<Cow<'_, [u8]>> {
    let owned = |text: String| Ok(Cow::Owned(text.into_bytes()));
    match read(message, span)? {
        Any::Nothing => Ok(Cow::Borrowed(&[])),
        Any::Text(span) => Ok(Cow::Borrowed(span.of(message))),
        Any::Bool(value) => owned(value.to_string()),
        Any::Integer(value) => owned(value.to_string()),
        Any::Double(value) if !value.is_finite() => {
            owned(format!("json: unsupported value: {}", bound_text(value)))
        }
        Any::Double(value) => owned(double(value)),
        Any::Bytes(span) => {
            let mut out = String::new();
            base64(span.of(message), &mut out);
            owned(out)
        }
        any @ (Any::List(_) | Any::Map(_)) => {
            let mut out = String::new();
            json(message, any, 0, &mut out)?;
            owned(out)
        }
    }
}

/// A number as labels of buckets and quantiles have it: never with an exponent.
pub fn bound_text(value: f64) -> String {
    match value {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        _ => format!("{value}"),
    }
}

fn read(message: &[u8], span: Span) -> Result<Any> {
    let mut any = Any::Nothing;
    let mut reader = Reader::new(message, span);
    while let Some(field) = reader.field()? {
        any = match (field.number, field.value) {
            (1, Value::Bytes(span)) => Any::Text(span),
            (2, Value::Varint(value)) => Any::Bool(value != 0),
            (3, Value::Varint(value)) => Any::Integer(value as i64),
            (4, Value::Fixed64(bits)) => Any::Double(f64::from_bits(bits)),
            (5, Value::Bytes(span)) => Any::List(span),
            (6, Value::Bytes(span)) => Any::Map(span),
            (7, Value::Bytes(span)) => Any::Bytes(span),
            _ => any,
        };
    }
    Ok(any)
}

fn json(message: &[u8], any: Any, depth: usize, out: &mut String) -> Result<()> {
    if depth > DEPTH_MAX {
        return Err(Error::invalid(
            "otlp-attribute-depth",
            format!("value of an attribute has more than {DEPTH_MAX} lists or maps in one another"),
        ));
    }
    match any {
        Any::Nothing => out.push_str("null"),
        Any::Text(span) => quoted(&String::from_utf8_lossy(span.of(message)), out),
        Any::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        Any::Integer(value) => _ = write!(out, "{value}"),
        Any::Double(value) if !value.is_finite() => out.push_str("null"),
        Any::Double(value) => out.push_str(&double(value)),
        Any::Bytes(span) => {
            out.push('"');
            base64(span.of(message), out);
            out.push('"');
        }
        Any::List(span) => list(message, span, depth, out)?,
        Any::Map(span) => map(message, span, depth, out)?,
    }
    Ok(())
}

fn list(message: &[u8], span: Span, depth: usize, out: &mut String) -> Result<()> {
    out.push('[');
    let mut reader = Reader::new(message, span);
    let mut is_first = true;
    while let Some(field) = reader.field()? {
        if let (1, Value::Bytes(span)) = (field.number, field.value) {
            if !is_first {
                out.push(',');
            }
            is_first = false;
            json(message, read(message, span)?, depth + 1, out)?;
        }
    }
    out.push(']');
    Ok(())
}

/// In order of keys; of one that comes twice the last value.
fn map(message: &[u8], span: Span, depth: usize, out: &mut String) -> Result<()> {
    let mut entries = Vec::new();
    let mut reader = Reader::new(message, span);
    while let Some(field) = reader.field()? {
        if let (1, Value::Bytes(span)) = (field.number, field.value) {
            entries.push(key_value(message, span)?);
        }
    }
    entries.sort_by_key(|&(key, _)| key);
    out.push('{');
    for (at, &(key, value)) in entries.iter().enumerate() {
        if entries.get(at + 1).is_some_and(|next| next.0 == key) {
            continue;
        }
        if !out.ends_with('{') {
            out.push(',');
        }
        quoted(&String::from_utf8_lossy(key), out);
        out.push(':');
        json(message, read(message, value)?, depth + 1, out)?;
    }
    out.push('}');
    Ok(())
}

/// The key of a `KeyValue`, and where its value is.
pub fn key_value(message: &[u8], span: Span) -> Result<(&[u8], Span)> {
    let (mut key, mut value): (&[u8], Span) = (&[], Span::EMPTY);
    let mut reader = Reader::new(message, span);
    while let Some(field) = reader.field()? {
        match (field.number, field.value) {
            (1, Value::Bytes(span)) => key = span.of(message),
            (2, Value::Bytes(span)) => value = span,
            _ => {}
        }
    }
    Ok((key, value))
}

/// As JSON has it: an exponent only for what is very large or very small.
fn double(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || (1e-6..1e21).contains(&size) {
        return format!("{value}");
    }
    let text = format!("{value:e}");
    match size >= 1.0 {
        true => text.replace('e', "e+"),
        false => text,
    }
}

fn quoted(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                _ = write!(out, "\\u{:04x}", c as u32);
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}

fn base64(bytes: &[u8], out: &mut String) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let mut bits = 0u32;
        for at in 0..3 {
            bits = bits << 8 | u32::from(group.get(at).copied().unwrap_or(0));
        }
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at)) as usize & 63];
            out.push(if at <= group.len() {
                digit as char
            } else {
                '='
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(message: &[u8]) -> String {
        let span = Span {
            start: 0,
            end: message.len(),
        };
        let text = text(message, span).expect("well formed");
        String::from_utf8_lossy(&text).into_owned()
    }

    fn part(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, content.len() as u8], content].concat()
    }

    fn double_of(value: f64) -> Vec<u8> {
        [&[0x21], value.to_le_bytes().as_slice()].concat()
    }

    #[test]
    fn scalars_are_their_text() {
        assert_eq!(of(b""), "");
        assert_eq!(of(&part(0x0a, "grün".as_bytes())), "grün");
        assert_eq!(of(&[0x10, 1]), "true");
        assert_eq!(of(&[0x18, 42]), "42");
        assert_eq!(of(&part(0x3a, b"any")), "YW55");
        assert_eq!(of(&part(0x3a, b"an")), "YW4=");
        assert_eq!(of(&part(0x3a, b"a")), "YQ==");
        let doubles = [
            (1.0, "1"),
            (0.5, "0.5"),
            (1e21, "1e+21"),
            (1.5e-7, "1.5e-7"),
            (-0.0, "-0"),
            (1e20, "100000000000000000000"),
        ];
        for (value, wanted) in doubles {
            assert_eq!(of(&double_of(value)), wanted);
        }
    }

    #[test]
    fn lists_and_maps_are_json() {
        let text = part(0x0a, b"a<\"\n");
        let list = [part(0x0a, &text), part(0x0a, &[0x18, 7]), part(0x0a, b"")].concat();
        assert_eq!(of(&part(0x2a, &list)), r#"["a\u003c\"\n",7,null]"#);
        let entry =
            |key: &[u8], value: &[u8]| part(0x0a, &[part(0x0a, key), part(0x12, value)].concat());
        let map = [
            entry(b"z", &[0x10, 0]),
            entry(b"a", &[0x18, 1]),
            entry(b"z", &[0x10, 1]),
        ];
        assert_eq!(of(&part(0x32, &map.concat())), r#"{"a":1,"z":true}"#);
        assert_eq!(of(&part(0x32, b"")), "{}");
    }

    #[test]
    fn lists_within_lists_end_somewhere() {
        let mut value = vec![0x18, 1];
        for _ in 0..30 {
            value = part(0x2a, &part(0x0a, &value));
        }
        assert_eq!(of(&value), format!("{}1{}", "[".repeat(30), "]".repeat(30)));
        let mut deep = Vec::new();
        for _ in 0..40 {
            let inner = part(0x0a, &deep);
            deep = part(0x2a, &inner);
        }
        let span = Span {
            start: 0,
            end: deep.len(),
        };
        assert!(text(&deep, span).is_err());
    }
}
