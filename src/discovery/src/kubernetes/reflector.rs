//! Follows one list of the API: all of it page by page, then what changes, for ever. What its objects mean is
//! not known here. Compat: client-go `tools/cache.Reflector`; its bounds and waits.

use std::{hash::BuildHasher, sync::Arc, time::Duration};

use prom_http_client::{BodyLimit, BufferPool, HttpError, Pieces, Request, Response, inflate_gzip};
use prom_lifecycle::Handle;
use prom_telemetry::clock;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{
    api::Api,
    cluster::{Seen, SourceIndex},
    frames::Frames,
    metrics::KubernetesMetrics,
    objects::Text,
    resource::{Object, Page, Source},
};

/// Objects that are asked for at once.
const PAGE_OBJECT_COUNT: usize = 500;
/// More pages than this are no list.
const PAGE_COUNT_MAX: usize = 10_000;
/// A page, packed or not; all of a list if the server does not know pages.
const PAGE_LIMIT: BodyLimit = BodyLimit { size_bytes: 256 << 20 };
/// What a server says about a refusal.
const REFUSAL_LIMIT: BodyLimit = BodyLimit { size_bytes: 64 << 10 };
const LIST_TIMEOUT: Duration = Duration::from_secs(60);
/// Until the head of a watch is there.
const WATCH_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the server is asked to watch; up to as much again by chance, so that not all end at once.
const WATCH_DURATION: Duration = Duration::from_secs(5 * 60);
/// A watch that ends sooner, and told nothing, has failed.
const WATCH_DURATION_MIN: Duration = Duration::from_secs(1);
/// Silence beyond the end of the watch.
const IDLE_EXTRA: Duration = Duration::from_secs(30);
const WAIT_MIN: Duration = Duration::from_millis(800);
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Once it has gone well for so long, the next failure waits little again.
const WAIT_RESET_AFTER: Duration = Duration::from_secs(2 * 60);

/// What a list or a watch tells.
#[derive(Debug)]
pub(super) enum News {
    /// Part of a list, or one object that was added or changed.
    Objects {
        seen: Seen,
        objects: Vec<Object>,
    },
    /// The list is complete: what it did not name is gone.
    Listed {
        seen: Seen,
    },
    Gone {
        source: SourceIndex,
        key: Text,
    },
    /// The list or the watch failed; it will be tried again.
    Failed {
        source: SourceIndex,
    },
}

/// One list that is followed.
pub(super) struct Reflector {
    pub(super) index: SourceIndex,
    pub(super) source: Arc<Source>,
    pub(super) api: Api,
    pub(super) handle: Handle,
    pub(super) answers: BufferPool,
    pub(super) metrics: KubernetesMetrics,
    pub(super) news: mpsc::Sender<News>,
    /// The set that asked for it, for the log.
    pub(super) config: Arc<str>,
}

/// Why a list or a watch ended.
#[derive(Debug)]
pub(super) enum End {
    /// The server does not remember so far back.
    Expired,
    /// What goes by itself: nobody answers, or too many ask.
    Passing(String),
    Failed(String),
    /// Nobody wants the news any more.
    Unwanted,
}

/// Waits that grow, with some chance in them.
#[derive(Debug)]
struct Waits {
    next: Duration,
    last: Instant,
}

#[derive(Debug, Deserialize)]
struct RawEvent<'e> {
    #[serde(rename = "type")]
    kind: &'e str,
    #[serde(borrow)]
    object: &'e RawValue,
}

/// What a server says when it refuses.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
    message: String,
    reason: String,
}

/// Of a bookmark only the version counts.
#[derive(Debug, Deserialize)]
struct Bookmark {
    metadata: BookmarkMeta,
}

#[derive(Debug, Deserialize)]
struct BookmarkMeta {
    #[serde(rename = "resourceVersion")]
    resource_version: String,
}

impl Reflector {
    /// Follows the list until nobody wants the news any more.
    pub(super) async fn run(self) {
        let mut waits = Waits::new();
        let mut has_pages = true;
        for number in 1.. {
            let seen = Seen { source: self.index, list: number };
            let listed = self.list(seen, has_pages).await;
            // A list that takes longer than the server remembers is asked for in one piece.
            has_pages = !matches!(listed, Err(End::Expired));
            let end = match listed {
                Ok(version) => self.follow(seen, version, &mut waits).await,
                Err(end) => end,
            };
            match end {
                End::Unwanted => return,
                End::Expired => {}
                End::Passing(err) | End::Failed(err) => self.report("list", &err).await,
            }
            waits.wait().await;
        }
    }

