//! One session with one server: nodes are read with watches set on them, and changes are told. A session is
//! never taken up again: whoever loses it reads everything anew.

use std::{collections::VecDeque, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};

use super::wire::{BadFrame, FRAME_SIZE_BYTES_MAX, Fields, Frame, cut};

/// Where a server listens if its address names no port. Compat: go-zookeeper `FormatServers`.
const DEFAULT_PORT: u16 = 2181;
const PASSWORD_SIZE_BYTES: usize = 16;
/// Number, transaction and error of an answer.
const HEADER_SIZE_BYTES: usize = 16;
/// Changes that wait to be looked at; with more, everything is read anew.
const CHANGE_COUNT_MAX: usize = 100_000;
const READ_SIZE_BYTES: usize = 64 << 10;

const GET_DATA: i32 = 4;
const PING: i32 = 11;
const GET_CHILDREN: i32 = 12;
const CLOSE: i32 = -11;
/// Numbers that are no request's.
const XID_OF_CHANGE: i32 = -1;
const XID_OF_PING: i32 = -2;
const NO_NODE: i32 = -101;

/// A connection that is watched through.
#[derive(Debug)]
pub(super) struct Session {
    stream: TcpStream,
    read: Vec<u8>,
    /// How long the server keeps the session without a word.
    timeout: Duration,
    last_sent: Instant,
    last_heard: Instant,
    xid: i32,
    /// Paths that have changed.
    changes: VecDeque<String>,
}

/// What a path holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NodeRead {
    Node { data: Vec<u8>, children: Vec<String> },
    Missing,
}

/// An answer: its error, and what comes after it.
struct Reply {
    xid: i32,
    error: i32,
    body: Vec<u8>,
}

