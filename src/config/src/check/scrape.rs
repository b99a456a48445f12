//! The section `scrape_configs`.

use std::{collections::HashMap, sync::Arc, time::Duration};

use prom_model::{NameEscaping, NameValidation, quote_go};

use super::{Checker, global::escaping_for};
use crate::{
    GlobalConfig, ScrapeConfig, ScrapeLimits, ScrapeProtocol,
    key_path::KeyPath,
    raw::{Nullable, RawScrape},
};

impl Checker<'_> {
    pub(super) fn scrape_configs(
        &mut self,
        raw: Nullable<RawScrape>,
        global: &GlobalConfig,
        at: &KeyPath<'_>,
    ) -> Vec<Arc<ScrapeConfig>> {
        let mut scrape_configs = Vec::with_capacity(raw.len());
        let mut first_of_name: HashMap<String, usize> = HashMap::new();
        for (i, raw) in raw.into_iter().enumerate() {
            let at = at.index(i);
            let Some(raw) = raw else {
                self.report(&at, "empty or null scrape config section");
                continue;
            };
            let first = *first_of_name.entry(raw.job_name.clone()).or_insert(i);
            if raw.job_name.is_empty() {
                self.report(&at.key("job_name"), "job_name is empty");
            } else if first != i {
                let name = quote_go(&raw.job_name);
                self.report_with_hint(
                    &at.key("job_name"),
                    format_args!("found multiple scrape configs with job name {name}"),
                    format!("the other one is scrape_configs[{first}]"),
                );
            }
            let job = self.scrape_config(raw, global, &at);
            self.note_unrunnable_job(&job, &at);
            scrape_configs.push(Arc::new(job));
        }
        scrape_configs
    }

    fn scrape_config(
        &mut self,
        raw: RawScrape,
        global: &GlobalConfig,
        at: &KeyPath<'_>,
    ) -> ScrapeConfig {
        let whose = format!("scrape config with job name {}", quote_go(&raw.job_name));
        let (scrape_interval, scrape_timeout) = self.scrape_times(&raw, global, &whose, at);
        let limits = ScrapeLimits {
            native_histogram_bucket_count: raw.native_histogram_bucket_limit,
            ..self.limits(&raw.limits, &global.limits, at)
        };
        let (validation, escaping) = self.name_schemes(&raw, global, at);
        let scrape_protocols = self.scrape_protocols(&raw, global, &whose, at);
        let fallback_at = at.key("fallback_scrape_protocol");
        ScrapeConfig {
            honor_labels: raw.honor_labels,
            honor_timestamps: raw.honor_timestamps,
            track_timestamps_staleness: raw.track_timestamps_staleness,
            params: raw.params.into_iter().collect(),
            scrape_interval,
            scrape_timeout,
            scrape_protocols,
            fallback_scrape_protocol: self.fallback_protocol(
                &raw.fallback_scrape_protocol,
                &whose,
                &fallback_at,
            ),
            scrape_native_histograms: raw
                .scrape_native_histograms
                .unwrap_or(global.scrape_native_histograms),
            always_scrape_classic_histograms: raw
                .always_scrape_classic_histograms
                .unwrap_or(global.always_scrape_classic_histograms),
            convert_classic_histograms_to_nhcb: raw
                .convert_classic_histograms_to_nhcb
                .unwrap_or(global.convert_classic_histograms_to_nhcb),
            extra_scrape_metrics: raw.extra_scrape_metrics.unwrap_or(global.extra_scrape_metrics),
            scrape_failure_log_file: match raw.scrape_failure_log_file.as_str() {
                "" => global.scrape_failure_log_file.clone(),
                file => self.path(file),
            },
            metrics_path: raw.metrics_path,
            scheme: raw.scheme,
            enable_compression: raw.enable_compression,
            limits,
            native_histogram_min_bucket_factor: raw.native_histogram_min_bucket_factor,
            metric_name_validation_scheme: validation,
            metric_name_escaping_scheme: escaping,
            http_client: self.http_client(raw.http, at),
            discovery_configs: raw.discovery.check(self, at),
            static_configs: self.static_configs(
                raw.static_configs,
                raw.relabel_configs.is_empty(),
                &at.key("static_configs"),
            ),
            relabel_configs: self.relabel_rules(
                raw.relabel_configs,
                validation,
                "empty or null target relabeling rule in scrape config",
                &at.key("relabel_configs"),
            ),
            metric_relabel_configs: self.relabel_rules(
                raw.metric_relabel_configs,
                validation,
                "empty or null metric relabeling rule in scrape config",
                &at.key("metric_relabel_configs"),
            ),
            job_name: raw.job_name,
        }
    }

    /// Interval and timeout, of which the latter may not be longer.
    fn scrape_times(
        &mut self,
        raw: &RawScrape,
        global: &GlobalConfig,
        whose: &str,
        at: &KeyPath<'_>,
    ) -> (Duration, Duration) {
        let interval = self
            .duration(raw.scrape_interval.as_deref(), &at.key("scrape_interval"))
            .unwrap_or(global.scrape_interval);
        let timeout = self
            .duration(raw.scrape_timeout.as_deref(), &at.key("scrape_timeout"))
            .unwrap_or(global.scrape_timeout.min(interval));
        if timeout > interval {
            let message = format!("scrape timeout greater than scrape interval for {whose}");
            self.report(&at.key("scrape_timeout"), message);
        }
        (interval, timeout)
    }

    fn scrape_protocols(
        &mut self,
        raw: &RawScrape,
        global: &GlobalConfig,
        whose: &str,
        at: &KeyPath<'_>,
    ) -> Vec<ScrapeProtocol> {
        match (&raw.scrape_protocols, &global.scrape_protocols) {
            (Some(names), _) => self.protocols(names, whose, &at.key("scrape_protocols")),
            (None, Some(protocols)) => protocols.clone(),
            (None, None) => {
                match raw.scrape_native_histograms.unwrap_or(global.scrape_native_histograms) {
                    true => ScrapeProtocol::DEFAULT_PROTO_FIRST.to_vec(),
                    false => ScrapeProtocol::DEFAULT.to_vec(),
                }
            }
        }
    }

    /// The validation of names, and the escaping that must fit it. A job that chooses its own validation
    /// does not inherit the global escaping.
    fn name_schemes(
        &mut self,
        raw: &RawScrape,
        global: &GlobalConfig,
        at: &KeyPath<'_>,
    ) -> (NameValidation, NameEscaping) {
        let own_validation = self.name_validation(
            raw.metric_name_validation_scheme.as_deref(),
            ("scrape config", "'', 'legacy' or 'utf8'"),
            &at.key("metric_name_validation_scheme"),
        );
        let own_escaping = self.name_escaping(
            raw.metric_name_escaping_scheme.as_deref(),
            "scrape config",
            &at.key("metric_name_escaping_scheme"),
        );
        let validation = own_validation.unwrap_or(global.name_validation());
        let escaping = match own_validation {
            None => own_escaping.unwrap_or(global.name_escaping()),
            Some(validation) => own_escaping.unwrap_or(escaping_for(validation)),
        };
        if escaping == NameEscaping::AllowUtf8 && validation == NameValidation::Legacy {
            let message = "utf8 metric names requested but validation scheme is not set to UTF8";
            self.report(&at.key("metric_name_escaping_scheme"), message);
        }
        (validation, escaping)
    }
}
