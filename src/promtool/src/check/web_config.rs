//! `check web-config`: whether a server would listen with these files.
//! Compat: `promtool check web-config` of Prometheus 3.14. Certificates are looked for, but what is in them is
//! left to the server.

use std::{
    fs,
    path::{Path, PathBuf},
};

use prom_config::{WebConfig, parse_web_config};
use prom_lifecycle::CommandEnd;

use super::{Findings, go_words};
use crate::output::err;

/// Checks each file and tells the verdicts.
pub(crate) fn run(files: &[PathBuf]) -> CommandEnd {
    let mut findings = Findings::default();
    for file in files {
        match check(file) {
            Ok(()) => err(&format!("{} SUCCESS", file.display())),
            Err(reason) => {
                err(&format!("{} FAILED: {reason}", file.display()));
                findings.add(Findings::ERROR);
            }
        }
    }
    findings.end(false)
}

fn check(file: &Path) -> Result<(), String> {
    let bytes = read(file).map_err(|reason| format!("open {}: {reason}", file.display()))?;
    let config = parse_web_config(file, &bytes).map_err(|errors| {
        let places = errors.errors.iter().map(|error| format!("\n{}:{error}", file.display()));
        format!("{}{}", errors.first_line(), places.collect::<String>())
    })?;
    check_files(&config)
}

fn check_files(config: &WebConfig) -> Result<(), String> {
    let tls = &config.tls_server_config;
    for (key, path) in [
        ("cert_file", &tls.cert_file),
        ("key_file", &tls.key_file),
        ("client_ca_file", &tls.client_ca_file),
    ] {
        if path.as_os_str().is_empty() {
            continue;
        }
        let text = read(path).map_err(|reason| {
            let path = path.display();
            format!("failed to read {key} ({path}): open {path}: {reason}")
        })?;
        if !text.windows(11).any(|part| part == b"-----BEGIN ") {
            let what = match key {
                "cert_file" => "certificate",
                "key_file" => "key",
                _ => return Err(format!("no certificate in {key} ({})", path.display())),
            };
            return Err(format!(
                "failed to load X509KeyPair: tls: failed to find any PEM data in {what} input"
            ));
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| go_words(&error))
}