impl Session {
    /// Begins a session.
    ///
    /// # Errors
    /// Nobody answers, or no session is given.
    pub(super) async fn connect(server: &str, wanted: Duration) -> Result<Self, String> {
        let address = match server.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => server.to_owned(),
            _ => format!("{server}:{DEFAULT_PORT}"),
        };
        let failed = |reason: String| format!("connecting to {address}: {reason}");
        let shake = async {
            let stream = TcpStream::connect(&address).await.map_err(|it| it.to_string())?;
            stream.set_nodelay(true).map_err(|error| error.to_string())?;
            let now = Instant::now();
            let mut session = Self {
                stream,
                read: Vec::new(),
                timeout: wanted,
                last_sent: now,
                last_heard: now,
                xid: 0,
                changes: VecDeque::new(),
            };
            session.shake_hands(wanted).await.map(|()| session)
        };
        timeout(wanted, shake).await.unwrap_or(Err("no answer in time".to_owned())).map_err(failed)
    }

    /// Reads nodes with their children, in their order, and watches both from now on.
    ///
    /// # Errors
    /// The session is over.
    pub(super) async fn read_nodes(&mut self, paths: &[String]) -> Result<Vec<NodeRead>, String> {
        let (first, mut requests) = (self.xid + 1, Vec::new());
        for path in paths {
            for kind in [GET_DATA, GET_CHILDREN] {
                self.xid = self.xid.checked_add(1).ok_or("the session is used up")?;
                let request = Frame::new().i32(self.xid).i32(kind);
                requests.extend(request.bytes(path.as_bytes()).bool(true).finish());
            }
        }
        self.send(&requests).await?;
        let mut nodes = Vec::with_capacity(paths.len());
        for (index, path) in paths.iter().enumerate() {
            let xid = first + 2 * i32::try_from(index).unwrap_or(i32::MAX);
            let data = self.reply(xid, path).await?;
            let children = self.reply(xid + 1, path).await?;
            nodes.push(match (data, children) {
                (Some(data), Some(children)) => NodeRead::Node {
                    data: Fields::of(&data).bytes().map_err(bad)?.to_owned(),
                    children: Fields::of(&children).texts().map_err(bad)?,
                },
                _ => NodeRead::Missing,
            });
        }
        Ok(nodes)
    }

    /// Waits for changes: the paths of one or more, or none by `until`.
    ///
    /// # Errors
    /// The session is over.
    pub(super) async fn changes(&mut self, until: Instant) -> Result<Vec<String>, String> {
        while self.changes.is_empty() {
            let ping_at = self.last_sent + self.timeout / 3;
            match timeout_at(ping_at.min(until), self.hear()).await {
                Ok(reply) => drop(reply?),
                Err(_) if Instant::now() >= until => break,
                Err(_) if self.last_heard.elapsed() > self.timeout => {
                    return Err("the server is silent".to_owned());
                }
                Err(_) => {
                    self.send(&Frame::new().i32(XID_OF_PING).i32(PING).finish()).await?;
                }
            }
        }
        Ok(self.changes.drain(..).collect())
    }

    /// Tells the server that nobody watches any more, if it can be told at once.
    pub(super) fn close(self) {
        let request = Frame::new().i32(0).i32(CLOSE).finish();
        drop(self.stream.try_write(&request));
    }

    async fn shake_hands(&mut self, wanted: Duration) -> Result<(), String> {
        let wanted_ms = i32::try_from(wanted.as_millis()).unwrap_or(i32::MAX);
        let request = Frame::new().i32(0).i64(0).i32(wanted_ms).i64(0);
        self.send(&request.bytes(&[0; PASSWORD_SIZE_BYTES]).bool(false).finish()).await?;
        let frame = self.next_frame().await?;
        let mut fields = Fields::of(&frame);
        let _version = fields.i32().map_err(bad)?;
        let given_ms = u64::try_from(fields.i32().map_err(bad)?).unwrap_or(0);
        if given_ms == 0 {
            return Err("no session is given".to_owned());
        }
        self.timeout = Duration::from_millis(given_ms);
        Ok(())
    }

    /// The body of the answer to a request; none if the path does not exist.
    async fn reply(&mut self, xid: i32, path: &str) -> Result<Option<Vec<u8>>, String> {
        let deadline = Instant::now() + self.timeout;
        loop {
            let heard = timeout_at(deadline, self.hear()).await;
            let reply = heard.unwrap_or(Err("the server is silent".to_owned()))?;
            match reply {
                None => {}
                Some(reply) if reply.xid != xid => {
                    return Err(format!("answer {} came in place of {xid}", reply.xid));
                }
                Some(Reply { error: 0, body, .. }) => return Ok(Some(body)),
                Some(Reply { error: NO_NODE, .. }) => return Ok(None),
                Some(Reply { error, .. }) => {
                    return Err(format!("reading {path}: {}", error_text(error)));
                }
            }
        }
    }

    /// The next answer; a change is noted, and it or a ping's answer gives none.
    ///
    /// # Cancel safety
    /// Nothing that was read is lost.
    async fn hear(&mut self) -> Result<Option<Reply>, String> {
        let frame = self.next_frame().await?;
        let mut fields = Fields::of(&frame);
        let (xid, _zxid, error) = (fields.i32(), fields.i64(), fields.i32());
        let (xid, error) = (xid.map_err(bad)?, error.map_err(bad)?);
        match xid {
            XID_OF_PING => Ok(None),
            XID_OF_CHANGE => {
                let (_kind, _state) = (fields.i32().map_err(bad)?, fields.i32().map_err(bad)?);
                if self.changes.len() >= CHANGE_COUNT_MAX {
                    return Err("too many changes at once".to_owned());
                }
                let path = fields.text().map_err(bad)?;
                // What concerns the session and no node has no path.
                if !path.is_empty() {
                    self.changes.push_back(path.to_owned());
                }
                Ok(None)
            }
            _ => Ok(Some(Reply { xid, error, body: frame[HEADER_SIZE_BYTES..].to_owned() })),
        }
    }

    async fn next_frame(&mut self) -> Result<Vec<u8>, String> {
        loop {
            if let Some(frame) = cut(&mut self.read).map_err(bad)? {
                return Ok(frame);
            }
            self.read.reserve(READ_SIZE_BYTES.min(FRAME_SIZE_BYTES_MAX));
            let count = self.stream.read_buf(&mut self.read).await.map_err(|it| it.to_string())?;
            if count == 0 {
                return Err("the server closed the connection".to_owned());
            }
            self.last_heard = Instant::now();
        }
    }

    async fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        let sent = timeout(self.timeout, self.stream.write_all(bytes)).await;
        self.last_sent = Instant::now();
        match sent {
            Ok(sent) => sent.map_err(|error| error.to_string()),
            Err(_) => Err("the server takes nothing".to_owned()),
        }
    }
}

fn bad(frame: BadFrame) -> String {
    frame.to_string()
}

/// Compat: the texts of go-zookeeper `constants.go`.
fn error_text(error: i32) -> String {
    match error {
        -102 => "zk: not authenticated".to_owned(),
        -112 => "zk: session has been expired by the server".to_owned(),
        -8 => "zk: invalid path".to_owned(),
        other => format!("zk: error {other}"),
    }
}
