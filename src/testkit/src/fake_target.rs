//! A target that answers as it is told: properly, slowly, wrongly, endlessly or not at all.
//!
//! Faults that it can inject: silence before the head or inside the body, an early close, a reset, any
//! bytes in place of HTTP, a body that never ends. It stops when dropped.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// What a path answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// These bytes, and the connection stays open for the next request.
    Bytes(Vec<u8>),
    /// These bytes, and then the connection is closed.
    BytesThenClose(Vec<u8>),
    /// These bytes, and then nothing, for ever.
    BytesThenHang(Vec<u8>),
    /// The first bytes, and then the second ones again and again, for ever.
    BytesThenForever(Vec<u8>, Vec<u8>),
    /// The connection is reset.
    Reset,
}

/// A server on a free port of the loopback.
#[derive(Debug)]
pub struct FakeTarget {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    /// By path; the last one stays.
    answers: Mutex<HashMap<String, VecDeque<Answer>>>,
    /// Heads of all requests so far, each with its body.
    requests: watch::Sender<Vec<String>>,
    connection_count: watch::Sender<usize>,
}

impl Answer {
    /// A proper response with a body of text.
    pub fn text(body: &str) -> Self {
        Self::body("text/plain; version=0.0.4", &[], body.as_bytes())
    }

    /// A proper response; `headers` are whole lines without their ends.
    pub fn body(content_type: &str, headers: &[&str], body: &[u8]) -> Self {
        let mut head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n",
            body.len()
        );
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        Self::Bytes(bytes)
    }

    /// A response with a status line of your own and no body.
    pub fn status(status: &str) -> Self {
        Self::Bytes(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into_bytes())
    }

    /// A redirect.
    pub fn redirect(status: &str, location: &str) -> Self {
        let head =
            format!("HTTP/1.1 {status}\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        Self::Bytes(head.into_bytes())
    }
}

impl FakeTarget {
    /// Listens, and answers every path with 404 until told otherwise.
    ///
    /// # Panics
    /// The loopback has no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let shared = Arc::new(Shared {
            answers: Mutex::default(),
            requests: watch::channel(Vec::new()).0,
            connection_count: watch::channel(0).0,
        });
        let acceptor = spawn(accept(listener, Arc::clone(&shared)));
        Self { address, shared, acceptor }
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// From now on `path` answers so. With a query it stands before what the path alone answers.
    pub fn answer(&self, path: &str, answer: Answer) {
        self.answer_in_turn(path, &[answer]);
    }

    /// From now on `path` answers these, one after the other, and then the last one again and again.
    pub fn answer_in_turn(&self, path: &str, in_turn: &[Answer]) {
        let mut answers = self.shared.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(path.to_owned(), in_turn.iter().cloned().collect());
    }

    /// Heads of all requests so far, each with its body after the empty line.
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.borrow().clone()
    }

    /// How many connections were accepted so far.
    pub fn connection_count(&self) -> usize {
        *self.shared.connection_count.borrow()
    }

    /// Stops; nobody listens any more when this returns.
    pub async fn stop(mut self) {
        self.acceptor.abort();
        // It was aborted, so an error is what is expected.
        drop((&mut self.acceptor).await);
    }

    /// Waits until so many requests have come.
    ///
    /// # Panics
    /// Never: the target outlives the wait.
    pub async fn wait_for_requests(&self, count: usize) {
        let mut requests = self.shared.requests.subscribe();
        requests.wait_for(|all| all.len() >= count).await.expect("the target is alive");
    }
}

impl Shared {
    fn answer_of(&self, target: &str) -> Answer {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let path = target.split('?').next().unwrap_or_default();
        let key = if answers.contains_key(target) { target } else { path };
        let in_turn = answers.get_mut(key);
        let answer = in_turn.and_then(|in_turn| match in_turn.len() {
            0 | 1 => in_turn.front().cloned(),
            _ => in_turn.pop_front(),
        });
        answer.unwrap_or_else(|| Answer::status("404 Not Found"))
    }
}

impl Drop for FakeTarget {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        shared.connection_count.send_modify(|count| *count += 1);
        connections.spawn(serve(stream, Arc::clone(&shared)));
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    while let Some(head) = read_request(&mut stream).await {
        let answer = shared.answer_of(head.split(' ').nth(1).unwrap_or_default());
        shared.requests.send_modify(|requests| requests.push(head));
        if !give(&mut stream, answer).await {
            return;
        }
    }
}

/// Whether the connection goes on.
async fn give(stream: &mut TcpStream, answer: Answer) -> bool {
    match answer {
        Answer::Bytes(bytes) => stream.write_all(&bytes).await.is_ok(),
        Answer::BytesThenClose(bytes) => {
            // The peer may be gone; closing is all that is left either way.
            drop(stream.write_all(&bytes).await);
            false
        }
        Answer::BytesThenHang(bytes) => {
            drop(stream.write_all(&bytes).await);
            std::future::pending().await
        }
        Answer::BytesThenForever(first, again) => {
            let mut is_open = stream.write_all(&first).await.is_ok();
            while is_open {
                is_open = stream.write_all(&again).await.is_ok();
            }
            false
        }
        Answer::Reset => {
            drop(stream.set_zero_linger());
            false
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let mut head = String::from_utf8(head).ok()?;
    let lower = head.to_ascii_lowercase();
    let size_bytes = lower.lines().find_map(|line| line.strip_prefix("content-length:"));
    let size_bytes = size_bytes.and_then(|size| size.trim().parse().ok()).unwrap_or(0);
    let mut body = vec![0; size_bytes];
    stream.read_exact(&mut body).await.ok()?;
    head.push_str(&String::from_utf8_lossy(&body));
    Some(head)
}

pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    #[expect(clippy::disallowed_methods, reason = "a test double has no supervisor")]
    let handle = tokio::spawn(task);
    handle
}
