//! The handle of the house: what every room may ask of the lifecycle and tell it. It changes no state
//! itself; it leaves a note for the driver, and reads what the driver has published.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use prom_telemetry::clock;
use tokio::runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::blocking::{BlockingError, BlockingPool, PoolLimits};
use crate::heart::{Heart, Hearts};
use crate::inbox::{Inbox, Raised, ReloadOutcome};
use crate::machine::lifecycle::{Event, State};
use crate::machine::{Machine, Probe, reload};
use crate::step::ReloadCause;
use crate::supervisor::Supervisor;
use crate::systemd::{KEPT_PREFIX, Notifier};
use crate::view::{ConditionView, LifecycleView, MachineView, Passage, ReloadView};

/// The pool behind [`Handle::blocking`], for odd jobs; rooms with much work have pools of their own.
const ODD_JOBS: PoolLimits = PoolLimits { workers_count_max: 8, waiting_count_max: 1_024 };

/// What the rest of the house holds of the lifecycle. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

/// Both sides of the handle: the driver writes what is published, everybody reads it.
pub(crate) struct Shared {
    pub(crate) service: String,
    pub(crate) is_lifecycle_enabled: bool,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) supervisor: Supervisor,
    pub(crate) hearts: Hearts,
    pub(crate) notifier: Notifier,
    pub(crate) stop: CancellationToken,
    pub(crate) published: ArcSwap<Published>,
    pub(crate) status: ArcSwap<String>,
    pub(crate) conditions: ArcSwap<Vec<ConditionView>>,
    pub(crate) reload_stage: Arc<Mutex<reload::State>>,
    pub(crate) reload: ArcSwap<LatestReload>,
    is_stop_requested: AtomicBool,
    odd_jobs: BlockingPool,
    runtime: runtime::Handle,
}

/// The state and how it was reached; swapped as one, so that no reader sees half of a transition.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) state: State,
    pub(crate) since_ms: i64,
    pub(crate) reason: String,
    pub(crate) history: VecDeque<Arc<Passage>>,
}

#[derive(Debug, Clone)]
pub(crate) struct LatestReload {
    pub(crate) is_successful: bool,
    pub(crate) attempts_count: u64,
    pub(crate) cause: Option<ReloadCause>,
    pub(crate) outcome: String,
    pub(crate) ended_ms: Option<i64>,
    pub(crate) lasted_ms: u64,
    pub(crate) accepted_ms: Option<i64>,
}

impl Default for LatestReload {
    /// None yet: the start was successful.
    fn default() -> Self {
        Self {
            is_successful: true,
            attempts_count: 0,
            cause: None,
            outcome: String::new(),
            ended_ms: None,
            lasted_ms: 0,
            accepted_ms: None,
        }
    }
}

