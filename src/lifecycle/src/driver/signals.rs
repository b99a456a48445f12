//! The signals that a service listens to. What they lead to is up to the table.

use std::io;

use tokio::signal::unix::{self, SignalKind};
#[cfg(test)]
use tokio::sync::mpsc;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGTERM or SIGINT, by name.
    Terminate(&'static str),
    /// SIGHUP.
    Reload,
    /// SIGQUIT. Prometheus, being a Go program, prints its goroutines and dies; here it only tells.
    Dump,
}

#[derive(Debug)]
pub(super) enum Signals {
    System(System),
    #[cfg(test)]
    Given(mpsc::Receiver<Signal>),
}

#[derive(Debug)]
pub(super) struct System {
    terminate: unix::Signal,
    interrupt: unix::Signal,
    hang_up: unix::Signal,
    quit: unix::Signal,
}

impl Signals {
    /// From here on these signals do not kill the process any more.
    pub(super) fn of_the_system() -> io::Result<Self> {
        Ok(Self::System(System {
            terminate: unix::signal(SignalKind::terminate())?,
            interrupt: unix::signal(SignalKind::interrupt())?,
            hang_up: unix::signal(SignalKind::hangup())?,
            quit: unix::signal(SignalKind::quit())?,
        }))
    }

    /// # Cancel safety
    /// No signal is lost.
    pub(super) async fn next(&mut self) -> Signal {
        match self {
            Self::System(system) => tokio::select! {
                Some(()) = system.terminate.recv() => Signal::Terminate("SIGTERM"),
                Some(()) = system.interrupt.recv() => Signal::Terminate("SIGINT"),
                Some(()) = system.hang_up.recv() => Signal::Reload,
                Some(()) = system.quit.recv() => Signal::Dump,
                else => std::future::pending().await,
            },
            #[cfg(test)]
            Self::Given(signals) => match signals.recv().await {
                Some(signal) => signal,
                None => std::future::pending().await,
            },
        }
    }
}
