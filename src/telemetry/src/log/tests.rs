//! Lines compared with what the reference prints; the queue's promises.

use std::{
    io,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use tracing_subscriber::layer::SubscriberExt;

use super::{format::Line, layer::LineLayer, writer::Writer, *};

/// Lines that `log` makes, without the time and the line number.
fn lines_of(format: LogFormat, log: impl FnOnce()) -> Vec<String> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    let layer = LineLayer::new(format, move |line| sink.lock().unwrap().push(line));
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
    let lines = lines.lock().unwrap();
    lines.iter().map(|line| line.strip_suffix('\n').unwrap().to_owned()).collect()
}

/// What follows the message, in both formats.
fn check(log: impl Fn(), logfmt: &str, json: &str) {
    for (format, expected) in [(LogFormat::Logfmt, logfmt), (LogFormat::Json, json)] {
        let lines = lines_of(format, &log);
        assert_eq!(lines.len(), 1);
        let line = lines[0].replace("\\u0000", "");
        let at = line.find("tests.rs:").expect("the source is told");
        let rest = line[at + "tests.rs:".len()..].trim_start_matches(|c: char| c.is_ascii_digit());
        assert_eq!(rest, expected);
    }
}

#[test]
fn head_is_time_level_source_message() {
    let text = &lines_of(LogFormat::Logfmt, || tracing::warn!("Starting TSDB ..."))[0];
    let (time, rest) = text.strip_prefix("time=").unwrap().split_once(' ').unwrap();
    assert_eq!(("2026-11-22T17:16:59.071Z".len(), time.as_bytes()[19]), (time.len(), b'.'));
    assert!(rest.starts_with("level=WARN source=tests.rs:"), "{rest}");
    assert!(rest.ends_with(" msg=\"Starting TSDB ...\""), "{rest}");
    let json = &lines_of(LogFormat::Json, || tracing::debug!("x"))[0];
    assert!(json.starts_with("{\"time\":\"2"), "{json}");
    assert!(json.contains("Z\",\"level\":\"DEBUG\",\"source\":\"tests.rs:"), "{json}");
    assert!(json.ends_with("\",\"msg\":\"x\"}"), "{json}");
}

#[test]
fn times_are_cut_not_rounded() {
    let check = |nanoseconds: u64, logfmt: &str, json: &str| {
        for (format, expected) in [(LogFormat::Logfmt, logfmt), (LogFormat::Json, json)] {
            let mut line = Line::new(format);
            let since_epoch = Duration::from_nanos(1_795_367_818_000_000_000 + nanoseconds);
            line.push_head(since_epoch, tracing::Level::INFO, ("main.rs", 7), "m");
            let expected = expected.replace("T", "2026-11-22T17:16:");
            assert_eq!(line.finish(), expected);
        }
    };
    check(
        999_999_999,
        "time=T58.999Z level=INFO source=main.rs:7 msg=m\n",
        "{\"time\":\"T58.999999999Z\",\"level\":\"INFO\",\"source\":\"main.rs:7\",\"msg\":\"m\"}\n",
    );
    check(
        500_000_000,
        "time=T58.500Z level=INFO source=main.rs:7 msg=m\n",
        "{\"time\":\"T58.5Z\",\"level\":\"INFO\",\"source\":\"main.rs:7\",\"msg\":\"m\"}\n",
    );
    check(
        0,
        "time=T58.000Z level=INFO source=main.rs:7 msg=m\n",
        "{\"time\":\"T58Z\",\"level\":\"INFO\",\"source\":\"main.rs:7\",\"msg\":\"m\"}\n",
    );
}

