//! What goes wrong with TLS, in the words of Go's `crypto/tls` and `crypto/x509`.

use std::io;

use jiff::Timestamp;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};
use rustls_pki_types::{ServerName, UnixTime};

use crate::{error::Cause, stream::End};

/// Why the handshake failed.
pub(super) fn handshake_failure(error: &io::Error, (local, peer): (End, End)) -> Cause {
    if let Some(text) = go_text(error) {
        return Cause::Tls(text);
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Cause::Eof,
        _ => Cause::read(&local, &peer, error),
    }
}

/// The text of an error that TLS found; `None` if it is another kind of error.
pub(crate) fn go_text(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match error {
        Error::InvalidCertificate(reason) => {
            format!("tls: failed to verify certificate: x509: {}", certificate_text(reason))
        }
        Error::AlertReceived(alert) => format!("remote error: tls: {}", alert_text(*alert)),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "tls: first record does not look like a TLS handshake".to_owned()
        }
        other => format!("tls: {other}"),
    })
}

fn certificate_text(reason: &CertificateError) -> String {
    const TIME: &str = "certificate has expired or is not yet valid";
    match reason {
        // The authority's name may be known while its key is another one.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "certificate signed by unknown authority".to_owned()
        }
        CertificateError::ExpiredContext { time, not_after } => {
            format!("{TIME}: current time {} is after {}", moment(*time), moment(*not_after))
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            format!("{TIME}: current time {} is before {}", moment(*time), moment(*not_before))
        }
        CertificateError::Expired | CertificateError::NotValidYet => TIME.to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            name_text(expected, presented)
        }
        other => other.to_string(),
    }
}

/// Compat: Go `x509.HostnameError`.
fn name_text(expected: &ServerName<'_>, presented: &[String]) -> String {
    let of_kind = |kind: &str| -> Vec<&str> {
        let inner = |name: &'_ String| -> Option<(usize, usize)> {
            let start = name.strip_prefix(kind)?.strip_prefix('(')?;
            let start = name.len() - start.len();
            name.ends_with(')').then(|| (start, name.len() - 1))
        };
        let names = presented.iter().filter_map(|name| inner(name).map(|(a, b)| &name[a..b]));
        names.map(|name| name.trim_matches('"')).collect()
    };
    let (wanted, valid) = match expected {
        ServerName::IpAddress(address) => {
            let address = std::net::IpAddr::from(*address).to_string();
            let valid = of_kind("IpAddress");
            if valid.is_empty() {
                return format!(
                    "cannot validate certificate for {address} because it doesn't contain any IP SANs"
                );
            }
            (address, valid)
        }
        name => (name.to_str().into_owned(), of_kind("DnsName")),
    };
    match valid.is_empty() {
        true => {
            format!("certificate is not valid for any names, but wanted to match {wanted}")
        }
        false => format!("certificate is valid for {}, not {wanted}", valid.join(", ")),
    }
}

fn moment(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}

/// Compat: Go `crypto/tls` `alertText`.
fn alert_text(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::UnexpectedMessage => "unexpected message",
        AlertDescription::BadRecordMac => "bad record MAC",
        AlertDescription::RecordOverflow => "record overflow",
        AlertDescription::HandshakeFailure => "handshake failure",
        AlertDescription::BadCertificate => "bad certificate",
        AlertDescription::UnsupportedCertificate => "unsupported certificate",
        AlertDescription::CertificateRevoked => "revoked certificate",
        AlertDescription::CertificateExpired => "expired certificate",
        AlertDescription::CertificateUnknown => "unknown certificate",
        AlertDescription::IllegalParameter => "illegal parameter",
        AlertDescription::UnknownCA => "unknown certificate authority",
        AlertDescription::AccessDenied => "access denied",
        AlertDescription::DecodeError => "error decoding message",
        AlertDescription::DecryptError => "error decrypting message",
        AlertDescription::ProtocolVersion => "protocol version not supported",
        AlertDescription::InsufficientSecurity => "insufficient security level",
        AlertDescription::InternalError => "internal error",
        AlertDescription::MissingExtension => "missing extension",
        AlertDescription::UnsupportedExtension => "unsupported extension",
        AlertDescription::UnrecognisedName => "unrecognized name",
        AlertDescription::CertificateRequired => "certificate required",
        AlertDescription::NoApplicationProtocol => "no application protocol",
        _ => "unknown alert",
    }
}
