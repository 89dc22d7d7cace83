//! Attributes of resources and points, and the labels that are made of them.

use std::borrow::Cow;

use crate::error::Result;
use crate::otlp::names::label_name;
use crate::otlp::value::{key_value, text};
use crate::write::labels::Label;
use crate::write::wire::Span;

type Bytes<'a> = Cow<'a, [u8]>;

const SERVICE_NAME: &[u8] = b"service.name";
const SERVICE_NAMESPACE: &[u8] = b"service.namespace";
const SERVICE_INSTANCE: &[u8] = b"service.instance.id";
const JOB: &[u8] = b"job";
const INSTANCE: &[u8] = b"instance";

/// Key and value as text.
#[derive(Debug, Clone)]
pub struct Attribute<'a> {
    key: &'a [u8],
    value: Bytes<'a>,
}

impl<'a> Attribute<'a> {
    pub fn read(message: &'a [u8], span: Span) -> Result<Self> {
        let (key, value) = key_value(message, span)?;
        let value = text(message, value)?;
        Ok(Self { key, value })
    }

    pub fn label(&self) -> Label<'_> {
        (self.key, &self.value)
    }
}

/// Labels in order of their names, each name once.
#[derive(Debug, Clone, Default)]
pub struct Labels<'a>(Vec<(Bytes<'a>, Bytes<'a>)>);

impl<'a> Labels<'a> {
    /// Attributes whose keys are spelled alike are one label; their values are joined in order of the keys.
    fn of(mut attributes: Vec<Attribute<'a>>) -> Self {
        attributes.sort_by_key(|one| one.key);
        let named = |one: Attribute<'a>| (label_name(one.key), one.value);
        let mut labels: Vec<_> = attributes.into_iter().map(named).collect();
        labels.sort_by(|a, b| a.0.cmp(&b.0));
        labels.dedup_by(|later, first| {
            let same = later.0 == first.0;
            if same {
                let value = first.1.to_mut();
                value.push(b';');
                value.extend_from_slice(&later.1);
            }
            same
        });
        Self(labels)
    }

    fn place(&self, name: &[u8]) -> std::result::Result<usize, usize> {
        self.0.binary_search_by(|one| one.0.as_ref().cmp(name))
    }

    fn has(&self, name: &[u8]) -> bool {
        self.place(name).is_ok()
    }

    fn set(&mut self, name: Bytes<'a>, value: Bytes<'a>) {
        match self.place(&name) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (name, value)),
        }
    }

    /// Replaces `out` by these labels and `more`, which come instead of those of the same name; both, and what
    /// comes of it, are in order of names.
    pub fn with<'b>(&'b self, more: &[Label<'b>], out: &mut Vec<Label<'b>>) {
        out.clear();
        out.reserve(self.0.len() + more.len());
        let mut more = more.iter().copied().peekable();
        for (name, value) in &self.0 {
            while let Some(before) = more.next_if(|one| one.0 < name.as_ref()) {
                out.push(before);
            }
            if more.peek().is_none_or(|one| one.0 != name.as_ref()) {
                out.push((name, value));
            }
        }
        out.extend(more);
    }
}

/// Who sends.
#[derive(Debug, Default)]
pub struct Resource<'a> {
    attributes: Vec<Attribute<'a>>,
    job: Option<Bytes<'a>>,
    instance: Option<Bytes<'a>>,
    promoted: Labels<'a>,
}

impl<'a> Resource<'a> {
    pub fn new(attributes: Vec<Attribute<'a>>, promoted: &[String]) -> Self {
        let value = |key: &[u8]| {
            let found = attributes.iter().find(|one| one.key == key);
            found.map(|one| one.value.clone())
        };
        let job = value(SERVICE_NAME).map(|name| match value(SERVICE_NAMESPACE) {
            Some(space) => Cow::Owned([space.as_ref(), b"/", name.as_ref()].concat()),
            None => name,
        });
        let instance = value(SERVICE_INSTANCE);
        let is_promoted =
            |one: &&Attribute<'_>| promoted.iter().any(|key| key.as_bytes() == one.key);
        let promoted = match promoted {
            [] => Labels::default(),
            _ => Labels::of(attributes.iter().filter(is_promoted).cloned().collect()),
        };
        Self {
            attributes,
            job,
            instance,
            promoted,
        }
    }

    /// The labels of a point with these attributes, without the name of its metric.
    pub fn labels_of<'r>(&'r self, attributes: Vec<Attribute<'r>>) -> Labels<'r> {
        let mut labels = Labels::of(attributes);
        for (name, value) in &self.promoted.0 {
            if !labels.has(name) {
                labels.set(Cow::Borrowed(name), Cow::Borrowed(value));
            }
        }
        self.identify(&mut labels);
        labels
    }

    fn identify<'r>(&'r self, labels: &mut Labels<'r>) {
        for (name, value) in [(JOB, &self.job), (INSTANCE, &self.instance)] {
            if let Some(value) = value {
                labels.set(Cow::Borrowed(name), Cow::Borrowed(value));
            }
        }
    }

    /// The labels of `target_info`, where the resource says more than who it is.
    pub fn info(&self) -> Option<Labels<'_>> {
        let identifies = [SERVICE_NAME, SERVICE_NAMESPACE, SERVICE_INSTANCE];
        let says_more = |one: &&Attribute<'_>| !identifies.contains(&one.key);
        let more: Vec<_> = self.attributes.iter().filter(says_more).cloned().collect();
        if more.is_empty() {
            return None;
        }
        let mut labels = Labels::of(more);
        self.identify(&mut labels);
        (labels.has(JOB) || labels.has(INSTANCE)).then_some(labels)
    }
}
