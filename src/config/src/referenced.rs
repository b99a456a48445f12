//! Files that a configuration names without being made of them: secrets, certificates, lists of targets.
//! They are neither read nor watched here.

use std::path::{Path, PathBuf};

use crate::{Config, DiscoveryConfig, HttpClientConfig, section::Field};

impl HttpClientConfig {
    /// Files with secrets and certificates that requests need. Each once, in order.
    pub fn referenced_files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        self.files(&mut files);
        unique(files)
    }
}

impl Config {
    /// Files that are named in it and read when they are used: secrets, certificates and keys. Whoever uses
    /// one reads it anew, so that a change of its content needs no reload. Each once, in order.
    pub fn referenced_files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for (client, discovery) in self.clients() {
            client.files(&mut files);
            let others = discovery.iter().filter(|it| !matches!(it, DiscoveryConfig::File(_)));
            others.for_each(|config| config.files(&mut files));
        }
        self.remote_write.files(&mut files);
        self.remote_read.files(&mut files);
        self.tracing.files(&mut files);
        unique(files)
    }

    /// Patterns of all `file_sd_configs`: discovery reads what is under them. Each once, in order.
    pub fn target_file_patterns(&self) -> Vec<PathBuf> {
        let mut patterns = Vec::new();
        for (_, discovery) in self.clients() {
            let of_files = discovery.iter().filter(|it| matches!(it, DiscoveryConfig::File(_)));
            of_files.for_each(|config| config.files(&mut patterns));
        }
        unique(patterns)
    }

    fn clients(&self) -> impl Iterator<Item = (&HttpClientConfig, &[DiscoveryConfig])> {
        let jobs = self.scrape_configs.iter();
        let jobs = jobs.map(|job| (&job.http_client, job.discovery_configs.as_slice()));
        let alertmanagers = self.alerting.alertmanagers.iter();
        jobs.chain(alertmanagers.map(|it| (&it.http_client, it.discovery_configs.as_slice())))
    }
}

fn unique(mut paths: Vec<&Path>) -> Vec<PathBuf> {
    paths.sort_unstable();
    paths.dedup();
    paths.into_iter().map(Path::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LoadOptions, Sources, load_with};

    #[test]
    fn every_named_file_is_listed_once() {
        let text = "scrape_configs:
- job_name: a
  authorization: {credentials_file: token}
  tls_config: {ca_file: ca.pem, cert_file: c.pem, key_file: /k.pem}
  http_headers: {x: {files: [h1, h2]}}
  file_sd_configs: [{files: [t/*.yml]}]
  scaleway_sd_configs: [{role: instance, project_id: p, access_key: a, secret_key_file: sk}]
- {job_name: b, oauth2: {client_id: i, token_url: u, client_secret_file: cs, tls_config: {ca_file: ca2.pem}}}
- {job_name: c, basic_auth: {username_file: u, password_file: token}}
remote_write: [{url: 'http://a', basic_auth: {username: x, password_file: rw}}]
tracing: {endpoint: x, tls_config: {ca_file: tr}}
alerting: {alertmanagers: [{bearer_token_file: am}]}
";
        let path = Path::new("/p/x.yml");
        let mut sources = Sources::with_text(path, text.as_bytes());
        let config = load_with(path, &mut sources, &LoadOptions::CHECK).unwrap();
        let names =
            ["am", "c.pem", "ca.pem", "ca2.pem", "cs", "h1", "h2", "rw", "sk", "token", "tr", "u"];
        let mut expected: Vec<PathBuf> =
            names.iter().map(|name| Path::new("/p").join(name)).collect();
        expected.insert(0, PathBuf::from("/k.pem"));
        assert_eq!(config.referenced_files(), expected);
        assert_eq!(config.target_file_patterns(), [Path::new("/p/t/*.yml")]);
    }
}
