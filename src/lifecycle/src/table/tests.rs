//! Every check of the compiler of `states/`, with the line that it names; and the compiled tables held
//! against the files.

use std::collections::BTreeSet;

use super::check::{self, Reaction};
use super::{generate, locate};
use crate::machine::{self, Machine, command, lifecycle, reload, target};

/// A machine without errors; the cases below break it in one place each.
const GOOD: &str = "\
machine: door
doc: A door.
initial: Closed
words:
  who: the person at the door
states:
  Closed:
    doc: Nobody can pass.
    at: [0, 0]
    status: \"closed by {who}\"
    deadline: { after: 5s, raises: Rusted }
    on:
      Opened: Open
      Rusted: Stuck
    defers: [Knocked]
    ignores: [Lit]
  Open:
    doc: Everybody can pass.
    at: [1, 0]
    on:
      Shut: Closed
      Rusted: Stuck
      Knocked: stay
      Lit: stay
  Stuck:
    doc: It will not move any more.
    at: [2, 0]
    terminal: failure
events:
  Opened:
    doc: Somebody opens it.
    only_in: [Closed]
  Shut:
    doc: Somebody closes it. Gently.
    only_in: [Open]
  Knocked:
    doc: Somebody knocks.
  Lit:
    doc: Somebody lights a lamp.
  Rusted:
    doc: Time has passed.
    exit: 70
    errno: EIO
";

#[test]
fn a_good_machine_is_read() {
    let machine = check::read(GOOD).unwrap();
    assert_eq!(machine.name, "door");
    assert_eq!(machine.transitions.len(), 6);
    let closed = &machine.states[0];
    assert_eq!(closed.deadline, Some((5_000, 4)));
    let of_closed = [
        Reaction::Moves(0),
        Reaction::Ignores,
        Reaction::Defers,
        Reaction::Ignores,
        Reaction::Moves(1),
    ];
    assert_eq!(closed.reactions, of_closed);
    assert_eq!(machine.transitions[4].to, 1, "to stay is to go where one is");
    assert_eq!(machine.events[1].log, "Somebody closes it.");
    let code = generate::module("states/door.yaml", &machine);
    for part in ["pub mod door {", "Piece::Word(Word::Who)", "Reaction::Moves(&TRANSITIONS[0])"] {
        assert!(code.contains(part), "{part}");
    }
}

/// Replaces `part` of the good machine by `wrong`. The compiler has to say `expected` of the first
/// line of the result that is `place`, or else contains it.
fn check_problem(part: &str, wrong: &str, place: &str, expected: &str) {
    assert_eq!(GOOD.matches(part).count(), 1, "{part:?} is one place");
    let text = GOOD.replace(part, wrong);
    let line = text.lines().position(|line| line == place);
    let line = line.or(text.lines().position(|line| line.contains(place))).unwrap() + 1;
    let problems = check::read(&text).unwrap_err();
    let found: Vec<String> = problems.iter().map(|problem| problem.at("door.yaml")).collect();
    let wanted = format!("door.yaml:{line}: {expected}");
    assert!(found.iter().any(|text| text.starts_with(&wanted)), "{wanted}\nnot in {found:#?}");
}

#[test]
fn names_that_do_not_exist_are_found() {
    let check = check_problem;
    let state = "there is no state \"Ajar\"";
    check("initial: Closed", "initial: Ajar", "initial", state);
    check("Opened: Open\n", "Opened: Ajar\n", "Opened: Ajar", state);
    check("only_in: [Closed]", "only_in: [Ajar]", "[Ajar]", state);
    let event = "there is no event \"Rang\"";
    check("Opened: Open\n", "Rang: Open\n", "Rang", event);
    check("ignores: [Lit]", "ignores: [Lit,\n      Rang]", "Rang", event);
    check("defers: [Knocked]", "defers: [Rang]", "Rang", event);
    check("raises: Rusted", "raises: Rang", "Rang", event);
    check("errno: EIO", "until: Rang", "Rang", event);
    check("by {who}", "by {whom}", "whom", "there is no word \"whom\"");
    check("errno: EIO", "errno: EFUN", "EFUN", "the error number \"EFUN\" is not known here");
    check("status:", "statis:", "statis", "states.Closed: unknown field `statis`");
}