impl Handle {
    /// A handle without a driver, in a state of your choice: for the tests of the rooms above. Tasks
    /// run, notes are kept and never read, systemd hears nothing.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn detached(service: &str, state: State) -> Self {
        let handle = Self::new(service, false, Notifier::default(), runtime::Handle::current());
        let mut published = Published::clone(&handle.shared.published.load());
        published.state = state;
        handle.shared.published.store(Arc::new(published));
        handle
    }

    pub(crate) fn new(
        service: &str,
        is_lifecycle_enabled: bool,
        notifier: Notifier,
        runtime: runtime::Handle,
    ) -> Self {
        let inbox = Arc::new(Inbox::default());
        let stop = CancellationToken::new();
        let odd_jobs =
            BlockingPool::new("odd jobs".into(), ODD_JOBS, runtime.clone(), stop.clone());
        let published = Published {
            state: State::INITIAL,
            since_ms: clock::now_ms(),
            reason: "started".to_owned(),
            history: VecDeque::new(),
        };
        let shared = Shared {
            service: service.to_owned(),
            is_lifecycle_enabled,
            supervisor: Supervisor::new(runtime.clone(), Arc::clone(&inbox)),
            inbox,
            hearts: Hearts::default(),
            notifier,
            stop,
            published: ArcSwap::from_pointee(published),
            status: ArcSwap::default(),
            conditions: ArcSwap::default(),
            reload_stage: Arc::new(Mutex::new(reload::State::INITIAL)),
            reload: ArcSwap::default(),
            is_stop_requested: AtomicBool::new(false),
            odd_jobs,
            runtime,
        };
        Self { shared: Arc::new(shared) }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The name of the service, such as `Prometheus Server`.
    pub fn service(&self) -> &str {
        &self.shared.service
    }

    /// The state that the service is in.
    pub fn state(&self) -> State {
        self.shared.published.load().state
    }

    /// `/-/ready` answers 200.
    pub fn is_ready(&self) -> bool {
        self.state().row().probe == Probe::Ready
    }

    /// `/-/reload` and `/-/quit` do what they say.
    pub fn is_lifecycle_enabled(&self) -> bool {
        self.shared.is_lifecycle_enabled
    }

    /// Everything there is to show.
    pub fn view(&self) -> LifecycleView {
        let shared = &self.shared;
        let published = shared.published.load();
        let latest = shared.reload.load();
        LifecycleView {
            service: shared.service.clone(),
            machine: MachineView::of::<State>(),
            current: published.state,
            since_ms: published.since_ms,
            reason: published.reason.clone(),
            status: shared.status.load().to_string(),
            is_ready: published.state.row().probe == Probe::Ready,
            conditions: shared.conditions.load().to_vec(),
            history: published.history.iter().map(Arc::clone).collect(),
            reload: ReloadView {
                machine: MachineView::of::<reload::State>(),
                current: shared.reload_stage(),
                is_successful: latest.is_successful,
                attempts_count: latest.attempts_count,
                cause: latest.cause.map(|cause| cause.to_string()).unwrap_or_default(),
                outcome: latest.outcome.clone(),
                ended_ms: latest.ended_ms,
                lasted_ms: latest.lasted_ms,
                accepted_ms: latest.accepted_ms,
            },
            hearts: shared.hearts.view(),
            tasks_count: shared.supervisor.tasks_count(),
        }
    }

    /// Asks for a reload that begins after this call, and waits for its outcome. Several wishes for
    /// the same reload become one. Before `Ready` the wish is kept until then.
    ///
    /// # Errors
    /// The reason of the rejection; the old configuration stays in force.
    pub fn request_reload(
        &self,
        cause: ReloadCause,
    ) -> impl Future<Output = Result<ReloadOutcome, String>> + Send + 'static {
        let outcome = self.shared.inbox.wish_reload(cause);
        let stop = self.shared.stop.clone();
        async move {
            outcome.await.unwrap_or_else(|_| {
                Err(match stop.is_cancelled() {
                    true => "the service is stopping".to_owned(),
                    false => "too many are waiting for a reload".to_owned(),
                })
            })
        }
    }

    /// Asks for an orderly end. Returns false if somebody has asked before.
    pub fn request_stop(&self, reason: &str) -> bool {
        let is_first = !self.shared.is_stop_requested.swap(true, Ordering::Relaxed);
        if is_first {
            self.raise(Event::StopAsked, reason);
        }
        is_first
    }

    /// Tells the driver what has happened, such as `DiskLow`. What it leads to is up to the table.
    pub fn raise(&self, event: Event, reason: impl Into<String>) {
        let reason = reason.into();
        if State::event_row(event).is_step_outcome {
            tracing::error!(event = %event, reason = %reason, "Only a step can answer with this event");
            return;
        }
        self.shared.inbox.raise(Raised { event, reason, errno: None });
    }

    /// Registers a loop that has to make progress: while it does not beat within `deadline`, systemd's
    /// watchdog is not fed.
    pub fn heart(&self, name: impl Into<String>, deadline: Duration) -> Heart {
        self.shared.hearts.register(name.into(), deadline)
    }

    /// Starts a task. It should end soon after [`Handle::cancellation`] fires; the end of the service
    /// waits for it. A panic in it ends the service.
    pub fn spawn<F>(&self, name: impl Into<Cow<'static, str>>, future: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.shared.supervisor.spawn(name.into(), future)
    }

    /// Starts a task that the service cannot live without: when it ends before
    /// [`Handle::cancellation`] fires, the service ends, too.
    pub fn spawn_vital<F>(&self, name: impl Into<Cow<'static, str>>, future: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let end = self.shared.stop.clone();
        self.shared.supervisor.spawn_vital(name.into(), end, future)
    }

    /// Fires when the service begins to stop.
    pub fn cancellation(&self) -> CancellationToken {
        self.shared.stop.clone()
    }

    /// A pool for blocking work of one kind.
    pub fn pool(&self, name: impl Into<Cow<'static, str>>, limits: PoolLimits) -> BlockingPool {
        BlockingPool::new(name.into(), limits, self.shared.runtime.clone(), self.cancellation())
    }

    /// Runs one blocking job in a pool that everybody shares.
    ///
    /// # Errors
    /// The pool is full, the service is stopping, or the job panicked.
    ///
    /// # Cancel safety
    /// As [`BlockingPool::run`].
    pub async fn blocking<T, F>(&self, job: F) -> Result<T, BlockingError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.shared.odd_jobs.run(job).await
    }

    /// Gives a listener into the keeping of systemd, so that no connection is refused during a
    /// restart. At the next start it comes back by this name; colons in it become underscores.
    pub fn keep_socket(&self, name: &str, socket: BorrowedFd<'_>) {
        self.shared.notifier.store_socket(&format!("{KEPT_PREFIX}{name}"), socket);
    }

    /// Tells systemd to close the listener that it keeps by this name.
    pub fn forget_socket(&self, name: &str) {
        self.shared.notifier.forget_socket(&format!("{KEPT_PREFIX}{name}"));
    }
}

impl Shared {
    pub(crate) fn reload_stage(&self) -> reload::State {
        *self.reload_stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = &self.shared;
        f.debug_struct("Handle")
            .field("service", &shared.service)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
