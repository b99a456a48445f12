//! The client against targets that behave, and against those that do not. The expected texts were shown by
//! Prometheus 3.5.3 for the same answers.

use std::{fs, io::Write, time::Duration};

use flate2::{Compression, write::GzEncoder};
use prom_config::{HttpAuth, HttpClientConfig, HttpHeader, Secret, Source};
use prom_testkit::{Answer, FakeTarget};
use tower::ServiceExt;

use crate::{BodyLimit, BufferPool, Client, HttpError, Request, inflate_gzip};

mod http2;
mod sizes;
mod tls;
mod ways;

const PATIENCE: Duration = Duration::from_secs(20);
const HASTE: Duration = Duration::from_millis(50);
const LIMIT: BodyLimit = BodyLimit { size_bytes: 1_000 };

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

fn plain() -> HttpClientConfig {
    HttpClientConfig::default()
}

fn client(cfg: HttpClientConfig) -> Client {
    Client::new(cfg, "Prometheus/3.5.0")
}

/// The status and the body, or the error's text.
async fn get(client: &Client, url: &str, timeout: Duration) -> Result<String, String> {
    let get = async {
        let response = client.send(&Request::get(url, timeout)?).await?;
        let status = response.status_text();
        let is_gzip = response.header("content-encoding") == Some("gzip");
        let pool = BufferPool::new(1 << 20);
        let mut body = pool.lend(0);
        response.read_body(&mut body, LIMIT).await?;
        if is_gzip {
            let mut inflated = pool.lend(0);
            inflate_gzip(body.as_slice(), &mut inflated, LIMIT)?;
            body = inflated;
        }
        Ok::<_, HttpError>(format!("{status}: {}", String::from_utf8_lossy(body.as_slice())))
    };
    get.await.map_err(|error| error.to_string())
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn gzipped(packed: &[u8]) -> Answer {
    Answer::body("text/plain", &["Content-Encoding: gzip"], packed)
}

fn close(bytes: &[u8]) -> Answer {
    Answer::BytesThenClose(bytes.to_vec())
}

/// Sends a request for each answer and compares; `URL` stands for its address.
async fn check(cases: Vec<(Answer, &str)>) {
    let target = FakeTarget::start().await;
    target.answer("/good", Answer::text("good"));
    let client = client(plain());
    for (index, (answer, expected)) in cases.into_iter().enumerate() {
        let path = format!("/{index}");
        target.answer(&path, answer.clone());
        let url = target.url(&path);
        let got = get(&client, &url, PATIENCE).await;
        let expected = expected.replace("URL", &url);
        assert_eq!(got.unwrap_or_else(|error| error), expected, "{index}: {answer:?}");
    }
}

#[tokio::test]
async fn proper_answers_are_read() {
    check(vec![
        (Answer::text("a 1\n"), "200 OK: a 1\n"),
        (Answer::text(""), "200 OK: "),
        (close(format!("{CHUNKED}2\r\na \r\n2\r\n1\n\r\n0\r\n\r\n").as_bytes()), "200 OK: a 1\n"),
        (close(b"HTTP/1.0 200 OK\r\n\r\na 1\n"), "200 OK: a 1\n"),
        (gzipped(&gzip(b"a 1\n")), "200 OK: a 1\n"),
        (gzipped(&[gzip(b"a 1\n"), gzip(b"b 2\n")].concat()), "200 OK: a 1\nb 2\n"),
        (Answer::status("500 Internal Server Error"), "500 Internal Server Error: "),
        (Answer::status("500 Oh no"), "500 Oh no: "),
        (Answer::status("599"), "599: "),
        (Answer::redirect("302 Found", "/good"), "200 OK: good"),
        (Answer::redirect("308 Permanent Redirect", "good"), "200 OK: good"),
        (Answer::status("302 Found"), "302 Found: "),
    ])
    .await;
}

#[tokio::test]
async fn a_body_without_end_comes_in_pieces_until_it_is_silent() {
    let target = FakeTarget::start().await;
    let chunked = |rest: &str| format!("{CHUNKED}2\r\na \r\n2\r\n1\n\r\n{rest}").into_bytes();
    let broken = "Err(Body(\"unexpected EOF\"))";
    for (path, answer, idle, expected) in [
        ("/end", Answer::Bytes(chunked("0\r\n\r\n")), PATIENCE, "Ok(None)"),
        ("/hang", Answer::BytesThenHang(chunked("")), Duration::from_secs(2), "Err(Deadline)"),
        ("/break", Answer::BytesThenClose(chunked("")), PATIENCE, broken),
    ] {
        target.answer(path, answer);
        let request = Request::get(&target.url(path), PATIENCE).unwrap();
        let mut pieces = client(plain()).send(&request).await.unwrap().into_pieces(idle);
        let mut text = Vec::new();
        while text.len() < 4 {
            text.extend_from_slice(&pieces.next().await.unwrap().unwrap());
        }
        assert_eq!(text, b"a 1\n");
        assert_eq!(format!("{:?}", pieces.next().await), expected, "{path}");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_named() {
    check(vec![
        (close(b""), "Get \"URL\": EOF"),
        (
            close(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"),
            "Get \"URL\": net/http: HTTP/1.x transport connection broken: malformed HTTP status code \"Debian-2\"",
        ),
        (
            close(b"\0\x01\x02\x07\n"),
            "Get \"URL\": net/http: HTTP/1.x transport connection broken: malformed HTTP response \"\\x00\\x01\\x02\\a\"",
        ),
        (
            close(b"HTTP/1.1 abc OK\r\n\r\n"),
            "Get \"URL\": net/http: HTTP/1.x transport connection broken: malformed HTTP status code \"abc\"",
        ),
        (
            close(b"HTTP/1.1 200 OK\r\nfoo: bar\r\n"),
            "Get \"URL\": net/http: HTTP/1.x transport connection broken: unexpected EOF",
        ),
        (
            close(b"HTTP/1.1 200 OK\r\nfoo bar\r\n\r\n"),
            "Get \"URL\": net/http: HTTP/1.x transport connection broken: malformed MIME header",
        ),
        (
            Answer::BytesThenForever(b"HTTP/1.1 200 OK\r\n".to_vec(), vec![b'x'; 9_000]),
            "Get \"URL\": net/http: HTTP/1.x transport connection broken: net/http: server response headers exceeded 65536 bytes; aborted",
        ),
    ])
    .await;
}

#[tokio::test]
async fn broken_bodies_are_named() {
    let mut torn = gzip(&[b'x'; 900]);
    torn.truncate(torn.len() - 12);
    let mut damaged = gzip(&[b'x'; 900]);
    let checksum_at = damaged.len() - 6;
    damaged[checksum_at] ^= 1;
    check(vec![
        (close(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na 1\n"), "unexpected EOF"),
        (close(format!("{CHUNKED}4\r\na 1\n\r\n").as_bytes()), "unexpected EOF"),
        (close(format!("{CHUNKED}zz\r\na 1\n").as_bytes()), "invalid byte in chunk length"),
        (Answer::text(&"x".repeat(1_000)), "body size limit exceeded"),
        (
            Answer::BytesThenForever(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 100]),
            "body size limit exceeded",
        ),
        (gzipped(&gzip(&[b'x'; 1_000])), "body size limit exceeded"),
        (gzipped(&gzip(&[b'x'; 100_000])), "body size limit exceeded"),
        (gzipped(b"no gzip at all, whatever they say"), "gzip: invalid header"),
        (gzipped(b""), "EOF"),
        (gzipped(&torn), "unexpected EOF"),
        (gzipped(&damaged), "gzip: invalid checksum"),
    ])
    .await;
}

#[tokio::test]
async fn the_deadline_holds_everywhere() {
    let target = FakeTarget::start().await;
    let client = client(plain());
    target.answer("/head", Answer::BytesThenHang(Vec::new()));
    let body = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na 1\n".to_vec();
    target.answer("/body", Answer::BytesThenHang(body));
    target.answer("/redirect", Answer::redirect("302 Found", "/head"));
    let deadline = |path: &str| format!("Get \"{}\": context deadline exceeded", target.url(path));
    for (path, expected) in [
        ("/head", deadline("/head")),
        ("/redirect", deadline("/head")),
        ("/body", "context deadline exceeded".to_owned()),
    ] {
        let got = get(&client, &target.url(path), HASTE).await;
        assert_eq!(got, Err(expected));
    }
}

#[tokio::test]
async fn nobody_there_is_told_as_by_go() {
    let client = client(plain());
    let gone = FakeTarget::start().await;
    let url = gone.url("/metrics");
    let address = gone.address();
    gone.stop().await;
    let refused = format!("Get \"{url}\": dial tcp {address}: connect: connection refused");
    assert_eq!(get(&client, &url, PATIENCE).await, Err(refused));
    let url = "http://nosuch.invalid:80/metrics";
    let unknown = get(&client, url, PATIENCE).await.unwrap_err();
    assert!(
        unknown.starts_with(&format!("Get \"{url}\": dial tcp: lookup nosuch.invalid: ")),
        "{unknown}"
    );
    for (url, expected) in [("ftp://localhost/metrics", "unsupported protocol scheme \"ftp\"")] {
        assert_eq!(get(&client, url, PATIENCE).await, Err(format!("Get \"{url}\": {expected}")));
    }
}

#[tokio::test]
async fn a_reset_is_told_with_both_addresses() {
    let target = FakeTarget::start().await;
    target.answer("/", Answer::Reset);
    let error = get(&client(plain()), &target.url("/"), PATIENCE).await.unwrap_err();
    let reset = "read: connection reset by peer";
    assert!(error.contains(&format!("->{}: {reset}", target.address())), "{error}");
}

#[tokio::test]
async fn connections_are_kept_while_they_work() {
    let target = FakeTarget::start().await;
    target.answer("/good", Answer::text("a 1\n"));
    target.answer("/bad", Answer::status("503 Service Unavailable"));
    let close = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_vec();
    target.answer("/close", Answer::Bytes(close));
    target.answer("/large", Answer::text(&"x".repeat(2_000)));
    let client = client(plain());
    for (path, expected_count) in [
        ("/good", 1),
        ("/good", 1),
        ("/bad", 1),
        ("/good", 1),
        ("/close", 1),
        ("/good", 2),
        // A body that is too large costs the connection.
        ("/large", 2),
        ("/good", 3),
        ("/good", 3),
    ] {
        // Errors are of no interest here.
        drop(get(&client, &target.url(path), PATIENCE).await);
        assert_eq!(target.connection_count(), expected_count, "{path}");
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_replaced() {
    let target = FakeTarget::start().await;
    // Closes right after the answer, without saying so.
    let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\na 1\n".to_vec();
    target.answer("/", Answer::BytesThenClose(bytes));
    let client = client(plain());
    for _ in 0..20 {
        assert_eq!(get(&client, &target.url("/"), PATIENCE).await.unwrap(), "200 OK: a 1\n");
    }
}

#[tokio::test]
async fn redirects_end_and_can_be_refused() {
    let target = FakeTarget::start().await;
    target.answer("/loop", Answer::redirect("302 Found", "/loop?x=1"));
    let looped = get(&client(plain()), &target.url("/loop"), PATIENCE).await;
    let url = target.url("/loop?x=1");
    assert_eq!(looped, Err(format!("Get \"{url}\": stopped after 10 redirects")));
    assert_eq!(target.requests().len(), 11);
    let stay = client(HttpClientConfig { follow_redirects: false, ..plain() });
    let got = get(&stay, &target.url("/loop"), PATIENCE).await;
    assert_eq!(got.unwrap(), "302 Found: ");
}

#[tokio::test]
async fn credentials_stay_with_their_host() {
    let target = FakeTarget::start().await;
    let other = target.address().replace("127.0.0.1", "localhost");
    target.answer("/a", Answer::redirect("307 Temporary Redirect", "/b"));
    target.answer("/b", Answer::redirect("302 Found", &format!("http://{other}/c")));
    // Back at the first host the credentials stay dropped.
    target.answer("/c", Answer::redirect("302 Found", &target.url("/d")));
    target.answer("/d", Answer::text(""));
    let directory = tempfile::tempdir().unwrap();
    let password_file = directory.path().join("password");
    fs::write(&password_file, "pass one\n").unwrap();
    let header = |name: &str, secret: &str| HttpHeader {
        name: name.to_owned(),
        values: Vec::new(),
        secrets: vec![Secret::new(secret)],
        files: Vec::new(),
    };
    let client = client(HttpClientConfig {
        auth: Some(HttpAuth::Basic {
            username: Source::Inline("user".to_owned()),
            password: Source::File(password_file.clone()),
        }),
        http_headers: vec![header("Cookie", "biscuit"), header("X-Scope", "tenant")],
        ..plain()
    });
    get(&client, &target.url("/a"), PATIENCE).await.unwrap();
    let has = |head: &str, line: &str| head.to_lowercase().contains(&line.to_lowercase());
    for (head, is_trusted) in target.requests().iter().zip([true, true, false, false]) {
        let basic = "authorization: Basic dXNlcjpwYXNzIG9uZQ==";
        assert_eq!(has(head, basic), is_trusted, "{head}");
        assert_eq!(has(head, "cookie: biscuit"), is_trusted, "{head}");
        assert!(
            has(head, "x-scope: tenant") && has(head, "user-agent: Prometheus/3.5.0"),
            "{head}"
        );
    }
    // The file is read again for each request.
    fs::write(&password_file, "two").unwrap();
    get(&client, &target.url("/d"), PATIENCE).await.unwrap();
    let last = target.requests().pop().unwrap();
    assert!(has(&last, "authorization: Basic dXNlcjp0d28="), "{last}");
    fs::remove_file(&password_file).unwrap();
    let missing = get(&client, &target.url("/d"), PATIENCE).await.unwrap_err();
    let file = password_file.display();
    let expected = format!(
        "Get \"{}\": unable to read basic auth password: unable to read file {file}: open {file}: no such file or directory",
        target.url("/d")
    );
    assert_eq!(missing, expected);
}

#[tokio::test]
async fn it_serves_as_a_tower_service() {
    let target = FakeTarget::start().await;
    target.answer("/", Answer::text(""));
    let request = Request::get(&target.url("/"), PATIENCE)
        .and_then(|request| request.with_header("accept", "text/plain"))
        .unwrap();
    let response = client(plain()).oneshot(request).await.unwrap();
    assert_eq!(response.status_code(), 200);
    assert!(target.requests()[0].to_lowercase().contains("accept: text/plain"));
}

#[test]
fn buffers_stay_within_their_budget() {
    let pool = BufferPool::new(100_000);
    let limit = BodyLimit { size_bytes: u64::MAX };
    let mut first = pool.lend(0);
    first.extend(&[1; 60_000], limit).unwrap();
    let mut second = pool.lend(0);
    let full = second.extend(&[2; 60_000], limit).unwrap_err();
    assert_eq!(full.to_string(), "no memory left for bodies in flight (limit: 100000 bytes)");
    drop(first);
    second.extend(&[2; 60_000], limit).unwrap();
    assert_eq!(second.as_slice(), [2; 60_000]);
    drop(second);
    // What came back is lent again, empty.
    let third = pool.lend(50_000);
    assert!(third.is_empty());
}

#[test]
fn a_bomb_ends_at_the_limit_without_the_memory() {
    let bomb = gzip(&vec![0; 50 << 20]);
    let pool = BufferPool::new(1 << 20);
    let mut inflated = pool.lend(0);
    let limit = BodyLimit { size_bytes: 100_000 };
    let error = inflate_gzip(&bomb, &mut inflated, limit).unwrap_err();
    assert!(error.is_body_too_large());
    assert!(inflated.len() < 1 << 20);
}