#[test]
fn states_that_cannot_be_reached_or_left_are_found() {
    let check = check_problem;
    let lost = "the state \"Open\" cannot be reached";
    check("Opened: Open\n", "Opened: stay\n", "  Open:", lost);
    let trap = "  Trap:
    doc: x
    at: [3, 0]
    on: { Rusted: stay }
    ignores: [Knocked, Lit]
events:\n";
    check("events:\n", trap, "Trap:", "the state \"Trap\" is a dead end but not terminal");
    let ending = "    terminal: failure\n";
    let deaf = "the state \"Stuck\" is terminal, so it reacts to nothing";
    check(ending, &format!("{ending}    ignores: [Knocked]\n"), "terminal", deaf);
}

#[test]
fn every_state_has_one_answer_to_every_event() {
    let check = check_problem;
    let silent = "the state \"Open\" neither handles nor ignores \"Lit\"";
    check("      Lit: stay\n", "", "  Open:", silent);
    let twice = "the state \"Closed\" has two transitions for \"Opened\"";
    check("Opened: Open\n", "Opened: Open\n      Opened: Stuck\n", "Opened: Stuck", twice);
    let twice = "the state \"Closed\" says twice what \"Knocked\" does";
    check("ignores: [Lit]", "ignores: [Lit, Knocked]", "[Lit, Knocked]", twice);
    let own = "the state \"Closed\" does not handle its own \"Opened\"";
    check("      Opened: Open\n", "", "  Closed:", own);
    let foreign = "the state \"Closed\" names \"Shut\", which cannot come there (only_in)";
    check("ignores: [Lit]", "ignores: [Lit, Shut]", "[Lit, Shut]", foreign);
    let unused = "no state does anything with the event \"Knocked\"";
    let wrong = "Knocked: stay\n      Lit: stay\n";
    let text = GOOD.replace(wrong, "Lit: stay\n    ignores: [Knocked]\n");
    let problems = check::read(&text).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!((problems[0].line, problems[0].message.as_str()), (36, unused));
}

#[test]
fn values_that_mean_nothing_are_found() {
    let check = check_problem;
    for exit in ["exit: 256", "exit: 0", "exit: -1", "exit: lost"] {
        let wrong = "the exit of \"Rusted\" is neither 1 to 255 nor the word kept";
        check("exit: 70", exit, exit, wrong);
    }
    let failure = "\"Rusted\" leads to \"Stuck\" and has no exit code";
    check("    exit: 70\n", "", "  Rusted:", failure);
    let success = "\"Rusted\" leads to \"Stuck\" and has an exit code";
    check("terminal: failure", "terminal: success", "  Rusted:", success);
    for after in ["soon", "0s", "5h", "99999999999999999m"] {
        let wrong = format!("{after:?} is not a duration like 250ms, 60s or 5m");
        check("after: 5s", &format!("after: {after}"), "deadline", &wrong);
    }
    let own = "\"Closed\" does not handle its own deadline \"Shut\"";
    check("raises: Rusted", "raises: Shut", "deadline", own);
    let brace = "the status of \"Closed\" opens a brace for ever";
    check("by {who}", "by {who", "status", brace);
    check("by {who}", "by me", "who:", "no status uses the word \"who\"");
    let place = "the states \"Closed\" and \"Open\" share a place";
    check("at: [1, 0]", "at: [0,0]", "[0,0]", place);
    let until = "\"Rusted\" ends a condition and is one itself";
    check("errno: EIO", "until: Rusted", "until", until);
}

#[test]
fn names_and_docs_have_their_style() {
    let check = check_problem;
    check("doc: A door.", "doc: \"\"", "doc: \"\"", "the machine has an empty doc");
    let empty = "the state \"Closed\" has an empty doc";
    check("doc: Nobody can pass.", "doc: \"\"", "  Closed:", empty);
    let empty = "the event \"Lit\" has an empty doc";
    check("doc: Somebody lights a lamp.", "doc: \" \"", "  Lit:", empty);
    let style = "the machine \"Door\" is not named in snake_case";
    check("machine: door", "machine: Door", "machine", style);
    check("  who: the", "  Who: the", "Who", "the word \"Who\" is not named in snake_case");
    let style = "the state \"stuck\" is not named in CamelCase";
    check("  Stuck:\n", "  stuck:\n", "stuck", style);
    let twice = "the event \"Opened\" is declared twice";
    let again = "    only_in: [Open]\n  Opened:\n    doc: again\n";
    let text = GOOD.replace("    only_in: [Open]\n", again);
    let problems = check::read(&text).unwrap_err();
    assert!(problems.iter().any(|p| p.line == 36 && p.message == twice), "{problems:?}");
}

