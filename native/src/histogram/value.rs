//! One histogram that owns its cells.

use std::sync::Arc;

use crate::histogram::{Layout, View};

/// What is known of a histogram in relation to the one before it in its series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Hint {
    #[default]
    Unknown = 0,
    /// The counter started again.
    Reset = 1,
    NotReset = 2,
    /// It goes up and down: resets mean nothing.
    Gauge = 3,
}

impl Hint {
    /// The hint of a number on a wire or in a file; None where it is no hint.
    pub fn of(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Unknown,
            1 => Self::Reset,
            2 => Self::NotReset,
            3 => Self::Gauge,
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Reset => "reset",
            Self::NotReset => "not_reset",
            Self::Gauge => "gauge",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        (0..4).filter_map(Self::of).find(|hint| hint.name() == name)
    }
}

/// A histogram for arithmetic.
#[derive(Debug, Clone)]
pub struct Histogram {
    pub layout: Arc<Layout>,
    pub hint: Hint,
    /// As in [`View::cells`].
    pub cells: Vec<f64>,
}

impl Histogram {
    pub fn view(&self) -> View<'_> {
        View {
            layout: &self.layout,
            hint: self.hint,
            cells: &self.cells,
        }
    }
}

impl From<View<'_>> for Histogram {
    fn from(view: View<'_>) -> Self {
        Self {
            layout: Arc::clone(view.layout),
            hint: view.hint,
            cells: view.cells.to_vec(),
        }
    }
}
