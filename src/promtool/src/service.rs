//! `service ...`: what the unit's commands and its operators ask the running server.

use prom_lifecycle::{CommandEnd, ask_generations, ask_reload, ask_rollback, ask_status};

use crate::{
    cli::{Question, Service},
    output::{err, out},
};

/// Asks, waits, and tells the answer.
pub(crate) fn run(options: &Service) -> CommandEnd {
    let socket = &options.socket;
    let (answer, before, failed) = match options.question {
        Question::Reload => (ask_reload(socket), "reloaded: ", "reload failed"),
        Question::Status => (ask_status(socket), "", "no status"),
        Question::Generations => (ask_generations(socket), "", "no generations"),
        Question::Rollback { generation, is_written } => {
            (ask_rollback(socket, generation, is_written), "rolled back: ", "rollback failed")
        }
    };
    match answer {
        Ok(text) => {
            out(&format!("{before}{text}"));
            CommandEnd::Finished
        }
        Err(reason) => {
            err(&format!("{failed}: {}: {reason}", socket.display()));
            CommandEnd::Faulted
        }
    }
}
