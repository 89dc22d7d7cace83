//! Names for readers that know only letters, digits, underscores and colons.

use std::borrow::Cow;
use std::fmt::Write;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escaping {
    /// As they are; what is not of the old set stands in quotes.
    AllowUtf8,
    /// Every other character is an underscore.
    Underscores,
    /// As `Underscores`, but that dots and underscores can be told apart.
    Dots,
    /// `U__`, and every other character by its number.
    Values,
}

impl Escaping {
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "allow-utf-8" => Some(Self::AllowUtf8),
            "underscores" => Some(Self::Underscores),
            "dots" => Some(Self::Dots),
            "values" => Some(Self::Values),
            _ => None,
        }
    }

    pub fn apply(self, name: &str) -> Cow<'_, str> {
        let plain = is_plain(name);
        match self {
            _ if name.is_empty() => Cow::Borrowed(name),
            Self::AllowUtf8 => Cow::Borrowed(name),
            Self::Underscores | Self::Values if plain => Cow::Borrowed(name),
            Self::Underscores => Cow::Owned(spelled(name, |out, _| out.push('_'))),
            Self::Dots => Cow::Owned(dotted(name)),
            Self::Values => Cow::Owned(numbered(name)),
        }
    }
}

/// Whether every reader takes the name as it is.
pub fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name
            .char_indices()
            .all(|(at, character)| fits(at, character))
}

fn fits(at: usize, character: char) -> bool {
    let letter = character.is_ascii_alphabetic() || character == '_' || character == ':';
    letter || (character.is_ascii_digit() && at > 0)
}

fn spelled(name: &str, mut other: impl FnMut(&mut String, char)) -> String {
    let mut out = String::with_capacity(name.len() * 2);
    for (at, character) in name.char_indices() {
        match fits(at, character) {
            true => out.push(character),
            false => other(&mut out, character),
        }
    }
    out
}

fn dotted(name: &str) -> String {
    let mut out = String::with_capacity(name.len() * 2);
    for (at, character) in name.char_indices() {
        match character {
            '_' => out.push_str("__"),
            '.' => out.push_str("_dot_"),
            _ if fits(at, character) => out.push(character),
            _ => out.push_str("__"),
        }
    }
    out
}

fn numbered(name: &str) -> String {
    let mut out = String::from("U__");
    for (at, character) in name.char_indices() {
        match character {
            '_' => out.push_str("__"),
            _ if fits(at, character) => out.push(character),
            // Nothing can go wrong in writing to a string.
            _ => _ = write!(out, "_{:x}_", u32::from(character)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scheme_spells_names_in_its_own_way() {
        let cases = [
            (
                "plain_name:x",
                "plain_name:x",
                "plain__name:x",
                "plain_name:x",
            ),
            (
                "http.status_code",
                "http_status_code",
                "http_dot_status__code",
                "U__http_2e_status__code",
            ),
            ("1st", "_st", "__st", "U___31_st"),
            ("süß", "s__", "s____", "U__s_fc__df_"),
            ("", "", "", ""),
        ];
        for (name, underscores, dots, values) in cases {
            assert_eq!(Escaping::Underscores.apply(name), underscores);
            assert_eq!(Escaping::Dots.apply(name), dots);
            assert_eq!(Escaping::Values.apply(name), values);
            assert_eq!(Escaping::AllowUtf8.apply(name), name);
        }
    }
}
