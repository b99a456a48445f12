//! Asks an HTTP API: one exchange at a time, within limits on size, pages and time, and names what is no
//! answer. What the answers mean is up to their readers.

use std::{borrow::Cow, fmt, path::PathBuf, sync::Arc, time::Duration};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use prom_config::HttpClientConfig;
use prom_http_client::{BodyLimit, Buffer, BufferPool, Client, Request, Response, inflate_gzip};
use serde_json::Value;
use url::Url;

use super::{
    AskError, Paging,
    ask_error::retry_after,
    json::{Each, read_list, read_value},
    paging::Page,
};
use crate::{TARGET_COUNT_MAX, polled::Means};

/// Larger answers are refused, packed or not.
const BODY_LIMIT: BodyLimit = BodyLimit { size_bytes: 128 << 20 };
/// Of the answer that goes with a refusal, no more is looked at.
const REASON_LIMIT: BodyLimit = BodyLimit { size_bytes: 64 << 10 };
/// Longer reasons are cut.
const REASON_CHARS_MAX: usize = 512;
/// Pages of one list; whoever has more runs in a circle.
const PAGE_COUNT_MAX: u64 = 10_000;

/// Sends the requests of one entry of a configuration.
#[derive(Clone)]
pub(crate) struct RestClient {
    client: Client,
    answers: BufferPool,
    /// For each request with its answer.
    timeout: Duration,
    sign: Option<Sign>,
}

/// Completes a request just before it is sent, once for each page.
pub(crate) type Sign = Arc<dyn Fn(&mut Call) -> Result<(), AskError> + Send + Sync>;

/// One request.
#[derive(Clone)]
pub(crate) struct Call {
    /// Absolute, percent-encoded.
    pub(crate) url: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(Cow<'static, str>, String)>,
    /// A POST has one.
    pub(crate) body: Option<Vec<u8>>,
    /// Without a body, where a GET would not do.
    pub(crate) is_put: bool,
    /// A unix socket that is asked in place of the host.
    pub(crate) socket: Option<PathBuf>,
}

/// Where a list is in the answers to a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listing {
    /// A JSON pointer; empty if the answer is the list.
    pub(crate) at: &'static str,
    pub(crate) paging: Paging,
    pub(crate) refusal: Refusal,
}

/// What is said about an answer of another status.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    /// `{code}` stands for the number, `{status}` for number and phrase.
    pub(crate) text: &'static str,
    /// Where the answer gives its reason, as a JSON pointer; empty if it gives none.
    pub(crate) reason_at: &'static str,
    /// Only 200 is an answer; otherwise all of 2xx.
    pub(crate) is_strict: bool,
}

/// The body of an answer, and those of its headers that were asked for.
pub(crate) struct Answer {
    pub(crate) body: Buffer,
    pub(crate) header: Option<String>,
}

/// An answer, whatever its status.
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Buffer,
}

impl Call {
    /// A GET of a path (with its query) below a base address.
    pub(crate) fn get(base: &str, path: &str) -> Self {
        let url = format!("{}{path}", base.trim_end_matches('/'));
        let headers = vec![("accept".into(), "application/json".to_owned())];
        Self { url, headers, body: None, is_put: false, socket: None }
    }

    /// A POST of a form, percent-encoded already.
    pub(crate) fn post_form(url: &str, form: String) -> Self {
        let content_type = "application/x-www-form-urlencoded".to_owned();
        let headers = vec![("content-type".into(), content_type)];
        let body = Some(form.into_bytes());
        Self { url: url.to_owned(), headers, body, is_put: false, socket: None }
    }

    /// A POST of JSON.
    pub(crate) fn post_json(base: &str, path: &str, body: &Value) -> Self {
        let call = Self::get(base, path).with_header("content-type", "application/json");
        Self { body: Some(body.to_string().into_bytes()), ..call }
    }

