//! Lists of relabelling rules; the rules of a rule are those of `prom-model`.

use prom_model::{NameValidation, RelabelAction, RelabelRule, RelabelSpec, quote_go};

use super::Checker;
use crate::{
    key_path::KeyPath,
    raw::{Nullable, RawRelabel},
};

impl Checker<'_> {
    /// Checks rules; `null_text` is what an empty entry is called.
    pub(crate) fn relabel_rules(
        &mut self,
        raw: Nullable<RawRelabel>,
        validation: NameValidation,
        null_text: &str,
        at: &KeyPath<'_>,
    ) -> Vec<RelabelRule> {
        let mut rules = Vec::with_capacity(raw.len());
        for (i, raw) in raw.into_iter().enumerate() {
            let at = at.index(i);
            match raw {
                None => self.report(&at, null_text),
                Some(raw) => rules.extend(self.relabel_rule(raw, validation, &at)),
            }
        }
        rules
    }

    fn relabel_rule(
        &mut self,
        raw: RawRelabel,
        validation: NameValidation,
        at: &KeyPath<'_>,
    ) -> Option<RelabelRule> {
        for (i, name) in raw.source_labels.iter().flatten().enumerate() {
            self.label_name(name, &at.key("source_labels").index(i));
        }
        let Some(action) = RelabelAction::from_name(&raw.action) else {
            let message = match raw.action.as_str() {
                "" => String::from("relabel action cannot be empty"),
                action => format!("unknown relabel action {}", quote_go(action)),
            };
            self.report(&at.key("action"), message);
            return None;
        };
        let spec = RelabelSpec {
            source_labels: raw.source_labels,
            separator: raw.separator,
            regex: raw.regex,
            modulus: raw.modulus,
            target_label: raw.target_label,
            replacement: raw.replacement,
            action,
        };
        match RelabelRule::new(spec, validation) {
            Ok(rule) => Some(rule),
            Err(err) => {
                self.report(&at.key(err.key()), &err);
                None
            }
        }
    }
}
