//! The unit under the real systemd: what `systemctl` returns and shows is what `states/lifecycle.yaml` declares.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use crate::harness::{Need, need, repository};

/// Facts that a script printed, by name.
pub(crate) struct Facts(BTreeMap<String, String>);

impl Facts {
    #[track_caller]
    pub(crate) fn check(&self, name: &str, expected: &str) {
        assert_eq!(self.get(name), expected, "{name} in {:#?}", self.0);
    }

    #[track_caller]
    pub(crate) fn check_contains(&self, name: &str, expected: &str) {
        let value = self.get(name);
        assert!(value.contains(expected), "{name}: {value:?} has no {expected:?}");
    }

    #[track_caller]
    pub(crate) fn number(&self, name: &str) -> i64 {
        self.get(name).parse().unwrap_or_else(|_| panic!("{name}: {:?}", self.get(name)))
    }

    #[track_caller]
    fn get(&self, name: &str) -> &str {
        self.0.get(name).unwrap_or_else(|| panic!("no fact {name} in {:#?}", self.0))
    }
}

/// Runs a script of `systemd/` in a throwaway machine; `None` where there is none.
pub(crate) fn facts(script: &str, args: &[&Path]) -> Option<Facts> {
    let machine = need(Need::Systemd)?;
    let folder = repository();
    let binaries = PathBuf::from(env!("CARGO_BIN_EXE_prometheus")).parent().unwrap().to_owned();
    assert!(binaries.join("promtool").exists(), "promtool is built by the whole workspace's tests");
    let out = Command::new(machine)
        .arg(folder.join("integration-tests/systemd").join(script))
        .args([&folder, &binaries])
        .args(args)
        .current_dir(&folder)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    println!("{text}{}", String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{script}: {}", out.status);
    let pairs = text.lines().filter_map(|line| line.split_once(": ").or(line.split_once(":")));
    Some(Facts(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
}

#[test]
fn slow_every_end_of_a_start_is_as_declared() {
    let Some(facts) = facts("start.sh", &[]) else { return };
    for name in ["good", "again"] {
        facts.check(&format!("{name}.start"), "0");
        facts.check(&format!("{name}.ready"), "200");
        facts.check(&format!("{name}.Result"), "success");
        facts.check(&format!("{name}.ExecMainStatus"), "0");
        facts.check(&format!("{name}.SubState"), "running");
        facts.check_contains(&format!("{name}.StatusText"), "targets");
    }
    // name, exit status, what the status text must tell, whether systemd tries again
    let failures = [
        ("missing", "78", "/etc/prometheus/prometheus.yml", "failed"),
        ("unreadable", "78", "permission denied", "failed"),
        ("invalid", "78", "/etc/prometheus/prometheus.yml line 12", "failed"),
        ("port", "69", "9090", "auto-restart"),
        ("readonly", "77", "/var/lib/prometheus/metrics2", "auto-restart"),
        ("locked", "75", "/var/lib/prometheus/metrics2", "auto-restart"),
    ];
    for (name, status, text, after) in failures {
        facts.check(&format!("{name}.start"), "1");
        facts.check(&format!("{name}.Result"), "exit-code");
        facts.check(&format!("{name}.ExecMainStatus"), status);
        facts.check_contains(&format!("{name}.StatusText"), text);
        facts.check(&format!("{name}.shown"), "1");
        // The pause before the next attempt is short: a busy machine may see that one.
        match facts.get(&format!("{name}.SubState")) {
            "start" if after == "auto-restart" => {}
            state => assert_eq!(state, after, "{name}"),
        }
        if name != "port" {
            facts.check(&format!("{name}.ready"), "000");
        }
    }
    facts.check_contains("invalid.StatusText", "scrape_intervall");
}

#[test]
fn slow_reload_tells_whether_it_was_taken() {
    let Some(facts) = facts("reload.sh", &[]) else { return };
    for name in ["start", "good.reload", "good.runs", "good.scraped", "bad.runs"] {
        facts.check(name, "0");
    }
    assert_ne!(facts.number("bad.reload"), 0);
    facts.check("bad.active", "active");
    facts.check("bad.ready", "200");
    facts.check_contains("bad.StatusText", "unknown_key");
    assert!(facts.number("bad.journal") > 0);
    assert!(facts.number("edit.milliseconds") <= 2000);
    assert!(facts.number("badedit.milliseconds") <= 2000);
    for edit in ["sed", "mv", "symlink", "symlinkswap", "truncation"] {
        let lasted_ms = facts.number(&format!("{edit}.milliseconds"));
        assert!(lasted_ms <= 2000, "{edit}: {lasted_ms} ms");
    }
    facts.check("edits.rejected", "1");
    facts.check("badedit.runs", "0");
    assert!(facts.number("badedit.page") > 0);
    facts.check("badedit.active", "active");
    facts.check("badedit.ready", "200");
    facts.check("generations.listed", "0");
    facts.check("generations.running", "1");
    facts.check("rollback.code", "0");
    facts.check("rollback.runs", "0");
    facts.check_contains("rollback.StatusText", "the file holds something else");
    facts.check("rollback.absent", "1");
    facts.check_contains("rollback.reason", "there is no generation 99999");
    facts.check("badedit.metric", "prometheus_config_last_reload_successful 0");
    facts.check("mended.runs", "0");
    facts.check_contains("mended.StatusText", "targets");
    facts.check("stop", "0");
    facts.check("stop.Result", "success");
}

#[test]
fn slow_edits_behind_mounts_are_seen() {
    let Some(facts) = facts("mounts.sh", &[]) else { return };
    for case in ["file", "folder", "swap", "deaf"] {
        facts.check(&format!("{case}.start"), "0");
        facts.check(&format!("{case}.runs"), "0");
    }
    facts.check("deaf.mount", "0");
    let edits = [
        ["file.edit", "file.mounted"].as_slice(),
        &["folder.edit", "folder.rename", "folder.sed"],
        &["swap.first", "swap.second"],
        &["deaf.edit", "deaf.again"],
    ];
    for edit in edits.concat() {
        facts.check(&format!("{edit}.runs"), "0");
        let lasted_ms = facts.number(&format!("{edit}.milliseconds"));
        assert!(lasted_ms <= 2000, "{edit}: {lasted_ms} ms");
    }
}

#[test]
fn slow_a_wedged_scrape_loop_is_restarted() {
    if !cfg!(debug_assertions) {
        eprintln!("skipped: a release build has no faults to switch on");
        return;
    }
    let Some(facts) = facts("watchdog.sh", &[]) else { return };
    for name in ["start", "restarted", "new process", "healthy lives"] {
        facts.check(name, "0");
    }
    assert!(facts.number("reason") > 0);
}

#[test]
fn slow_no_connection_is_refused_over_a_restart() {
    let Some(facts) = facts("sockets.sh", &[]) else { return };
    facts.check("socket.start", "0");
    facts.check("first.code", "200");
    assert!(facts.number("store.descriptors") > 0);
    for name in ["socket", "store"] {
        facts.check(&format!("{name}.failed"), "0");
        facts.check(&format!("{name}.answered"), "some");
        facts.check(&format!("{name}.ready"), "200");
    }
    // stopped for good, nothing listens
    facts.check("stopped.code", "000");
}
