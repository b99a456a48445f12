//! The life of every binary of this house: the state machines compiled from `states/`, the driver that
//! runs a [`Service`] through them, its tasks, its probes, and all that systemd is told and passes in.
//! It knows no configuration, no storage and no page; a service brings them.
//!
//! Neighbours: `telemetry` takes the metrics and log lines. All rooms above may hold a [`Handle`].
//! `server` and `promtool` start through [`run`] and [`run_command`]; there is no other way.
//!
//! Invariants:
//! I1. Rules live in `states/*.yaml` only. Code asks the generated table for the next state and matches
//!     on states without a catch-all, so that a new state does not compile until it is handled.
//! I2. One event loop moves a service. Everything from outside (signals, requests, answers of steps,
//!     panics, time) reaches it as a variant of one closed enum.
//! I3. A transition is published first, then told: whoever hears `READY=1` finds `/-/ready` at 200.
//! I4. Each transition is logged, counted and remembered exactly once.
//! I5. The first fault decides exit code, error number and reason; what follows from it does not.
//! I6. One step runs at a time. Its answer counts in the states that the table names for it; later it
//!     only frees what the step has made.
//! I7. Whoever asks for a reload gets the outcome of one that began after the question; wishes for
//!     different configurations are fulfilled in their order, so that the last one stays in force.
//! I8. The watchdog is fed only while every heart beats within its deadline.
//!
//! Concurrency: a [`Handle`] may be used from any thread, also outside the runtime; none of its calls
//! waits for the driver except the futures that say so. Steps run on threads that may block.
//!
//! Limits: `HISTORY_COUNT_MAX` transitions are remembered, `RELOAD_WAITERS_COUNT_MAX` may wait for one
//! reload and `RELOAD_WISHES_COUNT_MAX` different reloads for their turn, pools have [`PoolLimits`], status lines `STATUS_SIZE_BYTES_MAX`.

mod blocking;
mod control;
mod driver;
mod handle;
mod heart;
mod inbox;
mod machine;
mod metrics;
mod one_shot;
mod panic;
mod picture;
mod probe;
mod refusal;
mod service;
mod step;
mod supervisor;
mod systemd;
mod view;

pub use blocking::{BlockingError, BlockingPool, PoolLimits};
pub use control::{Answers, ask_generations, ask_reload, ask_rollback, ask_status, serve_control};
pub use driver::run;
pub use handle::Handle;
pub use heart::{Heart, HeartView};
pub use inbox::ReloadOutcome;
pub use machine::lifecycle::{Event, State};
pub use machine::{
    Ending, EventRow, Exit, Machine, News, Piece, Probe, Reaction, StateRow, Transition, Watchdog,
    command, lifecycle, reload, target,
};
pub use one_shot::{CommandEnd, run_command};
pub use picture::picture;
pub use probe::probe_routes;
pub use refusal::fail_at_start;
pub use service::{Failure, Options, Places, Preparation, Service};
pub use step::{ReloadCause, ReloadStep, Step};
pub use systemd::{Inherited, Sockets};
pub use view::{
    ConditionView, LifecycleView, MachineView, Passage, ReloadView, StateView, TransitionView,
};

// The build script compiles these files; here they are only tested.
#[cfg(test)]
mod table {
    pub(crate) mod check;
    pub(crate) mod generate;
    pub(crate) mod locate;
    pub(crate) mod raw;
    mod tests;
}
