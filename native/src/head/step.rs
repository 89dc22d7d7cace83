//! The chunk codec of the head (`docs/format/chunk.md`): byte-aligned steps, a table look-up each.

/// A chunk is cut at this many samples.
pub const SAMPLES_MAX: usize = 240;
/// Longest step: code, i32, eight bytes of value.
pub const STEP_BYTES_MAX: usize = 13;
/// Bytes of the first value.
pub const FIRST_BYTES: usize = 8;
/// A scratch of this size holds any chunk, lets eight bytes be loaded anywhere in it, and lets bytes
/// come in whole blocks of 64.
pub const SCRATCH_BYTES: usize = FIRST_BYTES + SAMPLES_MAX * STEP_BYTES_MAX + 16 + 64;

const VALUE_CLASSES: u8 = 37;
const RUN_FIRST: u8 = 4 * VALUE_CLASSES;
pub const RUN_MAX: u8 = u8::MAX - RUN_FIRST + 1;

pub type Scratch = [u8; SCRATCH_BYTES];

#[derive(Clone, Copy)]
struct Code {
    time: u8,
    shift_bits: u8,
    value_bytes: u8,
}

/// What each code below `RUN_FIRST` announces.
const CODES: [Code; 256] = {
    let mut codes = [Code {
        time: 0,
        shift_bits: 0,
        value_bytes: 0,
    }; 256];
    let mut time = 0;
    while time < 4 {
        let mut class = 1;
        let mut first = 0;
        codes[(time * VALUE_CLASSES) as usize].time = time;
        while first < 8 {
            let mut bytes = 1;
            while first + bytes <= 8 {
                codes[(time * VALUE_CLASSES + class) as usize] = Code {
                    time,
                    shift_bits: first * 8,
                    value_bytes: bytes,
                };
                class += 1;
                bytes += 1;
            }
            first += 1;
        }
        time += 1;
    }
    codes
};

/// Number of the first pair of each first byte.
const CLASS_FIRST: [u8; 8] = {
    let mut firsts = [1u8; 8];
    let mut first = 1;
    while first < 8 {
        firsts[first] = firsts[first - 1] + (9 - first as u8);
        first += 1;
    }
    firsts
};

/// Bytes of `dod` in each time class.
pub const TIME_BYTES: [u8; 4] = [0, 1, 2, 4];

const MASKS: [u64; 9] = {
    let mut masks = [0u64; 9];
    let mut bytes = 1;
    while bytes < 8 {
        masks[bytes] = (1u64 << (bytes * 8)) - 1;
        bytes += 1;
    }
    masks[8] = u64::MAX;
    masks
};

/// What the encoder remembers between samples of one chunk.
#[derive(Debug, Clone, Copy, Default)]
pub struct State {
    pub last_ms: i64,
    pub last_bits: u64,
    pub delta: i32,
    /// Samples of the chunk so far.
    pub count: u16,
    /// Length of the run that the last code byte stands for; 0 when it is no run.
    pub run: u8,
    /// Whether there is a last sample; it outlives its chunk.
    pub started: bool,
}

/// What `State::step` asks the owner of the bytes to do.
pub enum Step {
    /// Overwrite the last byte.
    Replace(u8),
    /// Append the first `.1` bytes.
    Append([u8; STEP_BYTES_MAX], usize),
}

impl State {
    pub fn start(time_ms: i64, bits: u64) -> Self {
        Self {
            last_ms: time_ms,
            last_bits: bits,
            delta: 0,
            count: 1,
            run: 0,
            started: true,
        }
    }

    /// Encodes one later sample. Both samples lie in one block range, so distances fit in 32 bits.
    #[inline]
    pub fn step(&mut self, time_ms: i64, bits: u64) -> Step {
        let delta = time_ms.wrapping_sub(self.last_ms) as i32;
        let dod = delta.wrapping_sub(self.delta);
        let xor = bits ^ self.last_bits;
        self.last_ms = time_ms;
        self.last_bits = bits;
        self.delta = delta;
        self.count += 1;
        if dod == 0 && xor == 0 {
            return self.extend_run();
        }
        self.run = 0;
        encode_step(dod, xor)
    }

    fn extend_run(&mut self) -> Step {
        if self.run > 0 && self.run < RUN_MAX {
            self.run += 1;
            return Step::Replace(RUN_FIRST - 1 + self.run);
        }
        self.run = 1;
        let mut bytes = [0; STEP_BYTES_MAX];
        bytes[0] = RUN_FIRST;
        Step::Append(bytes, 1)
    }
}

