//! All questions from one client or several at once: how long a round takes.

use std::sync::Mutex;

use anyhow::{Context, Result};

use super::{answers::Tally, question::QUESTIONS, times::timed};
use crate::{
    client::Client,
    contender::{Contender, Kind, now},
    report,
};

/// Asks everything once by `clients_count` clients, of one server after the other.
pub(super) fn crowd(
    contenders: &[Contender],
    end_seconds: i64,
    clients_count: usize,
    title: &str,
    tally: &mut Tally,
) -> Result<()> {
    let paths: Vec<String> = QUESTIONS.iter().map(|one| one.path(end_seconds)).collect();
    // The first answer to each question, which all of our later ones have to equal.
    let firsts: Vec<Mutex<Option<Vec<u8>>>> = paths.iter().map(|_| Mutex::new(None)).collect();
    let mut times = Vec::new();
    for contender in contenders {
        let begin = now();
        let found = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..clients_count)
                .map(|client| {
                    let (paths, firsts) = (&paths, &firsts);
                    scope.spawn(move || ask_all(contender, paths, firsts, client * 3))
                })
                .collect();
            let mut all = Tally::default();
            for client in clients {
                let found = client.join().map_err(|_| anyhow::anyhow!("a client panicked"))??;
                all.add(&found);
            }
            anyhow::Ok(all)
        })?;
        tally.add(&found);
        times.push(begin.elapsed().as_secs_f64());
    }
    report::line(&format!("all queries, {title}"));
    let original = contenders.iter().position(|contender| contender.kind == Kind::Original);
    for (contender, time) in contenders.iter().zip(&times) {
        report::row(contender.kind.name(), "s", &[*time], original.map(|at| times[at]));
    }
    Ok(())
}

/// One client, who begins somewhere in the list.
fn ask_all(
    contender: &Contender,
    paths: &[String],
    firsts: &[Mutex<Option<Vec<u8>>>],
    first: usize,
) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut client = Client::connect(contender)?;
    for at in (0..paths.len()).map(|at| (at + first) % paths.len()) {
        let (_, body) = timed(&mut client, &paths[at]).with_context(|| contender.kind.name())?;
        if contender.kind == Kind::Ours {
            let mut known = firsts[at].lock().map_err(|_| anyhow::anyhow!("a client panicked"))?;
            match &*known {
                Some(known) => tally.repeat(known, &body),
                None => *known = Some(body),
            }
        }
    }
    Ok(tally)
}
