//! How blocks hold floats: what the configuration says, or else a feature flag that it has outgrown; and whether
//! that goes together with start times.

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

/// [`float_encoding`], where it has a place for the start times that are to be stored.
///
/// # Errors
/// It has none. Compat: `errXORIncompatibleWithSTStorage` of `tsdb/db.go`, 3.14.
pub(crate) fn checked_float_encoding(
    options: &Options,
    config: &Config,
) -> Result<FloatEncoding, &'static str> {
    match float_encoding(options, config) {
        FloatEncoding::Xor if options.features.has(Feature::StartStorage) => {
            Err("float chunk encoding \"xor\" is incompatible with start-timestamp storage; \
                 XOR chunks do not store start timestamps, use \"xor2\"")
        }
        encoding => Ok(encoding),
    }
}
