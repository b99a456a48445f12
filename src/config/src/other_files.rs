//! Files beside the main one that have a format of their own: the web config file, files of targets, the
//! block of an HTTP client.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{
    ConfigErrors, HttpClientConfig, StaticConfig, WebConfig,
    check::Checker,
    error::Origin,
    key_path::KeyPath,
    load::{surroundings, syntax_error},
    raw::{Nullable, RawHttpClient, RawTargetGroup, SCHEMA},
    section::Field,
    sections::RawWeb,
    yaml::{Decoded, Document, decode, to_text},
};

/// A list of groups of targets.
#[derive(Debug, Default, Deserialize)]
struct RawTargetFile(Nullable<RawTargetGroup>);

/// Checks the text of a web config file. Certificates are named, not read.
///
/// # Errors
/// All that is wrong with it.
pub fn parse_web_config(path: &Path, bytes: &[u8]) -> Result<WebConfig, ConfigErrors> {
    parse(path, bytes, Origin::Web, |raw: RawWeb, checker| {
        Field::check(raw, checker, &KeyPath::TOP)
    })
}

/// A file that is nothing but the block of an HTTP client.
#[derive(Debug, Default, Deserialize)]
#[serde(rename = "config.plain#http_file", default)]
struct RawHttpFile {
    #[serde(rename = "#http")]
    http: RawHttpClient,
}

/// Checks the text of a file with the keys of an HTTP client, as tools take it.
///
/// # Errors
/// All that is wrong with it.
pub fn parse_http_client(path: &Path, bytes: &[u8]) -> Result<HttpClientConfig, ConfigErrors> {
    parse(path, bytes, Origin::Web, |raw: RawHttpFile, checker| {
        Field::check(raw.http, checker, &KeyPath::TOP)
    })
}

/// Checks the text of a file of targets, as `file_sd_configs` name it: YAML, or JSON, which YAML takes as it
/// is.
///
/// # Errors
/// All that is wrong with it.
pub fn parse_target_file(path: &Path, bytes: &[u8]) -> Result<Vec<StaticConfig>, ConfigErrors> {
    parse(path, bytes, Origin::Targets, |raw: RawTargetFile, checker| {
        for (i, _) in raw.0.iter().enumerate().filter(|(_, group)| group.is_none()) {
            let message = format!("nil target group item found (index {i})");
            checker.report(&KeyPath::TOP.index(i), message);
        }
        let groups: Nullable<RawTargetGroup> = raw.0.into_iter().filter(Option::is_some).collect();
        checker.static_configs(groups, false, &KeyPath::TOP)
    })
}

/// The files that a web config names: a change of one asks for a new look at it.
pub fn web_config_files(config: &WebConfig) -> Vec<PathBuf> {
    let mut files = Vec::new();
    config.files(&mut files);
    files.into_iter().map(Path::to_owned).collect()
}

fn parse<R, T>(
    path: &Path,
    bytes: &[u8],
    origin: Origin,
    check: impl FnOnce(R, &mut Checker<'_>) -> T,
) -> Result<T, ConfigErrors>
where
    R: for<'de> Deserialize<'de> + Default,
{
    let fail = |mut errors: Vec<_>| {
        errors.iter_mut().for_each(|error: &mut crate::ConfigError| error.origin = origin);
        ConfigErrors::invalid(path, errors)
    };
    let syntax = |fault| fail(vec![syntax_error(fault)]);
    let text = to_text(bytes).map_err(syntax)?;
    let document = Document::parse(&text).map_err(syntax)?;
    let Decoded { value: raw, errors, is_partial } = decode::<R>(&document, &SCHEMA);
    if is_partial {
        return Err(fail(errors));
    }
    let mut checker = Checker::new(&document, surroundings(path), errors);
    let checked = check(raw, &mut checker);
    let (errors, _) = checker.into_findings();
    if errors.is_empty() { Ok(checked) } else { Err(fail(errors)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        parse_web_config(Path::new("/p/web.yml"), text.as_bytes()).expect_err(text).first_line()
    }

    #[test]
    fn a_web_config_is_checked_in_the_words_of_the_reference() {
        const HASH: &str = "$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";
        let cases = [
            ("tls_server_config: {cert_file: x}", "missing one of key or key_file"),
            ("tls_server_config: {key_file: x}", "missing one of cert or cert_file"),
            ("tls_server_config: {min_version: x}", "unknown TLS version: x"),
            ("tls_server_config: {cipher_suites: [x]}", "unknown cipher: x"),
            ("tls_server_config: {curve_preferences: [x]}", "unknown curve: x"),
            (
                "http_server_config: {headers: {foo: bar}}",
                "HTTP header \"foo\" can not be configured",
            ),
            (
                "http_server_config: {headers: {X-Frame-Options: DENY}}",
                "invalid value for X-Frame-Options. Expected one of: [\"deny\" \"sameorigin\"], but got: \"DENY\"",
            ),
            ("foo: 1", "yaml: unmarshal errors:\n  line 1: field foo not found in type web.Config"),
            (
                "basic_auth_users: {a: b}",
                "crypto/bcrypt: hashedSecret too short to be a bcrypted password",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(refusal(text), expected, "{text}");
        }
        let versions = [
            (
                "$3y",
                "crypto/bcrypt: bcrypt algorithm version '3' requested is newer than current version '2'",
            ),
            ("x2y", "crypto/bcrypt: bcrypt hashes must start with '$'"),
        ];
        for (prefix, expected) in versions {
            assert_eq!(refusal(&format!("basic_auth_users: {{a: '{prefix}{HASH}'}}")), expected);
        }
        let good = format!(
            "basic_auth_users: {{a: '$2y{HASH}'}}\ntls_server_config: {{cert_file: c, key_file: k}}\n"
        );
        let config = parse_web_config(Path::new("/p/web.yml"), good.as_bytes()).unwrap();
        assert!(config.tls_server_config.is_enabled() && config.http_server_config.http2);
        assert_eq!(web_config_files(&config), [Path::new("/p/c"), Path::new("/p/k")]);
        assert!(!format!("{config:?}").contains("QOauh"));
        let empty = parse_web_config(Path::new("w"), b"").unwrap();
        assert_eq!(empty, WebConfig::default());
        assert!(!empty.tls_server_config.is_enabled());
    }

    #[test]
    fn files_of_targets_are_checked() {
        let parse = |text: &str| parse_target_file(Path::new("t.json"), text.as_bytes());
        let groups =
            parse("[{\"targets\": [\"a:1\", \"b:2\"], \"labels\": {\"x\": \"y\"}}]").unwrap();
        assert_eq!(groups[0].targets, ["a:1", "b:2"]);
        assert_eq!(groups[0].labels, [(String::from("x"), String::from("y"))]);
        assert_eq!(parse("- targets: [a]\n- targets: [b]\n").unwrap().len(), 2);
        assert!(parse("").unwrap().is_empty());
        assert_eq!(
            parse("- ~\n").unwrap_err().first_line(),
            "nil target group item found (index 0)"
        );
        assert!(parse("- {targetz: [a]}\n").unwrap_err().first_line().contains("targetz"));
    }
}
