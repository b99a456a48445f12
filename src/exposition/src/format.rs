//! Which format a body is in, and which one a reader of ours wants.

use std::fmt;

use prom_model::quote_go;

/// Exposition formats by their family; versions differ too little to part them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    Text,
    OpenMetrics,
    Protobuf,
}

/// A `Content-Type` that names no format, with the texts of the reference.
/// Compat: `model/textparse/interface.go`, `extractMediaType`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    #[error("non-compliant scrape target sending blank Content-Type{}", .fallback.map_or_else(
        || " and no fallback_scrape_protocol specified for target".to_owned(), using))]
    Blank { fallback: Option<Format> },
    #[error("{}\n{reason}", .fallback.map_or_else(
        || format!("cannot parse Content-Type {} and no fallback_scrape_protocol for target", quote_go(.content_type)),
        |fallback| format!("could not parse received Content-Type {}{}", quote_go(.content_type), using(fallback))))]
    Malformed { content_type: String, reason: &'static str, fallback: Option<Format> },
    #[error("received unsupported Content-Type {}{}", quote_go(.content_type), .fallback.map_or_else(
        || " and no fallback_scrape_protocol specified for target".to_owned(), using))]
    Unsupported { content_type: String, fallback: Option<Format> },
}

impl Format {
    /// The type without parameters.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::OpenMetrics => "application/openmetrics-text",
            Self::Protobuf => "application/vnd.google.protobuf",
        }
    }

    /// What a response of ours says about itself. Compat: prometheus/common `expfmt`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8; escaping=underscores",
            Self::OpenMetrics => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
            }
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// The format of a response, or of `fallback` with the reason why.
    ///
    /// # Errors
    /// The type is missing, malformed or unknown, and there is no fallback.
    pub fn of_response(
        content_type: &str,
        fallback: Option<Self>,
    ) -> Result<(Self, Option<FormatError>), FormatError> {
        let owned = || content_type.to_owned();
        let error = match parse_media_type(content_type) {
            _ if content_type.is_empty() => FormatError::Blank { fallback },
            Err(reason) => FormatError::Malformed { content_type: owned(), reason, fallback },
            Ok(media_type) => {
                let all = [Self::Text, Self::OpenMetrics, Self::Protobuf];
                match all.into_iter().find(|format| format.media_type() == media_type) {
                    Some(format) => return Ok((format, None)),
                    None => FormatError::Unsupported { content_type: owned(), fallback },
                }
            }
        };
        match fallback {
            Some(fallback) => Ok((fallback, Some(error))),
            None => Err(error),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.media_type())
    }
}

/// The format to print for an `Accept` header: OpenMetrics 1.0 to who prefers it, otherwise text.
pub fn negotiate(accept: &str) -> Format {
    let mut clauses: Vec<(f64, Format)> = accept.split(',').filter_map(accepted).collect();
    // Stable: of equal weights the first one written wins.
    clauses.sort_by(|a, b| b.0.total_cmp(&a.0));
    clauses.first().map_or(Format::Text, |(_, format)| *format)
}

/// Weight and format of one clause that we can satisfy.
fn accepted(clause: &str) -> Option<(f64, Format)> {
    let mut parts = clause.split(';').map(str::trim);
    let media_type = parts.next()?.to_ascii_lowercase();
    let (mut weight, mut version) = (1.0, None);
    for part in parts {
        let (name, value) = part.split_once('=')?;
        match name.trim().to_ascii_lowercase().as_str() {
            "q" => weight = value.trim().parse().ok().filter(|q| (0.0..=1.0).contains(q))?,
            "version" => version = Some(value.trim().trim_matches('"').to_owned()),
            _ => {}
        }
    }
    let format = match (media_type.as_str(), version.as_deref()) {
        ("application/openmetrics-text", Some("1.0.0")) => Format::OpenMetrics,
        ("text/plain", None | Some("0.0.4")) | ("text/*" | "*/*", None) => Format::Text,
        _ => return None,
    };
    (weight > 0.0).then_some((weight, format))
}

fn using(fallback: Format) -> String {
    format!(", using fallback_scrape_protocol \"{fallback}\"")
}

/// The type in lower case. Compat: Go's `mime.ParseMediaType`, but for continued (`*0=`) parameters.
fn parse_media_type(text: &str) -> Result<String, &'static str> {
    let (base, parameters) = text.split_once(';').unwrap_or((text, ""));
    let base = base.trim().to_ascii_lowercase();
    let (kind, rest) = split_token(&base);
    if kind.is_empty() {
        return Err("mime: no media type");
    }
    if !rest.is_empty() {
        let rest = rest.strip_prefix('/').ok_or("mime: expected slash after first token")?;
        match split_token(rest) {
            ("", _) => return Err("mime: expected token after slash"),
            (_, "") => {}
            _ => return Err("mime: unexpected content after media subtype"),
        }
    }
    check_parameters(parameters)?;
    Ok(base)
}

