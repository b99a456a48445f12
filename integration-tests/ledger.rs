//! What was sent, what was acknowledged, and what a server must therefore have.
//! Values follow from series and time, so a wrong one is seen without remembering any.

use std::{
    fmt,
    ops::Range,
    time::{SystemTime, UNIX_EPOCH},
};

use prom_testkit::{WriteRequest, WriteSeries};

use crate::{
    harness::{eventually, post},
    random::mix,
};

const SERIES_COUNT: u64 = 24;
/// Time between two samples of a series.
const STEP_MS: i64 = 15_000;
/// How much there is room for: samples come in much faster than time passes, from here to now.
const DAYS: i64 = 10;

/// All samples of the run, by number of their step: every series has one at every step.
#[derive(Debug)]
pub(crate) struct Ledger {
    begin_ms: i64,
    steps_count_max: u64,
    next_step: u64,
    acknowledged: Vec<Range<u64>>,
    /// Passed over, to be sent later or never.
    holes: Vec<Range<u64>>,
    /// Sent, and not answered: all of it is stored or nothing.
    open: Option<Range<u64>>,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Batch {
    begin_ms: i64,
    steps: Range<u64>,
}

/// What a server has of the ledger.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) found_count: u64,
    pub(crate) lost_count: u64,
    pub(crate) first_lost: Option<(u64, i64)>,
    /// Series and time of samples that were never sent, or with another value.
    pub(crate) wrong: Vec<(String, i64, String)>,
    /// A part of the unanswered request is there, a part is not.
    pub(crate) is_torn: bool,
    is_open_stored: bool,
}

impl Ledger {
    #[expect(clippy::disallowed_methods, reason = "samples are sent for times before now")]
    pub(crate) fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        let begin_ms = (now / STEP_MS - DAYS * 86_400_000 / STEP_MS) * STEP_MS;
        let steps_count_max = ((now - begin_ms) / STEP_MS) as u64;
        let acknowledged = Vec::new();
        let holes = Vec::new();
        Self { begin_ms, steps_count_max, next_step: 0, acknowledged, holes, open: None }
    }

    /// Whether another request is before now.
    pub(crate) fn has_room(&self) -> bool {
        self.next_step + 1_000 < self.steps_count_max
    }

    /// How many steps have been sent.
    pub(crate) fn steps_count(&self) -> u64 {
        self.next_step
    }

    /// Hours of samples.
    pub(crate) fn hours(&self) -> u64 {
        self.next_step * STEP_MS.unsigned_abs() / 3_600_000
    }

    /// The next request; it counts as unanswered.
    pub(crate) fn next_batch(&mut self, steps_count: u64) -> Batch {
        let steps = self.next_step..self.next_step + steps_count;
        self.next_step = steps.end;
        self.open = Some(steps.clone());
        Batch { begin_ms: self.begin_ms, steps }
    }

    /// Passes over so many steps.
    pub(crate) fn leave_hole(&mut self, steps_count: u64) {
        let steps = self.next_step..self.next_step + steps_count;
        self.next_step = steps.end;
        self.holes.push(steps);
    }

    /// A request for steps that were passed over, at most so many before the newest one; which, the number
    /// chooses. It counts as unanswered.
    pub(crate) fn late_batch(&mut self, choice: u64, steps_back_max: u64) -> Option<Batch> {
        let oldest = self.next_step.saturating_sub(steps_back_max);
        self.holes.retain(|steps| steps.start >= oldest);
        let count = self.holes.len() as u64;
        let steps = self.holes.swap_remove(choice.checked_rem(count)? as usize);
        self.open = Some(steps.clone());
        Some(Batch { begin_ms: self.begin_ms, steps })
    }

    pub(crate) fn acknowledge(&mut self, batch: &Batch) {
        self.open = None;
        match self.acknowledged.last_mut().filter(|last| last.end == batch.steps.start) {
            Some(last) => last.end = batch.steps.end,
            None => self.acknowledged.push(batch.steps.clone()),
        }
    }

    /// The server said that it has stored nothing of it.
    pub(crate) fn take_back(&mut self, batch: &Batch) {
        self.open = None;
        self.next_step = batch.steps.start;
    }

    /// After a restart it is known whether the unanswered request was stored.
    pub(crate) fn settle(&mut self, verdict: &Verdict) {
        let Some(steps) = self.open.take() else { return };
        if verdict.is_open_stored {
            self.acknowledge(&Batch { begin_ms: self.begin_ms, steps });
        }
    }

    /// Asks a server for everything.
    #[track_caller]
    pub(crate) fn verify(&self, address: &str) -> Verdict {
        let end_ms = self.begin_ms + (self.next_step + 1) as i64 * STEP_MS;
        let range_s = (self.next_step + 4) * STEP_MS.unsigned_abs() / 1000;
        let form = format!("time={}&query=chaos[{range_s}s]", end_ms / 1000);
        let answer = eventually("what a query met damaged is mended", || {
            let answer = post(address, "/api/v1/query", &form).unwrap();
            let is_damaged = answer.status == 500 && answer.body.contains(": corruption at offset");
            (!is_damaged).then_some(answer)
        });
        assert_eq!(answer.status, 200, "{}", answer.body);
        let answer = answer.json();
        let result = answer["data"]["result"].as_array().unwrap();
        let mut verdict = Verdict {
            found_count: 0,
            lost_count: 0,
            first_lost: None,
            wrong: Vec::new(),
            is_torn: false,
            is_open_stored: false,
        };
        let mut found = vec![vec![false; self.next_step as usize]; SERIES_COUNT as usize];
        for series in result {
            let name = series["metric"]["series"].as_str().unwrap_or_default();
            for pair in series["values"].as_array().into_iter().flatten() {
                let time_ms = (pair[0].as_f64().unwrap() * 1000.0).round() as i64;
                let value = pair[1].as_str().unwrap();
                match self.find(name, time_ms, value) {
                    Some((series, step)) => found[series][step] = true,
                    None => verdict.wrong.push((name.to_owned(), time_ms, value.to_owned())),
                }
            }
        }
        self.judge(&found, &mut verdict);
        verdict
    }

    /// Series and step of a sample as it was sent.
    fn find(&self, name: &str, time_ms: i64, value: &str) -> Option<(usize, usize)> {
        let series: u64 = name.parse().ok().filter(|series| *series < SERIES_COUNT)?;
        let since_ms = time_ms - self.begin_ms;
        let step = u64::try_from(since_ms / STEP_MS).ok().filter(|step| *step < self.next_step)?;
        let is_sent = self.acknowledged.iter().chain(&self.open).any(|steps| steps.contains(&step));
        let is_right = since_ms % STEP_MS == 0
            && value.parse::<f64>().ok()?.to_bits() == value_at(series, step).to_bits();
        (is_sent && is_right).then_some((series as usize, step as usize))
    }

    fn judge(&self, found: &[Vec<bool>], verdict: &mut Verdict) {
        for (series, found) in found.iter().enumerate() {
            verdict.found_count += found.iter().filter(|is_found| **is_found).count() as u64;
            for step in self.acknowledged.iter().cloned().flatten() {
                if !found[step as usize] {
                    verdict.lost_count += 1;
                    let time_ms = self.begin_ms + step as i64 * STEP_MS;
                    verdict.first_lost.get_or_insert((series as u64, time_ms));
                }
            }
        }
        let Some(open) = &self.open else { return };
        let of = |series: &Vec<bool>| {
            let is_found = |step: u64| series[step as usize];
            (open.clone().all(is_found), open.clone().any(is_found))
        };
        verdict.is_open_stored = found.iter().all(|series| of(series).0);
        verdict.is_torn = !verdict.is_open_stored && found.iter().any(|series| of(series).1);
    }
}

