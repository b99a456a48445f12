//! Relabelling: rules that rewrite or drop a label set, for targets, samples and alerts alike.
//! Compat: Prometheus `model/relabel/relabel.go`. It reads no configuration; the texts of its errors are
//! those of Prometheus.

use md5::{Digest, Md5};

use crate::{GoRegex, LabelsBuilder, NameValidation, RegexError, labels::cut_to_label, quote_go};

/// The expression of a rule that gives none.
const DEFAULT_REGEX: &str = "(.*)";
const DEFAULT_REPLACEMENT: &str = "$1";
const DEFAULT_SEPARATOR: &str = ";";

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RelabelAction {
    Replace,
    Keep,
    Drop,
    KeepEqual,
    DropEqual,
    HashMod,
    LabelMap,
    LabelDrop,
    LabelKeep,
    Lowercase,
    Uppercase,
}

impl RelabelAction {
    const ALL: [Self; 11] = [
        Self::Replace,
        Self::Keep,
        Self::Drop,
        Self::KeepEqual,
        Self::DropEqual,
        Self::HashMod,
        Self::LabelMap,
        Self::LabelDrop,
        Self::LabelKeep,
        Self::Lowercase,
        Self::Uppercase,
    ];

    /// The action of this name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        Self::ALL.into_iter().find(|action| action.name() == name)
    }

    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Keep => "keep",
            Self::Drop => "drop",
            Self::KeepEqual => "keepequal",
            Self::DropEqual => "dropequal",
            Self::HashMod => "hashmod",
            Self::LabelMap => "labelmap",
            Self::LabelDrop => "labeldrop",
            Self::LabelKeep => "labelkeep",
            Self::Lowercase => "lowercase",
            Self::Uppercase => "uppercase",
        }
    }
}

/// A rule as it is written, before it is checked; the default is that of an empty rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelabelSpec {
    /// `None` where the key is absent.
    pub source_labels: Option<Vec<String>>,
    pub separator: String,
    /// `None` where the key is absent.
    pub regex: Option<String>,
    pub modulus: u64,
    pub target_label: String,
    pub replacement: String,
    pub action: RelabelAction,
}

impl Default for RelabelSpec {
    fn default() -> Self {
        Self {
            source_labels: None,
            separator: DEFAULT_SEPARATOR.to_owned(),
            regex: None,
            modulus: 0,
            target_label: String::new(),
            replacement: DEFAULT_REPLACEMENT.to_owned(),
            action: RelabelAction::Replace,
        }
    }
}

