//! Reading all rows of an operator: on this thread when they are few, in partitions on several otherwise.
//! Partitions depend on the number of rows and steps alone, never on the number of threads.

use rayon::prelude::*;

use super::{
    Ctx, Opened, Rows, Scratch,
    row::Row,
    stored::{Arena, Stored},
};
use crate::{QueryError, watch::IN_EVALUATION};

/// Values in one partition.
const PARTITION_VALUES: usize = 32_768;
/// Most rows in one partition.
const PARTITION_ROWS_MAX: usize = 512;
/// Partitions in flight for each thread: one is folded while the next are computed.
const PARTITIONS_PER_THREAD: usize = 2;
/// Work below this stays on the caller's thread.
const PARALLEL_WORK_MIN: usize = 200_000;
/// What opening one series costs, in values.
const ROW_WORK: usize = 60;

/// Rows of one partition and the buffers to compute them with.
struct Block<'q> {
    rows: Vec<Row>,
    scratch: Scratch<'q>,
}

/// Calls `f` with each row in order.
pub(super) fn for_each_row(
    ctx: &Ctx<'_>,
    rows: &dyn Rows,
    row_count: usize,
    step_count: usize,
    mut f: impl FnMut(usize, &Row) -> Result<(), QueryError> + Send,
) -> Result<(), QueryError> {
    if let Some(threads) = threads_for(ctx, row_count, step_count) {
        return threads.install(|| for_each_wave(ctx, rows, row_count, step_count, f));
    }
    let mut scratch = Scratch::new(ctx);
    let mut row = Row::default();
    for index in 0..row_count {
        rows.read(index, &mut row, &mut scratch)?;
        f(index, &row)?;
    }
    scratch.flush()
}

/// Keeps all rows of an operator.
pub(super) fn store(
    ctx: &Ctx<'_>,
    rows: &dyn Rows,
    row_count: usize,
    step_count: usize,
) -> Result<Stored, QueryError> {
    let indices: Vec<u32> = (0..row_count as u32).collect();
    store_some(ctx, rows, &indices, step_count)
}

/// Keeps the rows at these indices, in this order.
pub(super) fn store_some(
    ctx: &Ctx<'_>,
    rows: &dyn Rows,
    indices: &[u32],
    step_count: usize,
) -> Result<Stored, QueryError> {
    let arenas = map_partitions(ctx, indices, step_count, |part, row, scratch| {
        let mut arena = Arena::new(&ctx.memory)?;
        for index in part {
            rows.read(*index as usize, row, scratch)?;
            arena.push(row)?;
        }
        Ok(arena)
    })?;
    Ok(Stored::from_arenas(arenas, step_count))
}

/// Reads the rows at these indices for what reading them counts and remarks.
pub(super) fn touch(
    ctx: &Ctx<'_>,
    rows: &dyn Rows,
    indices: &[u32],
    step_count: usize,
) -> Result<(), QueryError> {
    map_partitions(ctx, indices, step_count, |part, row, scratch| {
        part.iter().try_for_each(|index| rows.read(*index as usize, row, scratch))
    })
    .map(drop)
}

