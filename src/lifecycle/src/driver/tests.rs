//! The driver with a service that does what a test tells it, a service manager that is a socket in a
//! folder of its own, and a clock that only moves when nothing else does.

mod conditions;
mod ending;
mod reloading;
mod starting;

use std::borrow::Cow;
use std::os::unix::net::UnixDatagram;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prom_telemetry::Registry;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::signals::{Signal, Signals};
use super::{Driver, Surroundings};
use crate::handle::Handle;
use crate::machine::lifecycle::{Event, State};
use crate::service::{Failure, Options, Places, Preparation, Service};
use crate::step::{ReloadStep, Step};
use crate::systemd::{Notifier, Sockets};

const TERM: Signal = Signal::Terminate("SIGTERM");

/// What a step of the fake does.
type Body = Box<dyn Fn(&Step) -> Result<(), Failure> + Send + Sync>;
type ReloadBody = Box<dyn Fn(&ReloadStep) -> Result<Preparation<u32>, Failure> + Send + Sync>;

/// Can fail, panic, hang or succeed at each step, as its closures say; writes down what it was asked.
struct Fake {
    load: Body,
    open: Body,
    bind: Body,
    start: Body,
    prepare: ReloadBody,
    commit: Box<dyn Fn(u32) -> String + Send + Sync>,
    stop: Body,
    close: Body,
    journal: Arc<Mutex<Vec<&'static str>>>,
}

impl Default for Fake {
    fn default() -> Self {
        let good = || -> Body { Box::new(|_| Ok(())) };
        Self {
            load: good(),
            open: good(),
            bind: good(),
            start: good(),
            prepare: Box::new(|_| Ok(Preparation::Prepared(1))),
            commit: Box::new(|number| format!("now {number}")),
            stop: good(),
            close: good(),
            journal: Arc::default(),
        }
    }
}

impl Fake {
    fn note(&self, what: &'static str) {
        self.journal.lock().unwrap().push(what);
    }
}

impl Service for Fake {
    type Config = &'static str;
    type Storage = u32;
    type Listeners = Sockets;
    type Running = u64;
    type Prepared = u32;

    fn name(&self) -> Cow<'static, str> {
        "Fake Server".into()
    }

    fn places(&self) -> Places {
        Places { config: "fake.yml".into(), storage: "data".into(), listen: "[::]:9090".into() }
    }

    fn load_config(&self, step: &Step) -> Result<&'static str, Failure> {
        self.note("load");
        (self.load)(step).map(|()| "config")
    }

    fn open_storage(&self, config: &&'static str, step: &Step) -> Result<u32, Failure> {
        assert_eq!(*config, "config");
        self.note("open");
        (self.open)(step).map(|()| 7)
    }

    fn describe_storage(&self, storage: &u32) -> String {
        format!("{storage} series")
    }

    fn bind(&self, _: &&'static str, sockets: Sockets, step: &Step) -> Result<Sockets, Failure> {
        self.note("bind");
        (self.bind)(step).map(|()| sockets)
    }

    fn start(
        &self,
        _: Arc<&'static str>,
        storage: &u32,
        _: Sockets,
        step: &Step,
    ) -> Result<u64, Failure> {
        self.note("start");
        (self.start)(step).map(|()| u64::from(*storage))
    }

    fn facts(&self, running: &u64) -> String {
        format!("{running} targets up")
    }

    fn prepare_reload(&self, _: &u64, step: &ReloadStep) -> Result<Preparation<u32>, Failure> {
        self.note("prepare");
        (self.prepare)(step)
    }

    fn commit_reload(&self, _: &u64, prepared: u32) -> String {
        self.note("commit");
        (self.commit)(prepared)
    }

    fn stop(&self, _: u64, step: &Step) -> Result<(), Failure> {
        self.note("stop");
        (self.stop)(step)
    }

    fn close_storage(&self, _: u32, step: &Step) -> Result<(), Failure> {
        self.note("close");
        (self.close)(step)
    }
}

/// Both ends: the driver, and what a test needs to poke it and to see what it does.
struct Bench {
    driver: Option<Driver<Fake>>,
    handle: Handle,
    registry: Registry,
    signals: mpsc::Sender<Signal>,
    manager: Manager,
    journal: Arc<Mutex<Vec<&'static str>>>,
}

/// The service manager.
struct Manager {
    socket: UnixDatagram,
    _folder: TempDir,
}

impl Bench {
    fn new(fake: Fake) -> Self {
        Self::with(fake, |_| {}, None)
    }

