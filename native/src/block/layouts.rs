//! The layouts of a page of histogram columns, each once, and the buckets that several of them name.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::block::bytes::{Cursor, put_signed, put_varint};
use crate::error::{Error, Result};
use crate::histogram::Layout;

/// More buckets in the layouts of one page are damage; a page is closed long before.
const BUCKETS_MAX: usize = 1 << 22;

/// Collects the layouts of a page.
#[derive(Debug, Default)]
pub struct LayoutTable {
    layouts: Vec<Arc<Layout>>,
    numbers: HashMap<Arc<Layout>, u32>,
    buckets: usize,
}

impl LayoutTable {
    /// The number of an equal layout.
    pub fn number(&mut self, layout: &Arc<Layout>) -> u32 {
        let next = self.layouts.len() as u32;
        let number = *self.numbers.entry(Arc::clone(layout)).or_insert(next);
        if number == next {
            self.layouts.push(Arc::clone(layout));
            self.buckets += size_of_layout(layout);
        }
        number
    }

    /// Buckets and bounds of all.
    pub fn buckets(&self) -> usize {
        self.buckets
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for layout in &self.layouts {
            put(&mut out, layout);
        }
        out
    }
}

/// Appends a layout.
pub fn put(out: &mut Vec<u8>, layout: &Layout) {
    out.push(layout.schema as u8);
    out.extend_from_slice(&layout.zero_threshold.to_bits().to_le_bytes());
    put_varint(out, layout.bounds.len() as u64);
    for bound in &layout.bounds {
        out.extend_from_slice(&bound.to_bits().to_le_bytes());
    }
    put_spans(out, &layout.positive);
    put_spans(out, &layout.negative);
}

/// Buckets and bounds of a layout.
pub fn size_of_layout(layout: &Layout) -> usize {
    layout.bounds.len() + layout.positive.len() + layout.negative.len()
}

/// Runs of consecutive indexes: how far after the one before, and how many more than one.
fn put_spans(out: &mut Vec<u8>, indexes: &[i32]) {
    let consecutive = |a: &i32, b: &i32| i64::from(*a) + 1 == i64::from(*b);
    put_varint(out, indexes.chunk_by(consecutive).count() as u64);
    let mut next = 0;
    for span in indexes.chunk_by(consecutive) {
        put_signed(out, i64::from(span[0]) - next);
        put_varint(out, span.len() as u64 - 1);
        next = i64::from(span[span.len() - 1]) + 1;
    }
}

/// Reads all layouts of a page.
pub fn decode(raw: &[u8], at: u64) -> Result<Vec<Arc<Layout>>> {
    let mut cursor = Cursor::new(raw, at);
    let mut left = BUCKETS_MAX;
    let mut layouts = Vec::new();
    while cursor.remaining() > 0 {
        layouts.push(Arc::new(take(&mut cursor, &mut left, at)?));
    }
    Ok(layouts)
}

/// Reads one layout with at most `left` buckets, which it takes off; `at` is for messages.
pub fn take(cursor: &mut Cursor<'_>, left: &mut usize, at: u64) -> Result<Layout> {
    let schema = cursor.u8()? as i8;
    let zero_threshold = f64::from_bits(cursor.u64()?);
    let bounds = cursor.bounded(cursor.remaining() / 8, "bounds of a layout")?;
    let bounds = (0..bounds)
        .map(|_| cursor.u64().map(f64::from_bits))
        .collect::<Result<Vec<_>>>()?;
    let layout = Layout {
        schema,
        zero_threshold,
        bounds,
        positive: take_spans(cursor, left)?,
        negative: take_spans(cursor, left)?,
    };
    layout
        .checked()
        .map_err(|cause| Error::corrupt(cause.to_string(), at))
}

fn take_spans(cursor: &mut Cursor<'_>, left: &mut usize) -> Result<Vec<i32>> {
    let spans = cursor.bounded(cursor.remaining(), "spans of a layout")?;
    let mut indexes = Vec::new();
    let mut next = 0i64;
    for _ in 0..spans {
        let first = next.saturating_add(cursor.signed()?);
        let more = cursor.bounded(left.saturating_sub(1), "buckets of a span")? as i64;
        *left = left.saturating_sub(1 + more as usize);
        let (Ok(from), Ok(to)) = (
            i32::try_from(first),
            i32::try_from(first.saturating_add(more)),
        ) else {
            return Err(cursor.corrupt(format!("bucket {first} and {more} more")));
        };
        indexes.extend(from..=to);
        next = i64::from(to) + 1;
    }
    Ok(indexes)
}

/// One bucket: whether it is a negative one, and its index.
pub type Bucket = (bool, i32);

/// The buckets of a layout in the order of its cells.
pub fn buckets(layout: &Layout) -> impl Iterator<Item = Bucket> {
    let positive = layout.positive.iter().map(|&index| (false, index));
    positive.chain(layout.negative.iter().map(|&index| (true, index)))
}

/// Every bucket that any of the layouts has, in order.
pub fn union<'a>(layouts: impl Iterator<Item = &'a Layout>) -> Vec<Bucket> {
    let mut all: Vec<Bucket> = Vec::new();
    for layout in layouts {
        all.extend(buckets(layout));
        // Keeps a long list of layouts that repeat each other from becoming a long list of buckets.
        if all.len() > 4096 {
            all.sort_unstable();
            all.dedup();
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}

/// Where in `union` the buckets of the layout are; it has them all.
pub fn places(union: &[Bucket], layout: &Layout) -> Vec<u32> {
    let mut at = 0;
    buckets(layout)
        .map(|bucket| {
            at += union[at..].partition_point(|other| *other < bucket);
            at as u32
        })
        .collect()
}

/// The union with the buckets of one layout more.
pub fn union_with(union: &[Bucket], layout: &Layout) -> Vec<Bucket> {
    let mut all = union.to_vec();
    all.extend(buckets(layout));
    all.sort_unstable();
    all.dedup();
    all
}
