//! Which message a request holds, by its content type.

use std::fmt;

const MEDIA_TYPE: &str = "application/x-protobuf";

/// A message of the remote write protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    V1,
    V2,
}

/// A content type that names no message.
/// Compat: texts of `ParseProtoMsg` in prometheus/client_golang `exp/api/remote`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    #[error("expected {MEDIA_TYPE} as the first (media) part, got {0} content-type")]
    MediaType(String),
    #[error(
        "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be key-values, got {parameter} in {content_type} content-type"
    )]
    Parameter { parameter: String, content_type: String },
    #[error(
        "got {content_type} content type; unknown remote write protobuf message {name}, supported: {}, {}",
        Message::V1,
        Message::V2
    )]
    Unknown { content_type: String, name: String },
}

impl Message {
    /// Reads a content type; none at all is taken for version 1.
    ///
    /// # Errors
    /// See [`MessageError`].
    pub fn of_content_type(text: &str) -> Result<Self, MessageError> {
        let content_type = text.trim();
        if content_type.is_empty() {
            return Ok(Self::V1);
        }
        let mut parts = content_type.split(';');
        if parts.next() != Some(MEDIA_TYPE) {
            return Err(MessageError::MediaType(content_type.to_owned()));
        }
        for parameter in parts {
            let Some((name, value)) = parameter.split_once('=').filter(|(_, v)| !v.contains('='))
            else {
                let parameter = parameter.to_owned();
                let content_type = content_type.to_owned();
                return Err(MessageError::Parameter { parameter, content_type });
            };
            // Blanks after the semicolon are legal, though the reference overlooks the parameter then.
            if name.trim() != "proto" {
                continue;
            }
            let known = [Self::V1, Self::V2].into_iter().find(|message| message.name() == value);
            return known.ok_or_else(|| MessageError::Unknown {
                content_type: content_type.to_owned(),
                name: value.to_owned(),
            });
        }
        Ok(Self::V1)
    }

    /// The full name of the protobuf message.
    pub fn name(self) -> &'static str {
        match self {
            Self::V1 => "prometheus.WriteRequest",
            Self::V2 => "io.prometheus.write.v2.Request",
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content_type: &str, expected: Result<Message, &str>) {
        let message = Message::of_content_type(content_type).map_err(|err| err.to_string());
        assert_eq!(message.as_ref().map_err(String::as_str), expected.as_ref().map_err(|e| *e));
    }

    #[test]
    fn content_types_name_messages() {
        check("", Ok(Message::V1));
        check("application/x-protobuf", Ok(Message::V1));
        check("application/x-protobuf;charset=x", Ok(Message::V1));
        check("application/x-protobuf;proto=prometheus.WriteRequest", Ok(Message::V1));
        check("application/x-protobuf; proto=io.prometheus.write.v2.Request", Ok(Message::V2));
        check(
            "application/json",
            Err(
                "expected application/x-protobuf as the first (media) part, got application/json content-type",
            ),
        );
        check(
            "application/x-protobuf;charset",
            Err(
                "as per https://www.rfc-editor.org/rfc/rfc9110#parameter expected parameters to be key-values, got charset in application/x-protobuf;charset content-type",
            ),
        );
        check(
            "application/x-protobuf;proto=foo.Bar",
            Err(
                "got application/x-protobuf;proto=foo.Bar content type; unknown remote write protobuf message foo.Bar, supported: prometheus.WriteRequest, io.prometheus.write.v2.Request",
            ),
        );
    }
}
