//! What would become of a target, for tools that check a configuration. Nothing is scraped.

use prom_config::ScrapeConfig;
use prom_model::{Labels, LabelsBuilder, RelabelRule, relabel};

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

/// What one rule makes of a label set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelabelStep {
    /// Empty once a rule has dropped the set.
    pub output: Labels,
    pub is_kept: bool,
}

/// Applies rules to `labels`, one step a rule. Once the set is dropped no further rule is applied.
/// Compat: `targetRelabelSteps` in Prometheus `web/api/v1/api.go`.
pub fn relabel_steps(rules: &[RelabelRule], labels: &Labels) -> Vec<RelabelStep> {
    let mut labels = LabelsBuilder::from_labels(labels);
    let mut is_kept = true;
    let step = |rule: &RelabelRule| {
        is_kept = is_kept && relabel(std::slice::from_ref(rule), &mut labels);
        let output = if is_kept { labels.labels() } else { Labels::default() };
        RelabelStep { output, is_kept }
    };
    rules.iter().map(step).collect()
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
