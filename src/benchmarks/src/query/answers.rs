//! Whether answers are right: ours against the original's value by value, and each later answer of ours
//! against its first.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::report;

/// Values may differ by so much of their size.
pub(super) const TOLERANCE: f64 = 1e-12;

/// How many values were compared, and what came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) values: usize,
    /// Not equal bit by bit.
    pub(super) inexact: usize,
    /// Not even nearly equal, or on one side only.
    pub(super) wrong: usize,
    /// Answers of ours to a question that was answered before; and those that were not the same then.
    pub(super) repeated: usize,
    pub(super) changed: usize,
}

impl Tally {
    /// Compares two answers to the same question.
    pub(super) fn compare(&mut self, name: &str, ours: &[u8], theirs: &[u8]) -> Result<()> {
        let (ours, theirs) = (values(ours)?, values(theirs)?);
        let missing = theirs.keys().filter(|key| !ours.contains_key(*key)).count();
        let (mut inexact, mut wrong) = (0, missing);
        for (key, value) in &ours {
            match theirs.get(key) {
                Some(other) if value == other || value.is_nan() && other.is_nan() => {}
                Some(other) if is_near(*value, *other) => inexact += 1,
                _ => wrong += 1,
            }
        }
        if inexact + wrong > 0 {
            report::line(&format!("{name}: {inexact} inexact, {wrong} wrong"));
        }
        self.values += ours.len();
        self.inexact += inexact;
        self.wrong += wrong;
        Ok(())
    }

    /// Holds a later answer of ours against its first one: both are of the same samples.
    pub(super) fn repeat(&mut self, first: &[u8], later: &[u8]) {
        self.repeated += 1;
        self.changed += usize::from(first != later);
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.values += other.values;
        self.inexact += other.inexact;
        self.wrong += other.wrong;
        self.repeated += other.repeated;
        self.changed += other.changed;
    }

    pub(super) fn is_right(&self) -> bool {
        self.values > 0 && self.wrong + self.changed == 0
    }
}

fn is_near(a: f64, b: f64) -> bool {
    (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
}

/// Values by series and time.
fn values(body: &[u8]) -> Result<BTreeMap<(String, String), f64>> {
    let json: Value = serde_json::from_slice(body)?;
    let mut all = BTreeMap::new();
    for series in json["data"]["result"].as_array().context("no result")? {
        let labels = series["metric"].to_string();
        let single = [series["value"].clone()];
        let points = series["values"].as_array().map_or(single.as_slice(), Vec::as_slice);
        for point in points {
            let value = point[1].as_str().unwrap_or_default();
            let value = value.trim_start_matches('+').parse().unwrap_or(f64::NAN);
            all.insert((labels.clone(), point[0].to_string()), value);
        }
    }
    Ok(all)
}
