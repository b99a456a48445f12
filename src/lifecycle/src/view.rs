//! What the rest of the world sees of a machine: its picture, where it is, and how it came there. Plain
//! data for the API and the page; nothing is drawn here.

use std::sync::Arc;

use serde::Serialize;

use crate::heart::HeartView;
use crate::machine::lifecycle::{Event, State};
use crate::machine::{Ending, Machine, reload};

/// How many transitions are remembered.
pub(crate) const HISTORY_COUNT_MAX: usize = 256;

/// The service at one moment.
#[derive(Debug, Clone, Serialize)]
pub struct LifecycleView {
    /// The name of the service.
    pub service: String,
    /// The machine, for drawing.
    pub machine: MachineView,
    /// The state that the service is in.
    pub current: State,
    /// When it was entered, Unix time.
    pub since_ms: i64,
    /// Why it was entered.
    pub reason: String,
    /// The status line, as systemd shows it.
    pub status: String,
    /// What `/-/ready` answers with 200.
    pub is_ready: bool,
    /// The conditions that hold at this moment, with their reasons.
    pub conditions: Vec<ConditionView>,
    /// The transitions so far, oldest first; the oldest are forgotten.
    pub history: Vec<Arc<Passage>>,
    /// The latest reload.
    pub reload: ReloadView,
    /// The loops that are watched.
    pub hearts: Vec<HeartView>,
    /// How many supervised tasks run.
    pub tasks_count: usize,
}

/// A machine for drawing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MachineView {
    /// Its name.
    pub name: &'static str,
    /// What it is the machine of.
    pub doc: &'static str,
    /// Its states, with their places.
    pub states: Vec<StateView>,
    /// Its transitions.
    pub transitions: Vec<TransitionView>,
}

/// A state for drawing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StateView {
    /// Its name.
    pub name: String,
    /// What it means, in prose.
    pub doc: &'static str,
    /// Its place from the left.
    pub column: u8,
    /// Its place from the top.
    pub row: u8,
    /// Nothing leads out of it.
    pub is_terminal: bool,
    /// It is terminal, and an end in failure.
    pub is_failure: bool,
}

/// A transition for drawing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TransitionView {
    /// The state that it leaves.
    pub from: String,
    /// What causes it.
    pub event: String,
    /// What the event means, in prose.
    pub doc: &'static str,
    /// The state that it enters.
    pub to: String,
}

/// A condition that holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConditionView {
    /// What holds.
    pub event: Event,
    /// Why.
    pub reason: String,
}

/// One transition that has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Passage {
    /// When, Unix time.
    pub at_ms: i64,
    /// The state that was left.
    pub from: State,
    /// How long it had lasted.
    pub lasted_ms: u64,
    /// What happened.
    pub event: Event,
    /// The state that was entered.
    pub to: State,
    /// Why, in words.
    pub reason: String,
}

/// The latest reload.
#[derive(Debug, Clone, Serialize)]
pub struct ReloadView {
    /// The machine, for drawing.
    pub machine: MachineView,
    /// The state that it is in.
    pub current: reload::State,
    /// Whether the latest one that has ended was taken over, or had nothing to change; one that runs changes
    /// nothing about it. One that was undone by itself was not.
    pub is_successful: bool,
    /// How many reloads have ended since the start, however they ended.
    pub attempts_count: u64,
    /// Who asked for the latest one; empty before the first.
    pub cause: String,
    /// What came of it: the changes, or the errors.
    pub outcome: String,
    /// When it ended, Unix time.
    pub ended_ms: Option<i64>,
    /// How long it took.
    pub lasted_ms: u64,
    /// When a configuration was last accepted, Unix time.
    pub accepted_ms: Option<i64>,
}

impl MachineView {
    /// Any of the machines, as its file declares it.
    pub fn of<M: Machine>() -> Self {
        let state = |state: &M| {
            let row = state.row();
            StateView {
                name: state.to_string(),
                doc: row.doc,
                column: row.column,
                row: row.row,
                is_terminal: row.ending.is_some(),
                is_failure: row.ending == Some(Ending::Failure),
            }
        };
        let transitions = M::transitions().iter().map(|transition| TransitionView {
            from: transition.from.to_string(),
            event: transition.event.to_string(),
            doc: M::event_row(transition.event).doc,
            to: transition.to.to_string(),
        });
        Self {
            name: M::MACHINE,
            doc: M::DOC,
            states: M::STATES.iter().map(state).collect(),
            transitions: transitions.collect(),
        }
    }
}
