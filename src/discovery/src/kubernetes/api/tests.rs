//! Ways to a server, from files that are real.

use std::fs;

use prom_config::{DiscoveryConfig, LoadOptions, Sources, load_with};

use super::*;

fn config(keys: &str) -> KubernetesSdConfig {
    let text = format!(
        "scrape_configs: [{{job_name: a, kubernetes_sd_configs: [{{role: pod, {keys}}}]}}]"
    );
    let path = Path::new("/p/p.yml");
    let mut sources = Sources::with_text(path, text.as_bytes());
    let cfg = load_with(path, &mut sources, &LoadOptions::CHECK).unwrap();
    match &cfg.scrape_configs[0].discovery_configs[0] {
        DiscoveryConfig::Kubernetes(cfg) => (**cfg).clone(),
        other => panic!("{other:?}"),
    }
}

fn around(folder: &Path) -> Surroundings {
    Surroundings {
        account_folder: folder.to_owned(),
        host: Some("fd00::1".to_owned()),
        port: Some("6443".to_owned()),
    }
}

#[test]
fn a_pod_uses_its_account() {
    let folder = tempfile::tempdir().unwrap();
    let (around, at) = (around(folder.path()), |name: &str| folder.path().join(name));
    let nowhere = Surroundings { host: None, ..around.clone() };
    let refused = find_access(&config(""), &nowhere).unwrap_err();
    assert!(refused.ends_with("KUBERNETES_SERVICE_PORT must be defined"), "{refused}");
    assert!(find_access(&config(""), &around).unwrap_err().contains("token"));
    fs::write(at("token"), "secret").unwrap();
    let access = find_access(&config(""), &around).unwrap();
    assert_eq!(access.server, "https://[fd00::1]:6443");
    assert_eq!(access.http_client.auth, Some(bearer(SecretSource::File(at("token")))));
    assert_eq!(access.http_client.tls, TlsConfig::default());
    fs::write(at("ca.crt"), "").unwrap();
    assert_eq!(find_access(&config(""), &around).unwrap().http_client.tls.ca_file, at("ca.crt"));

    let own = config("namespaces: {own_namespace: true}");
    let refused = find_access(&own, &around).unwrap_err();
    assert!(refused.starts_with("could not determine the pod's namespace"), "{refused}");
    fs::write(at("namespace"), "").unwrap();
    let refused = find_access(&own, &around).unwrap_err();
    assert_eq!(refused, "could not read own namespace name (empty file)");
    fs::write(at("namespace"), "mine").unwrap();
    assert_eq!(find_access(&own, &around).unwrap().own_namespace.as_deref(), Some("mine"));
}

#[test]
fn an_address_is_taken_with_its_client() {
    for (address, base) in [
        ("https://api.test/", "https://api.test"),
        ("https://rancher.test/k8s/c-1", "https://rancher.test/k8s/c-1"),
    ] {
        let cfg = config(&format!("api_server: '{address}', bearer_token: x"));
        let access = find_access(&cfg, &Surroundings::real()).unwrap();
        assert!(access.http_client.auth.is_some());
        assert_eq!(Api::new(access, "Prometheus/3.5.0").base, base);
    }
}
