//! The status line: the template of the state, filled in, and the news to the service manager that go
//! with it. When a line is worth sending is decided here; what it says, in `states/lifecycle.yaml`.

use std::sync::Arc;
use std::time::Duration;

use prom_telemetry::clock;
use sd_notify::NotifyState;
use tokio::time::Instant;

use super::Driver;
use crate::machine::lifecycle::Word;
use crate::machine::{Machine, News, Piece};
use crate::panic;
use crate::service::{Places, Service};
use crate::systemd::one_line;

/// How often the facts of a running service are asked for when nothing else happens.
const FACTS_PERIOD: Duration = Duration::from_secs(5);

/// What the lines are filled in with.
#[derive(Debug)]
pub(super) struct Texts {
    places: Places,
    contents: String,
    facts: String,
    facts_asked: Option<Instant>,
    rejection: Option<String>,
    reason: String,
    /// Reports of the running step that systemd has been told of.
    reports_count: u64,
}

impl Texts {
    pub(super) fn new(places: Places) -> Self {
        Self {
            places,
            contents: String::new(),
            facts: String::new(),
            facts_asked: None,
            rejection: None,
            reason: String::new(),
            reports_count: 0,
        }
    }

    pub(super) fn set_contents(&mut self, contents: String) {
        self.contents = contents;
    }

    pub(super) fn set_reason(&mut self, reason: &str) {
        first_line(reason).clone_into(&mut self.reason);
    }

    /// The configuration was refused for this reason, or accepted.
    pub(super) fn set_rejection(&mut self, reason: Option<&str>) {
        self.rejection = reason.map(|reason| first_line(reason).to_owned());
    }

    /// The next line asks the service anew.
    pub(super) fn age_facts(&mut self) {
        self.facts_asked = None;
    }

    /// Another step runs; its first report will be news.
    pub(super) fn forget_reports(&mut self) {
        self.reports_count = 0;
    }
}

impl<S: Service> Driver<S> {
    /// Tells the service manager that a state was entered, in one datagram.
    pub(super) fn announce(&mut self, more: &[NotifyState<'_>]) {
        let line = self.status_line(Instant::now());
        self.shared().status.store(Arc::new(line.clone()));
        let row = self.state.row();
        let mut news = match row.systemd {
            Some(News::Ready) => vec![NotifyState::Ready],
            Some(News::Reloading) => {
                let now_usec = i128::from(clock::monotonic_usec());
                vec![NotifyState::Reloading, NotifyState::MonotonicUsec(now_usec)]
            }
            Some(News::Stopping) => vec![NotifyState::Stopping],
            None => Vec::new(),
        };
        news.push(NotifyState::Status(&line));
        news.extend(row.extend_timeout.map(extension));
        news.extend_from_slice(more);
        self.shared().notifier.send(&news);
    }

    /// Sends the line if it has changed, and asks for more time if the step has advanced.
    pub(super) fn refresh_status(&mut self, now: Instant) {
        let line = self.status_line(now);
        let mut news = Vec::new();
        let is_new = **self.shared().status.load() != line;
        if is_new {
            self.shared().status.store(Arc::new(line.clone()));
            news.push(NotifyState::Status(&line));
        }
        let reports_count = self.step.as_ref().map_or(0, |step| step.step().reports_count());
        if reports_count > self.texts.reports_count {
            self.texts.reports_count = reports_count;
            news.extend(self.state.row().extend_timeout.map(extension));
        }
        if !news.is_empty() {
            self.shared().notifier.send(&news);
        }
    }

    fn status_line(&mut self, now: Instant) -> String {
        self.renew_facts(now);
        let pieces = self.state.row().status;
        let line: String = pieces.iter().map(|piece| self.fill_in(*piece, now)).collect();
        one_line(&line)
    }

    fn fill_in(&self, piece: Piece<Word>, now: Instant) -> String {
        let texts = &self.texts;
        match piece {
            Piece::Text(text) => text.to_owned(),
            Piece::Word(word) => match word {
                Word::Config => texts.places.config.clone(),
                Word::Storage => texts.places.storage.clone(),
                Word::Contents => texts.contents.clone(),
                Word::Listen => texts.places.listen.clone(),
                Word::Progress => {
                    self.step.as_ref().map(|step| step.step().text(now)).unwrap_or_default()
                }
                Word::Facts => texts.facts.clone(),
                Word::Conditions => {
                    let reasons: Vec<&str> =
                        self.conditions.iter().map(|known| first_line(&known.reason)).collect();
                    reasons.join("; ")
                }
                Word::Rejection => match &texts.rejection {
                    Some(reason) => format!("; last reload rejected: {reason}"),
                    None => String::new(),
                },
                Word::Stage => self.shared().reload_stage().name().to_ascii_lowercase(),
                Word::Reason => match &self.verdict {
                    Some(verdict) => first_line(&verdict.reason).to_owned(),
                    None => texts.reason.clone(),
                },
                Word::Waiting => self.waiting(),
            },
        }
    }

    /// What an end would have to wait for at this moment: `, waiting for ...`, or nothing.
    pub(super) fn waiting(&self) -> String {
        match &self.step {
            Some(step) => format!(", waiting for {}", step.name()),
            None => self.shared().supervisor.waiting(),
        }
    }

    /// The facts of a service that runs, asked for now and then. A service that panics over them has
    /// none, which is no reason to end it.
    fn renew_facts(&mut self, now: Instant) {
        let is_fresh = |asked: Instant| now.saturating_duration_since(asked) < FACTS_PERIOD;
        if self.texts.facts_asked.is_some_and(is_fresh) {
            return;
        }
        let Some(running) = &self.parts.running else { return };
        let facts = panic::catch(|| self.service.facts(running));
        self.texts.facts = facts.unwrap_or_else(|message| format!("no facts: {message}"));
        self.texts.facts_asked = Some(now);
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn extension(extension: Duration) -> NotifyState<'static> {
    NotifyState::ExtendTimeoutUsec(u32::try_from(extension.as_micros()).unwrap_or(u32::MAX))
}
