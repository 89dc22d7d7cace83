//! Integer columns that many series share, each stored once a block: times, and start timestamps.

use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_128;

use crate::block::columns::ColumnPageWriter;
use crate::block::encoder::Output;
use crate::block::ints;
use crate::block::slabs::PageRef;
use crate::error::Result;

#[derive(Debug)]
pub struct SharedColumns {
    kind: u8,
    ids: HashMap<u128, u32>,
    page: ColumnPageWriter,
    first: u32,
    scratch: Vec<u8>,
    pub pages: Vec<PageRef>,
}

impl SharedColumns {
    /// For columns that go to pages of this kind.
    pub fn new(kind: u8) -> Self {
        Self {
            kind,
            ids: HashMap::new(),
            page: ColumnPageWriter::default(),
            first: 0,
            scratch: Vec::new(),
            pages: Vec::new(),
        }
    }

    pub fn count(&self) -> u32 {
        self.ids.len() as u32
    }

    /// The id of an equal column, which is encoded if it is the first of its kind.
    pub fn id(&mut self, values: &[i64], out: &mut Output) -> Result<u32> {
        self.scratch.clear();
        self.scratch
            .extend(values.iter().flat_map(|value| value.to_le_bytes()));
        let next = self.count();
        let id = *self.ids.entry(xxh3_128(&self.scratch)).or_insert(next);
        if id == next {
            self.page.add(&ints::encode(values)?, values.len());
            if self.page.is_full() {
                self.seal(out)?;
            }
        }
        Ok(id)
    }

    /// Appends the page that is being filled to `out`.
    pub fn seal(&mut self, out: &mut Output) -> Result<()> {
        if self.page.is_empty() {
            return Ok(());
        }
        let offset = out.offset();
        let length = self.page.seal(self.kind, &mut out.bytes)? as u32;
        self.pages.push(PageRef {
            offset,
            length,
            first: self.first,
        });
        self.first = self.count();
        Ok(())
    }
}
