//! `tsdb create-blocks-from` and `tsdb bench` from outside, beside the original on the same input.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

use super::tsdb::{original, ours, text};
use crate::Files;

fn run(promtool: &Path, files: &Files, args: &[&str]) -> Output {
    let mut command = Command::new(promtool);
    let command = command.args(["tsdb", "create-blocks-from"]).args(args);
    command.current_dir(files.directory.path()).output().unwrap()
}

/// What a folder of blocks holds: by block its times, figures and level, then all samples.
fn content(promtool: &Path, files: &Files, folder: &str) -> (Vec<Value>, Vec<String>) {
    let folder = files.directory.path().join(folder);
    fs::create_dir_all(folder.join("wal")).unwrap();
    let mut metas = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let Ok(bytes) = fs::read(entry.unwrap().path().join("meta.json")) else { continue };
        let mut meta: Value = serde_json::from_slice(&bytes).unwrap();
        let id = meta["ulid"].take();
        let sources = meta["compaction"]["sources"].take();
        assert_eq!(sources, Value::Array(vec![id]), "a block is its own source");
        // 3.14 counts kinds of samples, 3.5 does not
        meta["stats"].as_object_mut().unwrap().remove("numFloatSamples");
        metas.push(meta);
    }
    metas.sort_by_key(|meta| (meta["minTime"].as_i64(), meta.to_string()));
    let dump = Command::new(promtool).args(["tsdb", "dump"]).arg(&folder).output().unwrap();
    assert!(dump.status.success(), "{}", text(&dump.stderr));
    let mut lines: Vec<_> = text(&dump.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    (metas, lines)
}

/// A table without the names of blocks and their sizes on disk.
fn table(output: &Output) -> Vec<Vec<String>> {
    let cells = |line: &str| -> Vec<String> {
        let cells: Vec<_> =
            line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        let last = cells.len() - 1;
        cells[1..last].iter().map(|cell| (*cell).to_owned()).collect()
    };
    text(&output.stdout).lines().map(cells).collect()
}

