//! A checked machine as Rust: its enums, their texts and its table. The types that the tables are
//! made of are in `src/machine.rs`; nothing is decided here.

use std::fmt::Write as _;

use super::check::{Event, Exit, Machine, Piece, Reaction, State};
use super::raw;

/// The module of one machine. `file` is named in its documentation.
pub(crate) fn module(file: &str, machine: &Machine) -> String {
    let mut code = String::new();
    let name = &machine.name;
    let doc = &machine.doc;
    line(&mut code, &format!("/// Generated from `{file}`. {doc}"));
    line(&mut code, &format!("pub mod {name} {{"));
    line(
        &mut code,
        "    #[allow(unused_imports, reason = \"not every machine needs all of them\")]",
    );
    line(&mut code, "    use std::time::Duration;");
    line(
        &mut code,
        "    #[allow(unused_imports, reason = \"not every machine needs all of them\")]",
    );
    line(&mut code, "    use crate::machine::{");
    line(&mut code, "        Ending, EventRow, Exit, Machine, News, Piece, Probe, Reaction,");
    line(&mut code, "        StateRow, Transition, Watchdog,");
    line(&mut code, "    };");
    let states: Vec<_> = machine.states.iter().map(|s| (s.name.as_str(), s.doc.as_str())).collect();
    let events: Vec<_> = machine.events.iter().map(|e| (e.name.as_str(), e.doc.as_str())).collect();
    let words: Vec<_> = machine.words.iter().map(|(w, doc)| (camel(w), doc.as_str())).collect();
    let words: Vec<_> = words.iter().map(|(word, doc)| (word.as_str(), *doc)).collect();
    enumeration(&mut code, "State", &format!("A state of the machine `{name}`."), &states);
    enumeration(&mut code, "Event", &format!("An event of the machine `{name}`."), &events);
    enumeration(&mut code, "Word", "A word that status lines have to be filled in with.", &words);
    tables(&mut code, machine);
    methods(&mut code, machine);
    line(&mut code, "}");
    code
}

fn line(code: &mut String, text: &str) {
    writeln!(code, "{text}").expect("a String takes all that is written");
}

fn enumeration(code: &mut String, kind: &str, doc: &str, members: &[(&str, &str)]) {
    line(code, &format!("    /// {doc}"));
    line(code, "    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]");
    line(code, &format!("    pub enum {kind} {{"));
    for (name, doc) in members {
        line(code, &format!("        /// {doc}"));
        line(code, &format!("        {name},"));
    }
    line(code, "    }");
}

fn tables(code: &mut String, machine: &Machine) {
    line(
        code,
        &format!("    static STATES: [StateRow<Event, Word>; {}] = [", machine.states.len()),
    );
    for state in &machine.states {
        state_row(code, machine, state);
    }
    line(code, "    ];");
    line(code, &format!("    static EVENTS: [EventRow<Event>; {}] = [", machine.events.len()));
    for event in &machine.events {
        event_row(code, machine, event);
    }
    line(code, "    ];");
    let count = machine.transitions.len();
    line(code, &format!("    static TRANSITIONS: [Transition<State, Event>; {count}] = ["));
    for t in &machine.transitions {
        let (from, to) = (&machine.states[t.from].name, &machine.states[t.to].name);
        let event = &machine.events[t.event].name;
        let fields = format!("from: State::{from}, event: Event::{event}, to: State::{to}");
        line(code, &format!("        Transition {{ {fields} }},"));
    }
    line(code, "    ];");
    let (rows, columns) = (machine.states.len(), machine.events.len());
    let cell = "Reaction<State, Event>";
    line(code, &format!("    static REACTIONS: [[{cell}; {columns}]; {rows}] = ["));
    for state in &machine.states {
        let cells: Vec<String> = state.reactions.iter().map(reaction).collect();
        line(code, &format!("        [{}],", cells.join(", ")));
    }
    line(code, "    ];");
}

fn reaction(reaction: &Reaction) -> String {
    match reaction {
        Reaction::Moves(index) => format!("Reaction::Moves(&TRANSITIONS[{index}])"),
        Reaction::Defers => "Reaction::Defers".to_owned(),
        Reaction::Ignores => "Reaction::Ignores".to_owned(),
    }
}

fn state_row(code: &mut String, machine: &Machine, state: &State) {
    let pieces: Vec<String> = state
        .status
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => format!("Piece::Text({text:?})"),
            Piece::Word(index) => format!("Piece::Word(Word::{})", camel(&machine.words[*index].0)),
        })
        .collect();
    let news = state.systemd.map(|news| match news {
        raw::News::Ready => "News::Ready",
        raw::News::Reloading => "News::Reloading",
        raw::News::Stopping => "News::Stopping",
    });
    let probe = match state.probe {
        raw::Probe::Starting => "Probe::Starting",
        raw::Probe::Ready => "Probe::Ready",
        raw::Probe::Stopping => "Probe::Stopping",
    };
    let watchdog = match state.watchdog {
        raw::Watchdog::Always => "Watchdog::Always",
        raw::Watchdog::Hearts => "Watchdog::Hearts",
    };
    let ending = state.terminal.map(|ending| match ending {
        raw::Ending::Success => "Ending::Success",
        raw::Ending::Failure => "Ending::Failure",
    });
    let deadline = state.deadline.map(|(after_ms, event)| {
        format!("({}, Event::{})", duration(after_ms), machine.events[event].name)
    });
    line(code, "        StateRow {");
    line(code, &format!("            doc: {:?},", state.doc));
    line(code, &format!("            column: {}, row: {},", state.at[0], state.at[1]));
    line(code, &format!("            status: &[{}],", pieces.join(", ")));
    line(code, &format!("            systemd: {},", option(news.map(str::to_owned))));
    line(code, &format!("            probe: {probe},"));
    line(code, &format!("            watchdog: {watchdog},"));
    let extend = state.extend_timeout_ms.map(duration);
    line(code, &format!("            extend_timeout: {},", option(extend)));
    line(code, &format!("            deadline: {},", option(deadline)));
    line(code, &format!("            ending: {},", option(ending.map(str::to_owned))));
    line(code, "        },");
}

