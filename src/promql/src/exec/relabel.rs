//! `label_replace` and `label_join`: labels change when the operator is bound, values do not.
//! Compat: Prometheus `promql/functions.go`, `evalLabelReplace` and `evalLabelJoin`.

use prom_model::{GoRegex, Labels, LabelsBuilder, METRIC_NAME};

use super::{Ctx, series::SeriesSet};
use crate::{QueryError, plan::RelabelRule, watch::IN_EVALUATION};

/// The longest label there is; what a template gives is cut there.
const LABEL_SIZE_BYTES_MAX: usize = 0x00ff_ffff;
/// What a label set takes besides its text.
const LABELS_OVERHEAD_BYTES: usize = 32;
/// Bytes of new labels between two looks at the clock.
const BYTES_PER_CHECK: u64 = 1 << 20;

/// A rule that was checked.
enum Rewrite<'a> {
    Replace { target: &'a str, replacement: &'a str, source: &'a str, regex: GoRegex },
    Join { target: &'a str, separator: &'a str, sources: &'a [String] },
}

/// The series of `operand` after `rule`; some may have become equal.
pub(super) fn relabeled(
    ctx: &Ctx<'_>,
    operand: &SeriesSet,
    rule: &RelabelRule,
) -> Result<SeriesSet, QueryError> {
    let rewrite = Rewrite::new(rule)?;
    let mut unchecked_bytes = 0;
    let mut labels = Vec::with_capacity(operand.len());
    let mut drops = Vec::with_capacity(operand.len());
    for index in 0..operand.len() {
        let old = operand.labels(index);
        // Counted before they are made: a rule multiplies what it joins.
        let bytes = rewrite.size_bytes_max(&old)?;
        ctx.keep(bytes)?;
        unchecked_bytes += bytes;
        if unchecked_bytes > BYTES_PER_CHECK {
            ctx.watch.check(IN_EVALUATION)?;
            unchecked_bytes = 0;
        }
        let new = rewrite.apply(&old);
        // A name that was written on purpose stays.
        let is_named = new.is_some() && rewrite.target() == METRIC_NAME;
        drops.push(operand.drops_name(index) && !is_named);
        labels.push(new.unwrap_or(old));
    }
    Ok(SeriesSet::made(labels).with_drops(drops).made_of(operand))
}

/// Any text is a name; what is no text was refused before.
pub(super) fn is_label_name(name: &str) -> bool {
    !name.is_empty()
}

impl<'a> Rewrite<'a> {
    fn new(rule: &'a RelabelRule) -> Result<Self, QueryError> {
        let invalid = |text: String| Err(QueryError::Evaluation(text));
        match rule {
            RelabelRule::Replace { target, replacement, source, regex } => {
                let Ok(compiled) = GoRegex::enclosed(regex) else {
                    return invalid(format!(
                        "invalid regular expression in label_replace(): {regex}"
                    ));
                };
                if !is_label_name(target) {
                    return invalid(format!(
                        "invalid destination label name in label_replace(): {target}"
                    ));
                }
                Ok(Self::Replace { target, replacement, source, regex: compiled })
            }
            RelabelRule::Join { target, separator, sources } => {
                if let Some(source) = sources.iter().find(|source| !is_label_name(source)) {
                    return invalid(format!("invalid source label name in label_join(): {source}"));
                }
                if !is_label_name(target) {
                    return invalid(format!(
                        "invalid destination label name in label_join(): {target}"
                    ));
                }
                Ok(Self::Join { target, separator, sources })
            }
        }
    }

    /// What the new labels take at most; fails where the value would be no label.
    fn size_bytes_max(&self, labels: &Labels) -> Result<u64, QueryError> {
        let size = |name: &str| labels.get(name).map_or(0, str::len);
        let value_bytes = match self {
            Self::Replace { replacement, source, .. } => {
                let references = replacement.bytes().filter(|byte| *byte == b'$').count();
                let expanded = references.saturating_mul(size(source));
                expanded.saturating_add(replacement.len()).min(LABEL_SIZE_BYTES_MAX)
            }
            Self::Join { separator, sources, .. } => {
                let values: usize = sources.iter().map(|source| size(source)).sum();
                let separators = separator.len().saturating_mul(sources.len().saturating_sub(1));
                let joined = values.saturating_add(separators);
                if joined > LABEL_SIZE_BYTES_MAX {
                    return Err(QueryError::Evaluation(format!(
                        "label_join(): a value of {joined} bytes is more than the {LABEL_SIZE_BYTES_MAX} that a label may have"
                    )));
                }
                joined
            }
        };
        Ok((labels.as_bytes().len() + value_bytes + LABELS_OVERHEAD_BYTES) as u64)
    }

    fn target(&self) -> &str {
        match self {
            Self::Replace { target, .. } | Self::Join { target, .. } => target,
        }
    }

    /// The new labels; nothing where the rule does not apply.
    fn apply(&self, labels: &Labels) -> Option<Labels> {
        let value = match self {
            Self::Replace { replacement, source, regex, .. } => {
                let value = labels.get(source).unwrap_or_default();
                regex.captures(value)?.expand(replacement)
            }
            Self::Join { separator, sources, .. } => {
                let value = |source: &String| labels.get(source).unwrap_or_default();
                sources.iter().map(value).collect::<Vec<_>>().join(separator)
            }
        };
        let mut builder = LabelsBuilder::from_labels(labels);
        builder.set(self.target(), &value);
        Some(builder.build())
    }
}
