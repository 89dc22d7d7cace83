//! Pairs of scrapers that send the same series: which pair and which of its replicas a message is of.
//!
//! The labels of the first series speak for the whole message. Where it has both labels, the one that names the
//! replica is left out of every series, so that all replicas write the same ones.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::error::Result;
use crate::write::exemplar::read_label;
use crate::write::labels::Label;
use crate::write::limits::Limits;
use crate::write::symbols::{Refs, Symbols};
use crate::write::wire::{Reader, Span, Value};

const FIELD_SERIES_1: u64 = 1;
const FIELD_SERIES_2: u64 = 5;

/// Which labels speak of pairs.
#[derive(Debug, Clone)]
pub struct PairLabels {
    cluster: String,
    replica: String,
    /// Of keys in the cache: what it knows of a series here is a fingerprint without the replica.
    pub seed: u64,
}

/// What the first series of a message says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    pub cluster: String,
    pub replica: String,
    /// The label that is left out of every series.
    pub replica_label: String,
}

impl PairLabels {
    pub fn new(cluster: String, replica: String, seed: u64) -> Self {
        let seed = xxh3_64_with_seed(replica.as_bytes(), seed);
        Self {
            cluster,
            replica,
            seed,
        }
    }

    /// The pair of a message; the symbols are those of a 2.0 message.
    pub fn find(
        &self,
        message: &[u8],
        symbols: Option<&Symbols>,
        limits: &Limits,
    ) -> Result<Option<Pair>> {
        let number = match symbols {
            Some(_) => FIELD_SERIES_2,
            None => FIELD_SERIES_1,
        };
        let Some(span) = first(message, number)? else {
            return Ok(None);
        };
        let mut finder = Finder {
            labels: self,
            cluster: None,
            replica: None,
        };
        match symbols {
            Some(symbols) => finder.read_refs(message, span, symbols)?,
            None => finder.read(message, span)?,
        }
        Ok(finder.pair(limits))
    }
}

/// The first field of a message with this number that has bytes.
fn first(message: &[u8], number: u64) -> Result<Option<Span>> {
    let end = message.len();
    let mut reader = Reader::new(message, Span { start: 0, end });
    while let Some(field) = reader.field()? {
        if let Value::Bytes(span) = field.value
            && field.number == number
        {
            return Ok(Some(span));
        }
    }
    Ok(None)
}

/// Looks for the two labels among those of a series.
struct Finder<'a> {
    labels: &'a PairLabels,
    cluster: Option<&'a [u8]>,
    replica: Option<&'a [u8]>,
}

impl<'a> Finder<'a> {
    fn read(&mut self, message: &'a [u8], span: Span) -> Result<()> {
        let mut reader = Reader::new(message, span);
        while let Some(field) = reader.field()? {
            if let (1, Value::Bytes(span)) = (field.number, field.value) {
                self.see(read_label(message, span)?);
            }
        }
        Ok(())
    }

    fn read_refs(&mut self, message: &'a [u8], span: Span, symbols: &Symbols) -> Result<()> {
        let mut reader = Reader::new(message, span);
        let mut name = None;
        while let Some(field) = reader.field()? {
            match (field.number, field.value) {
                (1, Value::Bytes(span)) => {
                    for number in Refs(span.of(message)).map_while(|number| number) {
                        self.see_ref(number, message, symbols, &mut name);
                    }
                }
                (1, Value::Varint(number)) => {
                    self.see_ref(number as u32, message, symbols, &mut name);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn see_ref(
        &mut self,
        number: u32,
        message: &'a [u8],
        symbols: &Symbols,
        name: &mut Option<&'a [u8]>,
    ) {
        let text = symbols.text(number, message).unwrap_or_default();
        match name.take() {
            Some(name) => self.see((name, text)),
            None => *name = Some(text),
        }
    }

    fn see(&mut self, (name, value): Label<'a>) {
        if name == self.labels.cluster.as_bytes() {
            self.cluster.get_or_insert(value);
        } else if name == self.labels.replica.as_bytes() {
            self.replica.get_or_insert(value);
        }
    }

    /// None where one of them is missing, or is no valid value: the series is judged like any other then.
    fn pair(self, limits: &Limits) -> Option<Pair> {
        let text = |value: Option<&[u8]>| {
            let fits = |value: &&[u8]| (1..=limits.label_value_bytes).contains(&value.len());
            let value = std::str::from_utf8(value.filter(fits)?).ok()?;
            Some(value.to_owned())
        };
        Some(Pair {
            cluster: text(self.cluster)?,
            replica: text(self.replica)?,
            replica_label: self.labels.replica.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::write::limits::TEST_LIMITS;

    fn found(labels: &[(&str, &str)]) -> Option<(String, String)> {
        let mut series = Vec::new();
        for (name, value) in labels {
            crate::write::batch::put_label(&mut series, name.as_bytes(), value.as_bytes());
        }
        let mut message = vec![0x0a, series.len() as u8];
        message.extend(series);
        let pair = PairLabels::new("c".to_owned(), "r".to_owned(), 7);
        let pair = pair
            .find(&message, None, &TEST_LIMITS)
            .expect("well formed");
        pair.map(|pair| (pair.cluster, pair.replica))
    }

    #[test]
    fn both_labels_make_a_pair_wherever_they_stand() {
        let wanted = Some(("x".to_owned(), "y".to_owned()));
        assert_eq!(found(&[("__name__", "up"), ("c", "x"), ("r", "y")]), wanted);
        assert_eq!(found(&[("r", "y"), ("c", "x")]), wanted);
        assert_eq!(found(&[("r", "y"), ("c", "x"), ("r", "z")]), wanted);
    }

    #[test]
    fn one_label_alone_is_no_pair_and_neither_is_an_empty_or_a_long_one() {
        let long = "v".repeat(21);
        let cases: [&[(&str, &str)]; 5] = [
            &[("__name__", "up"), ("c", "x")],
            &[("__name__", "up"), ("r", "x")],
            &[("c", "x"), ("r", "")],
            &[("c", ""), ("r", "x")],
            &[("c", "x"), ("r", &long)],
        ];
        for labels in cases {
            assert_eq!(found(labels), None, "{labels:?}");
        }
    }
}
