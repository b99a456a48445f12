//! Sections that concern the server as a whole: storage, tracing, what becomes of OpenTelemetry's names.

use std::{collections::BTreeMap, time::Duration};

use prom_model::{NameValidation, format_float, quote_go};

use super::TlsConfig;
use crate::{
    check::{Checker, is_reserved_header},
    key_path::KeyPath,
    print::Value,
    section::{Field, section},
    units::{format_size_bytes, parse_size_bytes},
};

section! {
    /// `storage`: what of the store can be changed by a reload.
    #[derive(Default)]
    StorageConfig, RawStorage = "config.StorageConfig" {
        tsdb: Option<TsdbConfig>;
        exemplars: Option<ExemplarsConfig>;
    }
}

section! {
    /// `storage.tsdb`.
    TsdbConfig, RawTsdb = "config.plain#tsdb", check_tsdb {
        /// The same window in milliseconds, which the reference shows under this key.
        out_of_order_time_window_ms as "outofordertimewindow": i64 => always;
        out_of_order_time_window: Duration;
        stale_series_compaction_threshold: f64;
        chunk_encoding: ChunkEncodingConfig;
        retention: Option<RetentionConfig>;
    }
}

section! {
    /// `storage.tsdb.chunk_encoding`.
    ChunkEncodingConfig, RawChunkEncoding = "config.ChunkEncodingConfig" {
        /// `xor`, `xor2`, or empty for what the flags say.
        floats: String;
    }
}

section! {
    /// `storage.tsdb.retention`: when blocks are deleted; zero sets no limit.
    RetentionConfig, RawRetention = "config.plain#retention", check_retention {
        time: Duration;
        size_bytes as "size": SizeBytes;
        percentage: f64;
    }
}

section! {
    /// `storage.exemplars`.
    ExemplarsConfig, RawExemplars = "config.ExemplarsConfig" {
        /// None are kept if it is 0 or less.
        max_exemplars: i64;
    }
}

section! {
    /// `tracing`: where spans go.
    TracingConfig, RawTracing = "config.plain#tracing", check_tracing {
        /// `grpc` or `http`.
        client_type: String = "grpc";
        endpoint: String;
        sampling_fraction: f64;
        insecure: bool;
        tls_config: TlsConfig;
        headers: BTreeMap<String, String>;
        compression: String;
        timeout: Duration;
    }
}

section! {
    /// `otlp`: how names and attributes of OpenTelemetry become labels.
    OtlpConfig, RawOtlp = "config.plain#otlp", check_otlp {
        promote_all_resource_attributes: bool;
        promote_resource_attributes: Vec<String>;
        ignore_resource_attributes: Vec<String>;
        translation_strategy: String = "UnderscoreEscapingWithSuffixes";
        keep_identifying_resource_attributes: bool;
        convert_histograms_to_nhcb: bool;
        promote_scope_metadata: bool;
        label_name_underscore_sanitization: bool = true;
        label_name_preserve_multiple_underscores: bool = true;
    }
}

impl RawOtlp {
    /// What a null section means.
    pub(crate) fn all_off() -> Self {
        Self {
            translation_strategy: String::new(),
            label_name_underscore_sanitization: false,
            label_name_preserve_multiple_underscores: false,
            ..Self::default()
        }
    }
}

/// A size in bytes, written with units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeBytes(pub i64);

impl Field for SizeBytes {
    type Raw = Option<String>;

    fn check(raw: Self::Raw, checker: &mut Checker<'_>, at: &KeyPath<'_>) -> Self {
        match raw.as_deref().map_or(Ok(0), parse_size_bytes) {
            Ok(size_bytes) => Self(size_bytes),
            Err(message) => {
                checker.report(at, message);
                Self(0)
            }
        }
    }

    fn is_zero(&self) -> bool {
        self.0 == 0
    }

    fn show(&self) -> Value {
        format_size_bytes(self.0).into()
    }
}

fn check_tsdb(tsdb: &mut TsdbConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    let window_ms = tsdb.out_of_order_time_window.as_millis();
    tsdb.out_of_order_time_window_ms = i64::try_from(window_ms).unwrap_or(i64::MAX);
    let floats = &tsdb.chunk_encoding.floats;
    if !["", "xor", "xor2"].contains(&floats.as_str()) {
        let message = format!(
            "'storage.tsdb.chunk_encoding.floats' must be 'xor' or 'xor2', or the field must be omitted entirely, got {}",
            quote_go(floats)
        );
        checker.report(&at.key("chunk_encoding").key("floats"), message);
    }
}

