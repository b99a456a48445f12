//! The event loop that moves a service through `states/lifecycle.yaml`. It decides nothing that the
//! table decides: it makes events of what happens, looks the transition up, publishes and tells it, and
//! begins what the new state is for.

mod reload;
mod signals;
mod status;
mod steps;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use prom_telemetry::clock;
use sd_notify::NotifyState;
use tokio::runtime::{self, Runtime};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

use crate::handle::{Handle, Published, Shared};
use crate::inbox::Raised;
use crate::machine::lifecycle::{Event, State};
use crate::machine::{Ending, Exit, Machine, Probe, Reaction, Transition, Watchdog};
use crate::metrics::Metrics;
use crate::panic;
use crate::service::{Options, Service};
use crate::systemd::{Notifier, Sockets};
use crate::view::{ConditionView, HISTORY_COUNT_MAX, Passage};

use reload::Reload;
use signals::{Signal, Signals};
use status::Texts;
use steps::{Answer, Closing, Parts, RunningStep, answer_of};

/// How often the driver looks at hearts, progress and facts when nothing happens.
const TICK: Duration = Duration::from_secs(1);

/// The exit code when the system does not even let us begin (EX_OSERR).
const EXIT_SYSTEM: u8 = 71;

/// The exit code of a fault that the table gives none (EX_SOFTWARE).
const EXIT_INTERNAL: u8 = 70;

/// Runs a service from here to its end, and returns the exit code that `states/lifecycle.yaml` gives
/// to that end. Call it first thing in `main`, before other threads exist: it takes over the sockets
/// that systemd passes.
pub fn run<S: Service>(service: S, options: &Options) -> ExitCode {
    panic::install_hook();
    let sockets = Sockets::from_environment();
    let notifier = Notifier::from_environment();
    let runtime = match build_runtime(options) {
        Ok(runtime) => runtime,
        Err(error) => {
            let reason = format!("cannot start the runtime: {error}");
            tracing::error!(err = %error, "Cannot start the runtime");
            notifier.send(&[NotifyState::Status(&reason)]);
            return ExitCode::from(EXIT_SYSTEM);
        }
    };
    let exit_code = runtime.block_on(async {
        let signals = match Signals::of_the_system() {
            Ok(signals) => signals,
            Err(error) => {
                tracing::error!(err = %error, "Cannot listen for signals");
                return EXIT_SYSTEM;
            }
        };
        let surroundings =
            Surroundings { sockets, notifier, signals, watchdog: sd_notify::watchdog_enabled() };
        Driver::new(service, options, surroundings).drive().await
    });
    // What still runs past its deadline is not waited for.
    runtime.shutdown_background();
    ExitCode::from(exit_code)
}

fn build_runtime(options: &Options) -> std::io::Result<Runtime> {
    let mut builder = runtime::Builder::new_multi_thread();
    if let Some(count) = options.worker_threads_count {
        builder.worker_threads(count.max(1));
    }
    builder.enable_all().build()
}

/// What the world gives to a driver; a test gives its own.
struct Surroundings {
    sockets: Sockets,
    notifier: Notifier,
    signals: Signals,
    watchdog: Option<Duration>,
}

/// Everything that can reach the loop from outside.
enum Stimulus<S: Service> {
    Signal(Signal),
    Raised(Vec<Raised>),
    /// A step has ended; the error is the description of its panic.
    Answered(RunningStep<S>, Result<Answer<S>, String>),
    TasksEnded,
    Deadline(Event),
    Tick,
}

struct Driver<S: Service> {
    service: Arc<S>,
    handle: Handle,
    metrics: Metrics,
    signals: Signals,
    watchdog: Option<Duration>,
    stop_deadline: Option<Duration>,

    state: State,
    entered: Instant,
    deadline: Option<(Instant, Event)>,
    /// Events that wait to be offered to the current state.
    offers: VecDeque<Raised>,
    deferred: Vec<Raised>,
    conditions: Vec<Raised>,
    verdict: Option<Verdict>,

    parts: Parts<S>,
    step: Option<RunningStep<S>>,
    reload: Reload,
    closing: Closing,

