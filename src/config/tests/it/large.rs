//! A large configuration: what loading costs, and that a reload holds equal parts once. The size comes from
//! `PROMETHEUS_CONFIG_JOBS` (jobs; twenty targets and five rules each).

use std::{cell::Cell, env, fs, path::Path, sync::Arc};

use prom_config::{ExprCheck, LoadOptions, Sources, load_with};

const DEFAULT_JOB_COUNT: usize = 200;
const RULES_PER_FILE: usize = 500;

/// CPU time of this thread so far, in milliseconds: a test has one of its own.
fn cpu_ms() -> f64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let ns = text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok());
    ns.expect("the kernel counts the time of threads") / 1e6
}

fn write(directory: &Path, job_count: usize, changed: Option<usize>) -> std::path::PathBuf {
    let mut text =
        String::from("global: {scrape_interval: 15s}\nrule_files: ['*.rules']\nscrape_configs:\n");
    for job in 0..job_count {
        let path = if changed == Some(job) { "/changed" } else { "/metrics" };
        text.push_str(&format!(
            "- job_name: job{job}\n  metrics_path: {path}\n  static_configs:\n  - targets:\n"
        ));
        for target in 0..20 {
            text.push_str(&format!("    - host{target}.rack{job}.example.org:9100\n"));
        }
        text.push_str("    labels: {team: storage}\n  relabel_configs:\n  - {source_labels: [__address__], regex: '([^.]+)\\..*', target_label: host}\n");
    }
    let path = directory.join("prometheus.yml");
    fs::write(&path, text).unwrap();
    for (file, start) in (0..job_count * 5).step_by(RULES_PER_FILE).enumerate() {
        let mut text = format!("groups:\n- name: g{file}\n  rules:\n");
        for rule in start..(start + RULES_PER_FILE).min(job_count * 5) {
            text.push_str(&format!("  - record: job:requests{rule}:rate5m\n    expr: sum by (job) (rate(http_requests_total{{n=\"{rule}\"}}[5m]))\n"));
        }
        fs::write(directory.join(format!("f{file}.rules")), text).unwrap();
    }
    path
}

#[test]
fn a_large_configuration_loads_and_shares_what_did_not_change() {
    let jobs = env::var("PROMETHEUS_CONFIG_JOBS").ok().and_then(|jobs| jobs.parse().ok());
    let job_count = jobs.unwrap_or(DEFAULT_JOB_COUNT);
    let directory = tempfile::tempdir().unwrap();
    let path = write(directory.path(), job_count, None);
    let checked_count = Cell::new(0);
    let check = |_: &str| {
        checked_count.set(checked_count.get() + 1);
        Ok(())
    };
    let load = |previous| {
        let check_expression: Option<&ExprCheck<'_>> = Some(&check);
        let options = LoadOptions { previous, check_expression, ..LoadOptions::CHECK };
        let start_ms = cpu_ms();
        let config = load_with(&path, &mut Sources::of_disk(), &options).unwrap();
        (config, cpu_ms() - start_ms)
    };
    let (first, first_ms) = load(None);
    write(directory.path(), job_count, Some(7));
    let (second, second_ms) = load(Some(&first));
    assert!(first_ms > 0.0 && second_ms > 0.0, "the clock stands");
    println!("{job_count} jobs: {first_ms:.0} ms of CPU to load, {second_ms:.0} ms again");
    let pairs = first.scrape_configs.iter().zip(&second.scrape_configs);
    let shared = pairs.filter(|(one, other)| Arc::ptr_eq(one, other)).count();
    assert_eq!(shared, job_count - 1);
    let pairs = first.rule_files.iter().zip(&second.rule_files);
    assert!(pairs.into_iter().all(|(one, other)| Arc::ptr_eq(one, other)));
    let rules: usize =
        second.rule_files.iter().flat_map(|file| &file.groups).map(|group| group.rules.len()).sum();
    assert_eq!(rules, job_count * 5);
    assert_eq!(checked_count.get(), rules, "unchanged rules are checked once");

    // That nothing has changed is known without a check.
    assert!(second.is_unchanged_in(&path, &mut Sources::of_disk()));
    assert!(!first.is_unchanged_in(&path, &mut Sources::of_disk()));
    assert!(!second.is_unchanged_in(Path::new("/other.yml"), &mut Sources::of_disk()));
    let added = directory.path().join("added.rules");
    fs::write(&added, "groups: []").unwrap();
    assert!(!second.is_unchanged_in(&path, &mut Sources::of_disk()));
    fs::remove_file(&added).unwrap();
    assert!(second.is_unchanged_in(&path, &mut Sources::of_disk()));

    // A file that changes is checked again, and so are all where names are looked at in another way.
    let file = directory.path().join("f0.rules");
    fs::write(&file, fs::read_to_string(&file).unwrap() + "# more\n").unwrap();
    checked_count.set(0);
    let (third, _) = load(Some(&second));
    assert_eq!(checked_count.get(), rules.min(RULES_PER_FILE));
    let text = fs::read_to_string(&path).unwrap();
    let legacy = text.replace("global: {", "global: {metric_name_validation_scheme: legacy, ");
    fs::write(&path, legacy).unwrap();
    checked_count.set(0);
    load(Some(&third));
    assert_eq!(checked_count.get(), rules);
}
