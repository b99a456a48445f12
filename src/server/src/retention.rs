//! How long and how much is kept: what the flags say, unless the configuration says something else. The
//! storage removes what is beyond it.

use prom_config::Config;
use prom_tsdb::RetentionOptions;

use crate::flags::Options;

/// What is in force if nobody sets any limit.
const DURATION_DEFAULT_MS: i64 = 15 * 24 * 3_600_000;
/// Compat: blocks are at most a tenth of the retention long, and never longer than this.
const BLOCK_DURATION_MAX_MS: i64 = 31 * 24 * 3_600_000;

/// The limits under this configuration.
/// Compat: `cmd/prometheus/main.go` and `tsdb.DB.ApplyConfig`.
pub(crate) fn retention(options: &Options, config: &Config) -> RetentionOptions {
    let mut retention = RetentionOptions {
        duration_ms: options.retention_duration_ms,
        size_bytes: options.retention_size_bytes,
        ..RetentionOptions::default()
    };
    let configured = config.storage.tsdb.as_ref().and_then(|tsdb| tsdb.retention.as_ref());
    if let Some(configured) = configured {
        let duration_ms = i64::try_from(configured.time.as_millis()).unwrap_or(i64::MAX);
        if duration_ms > 0 {
            retention.duration_ms = duration_ms;
        }
        if let Ok(size_bytes) = u64::try_from(configured.size_bytes.0)
            && size_bytes > 0
        {
            retention.size_bytes = size_bytes;
        }
        retention.percentage = configured.percentage;
    }
    let is_limited =
        retention.duration_ms > 0 || retention.size_bytes > 0 || retention.percentage > 0.0;
    if !is_limited {
        retention.duration_ms = DURATION_DEFAULT_MS;
    }
    retention
}

/// The range of the largest block, where no flag gives it.
pub(crate) fn block_duration_max_ms(options: &Options, retention: RetentionOptions) -> i64 {
    if options.max_block_duration_ms > 0 {
        return options.max_block_duration_ms;
    }
    let tenth_ms = retention.duration_ms / 10;
    let longest_ms = match retention.duration_ms {
        0 => BLOCK_DURATION_MAX_MS,
        _ => tenth_ms.min(BLOCK_DURATION_MAX_MS),
    };
    longest_ms.max(options.min_block_duration_ms)
}

/// As the status page shows it: `15d or 512MiB`.
pub(crate) fn retention_text(retention: RetentionOptions) -> String {
    let mut limits = Vec::new();
    if retention.duration_ms > 0 {
        limits.push(prom_model::format_duration(retention.duration_ms));
    }
    if retention.size_bytes > 0 {
        limits.push(size_text(retention.size_bytes));
    }
    if retention.percentage > 0.0 {
        limits.push(format!("{}%", retention.percentage));
    }
    limits.join(" or ")
}

/// Compat: `Base2Bytes.String`: `1GiB512MiB`.
fn size_text(size_bytes: u64) -> String {
    const UNITS: [(&str, u32); 7] =
        [("EiB", 60), ("PiB", 50), ("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];
    let mut rest = size_bytes;
    let mut text = String::new();
    for (unit, shift) in UNITS {
        if rest >> shift > 0 {
            text.push_str(&format!("{}{unit}", rest >> shift));
            rest &= (1 << shift) - 1;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::flags::Flags;

    fn check(args: &str, yaml: &str, expected: &str, block_days: f64) {
        let args = std::iter::once("p").chain(args.split_whitespace()).map(Into::into);
        let options = Options::new(&Flags::parse(args).unwrap()).unwrap();
        let yaml = format!("storage: {{tsdb: {{retention: {yaml}}}}}");
        let config = prom_config::load_text(Path::new("p.yml"), yaml.as_bytes()).unwrap();
        let retention = retention(&options, &config);
        assert_eq!(retention_text(retention), expected, "{yaml}");
        let days = block_duration_max_ms(&options, retention) as f64 / 86_400_000.0;
        assert_eq!(days, block_days, "{yaml}");
    }

    #[test]
    fn the_configuration_goes_before_the_flags() {
        check("", "{}", "15d", 1.5);
        check("--storage.tsdb.retention.time=30d", "{}", "30d", 3.0);
        check("--storage.tsdb.retention.time=10y", "{}", "10y", 31.0);
        check("--storage.tsdb.retention.time=5h", "{}", "5h", 2.0 / 24.0);
        check("--storage.tsdb.retention.size=1536MB", "{}", "1GiB512MiB", 31.0);
        check("--storage.tsdb.retention.time=30d", "{time: 10d}", "10d", 1.0);
        check("--storage.tsdb.retention.time=30d", "{size: 1GB}", "30d or 1GiB", 3.0);
        check("", "{percentage: 12.5}", "12.5%", 31.0);
        check("--storage.tsdb.max-block-duration=4d", "{}", "15d", 4.0);
    }
}
