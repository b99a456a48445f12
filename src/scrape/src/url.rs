//! URLs as Go prints them, so that targets have the same address, and the same identity, as in Prometheus.
//! Compat: Go `net/url`. Parsing is the HTTP client's matter.

use std::collections::BTreeMap;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Prints `scheme://host/path?query`. Values of one parameter keep their order; parameters are sorted.
pub(crate) fn format_url(
    scheme: &str,
    host: &str,
    path: &str,
    params: &BTreeMap<String, Vec<String>>,
) -> String {
    let mut url = format!("{scheme}://");
    push_escaped(&mut url, host, |byte| {
        is_unreserved(byte) || b"!$&'()*+,;=:[]<>\"@".contains(&byte)
    });
    if !path.is_empty() && !path.starts_with('/') {
        url.push('/');
    }
    push_escaped(&mut url, path, |byte| is_unreserved(byte) || b"$&+,/:;=@".contains(&byte));
    let mut separator = '?';
    for (name, values) in params {
        for value in values {
            url.push(separator);
            separator = '&';
            push_query(&mut url, name);
            url.push('=');
            push_query(&mut url, value);
        }
    }
    url
}

fn push_query(url: &mut String, text: &str) {
    for (index, word) in text.split(' ').enumerate() {
        if index > 0 {
            url.push('+');
        }
        push_escaped(url, word, is_unreserved);
    }
}

fn push_escaped(url: &mut String, text: &str, is_plain: impl Fn(u8) -> bool) {
    for byte in text.bytes() {
        if is_plain(byte) {
            url.push(char::from(byte));
        } else {
            url.push('%');
            url.push(char::from(HEX[usize::from(byte >> 4)]));
            url.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_printed_as_by_go() {
        let check = |host: &str, path: &str, params: &[(&str, &[&str])], expected: &str| {
            let values = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
            let params = params.iter().map(|(name, all)| ((*name).to_owned(), values(all)));
            assert_eq!(format_url("http", host, path, &params.collect()), expected);
        };
        check("localhost:9090", "/metrics", &[], "http://localhost:9090/metrics");
        check("[::1]:1", "metrics", &[], "http://[::1]:1/metrics");
        check("h", "", &[], "http://h");
        // Seen in the scrape URL of a real server.
        check(
            "127.0.0.1:7801",
            "/a b?c",
            &[("b", &["2 x", "&y"]), ("a", &["\u{e4}"])],
            "http://127.0.0.1:7801/a%20b%3Fc?a=%C3%A4&b=2+x&b=%26y",
        );
        check("h", "/a;b,c:d@e=f+g$h&i!", &[], "http://h/a;b,c:d@e=f+g$h&i%21");
        check("h", "/", &[("m[]", &["{a=\"b\"}"])], "http://h/?m%5B%5D=%7Ba%3D%22b%22%7D");
    }
}