fn check_parameters(text: &str) -> Result<(), &'static str> {
    const INVALID: &str = "mime: invalid media parameter";
    let mut names: Vec<String> = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, after) = split_token(rest);
        let after = after.trim_start().strip_prefix('=').ok_or(INVALID)?.trim_start();
        let (value_size, after) = match after.strip_prefix('"') {
            Some(quoted) => {
                let end = end_of_quoted(quoted).ok_or(INVALID)?;
                (1, &quoted[end..])
            }
            None => {
                let (value, after) = split_token(after);
                (value.len(), after)
            }
        };
        if name.is_empty() || value_size == 0 {
            return Err(INVALID);
        }
        let name = name.to_ascii_lowercase();
        if names.contains(&name) {
            return Err("mime: duplicate parameter name");
        }
        names.push(name);
        let after = after.trim_start();
        rest = match after.strip_prefix(';') {
            Some(after) => after.trim_start(),
            None if after.is_empty() => after,
            None => return Err(INVALID),
        };
    }
    Ok(())
}

/// Where the rest begins behind a string whose opening quote is gone.
fn end_of_quoted(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' if !escaped => return Some(at + 1),
            b'\r' | b'\n' => return None,
            _ => escaped = byte == b'\\' && !escaped,
        }
    }
    None
}

fn split_token(text: &str) -> (&str, &str) {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    text.split_at(text.bytes().position(|b| !is_token(b)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_tell_their_format() {
        let check = |content_type: &str, fallback, expected: Result<Format, &str>| {
            let answer = Format::of_response(content_type, fallback);
            let answer = answer.map(|(format, _)| format).map_err(|err| err.to_string());
            assert_eq!(answer, expected.map_err(str::to_owned), "{content_type}");
        };
        check("text/plain; version=0.0.4; charset=utf-8", None, Ok(Format::Text));
        check("Text/Plain;", None, Ok(Format::Text));
        check(
            "application/openmetrics-text;version=\"1.0.0\" ; a=b",
            None,
            Ok(Format::OpenMetrics),
        );
        check(Format::Protobuf.content_type(), None, Ok(Format::Protobuf));
        check("", Some(Format::Text), Ok(Format::Text));
        check("text/html", Some(Format::OpenMetrics), Ok(Format::OpenMetrics));
        check(
            "",
            None,
            Err("non-compliant scrape target sending blank Content-Type and no \
                 fallback_scrape_protocol specified for target"),
        );
        check(
            "text/html; charset=utf-8",
            None,
            Err("received unsupported Content-Type \"text/html; charset=utf-8\" and no \
                 fallback_scrape_protocol specified for target"),
        );
        let malformed = |content_type: &str, reason: &str| {
            let expected = format!(
                "cannot parse Content-Type \"{content_type}\" and no fallback_scrape_protocol for target\n{reason}"
            );
            check(content_type, None, Err(&expected));
        };
        malformed("/", "mime: no media type");
        malformed("text:plain", "mime: expected slash after first token");
        malformed("text/", "mime: expected token after slash");
        malformed("text/plain/x", "mime: unexpected content after media subtype");
        malformed("text/plain; x", "mime: invalid media parameter");
        malformed("text/plain; x=1 y=2", "mime: invalid media parameter");
        malformed("text/plain; x=1; X=2", "mime: duplicate parameter name");
    }

    #[test]
    fn fallbacks_say_why() {
        let check = |content_type: &str, expected: &str| {
            let (format, reason) = Format::of_response(content_type, Some(Format::Text)).unwrap();
            assert_eq!((format, reason.unwrap().to_string()), (Format::Text, expected.to_owned()));
        };
        check(
            "",
            "non-compliant scrape target sending blank Content-Type, using fallback_scrape_protocol \"text/plain\"",
        );
        check(
            "a/b",
            "received unsupported Content-Type \"a/b\", using fallback_scrape_protocol \"text/plain\"",
        );
        check(
            "a/",
            "could not parse received Content-Type \"a/\", using fallback_scrape_protocol \"text/plain\"\n\
             mime: expected token after slash",
        );
    }

    #[test]
    fn readers_get_what_they_prefer() {
        let check = |accept: &str, expected| assert_eq!(negotiate(accept), expected, "{accept}");
        check("", Format::Text);
        check("*/*", Format::Text);
        check("application/json", Format::Text);
        check("application/openmetrics-text;version=1.0.0", Format::OpenMetrics);
        check("application/openmetrics-text;version=2.0.0", Format::Text);
        check(
            "application/openmetrics-text; version=\"1.0.0\"; q=0.5, text/plain; q=0.6",
            Format::Text,
        );
        check("text/plain;q=0.3,application/openmetrics-text;version=1.0.0;q=0.3", Format::Text);
        check("application/openmetrics-text;version=1.0.0;q=0", Format::Text);
        check("application/openmetrics-text;version=1.0.0;q=x", Format::Text);
        check(
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;\
             escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            Format::OpenMetrics,
        );
        check(
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,*/*;q=0.1",
            Format::Text,
        );
    }
}
