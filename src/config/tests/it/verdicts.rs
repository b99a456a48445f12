//! Verdicts on the reference's own configuration files (`PROMETHEUS_CONFORMANCE`). Files of what this build
//! does not support yet must be refused for that reason alone; all others as the reference does.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use prom_config::load_file;

/// Bad files whose cause lies in what is supported, and what the reference (3.5.3) says of them.
#[rustfmt::skip]
const TEXTS: [(&str, &str); 50] = [
    ("bearertoken", "at most one of bearer_token & bearer_token_file must be configured"),
    ("bearertoken_basicauth", "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured"),
    ("dropequal", "relabel configuration for dropequal action requires 'target_label' value"),
    ("dropequal1", "dropequal action requires only 'source_labels' and `target_label`, and no other fields"),
    ("empty_alert_relabel_config", "empty or null alert relabeling rule"),
    ("empty_alertmanager_relabel_config", "empty or null Alertmanager target relabeling rule"),
    ("empty_metric_relabel_config", "empty or null metric relabeling rule in scrape config"),
    ("empty_scrape_config", "empty or null scrape config section"),
    ("empty_scrape_config_action", "relabel action cannot be empty"),
    ("empty_static_config", "empty or null section in static_configs"),
    ("empty_target_relabel_config", "empty or null target relabeling rule in scrape config"),
    ("jobname", "job_name is empty"),
    ("jobname_dup", "found multiple scrape configs with job name \"prometheus\""),
    ("keepequal", "relabel configuration for keepequal action requires 'target_label' value"),
    ("keepequal1", "keepequal action requires only 'source_labels' and `target_label`, and no other fields"),
    ("labeldrop", "labeldrop action requires only 'regex', and no other fields"),
    ("labeldrop2", "labeldrop action requires only 'regex', and no other fields"),
    ("labeldrop3", "labeldrop action requires only 'regex', and no other fields"),
    ("labeldrop4", "labeldrop action requires only 'regex', and no other fields"),
    ("labeldrop5", "labeldrop action requires only 'regex', and no other fields"),
    ("labelkeep", "labelkeep action requires only 'regex', and no other fields"),
    ("labelkeep2", "labelkeep action requires only 'regex', and no other fields"),
    ("labelkeep3", "labelkeep action requires only 'regex', and no other fields"),
    ("labelkeep4", "labelkeep action requires only 'regex', and no other fields"),
    ("labelkeep5", "labelkeep action requires only 'regex', and no other fields"),
    ("labelmap", "yaml: !!binary value contains invalid base64 data"),
    ("labelname", "\"\\xff\" is not a valid label name"),
    ("labelvalue", "\"\\xff\" is not a valid label value"),
    ("lowercase", "relabel configuration for lowercase action requires 'target_label' value"),
    ("lowercase3", "'replacement' can not be set for lowercase action"),
    ("metric_name_validation_scheme", "unknown global name validation method specified, must be either 'legacy' or 'utf8', got invalid_scheme"),
    ("modulus_missing", "relabel configuration for hashmod requires non-zero modulus"),
    ("regex", "error parsing regexp: missing closing ): `^(?s:abc(def)$`"),
    ("scrape_body_size_limit", "units: unknown unit  in 100"),
    ("scrape_config_files", "scrape timeout greater than scrape interval for scrape config with job name \"prometheus\""),
    ("scrape_config_files_fallback_scrape_protocol1", "invalid fallback_scrape_protocol for scrape config with job name \"node\": unknown scrape protocol prometheusproto, supported: [OpenMetricsText0.0.1 OpenMetricsText1.0.0 PrometheusProto PrometheusText0.0.4 PrometheusText1.0.0]"),
    ("scrape_config_files_fallback_scrape_protocol2", "yaml: unmarshal errors:\n  line 3: cannot unmarshal !!seq into config.ScrapeProtocol"),
    ("scrape_config_files_scrape_protocols", "scrape_protocols: unknown scrape protocol prometheusproto, supported: [OpenMetricsText0.0.1 OpenMetricsText1.0.0 PrometheusProto PrometheusText0.0.4 PrometheusText1.0.0] for scrape config with job name \"node\""),
    ("scrape_config_files_scrape_protocols2", "duplicated protocol in scrape_protocols, got [OpenMetricsText1.0.0 PrometheusProto OpenMetricsText1.0.0] for scrape config with job name \"node\""),
    ("scrape_config_utf8_conflicting", "utf8 metric names requested but validation scheme is not set to UTF8"),
    ("scrape_interval", "scrape timeout greater than scrape interval for scrape config with job name \"prometheus\""),
    ("section_key_dup", "yaml: unmarshal errors:\n  line 4: field scrape_configs already set in type config.plain"),
    ("static_config", "yaml: unmarshal errors:\n  line 1: field targets not found in type config.plain\n  line 2: field labels not found in type config.plain"),
    ("target_label_hashmod_missing", "relabel configuration for hashmod action requires 'target_label' value"),
    ("target_label_missing", "relabel configuration for replace action requires 'target_label' value"),
    ("unknown_attr", "yaml: unmarshal errors:\n  line 19: field consult_sd_configs not found in type config.ScrapeConfig"),
    ("unknown_global_attr", "yaml: unmarshal errors:\n  line 2: field nonexistent_field not found in type config.plain"),
    ("uppercase", "relabel configuration for uppercase action requires 'target_label' value"),
    ("uppercase3", "'replacement' can not be set for uppercase action"),
    ("url_in_targetgroup", "\"http://bad\" is not a valid hostname"),
];

