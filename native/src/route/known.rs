//! What a destination has acknowledged, bounded: series and metadata entries as hashes.
//!
//! Two generations, as in the cache of the decoder: the young one takes new keys and those found in the old
//! one; once it is full it becomes the old one and the previous old one is forgotten. A set of at most
//! `keys_max` live keys never loses one.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::mem::swap;

use hashbrown::HashTable;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128_with_seed};

use crate::fingerprint::SEPARATOR;
use crate::write::batch::Metadata;

/// A hash of something; 0 is nobody's, and never known.
pub trait Key: Copy + Eq + Default {
    fn hash(self) -> u64;
}

impl Key for u64 {
    fn hash(self) -> u64 {
        self
    }
}

impl Key for u128 {
    fn hash(self) -> u64 {
        self as u64
    }
}

/// Keys in the order in which they came, and a table to find them in any other.
#[derive(Debug, Default)]
struct Generation<K> {
    keys: Vec<K>,
    places: HashTable<u32>,
}

impl<K: Key> Generation<K> {
    #[inline]
    fn find(&self, key: K) -> Option<usize> {
        let found = self
            .places
            .find(key.hash(), |&at| self.keys[at as usize] == key);
        found.map(|&at| at as usize)
    }

    fn push(&mut self, key: K) {
        if self.keys.len() == self.keys.capacity() {
            self.keys.reserve_exact(self.keys.len() / 8 + 64);
        }
        let at = self.keys.len() as u32;
        self.keys.push(key);
        let keys = &self.keys;
        let hash = |&at: &u32| keys[at as usize].hash();
        self.places.insert_unique(key.hash(), at, hash);
    }

    fn remove(&mut self, key: K) {
        let is_it = |&at: &u32| self.keys[at as usize] == key;
        if let Ok(found) = self.places.find_entry(key.hash(), is_it) {
            let (at, _) = found.remove();
            self.keys[at as usize] = K::default();
        }
    }
}

#[derive(Debug)]
pub struct Keys<K> {
    keys_max: usize,
    young: Generation<K>,
    old: Generation<K>,
}

/// Where the key after the one found last is. A sender repeats its series in their order, so the next one is
/// there, nearly always: a look at memory that was fetched ahead instead of a search in a table.
#[derive(Debug, Clone, Copy, Default)]
pub struct Next(usize);

impl<K: Key> Keys<K> {
    /// `keys_max` is taken for at least one and at most what 32 bits number.
    pub fn new(keys_max: usize) -> Self {
        Self {
            keys_max: keys_max.clamp(1, u32::MAX as usize),
            young: Generation::default(),
            old: Generation::default(),
        }
    }

    #[inline]
    pub fn knows(&mut self, key: K, next: &mut Next) -> bool {
        if key == K::default() {
            return false;
        }
        if self.young.keys.get(next.0) == Some(&key) {
            next.0 += 1;
            return true;
        }
        match self.young.find(key) {
            Some(at) => {
                next.0 = at + 1;
                true
            }
            None => self.knew(key),
        }
    }

    fn knew(&mut self, key: K) -> bool {
        let found = self.old.find(key).is_some();
        if found {
            self.push(key);
        }
        found
    }

    pub fn learn(&mut self, key: K) {
        if key != K::default() && self.young.find(key).is_none() {
            self.push(key);
        }
    }

    fn push(&mut self, key: K) {
        if self.young.keys.len() >= self.keys_max {
            swap(&mut self.young, &mut self.old);
            self.young = Generation::default();
        }
        self.young.push(key);
    }

    pub fn forget(&mut self, key: K) {
        self.young.remove(key);
        self.old.remove(key);
    }

    pub fn clear(&mut self) {
        self.young = Generation::default();
        self.old = Generation::default();
    }

    /// Keys held; those that are in both generations count twice.
    pub fn len(&self) -> usize {
        self.young.places.len() + self.old.places.len()
    }
}