    pub(crate) fn with_header(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<String>,
    ) -> Self {
        let name = name.into();
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value.into()));
        self
    }

    /// Adds a parameter to the query.
    pub(crate) fn with_parameter(mut self, name: &str, value: &str) -> Self {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        self.url.push(if self.url.contains('?') { '&' } else { '?' });
        self.url.push_str(&query.append_pair(name, value).finish());
        self
    }

    fn request(&self, timeout: Duration) -> Result<Request, AskError> {
        let mut request = match &self.body {
            None if self.is_put => Request::put(&self.url, timeout)?,
            None => Request::get(&self.url, timeout)?,
            Some(body) => Request::post(&self.url, body.clone(), timeout)?,
        };
        if let Some(socket) = &self.socket {
            request = request.over_socket(socket);
        }
        request = request.with_header("accept-encoding", "gzip")?;
        for (name, value) in &self.headers {
            request = request.with_header(name, value)?;
        }
        Ok(request)
    }
}

impl fmt::Debug for Call {
    // Headers may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Refusal {
    /// Says the status as the original does where it decodes JSON by itself.
    pub(crate) const fn plain(reason_at: &'static str) -> Self {
        Self { text: "server returned HTTP status {status}", reason_at, is_strict: false }
    }

    fn is_answer(&self, code: u16) -> bool {
        if self.is_strict { code == 200 } else { (200..300).contains(&code) }
    }
}

impl RestClient {
    /// `timeout` is that of each request: by habit of the original the refresh interval.
    pub(crate) fn new(cfg: &HttpClientConfig, timeout: Duration, means: &Means) -> Self {
        let client = Client::new(cfg.clone(), means.user_agent);
        Self { client, answers: means.answers.clone(), timeout, sign: None }
    }

    /// The same with a client that is made already.
    pub(crate) fn of(client: Client, timeout: Duration, means: &Means) -> Self {
        Self { client, answers: means.answers.clone(), timeout, sign: None }
    }

    /// One exchange, for whoever understands refusals himself.
    ///
    /// # Errors
    /// No answer came, or it is too large.
    pub(crate) async fn exchange(&self, call: &Call) -> Result<Reply, AskError> {
        let response = self.client.send(&call.request(self.timeout)?).await?;
        let (code, retry_after) = (response.status_code(), retry_after(&response));
        Ok(Reply { code, retry_after, body: self.read(response, BODY_LIMIT).await? })
    }

    /// Each request is completed by `sign`.
    pub(crate) fn with_sign(mut self, sign: Sign) -> Self {
        self.sign = Some(sign);
        self
    }

    /// One exchange: the whole body of an answer that is one, unpacked; with it the value of `header`.
    ///
    /// # Errors
    /// No answer came, or it is a refusal, or too large.
    pub(crate) async fn fetch(
        &self,
        call: &Call,
        refusal: &Refusal,
        header: Option<&str>,
    ) -> Result<Answer, AskError> {
        let request = match &self.sign {
            None => call.request(self.timeout)?,
            Some(sign) => {
                let mut call = call.clone();
                sign(&mut call)?;
                call.request(self.timeout)?
            }
        };
        let response = self.client.send(&request).await?;
        if !refusal.is_answer(response.status_code()) {
            return Err(self.refused(response, refusal).await);
        }
        let header = header.and_then(|name| response.header(name)).map(str::to_owned);
        let body = self.read(response, BODY_LIMIT).await?;
        Ok(Answer { body, header })
    }

    /// The whole answer as one tree.
    ///
    /// # Errors
    /// See [`RestClient::fetch`]; or it is not JSON.
    pub(crate) async fn value(&self, call: &Call, refusal: &Refusal) -> Result<Value, AskError> {
        let answer = self.fetch(call, refusal, None).await?;
        Ok(read_value(answer.body.as_slice())?)
    }

