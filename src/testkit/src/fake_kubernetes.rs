//! A small API server of Kubernetes: lists in pages, and watches with or without what is there already, over
//! objects that a test puts and deletes. It knows equality selectors of labels, and of the fields
//! `metadata.name` and `metadata.namespace`.
//!
//! Faults that it can inject: refusals with a status of your choice, watches that break, a memory so short that
//! a watch has expired, anything in place of a list. It stops when dropped.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

/// How often a watch looks whether its client, or the server, is still there.
const GLANCE: Duration = Duration::from_millis(20);
/// Lists, as they end a path, and the kind of what they hold.
const KINDS: [(&str, &str); 9] = [
    ("pods", "Pod"),
    ("nodes", "Node"),
    ("services", "Service"),
    ("endpoints", "Endpoints"),
    ("endpointslices", "EndpointSlice"),
    ("ingresses", "Ingress"),
    ("namespaces", "Namespace"),
    ("replicasets", "ReplicaSet"),
    ("jobs", "Job"),
];

/// A server on a free port of the loopback.
#[derive(Debug)]
pub struct FakeKubernetes {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    version: u64,
    /// By list, namespace and name.
    objects: BTreeMap<(String, String, String), Value>,
    events: Vec<Event>,
    /// Watches from before this version have expired.
    forgotten: u64,
    /// Watches that began before this number break off.
    watch_epoch: u64,
    requests: Vec<String>,
    token: Option<String>,
    /// By list: so many requests get this status and body.
    refusals: BTreeMap<String, (usize, u16, String)>,
    is_over: bool,
}

#[derive(Clone, Debug)]
struct Event {
    version: u64,
    list: String,
    kind: &'static str,
    object: Value,
}

struct Asked {
    list: String,
    namespace: Option<String>,
    query: BTreeMap<String, String>,
}

impl FakeKubernetes {
    /// Listens, without any object.
    ///
    /// # Panics
    /// The loopback has no free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared::default());
        let server = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if server.lock().is_over {
                    return;
                }
                let (Ok(stream), server) = (stream, Arc::clone(&server)) else { continue };
                thread::spawn(move || serve(stream, &server));
            }
        });
        Self { address, shared }
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds or changes an object of a list (`pods`, `nodes`, ...).
    pub fn put(&self, list: &str, mut object: Value) {
        let mut state = self.shared.lock();
        state.version += 1;
        object["metadata"]["resourceVersion"] = json!(state.version.to_string());
        let key = key_of(list, &object);
        let is_new = state.objects.insert(key, object.clone()).is_none();
        state.note(list, if is_new { "ADDED" } else { "MODIFIED" }, object);
        self.shared.changed.notify_all();
    }

    /// Deletes an object; the namespace of what has none is empty.
    pub fn delete(&self, list: &str, namespace: &str, name: &str) {
        let mut state = self.shared.lock();
        let key = (list.to_owned(), namespace.to_owned(), name.to_owned());
        if let Some(mut object) = state.objects.remove(&key) {
            state.version += 1;
            object["metadata"]["resourceVersion"] = json!(state.version.to_string());
            state.note(list, "DELETED", object);
        }
        self.shared.changed.notify_all();
    }

    /// Asks for this bearer token from now on.
    pub fn require_token(&self, token: &str) {
        self.shared.lock().token = Some(token.to_owned());
    }

    /// Forgets what has happened so far, and breaks all watches: they have to list anew.
    pub fn forget(&self) {
        let mut state = self.shared.lock();
        state.version += 1;
        state.forgotten = state.version;
        state.events.clear();
        state.watch_epoch += 1;
        self.shared.changed.notify_all();
    }

    /// Breaks all watches; they can go on where they were.
    pub fn break_watches(&self) {
        self.shared.lock().watch_epoch += 1;
        self.shared.changed.notify_all();
    }

    /// Answers the next requests for a list with a status and a body.
    pub fn refuse(&self, list: &str, count: usize, status: u16, body: &str) {
        let refusal = (count, status, body.to_owned());
        self.shared.lock().refusals.insert(list.to_owned(), refusal);
    }

    /// First lines of all requests so far.
    pub fn requests(&self) -> Vec<String> {
        self.shared.lock().requests.clone()
    }
}

