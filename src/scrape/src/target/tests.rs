//! Discovered labels in, targets out.

use std::{path::Path, sync::Arc};

use prom_config::{ScrapeConfig, load_text};

use super::*;

fn job(keys: &str) -> Arc<ScrapeConfig> {
    let indented: String = keys.lines().map(|line| format!("    {line}\n")).collect();
    let text = format!(
        "global: {{scrape_interval: 1m, scrape_timeout: 10s}}\nscrape_configs:\n  - job_name: j\n{indented}"
    );
    let cfg = load_text(Path::new("test.yml"), text.as_bytes()).unwrap();
    Arc::clone(&cfg.scrape_configs[0])
}

fn target(
    keys: &str,
    target: &[(&str, &str)],
    group: &[(&str, &str)],
) -> Result<Relabelled, String> {
    let labels = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
    relabel_target(&job(keys), &labels(target), &labels(group))
        .map_err(|refused| refused.to_string())
}

const ADDRESS: (&str, &str) = ("__address__", "h:1");
const PLAIN: &[(&str, &str)] = &[ADDRESS];

fn check(keys: &str, labels: &[(&str, &str)], group: &[(&str, &str)], expected: &str) {
    let shown = match target(keys, labels, group) {
        Ok(Relabelled::Kept(spec)) => {
            format!("{} {} {:?}/{:?}", spec.url, spec.labels, spec.timeout, spec.interval)
        }
        Ok(Relabelled::Dropped(_)) => "dropped".to_owned(),
        Err(refused) => refused,
    };
    assert_eq!(shown, expected, "{keys}");
}

fn relabel(rules: &str) -> String {
    format!("relabel_configs:\n{rules}")
}

fn set(label: &str, value: &str) -> String {
    relabel(&format!("- {{target_label: {label}, replacement: '{value}'}}"))
}

#[test]
fn labels_url_and_rhythm_come_from_everywhere() {
    check("", PLAIN, &[], "http://h:1/metrics {instance=\"h:1\", job=\"j\"} 10s/60s");
    check(
        "",
        &[ADDRESS, ("a", "target"), ("__meta_x", "1")],
        &[("a", "group"), ("b", "group"), ("__meta_y", "2"), ("__secret", "3")],
        "http://h:1/metrics {a=\"target\", b=\"group\", instance=\"h:1\", job=\"j\"} 10s/60s",
    );
    check(
        "metrics_path: /x\nparams: {a: [p, q], b: [r]}",
        &[ADDRESS, ("job", "own"), ("instance", "name"), ("__param_a", "s"), ("__param_c", "t")],
        &[],
        "http://h:1/x?a=s&a=q&b=r&c=t {instance=\"name\", job=\"own\"} 10s/60s",
    );
    check(
        &set("__address__", "other:2"),
        PLAIN,
        &[],
        "http://other:2/metrics {instance=\"other:2\", job=\"j\"} 10s/60s",
    );
    check(
        &set("__scrape_interval__", "15s"),
        PLAIN,
        &[],
        "http://h:1/metrics {instance=\"h:1\", job=\"j\"} 10s/15s",
    );
    check(&relabel("- {source_labels: [job], regex: j, action: drop}"), PLAIN, &[], "dropped");
}

#[test]
fn targets_that_cannot_be_asked_are_refused_with_the_reason() {
    check(&set("__address__", ""), PLAIN, &[], "no address");
    check(&set("__address__", "h/x"), PLAIN, &[], "\"h/x\" is not a valid hostname");
    check(
        &set("__scrape_interval__", "x"),
        PLAIN,
        &[],
        "error parsing scrape interval: not a valid duration string: \"x\"",
    );
    check(
        &set("__scrape_timeout__", ""),
        PLAIN,
        &[],
        "error parsing scrape timeout: empty duration string",
    );
    check(&set("__scrape_interval__", "0s"), PLAIN, &[], "scrape interval cannot be 0");
    check(
        &set("__scrape_native_histograms__", "x"),
        PLAIN,
        &[],
        "error parsing scrape native histograms: strconv.ParseBool: parsing \"x\": invalid syntax",
    );
    check(
        &set("__scrape_timeout__", "2m"),
        PLAIN,
        &[],
        "scrape timeout cannot be greater than scrape interval (\"2m\" > \"1m\")",
    );
    check(
        &relabel("- {regex: '(job|__address__)', action: labelkeep}\n"),
        PLAIN,
        &[],
        "error parsing scrape interval: empty duration string",
    );
}

