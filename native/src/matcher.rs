//! Label matchers, compiled once. User regexes run only in the linear-time engine, fully anchored,
//! with `.` matching newlines, as PromQL wants.

use pyo3::prelude::*;
use regex::{Regex, RegexBuilder};

use crate::dialect::translate;
use crate::error::{Error, Result};

const REGEX_SIZE_BYTES_MAX: usize = 4 << 20;

#[derive(Debug, Clone)]
pub enum Test {
    Equal(String),
    NotEqual(String),
    Regex(Regex),
    NotRegex(Regex),
}

#[derive(Debug, Clone)]
pub struct Matcher {
    pub name: String,
    pub test: Test,
}

impl Matcher {
    pub fn matches(&self, value: &str) -> bool {
        match &self.test {
            Test::Equal(wanted) => value == wanted,
            Test::NotEqual(unwanted) => value != unwanted,
            Test::Regex(regex) => regex.is_match(value),
            Test::NotRegex(regex) => !regex.is_match(value),
        }
    }

    /// Whether series without the label match too.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }
}

/// Compiles an anchored PromQL regex, written in Go's syntax.
pub fn anchored(pattern: &str) -> Result<Regex> {
    RegexBuilder::new(&format!("^(?s:{})$", translate(pattern)?))
        .size_limit(REGEX_SIZE_BYTES_MAX)
        .dfa_size_limit(REGEX_SIZE_BYTES_MAX)
        .build()
        .map_err(|cause| Error::invalid("regex-invalid", format!("regex {pattern:?}: {cause}")))
}

#[pyclass(frozen, module = "rondel._native")]
#[derive(Debug, Clone)]
pub struct Matchers {
    pub all: Vec<Matcher>,
    spelled: Vec<Spelled>,
}

/// Name, operator, value.
type Spelled = (String, String, String);

#[pymethods]
impl Matchers {
    /// From `(name, operator, value)`; operators are `=`, `!=`, `=~`, `!~`.
    #[new]
    fn new(matchers: Vec<Spelled>) -> PyResult<Self> {
        let spelled = matchers.clone();
        let mut all = Vec::with_capacity(matchers.len());
        for (name, operator, value) in matchers {
            let test = match operator.as_str() {
                "=" => Test::Equal(value),
                "!=" => Test::NotEqual(value),
                "=~" => Test::Regex(anchored(&value)?),
                "!~" => Test::NotRegex(anchored(&value)?),
                other => {
                    let message = format!("matcher operator {other:?}: want one of = != =~ !~");
                    return Err(Error::invalid("matcher-invalid", message).into());
                }
            };
            all.push(Matcher { name, test });
        }
        Ok(Self { all, spelled })
    }

    /// What they were made of.
    #[getter]
    fn spelled(&self) -> Vec<Spelled> {
        self.spelled.clone()
    }

    fn __len__(&self) -> usize {
        self.all.len()
    }

    /// Whether a series with these labels matches.
    fn matches(&self, labels: std::collections::HashMap<String, String>) -> bool {
        self.all
            .iter()
            .all(|matcher| matcher.matches(labels.get(&matcher.name).map_or("", String::as_str)))
    }

    /// Whether every matcher also takes a series without its label: then it selects everything.
    fn matches_empty(&self) -> bool {
        self.all.iter().all(Matcher::matches_empty)
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Matchers>()
}
