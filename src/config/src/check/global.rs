//! The section `global`.

use std::{collections::BTreeMap, time::Duration};

use prom_model::{Labels, NameEscaping, NameValidation, quote_go};

use super::Checker;
use crate::{
    GlobalConfig, ScrapeLimits, ScrapeProtocol,
    expand::expand,
    key_path::KeyPath,
    raw::{RawGlobal, RawLimits},
};

const DEFAULT_SCRAPE_INTERVAL: Duration = Duration::from_secs(60);
const DEFAULT_SCRAPE_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_EVALUATION_INTERVAL: Duration = Duration::from_secs(60);

impl Checker<'_> {
    /// Checks the section; one that is absent or null is all defaults, name schemes included.
    pub(super) fn global(&mut self, raw: Option<RawGlobal>, at: &KeyPath<'_>) -> GlobalConfig {
        let raw = raw.unwrap_or_else(|| RawGlobal {
            metric_name_validation_scheme: Some(NameValidation::Utf8.name().to_owned()),
            metric_name_escaping_scheme: Some(NameEscaping::AllowUtf8.name().to_owned()),
            ..RawGlobal::default()
        });
        let scrape_interval = self
            .duration(raw.scrape_interval.as_deref(), &at.key("scrape_interval"))
            .unwrap_or(DEFAULT_SCRAPE_INTERVAL);
        let scrape_timeout = self
            .duration(raw.scrape_timeout.as_deref(), &at.key("scrape_timeout"))
            .unwrap_or(DEFAULT_SCRAPE_TIMEOUT.min(scrape_interval));
        if scrape_timeout > scrape_interval {
            let message = "global scrape timeout greater than scrape interval";
            self.report(&at.key("scrape_timeout"), message);
        }
        let metric_name_validation_scheme = self.name_validation(
            raw.metric_name_validation_scheme.as_deref(),
            ("global", "'legacy' or 'utf8'"),
            &at.key("metric_name_validation_scheme"),
        );
        let metric_name_escaping_scheme = self.name_escaping(
            raw.metric_name_escaping_scheme.as_deref(),
            "global",
            &at.key("metric_name_escaping_scheme"),
        );
        let external_labels = self.external_labels(
            &raw.external_labels,
            metric_name_validation_scheme.unwrap_or(NameValidation::Utf8),
            &at.key("external_labels"),
        );
        let protocols_at = at.key("scrape_protocols");
        GlobalConfig {
            scrape_interval,
            scrape_timeout,
            scrape_protocols: match raw.scrape_protocols {
                Some(names) => Some(self.protocols(&names, "global config", &protocols_at)),
                None if self.prefers_protobuf => Some(ScrapeProtocol::DEFAULT_PROTO_FIRST.to_vec()),
                None => None,
            },
            evaluation_interval: self
                .duration(raw.evaluation_interval.as_deref(), &at.key("evaluation_interval"))
                .unwrap_or(DEFAULT_EVALUATION_INTERVAL),
            rule_query_offset: self
                .duration(raw.rule_query_offset.as_deref(), &at.key("rule_query_offset"))
                .unwrap_or_default(),
            blank_external_labels: external_labels
                .iter()
                .filter(|(_, value)| value.is_empty())
                .map(|(name, _)| name.clone())
                .collect(),
            external_labels: Labels::from_pairs(external_labels),
            query_log_file: self.path(&raw.query_log_file),
            scrape_failure_log_file: self.path(&raw.scrape_failure_log_file),
            limits: self.limits(&raw.limits, &ScrapeLimits::default(), at),
            metric_name_validation_scheme,
            metric_name_escaping_scheme,
            scrape_native_histograms: raw.scrape_native_histograms.unwrap_or(false),
            convert_classic_histograms_to_nhcb: raw.convert_classic_histograms_to_nhcb,
            always_scrape_classic_histograms: raw.always_scrape_classic_histograms,
            extra_scrape_metrics: raw.extra_scrape_metrics.unwrap_or(false),
        }
    }

    /// Limits of a section; what it does not say is inherited.
    pub(super) fn limits(
        &mut self,
        raw: &RawLimits,
        inherited: &ScrapeLimits,
        at: &KeyPath<'_>,
    ) -> ScrapeLimits {
        let or = |own: u64, inherited: u64| if own == 0 { inherited } else { own };
        let size = self.size_bytes(raw.body_size_limit.as_deref(), &at.key("body_size_limit"));
        ScrapeLimits {
            body_size_bytes: or(size, inherited.body_size_bytes),
            sample_count: or(raw.sample_limit, inherited.sample_count),
            target_count: or(raw.target_limit, inherited.target_count),
            label_count: or(raw.label_limit, inherited.label_count),
            label_name_size_bytes: or(raw.label_name_length_limit, inherited.label_name_size_bytes),
            label_value_size_bytes: or(
                raw.label_value_length_limit,
                inherited.label_value_size_bytes,
            ),
            dropped_target_count: or(raw.keep_dropped_targets, inherited.dropped_target_count),
            native_histogram_bucket_count: 0,
        }
    }

    fn external_labels(
        &mut self,
        raw: &BTreeMap<String, String>,
        validation: NameValidation,
        at: &KeyPath<'_>,
    ) -> BTreeMap<String, String> {
        for name in raw.keys().filter(|name| !validation.is_valid_label_name(name)) {
            let message = format!("{} is not a valid label name", quote_go(name));
            self.report(&at.key(name), message);
        }
        let pairs = raw.iter();
        pairs.map(|(name, value)| (name.clone(), self.expand_env(name, value, at))).collect()
    }

    fn expand_env(&mut self, label: &str, value: &str, at: &KeyPath<'_>) -> String {
        let expanded = expand(value, &|variable| {
            let value = (self.surroundings.env)(variable);
            if value.is_empty() {
                tracing::warn!(name = variable, label, "Empty environment variable");
            }
            value
        });
        expanded.unwrap_or_else(|message| {
            self.report(&at.key(label), message);
            String::new()
        })
    }
}

impl GlobalConfig {
    /// How names are validated where a job does not say it.
    pub fn name_validation(&self) -> NameValidation {
        self.metric_name_validation_scheme.unwrap_or(NameValidation::Utf8)
    }

    /// The escaping that follows from the validation if none is given.
    pub(super) fn name_escaping(&self) -> NameEscaping {
        self.metric_name_escaping_scheme.unwrap_or(escaping_for(self.name_validation()))
    }
}

/// The escaping of names that a validation allows.
pub(super) fn escaping_for(validation: NameValidation) -> NameEscaping {
    match validation {
        NameValidation::Legacy => NameEscaping::Underscores,
        NameValidation::Utf8 => NameEscaping::AllowUtf8,
    }
}