/// What one destination has acknowledged, of all tenants.
#[derive(Debug)]
pub struct Known {
    pub series: Keys<u64>,
    pub metadata: Keys<u128>,
    /// A secret: no tenant can make entries that pass for another's.
    seed: u64,
}

impl Known {
    pub fn new(entries_max: usize) -> Self {
        Self {
            series: Keys::new(entries_max),
            metadata: Keys::new(entries_max),
            seed: RandomState::new().hash_one(entries_max),
        }
    }

    pub fn keys_of(&self, tenant: &str) -> TenantKeys {
        TenantKeys(xxh3_64_with_seed(tenant.as_bytes(), self.seed))
    }
}

/// Makes the keys of one tenant.
#[derive(Debug, Clone, Copy)]
pub struct TenantKeys(u64);

impl TenantKeys {
    /// The high half of the fingerprint: by the low half, series are sent to their members.
    #[inline]
    pub fn of_series(self, print: u128) -> u64 {
        (print >> 64) as u64 ^ self.0
    }

    pub fn of_metadata(self, entry: &Metadata, scratch: &mut Vec<u8>) -> u128 {
        scratch.clear();
        let Metadata {
            metric,
            kind,
            help,
            unit,
        } = entry;
        for text in [metric, *kind, help, unit] {
            scratch.extend_from_slice(text.as_bytes());
            scratch.push(SEPARATOR);
        }
        xxh3_128_with_seed(scratch, self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_keys_up_to_a_generation_are_never_lost_and_memory_is_bounded() {
        let mut keys: Keys<u64> = Keys::new(100);
        for round in 0..50u64 {
            let mut next = Next::default();
            for key in 1..=60 {
                assert_eq!(keys.knows(key, &mut next), round > 0, "{round} {key}");
                keys.learn(key);
            }
            for key in 0..20 {
                let once = 1_000 + round * 1_000 + key;
                assert!(!keys.knows(once, &mut next));
                keys.learn(once);
            }
            assert!(keys.len() <= 200);
            assert!(keys.young.keys.capacity() <= 100 / 8 * 9 + 128);
        }
    }

    #[test]
    fn what_is_forgotten_is_unknown_in_both_generations() {
        let mut keys: Keys<u128> = Keys::new(2);
        for key in 1..=3 {
            keys.learn(key);
        }
        assert_eq!(keys.len(), 3);
        for key in 1..=3 {
            keys.forget(key);
            assert!(!keys.knows(key, &mut Next::default()));
        }
        assert_eq!(keys.len(), 0);
        keys.learn(2);
        assert!(keys.knows(2, &mut Next(0)));
        keys.clear();
        assert!(!keys.knows(2, &mut Next::default()));
    }

    #[test]
    fn nothing_is_nobodys_key() {
        let mut keys: Keys<u64> = Keys::new(9);
        keys.learn(0);
        keys.learn(7);
        keys.forget(7);
        assert!(!keys.knows(0, &mut Next(0)));
    }

    #[test]
    fn keys_speak_of_the_tenant_and_of_a_secret() {
        let known = Known::new(9);
        let (one, other) = (known.keys_of("a"), known.keys_of("b"));
        let elsewhere = Known::new(9).keys_of("a");
        assert_ne!(one.of_series(5 << 64), elsewhere.of_series(5 << 64));
        assert_ne!(one.of_series(5 << 64), other.of_series(5 << 64));
        let entry = Metadata {
            metric: "up".into(),
            kind: "gauge",
            help: "Whether.".into(),
            unit: String::new(),
        };
        let mut scratch = Vec::new();
        let key = one.of_metadata(&entry, &mut scratch);
        assert_eq!(key, one.of_metadata(&entry, &mut scratch));
        assert_ne!(key, other.of_metadata(&entry, &mut scratch));
        let moved = Metadata {
            help: "Whether".into(),
            unit: ".".into(),
            ..entry
        };
        assert_ne!(key, one.of_metadata(&moved, &mut scratch));
    }
}
