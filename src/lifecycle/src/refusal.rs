//! The end of a service that cannot even begin: its command line makes no sense. No runtime and no log
//! exist yet; the table still decides what systemd is told and which exit code it is.

use std::process::ExitCode;

use sd_notify::NotifyState;

use crate::machine::lifecycle::State;
use crate::machine::{Exit, Machine};
use crate::service::Failure;
use crate::systemd::{Notifier, one_line};

/// The exit code of an event that does not end the first state (EX_SOFTWARE).
const EXIT_INTERNAL: u8 = 70;

/// Leaves the first state by the failure's event and returns the exit code of that end.
pub fn fail_at_start(failure: &Failure) -> ExitCode {
    tell(failure, &Notifier::from_environment());
    ExitCode::from(exit_code(failure))
}

fn tell(failure: &Failure, notifier: &Notifier) {
    let reason = one_line(&failure.message);
    let mut news = vec![NotifyState::Status(&reason)];
    if let Some(errno) = failure.errno.or(State::event_row(failure.event).errno) {
        news.push(NotifyState::Errno(errno.unsigned_abs()));
    }
    notifier.send(&news);
    notifier.send_last_words();
}

fn exit_code(failure: &Failure) -> u8 {
    match (State::INITIAL.next(failure.event), State::event_row(failure.event).exit) {
        (Some(transition), Some(Exit::Code(code))) if transition.to.is_terminal() => code,
        _ => EXIT_INTERNAL,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::lifecycle::Event;

    #[test]
    fn the_table_makes_the_exit_code() {
        let check = |event, expected| {
            assert_eq!(exit_code(&Failure::new(event, "reason")), expected, "{event}");
        };
        check(Event::FlagsInvalid, 2);
        check(Event::FlagsMisplaced, 3);
        check(Event::ConfigValid, EXIT_INTERNAL);
        check(Event::AddressInUse, EXIT_INTERNAL);
    }
}
