//! Data folders go from one program to the other and back: written by the original and opened here, written
//! here and opened by the original; while the writer runs, after its SIGKILL, after its SIGTERM; with a
//! log only, with head chunks, with blocks.

use std::{path::Path, process::Command};

use crate::{
    harness::{Need, Peer, RECEIVER, ServerBuilder, copy_tree, need, post_bytes},
    ledger::Ledger,
};

/// Samples of each series, a quarter of a minute apart, and what a folder holds then.
const PHASES: [(u64, &str); 3] =
    [(90, "a log only"), (900, "a log and head chunks"), (2_600, "a log, head chunks and blocks")];
/// Samples of each series in one request.
const BATCH_STEPS_COUNT: u64 = 10;

/// Sends to both until so many steps are sent; both must take all.
fn send_to_both(ledger: &mut Ledger, steps_count: u64, addresses: [&str; 2]) {
    while ledger.steps_count() < steps_count {
        let batch = ledger.next_batch(BATCH_STEPS_COUNT);
        let body = batch.body();
        for address in addresses {
            let answer = post_bytes(address, "/api/v1/write", &body).unwrap();
            assert_eq!(answer.status, 204, "{}", answer.body);
        }
        ledger.acknowledge(&batch);
    }
}

/// Opens copies of both folders, each with the other program.
fn open_across(ledger: &Ledger, original: &Path, theirs: &Path, ours: &Path, when: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (their_copy, our_copy) = (folder.path().join("theirs"), folder.path().join("ours"));
    copy_tree(theirs, &their_copy);
    copy_tree(ours, &our_copy);
    let mut server = ServerBuilder::new("").data(&their_copy).start();
    let verdict = ledger.verify(&server.address());
    verdict.assert_whole(&format!("{when}: the original's folder opened here"));
    assert!(server.stop().success());
    assert!(!server.log().contains("panicked"), "{}", server.log());
    open_there_and_back(ledger, original, &our_copy, when);
}

/// Opens a folder of ours with the original, then with us again.
fn open_there_and_back(ledger: &Ledger, original: &Path, our_copy: &Path, when: &str) {
    let mut peer = Peer::original_on(original, our_copy, &[]);
    let verdict = ledger.verify(&peer.address);
    verdict.assert_whole(&format!("{when}: our folder opened by the original"));
    let metrics = crate::harness::get(&peer.address, "/metrics").unwrap().body;
    for name in ["wal_corruptions_total", "mmap_chunk_corruptions_total"] {
        let line = format!("prometheus_tsdb_{name} 0");
        assert!(metrics.lines().any(|known| known == line), "{when}: {line}");
    }
    peer.stop();
    // ... and back, after what the other has made of it
    let mut server = ServerBuilder::new("").data(our_copy).start();
    let verdict = ledger.verify(&server.address());
    verdict.assert_whole(&format!("{when}: our folder, back from the original"));
    assert!(server.stop().success());
}

/// What a promtool prints of a folder, in the order of the text.
fn dump(promtool: &Path, data: &Path) -> Vec<String> {
    let output = Command::new(promtool).args(["tsdb", "dump"]).arg(data).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn slow_data_folders_go_from_the_original_to_us_and_back() {
    let Some(original) = need(Need::Peer("prometheus")) else { return };
    let Some(promtool) = need(Need::Peer("promtool")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let theirs = folder.path().join("theirs");
    std::fs::create_dir(&theirs).unwrap();
    let mut peer = Peer::original_on(&original, &theirs, &[RECEIVER]);
    let mut server = ServerBuilder::new("").arg(RECEIVER).start();
    let ours = server.data_path().to_owned();
    let mut ledger = Ledger::new();
    for (steps_count, state) in PHASES {
        send_to_both(&mut ledger, steps_count, [&peer.address, &server.address()]);
        open_across(&ledger, &original, &theirs, &ours, &format!("{state}, running"));
    }
    peer.kill();
    server.kill();
    open_across(&ledger, &original, &theirs, &ours, "after SIGKILL");
    let mut peer = Peer::original_on(&original, &theirs, &[]);
    peer.stop();
    server.restart();
    assert!(server.stop().success());
    open_across(&ledger, &original, &theirs, &ours, "after SIGTERM");
    let (of_theirs, of_ours) = (dump(&promtool, &theirs), dump(&promtool, &ours));
    assert_eq!(of_theirs.len(), of_ours.len());
    assert!(of_theirs == of_ours, "the original's promtool prints another text of our folder");
}

/// Samples leave the log long before they stand in blocks: head chunks are all there is of them. The
/// original takes such a folder, too, whenever the server ended.
#[test]
fn slow_folders_whose_log_is_short_go_to_the_original_and_back() {
    let Some(original) = need(Need::Peer("prometheus")) else { return };
    let mut server =
        ServerBuilder::new("").arg(RECEIVER).arg("--storage.tsdb.early-wal-checkpoint").start();
    let open_copy = |ledger: &Ledger, data: &Path, when: &str| {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("ours");
        copy_tree(data, &copy);
        open_there_and_back(ledger, &original, &copy, when);
    };
    let data = server.data_path().to_owned();
    let mut ledger = Ledger::new();
    for steps_count in [1_600, 3_200] {
        while ledger.steps_count() < steps_count {
            let batch = ledger.next_batch(BATCH_STEPS_COUNT);
            let answer = post_bytes(&server.address(), "/api/v1/write", &batch.body()).unwrap();
            assert_eq!(answer.status, 204, "{}", answer.body);
            ledger.acknowledge(&batch);
        }
        server.wait_for_log("is_early=true");
        let verdict = ledger.verify(&server.address());
        verdict.assert_whole(&format!("{steps_count} steps, running"));
        server.kill();
        open_copy(&ledger, &data, &format!("{steps_count} steps, after SIGKILL"));
        server.restart();
        let verdict = ledger.verify(&server.address());
        verdict.assert_whole(&format!("{steps_count} steps, after SIGKILL"));
    }
    assert!(server.stop().success());
    open_copy(&ledger, &data, "after SIGTERM");
}
