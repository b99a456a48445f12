//! A YAML document as a flat arena of nodes that know their place. Aliases point at their anchor and are
//! never copied, mappings keep every pair in the order of the text: what repetition means is the decoder's
//! matter.

use std::{borrow::Cow, collections::HashMap};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};

use crate::key_path::{KeyPath, Step};

/// Deepest nesting. Compat: go-yaml's own limit and text.
const DEPTH_MAX: usize = 10_000;
/// Most nodes in a document; each takes about 80 bytes.
const NODE_COUNT_MAX: usize = 2_000_000;
/// Longest key or value: labels, certificates and queries are far shorter.
const SCALAR_SIZE_BYTES_MAX: usize = 1 << 20;
/// Longest chain of aliases to aliases and merges into merges that a search by key path follows.
const INDIRECTION_MAX: usize = 32;

/// What go-yaml's scanner says, by a part of what our parser says.
const SCANNER_WORDS: [(&str, &str); 13] = [
    ("simple key expect", "could not find expected ':'"),
    ("unexpected end of stream", "found unexpected end of stream"),
    ("unexpected document indicator", "found unexpected document indicator"),
    ("unknown escape character", "found unknown escape character"),
    ("hexadecimal number", "did not find expected hexdecimal number"),
    ("unexpected character", "found character that cannot start any token"),
    ("tab cannot be used", "found a tab character that violates indentation"),
    ("found a tab", "found a tab character that violates indentation"),
    ("tabs disallowed", "found character that cannot start any token"),
    ("with a tab", "found a tab character where an indentation space is expected"),
    ("invalid indentation in quoted", "found unexpected end of stream"),
    ("recursion limit", "exceeded max depth of 255 in flow collections"),
    ("expected alphabetic or numeric", "did not find expected alphabetic or numeric character"),
];
/// What go-yaml's parser says. Its line numbers are one too small.
const PARSER_WORDS: [(&str, &str); 8] = [
    ("illegal placement of ':'", "did not find expected ',' or ']'"),
    ("misplaced bracket", "did not find expected key"),
    ("did not find expected key", "did not find expected key"),
    ("expected '-' indicator", "did not find expected '-' indicator"),
    ("flow mapping, did not find", "did not find expected ',' or '}'"),
    ("flow sequence, expected", "did not find expected ',' or ']'"),
    ("expected node content", "did not find expected node content"),
    ("invalid trailing content", "did not find expected key"),
];

/// Why a text is no YAML, with the place from 1, or 0 where there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) line: usize,
    pub(crate) column: usize,
    /// The line go-yaml would name, 0 for none: it counts differently for each kind of fault.
    pub(crate) shown_line: usize,
    pub(crate) message: Cow<'static, str>,
    pub(crate) hint: Option<String>,
}

impl Fault {
    pub(super) fn new(line: usize, column: usize, message: impl Into<Cow<'static, str>>) -> Self {
        Self { line, column, shown_line: 0, message: message.into(), hint: None }
    }

    pub(super) fn with_hint(self, hint: String) -> Self {
        Self { hint: Some(hint), ..self }
    }
}

/// Position of a node in its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NodeId(u32);

/// What a mistake is sorted by: line, column, whether it follows what stands there, and how high up it is.
pub(crate) type Rank = (usize, usize, bool, usize);

/// One node and where it begins.
#[derive(Debug)]
pub(super) struct Node<'t> {
    /// From 1.
    pub(super) line: u32,
    /// In characters, from 1.
    pub(super) column: u32,
    /// The explicit tag in its long form.
    pub(super) tag: Option<Box<str>>,
    pub(super) kind: Kind<'t>,
}

#[derive(Debug)]
pub(super) enum Kind<'t> {
    /// `is_plain` says that nothing was quoted, so that the text decides the type.
    Scalar {
        text: Cow<'t, str>,
        is_plain: bool,
    },
    Sequence(Vec<NodeId>),
    Mapping(Vec<(NodeId, NodeId)>),
    Alias(NodeId),
}

/// The first document of a text; without nodes if the text is empty.
#[derive(Debug, Default)]
pub(crate) struct Document<'t> {
    text: &'t str,
    nodes: Vec<Node<'t>>,
    root: Option<NodeId>,
}

