//! The text format 0.0.4 (and 1.0.0, which only promises that names may be quoted).

use super::Rows;
use super::names::{Escaping, is_plain};
use crate::json::number::push_general;

/// All rows with values, those of a name below their `# TYPE`. This format has no native histograms.
pub fn encode(rows: &Rows<'_>, escaping: Escaping) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.values.len() * 96);
    let mut last = None;
    for row in 0..rows.values.len() {
        if rows.index.get(row).is_some_and(|&at| at >= 0) {
            continue;
        }
        let name = rows.name(row);
        if name.is_empty() {
            continue;
        }
        let escaped = escaping.apply(name);
        if last != Some(name) {
            out.extend_from_slice(b"# TYPE ");
            push_name(&mut out, &escaped);
            out.extend_from_slice(b" untyped\n");
            last = Some(name);
        }
        push_series(&mut out, rows, row, &escaped, escaping);
        out.push(b' ');
        push_general(&mut out, rows.values[row]);
        out.push(b' ');
        out.extend_from_slice(rows.timestamps_ms[row].to_string().as_bytes());
        out.push(b'\n');
    }
    out
}

fn push_series(out: &mut Vec<u8>, rows: &Rows<'_>, row: usize, name: &str, escaping: Escaping) {
    let quoted = !is_plain(name);
    let mut separator = b'{';
    if quoted {
        out.push(b'{');
        push_name(out, name);
        separator = b',';
    } else {
        out.extend_from_slice(name.as_bytes());
    }
    for (label, value) in rows.others(row) {
        out.push(separator);
        push_name(out, &escaping.apply(label));
        out.extend_from_slice(b"=\"");
        push_escaped(out, value);
        out.push(b'"');
        separator = b',';
    }
    if quoted || separator == b',' {
        out.push(b'}');
    }
}

/// In quotes where it is not of the old character set.
fn push_name(out: &mut Vec<u8>, name: &str) {
    if is_plain(name) {
        return out.extend_from_slice(name.as_bytes());
    }
    out.push(b'"');
    push_escaped(out, name);
    out.push(b'"');
}

fn push_escaped(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'"' => out.extend_from_slice(b"\\\""),
            b'\n' => out.extend_from_slice(b"\\n"),
            _ => out.push(byte),
        }
    }
}
