//! The pages as people see them: drawn by a real browser, and read in a text browser. No script anywhere.

use std::{fs, path::PathBuf, process::Command};

use crate::harness::{Need, Server, ServerBuilder, eventually, need, repository};

const PAGES: [&str; 7] =
    ["/query", "/targets", "/config", "/lifecycle", "/status", "/flags", "/tsdb-status"];

/// A server that scrapes itself, with some history.
fn server() -> Server {
    let server =
        ServerBuilder::new("global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n").start();
    server.write_config(&format!(
        "global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}\n\
         scrape_configs: [{{job_name: self, static_configs: [{{targets: [\"{}\"]}}]}}]\n",
        server.address()
    ));
    assert_eq!(server.post("/-/reload", "").status, 200);
    eventually("some history", || server.value("count_over_time(up[1m])").filter(|n| *n > 20.0));
    server
}

const GRAPH: &str = "/query?g0.expr=rate(prometheus_tsdb_head_samples_appended_total%5B5s%5D)\
                     &g0.tab=graph&g0.range_input=1m";

#[test]
fn every_page_is_whole_and_without_script() {
    let server = server();
    for path in PAGES.iter().chain([&GRAPH]) {
        let answer = server.get(path);
        assert_eq!(answer.status, 200, "{path}");
        let page = answer.body.to_lowercase();
        assert!(page.starts_with("<!doctype html>"), "{path}");
        assert!(page.trim_end().ends_with("</html>"), "{path}");
        for forbidden in ["<script", "javascript:", " onclick=", " onload=", " style=\""] {
            assert!(!page.contains(forbidden), "{path} has {forbidden}");
        }
        assert!(answer.head.to_lowercase().contains("content-security-policy: default-src 'none'"));
    }
    assert!(server.get(GRAPH).body.contains("<svg"));
}

#[test]
fn slow_chromium_draws_the_graph() {
    let Some(chromium) = need(Need::Program("chromium")) else { return };
    let server = server();
    let folder = tempfile::tempdir().unwrap();
    let picture = folder.path().join("graph.png");
    let url = format!("http://{}{GRAPH}", server.address());
    let run = |args: &[String]| {
        let out = Command::new(&chromium)
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
            ])
            .args(["--no-first-run", "--disable-component-update", "--disable-sync"])
            .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
            .args(args)
            .arg(&url)
            .output()
            .unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    run(&[format!("--screenshot={}", picture.display()), "--window-size=1280,1000".to_owned()]);
    let size = fs::metadata(&picture).unwrap().len();
    assert!(size > 20_000, "the picture has only {size} bytes");
    keep(&picture);
    // the tree that the browser built has the drawn line in it
    let tree = run(&["--dump-dom".to_owned()]);
    assert!(tree.contains("<svg") && tree.contains("<path"), "{tree}");
}

#[test]
fn a_text_browser_is_enough() {
    let Some(w3m) = need(Need::Program("w3m")) else { return };
    let server = server();
    let read = |path: &str| {
        let url = format!("http://{}{path}", server.address());
        let out = Command::new(&w3m).args(["-dump", "-cols", "120", &url]).output().unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let table = read("/query?g0.expr=up&g0.tab=table");
    assert!(table.contains("up") && table.contains("self"), "{table}");
    let graph = read(GRAPH);
    assert!(graph.contains("Graph of 2 series") && graph.contains("type=\"float\""), "{graph}");
    let targets = read("/targets");
    assert!(targets.to_lowercase().contains("up") && targets.contains("self"), "{targets}");
    let lifecycle = read("/lifecycle");
    assert!(lifecycle.contains("StorageReady") && lifecycle.contains("Ready"), "{lifecycle}");
}

/// Leaves the picture where a person can look at it.
fn keep(picture: &PathBuf) {
    let folder = repository().join("target/pictures");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(picture, folder.join("graph.png")).unwrap();
}
