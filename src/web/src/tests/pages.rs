//! Every page: no script, nothing of others unescaped, balanced markup.

use http::{Method, StatusCode};
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
        "/queries".to_owned(),
        "/explain?expr=sum(up)&range=1".to_owned(),
        format!("/explain?expr={hostile}"),
        format!("/targets?search={hostile}&pool={hostile}&health={hostile}&page=999999999999"),
        "/lifecycle".to_owned(),
        "/config".to_owned(),
        "/config/diff".to_owned(),
        "/config/diff?from=1&to=9".to_owned(),
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

#[tokio::test]
async fn a_graph_has_lines_a_legend_and_its_data() {
    let site = Site::new();
    let page = site
        .get(&format!("/query?g0.expr=up&g0.tab=0&g0.end_input={NOW_S}&g0.step_input=60"))
        .await
        .body;
    assert_eq!(page.matches("<path class=\"c").count(), 3 + 3, "lines and swatches");
    assert!(page.contains("3 series, "), "the statistics");
    assert!(page.contains("All series: <code class=\"series\"><b>up</b></code>"), "what is common");
    assert!(page.contains("<summary>Data as a table</summary>"));
    assert!(page.contains("<th scope=\"row\">2023-11-14 22:13:20</th>"), "the last row");
    assert!(
        page.contains("value=\"2023-11-14 22:13:20\" placeholder=\"now\""),
        "the end of an old link"
    );
    assert!(page.contains("<option value=\"1y\"></option>"), "completion of ranges");
}

#[tokio::test]
async fn mistakes_are_shown_where_they_are() {
    let site = Site::new();
    let page = site.get("/query?g0.expr=sum(up))").await.body;
    assert!(page.contains("<strong>Bad query</strong> 1:9: parse error:"), "{page}");
    assert!(page.contains("<pre>sum(up))\n        ^</pre>"), "{page}");
    let page = site.get("/query?g0.expr=nothing_here").await.body;
    assert!(page.contains("Empty result"), "{page}");
}

#[tokio::test]
async fn several_panels_keep_what_is_typed() {
    let site = Site::new();
    let page = site.get("/query?g0.expr=a&g1.expr=b%0Ac&g1.tab=graph&g1.range_input=2h").await.body;
    assert!(page.contains("name=\"g0.expr\" value=\"a\""));
    assert!(page.contains("name=\"g1.expr\" rows=\"2\""), "two lines need an area");
    assert!(page.contains("\nb\nc</textarea>"));
    assert!(page.contains("name=\"g1.range_input\" value=\"2h\""));
    assert!(page.contains("href=\"/query?g0.expr=a&#38;g0.tab=table\">Remove panel"), "{page}");
}

#[tokio::test]
async fn ten_thousand_targets_come_in_pages() {
    let site = Site::with_targets(ListedTargets::many(10_000));
    for (path, count, pages, rows) in [
        ("/targets", 10_000, 40, 250),
        ("/targets?page=40", 10_000, 40, 250),
        ("/targets?page=9999", 10_000, 40, 250),
        ("/targets?pool=pool-3", 1_000, 4, 250),
        ("/targets?health=down&pool=pool-0", 143, 1, 143),
        ("/targets?search=HOST-0123", 10, 1, 10),
        ("/targets?search=instance%3Dhost-00007:9100", 1, 1, 1),
        ("/targets?search=nothing", 0, 1, 0),
    ] {
        let page = site.get(path).await.body;
        let pages = if pages > 1 { format!(" of {pages}</h2>") } else { "</h2>".to_owned() };
        let word = if count == 1 { "target" } else { "targets" };
        assert!(page.contains(&format!("<h2>{count} {word}")) && page.contains(&pages), "{path}");
        assert_eq!(page.matches("<tr><td><a href=\"http://").count(), rows, "{path}");
        assert!(page.contains("8571 of 10000 up"), "{path}");
        assert!(page.len() < 200_000, "{path}: {}", page.len());
    }
    let page = site.get("/targets?health=up&page=2").await.body;
    assert!(page.contains("href=\"/targets?health=up&#38;page=3\" rel=\"next\""));
    assert!(page.contains("href=\"/targets?health=up&#38;page=1\" rel=\"prev\""));
}

#[tokio::test]
async fn people_are_told_in_pages_what_clients_are_told_in_words() {
    let wants_html = [("accept", "text/html,application/xhtml+xml")];
    let starting = Site::with(WebOptions::default(), State::Bound);
    let ready = Site::new();
    for (site, path, status, text) in [
        (&starting, "/query", StatusCode::SERVICE_UNAVAILABLE, "The server is not ready: Bound"),
        (&ready, "/nothing_here", StatusCode::NOT_FOUND, "There is no such page"),
        (&ready, "/alerts", StatusCode::NOT_FOUND, "This page is not built yet"),
    ] {
        let answer = site.ask(Method::GET, path, &wants_html, "").await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.body.contains(text), "{path}");
        check_markup(&answer.body, path);
    }
    assert_eq!(ready.get("/nothing_here").await.body, "404 page not found\n");
}

#[tokio::test]
async fn the_lifecycle_page_marks_where_the_server_is() {
    for state in [State::Bound, State::Ready, State::Reloading, State::Degraded, State::Stopping] {
        let page = Site::with(WebOptions::default(), state).get("/lifecycle").await.body;
        let marked = page.split("class=\"node current ").nth(1).unwrap();
        let name = marked.split("</text>").next().unwrap();
        assert!(name.ends_with(&format!(">{state}")), "{state}");
        assert!(page.contains(&format!("<h2>Ways out of {state}</h2>")));
    }
}

#[tokio::test]
async fn completion_offers_the_metrics_of_now() {
    let page = Site::new().get("/query").await.body;
    assert!(page.contains("<option value=\"requests_total\"></option>"));
}
