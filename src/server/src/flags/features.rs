//! Names of `--enable-feature` as data: what each does in this build.
//! Compat: `setFeatureListOptions` in `cmd/prometheus/main.go` and `docs/feature_flags.md`.

use super::Flags;

/// What this build does with a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Support {
    Switch(Feature),
    /// It is always on, or a setting of the configuration has taken its place.
    AlwaysOn,
    NotYet,
}

/// A feature that changes something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feature {
    ExperimentalFunctions,
    ExtendedRangeSelectors,
    BinopFillModifiers,
    DelayedNameRemoval,
    PerStepStats,
    ExemplarStorage,
    ChunkSnapshots,
    ExtraScrapeMetrics,
    MetadataRecords,
    TypeAndUnitLabels,
    StartZeros,
    Xor2Encoding,
    StartStorage,
    StartSynthesis,
    UseStartTimestamps,
    HistogramStarts,
}

/// Every name, in alphabetical order.
const FEATURES: [(&str, Support); 28] = [
    ("auto-reload-config", Support::AlwaysOn),
    ("concurrent-rule-eval", Support::NotYet),
    ("created-timestamp-zero-ingestion", Support::Switch(Feature::StartZeros)),
    ("delayed-compaction", Support::NotYet),
    ("exemplar-storage", Support::Switch(Feature::ExemplarStorage)),
    ("extra-scrape-metrics", Support::Switch(Feature::ExtraScrapeMetrics)),
    ("fast-startup", Support::NotYet),
    ("histograms-st-encoding", Support::Switch(Feature::HistogramStarts)),
    ("memory-snapshot-on-shutdown", Support::Switch(Feature::ChunkSnapshots)),
    ("metadata-wal-records", Support::Switch(Feature::MetadataRecords)),
    ("native-histograms", Support::AlwaysOn),
    ("old-ui", Support::NotYet),
    ("ooo-native-histograms", Support::AlwaysOn),
    ("otlp-deltatocumulative", Support::NotYet),
    ("otlp-native-delta-ingestion", Support::NotYet),
    ("promql-binop-fill-modifiers", Support::Switch(Feature::BinopFillModifiers)),
    ("promql-delayed-name-removal", Support::Switch(Feature::DelayedNameRemoval)),
    ("promql-duration-expr", Support::AlwaysOn),
    ("promql-experimental-functions", Support::Switch(Feature::ExperimentalFunctions)),
    ("promql-extended-range-selectors", Support::Switch(Feature::ExtendedRangeSelectors)),
    ("promql-per-step-stats", Support::Switch(Feature::PerStepStats)),
    ("search-api", Support::NotYet),
    ("st-storage", Support::Switch(Feature::StartStorage)),
    ("st-synthesis", Support::Switch(Feature::StartSynthesis)),
    ("type-and-unit-labels", Support::Switch(Feature::TypeAndUnitLabels)),
    ("use-start-timestamps", Support::Switch(Feature::UseStartTimestamps)),
    ("use-uncached-io", Support::NotYet),
    ("xor2-encoding", Support::Switch(Feature::Xor2Encoding)),
];

/// The features that were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features {
    enabled: Vec<Feature>,
    /// Known names that change nothing, or nothing yet, each with the reason.
    pub(crate) without_effect: Vec<(String, &'static str)>,
    /// Names that nobody knows.
    pub(crate) unknown: Vec<String>,
}

impl Features {
    pub(crate) fn new(flags: &Flags) -> Self {
        let mut features = Self::default();
        let names = flags.all("enable-feature").iter().flat_map(|list| list.split(','));
        for name in names.filter(|name| !name.is_empty()) {
            match FEATURES.iter().find(|(known, _)| *known == name).map(|(_, support)| support) {
                Some(Support::Switch(feature)) => features.enabled.push(*feature),
                Some(Support::AlwaysOn) => features
                    .without_effect
                    .push((name.to_owned(), "it is always on, or a setting of the configuration")),
                Some(Support::NotYet) => features
                    .without_effect
                    .push((name.to_owned(), "it is not supported by this build yet")),
                None => features.unknown.push(name.to_owned()),
            }
        }
        if features.has(Feature::HistogramStarts) && !features.has(Feature::StartStorage) {
            let reason = "there are no start timestamps to encode without st-storage";
            features.without_effect.push(("histograms-st-encoding".to_owned(), reason));
        }
        features
    }

    pub(crate) fn has(&self, feature: Feature) -> bool {
        self.enabled.contains(&feature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_once_and_in_order() {
        assert!(FEATURES.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn features_are_told_apart() {
        let args = ["p", "--enable-feature=promql-per-step-stats,foo", "--enable-feature=old-ui,"];
        let flags = Flags::parse(args.map(Into::into)).unwrap();
        let features = Features::new(&flags);
        assert!(features.has(Feature::PerStepStats) && !features.has(Feature::DelayedNameRemoval));
        assert_eq!(features.unknown, ["foo"]);
        assert_eq!(features.without_effect.len(), 1);
        assert_eq!(features.without_effect[0].0, "old-ui");
    }

    #[test]
    fn starts_of_histograms_need_starts() {
        let without_effect = |names: &str| {
            let args = ["p".into(), format!("--enable-feature={names}").into()];
            Features::new(&Flags::parse(args).unwrap()).without_effect.len()
        };
        assert_eq!(without_effect("histograms-st-encoding"), 1);
        assert_eq!(without_effect("histograms-st-encoding,st-storage"), 0);
    }
}