#[test]
fn all_problems_come_at_once_in_the_order_of_their_lines() {
    let text = GOOD.replace("exit: 70", "exit: 256").replace("Opened: Open\n", "Opened: Ajar\n");
    let lines: Vec<usize> = check::read(&text).unwrap_err().iter().map(|p| p.line).collect();
    assert!(lines.is_sorted() && lines.len() >= 2, "{lines:?}");
}

#[test]
fn text_that_is_no_machine_is_refused_with_its_line() {
    let check = |text: &str, line: usize| {
        let problems = check::read(text).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].line, line, "{problems:?}");
    };
    check("", 1);
    check("machine: [", 1);
    check("machine: a\ndoc: b\n\tinitial: C", 3);
    check("machine: a\ndoc: b\nsurprise: c\n", 3);
}

#[test]
fn lines_are_found_by_their_path() {
    let check = |path: &[&str], nth: usize, line: usize| {
        assert_eq!(locate::line_of(GOOD, path, nth), line, "{path:?}");
    };
    check(&["machine"], 0, 1);
    check(&["states", "Open"], 0, 17);
    check(&["states", "Open", "on", "Shut"], 0, 21);
    check(&["events", "Shut"], 0, 33);
    check(&["states", "Nowhere"], 0, 6);
    check(&["nothing"], 0, 1);
    assert_eq!(locate::line_of_word(GOOD, &["states", "Open"], "Rusted"), 22);
}

/// The compiled table of a machine says what its file says, for every state and event.
fn check_compiled<M: Machine>(text: &str) {
    let read = check::read(text).unwrap();
    let names = |all: Vec<String>| all.into_iter().collect::<BTreeSet<_>>();
    let states = names(read.states.iter().map(|state| state.name.clone()).collect());
    assert_eq!(states, names(M::STATES.iter().map(ToString::to_string).collect()));
    for (state_index, state) in M::STATES.iter().enumerate() {
        for (event_index, event) in M::EVENTS.iter().enumerate() {
            let said = read.states[state_index].reactions[event_index];
            let expected = match said {
                Reaction::Moves(index) => {
                    Some(read.states[read.transitions[index].to].name.clone())
                }
                Reaction::Defers | Reaction::Ignores => None,
            };
            let next = state.next(*event).map(|transition| {
                assert_eq!((transition.from, transition.event), (*state, *event));
                transition.to.to_string()
            });
            assert_eq!(next, expected, "{} {state} {event}", M::MACHINE);
            let is_deferred = matches!(state.reaction(*event), machine::Reaction::Defers);
            assert_eq!(is_deferred, said == Reaction::Defers);
        }
    }
}

#[test]
fn the_compiled_tables_are_those_of_the_files() {
    check_compiled::<lifecycle::State>(include_str!("../../../../states/lifecycle.yaml"));
    check_compiled::<command::State>(include_str!("../../../../states/command.yaml"));
    check_compiled::<reload::State>(include_str!("../../../../states/reload.yaml"));
    check_compiled::<target::State>(include_str!("../../../../states/target.yaml"));
}

#[test]
fn the_names_of_the_mission_are_there() {
    use lifecycle::State::{
        Bound, ConfigLoaded, Failed, Init, Ready, Reloading, Stopped, Stopping, StorageReady,
    };
    let fixed =
        [Init, ConfigLoaded, StorageReady, Bound, Ready, Reloading, Stopping, Stopped, Failed];
    let names: Vec<&str> = fixed.iter().map(|state| state.name()).collect();
    let expected = "Init ConfigLoaded StorageReady Bound Ready Reloading Stopping Stopped Failed";
    assert_eq!(names.join(" "), expected);
    for (index, state) in lifecycle::State::ALL.iter().enumerate() {
        assert_eq!(*state as usize, index);
    }
}
