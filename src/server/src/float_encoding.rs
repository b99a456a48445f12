//! How blocks hold floats: what the configuration says, or else a feature flag that it has outgrown.

use prom_config::Config;
use prom_tsdb::FloatEncoding;

use crate::flags::{Feature, Options};

/// The encoding under this configuration.
/// Compat: `cmd/prometheus/main.go`, after 3.14: the key alone decides.
pub(crate) fn float_encoding(options: &Options, config: &Config) -> FloatEncoding {
    let configured = config.storage.tsdb.as_ref().map_or("", |tsdb| &tsdb.chunk_encoding.floats);
    match configured {
        "xor" => FloatEncoding::Xor,
        "xor2" => FloatEncoding::Xor2,
        _ if options.features.has(Feature::Xor2Encoding) => FloatEncoding::Xor2,
        _ => FloatEncoding::Xor,
    }
}
