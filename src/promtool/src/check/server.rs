//! `check healthy` and `check ready`: whether a server answers.
//! Compat: `promtool check healthy` and `ready` of Prometheus 3.14.

use std::{fs, path::Path, time::Duration};

use prom_config::{HttpClientConfig, parse_http_client};
use prom_http_client::{BodyLimit, BufferPool, Client, Request};
use prom_lifecycle::CommandEnd;

use super::args::ServerOptions;
use crate::output::err;

/// Largest answer that is read: a configuration of the largest size, as JSON.
const ANSWER_SIZE_BYTES_MAX: u64 = 64 << 20;
/// Compat: promtool's own.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Asks, and tells the answer.
pub(crate) fn run(options: &ServerOptions) -> CommandEnd {
    let answer = client(options.http_config_file.as_deref())
        .and_then(|client| fetch(client, &options.url, options.endpoint));
    match answer {
        Ok(text) => {
            err(&format!("  SUCCESS:  {text}"));
            CommandEnd::Finished
        }
        Err(reason) => {
            err(&reason);
            CommandEnd::Faulted
        }
    }
}

/// The client that a file describes, or the default one.
pub(crate) fn client(file: Option<&Path>) -> Result<HttpClientConfig, String> {
    let Some(file) = file else { return Ok(HttpClientConfig::default()) };
    let bytes = fs::read(file).map_err(|error| {
        format!(
            "failed to load HTTP config file: open {}: {}",
            file.display(),
            super::go_words(&error)
        )
    })?;
    parse_http_client(file, &bytes)
        .map_err(|errors| format!("failed to load HTTP config file: {}", errors.first_line()))
}

/// The body of a server's answer to a request for a path, if it is 200.
pub(crate) fn fetch(client: HttpClientConfig, server: &str, path: &str) -> Result<String, String> {
    let server =
        if server.contains("://") { server.to_owned() } else { format!("http://{server}") };
    let url = format!("{}{path}", server.trim_end_matches('/'));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let request = Request::get(&url, TIMEOUT).map_err(|error| error.to_string())?;
        let client = Client::new(client, concat!("promtool/", env!("CARGO_PKG_VERSION")));
        let response = client.send(&request).await.map_err(|error| error.to_string())?;
        let status = response.status_text();
        if !status.starts_with("200") {
            let status = status.split(' ').next().unwrap_or_default();
            return Err(format!("check failed: URL={server}, status={status}"));
        }
        let pool = BufferPool::new(ANSWER_SIZE_BYTES_MAX as usize);
        let mut body = pool.lend(0);
        let limit = BodyLimit { size_bytes: ANSWER_SIZE_BYTES_MAX };
        response.read_body(&mut body, limit).await.map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(body.as_slice()).into_owned())
    })
}
