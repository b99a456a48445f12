//! The section `alerting`. Whether anything is sent is not decided here.

use std::time::Duration;

use prom_model::NameValidation;

use super::Checker;
use crate::{
    AlertingConfig, AlertmanagerConfig,
    key_path::KeyPath,
    raw::{RawAlerting, RawAlertmanager},
    section::Field,
};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

impl Checker<'_> {
    pub(super) fn alerting(
        &mut self,
        raw: RawAlerting,
        validation: NameValidation,
        at: &KeyPath<'_>,
    ) -> AlertingConfig {
        let alert_relabel_configs = self.relabel_rules(
            raw.alert_relabel_configs,
            validation,
            "empty or null alert relabeling rule",
            &at.key("alert_relabel_configs"),
        );
        let list_at = at.key("alertmanagers");
        let mut alertmanagers = Vec::with_capacity(raw.alertmanagers.len());
        for (i, raw) in raw.alertmanagers.into_iter().enumerate() {
            let at = list_at.index(i);
            match raw {
                None => self.report(&at, "empty or null Alertmanager config section"),
                Some(raw) => alertmanagers.push(self.alertmanager(raw, validation, &at)),
            }
        }
        AlertingConfig { alert_relabel_configs, alertmanagers }
    }

    fn alertmanager(
        &mut self,
        raw: RawAlertmanager,
        validation: NameValidation,
        at: &KeyPath<'_>,
    ) -> AlertmanagerConfig {
        if let Some(version) = raw.api_version.filter(|version| version != "v2") {
            self.report(
                &at.key("api_version"),
                format_args!(
                    "expected Alertmanager api version to be one of [v2] but got {version}"
                ),
            );
        }
        let http_client = self.http_client(raw.http, at);
        if raw.sigv4.is_some() && (http_client.auth.is_some() || http_client.oauth2.is_some()) {
            let message =
                "at most one of basic_auth, authorization, oauth2, & sigv4 must be configured";
            self.report(&at.key("sigv4"), message);
        }
        AlertmanagerConfig {
            scheme: raw.scheme,
            path_prefix: raw.path_prefix,
            timeout: self
                .duration(raw.timeout.as_deref(), &at.key("timeout"))
                .unwrap_or(DEFAULT_TIMEOUT),
            http_client,
            sigv4: Field::check(raw.sigv4, self, &at.key("sigv4")),
            discovery_configs: raw.discovery.check(self, at),
            static_configs: self.static_configs(
                raw.static_configs,
                raw.relabel_configs.is_empty(),
                &at.key("static_configs"),
            ),
            relabel_configs: self.relabel_rules(
                raw.relabel_configs,
                validation,
                "empty or null Alertmanager target relabeling rule",
                &at.key("relabel_configs"),
            ),
            alert_relabel_configs: self.relabel_rules(
                raw.alert_relabel_configs,
                validation,
                "empty or null Alertmanager alert relabeling rule",
                &at.key("alert_relabel_configs"),
            ),
        }
    }
}
