//! Chaos: SIGKILL at random moments while days of samples come in by remote write, damaged files, a disk
//! that is full. Every acknowledged sample is counted afterwards, and no sample may be there that was
//! never sent.
//!
//! `PROMETHEUS_CHAOS_SEED` replays a run, `PROMETHEUS_CHAOS_ROUNDS` makes it longer.

mod damage;

use std::{env, fs, time::Duration};

use crate::{
    harness::{
        Need, Peer, RECEIVER, Server, ServerBuilder, SmallDisk, eventually, need, now, post_bytes,
    },
    ledger::Ledger,
    random::{self, Random},
};

/// How often the server is killed, unless the environment says otherwise.
const ROUNDS_COUNT: u64 = 6;
/// How long a server lives at most before it is killed.
const LIFE_MS_MAX: u64 = 1_500;
/// Samples of each series in one request, at most.
const STEPS_COUNT_MAX: u64 = 12;

/// The seed and the rounds of this run; printed, so that it can be replayed.
pub(crate) fn plan(name: &str) -> (Random, u64) {
    let number = |variable| env::var(variable).ok().and_then(|text| text.parse().ok());
    let seed = number("PROMETHEUS_CHAOS_SEED").unwrap_or_else(random::seed);
    let rounds_count = number("PROMETHEUS_CHAOS_ROUNDS").unwrap_or(ROUNDS_COUNT);
    println!("{name}: PROMETHEUS_CHAOS_SEED={seed} PROMETHEUS_CHAOS_ROUNDS={rounds_count}");
    (Random::new(seed), rounds_count)
}

/// Sends until the server does not answer any more. What was not acknowledged may be stored or not.
fn send(address: &str, ledger: &mut Ledger, random: &mut Random) {
    while ledger.has_room() {
        let batch = ledger.next_batch(1 + random.below(STEPS_COUNT_MAX));
        match post_bytes(address, "/api/v1/write", &batch.body()) {
            Ok(answer) if answer.status == 204 => ledger.acknowledge(&batch),
            Ok(answer) => panic!("{} {}", answer.status, answer.body),
            Err(_) => return,
        }
    }
}

/// Lets a server take samples for a random time, then kills it while it does.
fn live_and_die(server: &mut Server, ledger: &mut Ledger, random: &mut Random) {
    let address = server.address();
    let life = Duration::from_millis(20 + random.below(LIFE_MS_MAX));
    let mut choices = random.fork();
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| send(&address, ledger, &mut choices));
        std::thread::sleep(life);
        server.kill();
        sender.join().unwrap();
    });
}

#[test]
fn slow_no_acknowledged_sample_is_lost_by_sigkill_and_none_is_wrong() {
    let (mut random, rounds_count) = plan("kill");
    let mut ledger = Ledger::new();
    let mut server = ServerBuilder::new("").arg(RECEIVER).start();
    for round in 0..rounds_count {
        live_and_die(&mut server, &mut ledger, &mut random);
        server.restart();
        let verdict = ledger.verify(&server.address());
        verdict.assert_whole(&format!("round {round}, {} h", ledger.hours()));
        ledger.settle(&verdict);
    }
    assert!(server.stop().success());
    server.restart();
    ledger.verify(&server.address()).assert_whole("after a clean stop");
    assert!(server.stop().success());
    assert!(!server.log().contains("panicked"), "{}", server.log());

    if let Some(original) = need(Need::Peer("prometheus")) {
        let mut original = Peer::original_on(&original, server.data_path(), &[]);
        ledger.verify(&original.address).assert_whole("in the original");
        original.stop();
    }
    server.restart();
    ledger.verify(&server.address()).assert_whole("after the original");
    server.kill();
    damage::slay_every_kind_of_file(server.data_path(), &ledger, &mut random);
}

#[test]
fn slow_what_is_acknowledged_on_a_disk_that_fills_up_is_kept() {
    if need(Need::Root).is_none() {
        return;
    }
    let (mut random, rounds_count) = plan("full disk");
    let mut ledger = Ledger::new();
    let disk = SmallDisk::new("24m");
    let builder = ServerBuilder::new("").arg(RECEIVER).data(&disk.path().join("data"));
    let mut server = builder.start();
    for round in 0..rounds_count.div_ceil(2) {
        let address = server.address();
        let mut post = |ledger: &mut Ledger| {
            let batch = ledger.next_batch(1 + random.below(STEPS_COUNT_MAX));
            let answer = post_bytes(&address, "/api/v1/write", &batch.body()).unwrap();
            if answer.status == 204 {
                ledger.acknowledge(&batch);
            } else {
                assert!(answer.status >= 500, "{} {}", answer.status, answer.body);
                ledger.take_back(&batch);
            }
            answer.status
        };
        for _ in 0..50 {
            assert_eq!(post(&mut ledger), 204);
        }
        let ballast = disk.fill();
        eventually("the full disk is told to senders", || (post(&mut ledger) >= 500).then_some(()));
        // Reading goes on, and shows what was acknowledged.
        ledger.verify(&address).assert_whole(&format!("full, round {round}"));
        fs::remove_file(ballast).unwrap();
        let freed = now();
        eventually("senders are served again", || (post(&mut ledger) == 204).then_some(()));
        println!("served again {} ms after there was space", freed.elapsed().as_millis());
        assert!(freed.elapsed() < Duration::from_secs(10));
        server.kill();
        server.restart();
        let verdict = ledger.verify(&server.address());
        verdict.assert_whole(&format!("killed after it was full, round {round}"));
        ledger.settle(&verdict);
    }
    assert!(!server.log().contains("panicked"), "{}", server.log());
}