fn conformance() -> Option<PathBuf> {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance");
    let path = env::var_os("PROMETHEUS_CONFORMANCE").map_or_else(default, PathBuf::from);
    if path.join("config").is_dir() {
        return Some(path);
    }
    println!("skipped: {} has no conformance data", path.display());
    None
}

/// Names of files in a folder that end in `.yml`.
fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".yml")).collect();
    names.sort();
    names
}

#[test]
fn good_files_load_or_are_not_supported_yet_and_bad_ones_are_refused() {
    let Some(folder) = conformance() else { return };
    let folder = folder.join("config");
    let texts: BTreeMap<_, _> = TEXTS.into_iter().collect();
    let (mut loaded, mut unsupported, mut refused, mut told) = (0, 0, 0, 0);
    for name in files(&folder) {
        let verdict = load_file(&folder.join(&name));
        let Some(bad) = name.strip_suffix(".bad.yml") else {
            match verdict {
                Ok(_) => loaded += 1,
                Err(errors) if !name.ends_with(".good.yml") => {
                    assert!(errors.is_invalid(), "{errors}");
                }
                Err(errors) => {
                    assert!(errors.is_unsupported(), "{errors}");
                    unsupported += 1;
                }
            }
            continue;
        };
        // What these files include is not read yet, and is what makes them bad.
        let errors = verdict.expect_err(&name).to_string();
        refused += 1;
        if let Some(text) = texts.get(bad) {
            let start = format!("parsing YAML file {}: {text}\n", folder.join(&name).display());
            assert!(errors.starts_with(&start), "expected {start}\n got {errors}");
            told += 1;
        } else {
            assert!(errors.contains("is not supported by this build yet"), "{errors}");
        }
    }
    println!(
        "{loaded} loaded, {unsupported} not supported yet, {refused} refused, {told} of them as the reference does"
    );
    assert_eq!(told, TEXTS.len());
}

#[test]
fn documented_examples_load_or_are_not_supported_yet() {
    const OTHER_FILES: [&str; 3] =
        ["promtool-http-config-file.yml", "rbac-setup.yml", "web-config.yml"];
    let Some(folder) = conformance() else { return };
    let folder = folder.join("config_examples");
    for name in files(&folder) {
        match load_file(&folder.join(&name)) {
            Ok(_) => assert!(!OTHER_FILES.contains(&name.as_str()), "{name}"),
            Err(errors) => {
                assert_eq!(
                    errors.is_unsupported(),
                    !OTHER_FILES.contains(&name.as_str()),
                    "{errors}"
                );
                assert_ne!(
                    name, "prometheus.yml",
                    "the file everybody starts from loads: {errors}"
                );
            }
        }
    }
}
