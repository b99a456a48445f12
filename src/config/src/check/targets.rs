//! Targets that are written in the file itself.

use prom_model::{NameValidation, quote_go};

use super::Checker;
use crate::{
    StaticConfig,
    key_path::KeyPath,
    raw::{Nullable, RawTargetGroup},
};

impl Checker<'_> {
    /// Checks groups of targets. Addresses that look like a URL are refused unless relabelling may repair
    /// them.
    pub(crate) fn static_configs(
        &mut self,
        raw: Nullable<RawTargetGroup>,
        check_addresses: bool,
        at: &KeyPath<'_>,
    ) -> Vec<StaticConfig> {
        let mut groups = Vec::with_capacity(raw.len());
        for (i, raw) in raw.into_iter().enumerate() {
            let at = at.index(i);
            let Some(raw) = raw else {
                self.report(&at, "empty or null section in static_configs");
                continue;
            };
            for (j, target) in raw.targets.iter().enumerate() {
                if check_addresses && target.contains('/') {
                    self.report_with_hint(
                        &at.key("targets").index(j),
                        format_args!("{} is not a valid hostname", quote_go(target)),
                        String::from(
                            "write host:port; scheme and path have keys of their own: scheme, metrics_path",
                        ),
                    );
                }
            }
            for name in raw.labels.keys() {
                self.label_name(name, &at.key("labels").key(name));
            }
            groups.push(StaticConfig {
                targets: raw.targets,
                labels: raw.labels.into_iter().collect(),
            });
        }
        groups
    }

    /// Any text that is not empty may name a label here, whatever the validation scheme.
    pub(crate) fn label_name(&mut self, name: &str, at: &KeyPath<'_>) {
        if !NameValidation::Utf8.is_valid_label_name(name) {
            self.report(at, format_args!("{} is not a valid label name", quote_go(name)));
        }
    }
}
