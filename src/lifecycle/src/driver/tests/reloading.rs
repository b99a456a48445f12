//! Reloads: taken over, refused, wished for many times, broken, overdue.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

use super::*;
use crate::inbox::ReloadOutcome;
use crate::machine::reload;
use crate::step::ReloadCause;

const ASKED: ReloadCause = ReloadCause::Request;

fn committed(summary: &str) -> Result<ReloadOutcome, String> {
    Ok(ReloadOutcome::Committed { summary: summary.to_owned() })
}

/// A preparation that waits for a number before it is done.
fn gated(gate: Receiver<u32>) -> ReloadBody {
    let gate = Mutex::new(gate);
    Box::new(move |_| Ok(Preparation::Prepared(gate.lock().unwrap().recv().unwrap_or(0))))
}

#[tokio::test(start_paused = true)]
async fn a_good_reload_is_taken_over_and_told() {
    let mut bench = Bench::new(Fake::default());
    bench
        .while_ready(async |player| {
            assert_eq!(player.handle.request_reload(ASKED).await, committed("now 1"));
            assert_eq!(player.handle.state(), State::Ready, "the outcome comes after the state");
        })
        .await;
    assert_eq!(bench.journal()[3..6], ["start", "prepare", "commit"]);
    let heard = bench.manager.heard();
    let begun = heard.iter().position(|news| news.starts_with("RELOADING=1|MONOTONIC_USEC="));
    let begun = begun.expect("systemd hears of the reload");
    assert!(heard[begun].contains("|STATUS=reloading fake.yml: reading; 7 targets up|"));
    assert_eq!(heard[begun + 1], "READY=1|STATUS=7 targets up");
    let reload = bench.handle.view().reload;
    assert_eq!((reload.current, reload.outcome.as_str()), (reload::State::Committed, "now 1"));
    assert_eq!(bench.metric("prometheus_config_last_reload_successful", ""), Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn a_rejected_reload_leaves_everything_and_says_why() {
    let prepare: ReloadBody = Box::new(|step| {
        step.mark_read();
        Err(Failure::new(Event::ConfigInvalid, "fake.yml line 12: no such key\nmore"))
    });
    let mut bench = Bench::new(Fake { prepare, ..Fake::default() });
    bench
        .while_ready(async |player| {
            let outcome = player.handle.request_reload(ASKED).await;
            assert_eq!(outcome, Err("fake.yml line 12: no such key\nmore".to_owned()));
        })
        .await;
    assert!(!bench.journal().contains(&"commit"));
    let heard = bench.manager.heard();
    let told = "READY=1|STATUS=7 targets up; last reload rejected: fake.yml line 12: no such key";
    assert!(heard.contains(&told.to_owned()), "{heard:?}");
    assert_eq!(bench.handle.view().reload.current, reload::State::Rejected);
    assert_eq!(bench.metric("prometheus_config_last_reload_successful", ""), Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn a_good_reload_forgets_the_rejection_before_it() {
    let count = AtomicU32::new(0);
    let prepare: ReloadBody = Box::new(move |_| match count.fetch_add(1, Ordering::Relaxed) {
        0 => Err(Failure::new(Event::ConfigInvalid, "wrong")),
        1 => Ok(Preparation::Unchanged),
        _ => unreachable!("two reloads are asked for"),
    });
    let mut bench = Bench::new(Fake { prepare, ..Fake::default() });
    bench
        .while_ready(async |player| {
            player.signal(Signal::Reload).await;
            while player.handle.view().reload.ended_ms.is_none() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            player.until(State::Ready).await;
            assert!(player.handle.view().status.ends_with("rejected: wrong"));
            let outcome = player.handle.request_reload(ASKED).await;
            assert_eq!(outcome, Ok(ReloadOutcome::Unchanged));
            assert_eq!(player.handle.view().status, "7 targets up");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn wishes_during_a_reload_become_one_reload_after_it() {
    let (gate, wait) = sync_channel(2);
    let mut bench = Bench::new(Fake { prepare: gated(wait), ..Fake::default() });
    bench
        .while_ready(async |player| {
            let first = player.handle.request_reload(ASKED);
            player.until_now(State::Reloading).await;
            let second = player.handle.request_reload(ASKED);
            let third = player.handle.request_reload(ReloadCause::FileChanged);
            gate.send(1).unwrap();
            assert_eq!(first.await, committed("now 1"));
            gate.send(2).unwrap();
            assert_eq!(second.await, committed("now 2"));
            assert_eq!(third.await, committed("now 2"));
            assert_eq!(player.handle.view().reload.cause, "a file has changed");
        })
        .await;
    assert_eq!(bench.journal().iter().filter(|step| **step == "prepare").count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_wish_before_ready_is_kept_until_then() {
    let mut bench = Bench::new(Fake::default());
    let play = bench.play(async |player| {
        assert_eq!(player.handle.request_reload(ASKED).await, committed("now 1"));
        player.signal(TERM).await;
    });
    assert_eq!(play.await, 0);
    let states = "Init ConfigLoaded StorageReady Bound Ready Reloading Ready Stopping Stopped";
    assert_eq!(bench.path_of_states(), states);
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_preparing_is_a_rejection() {
    let prepare: ReloadBody = Box::new(|_| panic_quietly());
    let mut bench = Bench::new(Fake { prepare, ..Fake::default() });
    bench
        .while_ready(async |player| {
            let reason = player.handle.request_reload(ASKED).await.unwrap_err();
            assert_eq!(reason, "preparing the configuration panicked: assumption broken");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_taking_over_ends_the_service() {
    let mut bench = Bench::new(Fake { commit: Box::new(|_| panic_quietly()), ..Fake::default() });
    let play = bench.play(async |player| {
        player.until(State::Ready).await;
        player.handle.request_reload(ASKED).await.unwrap_err();
    });
    assert_eq!(play.await, 70);
    assert!(bench.journal().ends_with(&["commit", "stop", "close"]), "{:?}", bench.journal());
}

#[tokio::test(start_paused = true)]
async fn a_stop_during_the_preparation_takes_nothing_over() {
    let (gate, wait) = sync_channel(2);
    let mut bench = Bench::new(Fake { prepare: gated(wait), ..Fake::default() });
    let play = bench.play(async |player| {
        player.until(State::Ready).await;
        let reload = player.handle.request_reload(ASKED);
        player.until_now(State::Reloading).await;
        player.signal(TERM).await;
        player.until_now(State::Stopping).await;
        let next = player.handle.request_reload(ASKED);
        gate.send(1).unwrap();
        assert_eq!(reload.await, Err("the service is stopping".to_owned()));
        assert_eq!(next.await, Err("the service is stopping".to_owned()));
    });
    assert_eq!(play.await, 0);
    assert!(!bench.journal().contains(&"commit"));
    assert_eq!(bench.handle.view().reload.current, reload::State::Rejected);
}

#[tokio::test(start_paused = true)]
async fn an_overdue_reload_is_given_up_and_the_next_waits_for_its_step() {
    let (gate, wait) = sync_channel(2);
    let mut bench = Bench::new(Fake { prepare: gated(wait), ..Fake::default() });
    bench
        .while_ready(async |player| {
            let first = player.handle.request_reload(ASKED);
            player.until_now(State::Reloading).await;
            tokio::time::advance(Duration::from_secs(121)).await;
            let reason = first.await.unwrap_err();
            assert_eq!(reason, "Reloading for 121s, waiting for preparing the configuration");
            let second = player.handle.request_reload(ASKED);
            player.until_now(State::Reloading).await;
            // The step that was given up ends late; what it made is not taken over.
            gate.send(1).unwrap();
            gate.send(2).unwrap();
            assert_eq!(second.await, committed("now 2"));
        })
        .await;
    assert_eq!(bench.journal().iter().filter(|step| **step == "commit").count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_way_back_to_an_earlier_generation_is_shown_as_one() {
    let mut bench = Bench::new(Fake::default());
    bench
        .while_ready(async |player| {
            let outcome = player.handle.request_reload(ReloadCause::Rollback(4)).await;
            assert_eq!(outcome, committed("now 1"));
        })
        .await;
    let reload = bench.handle.view().reload;
    assert_eq!(
        (reload.current, reload.cause.as_str()),
        (reload::State::Reverted, "back to generation 4")
    );
}

#[tokio::test(start_paused = true)]
async fn a_way_back_that_nobody_asked_for_is_no_success() {
    let mut bench = Bench::new(Fake::default());
    bench
        .while_ready(async |player| {
            let outcome = player.handle.request_reload(ReloadCause::Revert(4)).await;
            assert_eq!(outcome, committed("now 1"));
        })
        .await;
    let reload = bench.handle.view().reload;
    assert_eq!((reload.current, reload.is_successful), (reload::State::Reverted, false));
    assert_eq!(reload.cause, "back to generation 4 by itself");
    assert_eq!(bench.metric("prometheus_config_last_reload_successful", ""), Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_stands_until_a_reload_has_succeeded() {
    let (gate, wait) = sync_channel(2);
    let wait = Mutex::new(wait);
    let prepare: ReloadBody = Box::new(move |_| match wait.lock().unwrap().recv().unwrap_or(0) {
        0 => Err(Failure::new(Event::ConfigInvalid, "wrong")),
        number => Ok(Preparation::Prepared(number)),
    });
    let mut bench = Bench::new(Fake { prepare, ..Fake::default() });
    bench
        .while_ready(async |player| {
            assert!(player.handle.view().reload.is_successful, "the start was");
            gate.send(0).unwrap();
            player.handle.request_reload(ASKED).await.unwrap_err();
            assert!(!player.handle.view().reload.is_successful);
            let next = player.handle.request_reload(ASKED);
            player.until_now(State::Reloading).await;
            let running = player.handle.view().reload;
            assert_eq!((running.current, running.is_successful), (reload::State::Reading, false));
            gate.send(7).unwrap();
            assert_eq!(next.await, committed("now 7"));
            assert!(player.handle.view().reload.is_successful);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn wishes_for_different_configurations_are_fulfilled_in_their_order() {
    let causes = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&causes);
    let prepare: ReloadBody = Box::new(move |step| {
        seen.lock().unwrap().push(step.cause());
        Ok(Preparation::Prepared(7))
    });
    let mut bench = Bench::new(Fake { prepare, ..Fake::default() });
    bench
        .while_ready(async |player| {
            let causes = [
                ASKED,
                ReloadCause::FileChanged,
                ReloadCause::Rollback(3),
                ReloadCause::Rollback(3),
                ReloadCause::Rollback(2),
                ReloadCause::Signal,
            ];
            let asked: Vec<_> =
                causes.into_iter().map(|cause| player.handle.request_reload(cause)).collect();
            for outcome in asked {
                assert_eq!(outcome.await, committed("now 7"));
            }
        })
        .await;
    let causes = causes.lock().unwrap();
    let expected = [
        ReloadCause::FileChanged,
        ReloadCause::Rollback(3),
        ReloadCause::Rollback(2),
        ReloadCause::Signal,
    ];
    assert_eq!(*causes, expected);
}

#[tokio::test(start_paused = true)]
async fn too_many_different_wishes_are_told_to_ask_again() {
    let (gate, wait) = sync_channel(64);
    let mut bench = Bench::new(Fake { prepare: gated(wait), ..Fake::default() });
    bench
        .while_ready(async |player| {
            let first = player.handle.request_reload(ASKED);
            player.until_now(State::Reloading).await;
            let asked: Vec<_> = (0..20)
                .map(|number| player.handle.request_reload(ReloadCause::Rollback(number)))
                .collect();
            (0..20).for_each(|_| gate.send(1).unwrap());
            assert_eq!(first.await, committed("now 1"));
            let mut refused_count = 0;
            for outcome in asked {
                match outcome.await {
                    Ok(_) => {}
                    Err(reason) => {
                        assert_eq!(reason, "too many are waiting for a reload");
                        refused_count += 1;
                    }
                }
            }
            assert_eq!(refused_count, 4);
        })
        .await;
}
