//! How many exemplars are kept: what the configuration says, once the feature is on.
//! Compat: `cmd/prometheus/main.go` and `Head.ApplyConfig` of `tsdb/head.go`.

use prom_config::Config;

use crate::flags::{Feature, Options};

/// Without `storage.exemplars`. Compat: `DefaultExemplarsConfig` of `config/config.go`.
const COUNT_DEFAULT: usize = 100_000;

/// The limit under this configuration; 0 keeps none.
pub(crate) fn exemplars_count_max(options: &Options, config: &Config) -> usize {
    match (options.features.has(Feature::ExemplarStorage), &config.storage.exemplars) {
        (false, _) => 0,
        (true, None) => COUNT_DEFAULT,
        (true, Some(exemplars)) => usize::try_from(exemplars.max_exemplars).unwrap_or(0),
    }
}

/// What the log says of a limit that limits nothing.
pub(crate) fn exemplars_notice(options: &Options, config: &Config) -> Option<&'static str> {
    let is_wanted = config.storage.exemplars.as_ref().is_some_and(|it| it.max_exemplars > 0);
    (is_wanted && !options.features.has(Feature::ExemplarStorage)).then_some(
        "storage.exemplars is set, but without --enable-feature=exemplar-storage none are kept",
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::flags::Flags;

    #[test]
    fn the_file_decides_once_the_feature_is_on() {
        let cases = [
            ("", "", 0, false),
            ("", "storage: {exemplars: {max_exemplars: 7}}", 0, true),
            ("exemplar-storage", "", 100_000, false),
            ("exemplar-storage", "storage: {exemplars: {max_exemplars: 7}}", 7, false),
            ("exemplar-storage", "storage: {exemplars: {max_exemplars: 0}}", 0, false),
            ("exemplar-storage", "storage: {exemplars: {max_exemplars: -1}}", 0, false),
        ];
        for (feature, text, expected, is_noticed) in cases {
            let args = ["p".to_owned(), format!("--enable-feature={feature}")];
            let options = Options::new(&Flags::parse(args.map(Into::into)).unwrap()).unwrap();
            let config = prom_config::load_text(Path::new("p.yml"), text.as_bytes()).unwrap();
            assert_eq!(exemplars_count_max(&options, &config), expected, "{feature} {text}");
            assert_eq!(exemplars_notice(&options, &config).is_some(), is_noticed, "{text}");
        }
    }
}