fn check_retention(retention: &mut RetentionConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    if retention.size_bytes.0 < 0 {
        let size = format_size_bytes(retention.size_bytes.0);
        checker.report(
            &at.key("size"),
            format_args!(
                "'storage.tsdb.retention.size' must be greater than or equal to 0, got {size}"
            ),
        );
    }
    if !(0.0..=100.0).contains(&retention.percentage) {
        let percentage = format_float(retention.percentage);
        checker.report(&at.key("percentage"), format_args!("'storage.tsdb.retention.percentage' must be in the range [0, 100], got {percentage}"));
    }
}

fn check_tracing(tracing: &mut TracingConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    if !["http", "grpc"].contains(&tracing.client_type.as_str()) {
        let given = &tracing.client_type;
        checker.report(
            &at.key("client_type"),
            format_args!("expected tracing client type to be to be http or grpc, but got {given}"),
        );
    }
    for name in tracing.headers.keys() {
        let at = at.key("headers");
        if name.eq_ignore_ascii_case("authorization") {
            let message = "custom authorization header configuration is not yet supported";
            checker.report(&at.key(name), message);
        } else if is_reserved_header(name) {
            let message = format!("{name} is a reserved header. It must not be changed");
            checker.report(&at.key(name), message);
        }
    }
    if tracing.endpoint.is_empty() {
        checker.report(&at.key("endpoint"), "tracing endpoint must be set");
    }
    if !["", "gzip"].contains(&tracing.compression.as_str()) {
        let given = &tracing.compression;
        checker.report(
            &at.key("compression"),
            format_args!("invalid compression type {given} provided, valid options: gzip"),
        );
    }
}

fn check_otlp(otlp: &mut OtlpConfig, checker: &mut Checker<'_>, at: &KeyPath<'_>) {
    match otlp.translation_strategy.as_str() {
        "" | "UnderscoreEscapingWithSuffixes" | "UnderscoreEscapingWithoutSuffixes" => {}
        strategy @ ("NoTranslation" | "NoUTF8EscapingWithSuffixes") => {
            if checker.validation() == NameValidation::Legacy {
                let strategy = quote_go(strategy);
                checker.report(
                    &at.key("translation_strategy"),
                    format_args!(
                        "OTLP translation strategy {strategy} is not allowed when UTF8 is disabled"
                    ),
                );
            }
        }
        strategy => {
            let strategy = quote_go(strategy);
            checker.report(
                &at.key("translation_strategy"),
                format_args!("unsupported OTLP translation strategy {strategy}"),
            );
        }
    }
    if otlp.promote_all_resource_attributes {
        if !otlp.promote_resource_attributes.is_empty() {
            checker.report(&at.key("promote_resource_attributes"), "'promote_all_resource_attributes' and 'promote_resource_attributes' cannot be configured simultaneously");
        }
        let key = "ignore_resource_attributes";
        trim_attributes(&mut otlp.ignore_resource_attributes, "ignored", key, checker, at);
    } else {
        if !otlp.ignore_resource_attributes.is_empty() {
            checker.report(&at.key("ignore_resource_attributes"), "'ignore_resource_attributes' cannot be configured unless 'promote_all_resource_attributes' is true");
        }
        let key = "promote_resource_attributes";
        trim_attributes(&mut otlp.promote_resource_attributes, "promoted", key, checker, at);
    }
}

fn trim_attributes(
    attributes: &mut [String],
    adjective: &str,
    key: &str,
    checker: &mut Checker<'_>,
    at: &KeyPath<'_>,
) {
    let mut faults = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for attribute in attributes.iter_mut() {
        let trimmed = attribute.trim().to_owned();
        if trimmed.is_empty() {
            faults.push(format!("empty {adjective} OTel resource attribute"));
        } else if !seen.insert(trimmed.clone()) {
            let name = quote_go(&trimmed);
            faults.push(format!("duplicated {adjective} OTel resource attribute {name}"));
        } else {
            *attribute = trimmed;
        }
    }
    if !faults.is_empty() {
        checker.report(&at.key(key), format_args!("invalid '{key}': {}", faults.join("\n")));
    }
}
