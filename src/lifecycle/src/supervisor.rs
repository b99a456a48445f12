//! The only place that starts tasks: each has a name and an awaited end, and a panic in one becomes an
//! event of the state table. What the events lead to is not decided here.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use tokio::runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::inbox::{Inbox, Raised};
use crate::machine::lifecycle::Event;
use crate::panic;

/// How many names [`Supervisor::waiting`] tells before it only counts.
const NAMES_TOLD_COUNT_MAX: usize = 3;

#[derive(Debug, Clone)]
pub(crate) struct Supervisor {
    runtime: runtime::Handle,
    tracker: TaskTracker,
    names: Arc<Mutex<Names>>,
    inbox: Arc<Inbox>,
}

#[derive(Debug, Default)]
struct Names {
    next_id: u64,
    running: BTreeMap<u64, Cow<'static, str>>,
}

/// Takes a task out of the list of names however it ends.
struct Entry {
    id: u64,
    names: Arc<Mutex<Names>>,
}

impl Supervisor {
    pub(crate) fn new(runtime: runtime::Handle, inbox: Arc<Inbox>) -> Self {
        Self { runtime, tracker: TaskTracker::new(), names: Arc::default(), inbox }
    }

    /// Starts a task that may end whenever it likes, but not by a panic.
    pub(crate) fn spawn<F>(&self, name: Cow<'static, str>, future: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let entry = self.enter(name.clone());
        let inbox = Arc::clone(&self.inbox);
        // Each layer around it would hold it once more, and there are tens of thousands of loops.
        let future = Box::pin(future);
        let task = async move {
            let _entry = entry;
            if let Err(message) = catch_unwind(future).await {
                let reason = format!("{name} panicked: {message}");
                inbox.raise(Raised { event: Event::TaskPanicked, reason, errno: None });
            }
        };
        self.tracker.spawn_on(task, &self.runtime)
    }

    /// Starts a task that has to run until `end` fires; when it ends before, that is an event.
    pub(crate) fn spawn_vital<F>(
        &self,
        name: Cow<'static, str>,
        end: CancellationToken,
        future: F,
    ) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let inbox = Arc::clone(&self.inbox);
        let reason = format!("{name} has ended by itself");
        self.spawn(name, async move {
            future.await;
            if !end.is_cancelled() {
                inbox.raise(Raised { event: Event::ComponentDied, reason, errno: None });
            }
        })
    }

    /// Waits until every task has ended. Tasks started meanwhile are waited for, too.
    pub(crate) async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    pub(crate) fn tasks_count(&self) -> usize {
        self.tracker.len()
    }

    /// The names of all tasks that run.
    pub(crate) fn names(&self) -> Vec<String> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.running.values().map(ToString::to_string).collect()
    }

    /// `, waiting for scrape loop a, scrape loop b and 7 more`, or nothing.
    pub(crate) fn waiting(&self) -> String {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let told: Vec<&str> =
            names.running.values().take(NAMES_TOLD_COUNT_MAX).map(AsRef::as_ref).collect();
        let rest_count = names.running.len() - told.len();
        match (told.is_empty(), rest_count) {
            (true, _) => String::new(),
            (false, 0) => format!(", waiting for {}", told.join(", ")),
            (false, _) => format!(", waiting for {} and {rest_count} more", told.join(", ")),
        }
    }

    fn enter(&self, name: Cow<'static, str>) -> Entry {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let id = names.next_id;
        names.next_id += 1;
        names.running.insert(id, name);
        Entry { id, names: Arc::clone(&self.names) }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.names.lock().unwrap_or_else(PoisonError::into_inner).running.remove(&self.id);
    }
}

/// Runs a future to its end and turns a panic into its description.
async fn catch_unwind<F: Future<Output = ()>>(future: F) -> Result<(), String> {
    let mut future = pin!(future);
    std::future::poll_fn(move |cx| match panic::catch(|| future.as_mut().poll(cx)) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
        Err(message) => Poll::Ready(Err(message)),
    })
    .await
}
