//! Answers of several replicas to one read: the samples, and where what was told only by digest differs.

use crate::block::merge::{self, Part};
use crate::error::{Error, Result};
use crate::frame::Frame;
use crate::rpc::decode::{self, Decoded};
use crate::rpc::seal::{DIGESTS, open};

/// What one replica answered: samples, or digests of them.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    pub data: &'a [u8],
    /// in the answer
    pub series: usize,
    /// The place in the answer that each series of the result has, or -1.
    pub rows: &'a [i64],
}

/// Digests of series by what their chunks are, before they are cut to the window.
#[derive(Debug)]
pub struct Digests {
    pub window: (i64, i64),
    pub of: Vec<u128>,
}

/// Samples of `count` series, and for each answer the rows of whose series it has digests that no samples have:
/// there it may have others.
pub fn decode(answers: &[Answer<'_>], count: usize) -> Result<(Frame, Vec<Vec<i64>>)> {
    let mut found = Vec::with_capacity(answers.len());
    let mut told = Vec::new();
    for (number, answer) in answers.iter().enumerate() {
        check(answer, count)?;
        if answer.data.first() == Some(&DIGESTS) {
            told.push((number, take_digests(answer)?));
        } else {
            let samples = decode::decode_digested(answer.data, answer.series)?;
            found.push((answer.rows, samples));
        }
    }
    let mut differing = vec![Vec::new(); answers.len()];
    for (number, digests) in &told {
        differing[*number] = differ(answers[*number].rows, digests, &found);
    }
    Ok((joined(found, count)?, differing))
}

fn check(answer: &Answer<'_>, count: usize) -> Result<()> {
    let places = -1..answer.series as i64;
    if answer.rows.len() == count && answer.rows.iter().all(|row| places.contains(row)) {
        return Ok(());
    }
    let message = format!("rows of {count} series in an answer of {}", answer.series);
    Err(Error::invalid("bad-frame", message))
}

fn take_digests(answer: &Answer<'_>) -> Result<Digests> {
    let mut cursor = open(answer.data, DIGESTS)?;
    let window = (cursor.signed()?, cursor.signed()?);
    let count = cursor.bounded(cursor.remaining(), "digests")?;
    if count != answer.series {
        let message = format!("{count} digests, {} were asked for", answer.series);
        return Err(cursor.corrupt(message));
    }
    let mut of = Vec::with_capacity(count);
    for _ in 0..count {
        let low = cursor.u64()?;
        of.push(u128::from(cursor.u64()?) << 64 | u128::from(low));
    }
    cursor.finish()?;
    Ok(Digests { window, of })
}

/// Rows of which the digests are those of none of the samples.
fn differ(rows: &[i64], told: &Digests, found: &[(&[i64], Decoded)]) -> Vec<i64> {
    let digest = |own: &Digests, place: i64| Some(own.of[usize::try_from(place).ok()?]);
    let alike: Vec<_> = found
        .iter()
        .filter(|(_, samples)| samples.digests.window == told.window)
        .collect();
    let differs = |row: &usize| {
        let wanted = digest(told, rows[*row]);
        let mut alike = alike.iter();
        wanted.is_some() && !alike.any(|(own, have)| digest(&have.digests, own[*row]) == wanted)
    };
    let all = (0..rows.len()).filter(differs);
    all.map(|row| row as i64).collect()
}

/// All samples. What several have alike is taken from the first of them: merged with itself, it is itself.
fn joined(mut found: Vec<(&[i64], Decoded)>, count: usize) -> Result<Frame> {
    let mut kept: Vec<Vec<i64>> = Vec::with_capacity(found.len());
    for (number, (rows, samples)) in found.iter().enumerate() {
        let mut others = differ(rows, &samples.digests, &found[..number])
            .into_iter()
            .peekable();
        let of_row = |row: usize| match others.next_if_eq(&(row as i64)) {
            Some(_) => rows[row],
            None => -1,
        };
        kept.push((0..count).map(of_row).collect());
    }
    let adds = |rows: &Vec<i64>| rows.iter().any(|&row| row >= 0);
    let mut adding = (0..kept.len()).filter(|&number| adds(&kept[number]));
    if let (Some(only), None) = (adding.next(), adding.next())
        && is_whole(&kept[only], &found[only].1.frame)
    {
        return Ok(found.swap_remove(only).1.frame);
    }
    let parts: Vec<Part<'_>> = found
        .iter()
        .zip(&kept)
        .map(|((_, samples), rows)| Part {
            rows,
            frame: samples.frame.view(),
        })
        .collect();
    merge::merge(&parts, count)
}

/// Whether the rows are all of the frame, in its order.
fn is_whole(rows: &[i64], frame: &Frame) -> bool {
    frame.offsets.len() == rows.len() + 1 && rows.iter().copied().eq(0..rows.len() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::FrameView;
    use crate::rpc::encode::{digest, encode};
    use crate::rpc::seal::{SAMPLES, resealed};

    fn frame<'a>(offsets: &'a [i64], times: &'a [i64], values: &'a [f64]) -> FrameView<'a> {
        FrameView {
            offsets,
            timestamps_ms: times,
            values,
            starts_ms: &[],
            histograms: None,
        }
    }

    const TIMES: [i64; 3] = [5, 7, 7];
    const VALUES: [f64; 3] = [1.0, 2.0, 3.0];

    fn answers(other: &[f64]) -> Result<(Vec<u8>, Vec<u8>)> {
        let samples = encode(&frame(&[0, 2, 3], &TIMES, &VALUES))?.bytes();
        let digests = digest(&frame(&[0, 1, 3], &[7, 5, 7], other))?.bytes();
        Ok((samples, digests))
    }

    fn of<'a>(data: &'a [u8], rows: &'a [i64]) -> Answer<'a> {
        Answer {
            data,
            series: 2,
            rows,
        }
    }

    #[test]
    fn series_in_another_order_have_the_same_digests() -> Result<()> {
        let (samples, digests) = answers(&[3.0, 1.0, 2.0])?;
        let both = [of(&samples, &[0, 1]), of(&digests, &[1, 0])];
        let (frame, differing) = decode(&both, 2)?;
        assert_eq!(frame.values, VALUES);
        assert_eq!(differing, [Vec::<i64>::new(), vec![]]);
        let crossed = [of(&samples, &[0, 1]), of(&digests, &[0, 1])];
        assert_eq!(decode(&crossed, 2)?.1, [vec![], vec![0, 1]]);
        Ok(())
    }

    #[test]
    fn what_differs_and_what_no_samples_came_of_is_told() -> Result<()> {
        let (samples, digests) = answers(&[3.0, 1.0, -0.0])?;
        let both = [of(&samples, &[0, 1]), of(&digests, &[1, 0])];
        assert_eq!(decode(&both, 2)?.1, [vec![], vec![0]]);
        let apart = [of(&samples, &[0, 1, -1]), of(&digests, &[-1, 0, 1])];
        let (frame, differing) = decode(&apart, 3)?;
        assert_eq!(frame.offsets, [0, 2, 3, 3]);
        assert_eq!(differing, [vec![], vec![2]]);
        Ok(())
    }

    #[test]
    fn samples_that_two_have_alike_are_taken_once() -> Result<()> {
        let (samples, _) = answers(&VALUES)?;
        let other = encode(&frame(&[0, 1, 3], &[9, 5, 7], &[4.0, 1.0, 2.0]))?.bytes();
        let both = [of(&samples, &[0, 1]), of(&other, &[1, 0])];
        let (frame, _) = decode(&both, 2)?;
        assert_eq!(frame.offsets, [0, 2, 4]);
        assert_eq!(frame.values, [1.0, 2.0, 3.0, 4.0]);
        Ok(())
    }

    #[test]
    fn digests_that_are_damaged_or_not_as_many_are_refused() -> Result<()> {
        let (samples, digests) = answers(&VALUES)?;
        let payload = &digests[5..];
        let other = |payload: &[u8]| {
            let data = resealed(DIGESTS, payload);
            decode(&[of(&samples, &[0, 1]), of(&data, &[0, 1])], 2).is_err()
        };
        assert!(!other(payload));
        assert!((0..payload.len()).all(|at| other(&payload[..at])));
        assert!(other(&[payload, &[0]].concat()));
        assert!(other(
            &[&payload[..payload.len() - 33], &[0xff; 9][..], &[0x7f]].concat()
        ));
        let data = resealed(SAMPLES, payload);
        assert!(decode(&[of(&data, &[0, 1])], 2).is_err());
        assert!(decode(&[of(&samples, &[0, 2])], 2).is_err());
        assert!(decode(&[of(&samples, &[0])], 2).is_err());
        Ok(())
    }
}
