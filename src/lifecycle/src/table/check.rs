//! From the raw machine to a checked one: every name resolved, every rule of `states/README.md`
//! upheld, or a list of all that is wrong, each with its line. It prints no Rust; `generate` does.

use std::collections::{BTreeMap, BTreeSet};

use super::locate::{line_of, line_of_word};
use super::raw;

/// The error numbers that a file may name, with their values on Linux.
const ERRNOS: [(&str, i32); 13] = [
    ("EPERM", 1),
    ("ENOENT", 2),
    ("EINTR", 4),
    ("EIO", 5),
    ("EAGAIN", 11),
    ("EACCES", 13),
    ("EBUSY", 16),
    ("EINVAL", 22),
    ("ENOSPC", 28),
    ("EADDRINUSE", 98),
    ("EADDRNOTAVAIL", 99),
    ("ETIMEDOUT", 110),
    ("EUCLEAN", 117),
];

/// A machine without errors. States, events and words are named by their index.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) doc: String,
    pub(crate) initial: usize,
    pub(crate) words: Vec<(String, String)>,
    pub(crate) states: Vec<State>,
    pub(crate) events: Vec<Event>,
    pub(crate) transitions: Vec<Transition>,
}

#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) name: String,
    pub(crate) doc: String,
    pub(crate) at: [u8; 2],
    pub(crate) status: Vec<Piece>,
    pub(crate) systemd: Option<raw::News>,
    pub(crate) probe: raw::Probe,
    pub(crate) watchdog: raw::Watchdog,
    pub(crate) extend_timeout_ms: Option<u64>,
    pub(crate) deadline: Option<(u64, usize)>,
    pub(crate) terminal: Option<raw::Ending>,
    /// One per event.
    pub(crate) reactions: Vec<Reaction>,
}

#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) doc: String,
    pub(crate) log: String,
    pub(crate) only_in: Vec<usize>,
    pub(crate) exit: Option<Exit>,
    pub(crate) errno: Option<i32>,
    pub(crate) until: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Code(u8),
    Kept,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transition {
    pub(crate) from: usize,
    pub(crate) event: usize,
    pub(crate) to: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// The index of the transition.
    Moves(usize),
    Defers,
    Ignores,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    Text(String),
    Word(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) line: usize,
    pub(crate) message: String,
}

struct Checker<'a> {
    text: &'a str,
    raw: &'a raw::Machine,
    problems: Vec<Problem>,
}

impl Problem {
    /// `states/lifecycle.yaml:12: what is wrong`
    pub(crate) fn at(&self, file: &str) -> String {
        format!("{file}:{}: {}", self.line, self.message)
    }
}

/// Reads and checks the text of one file.
pub(crate) fn read(text: &str) -> Result<Machine, Vec<Problem>> {
    let raw: raw::Machine = serde_yaml::from_str(text).map_err(|error| {
        let line = error.location().map_or(1, |place| place.line());
        vec![Problem { line, message: error.to_string() }]
    })?;
    let mut checker = Checker { text, raw: &raw, problems: Vec::new() };
    let machine = checker.machine();
    if checker.problems.is_empty() {
        checker.check_shape(&machine);
    }
    if checker.problems.is_empty() {
        return Ok(machine);
    }
    checker.problems.sort_by_key(|problem| problem.line);
    checker.problems.dedup();
    Err(checker.problems)
}

