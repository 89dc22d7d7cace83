//! What is worth telling of an operation on histograms, beside its result.

use std::ops::{BitAnd, BitOr, BitOrAssign};

/// A set of notes; the numbers are those of `Note` in `rondel/promql/kernel.py`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Notes(pub u32);

impl Notes {
    pub const NONE: Self = Self(0);
    /// Floats and histograms where only one kind makes sense.
    pub const MIXED: Self = Self(1);
    /// A counter was wanted, and a histogram says that it is a gauge.
    pub const NOT_COUNTER: Self = Self(1 << 1);
    /// A gauge was wanted, and a histogram does not say that it is one.
    pub const NOT_GAUGE: Self = Self(1 << 2);
    /// Exponential and custom buckets together.
    pub const MIXED_SCHEMAS: Self = Self(1 << 3);
    /// Custom bounds differed; what both have was kept.
    pub const BOUNDS_RECONCILED: Self = Self(1 << 4);
    /// One histogram was a reset and the other was not.
    pub const HINTS_COLLIDE: Self = Self(1 << 5);
    /// Histograms were there, and the function takes floats alone.
    pub const HISTOGRAMS_IGNORED: Self = Self(1 << 6);
    /// No common buckets for a binary operator.
    pub const INCOMPATIBLE: Self = Self(1 << 7);
    /// Classic and native histograms of one name.
    pub const NATIVE_AND_CLASSIC: Self = Self(1 << 8);
    /// The quantile falls among observations of NaN.
    pub const NAN_RESULT: Self = Self(1 << 9);
    /// Observations of NaN are counted that no bucket shows.
    pub const NAN_OBSERVATIONS: Self = Self(1 << 10);

    pub const ALL: [(&'static str, Self); 11] = [
        ("MIXED", Self::MIXED),
        ("NOT_COUNTER", Self::NOT_COUNTER),
        ("NOT_GAUGE", Self::NOT_GAUGE),
        ("MIXED_SCHEMAS", Self::MIXED_SCHEMAS),
        ("BOUNDS_RECONCILED", Self::BOUNDS_RECONCILED),
        ("HINTS_COLLIDE", Self::HINTS_COLLIDE),
        ("HISTOGRAMS_IGNORED", Self::HISTOGRAMS_IGNORED),
        ("INCOMPATIBLE", Self::INCOMPATIBLE),
        ("NATIVE_AND_CLASSIC", Self::NATIVE_AND_CLASSIC),
        ("NAN_RESULT", Self::NAN_RESULT),
        ("NAN_OBSERVATIONS", Self::NAN_OBSERVATIONS),
    ];
}

impl BitAnd for Notes {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl BitOr for Notes {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Notes {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}
