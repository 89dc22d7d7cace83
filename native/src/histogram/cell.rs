//! The two numbers that cells of arithmetic may be: plain floats, and sums that keep what rounding lost.

use crate::kernel::sum::Sum;

/// A cell that can be added to.
pub trait Cell: Copy + Default {
    fn of(value: f64) -> Self;
    #[must_use]
    fn plus(self, other: Self) -> Self;
    #[must_use]
    fn negated(self) -> Self;
    /// Whether nothing is counted here.
    fn is_zero(self) -> bool;
    fn is_infinite(self) -> bool;
}

impl Cell for f64 {
    #[inline]
    fn of(value: f64) -> Self {
        value
    }

    #[inline]
    fn plus(self, other: Self) -> Self {
        self + other
    }

    #[inline]
    fn negated(self) -> Self {
        -self
    }

    #[inline]
    fn is_zero(self) -> bool {
        self == 0.0
    }

    #[inline]
    fn is_infinite(self) -> bool {
        self.is_infinite()
    }
}

impl Cell for Sum {
    #[inline]
    fn of(value: f64) -> Self {
        Self::of(value)
    }

    #[inline]
    fn plus(self, other: Self) -> Self {
        let sum = Self::plus(self, other.sum);
        if other.lost == 0.0 {
            sum
        } else {
            Self::plus(sum, other.lost)
        }
    }

    #[inline]
    fn negated(self) -> Self {
        Self {
            sum: -self.sum,
            lost: -self.lost,
        }
    }

    #[inline]
    fn is_zero(self) -> bool {
        self.sum == 0.0 && self.lost == 0.0
    }

    #[inline]
    fn is_infinite(self) -> bool {
        self.sum.is_infinite()
    }
}