impl Verdict {
    /// Panics unless all that was acknowledged is there, and nothing that was not sent.
    #[track_caller]
    pub(crate) fn assert_whole(&self, when: &str) {
        println!("{when}: {self}");
        assert!(self.wrong.is_empty(), "{when}: wrong samples: {:?}", self.wrong);
        assert_eq!(self.lost_count, 0, "{when}: first lost: {:?}", self.first_lost);
        assert!(!self.is_torn, "{when}: a part of a request is there");
    }
}

impl Batch {
    /// The body of the request.
    pub(crate) fn body(&self) -> Vec<u8> {
        let mut request = WriteRequest::default();
        for series in 0..SERIES_COUNT {
            let at = |step: u64| (self.begin_ms + step as i64 * STEP_MS, value_at(series, step));
            let floats: Vec<_> = self.steps.clone().map(at).collect();
            let (name, kind) = (series.to_string(), kind_of(series).to_string());
            let labels = [("__name__", "chaos"), ("kind", &*kind), ("series", &*name)];
            request.push(WriteSeries { labels: &labels, floats: &floats, ..Default::default() });
        }
        request.body()
    }
}

fn kind_of(series: u64) -> u64 {
    series % 4
}

/// Constant, counting, rough and noisy series: each kind of chunk coding is met.
fn value_at(series: u64, step: u64) -> f64 {
    let noise = mix(series << 40 | step);
    match kind_of(series) {
        0 => series as f64,
        1 => (step * 15 + noise % 7) as f64,
        2 => (noise % 1000) as f64 / 8.0,
        _ => f64::from_bits(0x3ff0_0000_0000_0000 | noise >> 12) - 1.5,
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { found_count, lost_count, wrong, is_open_stored, .. } = self;
        let wrong_count = wrong.len();
        write!(f, "{found_count} samples found, {lost_count} lost, {wrong_count} wrong")?;
        if *is_open_stored { write!(f, ", the unanswered request is stored") } else { Ok(()) }
    }
}
