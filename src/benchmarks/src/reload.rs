//! A reload of 1 000 jobs with 20 000 targets and 5 000 rules of which one job has changed: how long it takes,
//! what it costs, and whether scrapes that run meanwhile come late.

use std::{
    fmt::Write as _,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    time::Duration,
};

use anyhow::{Result, bail};

use crate::{
    contender::{Contender, Kind, now},
    report,
};

const JOB_COUNT: usize = 1_000;
const TARGETS_PER_JOB: usize = 20;
const RULE_FILE_COUNT: usize = 50;
const RULES_PER_FILE: usize = 100;
const ROUND_COUNT: usize = 5;
/// Between two reloads, so that the watched scrapes go on as usual for a while.
const PAUSE: Duration = Duration::from_secs(2);
/// Of the targets whose lateness is watched, in milliseconds.
const WATCHED_INTERVAL_MS: u64 = 200;

pub(crate) fn run() -> Result<()> {
    let address = serve()?;
    report::line(
        "1 000 jobs, 20 000 targets, 5 000 rules, one job changed: minimum, median, maximum",
    );
    let mut measured = Vec::new();
    for kind in Kind::available(&[Kind::Ours, Kind::Original]) {
        measured.push((kind, measure(kind, &address)?));
    }
    let original = measured.iter().find(|(kind, _)| *kind == Kind::Original);
    for (kind, figures) in &measured {
        for (index, (name, values)) in figures.iter().enumerate() {
            let median = original.map(|(_, figures)| report::median(&figures[index].1));
            report::row(kind.name(), name, values, median);
        }
    }
    Ok(())
}

type Figures = [(&'static str, Vec<f64>); 5];

fn measure(kind: Kind, address: &str) -> Result<Figures> {
    let server = Contender::start(kind, &config(address, 0, false))?;
    for (index, text) in rule_files().iter().enumerate() {
        server.write_file(&format!("rules{index}.yml"), text)?;
    }
    reload(&server, &config(address, 0, true))?;
    std::thread::sleep(PAUSE);
    let pause_ms = pause_cpu_ms(&server)?;
    let (mut times, mut cpu, mut gaps) = (vec![], vec![], vec![]);
    let (mut resident, mut memory) = (vec![], vec![]);
    for round in 1..=ROUND_COUNT {
        let (cpu_before, memory_before) = (server.cpu_seconds()?, server.memory_bytes("RssAnon")?);
        resident.push(memory_before / 1e6);
        let begin = now();
        reload(&server, &config(address, round, true))?;
        times.push(begin.elapsed().as_secs_f64() * 1000.0);
        std::thread::sleep(PAUSE);
        cpu.push(((server.cpu_seconds()? - cpu_before) * 1000.0 - pause_ms).max(0.0));
        memory.push((server.memory_bytes("RssAnon")? - memory_before) / 1e6);
        gaps.push(longest_gap_ms(&server)?);
    }
    Ok([
        ("ms for the reload", times),
        ("ms of processor time for the reload", cpu),
        ("MB of memory before it", resident),
        ("MB of memory more than before", memory),
        ("ms between two watched scrapes at most", gaps),
    ])
}

/// Processor time of a pause without a reload: what the scrapes in it cost.
fn pause_cpu_ms(server: &Contender) -> Result<f64> {
    let before = server.cpu_seconds()?;
    std::thread::sleep(PAUSE);
    Ok((server.cpu_seconds()? - before) * 1000.0)
}

/// Writes the file and asks for a reload.
fn reload(server: &Contender, config: &str) -> Result<()> {
    server.write_file("prometheus.yml", config)?;
    let answer = server.post("/-/reload")?;
    if !answer.starts_with(b"HTTP/1.1 200") {
        bail!("the reload was refused: {}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}

/// All jobs; one of them differs from round to round.
fn config(address: &str, round: usize, has_rules: bool) -> String {
    let mut text = String::from("global: {scrape_interval: 5m}\n");
    if has_rules {
        text.push_str("rule_files: [\"rules*.yml\"]\n");
    }
    let mut write = |part: std::fmt::Arguments<'_>| {
        text.write_fmt(part).expect("a text takes all");
    };
    write(format_args!(
        "scrape_configs:\n- job_name: watched\n  scrape_interval: {WATCHED_INTERVAL_MS}ms\n  \
         scrape_timeout: {WATCHED_INTERVAL_MS}ms\n  static_configs:\n"
    ));
    for target in 0..TARGETS_PER_JOB {
        write(format_args!("  - {{targets: [\"{address}\"], labels: {{target: \"{target}\"}}}}\n"));
    }
    for job in 0..JOB_COUNT {
        let version = if job == JOB_COUNT / 2 { round } else { 0 };
        write(format_args!("- job_name: job{job}\n  static_configs:\n"));
        for target in 0..TARGETS_PER_JOB {
            write(format_args!(
                "  - {{targets: [\"{address}\"], labels: {{target: \"{target}\", version: \"{version}\"}}}}\n"
            ));
        }
    }
    text
}

fn rule_files() -> Vec<String> {
    let file = |index: usize| {
        let mut text = format!("groups:\n- name: group{index}\n  interval: 10m\n  rules:\n");
        for rule in 0..RULES_PER_FILE {
            let part = format!(
                "  - record: job:figure{rule}:rate5m\n    expr: sum by (job) (rate(figure{rule}[5m]))\n"
            );
            text.push_str(&part);
        }
        text
    };
    (0..RULE_FILE_COUNT).map(file).collect()
}

/// The longest time without a sample of a watched target, within the last pause.
fn longest_gap_ms(server: &Contender) -> Result<f64> {
    let range_s = PAUSE.as_secs() + 1;
    let path = format!("/api/v1/query?query=up%7Bjob%3D%22watched%22%7D%5B{range_s}s%5D");
    let answer = String::from_utf8_lossy(&server.get(&path)?).into_owned();
    let mut longest_ms: f64 = 0.0;
    for series in answer.split("\"values\":[[").skip(1) {
        let samples = series.split("]]").next().unwrap_or_default().split("],[");
        let times: Vec<f64> =
            samples.filter_map(|sample| sample.split(',').next()?.parse().ok()).collect();
        for pair in times.windows(2) {
            longest_ms = longest_ms.max((pair[1] - pair[0]) * 1000.0);
        }
    }
    Ok(longest_ms)
}

/// One target that all share; its threads end with the process.
fn serve() -> Result<String> {
    const BODY: &str = "figure 1\n";
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || -> Result<()> {
                let mut reader = BufReader::new(stream.try_clone()?);
                let mut line = String::new();
                loop {
                    line.clear();
                    if reader.read_line(&mut line)? == 0 {
                        return Ok(());
                    }
                    if line == "\r\n" {
                        write!(
                            stream,
                            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\
                             Content-Length: {}\r\n\r\n{BODY}",
                            BODY.len()
                        )?;
                    }
                }
            });
        }
    });
    Ok(address)
}
