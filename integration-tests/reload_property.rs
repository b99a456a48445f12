//! Random edits of a configuration while targets are scraped: after each, everything shows the new one or
//! everything the old one, and targets that no edit touches miss no scrape.
//! `RELOAD_SEED` replays a run, `RELOAD_EDITS` makes it longer.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::harness::{Server, ServerBuilder, Target, eventually};

const EDIT_COUNT: u64 = 40;
const JOB_COUNT: usize = 4;
const TARGET_COUNT: usize = 5;
const INTERVAL_MS: i64 = 100;
/// A scrape may be late on a busy machine, but a loop that starts anew would lose more than this.
const GAP_MAX_MS: i64 = 10 * INTERVAL_MS;

/// Jobs that edits change: each with its targets, and a label that stands for everything else in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Model {
    jobs: Vec<Option<Job>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Job {
    variant: u64,
    targets: BTreeSet<usize>,
}

/// Job, address and variant of each target.
type Shown = BTreeSet<(String, String, String)>;

/// A xorshift generator: any seed but zero.
struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

impl Model {
    fn edit(&mut self, random: &mut Random) {
        let job = random.next(JOB_COUNT as u64) as usize;
        let target = random.next(TARGET_COUNT as u64) as usize;
        match (&mut self.jobs[job], random.next(4)) {
            (slot @ Some(_), 0) => *slot = None,
            (Some(job), 1) => job.variant += 1,
            (Some(job), _) => {
                if !job.targets.remove(&target) {
                    job.targets.insert(target);
                }
            }
            (slot @ None, _) => {
                *slot = Some(Job { variant: 0, targets: BTreeSet::from([target]) });
            }
        }
    }

    /// The file; `number` makes each one different.
    fn yaml(&self, number: u64, steady: &[Target], targets: &[Target]) -> String {
        let addresses = |list: &[String]| format!("[{}]", list.join(", "));
        let quoted = |target: &Target| format!("\"{}\"", target.address());
        let steady: Vec<String> = steady.iter().map(quoted).collect();
        let mut yaml = format!(
            "global:\n  scrape_interval: {INTERVAL_MS}ms\n  scrape_timeout: {INTERVAL_MS}ms\n  \
             external_labels: {{edit: \"{number}\"}}\nscrape_configs:\n- job_name: steady\n  \
             static_configs:\n  - targets: {}\n",
            addresses(&steady)
        );
        for (index, job) in self.jobs.iter().enumerate() {
            let Some(job) = job else { continue };
            let list: Vec<String> = job.targets.iter().map(|t| quoted(&targets[*t])).collect();
            yaml.push_str(&format!(
                "- job_name: job{index}\n  static_configs:\n  - targets: {}\n    \
                 labels: {{variant: \"{}\"}}\n",
                addresses(&list),
                job.variant
            ));
        }
        yaml
    }

    fn shown(&self, targets: &[Target]) -> Shown {
        let mut shown = BTreeSet::new();
        for (index, job) in self.jobs.iter().enumerate() {
            for target in job.iter().flat_map(|job| &job.targets) {
                let address = targets[*target].address().to_owned();
                let variant = job.as_ref().map_or(0, |job| job.variant).to_string();
                shown.insert((format!("job{index}"), address, variant));
            }
        }
        shown
    }
}

/// What one moment shows: how many reloads have ended, the number in the configuration, the targets.
fn moment(server: &Server) -> Option<(u64, u64, Shown)> {
    let state = || {
        let data = server.get("/api/v1/status/lifecycle").json()["data"].clone();
        let count = data["reload"]["attempts_count"].as_u64().unwrap();
        (data["current"] == "Ready").then_some(count)
    };
    let before = state()?;
    let config = server.get("/api/v1/status/config").json();
    let targets = server.get("/api/v1/targets?state=active").json();
    // Between two looks at the same state of the lifecycle nothing was swapped.
    (state()? == before).then_some(())?;
    let yaml = config["data"]["yaml"].as_str().unwrap();
    let number = yaml.split("edit: \"").nth(1).unwrap().split('"').next().unwrap();
    let active = targets["data"]["activeTargets"].as_array().unwrap().iter();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let shown = active
        .map(|target| &target["labels"])
        .filter(|labels| labels["job"] != "steady")
        .map(|labels| (text(&labels["job"]), text(&labels["instance"]), text(&labels["variant"])));
    Some((before, number.parse().unwrap(), shown.collect()))
}

