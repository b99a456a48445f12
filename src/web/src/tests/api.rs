//! The API: answers and errors, byte for byte.

use http::Method;

use super::reference::{Exchange, recorded};
use crate::testing::{HOSTILE, ListedTargets, NOW_S, Site};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

async fn ask(site: &Site, exchange: &Exchange) -> Exchange {
    let headers: &[_] = if exchange.form.is_empty() { &[] } else { &[FORM] };
    let method: Method = exchange.method.parse().unwrap();
    let answer = site.ask(method, &exchange.path, headers, &exchange.form).await;
    let location = answer.header("location");
    let head = match (answer.header("content-type"), location) {
        (_, location) if !location.is_empty() => {
            format!("{} -> {location}", answer.status.as_u16())
        }
        ("", _) => format!("{} -", answer.status.as_u16()),
        (content_type, _) => format!("{} {content_type}", answer.status.as_u16()),
    };
    Exchange { head, body: answer.body.trim_end().to_owned(), ..exchange.clone() }
}

#[tokio::test]
async fn answers_are_those_of_the_reference() {
    let site = Site::with_empty_store();
    let mut differences = Vec::new();
    for expected in recorded() {
        let actual = ask(&site, &expected).await;
        if actual != expected {
            differences.push(format!("{expected}\nbut we say\n{actual}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

/// What one request answers; `{now}` in path and body is the time of the last sample.
async fn check(site: &Site, path: &str, expected: &str) {
    let fill = |text: &str| text.replace("{now}", &NOW_S.to_string());
    let answer = site.get(&fill(path)).await;
    assert_eq!(answer.body, fill(expected), "{path}");
}

#[tokio::test]
async fn stored_series_are_found() {
    let site = Site::new();
    let hostile = r#""\"><script>alert('x')</script>&{{7*7}}""#;
    let escaped = r#""\"\u003e\u003cscript\u003ealert('x')\u003c/script\u003e\u0026{{7*7}}""#;
    check(
        &site,
        "/api/v1/query?query=requests_total&time={now}",
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"__name__":"requests_total","instance":"a:1","job":"api"},"value":[{now},"80000"]}]}}"#,
    )
    .await;
    check(
        &site,
        "/api/v1/query_range?query=up%7Binstance%3D%22c:1%22%7D&start={now}&end={now}&step=60",
        &format!(
            r#"{{"status":"success","data":{{"resultType":"matrix","result":[{{"metric":{{"__name__":"up","instance":"c:1","job":{hostile}}},"values":[[{{now}},"1"]]}}]}}}}"#
        ),
    )
    .await;
    check(
        &site,
        "/api/v1/series?match%5B%5D=requests_total&match%5B%5D=%7Binstance%3D%22a:1%22%7D",
        r#"{"status":"success","data":[{"__name__":"requests_total","instance":"a:1","job":"api"},{"__name__":"up","instance":"a:1","job":"api"}]}"#,
    )
    .await;
    check(
        &site,
        "/api/v1/series?match%5B%5D=up&limit=1",
        r#"{"status":"success","data":[{"__name__":"up","instance":"a:1","job":"api"}],"warnings":["results truncated due to limit"]}"#,
    )
    .await;
    check(&site, "/api/v1/labels", r#"{"status":"success","data":["__name__","instance","job"]}"#)
        .await;
    check(
        &site,
        "/api/v1/labels?limit=2",
        r#"{"status":"success","data":["__name__","instance"],"warnings":["results truncated due to limit"]}"#,
    )
    .await;
    check(
        &site,
        "/api/v1/label/U__job/values?match%5B%5D=up&match%5B%5D=requests_total",
        &format!(r#"{{"status":"success","data":[{escaped},"api"]}}"#),
    )
    .await;
}

#[tokio::test]
async fn exemplars_are_found_by_the_selectors_of_an_expression() {
    let site = Site::new();
    let found = r#"{"status":"success","data":[{"seriesLabels":{"__name__":"requests_total","job":"api"},"exemplars":[{"labels":{"trace_id":"\"><script>alert('x')</script>&{{7*7}}"},"value":"2.5","timestamp":{now}.500}]}]}"#;
    let path = "/api/v1/query_exemplars?query=";
    let none = r#"{"status":"success","data":[]}"#;
    for (query, expected) in [
        ("requests_total", found),
        ("up%20%2B%20rate(requests_total%5B5m%5D)", found),
        ("sum(-(requests_total%7Bjob=%22api%22%7D))", found),
        ("up", none),
        ("requests_total%7Bjob=%22b%22%7D", none),
        ("requests_total&end={now}", none),
        ("1%2B1", r#"{"status":"success"}"#),
        (
            "",
            r#"{"status":"error","errorType":"bad_data","error":"unknown position: parse error: no expression found in input"}"#,
        ),
        (
            "up&start=2&end=1",
            r#"{"status":"error","errorType":"bad_data","error":"end timestamp must not be before start timestamp"}"#,
        ),
    ] {
        check(&site, &format!("{path}{query}"), expected).await;
    }
}

#[tokio::test]
async fn long_answers_come_in_pieces_and_whole() {
    let site = Site::new();
    let query = "/api/v1/query_range?query=up&start={start}&end={now}&step=1"
        .replace("{start}", &(NOW_S - 3600).to_string())
        .replace("{now}", &NOW_S.to_string());
    let answer = site.get(&query).await;
    assert!(answer.body.len() > 3 * 3600 * 10, "{}", answer.body.len());
    let parsed: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let series = parsed["data"]["result"].as_array().unwrap();
    assert_eq!(series.len(), 3);
    for one in series {
        let values = one["values"].as_array().unwrap();
        assert_eq!(values.len(), 3601);
        let times: Vec<_> = values.iter().map(|value| value[0].as_i64().unwrap()).collect();
        assert!(times.windows(2).all(|pair| pair[1] == pair[0] + 1));
    }
}

#[tokio::test]
async fn statistics_are_told_when_asked_for() {
    let site = Site::new();
    let answer = site.get("/api/v1/query?query=up&time=1700000000&stats=all").await;
    let parsed: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let stats = &parsed["data"]["stats"];
    for timing in [
        "evalTotalTime",
        "resultSortTime",
        "queryPreparationTime",
        "innerEvalTime",
        "execQueueTime",
        "execTotalTime",
    ] {
        assert!(stats["timings"][timing].is_f64() || stats["timings"][timing].is_i64(), "{timing}");
    }
    assert_eq!(stats["samples"]["totalQueryableSamples"], 3);
    assert!(stats["samples"]["peakSamples"].as_i64().unwrap() >= 3);
    assert!(!site.get("/api/v1/query?query=up").await.body.contains("stats"));
}

#[tokio::test]
async fn targets_are_listed() {
    let site = Site::new();
    let one = |scrape: &str, global: &str, health: &str, more: &str| {
        format!(
            r#"{{"discoveredLabels":{{"__address__":"{scrape}","job":"api"}},"labels":{{"instance":"{scrape}","job":"api"}},"scrapePool":"api","scrapeUrl":"http://{scrape}/metrics","globalUrl":"http://{global}/metrics",{more},"health":"{health}","scrapeInterval":"1m30s","scrapeTimeout":"10s"}}"#
        )
    };
    let escaped = r#"\"\u003e\u003cscript\u003ealert('x')\u003c/script\u003e\u0026{{7*7}}"#;
    let up = r#""lastError":"","lastScrape":"2023-11-14T22:13:20Z","lastScrapeDuration":0.0015"#;
    let down = format!(
        r#""lastError":"Get \"http://b:1/metrics\": {escaped}","lastScrape":"2023-11-14T22:13:20Z","lastScrapeDuration":0.0015"#
    );
    let (a, b) =
        (one("localhost:9090", "prom.example.org", "up", up), one("b:1", "b:1", "down", &down));
    let dropped = r#"{"discoveredLabels":{"__address__":"x:1","job":"api"},"scrapePool":"api"}"#;
    check(
        &site,
        "/api/v1/targets?scrapePool=api",
        &format!(
            r#"{{"status":"success","data":{{"activeTargets":[{a},{b}],"droppedTargets":[{dropped}],"droppedTargetCounts":{{"api":1}}}}}}"#
        ),
    )
    .await;
    check(
        &site,
        "/api/v1/targets?state=dropped&scrapePool=none",
        r#"{"status":"success","data":{"activeTargets":[],"droppedTargets":[],"droppedTargetCounts":{}}}"#,
    )
    .await;
    check(
        &site,
        "/api/v1/scrape_pools",
        &format!(r#"{{"status":"success","data":{{"scrapePools":["{escaped}","api"]}}}}"#),
    )
    .await;
    let never = site.get("/api/v1/targets?state=active").await.body;
    assert!(never.contains(
        r#""lastScrape":"0001-01-01T00:00:00Z","lastScrapeDuration":0,"health":"unknown""#
    ));
}

#[tokio::test]
async fn metadata_is_collected_and_limited() {
    let site = Site::new();
    check(
        &site,
        "/api/v1/metadata",
        r#"{"status":"success","data":{"build_info":[{"type":"gauge","unit":"","help":"Build."}],"up_total":[{"type":"counter","unit":"","help":"Another help."},{"type":"counter","unit":"","help":"Ups \u0026 \u003cdowns\u003e."}]}}"#,
    )
    .await;
    check(
        &site,
        "/api/v1/metadata?limit=1",
        r#"{"status":"success","data":{"build_info":[{"type":"gauge","unit":"","help":"Build."}]}}"#,
    )
    .await;
    check(
        &site,
        "/api/v1/metadata?metric=up_total&limit_per_metric=1",
        r#"{"status":"success","data":{"up_total":[{"type":"counter","unit":"","help":"Ups \u0026 \u003cdowns\u003e."}]}}"#,
    )
    .await;
    check(
        &site,
        "/api/v1/targets/metadata?metric=build_info&match_target=%7Binstance%3D%22b:1%22%7D",
        r#"{"status":"success","data":[{"target":{"instance":"b:1","job":"api"},"type":"gauge","help":"Build.","unit":""}]}"#,
    )
    .await;
    let labels = "%7B%22__address__%22:%22x:1%22,%22__meta_a%22:%221%22%7D";
    check(
        &site,
        &format!("/api/v1/targets/relabel_steps?scrapePool=api&labels={labels}"),
        r#"{"status":"success","data":{"steps":[{"rule":{"source_labels":["__address__"],"separator":";","regex":"(.*)","target_label":"instance","replacement":"$1","action":"replace"},"output":{"__address__":"x:1","__meta_a":"1","instance":"x:1"},"keep":true},{"rule":{"source_labels":["instance"],"separator":";","regex":"x:1","replacement":"$1","action":"drop"},"output":{},"keep":false},{"rule":{"separator":";","regex":"__meta_(.+)","replacement":"$1","action":"labelmap"},"output":{},"keep":false}]}}"#,
    )
    .await;
    for (query, expected) in [
        ("", "no scrapePool parameter provided"),
        ("scrapePool=api", "no labels parameter provided"),
        (
            "scrapePool=x&labels=%7B%7D",
            r#"error retrieving scrape config: scrape pool \"x\" not found"#,
        ),
    ] {
        let path = format!("/api/v1/targets/relabel_steps?{query}");
        let expected =
            format!(r#"{{"status":"error","errorType":"bad_data","error":"{expected}"}}"#);
        check(&site, &path, &expected).await;
    }
    let first = site.get("/api/v1/targets/metadata?limit=1").await.body;
    assert_eq!(first.matches("\"metric\":").count(), 3, "the limit is looked at between targets");
}

#[tokio::test]
async fn the_server_tells_about_itself() {
    let site = Site::new();
    check(
        &site,
        "/api/v1/status/tsdb?limit=1",
        r#"{"status":"success","data":{"headStats":{"numSeries":4,"numLabelPairs":7,"chunkCount":4,"minTime":1699996400000,"maxTime":1700000000000},"seriesCountByMetricName":[{"name":"metric\u003c0\u003e","value":10}],"labelValueCountByLabelName":[{"name":"label\u003c0\u003e","value":10}],"memoryInBytesByLabelName":[{"name":"memory\u003c0\u003e","value":10}],"seriesCountByLabelValuePair":[{"name":"pair\u003c0\u003e","value":10}]}}"#,
    )
    .await;
    check(
        &site,
        "/api/v1/status/walreplay",
        r#"{"status":"success","data":{"min":1,"max":3,"current":3}}"#,
    )
    .await;
    check(
        &site,
        "/api/v1/status/buildinfo",
        r#"{"status":"success","data":{"version":"1.2.3","revision":"","branch":"","buildUser":"","buildDate":"","goVersion":""}}"#,
    )
    .await;
    let flags = site.get("/api/v1/status/flags").await.body;
    assert!(flags.starts_with(
        r#"{"status":"success","data":{"config.file":"prometheus.yml","web.page-title":"#
    ));
    assert!(!flags.contains(HOSTILE), "struct strings are escaped for HTML");
    let config = site.get("/api/v1/status/config").await.body;
    assert!(config.starts_with(r#"{"status":"success","data":{"yaml":"global:\n"#), "{config}");
    let runtime: serde_json::Value =
        serde_json::from_str(&site.get("/api/v1/status/runtimeinfo").await.body).unwrap();
    for (name, kind) in [
        ("startTime", "string"),
        ("CWD", "string"),
        ("hostname", "string"),
        ("serverTime", "string"),
        ("reloadConfigSuccess", "bool"),
        ("lastConfigTime", "string"),
        ("corruptionCount", "number"),
        ("goroutineCount", "number"),
        ("GOMAXPROCS", "number"),
        ("GOMEMLIMIT", "number"),
        ("GOGC", "string"),
        ("GODEBUG", "string"),
        ("storageRetention", "string"),
    ] {
        let value = &runtime["data"][name];
        let is_kind = match kind {
            "string" => value.is_string(),
            "bool" => value.is_boolean(),
            _ => value.is_number(),
        };
        assert!(is_kind, "{name}: {value}");
    }
}

#[tokio::test]
async fn what_is_not_built_says_so() {
    let site = Site::new();
    for (method, path) in
        [(Method::POST, "/api/v1/read"), (Method::POST, "/api/v1/otlp/v1/metrics")]
    {
        let answer = site.ask(method, path, &[], "").await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.body.contains("is not supported by this server yet"), "{path}");
    }
}

#[tokio::test]
async fn ten_thousand_targets_are_one_answer() {
    let site = Site::with_targets(ListedTargets::many(10_000));
    let parsed: serde_json::Value =
        serde_json::from_str(&site.get("/api/v1/targets").await.body).unwrap();
    assert_eq!(parsed["data"]["activeTargets"].as_array().unwrap().len(), 10_000);
}

#[tokio::test]
async fn queries_are_listed_and_stopping_one_needs_a_switch() {
    let site = Site::new();
    let empty = r#"{"status":"success","data":[]}"#;
    check(&site, "/api/v1/status/active_queries", empty).await;
    check(&site, "/api/v1/status/slow_queries", empty).await;
    let path = "/api/v1/admin/cancel_query";
    let refused = site.post(path, "id=7").await;
    let expected = r#"{"status":"error","errorType":"unavailable","error":"admin APIs disabled"}"#;
    assert_eq!(refused.body, expected);
    let admin = Site::with_admin();
    for (form, expected) in [
        ("id=7", "no query 7 is running"),
        ("id=x", "invalid parameter \\\"id\\\": invalid digit found in string"),
        ("", "invalid parameter \\\"id\\\": cannot parse integer from empty string"),
    ] {
        let answer = admin.post(path, form).await;
        assert!(answer.body.contains(expected), "{form}: {}", answer.body);
    }
    let foreign = [FORM, ("sec-fetch-site", "cross-site"), ("origin", "http://evil.example")];
    let answer = admin.ask(Method::POST, path, &foreign, "id=7").await;
    assert_eq!(answer.status, 403);
    assert_eq!(admin.get(path).await.status, 405);
}

#[tokio::test]
async fn generations_are_listed_compared_and_restored_only_where_that_is_enabled() {
    let site = Site::new();
    let listed = site.get("/api/v1/status/config/generations").await;
    let listed: serde_json::Value = serde_json::from_str(&listed.body).unwrap();
    let data = &listed["data"];
    assert_eq!((&data["current"], &data["isFileOther"]), (&1.into(), &true.into()));
    assert_eq!(data["generations"][0]["summary"], "scrape jobs: 1 added");
    assert_eq!(data["generations"][0]["files"][0], "prometheus.yml");
    assert_eq!(data["rejections"][0]["rejectedAt"], "2023-11-14T22:13:20Z");
    assert!(data["fault"].as_str().unwrap().starts_with("generation 1 of the configuration"));

    let same = site.get("/api/v1/status/config/diff").await;
    assert!(same.body.contains(r#""from":1,"to":1,"addedLines":0"#), "{}", same.body);
    for (path, status, error) in [
        ("/api/v1/status/config/diff?from=x", 400, "a generation has a number"),
        ("/api/v1/status/config/diff?from=7", 404, "there is no generation 7"),
    ] {
        let answer = site.get(path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert!(answer.body.contains(error), "{path}: {}", answer.body);
    }
    for path in ["/api/v1/config/rollback?generation=1", "/config/rollback"] {
        let answer = site.post(path, "generation=1").await;
        assert_eq!(answer.status.as_u16(), 403, "{path}");
        let other_site = [("sec-fetch-site", "cross-site"), ("origin", "http://evil.example.org")];
        let answer = site.ask(http::Method::POST, path, &other_site, "").await;
        assert_eq!(answer.status.as_u16(), 403, "{path}");
    }
}

#[tokio::test]
async fn a_query_is_explained() {
    let site = Site::new();
    let path = format!("/api/v1/explain?query=sum(up)&time={NOW_S}");
    let parsed: serde_json::Value = serde_json::from_str(&site.get(&path).await.body).unwrap();
    let data = &parsed["data"];
    assert_eq!(data["estimate"]["series"], 3);
    let sum = &data["operators"][0];
    assert_eq!((&sum["operator"], &sum["text"]), (&"aggregation".into(), &"sum(up)".into()));
    assert_eq!(sum["operands"][0]["series"], 3);
    assert_eq!(data["stats"]["samples"]["totalQueryableSamples"], 3);
    let range = format!("/api/v1/explain?query=up&start={}&end={NOW_S}&step=60", NOW_S - 600);
    let parsed: serde_json::Value = serde_json::from_str(&site.get(&range).await.body).unwrap();
    assert_eq!(parsed["data"]["operators"][0]["points"], 33);
    assert_eq!(site.get("/api/v1/explain?query=up%7B").await.status, 400);
}
