//! Results of both kinds: floats as a matrix, histograms as numbers of those in a pool.

use crate::error::Result;
use crate::histogram::{Histograms, Notes};
use crate::kernel::parallel::{Matrix, each};

/// Rows that one thread takes at a time, at most.
const BLOCK_ROWS_MAX: usize = 1024;
/// Into how many blocks the rows are cut where there are enough.
const BLOCKS: usize = 32;

/// No histogram.
pub const NONE: i64 = -1;

#[derive(Debug)]
pub struct Answer {
    /// The floats.
    pub matrix: Matrix,
    /// Which histogram of `pool` each cell is, or `NONE`. No cell is both.
    pub index: Vec<i64>,
    pub pool: Histograms,
    /// For each row.
    pub notes: Vec<Notes>,
}

/// One row of an answer, absent where nothing is written.
pub struct Out<'a> {
    pub values: &'a mut [f64],
    pub present: &'a mut [bool],
    pub index: &'a mut [i64],
    pub notes: &'a mut Notes,
    /// Where new histograms go; it is shared by several rows.
    pub pool: &'a mut Histograms,
}

impl Answer {
    /// Calls `fill(state, row, out)` for every row; each thread has a state of its own. Histograms come
    /// out in the order of their rows, whichever thread made them.
    pub fn fill<S>(
        rows: usize,
        width: usize,
        work: usize,
        state: impl Fn() -> S + Sync,
        fill: impl Fn(&mut S, usize, Out<'_>) + Sync,
    ) -> Result<Self> {
        let mut matrix = Matrix::absent(rows, width)?;
        let mut index = vec![NONE; matrix.values.len()];
        let mut notes = vec![Notes::NONE; rows];
        let rows_each = (rows / BLOCKS).clamp(1, BLOCK_ROWS_MAX);
        let mut pools = vec![Histograms::default(); rows.div_ceil(rows_each)];
        if width > 0 {
            let cells = rows_each * width;
            let blocks = matrix.values.chunks_mut(cells);
            let blocks = blocks
                .zip(matrix.present.chunks_mut(cells))
                .zip(index.chunks_mut(cells))
                .zip(notes.chunks_mut(rows_each))
                .zip(&mut pools)
                .enumerate();
            each(blocks, work, state, |state, (block, parts)| {
                let ((((values, present), index), notes), pool) = parts;
                let rows = values
                    .chunks_mut(width)
                    .zip(present.chunks_mut(width))
                    .zip(index.chunks_mut(width))
                    .zip(notes);
                for (at, (((values, present), index), notes)) in rows.enumerate() {
                    let out = Out {
                        values,
                        present,
                        index,
                        notes,
                        pool,
                    };
                    fill(state, block * rows_each + at, out);
                }
            });
        }
        let pool = joined(pools, &mut index, rows_each * width);
        Ok(Self {
            matrix,
            index,
            pool,
            notes,
        })
    }
}

/// All pools as one, and `index` moved along; each pool is that of so many cells.
fn joined(mut pools: Vec<Histograms>, index: &mut [i64], cells: usize) -> Histograms {
    if pools.len() == 1 {
        return pools.pop().unwrap_or_default();
    }
    let mut before = 0;
    for (block, pool) in pools.iter().enumerate() {
        if before > 0 && !pool.is_empty() {
            let part = block * cells..index.len().min((block + 1) * cells);
            for at in index[part].iter_mut().filter(|at| **at != NONE) {
                *at += before;
            }
        }
        before += pool.len() as i64;
    }
    Histograms::concatenated(&pools.iter().collect::<Vec<_>>())
}