    /// Reads the whole list; the version that it shows.
    pub(super) async fn list(&self, seen: Seen, has_pages: bool) -> Result<String, End> {
        let mut next = String::new();
        for _ in 0..PAGE_COUNT_MAX {
            let Page { objects, resource_version, next: after } =
                self.read_page(&next, has_pages).await?;
            self.tell(News::Objects { seen, objects }).await?;
            if after.is_empty() {
                self.tell(News::Listed { seen }).await?;
                return Ok(resource_version);
            }
            next = after;
        }
        Err(End::Failed(format!("the list has more than {PAGE_COUNT_MAX} pages")))
    }

    async fn read_page(&self, next: &str, has_pages: bool) -> Result<Page, End> {
        let limit = PAGE_OBJECT_COUNT.to_string();
        let mut query = Vec::new();
        if has_pages {
            query.push(("limit", limit.as_str()));
        }
        if !next.is_empty() {
            query.push(("continue", next));
        }
        let response = self.ask(&query, LIST_TIMEOUT, true).await?;
        let is_gzip = response.header("content-encoding") == Some("gzip");
        let mut body = self.answers.lend(0);
        response.read_body(&mut body, PAGE_LIMIT).await.map_err(passing)?;
        let (source, answers) = (Arc::clone(&self.source), self.answers.clone());
        let read = self.handle.blocking(move || {
            if is_gzip {
                let mut inflated = answers.lend(0);
                inflate_gzip(body.as_slice(), &mut inflated, PAGE_LIMIT)
                    .map_err(|error| error.to_string())?;
                body = inflated;
            }
            source.read_page(body.as_slice()).map_err(|error| error.to_string())
        });
        read.await.map_err(|error| error.to_string()).flatten().map_err(End::Failed)
    }

    /// Follows what changes from a version on; returns when the list has to be read again.
    async fn follow(&self, seen: Seen, mut version: String, waits: &mut Waits) -> End {
        loop {
            let began = Instant::now();
            let before = version.clone();
            let end = self.watch(seen, &mut version).await;
            let is_short = began.elapsed() < WATCH_DURATION_MIN && before == version;
            match end {
                // Servers end each watch after a while.
                Ok(()) if !is_short => continue,
                Ok(()) => self.report("watch", "the watch ended at once").await,
                Err(End::Passing(err)) => self.report("watch", &err).await,
                Err(End::Failed(err)) => return End::Failed(err),
                Err(end) => return end,
            }
            waits.wait().await;
        }
    }

    async fn watch(&self, seen: Seen, version: &mut String) -> Result<(), End> {
        let duration = WATCH_DURATION + by_chance(WATCH_DURATION);
        let seconds = duration.as_secs().to_string();
        let query = [
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", version.as_str()),
            ("timeoutSeconds", seconds.as_str()),
            ("watch", "true"),
        ];
        let response = self.ask(&query, WATCH_TIMEOUT, false).await?;
        let mut pieces = response.into_pieces(duration + IDLE_EXTRA);
        let mut frames = Frames::default();
        while let Some(frame) = next_frame(&mut pieces, &mut frames).await? {
            self.take_event(&frame, seen, version).await?;
        }
        Ok(())
    }

    async fn take_event(&self, frame: &[u8], seen: Seen, version: &mut String) -> Result<(), End> {
        let failed = |error: serde_json::Error| {
            End::Failed(format!("unable to decode an event from the watch stream: {error}"))
        };
        let event: RawEvent<'_> = serde_json::from_slice(frame).map_err(failed)?;
        let text = event.object.get();
        match event.kind {
            "ADDED" | "MODIFIED" | "DELETED" => {
                let mut object = self.source.read_object(text).map_err(failed)?;
                let at = object.take_version();
                let news = match event.kind {
                    "DELETED" => News::Gone { source: self.index, key: object.meta().key() },
                    _ => News::Objects { seen, objects: vec![object] },
                };
                self.tell(news).await?;
                (*at).clone_into(version);
                Ok(())
            }
            "BOOKMARK" => {
                let bookmark: Bookmark = serde_json::from_str(text).map_err(failed)?;
                *version = bookmark.metadata.resource_version;
                Ok(())
            }
            "ERROR" => {
                let status: Status = serde_json::from_str(text).map_err(failed)?;
                Err(status.end(None))
            }
            other => Err(End::Failed(format!("unknown event {other:?} in the watch stream"))),
        }
    }