/// Why a rule is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelabelError {
    #[error("relabel configuration for hashmod requires non-zero modulus")]
    NoModulus,
    #[error("relabel configuration for {0} action requires 'target_label' value")]
    NoTargetLabel(&'static str),
    #[error("{} is invalid '{key}' for {action} action", quote_go(value))]
    InvalidName { value: String, key: &'static str, action: &'static str },
    #[error("'replacement' can not be set for {0} action")]
    ReplacementGiven(&'static str),
    #[error("{0} action requires only 'source_labels' and `target_label`, and no other fields")]
    OnlySourceAndTarget(&'static str),
    #[error("{0} action requires only 'regex', and no other fields")]
    OnlyRegex(&'static str),
    #[error(transparent)]
    Regex(#[from] RegexError),
}

impl RelabelError {
    /// The key of the rule that is to blame.
    pub fn key(&self) -> &'static str {
        match self {
            Self::NoModulus => "modulus",
            Self::NoTargetLabel(_) => "target_label",
            Self::InvalidName { key, .. } => key,
            Self::ReplacementGiven(_) => "replacement",
            Self::OnlySourceAndTarget(_) | Self::OnlyRegex(_) => "action",
            Self::Regex(_) => "regex",
        }
    }
}

/// A checked rule, compiled. Two rules are equal when they were written equally.
#[derive(Clone, Debug)]
pub struct RelabelRule {
    spec: RelabelSpec,
    regex: GoRegex,
    validation: NameValidation,
    /// The answer of `replace` when nothing is there to look at: neither regex nor template needs to run.
    constant: bool,
}

impl RelabelRule {
    /// Checks and compiles a rule.
    ///
    /// # Errors
    /// A key is missing, not allowed for the action, or invalid.
    pub fn new(spec: RelabelSpec, validation: NameValidation) -> Result<Self, RelabelError> {
        let regex = GoRegex::enclosed(spec.regex.as_deref().unwrap_or(DEFAULT_REGEX))?;
        check(&spec, validation)?;
        let constant = spec.regex.is_none()
            && !has_variable(&spec.target_label)
            && !has_variable(&spec.replacement);
        Ok(Self { spec, regex, validation, constant })
    }

    /// The rule as it was written.
    pub fn spec(&self) -> &RelabelSpec {
        &self.spec
    }

    /// Applies the rule; false means that the label set is dropped.
    fn apply(&self, labels: &mut LabelsBuilder) -> bool {
        let target = self.spec.target_label.as_str();
        match self.spec.action {
            RelabelAction::Drop => return !self.regex.is_match(&self.source(labels)),
            RelabelAction::Keep => return self.regex.is_match(&self.source(labels)),
            RelabelAction::DropEqual => return labels.get(target) != self.source(labels),
            RelabelAction::KeepEqual => return labels.get(target) == self.source(labels),
            RelabelAction::Replace => self.replace(labels),
            RelabelAction::Lowercase => self.map_value(labels, simple_lowercase),
            RelabelAction::Uppercase => self.map_value(labels, simple_uppercase),
            RelabelAction::HashMod => {
                let value = hash(&self.source(labels)) % self.spec.modulus;
                labels.set(target, &value.to_string());
            }
            RelabelAction::LabelMap => self.map_names(labels),
            RelabelAction::LabelDrop => self.remove_names(labels, true),
            RelabelAction::LabelKeep => self.remove_names(labels, false),
        }
        true
    }

    fn source(&self, labels: &LabelsBuilder) -> String {
        let mut value = String::new();
        for (i, name) in self.spec.source_labels.iter().flatten().enumerate() {
            if i > 0 {
                value.push_str(&self.spec.separator);
            }
            value.push_str(labels.get(name));
        }
        value
    }

    fn replace(&self, labels: &mut LabelsBuilder) {
        let source = self.source(labels);
        if self.constant && source.is_empty() {
            labels.set(&self.spec.target_label, &self.spec.replacement);
            return;
        }
        let Some(captures) = self.regex.captures(&source) else { return };
        let target = captures.expand(&self.spec.target_label);
        if self.validation.is_valid_label_name(&target) {
            labels.set(&target, &captures.expand(&self.spec.replacement));
        }
    }

    fn map_value(&self, labels: &mut LabelsBuilder, map: fn(char) -> char) {
        let mut value: String = self.source(labels).chars().map(map).collect();
        cut_to_label(&mut value);
        labels.set(&self.spec.target_label, &value);
    }

    fn map_names(&self, labels: &mut LabelsBuilder) {
        let mapped: Vec<_> = labels
            .iter()
            .filter_map(|(name, value)| {
                let captures = self.regex.captures(name)?;
                Some((captures.expand(&self.spec.replacement), value.to_owned()))
            })
            .collect();
        for (name, value) in mapped {
            labels.set(&name, &value);
        }
    }

    fn remove_names(&self, labels: &mut LabelsBuilder, if_match: bool) {
        let removed: Vec<_> = labels
            .iter()
            .filter(|(name, _)| self.regex.is_match(name) == if_match)
            .map(|(name, _)| name.to_owned())
            .collect();
        for name in removed {
            labels.remove(&name);
        }
    }
}

impl PartialEq for RelabelRule {
    fn eq(&self, other: &Self) -> bool {
        self.spec == other.spec && self.validation == other.validation
    }
}

impl Eq for RelabelRule {}

/// Applies rules in order; false means that the label set is dropped.
pub fn relabel(rules: &[RelabelRule], labels: &mut LabelsBuilder) -> bool {
    rules.iter().all(|rule| rule.apply(labels))
}

fn check(spec: &RelabelSpec, validation: NameValidation) -> Result<(), RelabelError> {
    use RelabelAction as A;
    let action = spec.action.name();
    let invalid =
        |key, value: &str| Err(RelabelError::InvalidName { value: value.to_owned(), key, action });
    let needs_target =
        !matches!(spec.action, A::Keep | A::Drop | A::LabelMap | A::LabelDrop | A::LabelKeep);
    if spec.action == A::HashMod && spec.modulus == 0 {
        return Err(RelabelError::NoModulus);
    }
    if needs_target && spec.target_label.is_empty() {
        return Err(RelabelError::NoTargetLabel(action));
    }
    let target_is_valid = match spec.action {
        A::Replace => is_valid_template(&spec.target_label, validation),
        _ => !needs_target || validation.is_valid_label_name(&spec.target_label),
    };
    if !target_is_valid {
        return invalid("target_label", &spec.target_label);
    }
    let is_default_replacement = spec.replacement == DEFAULT_REPLACEMENT;
    let is_default =
        is_default_replacement && spec.modulus == 0 && spec.separator == DEFAULT_SEPARATOR;
    match spec.action {
        A::Lowercase | A::Uppercase | A::KeepEqual | A::DropEqual if !is_default_replacement => {
            Err(RelabelError::ReplacementGiven(action))
        }
        A::LabelMap if !is_valid_template(&spec.replacement, validation) => {
            invalid("replacement", &spec.replacement)
        }
        A::KeepEqual | A::DropEqual if spec.regex.is_some() || !is_default => {
            Err(RelabelError::OnlySourceAndTarget(action))
        }
        A::LabelDrop | A::LabelKeep
            if spec.source_labels.is_some() || !spec.target_label.is_empty() || !is_default =>
        {
            Err(RelabelError::OnlyRegex(action))
        }
        _ => Ok(()),
    }
}

/// Whether a label name, which may hold references to groups, is allowed. UTF-8 allows dollar signs anyway;
/// the legacy alphabet allows `$name` and `${name}` among its letters.
fn is_valid_template(template: &str, validation: NameValidation) -> bool {
    if validation == NameValidation::Utf8 || !has_variable(template) {
        return validation.is_valid_label_name(template);
    }
    let mut rest = template;
    let mut after_reference_or_letter = false;
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        rest = &rest[first.len_utf8()..];
        if first == '$' {
            let body = rest.strip_prefix('{').unwrap_or(rest);
            let after = body.trim_start_matches(is_word);
            if after.len() == body.len() {
                return false;
            }
            rest = if rest.starts_with('{') {
                match after.strip_prefix('}') {
                    Some(after) => after,
                    None => return false,
                }
            } else {
                after
            };
        } else if !is_word(first) || (first.is_ascii_digit() && !after_reference_or_letter) {
            return false;
        }
        after_reference_or_letter = true;
    }
    true
}

/// One character for one, as Go maps them: neither context nor language matters.
fn simple_lowercase(c: char) -> char {
    match c {
        '\u{130}' => 'i',
        _ => single(c.to_lowercase()).unwrap_or(c),
    }
}

fn simple_uppercase(c: char) -> char {
    // Greek letters with iota below have a capital form of their own, which the full mapping takes apart.
    let (code, has_iota) = (u32::from(c), matches!(c, '\u{1f80}'..='\u{1faf}'));
    match c {
        _ if has_iota => char::from_u32(code | 8).unwrap_or(c),
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => char::from_u32(code + 9).unwrap_or(c),
        _ => single(c.to_uppercase()).unwrap_or(c),
    }
}

fn single(mut chars: impl Iterator<Item = char>) -> Option<char> {
    let first = chars.next();
    first.filter(|_| chars.next().is_none())
}

fn has_variable(template: &str) -> bool {
    template.contains('$')
}

/// The last eight bytes of MD5, big-endian.
fn hash(text: &str) -> u64 {
    let digest = Md5::digest(text.as_bytes());
    let last = digest.last_chunk().copied().expect("MD5 has 16 bytes");
    u64::from_be_bytes(last)
}

#[cfg(test)]
mod tests;