    texts: Texts,
    ticks: Interval,
    fed: Option<Instant>,
    has_stop_signal: bool,
}

/// What the first fault says about the end of the process.
#[derive(Debug, Clone)]
struct Verdict {
    exit_code: u8,
    errno: Option<i32>,
    reason: String,
}

impl<S: Service> Driver<S> {
    fn new(service: S, options: &Options, surroundings: Surroundings) -> Self {
        let Surroundings { sockets, notifier, signals, watchdog } = surroundings;
        let name = service.name();
        let runtime = runtime::Handle::current();
        let handle = Handle::new(&name, options.enable_lifecycle, notifier, runtime);
        let metrics = Metrics::register(&options.registry, &handle);
        let tick = watchdog.map_or(TICK, |period| (period / 4).min(TICK));
        let mut ticks = interval(tick.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            texts: Texts::new(service.places()),
            service: Arc::new(service),
            handle,
            metrics,
            signals,
            watchdog,
            stop_deadline: options.stop_deadline,
            state: State::INITIAL,
            entered: Instant::now(),
            deadline: None,
            offers: VecDeque::new(),
            deferred: Vec::new(),
            conditions: Vec::new(),
            verdict: None,
            parts: Parts::new(sockets),
            step: None,
            reload: Reload::default(),
            closing: Closing::NotYet,
            ticks,
            fed: None,
            has_stop_signal: false,
        }
    }

    /// The whole life. Returns the exit code.
    async fn drive(mut self) -> u8 {
        let published = self.shared().published.load_full();
        self.metrics.enter(self.state, false, published.since_ms);
        self.announce(&[]);
        self.begin_work();
        while !self.state.is_terminal() {
            let stimulus = self.next_stimulus().await;
            self.take_in(stimulus);
            self.settle();
        }
        self.reload.dismiss();
        reload::refuse_wishes(self.shared());
        self.shared().notifier.send_last_words();
        match self.state.row().ending {
            Some(Ending::Success) => 0,
            Some(Ending::Failure) | None => {
                self.verdict.map_or(EXIT_INTERNAL, |verdict| verdict.exit_code)
            }
        }
    }

    fn shared(&self) -> &Shared {
        self.handle.shared()
    }