#[inline]
fn encode_step(dod: i32, xor: u64) -> Step {
    let time = time_class(dod);
    let mut bytes = [0; STEP_BYTES_MAX];
    let mut at = 1 + TIME_BYTES[time as usize] as usize;
    bytes[1..5].copy_from_slice(&dod.to_le_bytes());
    let mut class = 0;
    if xor != 0 {
        let span = Span::of(xor);
        class = span.class;
        bytes[at..at + 8].copy_from_slice(&(xor >> span.shift_bits).to_le_bytes());
        at += span.bytes;
    }
    bytes[0] = time * VALUE_CLASSES + class;
    Step::Append(bytes, at)
}

/// How many bytes of `dod` follow: see `TIME_BYTES`.
#[inline]
pub fn time_class(dod: i32) -> u8 {
    if dod == 0 {
        0
    } else if i8::try_from(dod).is_ok() {
        1
    } else if i16::try_from(dod).is_ok() {
        2
    } else {
        3
    }
}

/// The bytes of an xor that are not zero, from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Number of the pair (first byte, byte count), 1 to 36.
    pub class: u8,
    pub shift_bits: u32,
    pub bytes: usize,
}

impl Span {
    /// Of an xor that is not 0.
    #[inline]
    pub fn of(xor: u64) -> Self {
        let first = (xor.trailing_zeros() / 8) as usize;
        let end = 8 - (xor.leading_zeros() / 8) as usize;
        Self {
            class: CLASS_FIRST[first] + (end - first - 1) as u8,
            shift_bits: first as u32 * 8,
            bytes: end - first,
        }
    }

    /// Of the pair with a number from 1 to 36.
    #[inline]
    pub fn of_class(class: u8) -> Self {
        let code = CODES[(class % VALUE_CLASSES) as usize];
        Self {
            class,
            shift_bits: u32::from(code.shift_bits),
            bytes: code.value_bytes as usize,
        }
    }
}

#[inline]
fn load(scratch: &Scratch, at: usize) -> u64 {
    let mut word = [0; 8];
    // The mask changes nothing for bytes that the encoder wrote; it makes the load free of panics.
    let at = at.min(SCRATCH_BYTES - 8);
    word.copy_from_slice(&scratch[at..at + 8]);
    u64::from_le_bytes(word)
}

/// The samples of one decoded chunk; small enough to stay in the nearest cache.
#[derive(Debug)]
pub struct Decoded {
    times: [i64; SAMPLES_MAX],
    values: [f64; SAMPLES_MAX],
}

impl Default for Decoded {
    fn default() -> Self {
        Self {
            times: [0; SAMPLES_MAX],
            values: [0.0; SAMPLES_MAX],
        }
    }
}

impl Decoded {
    /// The first `count` samples of the chunk that was decoded last.
    #[inline]
    pub fn samples(&self, count: usize) -> (&[i64], &[f64]) {
        let count = count.min(SAMPLES_MAX);
        (&self.times[..count], &self.values[..count])
    }

    /// Decodes the `count` samples of a chunk whose bytes are at the start of `scratch`; says how many
    /// bytes that were. Bytes that are no chunk give some samples, or a size that it does not have.
    ///
    /// A lone repeat takes the way of a change by nothing: where values come at random, the choice
    /// between the two would be a guess for the processor, and every wrong one costs more than a step.
    pub fn decode(
        &mut self,
        scratch: &Scratch,
        count: usize,
        first_ms: i64,
    ) -> (&[i64], &[f64], usize) {
        let count = count.min(SAMPLES_MAX);
        let times = &mut self.times[..count];
        let values = &mut self.values[..count];
        let mut bits = load(scratch, 0);
        let mut time_ms = first_ms;
        let mut delta = 0i64;
        if let (Some(time), Some(value)) = (times.first_mut(), values.first_mut()) {
            *time = first_ms;
            *value = f64::from_bits(bits);
        }
        let mut at = FIRST_BYTES;
        let mut index = 1;
        while index < count {
            let word = load(scratch, at);
            let byte = word as u8;
            at += 1;
            if byte > RUN_FIRST {
                let end = count.min(index + (byte - RUN_FIRST) as usize + 1);
                for (time, value) in times[index..end].iter_mut().zip(&mut values[index..end]) {
                    time_ms = time_ms.wrapping_add(delta);
                    *time = time_ms;
                    *value = f64::from_bits(bits);
                }
                index = end;
                continue;
            }
            let code = CODES[byte as usize];
            if code.time != 0 {
                let dod = match code.time {
                    1 => i64::from((word >> 8) as i8),
                    2 => i64::from((word >> 8) as i16),
                    _ => i64::from((word >> 8) as i32),
                };
                delta = i64::from((delta as i32).wrapping_add(dod as i32));
                at += TIME_BYTES[code.time as usize] as usize;
            }
            time_ms = time_ms.wrapping_add(delta);
            bits ^= (load(scratch, at) & MASKS[code.value_bytes as usize]) << code.shift_bits;
            at += code.value_bytes as usize;
            times[index] = time_ms;
            values[index] = f64::from_bits(bits);
            index += 1;
        }
        (times, values, at)
    }
}