#[test]
fn values_are_quoted_as_slog_does() {
    check(
        || tracing::info!(segment = 0, http2 = false, f = 1e6, g = 0.25, "WAL segment loaded"),
        " msg=\"WAL segment loaded\" segment=0 http2=false f=1e+06 g=0.25",
        r#"","msg":"WAL segment loaded","segment":0,"http2":false,"f":1000000,"g":0.25}"#,
    );
    check(
        || tracing::info!(component = "tsdb", duration = %"1.961\u{b5}s", d = ?"q", "ok"),
        " msg=ok component=tsdb duration=1.961\u{b5}s d=\"\\\"q\\\"\"",
        "\",\"msg\":\"ok\",\"component\":\"tsdb\",\"duration\":\"1.961\u{b5}s\",\"d\":\"\\\"q\\\"\"}",
    );
    check(
        || tracing::info!(empty = "", back = "a\\b", eq = "a=b", "{}", "x\ty\u{1}\u{2028}\u{e9}<&"),
        " msg=\"x\\ty\\x01\\u2028\u{e9}<&\" empty=\"\" back=a\\b eq=\"a=b\"",
        "\",\"msg\":\"x\\ty\\u0001\\u2028\u{e9}<&\",\"empty\":\"\",\"back\":\"a\\\\b\",\"eq\":\"a=b\"}",
    );
    check(
        || tracing::info!(a = f64::NAN, b = f64::INFINITY, c = 1.5e-7, d = 1e21, "x"),
        " msg=x a=NaN b=+Inf c=1.5e-07 d=1e+21",
        r#"","msg":"x","a":"NaN","b":"+Inf","c":1.5e-7,"d":1e+21}"#,
    );
}

#[test]
fn fields_of_spans_lead() {
    let log = || {
        let outer = tracing::info_span!(
            "outer",
            component = "scrape manager",
            late = tracing::field::Empty
        );
        outer.record("late", 7);
        let _outer = outer.entered();
        let _inner = tracing::info_span!("inner", pool = "a").entered();
        tracing::info!(err = "e", "m");
    };
    check(
        log,
        " msg=m component=\"scrape manager\" late=7 pool=a err=e",
        r#"","msg":"m","component":"scrape manager","late":7,"pool":"a","err":"e"}"#,
    );
}

#[test]
fn long_values_are_cut() {
    let long = "\u{e9}".repeat(LINE_SIZE_BYTES_MAX);
    let line = &lines_of(LogFormat::Logfmt, || {
        tracing::info!(a = %long, b = %long, c = %long, d = %long, "{long}");
    })[0];
    assert!(line.len() < LINE_SIZE_BYTES_MAX + 10 && line.contains("..."), "{}", line.len());
}

#[test]
fn words_are_parsed() {
    assert_eq!("warn".parse(), Ok(LogLevel::Warn));
    assert_eq!("DEBUG".parse(), Ok(LogLevel::Debug));
    assert_eq!("json".parse(), Ok(LogFormat::Json));
    let text = |err: LogOptionError| err.to_string();
    assert_eq!("x".parse::<LogLevel>().map_err(text), Err("unrecognized log level x".to_owned()));
    assert_eq!("x".parse::<LogFormat>().map_err(text), Err("unrecognized log format x".to_owned()));
}

/// An output that waits for permission before each write.
struct Stuck(mpsc::Receiver<()>);

impl io::Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.recv().map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stuck_reader_stops_nobody() {
    let (permit, permits) = mpsc::sync_channel(1);
    let writer = Writer::start(Box::new(Stuck(permits)));
    for _ in 0..QUEUE_LINES_MAX + 100 {
        writer.push("line\n".to_owned());
    }
    // One line may be in the hands of the thread.
    assert!((99..=100).contains(&writer.dropped_count()), "{}", writer.dropped_count());
    writer.flush(Duration::ZERO);
    // The reader goes away: the rest fails to be written, and is counted.
    drop(permit);
    while writer.dropped_count() < (QUEUE_LINES_MAX + 100) as u64 {
        std::thread::yield_now();
    }
}

#[test]
fn flushing_waits_for_all_lines() {
    struct Shared(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let written = Arc::new(Mutex::new(Vec::new()));
    let writer = Writer::start(Box::new(Shared(Arc::clone(&written))));
    (0..1000).for_each(|i| writer.push(format!("{i}\n")));
    writer.flush(Duration::from_secs(60));
    let expected: String = (0..1000).map(|i| format!("{i}\n")).collect();
    assert_eq!(String::from_utf8(written.lock().unwrap().clone()).unwrap(), expected);
    assert_eq!(writer.dropped_count(), 0);
}

#[test]
fn level_changes_while_running() {
    let _guard = init(LogLevel::Error, LogFormat::Logfmt);
    let enabled = || tracing::enabled!(target: "prom_telemetry", tracing::Level::DEBUG);
    assert!(!enabled());
    set_level(LogLevel::Debug);
    assert!(enabled());
    assert!(!tracing::enabled!(target: "hyper", tracing::Level::DEBUG));
    drop(init(LogLevel::Info, LogFormat::Json));
    assert!(!enabled());
}