/// Calls `f` with each partition of the indices; results come in the order of the partitions.
pub(super) fn map_partitions<T: Send>(
    ctx: &Ctx<'_>,
    indices: &[u32],
    step_count: usize,
    f: impl Fn(&[u32], &mut Row, &mut Scratch<'_>) -> Result<T, QueryError> + Sync,
) -> Result<Vec<T>, QueryError> {
    let rows_per_part = partition_rows(step_count);
    if let Some(threads) = threads_for(ctx, indices.len(), step_count) {
        return threads.install(|| {
            let parts = indices.par_chunks(rows_per_part);
            let buffers = || (Row::default(), Scratch::new(ctx));
            parts
                .map_init(buffers, |(row, scratch), part| {
                    let result = f(part, row, scratch)?;
                    scratch.flush()?;
                    Ok(result)
                })
                .collect()
        });
    }
    let (mut row, mut scratch) = (Row::default(), Scratch::new(ctx));
    let results = indices
        .chunks(rows_per_part)
        .map(|part| f(part, &mut row, &mut scratch))
        .collect::<Result<_, _>>()?;
    scratch.flush()?;
    Ok(results)
}

/// Opens two operators, side by side where that pays.
pub(super) fn open_both(
    ctx: &Ctx<'_>,
    lhs: super::Bound,
    rhs: super::Bound,
) -> Result<(Opened, Opened), QueryError> {
    let work = lhs.series.len().min(rhs.series.len()) * (lhs.grid.count + ROW_WORK);
    match ctx.threads {
        Some(threads) if work >= PARALLEL_WORK_MIN => {
            let (lhs, rhs) = threads.install(|| rayon::join(|| lhs.open(ctx), || rhs.open(ctx)));
            Ok((lhs?, rhs?))
        }
        _ => Ok((lhs.open(ctx)?, rhs.open(ctx)?)),
    }
}

/// One wave of partitions is computed while `f` takes the rows of the wave before, in order.
fn for_each_wave(
    ctx: &Ctx<'_>,
    rows: &dyn Rows,
    row_count: usize,
    step_count: usize,
    mut f: impl FnMut(usize, &Row) -> Result<(), QueryError> + Send,
) -> Result<(), QueryError> {
    let rows_per_part = partition_rows(step_count);
    let parts_per_wave = rayon::current_num_threads() * PARTITIONS_PER_THREAD;
    let rows_per_wave = rows_per_part * parts_per_wave;
    let bytes = 2 * rows_per_wave.min(row_count) * (step_count * 8 + step_count / 8);
    let _held = ctx.memory.hold(bytes as u64)?;
    let new_wave = || -> Vec<Block<'_>> {
        let block = || Block { rows: Vec::new(), scratch: Scratch::new(ctx) };
        std::iter::repeat_with(block).take(parts_per_wave).collect()
    };
    let (mut computed, mut folded) = (new_wave(), new_wave());
    let mut next = 0;
    let mut folded_range = 0..0;
    loop {
        ctx.watch.check(IN_EVALUATION)?;
        let wave = next..(next + rows_per_wave).min(row_count);
        next = wave.end;
        let (fold, compute) = rayon::join(
            || fold_wave(&folded, folded_range.clone(), &mut f),
            || compute_wave(rows, &mut computed, wave.clone(), rows_per_part),
        );
        // A failed row comes behind the rows that were folded.
        fold?;
        compute?;
        if wave.is_empty() {
            return Ok(());
        }
        std::mem::swap(&mut computed, &mut folded);
        folded_range = wave;
    }
}

fn compute_wave(
    rows: &dyn Rows,
    blocks: &mut [Block<'_>],
    wave: std::ops::Range<usize>,
    rows_per_part: usize,
) -> Result<(), QueryError> {
    blocks.par_iter_mut().enumerate().try_for_each(|(part, block)| {
        let start = wave.start + part * rows_per_part;
        let end = (start + rows_per_part).min(wave.end);
        let count = end.saturating_sub(start);
        block.rows.resize_with(count.max(block.rows.len()), Row::default);
        for (offset, row) in block.rows[..count].iter_mut().enumerate() {
            rows.read(start + offset, row, &mut block.scratch)?;
        }
        block.scratch.flush()
    })
}

fn fold_wave(
    blocks: &[Block<'_>],
    wave: std::ops::Range<usize>,
    f: &mut impl FnMut(usize, &Row) -> Result<(), QueryError>,
) -> Result<(), QueryError> {
    let rows = blocks.iter().flat_map(|block| &block.rows);
    for (index, row) in wave.zip(rows) {
        f(index, row)?;
    }
    Ok(())
}

/// Threads for so many rows, if they pay.
pub(super) fn threads_for<'q>(
    ctx: &Ctx<'q>,
    row_count: usize,
    step_count: usize,
) -> Option<&'q rayon::ThreadPool> {
    let work = row_count.saturating_mul(step_count + ROW_WORK);
    ctx.threads.filter(|_| work >= PARALLEL_WORK_MIN && row_count > 1)
}

fn partition_rows(step_count: usize) -> usize {
    (PARTITION_VALUES / step_count.max(1)).clamp(1, PARTITION_ROWS_MAX)
}
