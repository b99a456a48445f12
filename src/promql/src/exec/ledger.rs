//! What each operator did, and what the reference's evaluator would have held at once for it.
//!
//! Operators here hold far fewer samples than the reference's, which computes whole matrices.
//! So that a query refused there is refused here too, its peak is computed from the counts.
//! Compat: Prometheus `promql/engine.go`, `currentSamples`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::{QueryError, plan::Grid};

/// Index of an operator's account.
pub(crate) type AccountId = usize;

/// Accounts of one query.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    accounts: Mutex<Vec<Account>>,
}

/// How an operator evaluates in the reference, and the accounts of its operands in their order.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// Reads instant samples.
    Select,
    /// Reads the times of instant samples.
    SelectTimes,
    /// Reads windows, of storage or of a subquery.
    Window { args: Vec<AccountId>, inner: Option<AccountId> },
    /// Holds its operands and its result.
    Combine(Vec<AccountId>),
    /// Holds its operands, then its result.
    Fold(Vec<AccountId>),
    /// Repeats a single evaluation.
    Once(AccountId),
    /// Changes its operand where it is.
    InPlace(AccountId),
}

#[derive(Debug)]
struct Account {
    shape: Shape,
    grid: Grid,
    tally: Tally,
}

/// Counts of one operator.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Samples of the result.
    pub(crate) points: u64,
    /// Samples looked at, each window in full.
    pub(crate) queryable: u64,
    /// Samples read.
    pub(crate) read: u64,
    /// What windows add to what is held, by runs of series.
    pub(crate) runs: Vec<Run>,
    /// `queryable` and `read` by step, where they are wanted.
    pub(crate) by_step: Vec<(u64, u64)>,
}

/// Series that follow one another. The reference computes them in order and holds the results of all
/// before and the window of one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    first: usize,
    /// Behind the last.
    next: usize,
    points: u64,
    /// The most held since the first series began.
    peak: u64,
}

/// Totals of a whole query.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) queryable: u64,
    pub(crate) read: u64,
    pub(crate) by_step: Vec<(u64, u64)>,
}

impl Ledger {
    pub(crate) fn open(&self, shape: Shape, grid: Grid) -> AccountId {
        let mut accounts = self.lock();
        accounts.push(Account { shape, grid, tally: Tally::default() });
        accounts.len() - 1
    }

    /// Adds counts to an account; fails as soon as its result alone is over the limit.
    pub(crate) fn add(
        &self,
        id: AccountId,
        tally: &Tally,
        samples_count_max: u64,
    ) -> Result<(), QueryError> {
        let mut accounts = self.lock();
        let account = &mut accounts[id].tally;
        account.add(tally);
        let peak = tally.runs.iter().map(|run| run.peak).max().unwrap_or_default();
        if account.points.max(peak) > samples_count_max {
            return Err(QueryError::too_many_samples());
        }
        Ok(())
    }

    /// The most samples that the reference would hold for the query at `root`.
    pub(crate) fn peak(&self, root: AccountId) -> u64 {
        let mut peak = 0;
        weigh(&self.lock(), root, 0, &mut peak);
        peak
    }