fn event_row(code: &mut String, machine: &Machine, event: &Event) {
    let exit = event.exit.map(|exit| match exit {
        Exit::Code(exit_code) => format!("Exit::Code({exit_code})"),
        Exit::Kept => "Exit::Kept".to_owned(),
    });
    let until = event.until.map(|end| format!("Event::{}", machine.events[end].name));
    line(code, "        EventRow {");
    line(code, &format!("            doc: {:?},", event.doc));
    line(code, &format!("            log: {:?},", event.log));
    line(code, &format!("            is_step_outcome: {},", !event.only_in.is_empty()));
    line(code, &format!("            exit: {},", option(exit)));
    let errno = event.errno.map(|number| number.to_string());
    line(code, &format!("            errno: {},", option(errno)));
    line(code, &format!("            until: {},", option(until)));
    line(code, "        },");
}

fn methods(code: &mut String, machine: &Machine) {
    let initial = &machine.states[machine.initial].name;
    line(code, "    impl Machine for State {");
    line(code, "        type Event = Event;");
    line(code, "        type Word = Word;");
    line(code, &format!("        const MACHINE: &'static str = {:?};", machine.name));
    line(code, &format!("        const DOC: &'static str = {:?};", machine.doc));
    line(code, &format!("        const INITIAL: Self = State::{initial};"));
    let states: Vec<_> = machine.states.iter().map(|s| s.name.as_str()).collect();
    let events: Vec<_> = machine.events.iter().map(|e| e.name.as_str()).collect();
    line(code, &format!("        const STATES: &'static [Self] = {};", list("State", &states)));
    line(code, &format!("        const EVENTS: &'static [Event] = {};", list("Event", &events)));
    line(code, "        fn row(self) -> &'static StateRow<Event, Word> {");
    line(code, "            &STATES[self as usize]");
    line(code, "        }");
    line(code, "        fn reaction(self, event: Event) -> Reaction<Self, Event> {");
    line(code, "            REACTIONS[self as usize][event as usize]");
    line(code, "        }");
    line(code, "        fn transitions() -> &'static [Transition<Self, Event>] {");
    line(code, "            &TRANSITIONS");
    line(code, "        }");
    line(code, "        fn event_row(event: Event) -> &'static EventRow<Event> {");
    line(code, "            &EVENTS[event as usize]");
    line(code, "        }");
    line(code, "    }");
    names(code, "State", "state", &states);
    names(code, "Event", "event", &events);
}

fn names(code: &mut String, kind: &str, noun: &str, members: &[&str]) {
    line(code, &format!("    impl {kind} {{"));
    line(
        code,
        &format!(
            "        /// All of them, in the order of the file; `ALL[{noun} as usize] == {noun}`."
        ),
    );
    line(code, &format!("        pub const ALL: &'static [Self] = {};", list(kind, members)));
    line(code, "        /// The name, as in the file.");
    line(code, "        pub const fn name(self) -> &'static str {");
    line(code, "            match self {");
    for member in members {
        line(code, &format!("                Self::{member} => {member:?},"));
    }
    line(code, "            }");
    line(code, "        }");
    line(code, "    }");
    line(code, &format!("    impl std::fmt::Display for {kind} {{"));
    line(code, "        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {");
    line(code, "            f.pad(self.name())");
    line(code, "        }");
    line(code, "    }");
    line(code, &format!("    impl serde::Serialize for {kind} {{"));
    line(
        code,
        "        fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {",
    );
    line(code, "            to.serialize_str(self.name())");
    line(code, "        }");
    line(code, "    }");
}

fn list(kind: &str, members: &[&str]) -> String {
    let members: Vec<String> = members.iter().map(|name| format!("{kind}::{name}")).collect();
    format!("&[{}]", members.join(", "))
}

fn option(value: Option<String>) -> String {
    value.map_or("None".to_owned(), |value| format!("Some({value})"))
}

fn duration(ms: u64) -> String {
    format!("Duration::from_millis({ms})")
}

fn camel(word: &str) -> String {
    word.split('_')
        .map(|part| {
            let mut letters = part.chars();
            let first = letters.next().map(|c| c.to_ascii_uppercase());
            first.into_iter().chain(letters).collect::<String>()
        })
        .collect()
}
