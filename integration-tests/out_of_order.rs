//! Samples that come out of order: refused with the original's words, kept through SIGKILL at random
//! moments, and carried from one program to the other in its data folder.
//!
//! `PROMETHEUS_CHAOS_SEED` and `PROMETHEUS_CHAOS_ROUNDS` work as in `chaos`.

use std::{fs, os::unix::fs::FileExt, path::Path, time::Duration};

use crate::{
    chaos::plan,
    harness::{
        Need, Peer, RECEIVER, Server, ServerBuilder, copy_tree, eventually, need, post_bytes,
    },
    ledger::{Batch, Ledger},
    random::Random,
};

const WINDOW: &str = "storage: {tsdb: {out_of_order_time_window: 8h}}\n";
/// Steps of a quarter of a minute; some way from the end of the window.
const STEPS_BACK_MAX: u64 = 7 * 240;
/// Samples of each series in one request, at most.
const STEPS_COUNT_MAX: u64 = 12;
/// How long a server lives at most before it is killed.
const LIFE_MS_MAX: u64 = 1_500;

/// What is sent next: on and on, with holes that are filled later.
fn next_batch(ledger: &mut Ledger, random: &mut Random) -> Batch {
    if random.below(3) == 0 {
        ledger.leave_hole(1 + random.below(STEPS_COUNT_MAX));
    }
    let choice = random.next();
    let late =
        if choice.is_multiple_of(2) { ledger.late_batch(choice / 2, STEPS_BACK_MAX) } else { None };
    late.unwrap_or_else(|| ledger.next_batch(1 + random.below(STEPS_COUNT_MAX)))
}

fn send_until_the_end(address: &str, ledger: &mut Ledger, random: &mut Random) {
    while ledger.has_room() {
        let batch = next_batch(ledger, random);
        match post_bytes(address, "/api/v1/write", &batch.body()) {
            Ok(answer) if answer.status == 204 => ledger.acknowledge(&batch),
            Ok(answer) => panic!("{} {}", answer.status, answer.body),
            Err(_) => return,
        }
    }
}

fn live_and_die(server: &mut Server, ledger: &mut Ledger, random: &mut Random) {
    let address = server.address();
    let life = Duration::from_millis(20 + random.below(LIFE_MS_MAX));
    let mut choices = random.fork();
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| send_until_the_end(&address, ledger, &mut choices));
        std::thread::sleep(life);
        server.kill();
        sender.join().unwrap();
    });
}

#[test]
fn slow_no_late_sample_is_lost_by_sigkill_and_none_is_wrong() {
    let (mut random, rounds_count) = plan("late");
    let mut ledger = Ledger::new();
    let mut server = ServerBuilder::new(WINDOW).arg(RECEIVER).start();
    for round in 0..rounds_count {
        live_and_die(&mut server, &mut ledger, &mut random);
        server.restart();
        let verdict = ledger.verify(&server.address());
        verdict.assert_whole(&format!("round {round}, {} h", ledger.hours()));
        ledger.settle(&verdict);
    }
    let metric = "prometheus_tsdb_head_out_of_order_samples_appended_total";
    assert!(server.get("/metrics").body.contains(metric));
    assert!(server.stop().success());
    server.restart();
    ledger.verify(&server.address()).assert_whole("after a clean stop");
    assert!(server.stop().success());
    assert!(!server.log().contains("panicked"), "{}", server.log());
    let Some(original) = need(Need::Peer("prometheus")) else { return };
    let mut original = Peer::original_with(&original, server.data_path(), WINDOW, &[]);
    ledger.verify(&original.address).assert_whole("in the original");
    original.stop();
    server.restart();
    ledger.verify(&server.address()).assert_whole("after the original");
}

/// Sends to both until so many steps are sent; both must take all.
fn send_to_both(ledger: &mut Ledger, random: &mut Random, steps_count: u64, addresses: [&str; 2]) {
    while ledger.steps_count() < steps_count {
        let batch = next_batch(ledger, random);
        let body = batch.body();
        for address in addresses {
            let answer = post_bytes(address, "/api/v1/write", &body).unwrap();
            assert_eq!(answer.status, 204, "{}", answer.body);
        }
        ledger.acknowledge(&batch);
    }
}

/// Opens copies of both folders, each with the other program. What the original loses by a kill, as it writes
/// blocks of late samples, is lost to itself, too.
fn open_across(ledger: &Ledger, original: &Path, theirs: &Path, ours: &Path, when: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (their_copy, our_copy) = (folder.path().join("theirs"), folder.path().join("ours"));
    copy_tree(theirs, &their_copy);
    copy_tree(ours, &our_copy);
    let mut server = ServerBuilder::new(WINDOW).data(&their_copy).start();
    let verdict = ledger.verify(&server.address());
    let when_theirs = format!("{when}: the original's folder opened here");
    if verdict.lost_count == 0 {
        verdict.assert_whole(&when_theirs);
    } else {
        let again = folder.path().join("again");
        copy_tree(theirs, &again);
        let mut peer = Peer::original_with(original, &again, WINDOW, &[]);
        let own = ledger.verify(&peer.address);
        peer.stop();
        println!("{when_theirs}: {verdict}; the original itself: {own}");
        assert_eq!((verdict.wrong.len(), verdict.lost_count), (0, own.lost_count), "{when}");
    }
    assert!(server.stop().success());
    assert!(!server.log().contains("panicked"), "{}", server.log());
    let mut peer = Peer::original_with(original, &our_copy, WINDOW, &[]);
    let verdict = ledger.verify(&peer.address);
    verdict.assert_whole(&format!("{when}: our folder opened by the original"));
    let metrics = crate::harness::get(&peer.address, "/metrics").unwrap().body;
    for name in ["wal_corruptions_total", "mmap_chunk_corruptions_total"] {
        let line = format!("prometheus_tsdb_{name} 0");
        assert!(metrics.lines().any(|known| known == line), "{when}: {line}");
    }
    peer.stop();
    let mut server = ServerBuilder::new("").data(&our_copy).start();
    let verdict = ledger.verify(&server.address());
    verdict.assert_whole(&format!("{when}: our folder, back from the original"));
    assert!(server.stop().success());
}

