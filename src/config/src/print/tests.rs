//! Printed configurations against what the real server (3.5.3) answers at `/api/v1/status/config` for the
//! same file: `fixtures/status/*.real.yml`.
//!
//! Known differences, none of them in the fixtures: an empty `separator`, `replacement` or `regex` is printed
//! (as 3.14 does; left out, it would read back as the default); an empty
//! `http_headers` is left out; a job with UTF-8 names under legacy global ones escapes by its
//! own scheme (3.14).

use std::path::Path;

use crate::{LoadOptions, ScrapeProtocol, Sources, load_text, load_with};

/// File, answer, and whether they agree to the byte.
const FIXTURES: [(&str, &str, &str, bool); 5] = [
    (
        "defaults.yml",
        include_str!("../../fixtures/status/defaults.yml"),
        include_str!("../../fixtures/status/defaults.real.yml"),
        true,
    ),
    (
        "stock.yml",
        include_str!("../../fixtures/status/stock.yml"),
        include_str!("../../fixtures/status/stock.real.yml"),
        true,
    ),
    (
        "all_keys.yml",
        include_str!("../../fixtures/status/all_keys.yml"),
        include_str!("../../fixtures/status/all_keys.real.yml"),
        false,
    ),
    (
        "quotes.yml",
        include_str!("../../fixtures/status/quotes.yml"),
        include_str!("../../fixtures/status/quotes.real.yml"),
        false,
    ),
    (
        "legacy_names.yml",
        include_str!("../../fixtures/status/legacy_names.yml"),
        include_str!("../../fixtures/status/legacy_names.real.yml"),
        true,
    ),
];

fn print(name: &str, text: &str) -> String {
    let config = load_text(Path::new(name), text.as_bytes());
    config.unwrap_or_else(|errors| panic!("{errors}")).redacted_yaml()
}

#[test]
fn the_answer_is_that_of_the_real_server() {
    for (name, text, real, is_same) in FIXTURES {
        let ours = print(name, text);
        let data = |text: &str| serde_yaml::from_str::<serde_yaml::Value>(text).unwrap();
        assert_eq!(data(&ours), data(real), "{name}\n{ours}");
        if is_same {
            assert_eq!(ours.trim_end(), real.trim_end(), "{name}");
        }
    }
}

#[test]
fn the_answer_reads_back_as_the_same() {
    for (name, text, ..) in FIXTURES {
        let once = print(name, text);
        assert_eq!(print(name, &once), once, "{name}");
    }
}

#[test]
fn no_secret_is_printed() {
    let text = "scrape_configs:
- {job_name: a, basic_auth: {username: u, password: hunter2}}
- {job_name: b, authorization: {credentials: hunter2}, http_headers: {x: {secrets: [hunter2]}}}
- {job_name: c, bearer_token: hunter2}
";
    let shown = print("x.yml", text);
    assert!(!shown.contains("hunter2"), "{shown}");
    assert_eq!(shown.matches("<secret>").count(), 4);
}

#[test]
fn newer_keys_are_printed_where_they_differ() {
    let newer = ["scrape_native_histograms: true", "extra_scrape_metrics: true"];
    let plain = print("x.yml", "scrape_configs: [{job_name: a}]");
    let other = print("x.yml", &format!("scrape_configs: [{{job_name: a, {}}}]", newer.join(", ")));
    for key in newer {
        assert!(!plain.contains(key) && other.contains(key), "{other}");
    }
}

#[test]
fn protobuf_is_asked_for_first_where_that_is_preferred_and_nothing_else_is_said() {
    let options = LoadOptions { prefers_protobuf: true, ..LoadOptions::CHECK };
    let path = Path::new("x.yml");
    let proto = &ScrapeProtocol::DEFAULT_PROTO_FIRST[..];
    let text = &[ScrapeProtocol::PrometheusText0_0_4][..];
    for (global, job, expected) in [
        ("", "", [proto, proto]),
        ("global: {scrape_interval: 1s}\n", "", [proto, proto]),
        ("global: {scrape_protocols: [PrometheusText0.0.4]}\n", "", [text, text]),
        ("", ", scrape_protocols: [PrometheusText0.0.4]", [proto, text]),
    ] {
        let yaml = format!("{global}scrape_configs: [{{job_name: a{job}}}]");
        let mut sources = Sources::with_text(path, yaml.as_bytes());
        let config = load_with(path, &mut sources, &options).unwrap();
        let of_global = config.global.scrape_protocols.as_deref().unwrap();
        assert_eq!([of_global, &*config.scrape_configs[0].scrape_protocols], expected, "{yaml}");
        let shown = config.redacted_yaml();
        assert_eq!(shown.contains("- PrometheusProto"), expected[0] == proto, "{shown}");
    }
}
