//! Fields of our own formats: what WAL records (`docs/format/wal.md`) and parcels (`docs/format/push.md`) share.
//!
//! `wire` has numbers, texts and times, `sections` what a batch has beside its float samples.

pub mod sections;
pub mod wire;
