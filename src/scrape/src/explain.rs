//! What would become of a target, for tools that check a configuration. Nothing is scraped.

use prom_config::ScrapeConfig;
use prom_model::Labels;

use crate::target::{Relabelled, discovered_labels, relabel_target};

/// A target before and after relabelling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainedTarget {
    pub discovered: Labels,
    /// Empty if the target is dropped or refused.
    pub labels: Labels,
    /// What is asked for; empty like the labels.
    pub url: String,
    /// Why it cannot be scraped.
    pub refusal: Option<String>,
}

/// Applies the rules of a job to one target of a group with the labels `group`.
pub fn explain_target(job: &ScrapeConfig, target: &Labels, group: &Labels) -> ExplainedTarget {
    let discovered = discovered_labels(job, target, group);
    let (labels, url, refusal) = match relabel_target(job, target, group) {
        Ok(Relabelled::Kept(spec)) => (spec.labels, spec.url, None),
        Ok(Relabelled::Dropped(_)) => (Labels::default(), String::new(), None),
        Err(refusal) => (Labels::default(), String::new(), Some(refusal.to_string())),
    };
    ExplainedTarget { discovered, labels, url, refusal }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use prom_config::load_text;

    use super::*;

    #[test]
    fn targets_are_kept_dropped_or_refused() {
        let text = "scrape_configs: [{job_name: j, relabel_configs: [{source_labels: [drop], regex: y, action: drop}]}]";
        let config = load_text(Path::new("x.yml"), text.as_bytes()).unwrap();
        let explain = |address: &str, group: &[(&str, &str)]| {
            let target = Labels::from_pairs([("__address__", address)]);
            explain_target(
                &config.scrape_configs[0],
                &target,
                &Labels::from_pairs(group.iter().copied()),
            )
        };
        let kept = explain("a:1", &[("x", "1")]);
        assert_eq!(kept.discovered.get("__metrics_path__"), Some("/metrics"));
        assert_eq!(
            kept.labels,
            Labels::from_pairs([("instance", "a:1"), ("job", "j"), ("x", "1")])
        );
        assert_eq!(explain("a:1", &[("drop", "y")]).labels, Labels::default());
        let refused = explain("a/b", &[]);
        assert_eq!(refused.refusal.as_deref(), Some("\"a/b\" is not a valid hostname"));
    }
}
