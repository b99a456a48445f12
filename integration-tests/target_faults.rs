//! Targets that hang, stream forever, close early, send garbage or far too much: each is a named scrape
//! error of that target, and no other target notices.

use std::io::Write;

use crate::harness::{Server, ServerBuilder, Target, eventually};

/// Scrapes a good target beside the bad one; returns when the bad one has failed with an error.
fn scrape(bad: &Target, options: &str) -> (Server, Target, String) {
    let good = Target::serving(|index| format!("good_total {index}\n"));
    let server = ServerBuilder::new(&format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 400ms}}\n\
         scrape_configs:\n\
         - job_name: good\n  static_configs: [{{targets: [\"{}\"]}}]\n\
         - job_name: bad\n{options}  static_configs: [{{targets: [\"{}\"]}}]\n",
        good.address(),
        bad.address()
    ))
    .start();
    let error = eventually("the bad target fails", || {
        let targets = server.get("/api/v1/targets").json();
        let targets = targets["data"]["activeTargets"].as_array().unwrap().clone();
        let bad = targets.iter().find(|target| target["labels"]["job"] == "bad")?;
        let error = bad["lastError"].as_str()?.to_owned();
        (bad["health"] == "down" && !error.is_empty()).then_some(error)
    });
    (server, good, error)
}

#[track_caller]
fn check(bad: &Target, options: &str, expected: &str) {
    let (server, good, error) = scrape(bad, options);
    assert!(error.contains(expected), "{error:?} has no {expected:?}");
    eventually("up is 0", || (server.value("up{job=\"bad\"}") == Some(0.0)).then_some(()));
    let before = good.request_count();
    eventually("the good target is scraped", || (good.request_count() > before + 2).then_some(()));
    assert_eq!(server.value("up{job=\"good\"}"), Some(1.0));
    assert_eq!(server.state(), "Ready");
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

fn head(extra: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n{extra}\r\n")
}

#[test]
fn a_target_that_hangs_is_timed_out() {
    let bad = Target::scripted(|_, _| {
        std::thread::sleep(std::time::Duration::from_secs(3600));
        Ok(())
    });
    check(&bad, "", "context deadline exceeded");
}

#[test]
fn a_target_that_streams_forever_is_timed_out() {
    let bad = Target::scripted(|_, stream| {
        stream.write_all(head("Transfer-Encoding: chunked\r\n").as_bytes())?;
        loop {
            stream.write_all(b"6\r\na 1\n#\n\r\n")?;
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    });
    check(&bad, "", "context deadline exceeded");
}

#[test]
fn a_target_that_closes_early_is_named() {
    let bad = Target::scripted(|_, stream| {
        stream.write_all(head("Content-Length: 1000\r\n").as_bytes())?;
        stream.write_all(b"a 1\n")?;
        Err(std::io::ErrorKind::BrokenPipe.into())
    });
    check(&bad, "", "EOF");
}

#[test]
fn garbage_is_named() {
    let bad = Target::serving(|_| "a 1\n\u{1}\u{2} {{{ ]] nonsense\n".to_owned());
    check(&bad, "", "expected");
    let bad = Target::scripted(|_, stream| {
        stream.write_all(b"\x00\x01\x02 this is not HTTP\r\n\r\n")?;
        Err(std::io::ErrorKind::BrokenPipe.into())
    });
    check(&bad, "", "http");
}

#[test]
fn a_hundred_megabytes_meet_the_limit() {
    let bad = Target::scripted(|_, stream| {
        let line = b"# sixty four bytes of a comment that says nothing, over and over\n";
        let count = 100 * 1024 * 1024 / line.len();
        stream
            .write_all(head(&format!("Content-Length: {}\r\n", count * line.len())).as_bytes())?;
        let block = line.repeat(1024);
        for _ in 0..count / 1024 {
            stream.write_all(&block)?;
        }
        Ok(())
    });
    check(&bad, "  body_size_limit: 1MB\n", "body size limit exceeded");
}

#[test]
fn an_error_status_and_a_closed_port_are_named() {
    let bad = Target::scripted(|_, stream| {
        stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
    });
    check(&bad, "", "server returned HTTP status 503 Service Unavailable");
}

#[test]
fn series_of_a_failed_scrape_go_stale() {
    let bad = Target::scripted(|index, stream| {
        if index > 3 {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        writeln!(stream, "{}flaky 1", head("Content-Length: 8\r\n"))
    });
    let (server, _good, _error) = scrape(&bad, "");
    assert_eq!(server.value("count(flaky)"), None);
    assert_eq!(server.value("max(max_over_time(flaky[5m]))"), Some(1.0));
}