impl<'t> Document<'t> {
    /// Reads the first document; what follows it is not looked at, as in go-yaml.
    ///
    /// # Errors
    /// The text is not YAML, or beyond a limit.
    pub(crate) fn parse(text: &'t str) -> Result<Self, Fault> {
        let mut builder = Builder::default();
        builder.document.text = text;
        let mut parser = Parser::new_from_str(text);
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|err| scan_fault(text, &err))?;
            if builder.take(event, span.start)? {
                break;
            }
        }
        Ok(builder.document)
    }

    pub(super) fn root(&self) -> Option<NodeId> {
        self.root
    }

    pub(super) fn node(&self, id: NodeId) -> &Node<'t> {
        &self.nodes[id.0 as usize]
    }

    /// The node an alias stands for, or the node itself.
    pub(super) fn resolve(&self, id: NodeId) -> NodeId {
        match self.node(id).kind {
            Kind::Alias(target) => target,
            _ => id,
        }
    }

    /// The name of the anchor that an alias refers to.
    pub(super) fn anchor_name(&self, alias: NodeId) -> &'t str {
        let node = self.node(alias);
        anchor_name(self.text, node.line as usize, node.column as usize)
    }

    /// The node at a path, if it is there.
    pub(crate) fn find(&self, path: &KeyPath<'_>) -> Option<NodeId> {
        path.steps().into_iter().try_fold(self.root?, |at, step| self.step(at, step))
    }

    /// The scalar at a path.
    pub(crate) fn text_at(&self, path: &KeyPath<'_>) -> Option<&str> {
        match &self.node(self.resolve(self.find(path)?)).kind {
            Kind::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    fn step(&self, at: NodeId, step: Step<'_>) -> Option<NodeId> {
        match (step, &self.node(self.resolve(at)).kind) {
            (Step::Index(index), Kind::Sequence(children)) => children.get(index).copied(),
            (Step::Key(key), _) => self.child(at, key, INDIRECTION_MAX),
            _ => None,
        }
    }

    /// Where a mistake at a path counts among others: one about something that is not there comes after all
    /// that is there, as the reference finds it.
    pub(crate) fn rank(&self, path: &KeyPath<'_>) -> Rank {
        if self.find(path).is_some() {
            let (line, column) = self.locate(path);
            return (line, column, false, 0);
        }
        let Some(mut at) = self.root else { return (0, 0, true, 0) };
        for step in path.steps() {
            match self.step(at, step) {
                Some(next) => at = next,
                None => break,
            }
        }
        loop {
            let last = match &self.node(at).kind {
                Kind::Sequence(children) => children.last().copied(),
                Kind::Mapping(pairs) => pairs.last().map(|(_, value)| *value),
                Kind::Scalar { .. } | Kind::Alias(_) => None,
            };
            match last {
                Some(last) => at = last,
                None => break,
            }
        }
        let node = self.node(at);
        // What is missing deep inside is noticed first.
        (node.line as usize, node.column as usize, true, usize::MAX - path.steps().len())
    }

    /// Line and column of the node at a path, or of the deepest one on the way to it that exists.
    pub(crate) fn locate(&self, path: &KeyPath<'_>) -> (usize, usize) {
        let Some(mut at) = self.root else { return (0, 0) };
        for step in path.steps() {
            match self.step(at, step) {
                Some(next) => at = next,
                None => break,
            }
        }
        let node = self.node(at);
        (node.line as usize, node.column as usize)
    }

    /// The value of a key, which may come from a merged mapping; the last one counts.
    fn child(&self, id: NodeId, key: &str, indirections_left: usize) -> Option<NodeId> {
        let left = indirections_left.checked_sub(1)?;
        match &self.node(self.resolve(id)).kind {
            Kind::Mapping(pairs) => pairs.iter().rev().find_map(|&(name, value)| {
                match &self.node(self.resolve(name)).kind {
                    Kind::Scalar { text, .. } if *text == key => Some(value),
                    Kind::Scalar { text, is_plain: true } if *text == "<<" => {
                        self.child(value, key, left)
                    }
                    _ => None,
                }
            }),
            Kind::Sequence(children) => {
                children.iter().find_map(|child| self.child(*child, key, left))
            }
            _ => None,
        }
    }
}

/// Builds the arena from the parser's events.
#[derive(Default)]
struct Builder<'t> {
    document: Document<'t>,
    /// Open sequences and mappings; a mapping remembers the key whose value comes next.
    open: Vec<(NodeId, Option<NodeId>)>,
    anchors: HashMap<usize, NodeId>,
}

impl<'t> Builder<'t> {
    /// Takes one event; true when the first document is whole.
    fn take(&mut self, event: Event<'t>, start: Marker) -> Result<bool, Fault> {
        match event {
            Event::Nothing | Event::StreamStart | Event::DocumentStart(_) => {}
            Event::DocumentEnd | Event::StreamEnd => return Ok(true),
            Event::SequenceEnd | Event::MappingEnd => {
                self.open.pop();
            }
            Event::Alias(anchor) => {
                let target = self.anchors.get(&anchor).copied();
                let target = target.ok_or_else(|| at(start, "unknown anchor referenced"))?;
                self.add(Kind::Alias(target), None, 0, start)?;
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain;
                self.add(Kind::Scalar { text, is_plain }, tag, anchor, start)?;
            }
            Event::SequenceStart(anchor, tag) => {
                let id = self.add(Kind::Sequence(Vec::new()), tag, anchor, start)?;
                self.descend(id, start)?;
            }
            Event::MappingStart(anchor, tag) => {
                let id = self.add(Kind::Mapping(Vec::new()), tag, anchor, start)?;
                self.descend(id, start)?;
            }
        }
        Ok(false)
    }