impl Drop for FakeKubernetes {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.changed.notify_all();
        // Wakes the acceptor.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn note(&mut self, list: &str, kind: &'static str, object: Value) {
        let list = list.to_owned();
        self.events.push(Event { version: self.version, list, kind, object });
    }
}

impl Asked {
    /// What `GET <target>` asks for.
    fn parse(target: &str) -> Option<Self> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let parts: Vec<&str> = path.split('/').collect();
        let list = (*parts.last()?).to_owned();
        let is_scoped = parts.len() >= 3 && parts[parts.len() - 3] == "namespaces";
        let namespace = is_scoped.then(|| parts[parts.len() - 2].to_owned());
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let query = pairs.map(|(name, value)| (name.to_owned(), unescape(value))).collect();
        Some(Self { list, namespace, query })
    }

    fn is_for(&self, list: &str, object: &Value) -> bool {
        let meta = &object["metadata"];
        let is_here = self.namespace.as_ref().is_none_or(|it| meta["namespace"] == json!(it));
        let of_label = |name: &str| meta["labels"][name].as_str().unwrap_or("").to_owned();
        let of_field = |name: &str| {
            let name = name.strip_prefix("metadata.").unwrap_or(name);
            meta[name].as_str().unwrap_or("").to_owned()
        };
        self.list == list
            && is_here
            && self.is_selected("labelSelector", of_label)
            && self.is_selected("fieldSelector", of_field)
    }

    fn is_selected(&self, selector: &str, value_of: impl Fn(&str) -> String) -> bool {
        let text = self.query.get(selector).map_or("", |text| text.as_str());
        text.split(',').filter(|part| !part.is_empty()).all(|part| match part.split_once("!=") {
            Some((name, value)) => value_of(name) != value,
            None => part
                .split_once('=')
                .is_none_or(|(name, value)| value_of(name) == value.trim_start_matches('=')),
        })
    }
}

fn key_of(list: &str, object: &Value) -> (String, String, String) {
    let meta = |name: &str| object["metadata"][name].as_str().unwrap_or("").to_owned();
    (list.to_owned(), meta("namespace"), meta("name"))
}

fn serve(stream: TcpStream, shared: &Shared) {
    let Ok(mut out) = stream.try_clone() else { return };
    let mut lines = BufReader::new(stream);
    while let Some((line, authorization)) = read_head(&mut lines) {
        let target = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut state = shared.lock();
        state.requests.push(line);
        let is_welcome = state.token.as_ref().is_none_or(|token| {
            authorization.as_deref() == Some(format!("Bearer {token}").as_str())
        });
        let Some(asked) = Asked::parse(&target) else { return };
        let refusal = state.refusals.get_mut(&asked.list).filter(|it| it.0 > 0).map(|it| {
            it.0 -= 1;
            (it.1, it.2.clone())
        });
        let is_watch = asked.query.get("watch").is_some_and(|it| it == "true" || it == "1");
        let is_given = match refusal {
            _ if !is_welcome => give(&mut out, 401, &refusal_text(401, "Unauthorized")),
            Some((status, body)) => give(&mut out, status, &body),
            None if target.starts_with("/version") => {
                give(&mut out, 200, &json!({"major": "1", "minor": "31"}).to_string())
            }
            None if is_watch => {
                watch(&mut out, shared, state, &asked);
                return;
            }
            None => {
                let page = list(&state, &asked);
                drop(state);
                give(&mut out, 200, &page)
            }
        };
        if !is_given {
            return;
        }
    }
}

fn list(state: &State, asked: &Asked) -> String {
    let number = |name: &str| asked.query.get(name).and_then(|it| it.parse::<usize>().ok());
    let limit = number("limit").filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let from = number("continue").unwrap_or(0);
    let all = state.objects.iter().filter(|((list, ..), it)| asked.is_for(list, it));
    let mut rest = all.map(|(_, object)| object).skip(from);
    let items: Vec<&Value> = rest.by_ref().take(limit).collect();
    let end = from + items.len();
    let next = if rest.next().is_some() { end.to_string() } else { String::new() };
    let kind = KINDS.iter().find(|(list, _)| *list == asked.list).map_or("", |(_, kind)| kind);
    json!({
        "kind": format!("{kind}List"),
        "apiVersion": api_version(&asked.list),
        "metadata": {"resourceVersion": state.version.to_string(), "continue": next},
        "items": items,
    })
    .to_string()
}

