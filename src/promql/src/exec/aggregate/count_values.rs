//! `count_values`: values become labels, so the operand is computed before its series are known.

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use prom_model::{LabelsBuilder, format_float_f, quote_go};

use super::count_points;
use crate::{
    QueryError,
    exec::{
        Bound, Ctx, Ready,
        drain::for_each_row,
        ledger::AccountId,
        relabel::is_label_name,
        row::Row,
        series::SeriesSet,
        stored::{Arena, Stored},
    },
    plan::Aggregate,
    watch::IN_EVALUATION,
};

/// What a value and its series take besides the labels of the group: the longest number has 330 digits,
/// most have a few.
const KEY_SIZE_BYTES: usize = 256;
/// Values put in order between two looks at the clock.
const VALUES_PER_CHECK: usize = 1 << 16;

/// What a series is told by.
enum Key {
    Float(f64),
    /// Of a histogram.
    Text(String),
}

/// Values by group, numbered as they come.
struct Counts {
    shows_value: bool,
    numbers: HashMap<(u32, u64), u32, FixedState>,
    texts: HashMap<(u32, String), u32, FixedState>,
    keys: Vec<(u32, Key)>,
    /// Numbers and steps.
    seen: Vec<(u32, u32)>,
}

impl Counts {
    fn new(shows_value: bool) -> Self {
        let (numbers, texts) = (HashMap::default(), HashMap::default());
        Self { shows_value, numbers, texts, keys: Vec::new(), seen: Vec::new() }
    }

    /// Adds a row of a group; returns the bytes of new texts.
    fn add(&mut self, group: u32, row: &Row) -> usize {
        let Self { shows_value, numbers, texts, keys, seen } = self;
        let mut number_of = |value: f64, keys: &mut Vec<(u32, Key)>| {
            let value = if value.is_nan() { f64::NAN } else { value };
            let bits = if *shows_value { value.to_bits() } else { 0 };
            *numbers.entry((group, bits)).or_insert_with(|| {
                keys.push((group, Key::Float(value)));
                keys.len() as u32 - 1
            })
        };
        row.for_each(|step, value| seen.push((number_of(value, keys), step as u32)));
        let mut text_size = 0;
        row.for_each_histogram(|step, histogram| {
            if !*shows_value {
                seen.push((number_of(0.0, keys), step as u32));
                return;
            }
            let text = histogram.to_string();
            text_size += 2 * text.len();
            let number = *texts.entry((group, text)).or_insert_with_key(|(_, text)| {
                keys.push((group, Key::Text(text.clone())));
                keys.len() as u32 - 1
            });
            seen.push((number, step as u32));
        });
        text_size
    }
}

pub(super) fn bind(
    ctx: &Ctx<'_>,
    aggregate: &Aggregate,
    operand: Bound,
    account: AccountId,
) -> Result<Bound, QueryError> {
    let label = aggregate.value_label.as_deref().unwrap_or_default();
    if !is_label_name(label) {
        return Err(QueryError::Evaluation(format!("invalid label name {}", quote_go(label))));
    }
    // The value label hides one of the same name, whether that is kept or dropped.
    let mut names: Vec<&str> = aggregate.labels.iter().map(String::as_str).collect();
    let shows_value = !(aggregate.is_without && names.contains(&label));
    names.retain(|name| *name != label);
    if aggregate.is_without {
        names.push(label);
    }
    let groups = operand.series.group(&names, aggregate.is_without);
    let grid = operand.grid;
    let operand = operand.open(ctx)?;

    let mut counts = Counts::new(shows_value);
    let mut held = ctx.memory.hold(0)?;
    for_each_row(ctx, &*operand.rows, operand.series.len(), grid.count, |index, row| {
        let group = groups.of_series[index];
        let before = (counts.keys.len(), counts.seen.len());
        let text_size = counts.add(group, row);
        // Twice, as what was seen is put in order.
        let seen_bytes = (counts.seen.len() - before.1) * 16;
        let labels_bytes = groups.labels[group as usize].as_bytes().len() + KEY_SIZE_BYTES;
        let key_bytes = (counts.keys.len() - before.0) * labels_bytes + text_size;
        held.grow((seen_bytes + key_bytes) as u64)
    })?;
    let Counts { keys, seen, .. } = counts;

    let seen = by_key(ctx, seen, keys.len())?;
    let mut arena = Arena::new(&ctx.memory)?;
    let (mut row, mut points) = (Row::default(), 0);
    for of_key in seen.chunk_by(|a, b| a.0 == b.0) {
        row.reset(grid.count);
        for of_step in of_key.chunk_by(|a, b| a.1 == b.1) {
            row.set(of_step[0].1 as usize, of_step.len() as f64);
            points += 1;
        }
        arena.push(&row)?;
        ctx.watch.check(IN_EVALUATION)?;
    }
    count_points(ctx, account, points)?;
    ctx.keep_held(held);
    let labels = keys.iter().map(|(group, value)| {
        let mut builder = LabelsBuilder::from_labels(&groups.labels[*group as usize]);
        if shows_value {
            match value {
                Key::Float(value) => builder.set(label, &format_float_f(*value)),
                Key::Text(text) => builder.set(label, text),
            };
        }
        builder.build()
    });
    let series = SeriesSet::made_unique(labels.collect());
    let rows = Stored::from_arenas(vec![arena], grid.count);
    Ok(Bound { series, grid, account, operator: Box::new(Ready(rows)) })
}

/// Keys and steps by key, those of one key by step. Counted and placed, as a sort could not be stopped:
/// steps come in order for each series, and are put in order for each key.
fn by_key(
    ctx: &Ctx<'_>,
    seen: Vec<(u32, u32)>,
    key_count: usize,
) -> Result<Vec<(u32, u32)>, QueryError> {
    let mut next = vec![0usize; key_count + 1];
    seen.iter().for_each(|(key, _)| next[*key as usize + 1] += 1);
    for key in 0..key_count {
        next[key + 1] += next[key];
    }
    let mut placed = vec![(0, 0); seen.len()];
    for part in seen.chunks(VALUES_PER_CHECK) {
        ctx.watch.check(IN_EVALUATION)?;
        for (key, step) in part {
            let at = &mut next[*key as usize];
            placed[*at] = (*key, *step);
            *at += 1;
        }
    }
    for of_key in placed.chunk_by_mut(|a, b| a.0 == b.0) {
        of_key.sort_unstable();
    }
    Ok(placed)
}
