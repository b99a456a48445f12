//! The end: asked for, insisted on, overdue, or forced by a fault.

use super::*;

/// A service that has one task which only ends when told, or never.
fn with_task(name: &'static str, listens: bool) -> Fake {
    let start: Body = Box::new(move |step| {
        let end = step.handle().cancellation();
        step.handle().spawn(name, async move {
            if listens {
                end.cancelled().await;
            } else {
                std::future::pending::<()>().await;
            }
        });
        Ok(())
    });
    Fake { start, ..Fake::default() }
}

#[tokio::test(start_paused = true)]
async fn tasks_are_told_to_end_and_waited_for() {
    let mut bench = Bench::new(with_task("scrape loop", true));
    assert_eq!(bench.play(Player::terminate_when_ready).await, 0);
    assert_eq!(bench.handle.view().tasks_count, 0);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_does_not_end_is_cut_off_at_the_deadline() {
    let check = async |deadline: Option<Duration>, expected: &str| {
        let mut bench = Bench::with(
            with_task("scrape loop", false),
            |options| options.stop_deadline = deadline,
            None,
        );
        assert_eq!(bench.play(Player::terminate_when_ready).await, 75);
        assert_eq!(bench.path_of_states().split(' ').next_back(), Some("Failed"));
        assert_eq!(bench.manager.heard_last(), format!("STATUS={expected}|ERRNO=110"));
        assert!(!bench.journal().contains(&"close"), "the storage is still in use");
    };
    check(None, "Stopping for 50s, waiting for scrape loop").await;
    check(Some(Duration::from_secs(5)), "Stopping for 5s, waiting for scrape loop").await;
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_ends_it_at_once() {
    let mut bench = Bench::new(with_task("scrape loop", false));
    let play = bench.play(async |player| {
        player.clone().terminate_when_ready().await;
        player.until(State::Stopping).await;
        player.signal(Signal::Terminate("SIGINT")).await;
    });
    assert_eq!(play.await, 75);
    let last = "STATUS=SIGINT again, waiting for scrape loop|ERRNO=4";
    assert_eq!(bench.manager.heard_last(), last);
}

#[tokio::test(start_paused = true)]
async fn a_signal_after_quit_is_not_a_second_signal() {
    let start: Body = Box::new(|step| {
        let end = step.handle().cancellation();
        step.handle().spawn("slow loop", async move {
            end.cancelled().await;
            tokio::time::sleep(Duration::from_secs(5)).await;
        });
        Ok(())
    });
    let mut bench = Bench::new(Fake { start, ..Fake::default() });
    bench
        .while_ready(async |player| {
            assert!(player.handle.request_stop("asked for by /-/quit"));
            assert!(!player.handle.request_stop("asked for by /-/quit"));
            player.until(State::Stopping).await;
        })
        .await;
    let heard = bench.manager.heard();
    let stopping = "STOPPING=1|STATUS=stopping (asked for by /-/quit), waiting for slow loop";
    assert!(heard.contains(&stopping.to_owned()), "{heard:?}");
    assert_eq!(heard.last().unwrap(), "STATUS=stopped (asked for by /-/quit)");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_ends_the_service_in_order() {
    let start: Body = Box::new(|step| {
        step.handle().spawn("rule group", async { panic_quietly() });
        Ok(())
    });
    let mut bench = Bench::new(Fake { start, ..Fake::default() });
    assert_eq!(bench.play(|_| async {}).await, 70);
    let last = "STATUS=rule group panicked: assumption broken|ERRNO=5";
    assert_eq!(bench.manager.heard_last(), last);
    assert!(bench.journal().ends_with(&["close"]));
}

#[tokio::test(start_paused = true)]
async fn a_vital_task_must_not_end_by_itself() {
    let start: Body = Box::new(|step| {
        step.handle().spawn_vital("web server", async {});
        step.handle().spawn("one-shot", async {});
        Ok(())
    });
    let mut bench = Bench::new(Fake { start, ..Fake::default() });
    assert_eq!(bench.play(|_| async {}).await, 70);
    assert_eq!(bench.manager.heard_last(), "STATUS=web server has ended by itself|ERRNO=5");
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_cannot_be_closed_is_a_fault() {
    let close: Body = Box::new(|_| {
        let error = std::io::Error::from_raw_os_error(28);
        Err(Failure::with_io(Event::StorageFull, &error, "cannot write the last page"))
    });
    let mut bench = Bench::new(Fake { close, ..Fake::default() });
    assert_eq!(bench.play(Player::terminate_when_ready).await, 70);
    assert_eq!(bench.manager.heard_last(), "STATUS=cannot write the last page|ERRNO=28");
}

#[tokio::test(start_paused = true)]
async fn a_closing_step_that_panics_still_ends_the_service() {
    let mut bench = Bench::new(Fake { stop: Box::new(|_| panic_quietly()), ..Fake::default() });
    assert_eq!(bench.play(Player::terminate_when_ready).await, 70);
}

#[tokio::test(start_paused = true)]
async fn the_first_fault_decides_the_code() {
    let start: Body = Box::new(|step| {
        step.handle().spawn("stuck", std::future::pending());
        step.handle().spawn_vital("web server", async {});
        Ok(())
    });
    let mut bench = Bench::new(Fake { start, ..Fake::default() });
    assert_eq!(bench.play(|_| async {}).await, 70, "not 75, although it was cut off");
}