/// The value that stays where several were accepted for one timestamp (`docs/format/chunk.md`).
pub fn pick(left: u64, right: u64) -> u64 {
    const STALE: u64 = 0x7ff0_0000_0000_0002;
    if left == STALE || right == STALE {
        return if left == STALE { right } else { left };
    }
    if f64::from_bits(left)
        .total_cmp(&f64::from_bits(right))
        .is_lt()
    {
        right
    } else {
        left
    }
}

/// Encodes at most `SAMPLES_MAX` ascending samples of one range at once.
pub fn encode(mut samples: impl Iterator<Item = (i64, u64)>, out: &mut Vec<u8>) {
    let Some((first_ms, first_bits)) = samples.next() else {
        return;
    };
    let mut state = State::start(first_ms, first_bits);
    out.extend_from_slice(&first_bits.to_le_bytes());
    for (time_ms, bits) in samples {
        match state.step(time_ms, bits) {
            Step::Append(bytes, size) => {
                // A copy of known length is two instructions.
                let end = out.len() + size;
                out.extend_from_slice(&bytes);
                out.truncate(end);
            }
            Step::Replace(byte) => {
                if let Some(last) = out.last_mut() {
                    *last = byte;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(samples: &[(i64, u64)]) {
        let mut bytes = Vec::new();
        encode(samples.iter().copied(), &mut bytes);
        let mut scratch = [0xa5; SCRATCH_BYTES];
        scratch[..bytes.len()].copy_from_slice(&bytes);
        let mut decoded = Decoded::default();
        let (times, values, size) = decoded.decode(&scratch, samples.len(), samples[0].0);
        assert_eq!(size, bytes.len());
        let bits = values.iter().map(|value| value.to_bits());
        let back: Vec<(i64, u64)> = times.iter().copied().zip(bits).collect();
        assert_eq!(back, samples);
    }

    #[test]
    fn every_byte_span_of_a_value_survives() {
        for first in 0..8 {
            for end in first + 1..=8 {
                let mut xor = [0u8; 8];
                xor[first..end].fill(0x81);
                round_trip(&[(0, 5), (15_000, 5 ^ u64::from_le_bytes(xor)), (30_000, 5)]);
            }
        }
    }

    #[test]
    fn every_size_of_a_time_change_survives() {
        let mut time_ms = -1_000_000;
        let mut samples = vec![(time_ms, 1)];
        for delta in [1, 1, 127, 128, 300, 40_000, 604_799_999, 1, 32_768, 1] {
            time_ms += delta;
            samples.push((time_ms, 1));
        }
        round_trip(&samples);
    }

    #[test]
    fn a_constant_series_costs_a_byte_for_many_samples() {
        let samples: Vec<(i64, u64)> = (0..SAMPLES_MAX as i64).map(|i| (i * 15_000, 9)).collect();
        let mut bytes = Vec::new();
        encode(samples.iter().copied(), &mut bytes);
        assert!(bytes.len() < 16, "{}", bytes.len());
        round_trip(&samples);
    }

    #[test]
    fn random_samples_survive() {
        let mut state = 88_172_645_463_325_252u64;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..500 {
            let count = 1 + next() % SAMPLES_MAX as u64;
            let mut time_ms = next() as i64 >> 1;
            let mut bits = next();
            let samples: Vec<(i64, u64)> = (0..count)
                .map(|_| {
                    time_ms += 1 + (next() >> (36 + next() % 28)) as i64 % 2_000_000;
                    match next() % 4 {
                        0 => bits = next(),
                        1 => bits ^= next() >> (next() % 64),
                        _ => {}
                    }
                    (time_ms, bits)
                })
                .collect();
            round_trip(&samples);
        }
    }

    #[test]
    fn a_value_is_picked_before_a_staleness_marker() {
        let stale = 0x7ff0_0000_0000_0002;
        let one = 1f64.to_bits();
        let two = 2f64.to_bits();
        assert_eq!(pick(stale, one), one);
        assert_eq!(pick(one, stale), one);
        assert_eq!(pick(one, two), two);
        assert_eq!(pick(two, one), two);
    }
}
