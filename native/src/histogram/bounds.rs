//! Where exponential buckets end, to the last digit as Prometheus has it: bounds are shown, and compared.

/// The finest schema, and how many of its buckets lie between two powers of two.
const FINEST: u32 = 8;
const STEPS: usize = 1 << FINEST;

/// `2^(i / STEPS - 1)`: every bound in [0.5, 1).
const FRACTIONS: [f64; STEPS] = fractions();

/// The upper bound of bucket `index` on the positive side.
///
/// The bucket that ends where floats do reaches to the largest of them; those after it are infinite.
pub fn exponential(index: i64, schema: i8) -> f64 {
    if schema < 0 {
        let exponent = index.saturating_mul(1 << schema.unsigned_abs().min(62));
        return match exponent {
            1024 => f64::MAX,
            _ => scaled(1.0, exponent),
        };
    }
    let schema = u32::from(schema.unsigned_abs()).min(FINEST);
    let within = (index & ((1 << schema) - 1)) as usize;
    let fraction = FRACTIONS[within << (FINEST - schema)];
    match (index >> schema) + 1 {
        1025 if within == 0 => f64::MAX,
        exponent => scaled(fraction, exponent),
    }
}

/// `fraction * 2^exponent` for a fraction in [0.5, 1], rounded once.
fn scaled(fraction: f64, exponent: i64) -> f64 {
    if (-1021..=1023).contains(&exponent) {
        return fraction * power_of_two(exponent);
    }
    if exponent > 1024 {
        return f64::INFINITY;
    }
    if exponent < -1100 {
        return 0.0;
    }
    let half = exponent / 2;
    fraction * power_of_two(half) * power_of_two(exponent - half)
}

fn power_of_two(exponent: i64) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

/// Each schema's own bounds are the bounds before them times one factor; the rest are those of the schema
/// above. Rounding makes other ways of computing them differ in the last digit.
const fn fractions() -> [f64; STEPS] {
    let mut table = [0.5; STEPS];
    let mut schema = 1;
    while schema <= FINEST {
        let factor = power(1.0 / (1u32 << schema) as f64);
        let stride = STEPS >> schema;
        let mut at = stride;
        while at < STEPS {
            table[at] = table[at - stride] * factor;
            at += 2 * stride;
        }
        schema += 1;
    }
    table
}

/// `2^x` for `x` in (0, 0.5], as Go's library computes it: the method of FreeBSD's exp.
const fn power(x: f64) -> f64 {
    const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let whole = if x >= 0.5 { 1.0 } else { 0.0 };
    let high = (x - whole) * LN2_HIGH;
    let low = (whole - x) * LN2_LOW;
    let rest = high - low;
    let square = rest * rest;
    let correction = rest - square * remez(square);
    (1.0 - ((low - (rest * correction) / (2.0 - correction)) - high)) * (1.0 + whole)
}

const fn remez(square: f64) -> f64 {
    let mut sum = 4.138_136_797_057_238_5e-8;
    sum = -1.653_390_220_546_525_2e-6 + square * sum;
    sum = 6.613_756_321_437_934e-5 + square * sum;
    sum = -2.777_777_777_701_559_3e-3 + square * sum;
    1.666_666_666_666_666_6e-1 + square * sum
}

#[cfg(test)]
mod tests {
    use super::exponential;

    #[test]
    fn bounds_have_the_digits_of_prometheus() {
        let schema_3 = [
            1.0,
            1.0905077326652577,
            1.189207115002721,
            1.2968395546510096,
            2.0 * 0.7071067811865475,
            1.5422108254079407,
            1.6817928305074288,
            1.8340080864093422,
        ];
        for (index, want) in schema_3.into_iter().enumerate() {
            assert_eq!(exponential(index as i64, 3), want);
            assert_eq!(exponential(index as i64 - 8, 3), want / 2.0);
        }
        assert_eq!(exponential(1, 5), 2.0 * 0.5109485743270583);
        assert_eq!(exponential(5, 5), 2.0 * 0.5571933712979462);
        assert_eq!(exponential(31 * 8 + 7, 8), exponential(255, 8));
    }

    #[test]
    fn bounds_end_at_the_largest_float_and_then_are_infinite() {
        assert_eq!(exponential(1024, 0), f64::MAX);
        assert_eq!(exponential(1025, 0), f64::INFINITY);
        assert_eq!(exponential(64, -4), f64::MAX);
        assert_eq!(exponential(63, -4), 2f64.powi(1008));
        assert_eq!(exponential(65, -4), f64::INFINITY);
        assert_eq!(exponential(i64::from(i32::MAX), 8), f64::INFINITY);
        assert_eq!(exponential(i64::from(i32::MIN), -4), 0.0);
        assert_eq!(exponential(-1074, 0), f64::from_bits(1));
        assert_eq!(exponential(-1075, 0), 0.0);
        assert!(exponential(1024 * 256 - 1, 8).is_finite());
    }
}