    fn descend(&mut self, id: NodeId, start: Marker) -> Result<(), Fault> {
        if self.open.len() == DEPTH_MAX {
            return Err(at(start, format!("exceeded max depth of {DEPTH_MAX}")));
        }
        self.open.push((id, None));
        Ok(())
    }

    fn add(
        &mut self,
        kind: Kind<'t>,
        tag: Option<Cow<'t, Tag>>,
        anchor: usize,
        start: Marker,
    ) -> Result<NodeId, Fault> {
        let nodes = &mut self.document.nodes;
        if nodes.len() == NODE_COUNT_MAX {
            return Err(at(start, format!("document has more than {NODE_COUNT_MAX} nodes")));
        }
        if matches!(&kind, Kind::Scalar { text, .. } if text.len() > SCALAR_SIZE_BYTES_MAX) {
            return Err(at(start, format!("value has more than {SCALAR_SIZE_BYTES_MAX} bytes")));
        }
        let id = NodeId(nodes.len() as u32);
        let tag = tag.map(|tag| format!("{}{}", tag.handle, tag.suffix).into_boxed_str());
        nodes.push(Node { line: start.line() as u32, column: start.col() as u32 + 1, tag, kind });
        if anchor > 0 {
            self.anchors.insert(anchor, id);
        }
        match self.open.last_mut() {
            None => self.document.root = Some(id),
            Some((parent, key)) => match &mut nodes[parent.0 as usize].kind {
                Kind::Sequence(children) => children.push(id),
                Kind::Mapping(pairs) => match key.take() {
                    Some(name) => pairs.push((name, id)),
                    None => *key = Some(id),
                },
                Kind::Scalar { .. } | Kind::Alias(_) => {}
            },
        }
        Ok(id)
    }
}

fn at(marker: Marker, message: impl Into<Cow<'static, str>>) -> Fault {
    Fault::new(marker.line(), marker.col() + 1, message)
}

/// The parser's complaint in go-yaml's words where they differ.
fn scan_fault(text: &str, err: &ScanError) -> Fault {
    let info = err.info();
    let (mut line, mut column) = (err.marker().line(), err.marker().col() + 1);
    if info.contains("unknown anchor") {
        let name = anchor_name(text, line, column);
        return Fault::new(line, column, format!("unknown anchor '{name}' referenced"));
    }
    let words = SCANNER_WORDS.iter().chain(&PARSER_WORDS).find(|(part, _)| info.contains(part));
    let message = match words {
        Some((_, words)) => Cow::Borrowed(*words),
        None => Cow::Owned(without_context(info).to_owned()),
    };
    let is_of_parser = PARSER_WORDS.iter().any(|(_, words)| *words == message);
    let tab = |line: usize| indent_of(text, line).find('\t').map(|at| (line, at + 1));
    let tab = tab(line).or_else(|| tab(line + 1).filter(|_| info.contains("tab")));
    if let Some(tab) = tab {
        (line, column) = tab;
    }
    let shown_line = match line {
        _ if message.ends_with("end of stream") => text.matches('\n').count() + 1,
        line if is_of_parser => line.saturating_sub(1),
        1 => 0,
        line => line,
    };
    let fault = Fault { shown_line, ..Fault::new(line, column, message) };
    match tab {
        Some(_) => fault.with_hint(String::from("indent with spaces: YAML allows no tabs there")),
        None => fault,
    }
}

/// Without the `while scanning a tag, ` that go-yaml does not show.
fn without_context(info: &str) -> &str {
    info.strip_prefix("while ")
        .and_then(|rest| rest.split_once(", "))
        .map_or(info, |(_, rest)| rest)
}

fn indent_of(text: &str, line: usize) -> &str {
    let line = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    &line[..line.len() - line.trim_start().len()]
}

/// The name after the asterisk at a place.
fn anchor_name(text: &str, line: usize, column: usize) -> &str {
    let line = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let start = line.char_indices().nth(column.saturating_sub(1)).map_or(line.len(), |(at, _)| at);
    let name = line[start..].trim_start_matches('*');
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    &name[..name.find(|c| !is_name(c)).unwrap_or(name.len())]
}
