//! Every page: no script, nothing of others unescaped, balanced markup.

use prom_lifecycle::State;

use crate::{
    WebOptions,
    testing::{HOSTILE, ListedTargets, NOW_S, Site},
};

/// All pages, in the states that show most.
fn addresses() -> Vec<String> {
    let at = format!("{NOW_S}");
    let hostile: String = url::form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect();
    vec![
        "/query".to_owned(),
        format!("/query?g0.expr=up&g0.tab=table&g0.moment_input={at}"),
        format!("/query?g0.expr=up&g0.tab=graph&g0.end_input={at}"),
        format!("/query?g0.expr=up%5B5m%5D&g0.tab=table&g0.moment_input={at}"),
        format!("/query?g0.expr=%22{hostile}%22&g0.tab=table"),
        format!(
            "/query?g0.expr=up%7B{hostile}&g0.tab=graph&g1.expr=up%0A%2Bup&g1.tab=graph&g2.expr=up)"
        ),
        "/targets".to_owned(),
        format!("/targets?search={hostile}&pool={hostile}&health={hostile}&page=999999999999"),
        "/lifecycle".to_owned(),
        "/config".to_owned(),
        "/flags".to_owned(),
        format!("/flags?search={hostile}"),
        "/status".to_owned(),
        "/tsdb-status".to_owned(),
        "/alerts".to_owned(),
    ]
}

/// Elements that have no end tag in HTML.
const VOID: [&str; 5] = ["meta", "link", "input", "br", "wbr"];

/// Reads tags and attributes; panics where a browser would have to guess.
fn check_markup(html: &str, address: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        let end =
            start + rest[start..].find('>').unwrap_or_else(|| panic!("{address}: no end of a tag"));
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if tag.starts_with('!') {
            continue;
        }
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{address}: {tag}");
            continue;
        }
        let name = tag.split([' ', '/']).next().unwrap();
        assert!(
            !matches!(name, "script" | "style" | "iframe" | "object" | "base"),
            "{address}: {tag}"
        );
        let attributes = tag.split('"').step_by(2).flat_map(str::split_whitespace).skip(1);
        for attribute in attributes {
            assert!(!attribute.starts_with("on"), "{address}: {tag}");
            assert!(!attribute.starts_with("style="), "{address}: {tag}");
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{address}: {tag}");
        assert!(!tag.to_lowercase().contains("javascript:"), "{address}: {tag}");
        if !tag.ends_with('/') && !VOID.contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{address}: {open:?} not closed");
}

#[tokio::test]
async fn pages_are_sound_and_hold_no_script() {
    let site = Site::new();
    for address in addresses() {
        let answer = site.get(&address).await;
        assert!(matches!(answer.status.as_u16(), 200 | 404), "{address}: {}", answer.status);
        assert_eq!(answer.header("content-type"), "text/html; charset=utf-8", "{address}");
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'self';"), "{address}");
        assert!(!policy.contains("script") && !policy.contains("unsafe"), "{address}");
        check_markup(&answer.body, &address);
    }
}
