//! `service reload` and `service status`: what the unit's commands ask the running server.

use prom_lifecycle::{CommandEnd, ask_reload, ask_status};

use crate::{
    cli::{Question, Service},
    output::{err, out},
};

/// Asks, waits, and tells the answer.
pub(crate) fn run(options: &Service) -> CommandEnd {
    let answer = match options.question {
        Question::Reload => ask_reload(&options.socket),
        Question::Status => ask_status(&options.socket),
    };
    match (answer, options.question) {
        (Ok(text), Question::Reload) => out(&format!("reloaded: {text}")),
        (Ok(text), Question::Status) => out(&text),
        (Err(reason), question) => {
            let what = match question {
                Question::Reload => "reload failed",
                Question::Status => "no status",
            };
            err(&format!("{what}: {}: {reason}", options.socket.display()));
            return CommandEnd::Faulted;
        }
    }
    CommandEnd::Finished
}