    pub(crate) fn totals(&self, root: AccountId) -> Totals {
        totals(&self.lock(), root)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    pub(crate) fn add(&mut self, other: &Self) {
        self.points += other.points;
        self.queryable += other.queryable;
        self.read += other.read;
        self.runs.extend_from_slice(&other.runs);
        add_steps(&mut self.by_step, &other.by_step);
    }

    /// Counts a series whose windows were computed: its largest window and the one that was left.
    pub(crate) fn add_windows(&mut self, index: usize, points: u64, largest: u64, last: u64) {
        let run = Run { first: index, next: index + 1, points, peak: largest.max(points + last) };
        match self.runs.last_mut() {
            Some(before) if before.next == index => before.append(&run),
            _ => self.runs.push(run),
        }
    }

    /// The most that is held while the series are computed in order.
    fn windows_peak(&self) -> u64 {
        let mut runs = self.runs.clone();
        runs.sort_unstable_by_key(|run| run.first);
        let whole = runs.into_iter().reduce(|mut whole, run| {
            whole.append(&run);
            whole
        });
        whole.map_or(0, |whole| whole.peak)
    }

    pub(crate) fn clear(&mut self) {
        let (mut by_step, mut runs) =
            (std::mem::take(&mut self.by_step), std::mem::take(&mut self.runs));
        by_step.clear();
        runs.clear();
        *self = Self { by_step, runs, ..Self::default() };
    }
}

impl Run {
    fn append(&mut self, other: &Self) {
        self.peak = self.peak.max(self.points + other.peak);
        self.points += other.points;
        self.next = other.next;
    }
}

/// Evaluates the account as the reference would, `base` samples being held already.
/// Returns what is held afterwards.
fn weigh(accounts: &[Account], id: AccountId, base: u64, peak: &mut u64) -> u64 {
    let account = &accounts[id];
    let points = account.tally.points;
    let (held, after) = match &account.shape {
        Shape::Select => (points, points),
        Shape::SelectTimes => (points + points_per_step(accounts, id), points),
        Shape::Window { args, inner } => {
            let inner = inner.map_or(0, |inner| weigh(accounts, inner, base, peak));
            let args = weigh_all(accounts, args, base + inner, peak);
            (inner + args + account.tally.windows_peak(), args + points)
        }
        Shape::Combine(operands) => {
            let gathered: u64 = operands.iter().map(|id| points_per_step(accounts, *id)).sum();
            (weigh_all(accounts, operands, base, peak) + points + gathered, points)
        }
        Shape::Fold(operands) => (weigh_all(accounts, operands, base, peak).max(points), points),
        Shape::Once(inner) => (weigh(accounts, *inner, base, peak).max(points), points),
        Shape::InPlace(operand) => {
            let held = weigh(accounts, *operand, base, peak);
            (held, held)
        }
    };
    *peak = (*peak).max(base + held);
    after
}

/// Samples of a result at one step; the reference copies those of each operand before it combines them.
fn points_per_step(accounts: &[Account], id: AccountId) -> u64 {
    let account = &accounts[id];
    match account.shape {
        Shape::InPlace(operand) => points_per_step(accounts, operand),
        _ => account.tally.points.div_ceil(account.grid.count.max(1) as u64),
    }
}

fn weigh_all(accounts: &[Account], ids: &[AccountId], base: u64, peak: &mut u64) -> u64 {
    ids.iter().fold(0, |held, id| held + weigh(accounts, *id, base + held, peak))
}

fn totals(accounts: &[Account], id: AccountId) -> Totals {
    let account = &accounts[id];
    let own = &account.tally;
    let mut sum = Totals { queryable: own.queryable, read: own.read, by_step: own.by_step.clone() };
    match &account.shape {
        Shape::Select | Shape::SelectTimes => {}
        Shape::Window { args, inner } => {
            args.iter().for_each(|arg| sum.add(&totals(accounts, *arg)));
            // The windows count the samples of a subquery; what it read itself is all that is added.
            sum.read += inner.map_or(0, |inner| totals(accounts, inner).read);
        }
        Shape::Combine(operands) | Shape::Fold(operands) => {
            operands.iter().for_each(|operand| sum.add(&totals(accounts, *operand)));
        }
        Shape::InPlace(operand) => sum.add(&totals(accounts, *operand)),
        Shape::Once(inner) => {
            let once = totals(accounts, *inner);
            sum.queryable += once.queryable * account.grid.count as u64;
            sum.read += once.read;
            if !once.by_step.is_empty() {
                let mut by_step = vec![(once.queryable, 0); account.grid.count];
                if let Some(first) = by_step.first_mut() {
                    first.1 = once.read;
                }
                add_steps(&mut sum.by_step, &by_step);
            }
        }
    }
    sum
}

impl Totals {
    fn add(&mut self, other: &Self) {
        self.queryable += other.queryable;
        self.read += other.read;
        add_steps(&mut self.by_step, &other.by_step);
    }
}

fn add_steps(sum: &mut Vec<(u64, u64)>, other: &[(u64, u64)]) {
    if sum.len() < other.len() {
        sum.resize(other.len(), (0, 0));
    }
    for (sum, other) in sum.iter_mut().zip(other) {
        sum.0 += other.0;
        sum.1 += other.1;
    }
}
