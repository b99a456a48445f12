//! What a service has to offer so that the driver can run it: the steps of its life, and how a step
//! fails. It runs nothing; `driver` calls the steps in the order that `states/lifecycle.yaml` gives.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use prom_telemetry::Registry;

use crate::machine::lifecycle::Event;
use crate::step::{ReloadStep, Step};
use crate::systemd::Sockets;

/// A program that runs until it is told to stop.
///
/// Every step runs on a thread of its own, off the event loop and inside the runtime: it may block,
/// and it may use `tokio`. It should look at [`Step::is_cancelled`] now and then. A step that panics
/// ends the service in order, except for `prepare_reload`, whose panic rejects the reload.
///
/// What the steps make is kept by the driver and handed to the later ones. The storage is closed
/// exactly once, however far the service came.
pub trait Service: Send + Sync + 'static {
    /// The checked configuration.
    type Config: Send + Sync + 'static;
    /// The open storage.
    type Storage: Send + Sync + 'static;
    /// Listeners that accept connections, with nobody serving them yet.
    type Listeners: Send + 'static;
    /// All components, running.
    type Running: Send + Sync + 'static;
    /// A new configuration, prepared by all components.
    type Prepared: Send + 'static;

    /// The name in the texts of the probes, such as `Prometheus Server`.
    fn name(&self) -> Cow<'static, str>;

    /// What the status lines of the first states name.
    fn places(&self) -> Places;

    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// `ConfigMissing`, `ConfigUnreadable`, `ConfigInvalid`.
    fn load_config(&self, step: &Step) -> Result<Self::Config, Failure>;

    /// Opens the storage and makes its head consistent. This one may take long; it reports by
    /// [`Step::report`].
    ///
    /// # Errors
    /// The events of `states/lifecycle.yaml` that begin with `Storage`.
    fn open_storage(&self, config: &Self::Config, step: &Step) -> Result<Self::Storage, Failure>;

    /// The open storage in a few words, such as `12 series, 2 blocks`.
    fn describe_storage(&self, storage: &Self::Storage) -> String;

    /// Takes over or binds all listeners.
    ///
    /// # Errors
    /// `AddressInUse`, `AddressUnavailable`, `BindDenied`, `BindFailed`.
    fn bind(
        &self,
        config: &Self::Config,
        sockets: Sockets,
        step: &Step,
    ) -> Result<Self::Listeners, Failure>;

    /// Starts all components. Their tasks are spawned through [`Step::handle`] and end when
    /// [`Handle::cancellation`](crate::Handle::cancellation) says so.
    ///
    /// # Errors
    /// `StartFailed`.
    fn start(
        &self,
        config: Arc<Self::Config>,
        storage: &Self::Storage,
        listeners: Self::Listeners,
        step: &Step,
    ) -> Result<Self::Running, Failure>;

    /// The service in one line, at this moment: `812/815 targets up, 1.2M series`. Called every few
    /// seconds on the event loop, so it reads counters and does nothing else.
    fn facts(&self, running: &Self::Running) -> String;

    /// Reads, checks and prepares a new configuration beside the running one, without any effect
    /// that can be seen from outside.
    ///
    /// # Errors
    /// Every failure rejects the reload; of the failure only the message counts.
    fn prepare_reload(
        &self,
        running: &Self::Running,
        step: &ReloadStep,
    ) -> Result<Preparation<Self::Prepared>, Failure>;

    /// Takes the prepared configuration over. It cannot fail. Returns what has changed, in a few
    /// words.
    fn commit_reload(&self, running: &Self::Running, prepared: Self::Prepared) -> String;

    /// Ends what is left of the components. All supervised tasks have ended by then.
    ///
    /// # Errors
    /// The message is logged and shown; the storage is closed all the same.
    fn stop(&self, running: Self::Running, step: &Step) -> Result<(), Failure>;

    /// Closes the storage. Called last, and also when the service never came to start.
    ///
    /// # Errors
    /// What has not reached the disk, in words.
    fn close_storage(&self, storage: Self::Storage, step: &Step) -> Result<(), Failure>;
}

/// What the status lines name before anything runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// The configuration file.
    pub config: String,
    /// The directory of the storage.
    pub storage: String,
    /// The addresses to listen on.
    pub listen: String,
}

/// What came of preparing a reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Preparation<P> {
    /// The configuration is the same as the running one.
    Unchanged,
    /// Everything is ready to be taken over.
    Prepared(P),
}

/// How a step fails. The event picks the transition, and with it what systemd is told, the exit code
/// and the state that is entered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What went wrong, in the words of `states/lifecycle.yaml`.
    pub event: Event,
    /// The error number, where the system gave one.
    pub errno: Option<i32>,
    /// The reason that helps: file, line, address, directory. Its first line is the status line.
    pub message: String,
}

/// How the driver runs a service.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the metrics of the lifecycle are registered.
    pub registry: Registry,
    /// `/-/reload` and `/-/quit` do what they say (`--web.enable-lifecycle`).
    pub enable_lifecycle: bool,
    /// Instead of the deadline of `Stopping` in `states/lifecycle.yaml`.
    pub stop_deadline: Option<Duration>,
    /// Threads of the runtime; one per core when absent.
    pub worker_threads_count: Option<usize>,
}

impl Failure {
    /// A failure without an error number; the event may have one of its own.
    pub fn new(event: Event, message: impl Into<String>) -> Self {
        Self { event, errno: None, message: message.into() }
    }

    /// A failure of the system, with its error number.
    pub fn with_io(event: Event, error: &io::Error, message: impl Into<String>) -> Self {
        Self { event, errno: error.raw_os_error(), message: message.into() }
    }
}

impl Options {
    /// With the defaults of Prometheus, and metrics in `registry`.
    pub fn new(registry: Registry) -> Self {
        Self { registry, enable_lifecycle: false, stop_deadline: None, worker_threads_count: None }
    }
}
