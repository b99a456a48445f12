//! Remote write as clients see it: headers, limits, status codes, texts.

use http::{Method, StatusCode};

use crate::testing::Site;

const SNAPPY_EMPTY: &str = "\0";
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const SNAPPY: (&str, &str) = ("content-encoding", "snappy");

async fn check(site: &Site, headers: &[(&str, &str)], body: &str, status: u16, text: &str) {
    let answer = site.ask(Method::POST, "/api/v1/write", headers, body).await;
    let told = (answer.status.as_u16(), answer.body.trim_end());
    assert_eq!(told, (status, text), "{headers:?} {body:?}");
    if !text.is_empty() {
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    }
}

#[tokio::test]
async fn requests_are_taken_or_refused_by_name() {
    let site = Site::with_remote_write();
    check(&site, &[PROTOBUF, SNAPPY], SNAPPY_EMPTY, 204, "").await;
    check(&site, &[], SNAPPY_EMPTY, 204, "").await;
    check(&site, &[PROTOBUF, SNAPPY], "", 400, "snappy: corrupt input").await;
    check(
        &site,
        &[PROTOBUF, ("content-encoding", "gzip")],
        SNAPPY_EMPTY,
        415,
        "gzip encoding (compression) is not accepted by this server; only snappy is acceptable",
    )
    .await;
    check(
        &site,
        &[("content-type", "application/json"), SNAPPY],
        SNAPPY_EMPTY,
        415,
        "expected application/x-protobuf as the first (media) part, got application/json content-type",
    )
    .await;
    check(
        &site,
        &[("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request"), SNAPPY],
        SNAPPY_EMPTY,
        415,
        "io.prometheus.write.v2.Request protobuf message is not accepted by this server; only accepts prometheus.WriteRequest",
    )
    .await;
    let large = "\0".repeat((32 << 20) + 1);
    check(&site, &[PROTOBUF, SNAPPY], &large, 413, "request body exceeds limit 33554432").await;
    let answer = site.get("/api/v1/write").await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn the_receiver_must_be_enabled() {
    let text = "remote write receiver needs to be enabled with --web.enable-remote-write-receiver";
    check(&Site::new(), &[PROTOBUF, SNAPPY], SNAPPY_EMPTY, 404, text).await;
}

#[tokio::test]
async fn browsers_cannot_write_from_elsewhere() {
    let site = Site::with_remote_write();
    let elsewhere = [("origin", "http://evil.example"), ("sec-fetch-site", "cross-site")];
    let answer = site.ask(Method::POST, "/api/v1/write", &elsewhere, SNAPPY_EMPTY).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
}