    fn with(fake: Fake, tune: impl FnOnce(&mut Options), watchdog: Option<Duration>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let registry = Registry::default();
        let mut options = Options::new(registry.clone());
        tune(&mut options);
        let (signals, given) = mpsc::channel(16);
        let journal = Arc::clone(&fake.journal);
        let surroundings = Surroundings {
            sockets: Sockets::default(),
            notifier: Notifier::to_path(&path).unwrap(),
            signals: Signals::Given(given),
            watchdog,
        };
        let driver = Driver::new(fake, &options, surroundings);
        let handle = driver.handle.clone();
        let manager = Manager { socket, _folder: folder };
        Self { driver: Some(driver), handle, registry, signals, manager, journal }
    }

    /// Runs the service to its end beside `script`. Returns the exit code.
    async fn play(&mut self, script: impl AsyncFnOnce(Player)) -> u8 {
        let driver = self.driver.take().expect("a bench plays once");
        let player = Player { handle: self.handle.clone(), signals: self.signals.clone() };
        let (exit_code, ()) = tokio::join!(driver.drive(), script(player));
        exit_code
    }

    /// Runs the service, `script` from Ready on, then a signal to end it, which has to end well.
    async fn while_ready(&mut self, script: impl AsyncFnOnce(&Player)) {
        let play = self.play(async |player| {
            player.until(State::Ready).await;
            script(&player).await;
            player.signal(TERM).await;
        });
        assert_eq!(play.await, 0);
    }

    fn journal(&self) -> Vec<&'static str> {
        self.journal.lock().unwrap().clone()
    }

    /// The value of a metric, its labels as `name="value"` in their order.
    fn metric(&self, name: &str, labels: &str) -> Option<f64> {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name == name)?;
        let metric = family.metrics.iter().find(|metric| {
            let own: Vec<String> =
                metric.labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
            own.join(",") == labels
        })?;
        match metric.value {
            prom_telemetry::MetricValue::Number(value) => Some(value),
            _ => None,
        }
    }

    fn path_of_states(&self) -> String {
        let view = self.handle.view();
        let first = view.history.first().map_or(view.current, |passage| passage.from);
        let states = view.history.iter().map(|passage| passage.to);
        let names: Vec<&str> = std::iter::once(first).chain(states).map(State::name).collect();
        names.join(" ")
    }
}

impl Manager {
    /// For a script that listens while the bench plays.
    fn twin(&self) -> Self {
        Self { socket: self.socket.try_clone().unwrap(), _folder: tempfile::tempdir().unwrap() }
    }

    /// All datagrams since the last look, their lines joined by a bar.
    fn heard(&self) -> Vec<String> {
        let mut buffer = [0; 8_192];
        let mut heard = Vec::new();
        while let Ok(length) = self.socket.recv(&mut buffer) {
            heard.push(String::from_utf8(buffer[..length].to_vec()).unwrap().replace('\n', "|"));
        }
        heard
    }

    fn heard_last(&self) -> String {
        self.heard().pop().unwrap_or_default()
    }
}

/// What the script of a test has in its hand.
#[derive(Clone)]
struct Player {
    handle: Handle,
    signals: mpsc::Sender<Signal>,
}

impl Player {
    /// Waits for a state, while the clock moves whenever nothing else does.
    async fn until(&self, state: State) {
        while self.handle.state() != state {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Waits for a state without moving the clock; for steps that wait for the test.
    async fn until_now(&self, state: State) {
        while self.handle.state() != state {
            tokio::task::yield_now().await;
        }
    }

    async fn signal(&self, signal: Signal) {
        self.signals.send(signal).await.unwrap();
    }

    async fn terminate_when_ready(self) {
        self.until(State::Ready).await;
        self.signal(TERM).await;
    }
}

/// A panic that does not show up in the output of the tests.
fn panic_quietly() -> ! {
    resume_unwind(Box::new("assumption broken"))
}

fn failing(event: Event, message: &'static str) -> Body {
    Box::new(move |_| Err(Failure::new(event, message)))
}

/// Every state and every event, in the driver itself: it goes where the table says, or stays.
#[tokio::test(start_paused = true)]
async fn every_state_reacts_to_every_event_as_the_table_says() {
    use crate::machine::Machine;
    for state in State::ALL.iter().copied().filter(|state| !state.is_terminal()) {
        for event in Event::ALL.iter().copied() {
            let mut bench = Bench::new(Fake::default());
            let mut driver = bench.driver.take().unwrap();
            driver.parts.config = Some(Arc::new("config"));
            driver.parts.storage = Some(Arc::new(7));
            driver.parts.listeners = Some(Sockets::default());
            driver.parts.running = Some(Arc::new(7));
            driver.state = state;
            let wish = bench.handle.request_reload(crate::ReloadCause::Request);
            driver.offer(event, "test");
            driver.settle();
            let expected = state.next(event).map_or(state, |transition| transition.to);
            assert_eq!(driver.state, expected, "{state} on {event}");
            assert_eq!(
                bench.handle.state() == expected,
                state.next(event).is_some() || state == State::INITIAL
            );
            drop(wish);
        }
    }
}
