//! What is valid and needs a component that this build has not: the one list of it. The lists shrink as
//! rooms learn to honour their sections; what has no effect at all without being wrong is a notice instead.

use super::{Checker, Sections};
use crate::{
    AlertmanagerConfig, Config, HttpAuth, HttpClientConfig, ProxyConfig, ScrapeConfig, Source,
    TlsConfig, key_path::KeyPath,
};

/// How proxies are asked.
const PROXY_SCHEMES: [&str; 4] = ["http", "https", "socks5", "socks5h"];

impl Checker<'_> {
    /// Notes the sections whose rooms do not exist yet.
    pub(super) fn note_unrunnable(&mut self, sections: &Sections) {
        let top = KeyPath::TOP;
        for (key, is_used) in [
            ("remote_write", !sections.remote_write.is_empty()),
            ("remote_read", !sections.remote_read.is_empty()),
            ("tracing", sections.tracing.is_some()),
        ] {
            if is_used {
                self.report_unsupported(&top.key(key), key);
            }
        }
        let at = top.key("alerting");
        let at = at.key("alertmanagers");
        for (i, alertmanager) in sections.alerting.alertmanagers.iter().enumerate() {
            self.note_unrunnable_alertmanager(alertmanager, &at.index(i));
        }
    }

    fn note_unrunnable_alertmanager(&mut self, config: &AlertmanagerConfig, at: &KeyPath<'_>) {
        if config.sigv4.is_some() {
            self.report_unsupported(&at.key("sigv4"), "sigv4");
        }
        self.note_unrunnable_client(&config.http_client, at);
    }

    /// Notes what a job asks for that scraping cannot do.
    pub(super) fn note_unrunnable_job(&mut self, job: &ScrapeConfig, at: &KeyPath<'_>) {
        self.note_unrunnable_client(&job.http_client, at);
    }

    fn note_unrunnable_client(&mut self, client: &HttpClientConfig, at: &KeyPath<'_>) {
        self.note_unrunnable_way(&client.tls, &client.proxy, at);
        if let Some(oauth2) = &client.oauth2 {
            let at = at.key("oauth2");
            self.note_unrunnable_way(&oauth2.tls_config, &oauth2.proxy, &at);
            self.note_manager(&oauth2.client_secret_ref, &at.key("client_secret_ref"));
            let key = "client_certificate_key_ref";
            self.note_manager(&oauth2.client_certificate_key_ref, &at.key(key));
        }
        match &client.auth {
            Some(HttpAuth::Basic { username, password }) => {
                let at = at.key("basic_auth");
                self.note_reference(username, &at.key("username_ref"));
                self.note_reference(password, &at.key("password_ref"));
            }
            Some(HttpAuth::Authorization { credentials, .. }) => {
                self.note_reference(credentials, &at.key("authorization").key("credentials_ref"));
            }
            None => {}
        }
    }

    /// Notes what of TLS and proxies cannot be done.
    fn note_unrunnable_way(&mut self, tls: &TlsConfig, proxy: &ProxyConfig, at: &KeyPath<'_>) {
        let tls_at = at.key("tls_config");
        for (key, reference) in
            [("ca_ref", &tls.ca_ref), ("cert_ref", &tls.cert_ref), ("key_ref", &tls.key_ref)]
        {
            self.note_manager(reference, &tls_at.key(key));
        }
        let url = proxy.proxy_url.as_ref().filter(|url| !url.is_empty());
        let scheme = url.and_then(|url| url.reveal().split_once("://")).map(|(scheme, _)| scheme);
        let is_spoken =
            |scheme: &&str| PROXY_SCHEMES.iter().any(|it| it.eq_ignore_ascii_case(scheme));
        if let Some(scheme) = scheme.filter(|scheme| !is_spoken(scheme)) {
            self.report_unsupported(&at.key("proxy_url"), format!("a proxy of scheme {scheme}"));
        }
    }

    fn note_manager(&mut self, reference: &str, at: &KeyPath<'_>) {
        if !reference.is_empty() {
            self.report_unsupported(at, "a secret manager");
        }
    }

    fn note_reference<T>(&mut self, source: &Source<T>, at: &KeyPath<'_>) {
        if matches!(source, Source::Reference(_)) {
            self.report_unsupported(at, "a secret manager");
        }
    }
}

impl Config {
    /// What the file asks for that has no effect in this build, in sentences for the log.
    pub fn notices(&self) -> Vec<String> {
        let mut notices = Vec::new();
        let mut note = |is_used: bool, notice: &str| {
            if is_used {
                notices.push(notice.to_owned());
            }
        };
        let mut alertmanagers = self.alerting.alertmanagers.iter();
        note(
            alertmanagers.any(|it| {
                let has_targets = it.static_configs.iter().any(|group| !group.targets.is_empty());
                has_targets || !it.discovery_configs.is_empty()
            }),
            "Alertmanagers are configured, but this build evaluates no rules and sends no alerts",
        );
        match self.rule_count() {
            0 => {}
            count => notices.push(format!("{count} rules are loaded and none is evaluated")),
        }
        notices
    }
}
