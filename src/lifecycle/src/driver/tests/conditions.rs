//! Conditions, hearts, the watchdog, kept sockets, and what is remembered.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::AsFd;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::*;
use crate::step::ReloadCause;
use crate::view::HISTORY_COUNT_MAX;

#[tokio::test(start_paused = true)]
async fn a_condition_holds_back_until_it_is_lifted() {
    let mut bench = Bench::new(Fake::default());
    bench
        .while_ready(async |player| {
            player.handle.raise(Event::DiskLow, "data: 1% free");
            player.until(State::Degraded).await;
            assert!(player.handle.is_ready());
            assert_eq!(player.handle.view().status, "degraded: data: 1% free; 7 targets up");
            player.handle.raise(Event::DiskRecovered, "data: 9% free");
            player.until(State::Ready).await;
            assert!(player.handle.view().conditions.is_empty());
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn of_two_conditions_the_last_one_has_to_be_lifted() {
    let mut bench = Bench::new(Fake::default());
    bench
        .while_ready(async |player| {
            player.handle.raise(Event::DiskLow, "disk");
            player.handle.raise(Event::MemoryHigh, "memory");
            player.until(State::Degraded).await;
            player.handle.raise(Event::DiskRecovered, "");
            tokio::time::sleep(Duration::from_secs(6)).await;
            assert_eq!(player.handle.view().status, "degraded: memory; 7 targets up");
            player.handle.raise(Event::MemoryRecovered, "");
            player.until(State::Ready).await;
        })
        .await;
    let states = "Init ConfigLoaded StorageReady Bound Ready Degraded Ready Stopping Stopped";
    assert_eq!(bench.path_of_states(), states);
}

#[tokio::test(start_paused = true)]
async fn a_condition_survives_states_that_ignore_it() {
    let mut bench = Bench::new(Fake::default());
    let play = bench.play(async |player| {
        player.handle.raise(Event::DiskLow, "disk");
        player.until(State::Degraded).await;
        player.handle.request_reload(ReloadCause::Request).await.unwrap();
        player.until(State::Degraded).await;
        player.signal(TERM).await;
    });
    assert_eq!(play.await, 0);
    let states = "Init ConfigLoaded StorageReady Bound Ready Degraded Reloading Ready Degraded \
                  Stopping Stopped";
    assert_eq!(bench.path_of_states(), states);
}

#[tokio::test(start_paused = true)]
async fn only_steps_answer_for_steps() {
    let mut bench = Bench::new(Fake::default());
    bench
        .while_ready(async |player| {
            player.handle.raise(Event::Drained, "not me");
            player.handle.raise(Event::DiskRecovered, "was never low");
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert_eq!(player.handle.state(), State::Ready);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_watchdog_starves_while_a_heart_is_silent() {
    let watchdog = Some(Duration::from_secs(30));
    let mut bench = Bench::with(Fake::default(), |_| {}, watchdog);
    let manager = bench.manager.twin();
    let pings = || manager.heard().iter().filter(|news| news.as_str() == "WATCHDOG=1").count();
    bench
        .while_ready(async |player| {
            let heart = player.handle.heart("commit loop", Duration::from_secs(20));
            for _ in 0..6 {
                heart.beat();
                tokio::time::sleep(Duration::from_secs(10)).await;
            }
            assert_eq!(pings(), 5, "one at once, then one in 15 seconds");
            tokio::time::sleep(Duration::from_secs(25)).await;
            assert_eq!(player.handle.state(), State::Degraded);
            let status = "degraded: commit loop has made no progress for over 20s; 7 targets up";
            assert_eq!(player.handle.view().status, status);
            pings();
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!(pings(), 0);
            heart.beat();
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert_eq!((player.handle.state(), pings()), (State::Ready, 1));
            heart.suspend();
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert_eq!((player.handle.state(), pings()), (State::Ready, 4));
            drop(heart);
            assert!(player.handle.view().hearts.is_empty());
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn without_a_watchdog_nobody_feeds_one() {
    let mut bench = Bench::new(Fake::default());
    bench
        .while_ready(async |_| {
            tokio::time::sleep(Duration::from_secs(60)).await;
        })
        .await;
    assert!(!bench.manager.heard().contains(&"WATCHDOG=1".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_listener_can_be_kept_and_forgotten() {
    let bench = Bench::new(Fake::default());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    bench.handle.keep_socket("127.0.0.1:9090", listener.as_fd());
    let mut text = [0; 256];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(&mut text)];
    let socket = &bench.manager.socket;
    let length = recvmsg(socket, &mut slices, &mut control, RecvFlags::empty()).unwrap().bytes;
    assert_eq!(&text[..length], b"FDSTORE=1\nFDNAME=kept 127.0.0.1_9090");
    let passed: Vec<_> = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds.collect::<Vec<_>>()),
            _ => None,
        })
        .flatten()
        .collect();
    let passed = TcpListener::from(passed.into_iter().next().unwrap());
    assert_eq!(passed.local_addr().unwrap(), listener.local_addr().unwrap());
    bench.handle.forget_socket("127.0.0.1:9090");
    assert_eq!(bench.manager.heard_last(), "FDSTOREREMOVE=1|FDNAME=kept 127.0.0.1_9090");
}

#[tokio::test(start_paused = true)]
async fn the_history_forgets_the_oldest() {
    let mut bench = Bench::new(Fake::default());
    let manager = bench.manager.twin();
    bench
        .while_ready(async |player| {
            for _ in 0..HISTORY_COUNT_MAX {
                manager.heard();
                player.handle.raise(Event::DiskLow, "disk");
                player.until(State::Degraded).await;
                player.handle.raise(Event::DiskRecovered, "disk");
                player.until(State::Ready).await;
            }
        })
        .await;
    let history = bench.handle.view().history;
    assert_eq!(history.len(), HISTORY_COUNT_MAX);
    assert_eq!(history.last().map(|passage| passage.to), Some(State::Stopped));
    let labels = r#"event="DiskLow",from="Ready",to="Degraded""#;
    let counted = bench.metric("prometheus_lifecycle_transitions_total", labels);
    assert_eq!(counted, Some(HISTORY_COUNT_MAX as f64));
}

#[tokio::test(start_paused = true)]
async fn the_facts_of_a_running_service_are_renewed() {
    let mut bench = Bench::new(Fake::default());
    bench
        .while_ready(async |_| {
            tokio::time::sleep(Duration::from_secs(60)).await;
        })
        .await;
    // The same facts are not sent again.
    let same = "STATUS=7 targets up";
    assert!(!bench.manager.heard().contains(&same.to_owned()));
}
