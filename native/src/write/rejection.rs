//! What a request contained and could not be written: one entry an error id, with a count.

/// Characters of a message that are kept; the rest comes from outside and may be long.
const MESSAGE_CHARS_MAX: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The stable error id of `docs/errors.md`.
    pub id: &'static str,
    /// The text of the first of them.
    pub message: String,
    /// Samples left out.
    pub samples: u64,
    /// The series of each of them in its batch, where who rejects tells it.
    pub rows: Vec<u32>,
}

#[derive(Debug, Clone, Default)]
pub struct Rejections(Vec<Rejection>);

impl Rejections {
    /// Counts; the message is made only for the first of an id.
    pub fn add(&mut self, id: &'static str, samples: u64, message: impl FnOnce() -> String) {
        self.of(id, message).samples += samples;
    }

    /// Counts one sample of a series of the batch.
    pub fn add_row(&mut self, id: &'static str, row: usize, message: impl FnOnce() -> String) {
        let rejection = self.of(id, message);
        rejection.samples += 1;
        rejection.rows.push(row as u32);
    }

    fn of(&mut self, id: &'static str, message: impl FnOnce() -> String) -> &mut Rejection {
        let known = self.0.iter().position(|known| known.id == id);
        let at = known.unwrap_or_else(|| {
            self.0.push(Rejection {
                id,
                message: cut(message()),
                samples: 0,
                rows: Vec::new(),
            });
            self.0.len() - 1
        });
        &mut self.0[at]
    }

    pub fn all(&self) -> &[Rejection] {
        &self.0
    }
}

fn cut(mut message: String) -> String {
    if let Some((at, _)) = message.char_indices().nth(MESSAGE_CHARS_MAX) {
        message.truncate(at);
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_entry_an_id_with_the_first_text() {
        let mut all = Rejections::default();
        all.add("a", 2, || "first".into());
        all.add("b", 1, || "ü".repeat(500));
        all.add_row("a", 7, || "second".into());
        assert_eq!(all.all()[0].message, "first");
        assert_eq!(all.all()[0].samples, 3);
        assert_eq!(all.all()[0].rows, [7]);
        assert_eq!(all.all()[1].message.chars().count(), MESSAGE_CHARS_MAX + 1);
    }
}
