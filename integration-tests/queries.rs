//! Queries beside everything else: heavy ones disturb neither scrapes nor small queries nor memory, and
//! what runs is noted on disk.

use std::{
    collections::BTreeSet,
    fmt::Write,
    fs,
    net::Ipv4Addr,
    path::Path,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::harness::{
    Need, Peer, Server, ServerBuilder, Target, eventually, get, get_from, need, now,
};

const SERIES_COUNT: usize = 3_000;
const CLIENT_COUNT: usize = 12;
/// How long the clients go on.
const LOAD_TIME: Duration = Duration::from_secs(12);
/// What all queries may take together, and what the process may take besides.
const QUERIES_SIZE_BYTES: u64 = 128 << 20;
const REST_SIZE_BYTES: u64 = 256 << 20;
/// What a small query or a rule may take while all that goes on, and how long half of them take at most; a
/// test machine has little to spare.
const TIME_MAX: Duration = Duration::from_secs(2);
const TIME_MEDIAN_MAX: Duration = Duration::from_secs(1);
/// Who evaluates rules: another address than that of everybody else.
const RULE_EVALUATOR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// How often the rule is due, and what it asks for: all series, so that it is no small query.
const RULE_INTERVAL: Duration = Duration::from_secs(1);
const RULE: &str = "/api/v1/query?query=sum%20by%20(group)%20(rate(load_total%5B10s%5D))";

/// How far apart scrapes may be that are due once a second.
const SCRAPE_GAP_SECONDS_MAX: f64 = 3.0;

/// A target with many series.
fn large_target() -> Target {
    Target::serving(|index| {
        let mut body = String::new();
        for series in 0..SERIES_COUNT {
            let (group, value) = (series % 50, index * (series + 1));
            writeln!(body, "load_total{{group=\"{group}\",series=\"{series}\"}} {value}").unwrap();
        }
        body
    })
}

/// The one of [`heavy_queries`] that takes all the time it gets.
const SLOWEST: usize = 2;

/// Queries that ask for more than there is: of samples, of memory, of time.
fn heavy_queries(now_seconds: u64) -> Vec<String> {
    let text = "a".repeat(10_000);
    let range = |query: &str| {
        let start = now_seconds - 10_000;
        format!("/api/v1/query_range?query={query}&start={start}&end={now_seconds}&step=1")
    };
    let instant = |query: &str| format!("/api/v1/query?query={query}");
    vec![
        range("sum%20by%20(group)%20(rate(load_total[1m]))"),
        range("load_total"),
        range("max_over_time(rate(load_total[30s])[5m:1s])"),
        range("quantile(0.9,%20load_total)"),
        range("count_values(%22v%22,%20load_total)"),
        instant("load_total%20*%20on()%20group_left%20load_total"),
        instant(&format!(
            "label_join(load_total,%20%22y%22,%20%22{text}%22,%20%22series%22,%20%22group%22)"
        )),
        instant("sum_over_time(load_total[100y:1ms])"),
        instant("sort(sum_over_time(load_total[1h:1s]))"),
        instant(&format!("1{}", "%2B1".repeat(5_000))),
    ]
}

/// When the samples of the first series of a range were taken, in seconds.
fn sample_times(server: &Server, range: &str) -> Vec<f64> {
    let query = range.replace('[', "%5B").replace(']', "%5D");
    let answer = server.get(&format!("/api/v1/query?query={query}")).json();
    let values = answer["data"]["result"][0]["values"].as_array().unwrap();
    values.iter().map(|value| value[0].as_f64().unwrap()).collect()
}

fn memory_bytes(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

/// Asks too much until it is over; how that ends is another test's matter.
fn be_a_nuisance(
    address: &str,
    queries: &[String],
    first: usize,
    is_over: &AtomicBool,
    answered: &AtomicUsize,
) {
    for query in queries.iter().cycle().skip(first) {
        if is_over.load(Relaxed) {
            return;
        }
        if get(address, query).is_ok_and(|answer| answer.status > 0) {
            answered.fetch_add(1, Relaxed);
        }
    }
}

#[track_caller]
fn check_times(of: &str, mut times: Vec<Duration>) {
    times.sort();
    let (slowest, median) = (times[times.len() - 1], times[times.len() / 2]);
    println!("{} {of} took {median:?}, {slowest:?} at most", times.len());
    assert!(slowest < TIME_MAX, "one of {of} took {slowest:?}");
    assert!(median < TIME_MEDIAN_MAX, "{of} took {median:?}");
}

#[test]
fn slow_heavy_queries_disturb_nobody() {
    let target = large_target();
    let server = ServerBuilder::new(&format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\n\
         scrape_configs:\n\
         - job_name: load\n  static_configs: [{{targets: [\"{}\"]}}]\n",
        target.address()
    ))
    .arg("--query.max-memory=64MB")
    .arg("--query.max-memory-total=128MB")
    .arg("--query.timeout=10s")
    .arg(&format!("--query.rule-evaluators={RULE_EVALUATOR}"))
    .start();
    eventually("there are samples", || (target.request_count() > 5).then_some(()));
    let epoch = server.value("time()").unwrap() as u64;
    let (queries, address) = (heavy_queries(epoch), server.address());
    let (is_over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (mut small_times, mut rule_times, mut largest_bytes) = (Vec::new(), Vec::new(), 0);
    let begun = now();
    thread::scope(|scope| {
        for client in 0..CLIENT_COUNT {
            let (queries, address, is_over, answered) = (&queries, &address, &is_over, &answered);
            scope.spawn(move || be_a_nuisance(address, queries, client, is_over, answered));
        }
        scope.spawn(|| get_from(RULE_EVALUATOR, &address, &queries[SLOWEST]));
        eventually("a query of the rules' class runs", || {
            let active = server.get("/api/v1/status/active_queries").json();
            let mut running = active["data"].as_array().unwrap().iter();
            running.any(|query| query["class"] == "rules").then_some(())
        });
        while begun.elapsed() < LOAD_TIME {
            let round = now();
            let rule = get_from(RULE_EVALUATOR, &address, RULE).unwrap();
            rule_times.push(round.elapsed());
            assert_eq!(rule.status, 200, "{}", rule.body);
            assert_eq!(rule.json()["data"]["result"].as_array().unwrap().len(), 50);
            let asked = now();
            let answer = server.get("/api/v1/query?query=up");
            small_times.push(asked.elapsed());
            assert_eq!(answer.status, 200, "{}", answer.body);
            largest_bytes = largest_bytes.max(memory_bytes(&server));
            thread::sleep(RULE_INTERVAL.saturating_sub(round.elapsed()));
        }
        is_over.store(true, Relaxed);
    });
    let answered = answered.into_inner();
    assert!(answered > queries.len(), "{answered} answers");
    println!("beside {answered} heavy queries; {largest_bytes} bytes of memory at most");
    check_times("small queries", small_times);
    check_times("rules", rule_times);
    let limit_bytes = QUERIES_SIZE_BYTES + REST_SIZE_BYTES;
    assert!(largest_bytes < limit_bytes, "{largest_bytes} bytes of memory");
    check_scrapes(&server);
    assert!(!server.log().contains("panicked"), "{}", server.log());
    eventually("all queries have ended", || {
        let active = server.get("/api/v1/status/active_queries").json();
        active["data"].as_array().unwrap().is_empty().then_some(())
    });
}

/// Scrapes that were due once a second came, and in time.
#[track_caller]
fn check_scrapes(server: &Server) {
    let times = sample_times(server, &format!("up[{}s]", LOAD_TIME.as_secs()));
    let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
    let late = gaps.fold(0.0, f64::max);
    assert!(late <= SCRAPE_GAP_SECONDS_MAX, "scrapes were {late} s apart: {times:?}");
    let spanned = times.last().unwrap() - times.first().unwrap();
    assert!(spanned + 2.0 * SCRAPE_GAP_SECONDS_MAX > LOAD_TIME.as_secs_f64(), "{times:?}");
    assert_eq!(server.value("min_over_time(up[15s])"), Some(1.0));
}

#[expect(clippy::disallowed_methods, reason = "a log that is moved away need not be durable")]
#[test]
fn queries_leave_their_traces_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (data, log) = (folder.path().join("data"), folder.path().join("query.log"));
    fs::create_dir(&data).unwrap();
    let mut left = br#"[{"query":"sum(crash)","timestamp_sec":1700000000}"#.to_vec();
    left.resize(1000, 0);
    left.push(b',');
    left.resize(20_001, 0);
    fs::write(data.join("queries.active"), left).unwrap();
    let config = format!("global: {{query_log_file: {}}}\n", log.display());
    let server = ServerBuilder::new(&config).data(&data).start();
    let told = "These queries didn't finish in prometheus' last run:";
    assert!(server.log().contains(told) && server.log().contains("sum(crash)"), "{}", server.log());
    assert_eq!(fs::metadata(data.join("queries.active")).unwrap().len(), 20_001);

    let query = |text: &str| server.get(&format!("/api/v1/query?query={text}"));
    assert_eq!(query("1").status, 200);
    let line = |path: &std::path::Path| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().last().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
    };
    let first = line(&log).unwrap();
    assert_eq!(
        (&first["params"]["query"], &first["msg"]),
        (&"1".into(), &"promql query logged".into())
    );
    assert_eq!(first["httpRequest"]["clientIP"], "127.0.0.1");
    assert_eq!(first["httpRequest"]["path"], "/api/v1/query");
    // Moved away and asked to reload, the server begins a new file.
    let moved = folder.path().join("query.log.1");
    fs::rename(&log, &moved).unwrap();
    assert_eq!(server.post("/-/reload", "").status, 200);
    assert_eq!(query("2").status, 200);
    assert_eq!(line(&log).unwrap()["params"]["query"], "2");
    assert_eq!(server.value("prometheus_engine_query_log_enabled"), None);
    assert!(server.get("/metrics").body.contains("prometheus_engine_query_log_enabled 1"));
}

/// Fields that came after the installed release: 3.11.0 (#18189), 3.13.0 (#18081).
const LATER_FIELDS: [&str; 2] = ["traceID", "samplesRead"];

/// The names of all fields with the kinds of their values.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields_here) => {
            for (name, value) in
                fields_here.iter().filter(|(name, _)| !LATER_FIELDS.contains(&&***name))
            {
                fields(value, &format!("{path}/{name}"), found);
            }
        }
        Value::Array(list) => {
            list.iter().for_each(|item| fields(item, &format!("{path}[]"), found))
        }
        Value::String(_) => drop(found.insert(format!("{path}: text"))),
        Value::Number(_) => drop(found.insert(format!("{path}: number"))),
        Value::Bool(_) | Value::Null => drop(found.insert(format!("{path}: {value}"))),
    }
}

fn fields_of(value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    fields(value, "", &mut found);
    found
}

#[test]
fn statistics_and_log_lines_have_the_fields_of_the_original() {
    let Some(original) = need(Need::Peer("prometheus")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let config = |log: &Path| format!("global: {{query_log_file: {}}}\n", log.display());
    let server = ServerBuilder::new(&config(&path("ours.log"))).start();
    fs::write(path("theirs.yml"), config(&path("theirs.log"))).unwrap();
    let peer = Peer::start(&original, |address| {
        vec![
            format!("--config.file={}", path("theirs.yml").display()),
            format!("--storage.tsdb.path={}", path("theirs").display()),
            format!("--web.listen-address={address}"),
        ]
    });
    eventually("the original is ready", || {
        get(&peer.address, "/-/ready").ok().filter(|answer| answer.status == 200)
    });
    let range = "start=1700000000&end=1700000060&step=15";
    let asked = [
        "query?stats=all&query=1%2B1".to_owned(),
        "query?stats=all&query=sum(nothing)".to_owned(),
        format!("query_range?stats=all&query=vector(1)&{range}"),
        format!(
            "query_range?stats=all&query=label_replace(vector(1),%22%21%22,%22%22,%22%22,%22%22)&{range}"
        ),
    ];
    for query in &asked {
        let ours = server.get(&format!("/api/v1/{query}")).json();
        let theirs = get(&peer.address, &format!("/api/v1/{query}")).unwrap().json();
        assert_eq!(fields_of(&ours), fields_of(&theirs), "{query}");
    }
    let lines = |name: &str| -> Vec<BTreeSet<String>> {
        let text = fs::read_to_string(path(name)).unwrap();
        text.lines().map(|line| fields_of(&serde_json::from_str(line).unwrap())).collect()
    };
    let (ours, theirs) = (lines("ours.log"), lines("theirs.log"));
    assert!(!theirs.is_empty());
    assert_eq!(ours, theirs);
}

#[test]
fn a_folder_in_the_place_of_the_active_queries_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("queries.active")).unwrap();
    let server = ServerBuilder::new("global: {}\n").data(folder.path()).start();
    assert_eq!(server.value("1 + 1"), Some(2.0));
    assert!(server.log().contains("Error opening query log file"), "{}", server.log());
}