    /// I2: this is the only way in.
    async fn next_stimulus(&mut self) -> Stimulus<S> {
        let shared = self.handle.shared();
        let deadline = self.deadline;
        let until_deadline = async {
            match deadline {
                Some((at, event)) => {
                    tokio::time::sleep_until(at).await;
                    event
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            signal = self.signals.next() => Stimulus::Signal(signal),
            raised = shared.inbox.next() => Stimulus::Raised(raised),
            (step, answer) = answer_of(&mut self.step) => Stimulus::Answered(step, answer),
            () = shared.supervisor.ended(), if self.closing == Closing::Tasks => Stimulus::TasksEnded,
            event = until_deadline => Stimulus::Deadline(event),
            _ = self.ticks.tick() => Stimulus::Tick,
        }
    }

    fn take_in(&mut self, stimulus: Stimulus<S>) {
        match stimulus {
            Stimulus::Signal(Signal::Terminate(name)) => self.take_stop_signal(name),
            Stimulus::Signal(Signal::Reload) => {
                // Nobody waits for the outcome of a signal; it is in the log and the status line.
                drop(self.handle.request_reload(crate::ReloadCause::Signal));
            }
            Stimulus::Signal(Signal::Dump) => self.dump(),
            Stimulus::Raised(raised) => {
                for raised in raised {
                    self.take_raised(raised);
                }
            }
            Stimulus::Answered(step, answer) => self.take_answer(step, answer),
            Stimulus::TasksEnded => self.close(),
            Stimulus::Deadline(event) => {
                self.deadline = None;
                let lasted_s = self.entered.elapsed().as_secs();
                let reason = format!("{} for {lasted_s}s{}", self.state, self.waiting());
                if event == Event::ReloadOverdue {
                    self.give_up_reload(&reason);
                }
                self.offer(event, reason);
            }
            Stimulus::Tick => self.tick(),
        }
    }

    /// The first asks for an orderly end, the second for an immediate one.
    fn take_stop_signal(&mut self, name: &str) {
        if self.has_stop_signal {
            return self.offer(Event::StopInsisted, format!("{name} again{}", self.waiting()));
        }
        self.has_stop_signal = true;
        // systemd gives up a start that takes too long by the same signal; say what it was busy with.
        let reason = match &self.step {
            Some(step) => format!("{name} while {}", step.name()),
            None => name.to_owned(),
        };
        self.offer(Event::StopSignalled, reason);
    }

    /// An event from outside. A condition is remembered until the event that lifts it, and a lifting
    /// event counts only when it lifts the last condition.
    fn take_raised(&mut self, raised: Raised) {
        let lifts = |known: &Event| State::event_row(*known).until == Some(raised.event);
        let is_recovery = State::EVENTS.iter().any(lifts);
        if State::event_row(raised.event).until.is_some() {
            match self.conditions.iter_mut().find(|known| known.event == raised.event) {
                Some(known) => known.reason.clone_from(&raised.reason),
                None => self.conditions.push(raised.clone()),
            }
        } else if is_recovery {
            self.conditions.retain(|known| !lifts(&known.event));
        }
        let conditions = self
            .conditions
            .iter()
            .map(|known| ConditionView { event: known.event, reason: known.reason.clone() });
        self.shared().conditions.store(Arc::new(conditions.collect()));
        if !is_recovery || self.conditions.is_empty() {
            self.offers.push_back(raised);
        }
    }

    fn offer(&mut self, event: Event, reason: impl Into<String>) {
        self.offers.push_back(Raised { event, reason: reason.into(), errno: None });
    }

    /// Offers everything that waits to the current state, until nothing is left that moves it.
    fn settle(&mut self) {
        while let Some(raised) = self.offers.pop_front() {
            if raised.event == Event::ReloadAsked && !self.shared().inbox.has_wish() {
                continue;
            }
            match self.state.reaction(raised.event) {
                Reaction::Moves(transition) => self.pass(transition, raised),
                Reaction::Defers => {
                    if !self.deferred.iter().any(|known| known.event == raised.event) {
                        self.deferred.push(raised);
                    }
                }
                Reaction::Ignores => self.ignore(&raised),
            }
        }
    }

    fn ignore(&mut self, raised: &Raised) {
        let Raised { event, reason, .. } = raised;
        tracing::debug!(state = %self.state, event = %event, reason = %reason, "Event ignored");
        if *event == Event::ReloadAsked {
            reload::refuse_wishes(self.shared());
        }
    }

    /// I3, I4: one transition, published, then counted, logged and told, each once.
    fn pass(&mut self, transition: &'static Transition<State, Event>, raised: Raised) {
        let Raised { event, reason, errno } = raised;
        let row = State::event_row(event);
        if let Some(Exit::Code(exit_code)) = row.exit {
            // I5: the first fault decides.
            let errno = errno.or(row.errno);
            self.verdict.get_or_insert(Verdict { exit_code, errno, reason: reason.clone() });
        }
        let now_ms = clock::now_ms();
        let lasted = self.entered.elapsed();
        let passage = Passage {
            at_ms: now_ms,
            from: transition.from,
            lasted_ms: u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX),
            event,
            to: transition.to,
            reason: reason.clone(),
        };
        self.publish(passage);
        self.state = transition.to;
        self.entered = Instant::now();
        let deadline = self.state.row().deadline.map(|(after, event)| match self.state {
            State::Stopping => (self.stop_deadline.unwrap_or(after), event),
            _ => (after, event),
        });
        self.deadline = deadline.map(|(after, event)| (self.entered + after, event));
        self.metrics.count(transition);
        let is_ready = self.state.row().probe == Probe::Ready;
        self.metrics.enter(self.state, is_ready, now_ms);
        log(transition, &reason, lasted);
        self.texts.set_reason(&reason);
        self.texts.age_facts();
        self.begin_work();
        let mut news = Vec::new();
        if self.state.row().ending == Some(Ending::Failure) {
            let errno = self.verdict.as_ref().and_then(|verdict| verdict.errno);
            news.extend(errno.and_then(|e| u32::try_from(e).ok()).map(NotifyState::Errno));
        }
        self.announce(&news);
        self.reload.tell();
        self.offers.extend(self.deferred.drain(..));
        self.offers.extend(self.conditions.iter().cloned());
    }

    fn publish(&self, passage: Passage) {
        let shared = self.shared();
        let mut history = shared.published.load().history.clone();
        if history.len() >= HISTORY_COUNT_MAX {
            history.pop_front();
        }
        let published = Published {
            state: passage.to,
            since_ms: passage.at_ms,
            reason: passage.reason.clone(),
            history: {
                history.push_back(Arc::new(passage));
                history
            },
        };
        shared.published.store(Arc::new(published));
    }

    /// Begins what the state is for. I1: a new state has to be thought of here.
    fn begin_work(&mut self) {
        match self.state {
            State::Init => self.begin_load(),
            State::ConfigLoaded => self.begin_open(),
            State::StorageReady => self.begin_bind(),
            State::Bound => self.begin_start(),
            State::Ready | State::Degraded => {}
            State::Reloading => self.begin_reload(),
            State::Stopping => self.begin_stop(),
            State::Stopped | State::Failed => {}
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        let watches_hearts = match self.state.row().watchdog {
            Watchdog::Hearts => true,
            Watchdog::Always => false,
        };
        let silent = self.shared().hearts.silent(now);
        let is_known = self.conditions.iter().any(|known| known.event == Event::HeartSilent);
        let is_silent = watches_hearts && !silent.is_empty();
        if is_silent {
            let reason = silent.join(", ");
            self.take_raised(Raised { event: Event::HeartSilent, reason, errno: None });
        } else if is_known {
            let reason = "all loops make progress".to_owned();
            self.take_raised(Raised { event: Event::HeartResumed, reason, errno: None });
        }
        self.feed_watchdog(now, is_silent);
        self.refresh_status(now);
        self.shared().notifier.flush();
    }

    /// I8: fed twice in its period, so that one late tick does no harm.
    fn feed_watchdog(&mut self, now: Instant, is_silent: bool) {
        let Some(period) = self.watchdog else { return };
        let is_due = self.fed.is_none_or(|fed| now.saturating_duration_since(fed) >= period / 2);
        if is_due && !is_silent {
            self.fed = Some(now);
            self.shared().notifier.send(&[NotifyState::Watchdog]);
        }
    }

    /// What SIGQUIT asks for: everything that runs, in the log.
    fn dump(&self) {
        let shared = self.shared();
        let step = self.step.as_ref().map_or("none", RunningStep::name);
        let tasks = shared.supervisor.names().join(", ");
        tracing::info!(state = %self.state, step = %step, tasks = %tasks, "State asked for by SIGQUIT");
        for heart in shared.hearts.view() {
            let silence_ms = heart.silence_ms;
            tracing::info!(heart = %heart.name, silence_ms, is_silent = heart.is_silent, "Heart");
        }
    }
}

fn log(transition: &Transition<State, Event>, reason: &str, lasted: Duration) {
    let Transition { from, event, to } = transition;
    let row = State::event_row(*event);
    let message = row.log;
    let is_fault = row.exit.is_some() || to.row().ending == Some(Ending::Failure);
    let is_warning = row.until.is_some()
        || matches!(
            event,
            Event::ReloadRejected | Event::ReloadOverdue | Event::StopSignalled | Event::StopAsked
        );
    if is_fault {
        tracing::error!(from = %from, event = %event, to = %to, lasted = ?lasted, reason = %reason, "{message}");
    } else if is_warning {
        tracing::warn!(from = %from, event = %event, to = %to, lasted = ?lasted, reason = %reason, "{message}");
    } else {
        tracing::info!(from = %from, event = %event, to = %to, lasted = ?lasted, reason = %reason, "{message}");
    }
}
