//! The steps of a service, each on a thread that may block: how they begin, what they answer, and what
//! the answer means as an event. The order of the steps is not known here; the table has it.

use std::sync::Arc;

use tokio::task::JoinHandle;

use super::Driver;
use crate::inbox::Raised;
use crate::machine::Machine;
use crate::machine::lifecycle::{Event, State};
use crate::panic;
use crate::service::{Failure, Preparation, Service};
use crate::step::Step;
use crate::systemd::Sockets;

/// A step that runs. I6: there is at most one.
pub(super) struct RunningStep<S: Service> {
    name: &'static str,
    step: Step,
    answer: JoinHandle<Result<Answer<S>, String>>,
    /// Nobody waits for its answer any more.
    is_abandoned: bool,
}

/// What a step has made, or why not.
pub(super) enum Answer<S: Service> {
    Loaded(Result<S::Config, Failure>),
    /// The storage with its description.
    Opened(Result<(S::Storage, String), Failure>),
    Bound(Result<S::Listeners, Failure>),
    Started(Result<S::Running, Failure>),
    Prepared(Result<Preparation<S::Prepared>, Failure>),
    Committed(String),
    /// Everything is closed; what went wrong doing so.
    Closed(Vec<Failure>),
}

/// What the steps so far have made.
pub(super) struct Parts<S: Service> {
    pub(super) sockets: Sockets,
    pub(super) config: Option<Arc<S::Config>>,
    pub(super) storage: Option<Arc<S::Storage>>,
    pub(super) listeners: Option<S::Listeners>,
    pub(super) running: Option<Arc<S::Running>>,
}

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    NotYet,
    /// A step is told to end.
    Step,
    /// All tasks are told to end.
    Tasks,
    /// The service stops and the storage is closed.
    Storage,
}

/// The end of the running step; never, if none runs.
///
/// # Cancel safety
/// The step stays until it has ended.
pub(super) async fn answer_of<S: Service>(
    step: &mut Option<RunningStep<S>>,
) -> (RunningStep<S>, Result<Answer<S>, String>) {
    let Some(running) = step.as_mut() else { return std::future::pending().await };
    // The body catches its own panics, so only the end of the runtime is left as an error.
    let answer = (&mut running.answer).await.unwrap_or_else(|error| Err(error.to_string()));
    match step.take() {
        Some(running) => (running, answer),
        None => std::future::pending().await,
    }
}

impl<S: Service> RunningStep<S> {
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn step(&self) -> &Step {
        &self.step
    }

    /// Tells the step that it is not wanted any more.
    pub(super) fn abandon(&mut self) {
        self.is_abandoned = true;
        self.step.cancel();
    }
}

impl<S: Service> Parts<S> {
    pub(super) fn new(sockets: Sockets) -> Self {
        Self { sockets, config: None, storage: None, listeners: None, running: None }
    }
}