    /// The same, with a header of the answer.
    ///
    /// # Errors
    /// See [`RestClient::value`].
    pub(crate) async fn value_with_header(
        &self,
        call: &Call,
        refusal: &Refusal,
        header: &str,
    ) -> Result<(Value, Option<String>), AskError> {
        let answer = self.fetch(call, refusal, Some(header)).await?;
        match read_value(answer.body.as_slice())? {
            value @ Value::Object(_) => Ok((value, answer.header)),
            _ => Err(AskError::new("invalid type: an object was expected")),
        }
    }

    /// Hands the elements of a list, page after page, to `each`, and returns what stands around it on the last
    /// page.
    ///
    /// # Errors
    /// See [`RestClient::fetch`]; or a page is not JSON, `each` refuses, the list has no end.
    pub(crate) async fn list(
        &self,
        call: &Call,
        listing: &Listing,
        each: &mut Each<'_>,
    ) -> Result<Value, AskError> {
        let mut call = call.clone();
        let (mut number, mut total_count) = (1, 0);
        loop {
            let header = listing.paging.header();
            let answer = self.fetch(&call, &listing.refusal, header).await?;
            let mut count = 0;
            let around = read_list(answer.body.as_slice(), listing.at, &mut |element| {
                count += 1;
                if total_count + count > TARGET_COUNT_MAX as u64 {
                    return Err(format!("more than {TARGET_COUNT_MAX} elements"));
                }
                each(element)
            })?;
            total_count += count;
            let url = Url::parse(&call.url).map_err(|error| AskError::new(error.to_string()))?;
            let page = Page {
                url: &url,
                number,
                count,
                total_count,
                around: &around,
                header: answer.header.as_deref(),
            };
            let Some(next) = listing.paging.next(&page)? else { return Ok(around) };
            call.url = next.into();
            number += 1;
            if number > PAGE_COUNT_MAX {
                return Err(AskError::new(format!("more than {PAGE_COUNT_MAX} pages")));
            }
        }
    }

    /// All elements of a short list.
    ///
    /// # Errors
    /// See [`RestClient::list`].
    pub(crate) async fn collect<T: Send>(
        &self,
        call: &Call,
        listing: &Listing,
        read: impl Fn(&Value) -> T + Send + Sync,
    ) -> Result<Vec<T>, AskError> {
        let mut all = Vec::new();
        let mut take = |element: Value| {
            all.push(read(&element));
            Ok(())
        };
        self.list(call, listing, &mut take).await?;
        Ok(all)
    }

    async fn read(&self, response: Response, limit: BodyLimit) -> Result<Buffer, AskError> {
        let is_gzip = response.header("content-encoding") == Some("gzip");
        let mut body = self.answers.lend(0);
        response.read_body(&mut body, limit).await?;
        if is_gzip {
            let mut inflated = self.answers.lend(0);
            inflate_gzip(body.as_slice(), &mut inflated, limit)?;
            body = inflated;
        }
        Ok(body)
    }

    async fn refused(&self, response: Response, refusal: &Refusal) -> AskError {
        let code = response.status_code();
        let text = refusal
            .text
            .replace("{code}", &code.to_string())
            .replace("{status}", &response.status_text());
        let mut error = AskError::new(text);
        error.note_refusal(&response);
        if refusal.reason_at.is_empty() {
            response.discard().await;
        } else if let Ok(body) = self.read(response, REASON_LIMIT).await
            && let Ok(body) = read_value(body.as_slice())
            && let Some(Value::String(reason)) = body.pointer(refusal.reason_at)
        {
            let reason: String = reason.chars().take(REASON_CHARS_MAX).collect();
            error.message = format!("{}: {reason}", error.message);
        }
        error
    }
}

/// A part of a path, percent-encoded.
pub(crate) fn path_part(text: &str) -> String {
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(text, KEPT).to_string()
}

impl fmt::Debug for RestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RestClient").field("client", &self.client).finish_non_exhaustive()
    }
}
