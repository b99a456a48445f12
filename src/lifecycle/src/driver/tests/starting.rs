//! From exec to Ready, and all the ways not to get there.

use std::sync::mpsc::sync_channel;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_good_start_tells_each_step_and_is_ready_before_it_says_so() {
    let mut bench = Bench::new(Fake::default());
    let exit_code = bench.play(Player::terminate_when_ready).await;
    assert_eq!(exit_code, 0);
    assert_eq!(bench.journal(), ["load", "open", "bind", "start", "stop", "close"]);
    assert_eq!(
        bench.path_of_states(),
        "Init ConfigLoaded StorageReady Bound Ready Stopping Stopped"
    );
    let heard = bench.manager.heard();
    let expected = [
        "STATUS=reading fake.yml",
        "STATUS=opening storage in data|EXTEND_TIMEOUT_USEC=60000000",
        "STATUS=storage open: 7 series; binding [::]:9090",
        "STATUS=listening on [::]:9090; starting|EXTEND_TIMEOUT_USEC=60000000",
        "READY=1|STATUS=7 targets up",
        "STOPPING=1|STATUS=stopping (SIGTERM)",
        "STATUS=stopped (SIGTERM)",
    ];
    assert_eq!(heard, expected);
    assert_eq!(bench.metric("prometheus_lifecycle_state", r#"state="Stopped""#), Some(1.0));
    assert_eq!(bench.metric("prometheus_lifecycle_state", r#"state="Ready""#), Some(0.0));
    let labels = r#"event="ComponentsStarted",from="Bound",to="Ready""#;
    assert_eq!(bench.metric("prometheus_lifecycle_transitions_total", labels), Some(1.0));
}

/// Runs a service whose steps fail and checks code, states, and the last news.
async fn check_fault(fake: Fake, exit_code: u8, states: &str, last_news: &str) {
    let mut bench = Bench::new(fake);
    assert_eq!(bench.play(|_| async {}).await, exit_code, "{states}");
    assert_eq!(bench.path_of_states(), states);
    assert_eq!(bench.manager.heard_last(), last_news);
    let heard = bench.manager.heard();
    assert!(heard.iter().all(|news| !news.contains("READY=1")), "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn each_fault_before_ready_has_its_code_number_and_reason() {
    let loading = [
        (Event::ConfigMissing, 78, 2),
        (Event::ConfigUnreadable, 78, 13),
        (Event::ConfigInvalid, 78, 22),
    ];
    for (event, exit_code, errno) in loading {
        let fake = Fake { load: failing(event, "why\nmore"), ..Fake::default() };
        check_fault(fake, exit_code, "Init Failed", &format!("STATUS=why|ERRNO={errno}")).await;
    }
    let opening = [
        (Event::StorageLocked, 75, 16),
        (Event::StorageCorrupt, 65, 117),
        (Event::StorageDenied, 77, 13),
        (Event::StorageFull, 74, 28),
        (Event::StorageFailed, 74, 5),
    ];
    for (event, exit_code, errno) in opening {
        let fake = Fake { open: failing(event, "why"), ..Fake::default() };
        let states = "Init ConfigLoaded Failed";
        check_fault(fake, exit_code, states, &format!("STATUS=why|ERRNO={errno}")).await;
    }
    let binding = [
        (Event::AddressInUse, 69, 98),
        (Event::AddressUnavailable, 69, 99),
        (Event::BindDenied, 77, 13),
        (Event::BindFailed, 71, 5),
    ];
    for (event, exit_code, errno) in binding {
        let fake = Fake { bind: failing(event, "why"), ..Fake::default() };
        let states = "Init ConfigLoaded StorageReady Stopping Failed";
        check_fault(fake, exit_code, states, &format!("STATUS=why|ERRNO={errno}")).await;
    }
    let fake = Fake { start: failing(Event::StartFailed, "why"), ..Fake::default() };
    let states = "Init ConfigLoaded StorageReady Bound Stopping Failed";
    check_fault(fake, 70, states, "STATUS=why|ERRNO=5").await;
}

#[tokio::test(start_paused = true)]
async fn the_error_number_of_the_fault_comes_before_that_of_the_table() {
    let load: Body = Box::new(|_| {
        let error = std::io::Error::from_raw_os_error(21);
        Err(Failure::with_io(Event::ConfigUnreadable, &error, "it is a directory"))
    });
    let fake = Fake { load, ..Fake::default() };
    check_fault(fake, 78, "Init Failed", "STATUS=it is a directory|ERRNO=21").await;
}

#[tokio::test(start_paused = true)]
async fn a_fault_after_the_storage_is_open_closes_it() {
    let fake = Fake { bind: failing(Event::AddressInUse, "taken"), ..Fake::default() };
    let mut bench = Bench::new(fake);
    assert_eq!(bench.play(|_| async {}).await, 69);
    assert_eq!(bench.journal(), ["load", "open", "bind", "close"]);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_panics_or_answers_nonsense_is_an_internal_fault() {
    let fake = Fake { load: Box::new(|_| panic_quietly()), ..Fake::default() };
    let news = "STATUS=loading the configuration panicked: assumption broken|ERRNO=5";
    check_fault(fake, 70, "Init Failed", news).await;
    let fake = Fake { start: Box::new(|_| panic_quietly()), ..Fake::default() };
    let news = "STATUS=starting the components panicked: assumption broken|ERRNO=5";
    check_fault(fake, 70, "Init ConfigLoaded StorageReady Bound Stopping Failed", news).await;
    let fake = Fake { load: failing(Event::AddressInUse, "why"), ..Fake::default() };
    let news = "STATUS=AddressInUse is no answer in Init: why|ERRNO=5";
    check_fault(fake, 70, "Init Failed", news).await;
}

#[tokio::test(start_paused = true)]
async fn a_signal_during_the_replay_ends_it_in_order() {
    let open: Body = Box::new(|step| {
        while !step.is_cancelled() {
            std::thread::yield_now();
        }
        Err(Failure::new(Event::StorageFailed, "cancelled"))
    });
    let mut bench = Bench::new(Fake { open, ..Fake::default() });
    let exit_code = bench
        .play(async |player| {
            player.until_now(State::ConfigLoaded).await;
            player.signal(TERM).await;
        })
        .await;
    assert_eq!(exit_code, 0);
    assert_eq!(bench.path_of_states(), "Init ConfigLoaded Stopping Stopped");
    assert_eq!(bench.journal(), ["load", "open"]);
    let heard = bench.manager.heard();
    let stopping = "STOPPING=1|STATUS=stopping (SIGTERM while opening the storage), \
                    waiting for opening the storage";
    assert!(heard.contains(&stopping.to_owned()), "{heard:?}");
    let stopped = "STATUS=stopped (SIGTERM while opening the storage)";
    assert_eq!(heard.last().map(String::as_str), Some(stopped));
}

#[tokio::test(start_paused = true)]
async fn what_a_step_makes_too_late_is_closed() {
    let open: Body = Box::new(|step| {
        while !step.is_cancelled() {
            std::thread::yield_now();
        }
        Ok(())
    });
    let mut bench = Bench::new(Fake { open, ..Fake::default() });
    let exit_code = bench
        .play(async |player| {
            player.until_now(State::ConfigLoaded).await;
            player.handle.request_stop("asked for by /-/quit");
        })
        .await;
    assert_eq!(exit_code, 0);
    assert_eq!(bench.journal(), ["load", "open", "close"]);
}

#[tokio::test(start_paused = true)]
async fn progress_is_shown_and_buys_time_only_while_it_moves() {
    let (go, wait) = sync_channel::<(u64, u64)>(0);
    let wait = Mutex::new(wait);
    let open: Body = Box::new(move |step| {
        while let Ok((done, total)) = wait.lock().unwrap().recv() {
            step.report("replaying the log", done, total);
        }
        Ok(())
    });
    let mut bench = Bench::new(Fake { open, ..Fake::default() });
    let manager = bench.manager.twin();
    let play = bench.play(async |player| {
        player.until_now(State::ConfigLoaded).await;
        manager.heard();
        let mut told = Vec::new();
        let second = Duration::from_millis(1_001);
        for done in [0, 10, 10, 25] {
            // Two sends: when the second is taken, the first has been reported.
            go.send((done, 100)).unwrap();
            go.send((done, 100)).unwrap();
            tokio::time::advance(second).await;
            tokio::task::yield_now().await;
            told.push(manager.heard().join(" "));
        }
        drop(go);
        let more = "EXTEND_TIMEOUT_USEC=60000000";
        let status = "STATUS=opening storage in data: replaying the log";
        assert_eq!(told[0], format!("{status} 0%|{more}"), "too early for an estimate");
        assert_eq!(told[1], format!("{status} 10%, about 19s left|{more}"));
        assert_eq!(told[2], format!("{status} 10%, about 28s left"), "no progress, no time");
        assert_eq!(told[3], format!("{status} 25%, about 13s left|{more}"));
        player.terminate_when_ready().await;
    });
    assert_eq!(play.await, 0);
}