impl Checker<'_> {
    fn problem(&mut self, path: &[&str], message: impl Into<String>) {
        let problem = Problem { line: line_of(self.text, path, 0), message: message.into() };
        self.problems.push(problem);
    }

    fn problem_at_word(&mut self, path: &[&str], word: &str, message: impl Into<String>) {
        let line = line_of_word(self.text, path, word);
        self.problems.push(Problem { line, message: message.into() });
    }

    fn problem_of_repeat(&mut self, path: &[&str], message: impl Into<String>) {
        let line = line_of(self.text, path, 1);
        self.problems.push(Problem { line, message: message.into() });
    }

    fn machine(&mut self) -> Machine {
        let raw = self.raw;
        self.check_names();
        if raw.doc.trim().is_empty() {
            self.problem(&["doc"], "the machine has an empty doc");
        }
        let initial = self.state(&raw.initial, &["initial"]).unwrap_or(0);
        let events = raw.events.0.iter().map(|(name, event)| self.event(name, event)).collect();
        let mut transitions = Vec::new();
        let states =
            raw.states.0.iter().map(|(name, s)| self.checked(name, s, &mut transitions)).collect();
        Machine {
            name: raw.machine.clone(),
            doc: one_line(&raw.doc),
            initial,
            words: raw.words.0.iter().map(|(name, doc)| (name.clone(), one_line(doc))).collect(),
            states,
            events,
            transitions,
        }
    }

    fn check_names(&mut self) {
        let raw = self.raw;
        if !is_snake(&raw.machine) {
            let message = format!("the machine {:?} is not named in snake_case", raw.machine);
            self.problem(&["machine"], message);
        }
        let states: Vec<&String> = raw.states.0.iter().map(|(name, _)| name).collect();
        let events: Vec<&String> = raw.events.0.iter().map(|(name, _)| name).collect();
        let words: Vec<&String> = raw.words.0.iter().map(|(name, _)| name).collect();
        let kinds = [("states", "state", states), ("events", "event", events)];
        for (section, kind, names) in kinds.into_iter().chain([("words", "word", words)]) {
            let mut seen = BTreeSet::new();
            for name in names {
                if !seen.insert(name) {
                    let message = format!("the {kind} {name:?} is declared twice");
                    self.problem_of_repeat(&[section, name], message);
                }
                let (style, is_good) = match kind {
                    "word" => ("snake_case", is_snake(name)),
                    _ => ("CamelCase", is_camel(name)),
                };
                if !is_good {
                    let message = format!("the {kind} {name:?} is not named in {style}");
                    self.problem(&[section, name], message);
                }
            }
        }
    }

    fn state(&mut self, name: &str, path: &[&str]) -> Option<usize> {
        let index = self.raw.states.0.iter().position(|(known, _)| known == name);
        if index.is_none() {
            self.problem_at_word(path, name, format!("there is no state {name:?}"));
        }
        index
    }

    fn named_event(&mut self, name: &str, path: &[&str]) -> Option<usize> {
        let index = self.raw.events.0.iter().position(|(known, _)| known == name);
        if index.is_none() {
            self.problem_at_word(path, name, format!("there is no event {name:?}"));
        }
        index
    }

    fn event(&mut self, name: &str, event: &raw::Event) -> Event {
        let path = ["events", name];
        if event.doc.trim().is_empty() {
            self.problem(&path, format!("the event {name:?} has an empty doc"));
        }
        let only_in = event
            .only_in
            .iter()
            .filter_map(|state| self.state(state, &["events", name, "only_in"]))
            .collect();
        let exit = match &event.exit {
            None => None,
            Some(raw::Exit::Word(word)) if word == "kept" => Some(Exit::Kept),
            Some(raw::Exit::Code(code)) if (1..=255).contains(code) => {
                Some(Exit::Code(u8::try_from(*code).unwrap_or(1)))
            }
            Some(_) => {
                let message = format!("the exit of {name:?} is neither 1 to 255 nor the word kept");
                self.problem(&["events", name, "exit"], message);
                None
            }
        };
        let errno = event.errno.as_ref().and_then(|wanted| {
            let known = ERRNOS.iter().find(|(known, _)| known == wanted);
            if known.is_none() {
                let message = format!("the error number {wanted:?} is not known here");
                self.problem(&["events", name, "errno"], message);
            }
            known.map(|(_, number)| *number)
        });
        let until = event.until.as_ref().and_then(|end| {
            let path = ["events", name, "until"];
            let index = self.named_event(end, &path)?;
            if self.raw.events.0.get(index).is_some_and(|(_, other)| other.until.is_some()) {
                self.problem(&path, format!("{end:?} ends a condition and is one itself"));
            }
            Some(index)
        });
        let doc = one_line(&event.doc);
        let log = event.log.clone().unwrap_or_else(|| first_sentence(&doc));
        Event { name: name.to_owned(), doc, log, only_in, exit, errno, until }
    }

    fn checked(
        &mut self,
        name: &str,
        state: &raw::State,
        transitions: &mut Vec<Transition>,
    ) -> State {
        if state.doc.trim().is_empty() {
            self.problem(&["states", name], format!("the state {name:?} has an empty doc"));
        }
        let deadline = state.deadline.as_ref().and_then(|deadline| {
            let path = ["states", name, "deadline"];
            let event = self.named_event(&deadline.raises, &path);
            if !state.on.0.iter().any(|(handled, _)| *handled == deadline.raises) {
                let event = &deadline.raises;
                self.problem(&path, format!("{name:?} does not handle its own deadline {event:?}"));
            }
            Some((self.duration_ms(&deadline.after, &path)?, event?))
        });
        let extend_timeout_ms = state
            .extend_timeout
            .as_ref()
            .and_then(|text| self.duration_ms(text, &["states", name, "extend_timeout"]));
        State {
            name: name.to_owned(),
            doc: one_line(&state.doc),
            at: state.at,
            status: self.template(name, &state.status),
            systemd: state.systemd,
            probe: state.probe,
            watchdog: state.watchdog,
            extend_timeout_ms,
            deadline,
            terminal: state.terminal,
            reactions: self.reactions(name, state, transitions),
        }
    }

    /// What the state does with each event; finds events that it names twice or not at all.
    fn reactions(
        &mut self,
        name: &str,
        state: &raw::State,
        transitions: &mut Vec<Transition>,
    ) -> Vec<Reaction> {
        let from = self.raw.states.0.iter().position(|(known, _)| known == name).unwrap_or(0);
        let mut known: BTreeMap<usize, Reaction> = BTreeMap::new();
        for (event_name, target) in &state.on.0 {
            let path = ["states", name, "on", event_name];
            let to = if target == "stay" { Some(from) } else { self.state(target, &path) };
            let Some(event) = self.named_event(event_name, &path) else { continue };
            let Some(to) = to else { continue };
            if known.insert(event, Reaction::Moves(transitions.len())).is_some() {
                let message = format!("the state {name:?} has two transitions for {event_name:?}");
                self.problem_of_repeat(&path, message);
            }
            transitions.push(Transition { from, event, to });
        }
        for (key, names, reaction) in [
            ("defers", &state.defers, Reaction::Defers),
            ("ignores", &state.ignores, Reaction::Ignores),
        ] {
            let path = ["states", name, key];
            for event_name in names {
                let Some(event) = self.named_event(event_name, &path) else { continue };
                if known.insert(event, reaction).is_some() {
                    let message = format!("the state {name:?} says twice what {event_name:?} does");
                    self.problem_at_word(&path, event_name, message);
                }
            }
        }
        if state.terminal.is_none() {
            self.check_reactions_are_complete(name, &known);
        } else if !known.is_empty() || state.deadline.is_some() {
            let message = format!("the state {name:?} is terminal, so it reacts to nothing");
            self.problem(&["states", name, "terminal"], message);
        }
        let count = self.raw.events.0.len();
        (0..count).map(|e| known.get(&e).copied().unwrap_or(Reaction::Ignores)).collect()
    }

    fn check_reactions_are_complete(&mut self, name: &str, known: &BTreeMap<usize, Reaction>) {
        for (index, (event_name, event)) in self.raw.events.0.iter().enumerate() {
            let reaction = known.get(&index);
            if event.only_in.is_empty() {
                if reaction.is_none() {
                    let message =
                        format!("the state {name:?} neither handles nor ignores {event_name:?}");
                    self.problem(&["states", name], message);
                }
                continue;
            }
            let is_here = event.only_in.iter().any(|state| state == name);
            let is_handled = matches!(reaction, Some(Reaction::Moves(_)));
            if is_here && !is_handled {
                let message = format!("the state {name:?} does not handle its own {event_name:?}");
                self.problem(&["states", name], message);
            }
            if !is_here && reaction.is_some() {
                let message = format!(
                    "the state {name:?} names {event_name:?}, which cannot come there (only_in)"
                );
                self.problem_at_word(&["states", name], event_name, message);
            }
        }
    }

    fn template(&mut self, state: &str, text: &str) -> Vec<Piece> {
        let path = ["states", state, "status"];
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            let Some((word, after)) = after.split_once('}') else {
                self.problem(&path, format!("the status of {state:?} opens a brace for ever"));
                return pieces;
            };
            match self.raw.words.0.iter().position(|(known, _)| known == word) {
                Some(index) => pieces.push(Piece::Word(index)),
                None => self.problem(&path, format!("there is no word {word:?}")),
            }
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        pieces
    }

    /// `250ms`, `60s`, `5m`
    fn duration_ms(&mut self, text: &str, path: &[&str]) -> Option<u64> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit_ms = match text.get(digits.len()..) {
            Some("ms") => 1,
            Some("s") => 1_000,
            Some("m") => 60_000,
            _ => 0,
        };
        let value = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(unit_ms));
        let value = value.filter(|ms| *ms > 0);
        if value.is_none() {
            self.problem(path, format!("{text:?} is not a duration like 250ms, 60s or 5m"));
        }
        value
    }

    /// What only the whole machine can show: places, reach, dead ends, unused names, exit codes.
    fn check_shape(&mut self, machine: &Machine) {
        let mut places = BTreeMap::new();
        for state in &machine.states {
            if let Some(other) = places.insert(state.at, &state.name) {
                let message = format!("the states {other:?} and {:?} share a place", state.name);
                self.problem(&["states", &state.name, "at"], message);
            }
        }
        let reached = reachable(machine);
        for (index, state) in machine.states.iter().enumerate() {
            if !reached.contains(&index) {
                let message = format!("the state {:?} cannot be reached", state.name);
                self.problem(&["states", &state.name], message);
            }
            let leaves = machine.transitions.iter().any(|t| t.from == index && t.to != index);
            if state.terminal.is_none() && !leaves {
                let message = format!("the state {:?} is a dead end but not terminal", state.name);
                self.problem(&["states", &state.name], message);
            }
        }
        for (index, event) in machine.events.iter().enumerate() {
            if !machine.transitions.iter().any(|t| t.event == index) {
                let message = format!("no state does anything with the event {:?}", event.name);
                self.problem(&["events", &event.name], message);
            }
        }
        for (index, (word, _)) in machine.words.iter().enumerate() {
            if !machine.states.iter().any(|state| state.status.contains(&Piece::Word(index))) {
                self.problem(&["words", word], format!("no status uses the word {word:?}"));
            }
        }
        self.check_exits(machine);
    }

    /// A failure needs a code, and a success must not have one.
    fn check_exits(&mut self, machine: &Machine) {
        for transition in &machine.transitions {
            let (Some(to), Some(event)) =
                (machine.states.get(transition.to), machine.events.get(transition.event))
            else {
                continue;
            };
            let message = match (to.terminal, event.exit) {
                (Some(raw::Ending::Failure), None) => {
                    format!("{:?} leads to {:?} and has no exit code", event.name, to.name)
                }
                (Some(raw::Ending::Success), Some(_)) => {
                    format!("{:?} leads to {:?} and has an exit code", event.name, to.name)
                }
                _ => continue,
            };
            self.problem(&["events", &event.name], message);
        }
    }
}

fn reachable(machine: &Machine) -> BTreeSet<usize> {
    let mut reached = BTreeSet::from([machine.initial]);
    let mut fresh = vec![machine.initial];
    while let Some(state) = fresh.pop() {
        for transition in machine.transitions.iter().filter(|t| t.from == state) {
            if reached.insert(transition.to) {
                fresh.push(transition.to);
            }
        }
    }
    reached
}

fn is_camel(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.chars().all(|c| c.is_ascii_alphanumeric())
}

fn is_snake(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn first_sentence(doc: &str) -> String {
    doc.split_inclusive(". ").next().unwrap_or(doc).trim_end().to_owned()
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
