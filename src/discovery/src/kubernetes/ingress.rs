//! Ingresses: a target for each path of each host. Compat: Prometheus `discovery/kubernetes/ingress.go`.

use prom_model::Labels;

use super::{
    cluster::Near,
    labels::MetaLabels,
    objects::{Ingress, IngressRule},
};
use crate::TargetGroup;

const ROOT: &str = "/";

pub(super) fn group(ingress: &Ingress, near: &Near<'_>) -> TargetGroup {
    let Ingress { metadata, spec } = ingress;
    let mut labels = MetaLabels::default();
    labels.add("namespace", &metadata.namespace);
    labels.add_some("ingress_class_name", spec.class_name.as_deref());
    labels.add_object("ingress", metadata);
    labels.add_namespace(near, &metadata.namespace);
    let rules = spec.rules.iter();
    TargetGroup {
        source: format!("ingress/{}/{}", metadata.namespace, metadata.name).into(),
        targets: rules.flat_map(|rule| targets(ingress, rule)).collect(),
        labels: labels.build(),
    }
}

fn targets(ingress: &Ingress, rule: &IngressRule) -> Vec<Labels> {
    let mut patterns = ingress.spec.tls.iter().flat_map(|tls| &tls.hosts);
    let is_secure = patterns.any(|pattern| is_covered(pattern, &rule.host));
    let target = |path: &str| {
        let mut labels = MetaLabels::of_target(&rule.host);
        labels.add("ingress_scheme", if is_secure { "https" } else { "http" });
        labels.add("ingress_host", &rule.host);
        labels.add("ingress_path", if path.is_empty() { ROOT } else { path });
        labels.build()
    };
    match &rule.http {
        Some(http) => http.paths.iter().flatten().map(|path| target(&path.path)).collect(),
        None => vec![target(ROOT)],
    }
}

/// Whether a certificate's pattern holds for a host: equal, or with an asterisk for its first part.
fn is_covered(pattern: &str, host: &str) -> bool {
    let below = host.split_once('.').map(|(_, below)| below);
    pattern == host
        || pattern.strip_prefix("*.").is_some_and(|rest| below == Some(rest))
        || (pattern == "*" && below.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asterisk_stands_for_one_part() {
        for (pattern, host, expected) in [
            ("a.test", "a.test", true),
            ("*.test", "a.test", true),
            ("*.test", "a.b.test", false),
            ("*.test", "test", false),
            ("a.*", "a.test", false),
            ("*", "localhost", true),
            ("*", "a.test", false),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(is_covered(pattern, host), expected, "{pattern} {host}");
        }
    }
}
