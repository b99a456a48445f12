//! Verdicts on the original's own configuration files (`PROMETHEUS_CONFORMANCE`), compared with those of the
//! installed original. The data is that of 3.14, the installed one may be older: every difference is listed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use prom_config::{Config, ConfigErrors, IncludedFiles, LoadOptions, Sources, load_with};

use crate::reference::verdicts;
use prom_testkit::{conformance, peer};

/// Keys that the installed 3.5.3 does not know, and since when there are such or why it has none.
const NOT_IN_PEER: [(&str, &str); 17] = [
    ("azure_sd_configs", "left out of the distribution's build"),
    ("consul_sd_configs", "left out of the distribution's build"),
    ("kuma_sd_configs", "left out of the distribution's build"),
    ("nomad_sd_configs", "left out of the distribution's build"),
    ("openstack_sd_configs", "left out of the distribution's build"),
    ("stackit_sd_configs", "left out of the distribution's build"),
    ("oci_sd_configs", "3.14"),
    ("outscale_sd_configs", "after 3.5"),
    ("extra_scrape_metrics", "after 3.5"),
    ("scrape_native_histograms", "after 3.5"),
    ("label_name_underscore_sanitization", "after 3.5"),
    ("label_name_preserve_multiple_underscores", "after 3.5"),
    ("promote_scope_metadata", "after 3.5"),
    ("stale_series_compaction_threshold", "after 3.5"),
    ("retention", "after 3.5: only flags said it"),
    ("chunk_encoding", "3.14"),
    ("azuread", "left out of the distribution's build"),
];

/// Files of which the installed 3.5.3 says something else: what it says (nothing if it takes the file),
/// what we and 3.14 say, and why.
#[rustfmt::skip]
const OTHER_IN_PEER: [(&str, &str, &str, &str); 11] = [
    ("kubernetes_selectors_pod.bad", "pod role supports only pod selectors", "pod role supports only pod, node selectors", "selectors of nodes for pods came after 3.5"),
    ("kubernetes_selectors_pod.good", "pod role supports only pod selectors", "", "selectors of nodes for pods came after 3.5"),
    ("remote_write_authorization_header.bad", "authorization header must be changed via the basic_auth, authorization, oauth2, or sigv4 parameter", "authorization header must be changed via the basic_auth, authorization, oauth2, sigv4, azuread or google_iam parameter", "the distribution's build has no azuread"),
    ("remote_write_queue_capacity_zero.bad", "", "remote write queue capacity must be positive", "queues are checked since after 3.5"),
    ("remote_write_queue_max_backoff_less_than_min.bad", "", "remote write queue max_backoff must not be less than min_backoff", "queues are checked since after 3.5"),
    ("remote_write_queue_max_samples_per_send_zero.bad", "", "remote write queue max_samples_per_send must be positive", "queues are checked since after 3.5"),
    ("remote_write_queue_max_shards_zero.bad", "", "remote write queue max_shards must be positive", "queues are checked since after 3.5"),
    ("remote_write_queue_min_shards_greater_than_max.bad", "", "remote write queue min_shards must not be greater than max_shards", "queues are checked since after 3.5"),
    ("remote_write_queue_min_shards_zero.bad", "", "remote write queue min_shards must be positive", "queues are checked since after 3.5"),
    ("remote_write_wrong_msg.bad", "invalid protobuf_message value: unknown remote write protobuf message io.prometheus.writet.v2.Request, supported: prometheus.WriteRequest, io.prometheus.write.v2.Request", "invalid protobuf_message value: unknown type for remote write protobuf message io.prometheus.writet.v2.Request, supported: prometheus.WriteRequest, io.prometheus.write.v2.Request", "reworded after 3.5"),
    ("scrape_config_local_infer_escaping", "utf8 metric names requested but validation scheme is not set to UTF8", "", "a job's own validation decides its escaping since after 3.5"),
];

/// Examples that are files of another kind.
const OTHER_FILES: [&str; 3] =
    ["promtool-http-config-file.yml", "rbac-setup.yml", "web-config.yml"];

/// Files without a verdict in their names that are refused, and why.
#[rustfmt::skip]
const NOT_LOADED: [(&str, &str); 7] = [
    ("agent_mode.with_alert_manager", "an agent sends no alerts"),
    ("agent_mode.with_alert_relabels", "an agent sends no alerts"),
    ("agent_mode.with_remote_reads", "an agent reads nothing"),
    ("agent_mode.with_rule_files", "an agent has no rules"),
    ("config_with_deprecated_am_api_config", "version 1 of the Alertmanager's API is gone"),
    ("otlp_allow_utf8.incompatible", "names of OTLP need UTF-8, which is switched off"),
    ("otlp_no_translation.incompatible", "names of OTLP need UTF-8, which is switched off"),
];

/// Files of a folder that end in `.yml`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|it| it == "yml")).collect();
    paths.sort();
    paths
}

fn load(path: &Path, is_agent: bool, skips_included: bool) -> Result<Config, ConfigErrors> {
    let included = if skips_included { IncludedFiles::None } else { IncludedFiles::All };
    let options = LoadOptions { is_agent, included, ..LoadOptions::CHECK };
    load_with(path, &mut Sources::of_disk(), &options)
}