impl<S: Service> Driver<S> {
    pub(super) fn begin<F>(&mut self, name: &'static str, body: F)
    where
        F: FnOnce(&S, &Step) -> Answer<S> + Send + 'static,
    {
        let step = Step::new(self.handle.clone());
        let (service, in_step) = (Arc::clone(&self.service), step.clone());
        let answer = tokio::task::spawn_blocking(move || panic::catch(|| body(&service, &in_step)));
        self.texts.forget_reports();
        self.step = Some(RunningStep { name, step, answer, is_abandoned: false });
    }

    pub(super) fn begin_load(&mut self) {
        self.begin("loading the configuration", |service, step| {
            Answer::Loaded(service.load_config(step))
        });
    }

    pub(super) fn begin_open(&mut self) {
        let config = self.config();
        self.begin("opening the storage", move |service, step| {
            let storage = service.open_storage(&config, step);
            Answer::Opened(storage.map(|storage| {
                let contents = service.describe_storage(&storage);
                (storage, contents)
            }))
        });
    }

    pub(super) fn begin_bind(&mut self) {
        let config = self.config();
        let sockets = std::mem::take(&mut self.parts.sockets);
        self.begin("binding the listeners", move |service, step| {
            Answer::Bound(service.bind(&config, sockets, step))
        });
    }

    pub(super) fn begin_start(&mut self) {
        let config = self.config();
        let storage = self.parts.storage.clone().expect("StorageReady comes before Bound");
        let listeners = self.parts.listeners.take().expect("Bound is entered with listeners");
        self.begin("starting the components", move |service, step| {
            Answer::Started(service.start(config, &storage, listeners, step))
        });
    }

    /// Tells everything to end, beginning with the step that runs.
    pub(super) fn begin_stop(&mut self) {
        self.shared().stop.cancel();
        self.end_reload();
        self.closing = match &mut self.step {
            Some(step) => {
                step.abandon();
                Closing::Step
            }
            None => Closing::Tasks,
        };
    }

    /// All tasks have ended: stops the service and closes the storage, however far it came.
    pub(super) fn close(&mut self) {
        self.closing = Closing::Storage;
        self.parts.listeners = None;
        let alone = "steps and tasks have ended";
        let running = self.parts.running.take().map(|r| Arc::into_inner(r).expect(alone));
        let storage = self.parts.storage.take().map(|s| Arc::into_inner(s).expect(alone));
        self.begin("closing the storage", move |service, step| {
            let stopped = running.map_or(Ok(()), |running| service.stop(running, step));
            let closed = storage.map_or(Ok(()), |storage| service.close_storage(storage, step));
            Answer::Closed([stopped, closed].into_iter().filter_map(Result::err).collect())
        });
    }

    fn config(&self) -> Arc<S::Config> {
        Arc::clone(self.parts.config.as_ref().expect("Init is left with a configuration"))
    }

    /// Keeps what a step has made and offers what it means.
    pub(super) fn take_answer(&mut self, step: RunningStep<S>, answer: Result<Answer<S>, String>) {
        let panicked = match &answer {
            Err(message) => Some(format!("{} panicked: {message}", step.name)),
            Ok(_) => None,
        };
        if let Some(reason) = &panicked {
            tracing::error!(step = %step.name, err = %reason, "A step has panicked");
        }
        let meaning = match answer {
            Ok(answer) => self.keep(answer),
            Err(_) => None,
        };
        if self.closing == Closing::Step {
            self.closing = Closing::Tasks;
            return;
        }
        if step.is_abandoned {
            // A reload that was overdue has ended after all; the next one may begin.
            if self.state == State::Reloading {
                self.begin_reload();
            }
            return;
        }
        match (meaning, panicked) {
            (Some(failure), _) => self.offer_answer(failure),
            (None, Some(reason)) if self.reload.is_preparing() => self.reject(&reason),
            (None, Some(reason)) => self.offer(Event::InternalFault, reason),
            (None, None) => {}
        }
    }

    /// Keeps what was made. Returns the event, in the form of a failure also where it is none.
    fn keep(&mut self, answer: Answer<S>) -> Option<Failure> {
        let made = |event: Event, reason: &str| Some(Failure::new(event, reason));
        match answer {
            Answer::Loaded(Ok(config)) => {
                self.parts.config = Some(Arc::new(config));
                made(Event::ConfigValid, "configuration is valid")
            }
            Answer::Opened(Ok((storage, contents))) => {
                self.parts.storage = Some(Arc::new(storage));
                let event = made(Event::StorageOpened, &contents);
                self.texts.set_contents(contents);
                event
            }
            Answer::Bound(Ok(listeners)) => {
                self.parts.listeners = Some(listeners);
                made(Event::SocketsBound, "all listeners accept connections")
            }
            Answer::Started(Ok(running)) => {
                self.parts.running = Some(Arc::new(running));
                self.accept_config();
                made(Event::ComponentsStarted, "all components run")
            }
            Answer::Loaded(Err(failure))
            | Answer::Opened(Err(failure))
            | Answer::Bound(Err(failure))
            | Answer::Started(Err(failure)) => Some(failure),
            Answer::Prepared(prepared) => {
                self.take_prepared(prepared);
                None
            }
            Answer::Committed(summary) => {
                self.take_committed(summary);
                None
            }
            Answer::Closed(failures) => Some(self.closed(&failures)),
        }
    }

    fn closed(&self, failures: &[Failure]) -> Failure {
        if let Some(failure) = failures.first() {
            let reasons: Vec<String> = failures.iter().map(ToString::to_string).collect();
            let message = reasons.join("; ");
            return Failure { event: Event::InternalFault, errno: failure.errno, message };
        }
        match &self.verdict {
            None => Failure::new(Event::Drained, self.shared().published.load().reason.clone()),
            Some(verdict) => Failure::new(Event::DrainedAfterFault, verdict.reason.clone()),
        }
    }

    /// A step may answer only with what its state knows.
    fn offer_answer(&mut self, answer: Failure) {
        let Failure { event, errno, message } = answer;
        let (event, reason) = match self.state.next(event).is_some() {
            true => (event, message),
            false => {
                let state = self.state;
                (Event::InternalFault, format!("{event} is no answer in {state}: {message}"))
            }
        };
        self.offers.push_back(Raised { event, reason, errno });
    }
}
