//! A routed batch: which members get which of its items.

use std::sync::{Arc, OnceLock};

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::fingerprint::fingerprint;
use crate::labels::METRIC_NAME;
use crate::route::encode::{self, Extras};
use crate::route::known::{Known, Next};
use crate::route::table::Table;
use crate::write::batch::WriteBatch;

/// Items are the series of a batch, then its metadata entries.
#[derive(Debug)]
pub struct Work {
    batch: Py<WriteBatch>,
    pub table: Arc<Table>,
    pub tenant: String,
    /// Row of `table.sets` of each item.
    pub set_of: Vec<u32>,
    /// Items of each member, ascending, one member behind the other.
    items: Vec<u32>,
    /// Where the items of each member end.
    ends: Vec<u32>,
    /// Of each member that gets something: which columns are its.
    shares: Vec<u32>,
    columns: Vec<Columns>,
}

/// Of all members that get the same items.
#[derive(Debug, Default)]
struct Columns {
    members: usize,
    /// As `encode::columns` gives them, once somebody needed more than these.
    encoded: OnceLock<Vec<u8>>,
    /// The parcel of those who know all of it.
    bare: OnceLock<Py<PyBytes>>,
}

impl Work {
    pub fn new(batch: Py<WriteBatch>, table: Arc<Table>, tenant: String) -> Self {
        let set_of = sets_of(batch.get(), &table);
        let (items, ends) = shared_out(&set_of, &table);
        let mut work = Self {
            batch,
            tenant,
            set_of,
            items,
            ends,
            shares: Vec::new(),
            columns: Vec::new(),
            table,
        };
        work.find_shares();
        work
    }

    #[inline]
    pub fn batch(&self) -> &WriteBatch {
        self.batch.get()
    }

    /// Those that get something, ascending.
    pub fn members(&self) -> impl Iterator<Item = usize> {
        (0..self.ends.len()).filter(|&member| !self.items_of(member).is_empty())
    }

    pub fn items_of(&self, member: usize) -> &[u32] {
        let start = match member {
            0 => 0,
            _ => self.ends[member - 1],
        };
        &self.items[start as usize..self.ends[member] as usize]
    }

    /// The series and the metadata entries of a member.
    pub fn split_items(&self, member: usize) -> (&[u32], impl Iterator<Item = u32>) {
        let items = self.items_of(member);
        let series = self.batch().len() as u32;
        let (rows, entries) = items.split_at(items.partition_point(|&item| item < series));
        (rows, entries.iter().map(move |&item| item - series))
    }

    /// Members with the same items share what is encoded of them.
    fn find_shares(&mut self) {
        let mut shares = Vec::with_capacity(self.ends.len());
        let mut columns: Vec<Columns> = Vec::new();
        let mut first_with: HashMap<_, usize> = HashMap::new();
        for member in 0..self.ends.len() {
            let items = self.items_of(member);
            let mut share = columns.len() as u32;
            let outline = (items.len(), items.first().copied(), items.last().copied());
            match first_with.entry(outline) {
                Entry::Occupied(first) if self.items_of(*first.get()) == items => {
                    share = shares[*first.get()];
                }
                Entry::Occupied(_) => {}
                Entry::Vacant(place) => {
                    place.insert(member);
                }
            }
            if share as usize == columns.len() {
                columns.push(Columns::default());
            }
            columns[share as usize].members += 1;
            shares.push(share);
        }
        self.shares = shares;
        self.columns = columns;
    }

    /// What of a member's items needs labels, and which metadata goes with them.
    pub fn extras(&self, member: usize, known: &mut Known) -> Extras {
        let batch = self.batch();
        let (rows, entries) = self.split_items(member);
        let mut extras = Extras::default();
        let keys = known.keys_of(&self.tenant);
        let mut next = Next::default();
        for (place, &row) in rows.iter().enumerate() {
            let key = keys.of_series(batch.fingerprint(row as usize));
            if !known.series.knows(key, &mut next) && batch.has_labels(row as usize) {
                extras.labelled.push(place as u32);
            }
        }
        let mut next = Next::default();
        let mut scratch = Vec::new();
        for entry in entries {
            let metadata = &batch.metadata()[entry as usize];
            let key = keys.of_metadata(metadata, &mut scratch);
            if !known.metadata.knows(key, &mut next) {
                extras.metadata.push(entry);
            }
        }
        extras
    }

    /// The parcel of a member.
    pub fn encode(&self, member: usize, extras: &Extras) -> Payload<'_> {
        let batch = self.batch();
        let (rows, _) = self.split_items(member);
        let columns = &self.columns[self.shares[member] as usize];
        let mut payload = match columns.bare.get() {
            Some(bare) if extras.is_empty() => return Payload::Made(bare),
            _ if extras.is_empty() || columns.members == 1 => encode::columns(batch, rows),
            _ => {
                let encoded = || encode::columns(batch, rows);
                columns.encoded.get_or_init(encoded).clone()
            }
        };
        encode::finish(&mut payload, batch, rows, extras);
        let shared = extras.is_empty() && columns.members > 1;
        Payload::Fresh(payload, shared.then_some(&columns.bare))
    }
}

/// The bytes of a parcel on their way to Python.
pub enum Payload<'a> {
    /// Another member got the same.
    Made(&'a Py<PyBytes>),
    /// New ones, and where they are kept for others that get the same.
    Fresh(Vec<u8>, Option<&'a OnceLock<Py<PyBytes>>>),
}

impl Payload<'_> {
    pub fn into_python(self, py: Python<'_>) -> Py<PyBytes> {
        match self {
            Self::Made(bytes) => bytes.clone_ref(py),
            Self::Fresh(bytes, place) => {
                let bytes = PyBytes::new(py, &bytes).unbind();
                match place {
                    Some(place) => place.get_or_init(|| bytes).clone_ref(py),
                    None => bytes,
                }
            }
        }
    }
}

fn sets_of(batch: &WriteBatch, table: &Table) -> Vec<u32> {
    let mut sets = Vec::with_capacity(batch.len() + batch.metadata().len());
    sets.extend((0..batch.len()).map(|row| table.set_of(batch.fingerprint(row) as u64)));
    let mut scratch = Vec::new();
    sets.extend(batch.metadata().iter().map(|entry| {
        let name = [(METRIC_NAME, entry.metric.as_str())];
        table.set_of(fingerprint(name.into_iter(), &mut scratch) as u64)
    }));
    sets
}

/// The items of each member, one behind the other, and where those of each end.
fn shared_out(set_of: &[u32], table: &Table) -> (Vec<u32>, Vec<u32>) {
    let mut ends = vec![0u32; table.members];
    for &set in set_of {
        table.set(set).for_each(|member| ends[member] += 1);
    }
    let mut total = 0;
    for end in &mut ends {
        // Where those of the member begin; filling moves it to where they end.
        total += std::mem::replace(end, total);
    }
    let mut items = vec![0; total as usize];
    for (item, &set) in set_of.iter().enumerate() {
        for member in table.set(set) {
            items[ends[member] as usize] = item as u32;
            ends[member] += 1;
        }
    }
    (items, ends)
}