/// The part of a refusal that the original prints too, or that of a good file.
fn headline(verdict: Result<Config, ConfigErrors>) -> Option<String> {
    let errors = verdict.err()?;
    assert!(errors.is_invalid(), "{errors}");
    assert!(errors.errors.iter().all(|error| error.line > 0 || error.file.is_some()), "{errors}");
    let text = errors.to_string();
    let lines: Vec<&str> = text.lines().collect();
    let own: usize = errors.errors.iter().map(|error| error.message.lines().count()).sum();
    Some(lines[..lines.len() - own].join("\n"))
}

/// Whether all that the original complains about are keys that it does not know.
fn is_of_unknown_keys(reason: &str) -> bool {
    let Some((_, list)) = reason.split_once("yaml: unmarshal errors:\n") else { return false };
    list.lines().all(|line| {
        let key = line.split_once(": field ").and_then(|(_, rest)| rest.split(' ').next());
        NOT_IN_PEER.iter().any(|(known, _)| key == Some(*known))
    })
}

/// Whether a difference is one that is listed.
fn is_explained(path: &Path, ours: Option<&str>, theirs: Option<&str>) -> bool {
    let stem = path.file_stem().unwrap().to_str().unwrap();
    let message = |text: Option<&str>| {
        let text = text.unwrap_or_default();
        text.split_once(".yml: ").map_or(text, |(_, message)| message).to_owned()
    };
    if let Some((_, peer, own, _)) = OTHER_IN_PEER.iter().find(|(name, ..)| *name == stem) {
        return message(theirs) == *peer && message(ours) == *own;
    }
    // That named files are there is promtool's check, not that of the format.
    if theirs.is_some_and(|reason| reason.starts_with("error checking client ")) {
        return ours.is_none();
    }
    theirs.is_some_and(is_of_unknown_keys) && ours.is_some() == stem.ends_with(".bad")
}

/// Whether there is a listed reason for which the installed original refuses a good file, or the file is none
/// of a server: one of another kind, or of an agent.
pub(crate) fn is_not_for_peer(path: &Path, reason: &str) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap();
    let stem = path.file_stem().unwrap().to_str().unwrap();
    OTHER_FILES.contains(&name)
        || OTHER_IN_PEER.iter().any(|(known, ..)| *known == stem)
        || NOT_LOADED.iter().any(|(known, _)| *known == stem)
        || is_of_unknown_keys(reason)
}

/// All files of a folder stand in a list or are held by a test of this room: none is overlooked.
#[test]
fn every_file_has_a_verdict_that_is_expected() {
    let (Some(data), Some(examples)) = (conformance("config"), conformance("config_examples"))
    else {
        return;
    };
    let mut loaded = 0;
    for path in files(&data).into_iter().chain(files(&examples)) {
        let (name, stem) = (path.file_name().unwrap(), path.file_stem().unwrap());
        let (name, stem) = (name.to_str().unwrap(), stem.to_str().unwrap());
        let is_agent = name.contains("agent");
        let is_refused = name.ends_with(".bad.yml")
            || OTHER_FILES.contains(&name)
            || NOT_LOADED.iter().any(|(known, _)| *known == stem);
        let verdict = load(&path, is_agent, false);
        assert_eq!(verdict.is_err(), is_refused, "{name}: {verdict:?}");
        loaded += usize::from(!is_refused);
    }
    assert!(loaded > 60, "{loaded}");
    // What is no `.yml` at the top is brought in by others.
    for part in ["first.rules", "scrape_configs"] {
        assert!(data.join(part).exists(), "{part}");
    }
}

#[test]
fn verdicts_and_texts_are_those_of_the_original() {
    let (Some(data), Some(promtool)) = (conformance("config"), peer("promtool")) else { return };
    let all = files(&data);
    let named = |part: &str| {
        let has = |path: &&PathBuf| path.file_name().unwrap().to_str().unwrap().contains(part);
        all.iter().filter(has).cloned().collect::<Vec<_>>()
    };
    let (mut equal, mut explained) = (0, 0);
    for (flags, is_agent, skips_included, files) in [
        ("--syntax-only", false, true, all.clone()),
        ("--syntax-only --agent", true, true, named("agent_mode")),
        ("", false, false, named("scrape_config_files")),
    ] {
        for (path, theirs) in verdicts(&promtool, flags, &files) {
            let ours = headline(load(&path, is_agent, skips_included));
            if ours == theirs {
                equal += 1;
                continue;
            }
            assert!(
                is_explained(&path, ours.as_deref(), theirs.as_deref()),
                "{} {flags}\n  ours: {ours:?}\n  real: {theirs:?}",
                path.display()
            );
            explained += 1;
        }
    }
    println!(
        "{equal} verdicts and texts are equal, {explained} differ for reasons that are listed"
    );
}

#[test]
fn good_files_load_and_bad_ones_do_not() {
    let Some(data) = conformance("config") else { return };
    for path in files(&data) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let verdict = load(&path, false, false);
        if name.ends_with(".good.yml") {
            assert!(verdict.is_ok(), "{}", verdict.unwrap_err());
        } else if name.ends_with(".bad.yml") {
            let errors = verdict.expect_err(name);
            assert!(!errors.is_unsupported(), "{errors}");
        }
    }
}

#[test]
fn documented_examples_load() {
    let Some(data) = conformance("config_examples") else { return };
    for path in files(&data) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let verdict = load(&path, name.contains("agent"), false);
        assert_eq!(verdict.is_err(), OTHER_FILES.contains(&name), "{name}: {verdict:?}");
    }
}