#[test]
fn discovered_labels_are_those_before_relabelling() {
    let keys = "relabel_configs: [{regex: __meta_x, action: labeldrop}]\nparams: {a: [p, q]}";
    let Ok(Relabelled::Kept(spec)) =
        target(keys, &[("__address__", "h:1"), ("__meta_x", "1")], &[])
    else {
        panic!("kept")
    };
    let expected = [
        ("__address__", "h:1"),
        ("__always_scrape_classic_histograms__", "false"),
        ("__convert_classic_histograms_to_nhcb__", "false"),
        ("__meta_x", "1"),
        ("__metrics_path__", "/metrics"),
        ("__param_a", "p"),
        ("__scheme__", "http"),
        ("__scrape_interval__", "1m"),
        ("__scrape_native_histograms__", "false"),
        ("__scrape_timeout__", "10s"),
        ("job", "j"),
    ];
    assert_eq!(spec.discovered, Labels::from_pairs(expected));
}

#[test]
fn identity_is_labels_and_url_but_not_rhythm() {
    let spec = |keys: &str, labels: &[(&str, &str)]| match target(keys, labels, &[]) {
        Ok(Relabelled::Kept(spec)) => spec,
        other => panic!("{other:?}"),
    };
    let plain = &[("__address__", "h:1")][..];
    let first = spec("", plain);
    let faster = spec("scrape_interval: 20s", plain);
    assert!(faster.key == first.key && faster.hash != first.hash);
    let meta = spec("", &[("__address__", "h:1"), ("__meta_x", "1")]);
    assert!(meta.key == first.key && meta.hash == first.hash);
    for other in [
        spec("metrics_path: /x", plain),
        spec("params: {a: [b]}", plain),
        spec("", &[("__address__", "h:2")]),
        spec("", &[("__address__", "h:1"), ("a", "b")]),
    ] {
        assert_ne!(other.key, first.key);
    }
}

#[test]
fn hashes_spread_targets_over_their_interval() {
    // The published test vectors of FNV-1a.
    for (text, expected) in [
        ("", 0xcbf2_9ce4_8422_2325),
        ("a", 0xaf63_dc4c_8601_ec8c),
        ("foobar", 0x8594_4171_f739_67e8),
    ] {
        assert_eq!(fnv1a(text), expected, "{text}");
    }
    let interval = Duration::from_secs(10);
    for (hash, seed, interval_ms, expected_us) in [
        (25_000_000_001, 0, 10_000, 5_000_000),
        (25_024_999_999, 0, 10_000, 5_000_000),
        (25_025_000_000, 0, 10_000, 5_025_000),
        (25_025_000_000, 25_025_000_000, 10_000, 0),
        (u64::MAX, 0, 1, 550),
    ] {
        let offset = offset(hash, seed, Duration::from_millis(interval_ms));
        assert_eq!(offset, Duration::from_micros(expected_us), "{hash} in {interval_ms} ms");
    }
    for (now_ms, offset_ms, expected_ms) in
        [(20_000, 3_000, 3_000), (22_000, 3_000, 1_000), (23_000, 3_000, 0), (24_000, 3_000, 9_000)]
    {
        let ms = Duration::from_millis;
        let delay = delay_to_offset(ms(now_ms), ms(offset_ms), interval);
        assert_eq!(delay, ms(expected_ms), "{now_ms}");
    }
    let labels = Labels::from_pairs([("a", "b")]);
    assert_ne!(offset_seed("h", &labels), offset_seed("h", &Labels::empty()));
    assert_ne!(offset_seed("h", &labels), offset_seed("i", &labels));
}

#[test]
fn a_socket_is_dialed_in_place_of_the_address() {
    let spec = |path: &str| match target("", &[ADDRESS, ("__unix_socket__", path)], &[]) {
        Ok(Relabelled::Kept(spec)) => spec,
        other => panic!("{other:?}"),
    };
    let (none, one, other) = (spec(""), spec("/run/one"), spec("/run/other"));
    assert_eq!(none.socket, None);
    assert_eq!(one.socket.as_deref(), Some(Path::new("/run/one")));
    assert!(one.url == none.url && one.labels == none.labels);
    assert!(one.key != none.key && one.key != other.key);
    let keys = set("__unix_socket__", "/run/$1");
    assert!(
        matches!(target(&keys, PLAIN, &[]), Ok(Relabelled::Kept(spec)) if spec.socket.is_some())
    );
    // Compat: `PopulateLabels` in Prometheus `scrape/target.go` asks for an address with a socket, too.
    check("", &[("__address__", ""), ("__unix_socket__", "/run/one")], &[], "no address");
}

#[test]
fn labels_of_a_target_decide_about_its_histograms() {
    let keys = "scrape_native_histograms: true\nrelabel_configs:\n\
                - {target_label: __convert_classic_histograms_to_nhcb__, replacement: T}\n\
                - {regex: __scrape_native_histograms__, action: labeldrop}\n\
                - {target_label: __always_scrape_classic_histograms__, replacement: \"0\"}";
    let Ok(Relabelled::Kept(spec)) = target(keys, &[("__address__", "h:1")], &[]) else {
        panic!("kept")
    };
    let HistogramRules { scrapes_native, keeps_classic, converts_classic, .. } = spec.histograms;
    assert_eq!((scrapes_native, keeps_classic, converts_classic), (true, false, true));
}