const DAY: &str = "\
# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{code=\"200\"} 1021 1565133713.989
http_requests_total{code=\"400\"} 1 1565133713.989
http_requests_total{code=\"200\"} 1022 1565144513.989 # {trace_id=\"x\"} 1 1565144513
http_requests_total{code=\"400\"} 2 1565144513.989
http_requests_total{code=\"400\"} 3 1565155313.989
# TYPE rpc histogram
# UNIT rpc_seconds seconds
rpc_bucket{le=\"1\"} 3 1565155313.5
rpc_bucket{le=\"+Inf\"} 3 1565155313.5
rpc_count 3 1565155313.5
# EOF
";

/// A sample of each of 20 series every 15 seconds, for hours.
fn long_text(hours: usize) -> String {
    let mut text = String::from("# TYPE load gauge\n");
    for step in 0..hours * 240 {
        for series in 0..20 {
            let value = (step * (series + 1)) as f64 / 8.0;
            let seconds = 1_700_000_000 + step * 15;
            text.push_str(&format!("load{{core=\"{series}\"}} {value} {seconds}\n"));
        }
    }
    text + "# EOF\n"
}

#[test]
fn blocks_of_a_text_are_those_of_the_original() {
    let Some(original) = original() else { return };
    let files = Files::new();
    files.add("day.om", DAY);
    files.add("long.om", &long_text(7));
    for (number, args) in [
        &["openmetrics", "day.om"][..],
        &["openmetrics", "--label=job=a", "--label=of:300", "day.om"],
        &["openmetrics", "-r", "long.om"],
        &["openmetrics", "--max-block-duration=1d", "long.om"],
        &["openmetrics", "--max-block-duration=6h", "--human-readable", "long.om"],
        &["openmetrics", "-q", "day.om"],
        &["-q", "openmetrics", "long.om"],
    ]
    .into_iter()
    .enumerate()
    {
        let folders = [format!("ours{number}"), format!("theirs{number}")];
        let [by_us, by_them] = [(ours(), &folders[0]), (original.clone(), &folders[1])]
            .map(|(promtool, folder)| run(&promtool, &files, &[args, &[folder.as_str()]].concat()));
        assert_eq!(text(&by_us.stderr), text(&by_them.stderr), "{args:?}");
        assert_eq!(by_us.status.code(), by_them.status.code(), "{args:?}");
        assert_eq!(table(&by_us), table(&by_them), "{args:?}");
        let expected = content(&original, &files, &folders[1]);
        assert_eq!(content(&original, &files, &folders[0]), expected, "{args:?}");
        assert_eq!(content(&ours(), &files, &folders[0]), expected, "{args:?}");
        assert!(!expected.1.is_empty());
    }
}

#[test]
fn what_is_refused_is_refused_in_the_words_of_the_original() {
    let Some(original) = original() else { return };
    let files = Files::new();
    files.add("day.om", DAY);
    files.add("no_time.om", "a 1\n# EOF\n");
    files.add("no_end.om", "a 1 1\n");
    files.add("no_number.om", "a 1 1\na b 1\n# EOF\n");
    files.add("nothing.om", "# EOF\n");
    files.add("file", "");
    files.add("rules.yml", "groups: [{name: a, rules: [{record: b, expr: vector(1)}]}]\n");
    files.add("wrong.yml", "groups: [{name: a, rules: [{record: b, expr: sum(1)}]}]\n");
    let url = "--url=http://127.0.0.1:1";
    for args in [
        &["openmetrics"][..],
        &["openmetrics", "missing.om"],
        &["openmetrics", "no_time.om"],
        &["openmetrics", "no_end.om"],
        &["openmetrics", "no_number.om"],
        &["openmetrics", "nothing.om"],
        &["openmetrics", "day.om", "file"],
        &["openmetrics", "--label=a", "day.om"],
        &["rules"],
        &["rules", "--start=1"],
        &["rules", "--start=1", "missing.yml"],
        &["rules", url, "--start=x", "rules.yml"],
        &["rules", url, "--start=1", "--end=y", "rules.yml"],
        &["rules", url, "--start=2", "--end=2", "rules.yml"],
        &["rules", url, "--start=1", "--end=2", "wrong.yml"],
    ] {
        let (by_us, by_them) = (run(&ours(), &files, args), run(&original, &files, args));
        // The log of the original is not compared; where reading stopped, only ours tells.
        let words = |output: &Output| -> Vec<String> {
            let text = text(&output.stderr);
            let is_word = |line: &&str| !line.contains("level=INFO");
            let line = |line: &str| {
                let line = line.split(" (line ").next().unwrap();
                let line = line.split(" got none:").next().unwrap_or(line);
                let line = if line.ends_with("for series") {
                    format!("{line} got none")
                } else {
                    line.to_owned()
                };
                line.to_owned()
            };
            text.lines().filter(is_word).map(line).collect()
        };
        assert_eq!(words(&by_us), words(&by_them), "{args:?}");
        assert_eq!(by_us.status.code(), by_them.status.code(), "{args:?}");
        assert_eq!(text(&by_us.stdout), text(&by_them.stdout), "{args:?}");
    }
}

#[test]
fn samples_come_in_any_order_and_none_is_lost() {
    let files = Files::new();
    // The original keeps four of these, and says nothing.
    files.add(
        "a.om",
        "a 1 20000\na 2 10000\na 3 20000\na 1 20000\na 5 15000\na 6 -20000\na 7 -0.001\na 8 0\n# EOF\n",
    );
    let output = run(&ours(), &files, &["openmetrics", "a.om", "out"]);
    assert!(output.status.success());
    let told = text(&output.stderr);
    assert!(told.contains("1 samples left out") && told.lines().count() == 1, "{told}");
    let (metas, lines) = content(&ours(), &files, "out");
    let mut expected = ["2 10000000", "5 15000000", "1 20000000", "6 -20000000", "7 -1", "8 0"]
        .map(|sample| format!("{{__name__=\"a\"}} {sample}"));
    expected.sort();
    assert_eq!(lines, expected);
    let times: Vec<_> =
        metas.iter().map(|meta| (meta["minTime"].as_i64(), meta["maxTime"].as_i64())).collect();
    let block = |begin: i64, end: i64| (Some(begin), Some(end));
    let blocks = [
        block(-20_000_000, -19_999_999),
        block(-1, 0),
        block(0, 1),
        block(10_000_000, 10_000_001),
        block(15_000_000, 20_000_001),
    ];
    assert_eq!(times, blocks);
}

#[test]
fn times_that_no_block_can_hold_are_refused_at_once() {
    for time in ["5.5e300", "-5.5e300", "9.3e15", "-9.3e15", "NaN", "Inf"] {
        let files = Files::new();
        files.add("a.om", &format!("b 1 1\na{{x=\"y\"}} 1 {time}\n# EOF\n"));
        let output = run(&ours(), &files, &["openmetrics", "a.om", "out"]);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{time}: {told}");
        let is_named = told.contains("a{x=\"y\"} is out of range") || told.contains("timestamp");
        assert!(is_named, "{time}: {told}");
        assert!(!files.directory.path().join("out").exists(), "{time}");
    }
    // Far apart is fine: what lies between is not looked at.
    let files = Files::new();
    files.add("a.om", "a 1 1\na 1 9e15\na 1 -9e15\n# EOF\n");
    let output = run(&ours(), &files, &["openmetrics", "a.om", "out"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(table(&output).len(), 4);
}

/// Answers every query with two points of one series, and notes what was asked.
fn fake_server(answers_count: usize) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/prefix/", listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for _ in 0..answers_count {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while !head.ends_with("\r\n\r\n") {
                reader.read_line(&mut head).unwrap();
            }
            let line = head.lines().next().unwrap().to_owned();
            let start = line.split("start=").nth(1).unwrap().split('&').next().unwrap();
            let body = format!(
                "{{\"status\":\"success\",\"data\":{{\"resultType\":\"matrix\",\"result\":[{{\"metric\":\
                 {{\"__name__\":\"x\",\"own\":\"1\",\"over\":\"1\"}},\"values\":[[{start},\"1.5\"],[{}.25,\"NaN\"]]}}]}},\
                 \"warnings\":[\"mind the gap\"]}}",
                start.split('.').next().unwrap().parse::<i64>().unwrap() + 60
            );
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all((head + &body).as_bytes()).unwrap();
            asked.push(line);
        }
        asked
    });
    (url, thread)
}

#[test]
fn rules_become_blocks_with_the_labels_of_the_rule() {
    let files = Files::new();
    files.add(
        "r.yml",
        "groups: [{name: one, labels: {over: group, of: group}, rules: [\
         {record: r, expr: \"sum(a) + 1\", labels: {of: rule}}, {alert: b, expr: c}]}]\n",
    );
    let (url, server) = fake_server(2);
    let (begin, end) = ("--start=1700000000", "--end=2023-11-15T01:00:00Z");
    let url = format!("--url={url}");
    let args = ["rules", &url, begin, end, "--output-dir=out", "r.yml"];
    let output = run(&ours(), &files, &args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("warnings=\"mind the gap\""));
    let asked = server.join().unwrap();
    let query = "GET /prefix/api/v1/query_range?query=sum%28a%29%20%2B%201";
    let path = |start: &str, end: &str| format!("{query}&start={start}&end={end}&step=60 HTTP/1.1");
    let expected = [path("1700000006.690", "1700006399"), path("1700006426.690", "1700010000")];
    assert_eq!(asked, expected);
    let (metas, lines) = content(&ours(), &files, "out");
    assert_eq!(metas.len(), 2);
    let labels = "{__name__=\"r\", of=\"rule\", over=\"group\", own=\"1\"}";
    let sample = |value: &str, time: i64| format!("{labels} {value} {time}");
    let expected = [
        sample("1.5", 1_700_000_006_690),
        sample("1.5", 1_700_006_426_690),
        sample("NaN", 1_700_000_066_250),
        sample("NaN", 1_700_006_486_250),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_bench_has_the_stages_of_the_original() {
    let files = Files::new();
    files
        .add("series.json", "{\"__name__\":\"a\",\"b\":\"c\"}\n{\"__name__\":\"a\",\"b\":\"d\"}\n");
    let output = files.run(&["tsdb", "bench", "write", "--scrapes=150", "series.json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<String> = text(&output.stdout)
        .lines()
        .map(|line| line.split("duration=").next().unwrap().trim_end().to_owned())
        .collect();
    assert_eq!(
        [&lines[..6], &lines[7..]].concat(),
        [
            ">> start stage=readData",
            ">> completed stage=readData",
            ">> start stage=ingestScrapes",
            "ingestion completed",
            ">> completed stage=ingestScrapes",
            " > total samples: 400",
            ">> start stage=stopStorage",
            ">> completed stage=stopStorage",
        ]
    );
    assert!(lines[6].starts_with(" > samples/sec: "));
    assert!(files.directory.path().join("benchout/storage/wal").is_dir());
    files.check(
        &["tsdb", "bench", "write", "missing.json"],
        1,
        ">> start stage=readData\n",
        "open missing.json: no such file or directory\n",
    );
}