    /// Sends a request for the list; the answer says 200.
    async fn ask(
        &self,
        query: &[(&str, &str)],
        timeout: Duration,
        is_packed: bool,
    ) -> Result<Response, End> {
        let path = self.source.path();
        let request = self.request(&path, query, timeout, is_packed);
        let request = request.map_err(|error| End::Failed(error.to_string()))?;
        let began = clock::monotonic();
        let sent = self.api.send(&request).await;
        let seconds = (clock::monotonic() - began).as_secs_f64();
        self.metrics.request_duration.with(&[&path]).observe(seconds);
        let code = sent.as_ref().map_or("<error>".to_owned(), |it| it.status_code().to_string());
        self.metrics.requests.with(&[&code]).inc();
        let response = sent.map_err(End::Passing)?;
        match response.status_code() {
            200 => Ok(response),
            _ => Err(self.refusal(response).await),
        }
    }

    fn request(
        &self,
        path: &str,
        query: &[(&str, &str)],
        timeout: Duration,
        is_packed: bool,
    ) -> Result<Request, HttpError> {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        for (name, selector) in [
            ("fieldSelector", &self.source.field_selector),
            ("labelSelector", &self.source.label_selector),
        ] {
            if !selector.is_empty() {
                form.append_pair(name, selector);
            }
        }
        form.extend_pairs(query);
        let url = format!("{}{path}?{}", self.api.base, form.finish());
        let request = Request::get(&url, timeout)?.with_header("accept", "application/json")?;
        if is_packed { request.with_header("accept-encoding", "gzip") } else { Ok(request) }
    }

    async fn refusal(&self, response: Response) -> End {
        let (code, text) = (response.status_code(), response.status_text());
        let mut body = self.answers.lend(0);
        let read = response.read_body(&mut body, REFUSAL_LIMIT).await;
        let status = read.ok().and_then(|()| serde_json::from_slice(body.as_slice()).ok());
        let mut status: Status = status.unwrap_or_default();
        status.code = code;
        status.end(Some(text))
    }

    async fn tell(&self, news: News) -> Result<(), End> {
        self.news.send(news).await.map_err(|_| End::Unwanted)
    }

    async fn report(&self, what: &'static str, err: &str) {
        self.metrics.failures.inc();
        let (resource, config) = (self.source.path(), &*self.config);
        tracing::error!(discovery = "kubernetes", config, what, resource, err, "Failed to follow");
        // Whoever is not there any more needs no news.
        drop(self.news.send(News::Failed { source: self.index }).await);
    }
}

impl Status {
    fn end(self, status_text: Option<String>) -> End {
        let text = match (self.message.as_str(), status_text) {
            ("", Some(text)) => format!("server returned HTTP status {text}"),
            ("", None) => self.reason.clone(),
            (message, _) => message.to_owned(),
        };
        match self.code {
            410 => End::Expired,
            429 | 500.. => End::Passing(text),
            _ if self.reason == "Expired" || self.reason == "Gone" => End::Expired,
            _ => End::Failed(text),
        }
    }
}

impl Waits {
    fn new() -> Self {
        Self { next: WAIT_MIN, last: Instant::now() }
    }

    async fn wait(&mut self) {
        if self.last.elapsed() > WAIT_RESET_AFTER {
            self.next = WAIT_MIN;
        }
        sleep(self.next + by_chance(self.next)).await;
        self.next = (self.next * 2).min(WAIT_MAX);
        self.last = Instant::now();
    }
}

async fn next_frame(pieces: &mut Pieces, frames: &mut Frames) -> Result<Option<Vec<u8>>, End> {
    loop {
        if let Some(frame) = frames.next().map_err(|bad| End::Failed(bad.to_string()))? {
            return Ok(Some(frame));
        }
        match pieces.next().await.map_err(passing)? {
            Some(piece) => {
                frames.push(&piece).map_err(|bad| End::Failed(bad.to_string()))?;
            }
            None => return Ok(None),
        }
    }
}

fn passing(error: HttpError) -> End {
    End::Passing(error.to_string())
}

/// Anything from nothing to `most`.
fn by_chance(most: Duration) -> Duration {
    let random = std::hash::RandomState::new().hash_one(0) >> 32;
    most.mul_f64(random as f64 / f64::from(u32::MAX))
}
