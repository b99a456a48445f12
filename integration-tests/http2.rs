//! A target that speaks HTTP/2 behind TLS is scraped over one connection, and over HTTP/1.1 where the
//! configuration wants that.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use prom_testkit::tls_of;
use tokio::{net::TcpListener, runtime::Runtime};

use crate::harness::{ServerBuilder, eventually};

/// How large the answers are: several windows of HTTP/2.
const SERIES_COUNT: usize = 20_000;

#[expect(clippy::disallowed_methods, reason = "a server of a test needs no supervisor")]
#[test]
fn a_target_is_scraped_in_the_version_that_the_configuration_wants() {
    let runtime = Runtime::new().unwrap();
    let (acceptor, authority) = tls_of(&["localhost"], &["h2", "http/1.1"]);
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = format!("localhost:{}", listener.local_addr().unwrap().port());
    let connection_count = Arc::new(AtomicU64::new(0));
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, connection_count) = (acceptor.clone(), Arc::clone(&connection_count));
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let index = connection_count.fetch_add(1, Ordering::Relaxed);
                let service = service_fn(move |request| async move { metrics(&request, index) });
                let builder = auto::Builder::new(TokioExecutor::new());
                drop(builder.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority).unwrap();
    let job = |name: &str, keys: &str| {
        format!(
            "- {{job_name: {name}, scheme: https, tls_config: {{ca_file: '{}'}}, {keys} static_configs: [{{targets: ['{address}']}}]}}\n",
            ca.display()
        )
    };
    let server = ServerBuilder::new(&format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\nscrape_configs:\n{}{}",
        job("new", ""),
        job("old", "enable_http2: false,")
    ))
    .start();
    for (job, version) in [("new", "HTTP/2.0"), ("old", "HTTP/1.1")] {
        // One connection that lasts: none but the first index, over several scrapes.
        let lasting = format!(
            "count_over_time(asked{{job=\"{job}\",version=\"{version}\"}}[1h]) >= 5 and on () count(last_over_time(asked{{job=\"{job}\"}}[1h])) == 1"
        );
        eventually(&lasting, || server.value(&lasting));
        assert_eq!(server.value(&format!("min_over_time(up{{job=\"{job}\"}}[1h])")), Some(1.0));
        let samples = format!("scrape_samples_scraped{{job=\"{job}\"}}");
        assert_eq!(server.value(&samples), Some(SERIES_COUNT as f64 + 1.0));
    }
}

/// Tells how it was asked, and over which connection.
fn metrics(
    request: &Request<Incoming>,
    connection: u64,
) -> Result<Response<Full<bytes::Bytes>>, hyper::http::Error> {
    let version = request.version();
    let mut text = format!("asked{{version=\"{version:?}\",connection=\"{connection}\"}} 1\n");
    for index in 0..SERIES_COUNT {
        text.push_str(&format!("some_series_with_a_name{{index=\"{index}\"}} {index}\n"));
    }
    Response::builder().header("content-type", "text/plain; version=0.0.4").body(text.into())
}
