//! Parcel -> batch. Nothing in it is believed: every length is checked before it is allocated.

use crate::error::Result;
use crate::fields::sections;
use crate::fields::wire::Reader;
use crate::fingerprint::fingerprint;
use crate::write::batch::{Exemplar, Metadata, Parts, Run, WriteBatch};
use crate::write::metadata::METRIC_TYPES;
use crate::write::symbols::Symbol;

pub const VERSION: u8 = 1;
pub const CRC_BYTES: usize = 4;
pub const FLAGS_AT: usize = 5;
pub const HEADER_BYTES: usize = 16;
/// Flags.
pub const COUNTS: u8 = 1;
pub const SECTIONS: u8 = 2;
pub const LABELS: u8 = 4;
pub const METADATA: u8 = 8;

/// Positions in a message are 32 bits wide; one of this size is of no distributor.
const PARCEL_BYTES_MAX: usize = 1 << 30;
/// A label takes a byte each for the number of its name and of its value; the head counts labels in 16 bits.
const LABELS_MAX: usize = u16::MAX as usize;

/// The batch that a parcel carries. Rows without labels are in it, too.
pub fn batch_of(payload: &[u8]) -> Result<WriteBatch> {
    let mut reader = Reader::new(payload, "parcel");
    let head = Head::read(&mut reader)?;
    let mut parts = read_columns(&mut reader, &head)?;
    if head.flags & SECTIONS != 0 {
        parts.sections = sections::read(&mut reader, head.series, head.samples)?;
    }
    if !parts.ascends() {
        return Err(reader.odd("has samples that are not in order"));
    }
    let exemplars = &parts.sections.more.exemplars;
    if !exemplars.iter().all(has_labels_in_order) {
        return Err(reader.odd("has labels that are not in order"));
    }
    if head.flags & LABELS != 0 {
        read_labels(&mut reader, &mut parts)?;
    }
    if head.flags & METADATA != 0 {
        for _ in 0..reader.count(4)? {
            parts.metadata.push(read_entry(&mut reader)?);
        }
    }
    if reader.at < payload.len() {
        return Err(reader.odd("goes on behind its end"));
    }
    Ok(parts.build())
}

struct Head {
    flags: u8,
    series: usize,
    samples: usize,
}

impl Head {
    fn read(reader: &mut Reader<'_>) -> Result<Self> {
        if reader.bytes.len() > PARCEL_BYTES_MAX {
            return Err(reader.odd("is larger than any"));
        }
        let crc = word(reader)?;
        if crc != crc32c::crc32c(&reader.bytes[CRC_BYTES..]) {
            return Err(reader.odd("has another checksum than its bytes"));
        }
        let version = reader.byte()?;
        if version != VERSION {
            return Err(reader.odd(format_args!("has version {version}, want {VERSION}")));
        }
        let flags = reader.byte()?;
        if flags & !(COUNTS | SECTIONS | LABELS | METADATA) != 0 || reader.take(2)? != [0, 0] {
            return Err(reader.odd("has flags of an unknown kind"));
        }
        Ok(Self {
            flags,
            series: word(reader)? as usize,
            samples: word(reader)? as usize,
        })
    }
}

fn word(reader: &mut Reader<'_>) -> Result<u32> {
    let words = reader.take(4)?.as_chunks::<4>().0;
    words
        .first()
        .map(|word| u32::from_le_bytes(*word))
        .ok_or_else(|| reader.short())
}

fn read_columns(reader: &mut Reader<'_>, head: &Head) -> Result<Parts> {
    let prints = reader.take(head.series * 16)?.as_chunks::<16>().0;
    let values = reader.take(head.samples * 8)?.as_chunks::<8>().0;
    let mut parts = Parts::with_room(head.series);
    let mut end = 0u64;
    let single = head.flags & COUNTS == 0;
    for print in prints {
        let count = if single { 1 } else { reader.varint()? };
        end = end.saturating_add(count);
        parts.push(u128::from_le_bytes(*print), end as u32);
    }
    if end != head.samples as u64 {
        return Err(reader.odd("has other counts than samples"));
    }
    parts.values = values
        .iter()
        .map(|word| f64::from_bits(u64::from_le_bytes(*word)))
        .collect();
    parts.timestamps_ms = reader.times(head.samples)?;
    Ok(parts)
}

fn has_labels_in_order(exemplar: &Exemplar) -> bool {
    let labels = &exemplar.labels;
    labels.is_sorted_by(|one, next| one.0 < next.0) && labels.iter().all(|(_, it)| !it.is_empty())
}

/// Gives labels to the rows that have them: runs of numbers of symbols, as in remote write 2.0.
fn read_labels(reader: &mut Reader<'_>, parts: &mut Parts) -> Result<()> {
    let base = reader.at;
    let strings = reader.count(1)?;
    let mut texts = Vec::with_capacity(strings);
    for _ in 0..strings {
        let text = reader.text()?;
        parts.symbols.push(Symbol {
            start: (reader.at - text.len() - base) as u32,
            length: text.len() as u32,
        });
        texts.push(text);
    }
    let mut labels = Vec::new();
    let mut scratch = Vec::new();
    let mut next = 0;
    for _ in 0..reader.count(2)? {
        let place = reader.varint()?.saturating_add(next);
        if place >= parts.len() as u64 {
            return Err(reader.odd("has labels of no series"));
        }
        next = place + 1;
        let count = reader.count(2)?;
        let start = reader.at;
        labels.clear();
        for _ in 0..count {
            labels.push(reader.label(&texts)?);
        }
        let in_order = labels.is_sorted_by(|one, next| one.0 < next.0)
            && labels.iter().all(|(_, value)| !value.is_empty());
        if !in_order || count > LABELS_MAX {
            return Err(reader.odd("has labels that are not in order"));
        }
        let place = place as usize;
        if fingerprint(labels.iter().copied(), &mut scratch) != parts.fingerprint(place) {
            return Err(reader.odd("has labels of another series"));
        }
        let run = Run::Refs {
            start: (start - base) as u32,
            end: (reader.at - base) as u32,
        };
        parts.define(place, run);
    }
    parts.message = reader.bytes[base..reader.at].to_vec();
    Ok(())
}

fn read_entry(reader: &mut Reader<'_>) -> Result<Metadata> {
    let kind = METRIC_TYPES.get(reader.byte()? as usize);
    let kind = kind.ok_or_else(|| reader.odd("has metadata of no type"))?;
    let mut text = || reader.text().map(str::to_owned);
    Ok(Metadata {
        kind,
        metric: text()?,
        help: text()?,
        unit: text()?,
    })
}
