//! The mechanism that watches a Kubernetes API server.

use std::path::PathBuf;

use prom_model::quote_go;

use crate::{HttpClientConfig, Url, check::Checker, key_path::KeyPath, section::section};

/// Roles, and which selectors each may use.
const ROLES: [(&str, &[&str]); 6] = [
    ("node", &["node"]),
    ("pod", &["pod", "node"]),
    ("service", &["service"]),
    ("endpoints", &["pod", "service", "endpoints"]),
    ("endpointslice", &["pod", "service", "endpointslice"]),
    ("ingress", &["ingress"]),
];

section! {
    /// `kubernetes_sd_configs`.
    KubernetesSdConfig, RawKubernetes = "kubernetes.plain", check_kubernetes {
        api_server: Option<Url>;
        role: String => always;
        kubeconfig_file: PathBuf => always;
        http_client as "#http": HttpClientConfig;
        namespaces: KubernetesNamespaces;
        selectors: Vec<KubernetesSelector>;
        attach_metadata: KubernetesMetadata;
    }
}

section! {
    /// Where to look; everywhere if nothing is said.
    KubernetesNamespaces, RawNamespaces = "kubernetes.plain#namespaces" {
        own_namespace: bool => always;
        names: Vec<String> => always;
    }
}

section! {
    /// What to ask for of a kind of resource.
    KubernetesSelector, RawSelector = "kubernetes.SelectorConfig" {
        role: String;
        label: String;
        field: String;
    }
}

section! {
    /// Whose labels and annotations to add.
    KubernetesMetadata, RawKubernetesMetadata = "kubernetes.AttachMetadataConfig" {
        node: bool => always;
        namespace: bool;
        deployment: bool;
        job: bool;
        cronjob: bool;
    }
}

fn check_kubernetes(sd: &mut KubernetesSdConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    let role = ROLES.iter().find(|(role, _)| *role == sd.role);
    if role.is_none() {
        let message = match sd.role.as_str() {
            "" => String::from(
                "role missing (one of: pod, service, endpoints, endpointslice, node, ingress)",
            ),
            role => format!("unknown Kubernetes SD role {}", quote_go(role)),
        };
        checker.report(&at.key("role"), message);
    }
    let has_kubeconfig = !sd.kubeconfig_file.as_os_str().is_empty();
    let has_client = sd.http_client != HttpClientConfig::default();
    let wrong = [
        (
            sd.api_server.is_some() && has_kubeconfig,
            "kubeconfig_file",
            "cannot use 'kubeconfig_file' and 'api_server' simultaneously",
        ),
        (
            has_kubeconfig && has_client,
            "kubeconfig_file",
            "cannot use a custom HTTP client configuration together with 'kubeconfig_file'",
        ),
        (
            sd.api_server.is_none() && !has_kubeconfig && has_client,
            "api_server",
            "to use custom HTTP client configuration please provide the 'api_server' URL explicitly",
        ),
        (
            sd.api_server.is_some() && sd.namespaces.own_namespace,
            "namespaces",
            "cannot use 'api_server' and 'namespaces.own_namespace' simultaneously",
        ),
        (
            has_kubeconfig && sd.namespaces.own_namespace,
            "namespaces",
            "cannot use 'kubeconfig_file' and 'namespaces.own_namespace' simultaneously",
        ),
    ];
    for (_, key, message) in wrong.into_iter().filter(|(is_wrong, ..)| *is_wrong) {
        checker.report(&at.key(key), message);
    }
    if let Some((role, allowed)) = role {
        check_selectors(&sd.selectors, role, allowed, checker, &at.key("selectors"));
    }
}

fn check_selectors(
    selectors: &[KubernetesSelector],
    role: &str,
    allowed: &[&str],
    checker: &mut Checker<'_>,
    at: &KeyPath<'_>,
) {
    for (i, selector) in selectors.iter().enumerate() {
        let at = at.index(i);
        let given = &selector.role;
        if !given.is_empty() && !ROLES.iter().any(|(role, _)| role == given) {
            let message = format!("unknown Kubernetes SD role {}", quote_go(given));
            checker.report(&at.key("role"), message);
        } else if selectors[..i].iter().any(|other| other.role == *given) {
            checker.report(&at.key("role"), format_args!("duplicated selector role: {given}"));
        } else if !allowed.contains(&given.as_str()) {
            let allowed = allowed.join(", ");
            let message = format!("{role} role supports only {allowed} selectors");
            checker.report(&at.key("role"), message);
        }
        if let Some(part) = bad_field_selector(&selector.field) {
            checker.report(
                &at.key("field"),
                format_args!("invalid selector: '{}'; can't understand '{part}'", selector.field),
            );
        }
        if let Some(reason) = bad_label_selector(&selector.label) {
            checker.report(&at.key("label"), format_args!("unable to parse requirement: {reason}"));
        }
    }
}

/// The first requirement without an operator. Compat: apimachinery `fields.ParseSelector`.
fn bad_field_selector(text: &str) -> Option<&str> {
    let mut parts = text.split(',').filter(|part| !part.is_empty());
    parts.find(|part| !part.contains('='))
}

/// What is wrong with a selector of labels, roughly. Compat: apimachinery `labels.Parse`.
fn bad_label_selector(text: &str) -> Option<String> {
    let is_key_char = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let mut rest = text.trim();
    while !rest.is_empty() {
        rest = rest.trim_start_matches('!').trim_start();
        let end = rest.find(|c| !is_key_char(c)).unwrap_or(rest.len());
        if end == 0 {
            let found = rest.chars().next().unwrap_or(' ');
            return Some(format!("found '{found}', expected: !, identifier, or ','"));
        }
        rest = rest[end..].trim_start();
        let is_set = ["in", "notin"].into_iter().any(|word| {
            let after = rest.strip_prefix(word).map(str::trim_start);
            after.is_some_and(|after| after.starts_with('('))
        });
        let end = if is_set {
            match rest.find(')') {
                Some(end) => end + 1,
                None => return Some(String::from("found '', expected: ',' or ')'")),
            }
        } else {
            let requirement = &rest[..rest.find(',').unwrap_or(rest.len())];
            let is_operator =
                requirement.is_empty() || requirement.starts_with(['=', '!', '<', '>']);
            if !is_operator {
                let word = requirement.split_whitespace().next().unwrap_or_default();
                return Some(format!("found '{word}', expected: in, notin, =, ==, !=, gt, lt"));
            }
            requirement.len()
        };
        rest = rest[end..].trim_start();
        rest = match rest.strip_prefix(',') {
            Some(rest) => rest.trim_start(),
            None if rest.is_empty() => rest,
            None => return Some(format!("found '{rest}', expected: ',' or 'end of string'")),
        };
    }
    None
}
