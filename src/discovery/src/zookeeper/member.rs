//! What members of a service write into their nodes, and the target that it makes.
//! Compat: `parseServersetMember` and `parseNerveMember` of Prometheus `discovery/zookeeper`, which read JSON
//! as Go does: names of fields in any case, `null` as nothing.

use prom_model::Labels;
use serde_json::{Map, Value};

use crate::group::{ADDRESS, host_port};

/// Who writes the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Serverset,
    Nerve,
}

impl Format {
    /// The target that a node stands for; none if it says something else.
    pub(super) fn target(self, path: &str, data: &[u8]) -> Option<Labels> {
        let member: Value = serde_json::from_slice(data).ok()?;
        let empty = Map::new();
        let member = match &member {
            Value::Null => &empty,
            other => other.as_object()?,
        };
        let mut labels = Vec::new();
        match self {
            Self::Serverset => serverset(member, &mut labels)?,
            Self::Nerve => nerve(member, &mut labels)?,
        }
        let prefix = match self {
            Self::Serverset => "__meta_serverset_",
            Self::Nerve => "__meta_nerve_",
        };
        labels.push(("path".to_owned(), path.to_owned()));
        let host = labels.iter().find(|(name, _)| name == "endpoint_host")?.1.clone();
        let port = &labels.iter().find(|(name, _)| name == "endpoint_port")?.1;
        let address = host_port(&host, port);
        let labels = labels.iter().map(|(name, value)| (format!("{prefix}{name}"), value.as_str()));
        Some(Labels::from_pairs(labels.chain([(ADDRESS.to_owned(), address.as_str())])))
    }
}

type Pairs = Vec<(String, String)>;

fn serverset(member: &Map<String, Value>, labels: &mut Pairs) -> Option<()> {
    endpoint(object(member, "ServiceEndpoint")?, "", labels)?;
    for (name, more) in object(member, "AdditionalEndpoints")?.into_iter().flatten() {
        let more = match more {
            Value::Null => None,
            other => Some(other.as_object()?),
        };
        let sanitized = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let name: String = name.chars().map(sanitized).collect();
        endpoint(more, &format!("_{name}"), labels)?;
    }
    labels.push(("status".to_owned(), text(Some(member), "status")?));
    labels.push(("shard".to_owned(), number(Some(member), "shard")?));
    Some(())
}

fn nerve(member: &Map<String, Value>, labels: &mut Pairs) -> Option<()> {
    endpoint(Some(member), "", labels)?;
    labels.push(("endpoint_name".to_owned(), text(Some(member), "name")?));
    Some(())
}

fn endpoint(from: Option<&Map<String, Value>>, suffix: &str, labels: &mut Pairs) -> Option<()> {
    labels.push((format!("endpoint_host{suffix}"), text(from, "host")?));
    labels.push((format!("endpoint_port{suffix}"), number(from, "port")?));
    Some(())
}

/// `None` if the field is something else; an absent one is nothing.
fn object<'m>(from: &'m Map<String, Value>, name: &str) -> Option<Option<&'m Map<String, Value>>> {
    match field(Some(from), name) {
        None | Some(Value::Null) => Some(None),
        Some(value) => value.as_object().map(Some),
    }
}

fn text(from: Option<&Map<String, Value>>, name: &str) -> Option<String> {
    match field(from, name) {
        None | Some(Value::Null) => Some(String::new()),
        Some(value) => value.as_str().map(str::to_owned),
    }
}

fn number(from: Option<&Map<String, Value>>, name: &str) -> Option<String> {
    match field(from, name) {
        None | Some(Value::Null) => Some("0".to_owned()),
        Some(value) => value.as_i64().map(|number| number.to_string()),
    }
}

fn field<'m>(from: Option<&'m Map<String, Value>>, name: &str) -> Option<&'m Value> {
    let mut fields = from?.iter();
    fields.find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(format: Format, data: &str, expected: Option<&[(&str, &str)]>) {
        let expected = expected.map(|labels| Labels::from_pairs(labels.iter().copied()));
        assert_eq!(format.target("/s/m1", data.as_bytes()), expected, "{data}");
    }

    #[test]
    fn members_become_targets_or_nothing() {
        check(
            Format::Serverset,
            r#"{"serviceEndpoint": {"host": "h", "port": 1}, "additionalEndpoints": {"a-b": {"HOST": "g", "Port": 2}, "c": null}, "status": "ALIVE", "shard": 3, "more": []}"#,
            Some(&[
                ("__address__", "h:1"),
                ("__meta_serverset_endpoint_host", "h"),
                ("__meta_serverset_endpoint_host_a_b", "g"),
                ("__meta_serverset_endpoint_port", "1"),
                ("__meta_serverset_endpoint_port_a_b", "2"),
                ("__meta_serverset_endpoint_port_c", "0"),
                ("__meta_serverset_path", "/s/m1"),
                ("__meta_serverset_shard", "3"),
                ("__meta_serverset_status", "ALIVE"),
            ]),
        );
        check(
            Format::Nerve,
            r#"{"host": "fd00::1", "port": 9, "name": "n"}"#,
            Some(&[
                ("__address__", "[fd00::1]:9"),
                ("__meta_nerve_endpoint_host", "fd00::1"),
                ("__meta_nerve_endpoint_name", "n"),
                ("__meta_nerve_endpoint_port", "9"),
                ("__meta_nerve_path", "/s/m1"),
            ]),
        );
        let empty = [
            ("__address__", ":0"),
            ("__meta_nerve_endpoint_port", "0"),
            ("__meta_nerve_path", "/s/m1"),
        ];
        check(Format::Nerve, "{}", Some(&empty));
        check(Format::Nerve, "null", Some(&empty));
        for bad in ["", "[]", "1", r#"{"host": 1}"#, r#"{"port": "1"}"#, r#"{"port": 1.5}"#, "\0"] {
            check(Format::Nerve, bad, None);
            check(Format::Serverset, &format!("{{\"serviceEndpoint\": {bad}}}"), None);
        }
    }
}
