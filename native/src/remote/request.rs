//! `prometheus.ReadRequest`: time ranges and matchers.

use crate::error::{Error, Result};
use crate::write::wire::{Reader, Span, Value};

const OPERATORS: [&str; 4] = ["=", "!=", "=~", "!~"];
/// What one request may hold; senders put one query or a few into it.
const QUERIES_MAX: usize = 10_000;
const MATCHERS_MAX: usize = 100_000;

/// One query: series that fit all matchers, samples within both ends.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Query {
    pub mint_ms: i64,
    pub maxt_ms: i64,
    /// `(name, operator, value)`
    pub matchers: Vec<(String, &'static str, String)>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Request {
    pub queries: Vec<Query>,
    /// The kinds of answers that the client takes, the best first.
    pub accepted: Vec<u64>,
}

pub fn parse(message: &[u8]) -> Result<Request> {
    let mut request = Request::default();
    let mut matchers = 0;
    let mut reader = whole(message);
    while let Some(field) = reader.field()? {
        match (field.number, field.value) {
            (1, Value::Bytes(span)) => {
                let query = query(message, span)?;
                matchers += query.matchers.len();
                request.queries.push(query);
            }
            (2, Value::Varint(kind)) => request.accepted.push(kind),
            (2, Value::Bytes(span)) => {
                let mut packed = Reader::new(message, span);
                while !packed.rest().is_empty() {
                    request.accepted.push(packed.varint()?);
                }
            }
            _ => {}
        }
        if request.queries.len() > QUERIES_MAX || matchers > MATCHERS_MAX {
            let message = format!(
                "too much in one request (limits: {QUERIES_MAX} queries, {MATCHERS_MAX} matchers)"
            );
            return Err(Error::invalid("remote-read-request", message));
        }
    }
    Ok(request)
}

fn query(message: &[u8], span: Span) -> Result<Query> {
    let mut found = Query::default();
    let mut reader = Reader::new(message, span);
    while let Some(field) = reader.field()? {
        match (field.number, field.value) {
            (1, Value::Varint(time)) => found.mint_ms = time as i64,
            (2, Value::Varint(time)) => found.maxt_ms = time as i64,
            (3, Value::Bytes(span)) => found.matchers.push(matcher(message, span)?),
            _ => {} // hints say what the client will do with the answer
        }
    }
    Ok(found)
}

fn matcher(message: &[u8], span: Span) -> Result<(String, &'static str, String)> {
    let (mut operator, mut name, mut value) = (0, Span::EMPTY, Span::EMPTY);
    let mut reader = Reader::new(message, span);
    while let Some(field) = reader.field()? {
        match (field.number, field.value) {
            (1, Value::Varint(kind)) => operator = kind,
            (2, Value::Bytes(span)) => name = span,
            (3, Value::Bytes(span)) => value = span,
            _ => {}
        }
    }
    let known = usize::try_from(operator)
        .ok()
        .and_then(|at| OPERATORS.get(at));
    let known = known.ok_or_else(|| {
        let message = format!("unknown kind of matcher: {operator}");
        Error::invalid("remote-read-request", message)
    })?;
    Ok((text(message, name)?, known, text(message, value)?))
}

fn text(message: &[u8], span: Span) -> Result<String> {
    let text = std::str::from_utf8(span.of(message));
    text.map(str::to_owned).map_err(|_| {
        let message = format!("text at byte {} is not UTF-8", span.start);
        Error::invalid("remote-read-request", message)
    })
}

fn whole(message: &[u8]) -> Reader<'_> {
    let span = Span {
        start: 0,
        end: message.len(),
    };
    Reader::new(message, span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read() {
        let matcher = [0x1a, 8, 0x08, 2, 0x12, 1, b'a', 0x1a, 1, b'b'];
        let query = [&[0x08, 5, 0x10, 9][..], &matcher, &[0x22, 0]].concat();
        let message = [
            &[0x0a, query.len() as u8][..],
            &query,
            &[0x12, 2, 1, 0, 0x10, 1],
        ]
        .concat();
        let expected = Query {
            mint_ms: 5,
            maxt_ms: 9,
            matchers: vec![("a".into(), "=~", "b".into())],
        };
        let request = Request {
            queries: vec![expected],
            accepted: vec![1, 0, 1],
        };
        assert_eq!(parse(&message), Ok(request));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let unknown = [0x0a, 4, 0x1a, 2, 0x08, 4];
        let not_utf8 = [0x0a, 5, 0x1a, 3, 0x12, 1, 0xff];
        for message in [&unknown[..], &not_utf8, &[0x0a, 9], &[0x12, 1, 0x80]] {
            assert!(parse(message).is_err(), "{message:?}");
        }
        let many = [0x0a, 0].repeat(QUERIES_MAX + 1);
        assert!(parse(&many).is_err());
    }
}