/// Edits the file as one of several editors does.
fn edit(server: &Server, text: &str, random: &mut Random) {
    let path = server.config_path();
    match random.next(3) {
        0 => server.write_config(text),
        1 => replace(path, text),
        _ => {
            replace(path, text);
            server.signal("HUP");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "an editor need not be durable")]
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(&new, path).unwrap();
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[expect(clippy::disallowed_methods, reason = "any seed will do")]
fn seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    setting("RELOAD_SEED").unwrap_or(now.as_nanos() as u64) | 1
}

#[test]
fn after_each_edit_all_is_new_or_all_is_old() {
    let seed = seed();
    println!("RELOAD_SEED={seed}");
    let mut random = Random(seed);
    let counting = || Target::serving(|index| format!("scrapes {index}\n"));
    let steady: Vec<Target> = (0..3).map(|_| counting()).collect();
    let targets: Vec<Target> = (0..TARGET_COUNT).map(|_| counting()).collect();
    let mut model = Model { jobs: vec![None; JOB_COUNT] };
    let server = ServerBuilder::new(&model.yaml(0, &steady, &targets)).start();
    let mut in_force = 0;
    for number in 1..=setting("RELOAD_EDITS").unwrap_or(EDIT_COUNT) {
        let old = (in_force, model.shown(&targets));
        let is_bad = random.next(5) == 0;
        let mut next = model.clone();
        (0..=random.next(3)).for_each(|_| next.edit(&mut random));
        let mut yaml = next.yaml(number, &steady, &targets);
        if is_bad {
            yaml.push_str("  mistaken: 1\n");
        }
        let new = (number, next.shown(&targets));
        edit(&server, &yaml, &mut random);
        let attempt = eventually("the edit has been looked at", || {
            let (attempts, number, shown) = moment(&server)?;
            let seen = (number, shown);
            assert!(
                seen == old || (seen == new && !is_bad),
                "{seen:?} is neither {old:?} nor {new:?}"
            );
            let outcome = server.get("/api/v1/status/lifecycle").json()["data"]["reload"].clone();
            let is_refused = outcome["outcome"].as_str().unwrap().contains("mistaken");
            (seen == new || (is_bad && is_refused)).then_some(attempts)
        });
        assert!(attempt > 0);
        if !is_bad {
            (model, in_force) = (next, number);
        } else {
            // The next good edit must not be taken for the one before it.
            edit(&server, &model.yaml(in_force, &steady, &targets), &mut random);
            eventually("the file is mended", || {
                let listed = server.get("/api/v1/status/config/generations").json();
                (listed["data"]["isFileOther"] == false).then_some(())
            });
        }
    }
    for target in &steady {
        check_no_gap(&server, target.address());
    }
}

/// Each request of a target is a sample, and none came much later than its time.
fn check_no_gap(server: &Server, address: &str) {
    let series = server.query(&format!("scrapes{{instance=\"{address}\"}}[5m]"));
    let samples: Vec<(i64, i64)> = series[0]["values"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sample| {
            let time_s = sample[0].as_f64().unwrap();
            ((time_s * 1000.0).round() as i64, sample[1].as_str().unwrap().parse().unwrap())
        })
        .collect();
    assert!(samples.len() > 20, "{samples:?}");
    for pair in samples.windows(2) {
        let [(before_ms, before), (after_ms, after)] = pair else { unreachable!("windows of two") };
        assert_eq!(after - before, 1, "{address}: {samples:?}");
        assert!(after_ms - before_ms <= GAP_MAX_MS, "{address}: {} ms", after_ms - before_ms);
    }
}