#[test]
fn slow_folders_with_late_samples_go_from_the_original_to_us_and_back() {
    let Some(original) = need(Need::Peer("prometheus")) else { return };
    let (mut random, _) = plan("late folders");
    let folder = tempfile::tempdir().unwrap();
    let theirs = folder.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    let mut peer = Peer::original_with(&original, &theirs, WINDOW, &[RECEIVER]);
    let mut server = ServerBuilder::new(WINDOW).arg(RECEIVER).start();
    let ours = server.data_path().to_owned();
    let mut ledger = Ledger::new();
    for steps_count in [90, 900, 2_600] {
        let addresses = [&*peer.address, &server.address()];
        send_to_both(&mut ledger, &mut random, steps_count, addresses);
        open_across(&ledger, &original, &theirs, &ours, &format!("{steps_count} steps, running"));
    }
    peer.kill();
    server.kill();
    open_across(&ledger, &original, &theirs, &ours, "after SIGKILL");
    let mut peer = Peer::original_with(&original, &theirs, WINDOW, &[]);
    peer.stop();
    server.restart();
    assert!(server.stop().success());
    open_across(&ledger, &original, &theirs, &ours, "after SIGTERM");
}

/// Damages the files of head chunks of a running server: the disk gives other bytes back than were written.
fn damage_head_chunks(data: &Path) {
    for entry in fs::read_dir(data.join("chunks_head")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap();
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        for offset in (40..bytes.len()).step_by(700) {
            file.write_all_at(&[bytes[offset] ^ 1], offset as u64).unwrap();
        }
    }
}

#[test]
fn late_samples_that_the_disk_loses_under_a_running_server_are_not_lost() {
    let (mut random, _) = plan("late damage");
    let mut ledger = Ledger::new();
    let mut server = ServerBuilder::new(WINDOW).arg(RECEIVER).start();
    for round in 1..=3 {
        while ledger.steps_count() < 700 * round {
            let batch = next_batch(&mut ledger, &mut random);
            let answer = post_bytes(&server.address(), "/api/v1/write", &batch.body()).unwrap();
            assert_eq!(answer.status, 204, "{}", answer.body);
            ledger.acknowledge(&batch);
        }
        damage_head_chunks(server.data_path());
        ledger.verify(&server.address()).assert_whole(&format!("round {round}, damaged"));
        assert!(server.log().contains("Head chunks were damaged"), "{}", server.log());
        if round == 2 {
            server.kill();
            server.restart();
            ledger.verify(&server.address()).assert_whole("after SIGKILL");
        }
    }
    assert!(server.stop().success());
    server.restart();
    ledger.verify(&server.address()).assert_whole("after a clean stop");
    assert!(server.stop().success());
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// Both programs' answers to samples outside of the window, with one, without one, and after a reload.
#[test]
fn late_samples_are_refused_with_the_words_of_the_original() {
    let mut ledger = Ledger::new();
    ledger.leave_hole(20);
    let first = ledger.next_batch(1);
    let late = ledger.late_batch(0, 100).unwrap();
    let status = |address: &str, batch: &Batch| {
        let answer = post_bytes(address, "/api/v1/write", &batch.body()).unwrap();
        (answer.status, answer.body.contains("too old"), answer.body.contains("out of order"))
    };
    let narrow = "storage: {tsdb: {out_of_order_time_window: 1m}}\n";
    for (config, expected) in
        [("", (400, false, true)), (narrow, (400, true, false)), (WINDOW, (204, false, false))]
    {
        let mut server = ServerBuilder::new(config).arg(RECEIVER).start();
        assert_eq!(status(&server.address(), &first).0, 204);
        assert_eq!(status(&server.address(), &late), expected, "{config}");
        if let Some(original) = need(Need::Peer("prometheus")) {
            let folder = tempfile::tempdir().unwrap();
            let data = folder.path().join("data");
            fs::create_dir(&data).unwrap();
            let peer = Peer::original_with(&original, &data, config, &[RECEIVER]);
            assert_eq!(status(&peer.address, &first).0, 204);
            assert_eq!(status(&peer.address, &late), expected, "the original, {config}");
        }
        fs::write(server.config_path(), WINDOW).unwrap();
        server.signal("HUP");
        eventually("the new window is in force", || {
            (status(&server.address(), &late).0 == 204).then_some(())
        });
        assert!(server.stop().success());
    }
}
