//! Lines of a script into commands.

use prom_model::{GoRegex, parse_duration_allow_negative};
use prom_promql::{SeriesDescription, parse_series_description};

/// One command and the line it begins on.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) line: usize,
    pub(super) kind: CommandKind,
}

#[derive(Debug)]
pub(super) enum CommandKind {
    Clear,
    Load {
        step_ms: i64,
        series: Vec<String>,
        /// Whether classic histograms are stored as native ones too.
        converts: bool,
    },
    Eval(Box<Eval>),
    /// What this runner does not read.
    Unknown(String),
}

#[derive(Debug, Default)]
pub(super) struct Eval {
    pub(super) query: String,
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
    /// None for an instant query.
    pub(super) step_ms: Option<i64>,
    pub(super) fails: Option<Vec<Text>>,
    pub(super) warnings: Wanted,
    pub(super) infos: Wanted,
    pub(super) is_ordered: bool,
    pub(super) text: Option<String>,
    /// Start, end and step of a matrix that an instant query gives.
    pub(super) range: Option<(i64, i64, i64)>,
    pub(super) scalar: Option<f64>,
    pub(super) series: Vec<SeriesDescription>,
}

/// What is expected of one kind of annotation.
#[derive(Debug, Default)]
pub(super) enum Wanted {
    #[default]
    Anything,
    Nothing,
    Some(Vec<Text>),
}

/// A text, whole or by a pattern.
#[derive(Debug)]
pub(super) enum Text {
    Any,
    Whole(String),
    Pattern(GoRegex),
}

impl Text {
    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Whole(whole) => whole == text,
            Self::Pattern(pattern) => pattern.is_match(text),
        }
    }

    fn pattern(pattern: &str) -> Self {
        Self::Pattern(GoRegex::anchored(&format!(".*(?:{pattern}).*")).expect("valid pattern"))
    }
}

pub(super) fn duration_ms(text: &str) -> i64 {
    parse_duration_allow_negative(text).unwrap_or_else(|err| panic!("{text}: {err}"))
}

/// Splits a script into its commands.
pub(super) fn parse_script(text: &str) -> Vec<Command> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_empty = |line: &str| line.is_empty() || line.starts_with('#');
    let mut commands = Vec::new();
    let mut next = 0;
    while next < lines.len() {
        let (line, head) = (next + 1, lines[next]);
        next += 1;
        if is_empty(head) {
            continue;
        }
        let word = head.split_whitespace().next().unwrap_or_default().to_lowercase();
        if word == "clear" {
            commands.push(Command { line, kind: CommandKind::Clear });
            continue;
        }
        let start = next;
        while next < lines.len() && !is_empty(lines[next]) {
            next += 1;
        }
        let block = &lines[start..next];
        let kind = match word.as_str() {
            "load" | "load_with_nhcb" => CommandKind::Load {
                step_ms: duration_ms(head[word.len()..].trim()),
                series: block.iter().map(|line| (*line).to_owned()).collect(),
                converts: word == "load_with_nhcb",
            },
            word if word.starts_with("eval") => parse_eval(word, head, block).map_or_else(
                || CommandKind::Unknown(head.to_owned()),
                |eval| CommandKind::Eval(Box::new(eval)),
            ),
            _ => CommandKind::Unknown(head.to_owned()),
        };
        commands.push(Command { line, kind });
    }
    commands
}

fn parse_eval(word: &str, head: &str, block: &[&str]) -> Option<Eval> {
    let mut eval = Eval::default();
    match word {
        "eval_fail" => eval.fails = Some(vec![Text::Any]),
        "eval_warn" => eval.warnings = Wanted::Some(vec![Text::Any]),
        "eval_info" => eval.infos = Wanted::Some(vec![Text::Any]),
        "eval_ordered" => eval.is_ordered = true,
        _ => {}
    }
    let mut words = Words(head);
    words.next();
    match words.next().to_lowercase().as_str() {
        "instant" => {
            words.next();
            eval.start_ms = duration_ms(words.next());
            eval.end_ms = eval.start_ms;
        }
        "range" => {
            words.next();
            eval.start_ms = duration_ms(words.next());
            words.next();
            eval.end_ms = duration_ms(words.next());
            words.next();
            eval.step_ms = Some(duration_ms(words.next()));
        }
        _ => return None,
    }
    eval.query = words.0.trim().to_owned();
    for line in block {
        parse_expectation(&mut eval, line)?;
    }
    Some(eval)
}

fn parse_expectation(eval: &mut Eval, line: &str) -> Option<()> {
    if let Some(text) = line.strip_prefix("expected_fail_message ") {
        eval.fails = Some(vec![Text::Whole(text.trim().to_owned())]);
    } else if let Some(pattern) = line.strip_prefix("expected_fail_regexp ") {
        eval.fails = Some(vec![Text::pattern(pattern.trim())]);
    } else if let Some(rest) = line.strip_prefix("expect ") {
        let rest = rest.trim();
        let (kind, rest) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let rest = rest.trim();
        let text = || {
            if let Some(whole) = rest.strip_prefix("msg:") {
                Text::Whole(whole.trim().to_owned())
            } else if let Some(pattern) = rest.strip_prefix("regex:") {
                Text::pattern(pattern.trim())
            } else {
                Text::Any
            }
        };
        match kind {
            "fail" => eval.fails = Some(vec![text()]),
            "warn" => eval.warnings.add(text()),
            "info" => eval.infos.add(text()),
            "no_warn" => eval.warnings = Wanted::Nothing,
            "no_info" => eval.infos = Wanted::Nothing,
            "ordered" => eval.is_ordered = true,
            "string" => eval.text = Some(unquote(rest)),
            "range" => {
                let words: Vec<&str> = rest.split_whitespace().collect();
                // vector from <t> to <t> step <d>
                let [_, _, start, _, end, _, step] = words[..] else { return None };
                eval.range = Some((duration_ms(start), duration_ms(end), duration_ms(step)));
            }
            _ => return None,
        }
    } else if let Some(value) = prom_model::parse_float(line) {
        eval.scalar = Some(value);
    } else {
        eval.series.push(parse_series_description(line).ok()?);
    }
    Some(())
}

impl Wanted {
    fn add(&mut self, text: Text) {
        match self {
            Self::Some(texts) => texts.push(text),
            _ => *self = Self::Some(vec![text]),
        }
    }

    /// Whether the annotations that came are those that were wanted.
    pub(super) fn holds(&self, found: &[String]) -> bool {
        match self {
            Self::Anything => true,
            Self::Nothing => found.is_empty(),
            Self::Some(texts) => {
                texts.iter().all(|text| found.iter().any(|found| text.matches(found)))
                    && found.iter().all(|found| texts.iter().any(|text| text.matches(found)))
            }
        }
    }
}

struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    fn next(&mut self) -> &'a str {
        let rest = self.0.trim_start();
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (word, rest) = rest.split_at(end);
        self.0 = rest;
        word
    }
}

/// Reads a quoted text by asking the parser for it.
fn unquote(quoted: &str) -> String {
    let expr = prom_promql::parse(quoted, &prom_promql::ParseOptions::ALL).expect("a string");
    match expr.kind {
        prom_promql::ExprKind::String(literal) => literal.text,
        other => panic!("no string: {other:?}"),
    }
}