fn api_version(list: &str) -> &'static str {
    match list {
        "endpointslices" => "discovery.k8s.io/v1",
        "ingresses" => "networking.k8s.io/v1",
        "replicasets" => "apps/v1",
        "jobs" => "batch/v1",
        _ => "v1",
    }
}

fn watch<'s>(
    out: &mut TcpStream,
    shared: &'s Shared,
    mut state: MutexGuard<'s, State>,
    asked: &Asked,
) {
    let from = asked.query.get("resourceVersion").and_then(|it| it.parse().ok()).unwrap_or(0);
    let epoch = state.watch_epoch;
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    if out.write_all(head.as_bytes()).is_err() {
        return;
    }
    let mut told = from;
    if asked.query.get("sendInitialEvents").is_some_and(|it| it == "true") {
        told = state.version;
        let all = state.objects.iter().filter(|((list, ..), it)| asked.is_for(list, it));
        let all: Vec<Value> = all.map(|(_, object)| typed(&asked.list, object)).collect();
        let mut end = typed(&asked.list, &json!({"metadata": {}}));
        end["metadata"]["resourceVersion"] = json!(told.to_string());
        end["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        for (kind, object) in all.iter().map(|it| ("ADDED", it)).chain([("BOOKMARK", &end)]) {
            if send_event(out, kind, object).is_err() {
                return;
            }
        }
    } else if from < state.forgotten {
        let status: Value = serde_json::from_str(&refusal_text(410, "too old resource version"))
            .unwrap_or_default();
        drop(state);
        drop(send_event(out, "ERROR", &status));
        drop(out.write_all(b"0\r\n\r\n"));
        return;
    }
    loop {
        if state.is_over || state.watch_epoch != epoch {
            return;
        }
        let news = state.events.iter().filter(|event| event.version > told);
        let news: Vec<Event> = news.cloned().collect();
        told = state.version.max(told);
        drop(state);
        for event in news.iter().filter(|event| asked.is_for(&event.list, &event.object)) {
            if send_event(out, event.kind, &typed(&asked.list, &event.object)).is_err() {
                return;
            }
        }
        let waited = shared.changed.wait_timeout(shared.lock(), GLANCE);
        state = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// An object that stands alone says what it is.
fn typed(list: &str, object: &Value) -> Value {
    let mut object = object.clone();
    let kind = KINDS.iter().find(|(other, _)| *other == list);
    object["kind"] = json!(kind.map_or("", |(_, kind)| kind));
    object["apiVersion"] = json!(api_version(list));
    object
}

fn send_event(out: &mut TcpStream, kind: &str, object: &Value) -> std::io::Result<()> {
    let text = format!("{}\n", json!({"type": kind, "object": object}));
    out.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())
}

fn refusal_text(code: u16, message: &str) -> String {
    let reason = if code == 410 { "Expired" } else { "" };
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    })
    .to_string()
}

fn give(out: &mut TcpStream, status: u16, body: &str) -> bool {
    let size_bytes = body.len();
    let head = format!(
        "HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\nContent-Length: {size_bytes}\r\n\r\n"
    );
    out.write_all(head.as_bytes()).and_then(|()| out.write_all(body.as_bytes())).is_ok()
}

/// The first line of a request, and who asks. A body, which nobody sends, is not read.
fn read_head(lines: &mut BufReader<TcpStream>) -> Option<(String, Option<String>)> {
    const HEAD_SIZE_BYTES_MAX: u64 = 64 << 10;
    let (mut first, mut authorization) = (String::new(), None);
    loop {
        let mut line = String::new();
        let read = lines.by_ref().take(HEAD_SIZE_BYTES_MAX).read_line(&mut line).ok()?;
        let text = line.trim_end();
        match () {
            () if read == 0 => return None,
            () if text.is_empty() => return Some((first, authorization)),
            () if first.is_empty() => first = text.to_owned(),
            () => {
                if let Some((name, value)) = text.split_once(": ")
                    && name.eq_ignore_ascii_case("authorization")
                {
                    authorization = Some(value.to_owned());
                }
            }
        }
    }
}

/// What `%XX` and `+` stand for.
fn unescape(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, tail @ ..] = rest {
        let escaped = tail.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match (first, escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = tail;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
