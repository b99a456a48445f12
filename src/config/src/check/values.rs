//! Values that stand in many sections: durations, sizes, protocols, schemes, files.

use std::{path::PathBuf, time::Duration};

use prom_model::{NameEscaping, NameValidation, parse_duration};

use super::Checker;
use crate::{ScrapeProtocol, go_path, key_path::KeyPath, units::parse_size_bytes};

impl Checker<'_> {
    /// A duration; `None` if it is absent, null or zero, which all mean the default.
    pub(crate) fn duration(&mut self, text: Option<&str>, at: &KeyPath<'_>) -> Option<Duration> {
        match parse_duration(text?) {
            Ok(ms) => Some(Duration::from_millis(ms.unsigned_abs())).filter(|it| !it.is_zero()),
            Err(err) => {
                self.report(at, err);
                None
            }
        }
    }

    /// A size; 0 if it is absent.
    pub(super) fn size_bytes(&mut self, text: Option<&str>, at: &KeyPath<'_>) -> u64 {
        match parse_size_bytes(text.unwrap_or("0")) {
            Ok(size_bytes) => size_bytes.try_into().unwrap_or(0),
            Err(message) => {
                self.report(at, message);
                0
            }
        }
    }

    /// A list of protocols; `whose` ends the messages.
    pub(super) fn protocols(
        &mut self,
        names: &[String],
        whose: &str,
        at: &KeyPath<'_>,
    ) -> Vec<ScrapeProtocol> {
        if names.is_empty() {
            self.report(at, format_args!("scrape_protocols cannot be empty for {whose}"));
        }
        let mut protocols = Vec::new();
        for (i, name) in names.iter().enumerate() {
            let is_again = names[..i].iter().any(|other| other.eq_ignore_ascii_case(name));
            match protocol(name) {
                _ if is_again => {
                    let list = names.join(" ");
                    self.report(
                        &at.index(i),
                        format_args!(
                            "duplicated protocol in scrape_protocols, got [{list}] for {whose}"
                        ),
                    );
                }
                Ok(protocol) => protocols.push(protocol),
                Err(err) => {
                    self.report(&at.index(i), format_args!("scrape_protocols: {err} for {whose}"));
                }
            }
        }
        protocols
    }

    /// The protocol to assume of a target that names none.
    pub(super) fn fallback_protocol(
        &mut self,
        name: &str,
        whose: &str,
        at: &KeyPath<'_>,
    ) -> Option<ScrapeProtocol> {
        match protocol(name) {
            _ if name.is_empty() => None,
            Ok(protocol) => Some(protocol),
            Err(err) => {
                self.report(
                    at,
                    format_args!("invalid fallback_scrape_protocol for {whose}: {err}"),
                );
                None
            }
        }
    }

    /// The validation scheme of a section; `None` if it is not given.
    pub(super) fn name_validation(
        &mut self,
        name: Option<&str>,
        (whose, allowed): (&str, &str),
        at: &KeyPath<'_>,
    ) -> Option<NameValidation> {
        match name.unwrap_or_default() {
            "" => None,
            "legacy" => Some(NameValidation::Legacy),
            "utf8" => Some(NameValidation::Utf8),
            other => {
                self.report(
                    at,
                    format_args!(
                        "unknown {whose} name validation method specified, must be either {allowed}, got {other}"
                    ),
                );
                None
            }
        }
    }

    /// The escaping scheme of a section; `None` if it is not given.
    pub(super) fn name_escaping(
        &mut self,
        name: Option<&str>,
        whose: &str,
        at: &KeyPath<'_>,
    ) -> Option<NameEscaping> {
        let name = name.filter(|name| !name.is_empty())?;
        let scheme = NameEscaping::ALL.into_iter().find(|scheme| scheme.name() == name);
        if scheme.is_none() {
            self.report(
                at,
                format_args!(
                    "unknown {whose} name escaping method specified, must be one of 'allow-utf-8', 'underscores', 'dots', or 'values', got {name:?}"
                ),
            );
        }
        scheme
    }

    /// A path that starts from the directory of the file.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        go_path::join(self.directory(), path)
    }
}

fn protocol(name: &str) -> Result<ScrapeProtocol, String> {
    let known = ScrapeProtocol::ALL.into_iter().find(|protocol| protocol.name() == name);
    known.ok_or_else(|| {
        let names = ScrapeProtocol::ALL.map(ScrapeProtocol::name).join(" ");
        format!("unknown scrape protocol {name}, supported: [{names}]")
    })
}
