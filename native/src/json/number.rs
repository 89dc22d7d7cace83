//! Numbers as Prometheus writes them: the fewest digits that read back as the same float, without an
//! exponent where that is bearable.

/// Whole numbers below this are their own shortest digits.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
const PLAIN_MIN: f64 = 1e-6;
const PLAIN_MAX: f64 = 1e21;
const GENERAL_MIN: f64 = 1e-4;
const GENERAL_MAX: f64 = 1e6;
/// Where zmij, too, writes fractions without an exponent.
const SAME_AS_ZMIJ: std::ops::Range<f64> = 1e-5..1e15;

/// A sample value: with an exponent below 1e-6 and from 1e21 on.
#[inline]
pub fn push_float(out: &mut Vec<u8>, value: f64) {
    let size = value.abs();
    if size < WHOLE_MAX && size.trunc() == size {
        push_sign(out, value);
        push_whole(out, size as u64);
    } else if SAME_AS_ZMIJ.contains(&size) {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    } else {
        push_rare(out, value);
    }
}

/// A value that is neither a whole number nor of the usual size.
#[cold]
fn push_rare(out: &mut Vec<u8>, value: f64) {
    let size = value.abs();
    if size.is_finite() && !(PLAIN_MIN..PLAIN_MAX).contains(&size) {
        push_sign(out, value);
        Digits::of(size, &mut zmij::Buffer::new()).push_exponent(out);
    } else {
        push_plain(out, value);
    }
}

/// A value that is never written with an exponent.
pub fn push_plain(out: &mut Vec<u8>, value: f64) {
    if value.is_nan() {
        return out.extend_from_slice(b"NaN");
    }
    if value.is_infinite() {
        return out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    }
    push_sign(out, value);
    if value == 0.0 {
        return out.push(b'0');
    }
    let size = value.abs();
    let mut buffer = zmij::Buffer::new();
    if SAME_AS_ZMIJ.contains(&size) && size.trunc() != size {
        return out.extend_from_slice(buffer.format_finite(size).as_bytes());
    }
    Digits::of(size, &mut buffer).push_plain(out);
}

/// A value with an exponent below 1e-4 and from 1e6 on, as Go's `%g` writes it.
pub fn push_general(out: &mut Vec<u8>, value: f64) {
    let size = value.abs();
    if size.is_finite() && size != 0.0 && !(GENERAL_MIN..GENERAL_MAX).contains(&size) {
        push_sign(out, value);
        Digits::of(size, &mut zmij::Buffer::new()).push_exponent(out);
    } else {
        push_plain(out, value);
    }
}

/// Milliseconds as seconds, with as many decimals as they need.
pub fn push_seconds(out: &mut Vec<u8>, time_ms: i64) {
    if time_ms < 0 {
        out.push(b'-');
    }
    let time_ms = time_ms.unsigned_abs();
    push_whole(out, time_ms / 1000);
    let mut rest = time_ms % 1000;
    if rest > 0 {
        out.push(b'.');
        let mut unit = 100;
        while rest > 0 {
            out.push(b'0' + (rest / unit) as u8);
            rest %= unit;
            unit /= 10;
        }
    }
}

fn push_sign(out: &mut Vec<u8>, value: f64) {
    if value.is_sign_negative() {
        out.push(b'-');
    }
}

const PAIRS: [u8; 200] = pairs();

/// "00", "01" ... "99".
const fn pairs() -> [u8; 200] {
    let mut table = [0; 200];
    let mut number = 0;
    while number < 100 {
        table[number * 2] = b'0' + (number / 10) as u8;
        table[number * 2 + 1] = b'0' + (number % 10) as u8;
        number += 1;
    }
    table
}

fn push_whole(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    while number >= 10 {
        let pair = (number % 100) as usize * 2;
        number /= 100;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    if number > 0 || at == digits.len() {
        at -= 1;
        digits[at] = b'0' + number as u8;
    }
    out.extend_from_slice(&digits[at..]);
}

/// The shortest digits of a positive float: `0.d1d2d3... * 10^point`.
struct Digits {
    digits: [u8; 24],
    count: usize,
    point: i32,
}

impl Digits {
    fn of(size: f64, buffer: &mut zmij::Buffer) -> Self {
        let mut this = Self {
            digits: [0; 24],
            count: 0,
            point: 0,
        };
        let text = buffer.format_finite(size).as_bytes();
        let mut decimals = false;
        for (at, &byte) in text.iter().enumerate() {
            match byte {
                b'.' => decimals = true,
                b'e' => {
                    this.point += exponent(&text[at + 1..]);
                    break;
                }
                b'0' if this.count == 0 => this.point -= i32::from(decimals),
                digit => {
                    this.digits[this.count] = digit;
                    this.count += 1;
                    this.point += i32::from(!decimals);
                }
            }
        }
        while this.count > 1 && this.digits[this.count - 1] == b'0' {
            this.count -= 1;
        }
        this
    }

    fn digits(&self) -> &[u8] {
        &self.digits[..self.count]
    }

    fn push_plain(&self, out: &mut Vec<u8>) {
        let digits = self.digits();
        if self.point <= 0 {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + self.point.unsigned_abs() as usize, b'0');
            return out.extend_from_slice(digits);
        }
        let point = self.point as usize;
        if point >= digits.len() {
            out.extend_from_slice(digits);
            return out.resize(out.len() + point - digits.len(), b'0');
        }
        out.extend_from_slice(&digits[..point]);
        out.push(b'.');
        out.extend_from_slice(&digits[point..]);
    }

    fn push_exponent(&self, out: &mut Vec<u8>) {
        out.push(self.digits[0]);
        if self.count > 1 {
            out.push(b'.');
            out.extend_from_slice(&self.digits()[1..]);
        }
        let exponent = self.point - 1;
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        let exponent = u64::from(exponent.unsigned_abs());
        if exponent < 10 {
            out.push(b'0');
        }
        push_whole(out, exponent);
    }
}

fn exponent(text: &[u8]) -> i32 {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    let size = digits
        .iter()
        .fold(0, |sum, digit| sum * 10 + i32::from(digit - b'0'));
    if negative { -size } else { size }
}
