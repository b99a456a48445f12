//! `absent` and `absent_over_time`: one where there is nothing.
//! Compat: Prometheus `promql/functions.go`, `createLabelsForAbsentFunction`.

use prom_model::{Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher};

use super::{
    Bound, Ctx, Operator, Rows, Scratch,
    drain::for_each_row,
    ledger::AccountId,
    row::{Bitmap, Row},
};
use crate::{QueryError, plan::Grid};

/// One series that is there at the steps where the operand is not.
pub(super) struct Absent {
    pub(super) operand: Bound,
    pub(super) account: AccountId,
}

struct AbsentRows {
    present: Bitmap,
    grid: Grid,
    account: AccountId,
}

impl Operator for Absent {
    fn open(self: Box<Self>, ctx: &Ctx<'_>) -> Result<Box<dyn Rows>, QueryError> {
        let operand = self.operand.open(ctx)?;
        let grid = operand.grid;
        let mut present = Bitmap::empty(grid.count);
        for_each_row(ctx, &*operand.rows, operand.series.len(), grid.count, |_, row| {
            row.mark(&mut present);
            Ok(())
        })?;
        Ok(Box::new(AbsentRows { present, grid, account: self.account }))
    }
}

impl Rows for AbsentRows {
    fn read(
        &self,
        _index: usize,
        row: &mut Row,
        scratch: &mut Scratch<'_>,
    ) -> Result<(), QueryError> {
        row.fill(self.grid.count, 1.0);
        row.present_mut().subtract(&self.present);
        scratch.tally(self.account).points += row.present().ones() as u64;
        scratch.tick(self.grid.count)
    }
}

/// Labels that the selector asks to be equal to one value.
pub(super) fn absent_labels(matchers: &[Matcher]) -> Labels {
    let mut builder = LabelsBuilder::default();
    let mut seen: Vec<&str> = Vec::new();
    for matcher in matchers {
        let name = matcher.name();
        if name == METRIC_NAME {
            continue;
        }
        if matcher.op() == MatchOp::Equal && !seen.contains(&name) {
            builder.set(name, matcher.value());
            seen.push(name);
        } else {
            // Asked for twice, a label has no one value.
            builder.remove(name);
        }
    }
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_those_asked_for_once() {
        let check = |matchers: &[Matcher], expected: &str| {
            assert_eq!(absent_labels(matchers).to_string(), expected);
        };
        let name = Matcher::equal(METRIC_NAME, "up");
        let job = Matcher::equal("job", "a");
        let regex = Matcher::new("x", MatchOp::Regex, "y.*").expect("valid");
        check(&[name.clone(), job.clone()], r#"{job="a"}"#);
        check(&[name, job, regex, Matcher::equal("job", "b")], "{}");
    }
}
