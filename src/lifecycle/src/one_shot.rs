//! Runs a program that does one thing and ends, through `states/command.yaml`. It prints nothing; what
//! the user sees is the matter of the command.

use std::process::ExitCode;

use crate::machine::command::{Event, State};
use crate::machine::{Exit, Machine};
use crate::panic;

/// How a command ended, before the table makes an exit code of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandEnd {
    /// The command line made no sense.
    Misused,
    /// All is well.
    Finished,
    /// The work could not be done, or found an error.
    Faulted,
    /// A fatal lint objects.
    LintFound,
}

/// Runs a command in its two steps: `understand` reads the command line, `perform` does the work.
/// A panic in either is the event `Panicked`.
pub fn run_command<A>(
    understand: impl FnOnce() -> Result<A, CommandEnd>,
    perform: impl FnOnce(A) -> CommandEnd,
) -> ExitCode {
    panic::install_hook();
    ExitCode::from(exit_code(understand, perform))
}

fn exit_code<A>(
    understand: impl FnOnce() -> Result<A, CommandEnd>,
    perform: impl FnOnce(A) -> CommandEnd,
) -> u8 {
    let mut state = State::INITIAL;
    let mut fault = None;
    let mut arguments = None;
    let (mut understand, mut perform) = (Some(understand), Some(perform));
    loop {
        let event = match state {
            State::Init => match understand.take().map(panic::catch) {
                Some(Ok(Ok(understood))) => {
                    arguments = Some(understood);
                    Event::Understood
                }
                // Asking for help is understood and done in one go.
                Some(Ok(Err(CommandEnd::Finished))) => return 0,
                Some(Ok(Err(_))) => Event::Misused,
                Some(Err(_)) | None => Event::Panicked,
            },
            State::Running => match arguments.take().zip(perform.take()) {
                Some((arguments, perform)) => match panic::catch(|| perform(arguments)) {
                    Ok(CommandEnd::Finished) => Event::Finished,
                    Ok(CommandEnd::Faulted | CommandEnd::Misused) => Event::Faulted,
                    Ok(CommandEnd::LintFound) => Event::LintFound,
                    Err(_) => Event::Panicked,
                },
                None => Event::Panicked,
            },
            State::Done => return 0,
            State::Failed | State::LintFailed => return fault.unwrap_or(1),
        };
        let Some(transition) = state.next(event) else { return 1 };
        if let Some(Exit::Code(code)) = State::event_row(event).exit {
            fault.get_or_insert(code);
        }
        state = transition.to;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_makes_the_exit_code() {
        let check = |end: CommandEnd, expected: u8| {
            assert_eq!(exit_code(|| Ok(()), |()| end), expected, "{end:?}");
        };
        check(CommandEnd::Finished, 0);
        check(CommandEnd::Faulted, 1);
        check(CommandEnd::Misused, 1);
        check(CommandEnd::LintFound, 3);
    }

    #[test]
    fn a_command_line_that_makes_no_sense_is_not_performed() {
        let code =
            exit_code::<()>(|| Err(CommandEnd::Misused), |()| unreachable!("not understood"));
        assert_eq!(code, 1);
        let code = exit_code::<()>(|| Err(CommandEnd::Finished), |()| unreachable!("only help"));
        assert_eq!(code, 0);
    }

    #[test]
    fn a_panic_is_an_internal_error() {
        assert_eq!(exit_code(|| Ok(()), |()| panic!("broken")), 70);
    }
}
