//! What all decoders of one document share: the mistakes noted so far, and what has been spent on aliases.

use std::{cell::RefCell, fmt};

use serde::de;

use super::{
    decode::Schema,
    document::{Document, NodeId},
};
use crate::{
    error::{ConfigError, ErrorKind, Origin},
    key_path::KeyPath,
};

/// Most mistakes that are listed.
pub(crate) const ERROR_COUNT_MAX: usize = 500;

/// What all decoders of one document share.
pub(super) struct Scope<'s> {
    pub(super) document: &'s Document<'s>,
    pub(super) schema: &'s Schema,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    errors: Vec<ConfigError>,
    decode_count: u64,
    alias_count: u64,
    /// Aliases that are being followed.
    aliases: Vec<NodeId>,
}

impl<'s> Scope<'s> {
    pub(super) fn new(document: &'s Document<'s>, schema: &'s Schema) -> Self {
        Self { document, schema, state: RefCell::default() }
    }

    /// The mistakes in the order in which they were met, the one that ended reading first.
    pub(super) fn into_errors(self, stop: Option<Stop>) -> Vec<ConfigError> {
        let mut errors = self.state.into_inner().errors;
        if let Some(stop) = stop {
            errors.insert(0, *stop.0);
        }
        errors
    }

    /// Notes a mistake at a node.
    pub(super) fn report(
        &self,
        kind: ErrorKind,
        node: NodeId,
        path: &KeyPath<'_>,
        message: String,
        hint: Option<String>,
    ) {
        let mut state = self.state.borrow_mut();
        if state.errors.len() < ERROR_COUNT_MAX {
            state.errors.push(self.error(kind, node, path, message, hint));
        }
    }

    /// Whether further mistakes would not be listed anyway.
    pub(super) fn is_full(&self) -> bool {
        self.state.borrow().errors.len() >= ERROR_COUNT_MAX
    }

    /// The mistake that ends reading.
    pub(super) fn stop(&self, node: NodeId, path: &KeyPath<'_>, message: String) -> Stop {
        Stop(Box::new(self.error(ErrorKind::Syntax { shown_line: 0 }, node, path, message, None)))
    }

    fn error(
        &self,
        kind: ErrorKind,
        node: NodeId,
        path: &KeyPath<'_>,
        message: String,
        hint: Option<String>,
    ) -> ConfigError {
        let node = self.document.node(node);
        ConfigError {
            file: None,
            line: node.line as usize,
            column: node.column as usize,
            key_path: path.to_string(),
            message,
            hint,
            kind,
            origin: Origin::Main,
        }
    }

    /// Counts a node and refuses documents that are mostly aliases. Compat: go-yaml's ratio.
    fn count(&self) -> bool {
        const SMALL: u64 = 400_000;
        const LARGE: u64 = 4_000_000;
        let mut state = self.state.borrow_mut();
        state.decode_count += 1;
        state.alias_count += u64::from(!state.aliases.is_empty());
        let allowed = match state.decode_count {
            ..=SMALL => 0.99,
            LARGE.. => 0.10,
            count => 0.99 - 0.89 * ((count - SMALL) as f64 / (LARGE - SMALL) as f64),
        };
        state.alias_count <= 100
            || state.decode_count <= 1000
            || state.alias_count as f64 / state.decode_count as f64 <= allowed
    }

    /// Follows an alias until the guard is dropped.
    pub(super) fn follow(
        &self,
        node: NodeId,
        path: &KeyPath<'_>,
    ) -> Result<(NodeId, AliasGuard<'_>), Stop> {
        if !self.count() {
            return Err(self.stop(node, path, "document contains excessive aliasing".to_owned()));
        }
        let target = self.document.resolve(node);
        if target == node {
            return Ok((node, AliasGuard(None)));
        }
        let mut state = self.state.borrow_mut();
        if state.aliases.contains(&node) {
            let name = self.document.anchor_name(node);
            return Err(self.stop(node, path, format!("anchor '{name}' value contains itself")));
        }
        state.aliases.push(node);
        Ok((target, AliasGuard(Some(&self.state))))
    }
}

/// Ends the use of an alias.
pub(super) struct AliasGuard<'s>(Option<&'s RefCell<State>>);

impl Drop for AliasGuard<'_> {
    fn drop(&mut self) {
        if let Some(state) = self.0 {
            state.borrow_mut().aliases.pop();
        }
    }
}

/// The mistake that made reading the rest pointless.
#[derive(Debug)]
pub(super) struct Stop(Box<ConfigError>);

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for Stop {}

impl de::Error for Stop {
    /// Raw types have no rules of their own, so that serde has nothing to complain about; should it, the
    /// user still gets its words.
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(Box::new(ConfigError {
            file: None,
            line: 0,
            column: 0,
            key_path: String::new(),
            message: message.to_string(),
            hint: None,
            kind: ErrorKind::Syntax { shown_line: 0 },
            origin: Origin::Main,
        }))
    }
}
