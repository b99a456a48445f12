//! Servers that speak HTTP/2 frame by frame (RFC 9113, section 4), right and wrong. Most of the expected texts were
//! shown by Prometheus 3.5.3 for the same frames.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::{
    super::tls::{Authority, acceptor, spawn_listener},
    *,
};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Places in the table of RFC 7541, appendix A.
const STATUS: u8 = 8;
const CONTENT_ENCODING: u8 = 26;
const CONTENT_LENGTH: u8 = 28;
const LOCATION: u8 = 46;
const STATUS_200: &[u8] = &[0x88];

const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

/// What one connection does: an answer to each request, and then its end.
#[derive(Clone)]
struct Script {
    answers: Vec<Vec<u8>>,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// After the last answer.
    Close,
    /// When one more request has come.
    CloseWhenAsked,
    ResetWhenAsked,
    Hang,
}

/// Plays a script for each connection, the last one again and again.
struct Server {
    port: u16,
    connection_count: Arc<AtomicUsize>,
    pong_count: Arc<AtomicUsize>,
    /// One permit for each connection that a script has ended.
    ended: Arc<tokio::sync::Semaphore>,
    ca: Authority,
}

impl Server {
    async fn start(scripts: Vec<Script>) -> Self {
        let ca = Authority::new();
        let acceptor = acceptor(&ca.sign(&["localhost"]), &["h2"]);
        let connection_count = Arc::new(AtomicUsize::new(0));
        let pong_count = Arc::new(AtomicUsize::new(0));
        let ended = Arc::new(tokio::sync::Semaphore::new(0));
        let (connections, pongs, ends) =
            (Arc::clone(&connection_count), Arc::clone(&pong_count), Arc::clone(&ended));
        let port = spawn_listener(move |stream| {
            let index = connections.fetch_add(1, Ordering::Relaxed).min(scripts.len() - 1);
            let (script, acceptor) = (scripts[index].clone(), acceptor.clone());
            let (pongs, ends) = (Arc::clone(&pongs), Arc::clone(&ends));
            async move {
                // A client that leaves is no failure here.
                let _left = play(script, &acceptor, stream, &pongs).await;
                ends.add_permits(1);
            }
        })
        .await;
        Self { port, connection_count, pong_count, ended, ca }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}/metrics", self.port)
    }

    fn client(&self) -> Client {
        speaking(&self.ca, true)
    }

    fn connection_count(&self) -> usize {
        self.connection_count.load(Ordering::Relaxed)
    }
}

async fn play(
    script: Script,
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    pongs: &AtomicUsize,
) -> std::io::Result<()> {
    if script.end == End::ResetWhenAsked {
        stream.set_zero_linger()?;
    }
    let mut stream = acceptor.accept(stream).await?;
    let mut preface = [0; PREFACE.len()];
    stream.read_exact(&mut preface).await?;
    assert_eq!(preface, PREFACE);
    // At most one stream at a time.
    stream.write_all(&frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 1])).await?;
    for answer in &script.answers {
        next_request(&mut stream, pongs).await?;
        stream.write_all(answer).await?;
        stream.flush().await?;
    }
    match script.end {
        End::Close => stream.shutdown().await,
        End::ResetWhenAsked => next_request(&mut stream, pongs).await,
        End::CloseWhenAsked => {
            next_request(&mut stream, pongs).await?;
            stream.shutdown().await
        }
        End::Hang => std::future::pending().await,
    }
}

async fn next_request(
    stream: &mut TlsStream<TcpStream>,
    pongs: &AtomicUsize,
) -> std::io::Result<()> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await?;
        let size = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        stream.read_exact(&mut vec![0; size]).await?;
        match (head[3], head[4] & ACK) {
            (HEADERS, _) => return Ok(()),
            (PING, ACK) => pongs.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
    }
}

fn frame(kind: u8, flags: u8, stream_id: u32, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![size[1], size[2], size[3], kind, flags];
    bytes.extend(stream_id.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A header that is not entered into the table, with a known name.
fn header(name: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = if name < 15 { vec![name] } else { vec![15, name - 15] };
    let mut size = value.len();
    if size < 127 {
        bytes.push(size as u8);
    } else {
        bytes.push(127);
        size -= 127;
        while size >= 128 {
            bytes.push((size % 128) as u8 | 128);
            size /= 128;
        }
        bytes.push(size as u8);
    }
    [bytes, value.to_vec()].concat()
}

fn head(stream_id: u32, fields: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream_id, fields)
}

fn data(stream_id: u32, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, 0, stream_id, bytes)
}

fn last_data(stream_id: u32, bytes: &[u8]) -> Vec<u8> {
    frame(DATA, END_STREAM, stream_id, bytes)
}

fn good(stream_id: u32) -> Vec<u8> {
    [head(stream_id, STATUS_200), last_data(stream_id, b"a 1\n")].concat()
}

fn reset(stream_id: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream_id, &code.to_be_bytes())
}

fn go_away(last_id: u32, code: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last_id.to_be_bytes(), code.to_be_bytes()].concat())
}

fn ping() -> Vec<u8> {
    frame(PING, 0, 0, b"whatever")
}

/// Asks a new server for each answer and compares; `URL` stands for its address.
async fn check(cases: Vec<(Vec<u8>, End, &str)>) {
    for (index, (answer, end, expected)) in cases.into_iter().enumerate() {
        let server = Server::start(vec![Script { answers: vec![answer], end }]).await;
        let got = get(&server.client(), &server.url(), PATIENCE).await;
        let expected = expected.replace("URL", &server.url());
        assert_eq!(got.unwrap_or_else(|error| error), expected, "{index}");
        assert_eq!(server.connection_count(), 1, "{index}");
    }
}

#[tokio::test]
async fn proper_answers_are_read() {
    let packed = gzip(b"a 1\n");
    let gzipped = [STATUS_200, &header(CONTENT_ENCODING, b"gzip")].concat();
    let early = head(1, &header(STATUS, b"103"));
    let trailers = frame(HEADERS, END_HEADERS | END_STREAM, 1, &header(LOCATION, b"x"));
    check(vec![
        (good(1), End::Hang, "200 OK: a 1\n"),
        (good(1), End::Close, "200 OK: a 1\n"),
        (frame(HEADERS, END_HEADERS | END_STREAM, 1, STATUS_200), End::Hang, "200 OK: "),
        ([head(1, &gzipped), last_data(1, &packed)].concat(), End::Hang, "200 OK: a 1\n"),
        ([early, good(1)].concat(), End::Hang, "200 OK: a 1\n"),
        ([head(1, STATUS_200), data(1, b"a 1\n"), trailers].concat(), End::Hang, "200 OK: a 1\n"),
        (
            [head(1, STATUS_200), data(1, b""), data(1, b"a"), last_data(1, b"")].concat(),
            End::Hang,
            "200 OK: a",
        ),
        (
            [head(1, &header(STATUS, b"503")), last_data(1, b"")].concat(),
            End::Hang,
            "503 Service Unavailable: ",
        ),
        ([head(1, &header(STATUS, b"599")), last_data(1, b"")].concat(), End::Hang, "599: "),
        // Told of the end, but answered before.
        ([go_away(1, NO_ERROR), good(1)].concat(), End::Close, "200 OK: a 1\n"),
    ])
    .await;
}

#[tokio::test]
async fn what_is_no_answer_is_named() {
    let huge = header(LOCATION, &[b'x'; 65_536]);
    let frames: Vec<&[u8]> = huge.chunks(16_384).collect();
    let mut oversize = frame(HEADERS, 0, 1, STATUS_200);
    for part in &frames {
        oversize.extend(frame(CONTINUATION, 0, 1, part));
    }
    oversize.extend(frame(CONTINUATION, END_HEADERS, 1, b""));
    let mut endless = frame(HEADERS, 0, 1, STATUS_200);
    for _ in 0..50 {
        endless.extend(frame(CONTINUATION, 0, 1, &header(LOCATION, &[b'x'; 8_000])));
    }
    check(vec![
        (
            reset(1, INTERNAL_ERROR),
            End::Hang,
            "Get \"URL\": stream error: stream ID 1; INTERNAL_ERROR; received from peer",
        ),
        (
            reset(1, REFUSED_STREAM),
            End::Hang,
            "Get \"URL\": stream error: stream ID 1; REFUSED_STREAM; received from peer",
        ),
        (
            reset(1, 99),
            End::Hang,
            "Get \"URL\": stream error: stream ID 1; unknown error code 0x63; received from peer",
        ),
        (Vec::new(), End::Close, "Get \"URL\": unexpected EOF"),
        (head(1, STATUS_200)[..9].to_vec(), End::Close, "Get \"URL\": unexpected EOF"),
        (
            go_away(0, ENHANCE_YOUR_CALM),
            End::Close,
            "Get \"URL\": http2: Transport received GOAWAY from server ErrCode:ENHANCE_YOUR_CALM",
        ),
        (
            go_away(0, NO_ERROR),
            End::Close,
            "Get \"URL\": http2: Transport received Server's graceful shutdown GOAWAY",
        ),
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
            End::Hang,
            "Get \"URL\": connection error: FRAME_SIZE_ERROR",
        ),
        (
            oversize,
            End::Hang,
            "Get \"URL\": stream error: stream ID 1; PROTOCOL_ERROR; the head of the response is malformed or exceeds 65536 bytes",
        ),
        (endless, End::Hang, "Get \"URL\": connection error: ENHANCE_YOUR_CALM"),
        (head(1, b"\xff\xff\xff\xff\xff"), End::Hang, "Get \"URL\": connection error: PROTOCOL_ERROR"),
    ])
    .await;
}

#[tokio::test]
async fn broken_bodies_are_named() {
    let begun = [head(1, STATUS_200), data(1, b"a 1\n")].concat();
    let promising = [STATUS_200, &header(CONTENT_LENGTH, b"9")].concat();
    let too_long = [STATUS_200, &header(CONTENT_LENGTH, b"1000")].concat();
    let packed = gzip(&[b'x'; 100_000]);
    let bomb = [STATUS_200, &header(CONTENT_ENCODING, b"gzip")].concat();
    check(vec![
        (begun.clone(), End::Close, "unexpected EOF"),
        (
            [begun.clone(), reset(1, INTERNAL_ERROR)].concat(),
            End::Hang,
            "stream error: stream ID 1; INTERNAL_ERROR; received from peer",
        ),
        (
            // Not an end: half an exposition would pass for a whole one.
            [begun.clone(), reset(1, NO_ERROR)].concat(),
            End::Hang,
            "stream error: stream ID 1; NO_ERROR; received from peer",
        ),
        ([head(1, &promising), last_data(1, b"a 1\n")].concat(), End::Hang, "unexpected EOF"),
        (head(1, &too_long), End::Hang, "body size limit exceeded"),
        (
            [head(1, STATUS_200), data(1, &[b'x'; 999]), data(1, b"x")].concat(),
            End::Hang,
            "body size limit exceeded",
        ),
        ([head(1, &bomb), last_data(1, &packed)].concat(), End::Hang, "body size limit exceeded"),
    ])
    .await;
}

#[tokio::test]
async fn a_reset_socket_is_told_with_both_addresses() {
    let script = Script { answers: Vec::new(), end: End::ResetWhenAsked };
    let server = Server::start(vec![script]).await;
    let error = get(&server.client(), &server.url(), PATIENCE).await.unwrap_err();
    let reset = format!("->127.0.0.1:{}: read: connection reset by peer", server.port);
    assert!(error.contains(&reset), "{error}");
}

#[tokio::test]
async fn the_deadline_holds_everywhere() {
    let check = async |answer: Vec<u8>, is_body: bool| {
        let script = Script { answers: vec![answer], end: End::Hang };
        let server = Server::start(vec![script]).await;
        let expected = match is_body {
            true => "context deadline exceeded".to_owned(),
            false => format!("Get \"{}\": context deadline exceeded", server.url()),
        };
        // Long enough for the handshake.
        let got = get(&server.client(), &server.url(), Duration::from_secs(3)).await;
        assert_eq!(got, Err(expected));
    };
    tokio::join!(
        check(Vec::new(), false),
        check(frame(HEADERS, 0, 1, STATUS_200), false),
        check([head(1, STATUS_200), data(1, b"a ")].concat(), true),
    );
}

#[tokio::test]
async fn a_body_without_end_comes_in_pieces_until_it_is_silent() {
    let begun = [head(1, STATUS_200), data(1, b"a "), data(1, b"1\n")].concat();
    for (rest, idle, expected) in [
        (last_data(1, b""), PATIENCE, "Ok(None)"),
        (Vec::new(), Duration::from_secs(2), "Err(Deadline)"),
        (
            reset(1, INTERNAL_ERROR),
            PATIENCE,
            "Err(Body(\"stream error: stream ID 1; INTERNAL_ERROR; received from peer\"))",
        ),
    ] {
        let script = Script { answers: vec![[begun.clone(), rest].concat()], end: End::Hang };
        let server = Server::start(vec![script]).await;
        let request = Request::get(&server.url(), PATIENCE).unwrap();
        let mut pieces = server.client().send(&request).await.unwrap().into_pieces(idle);
        let mut text = Vec::new();
        while text.len() < 4 {
            text.extend_from_slice(&pieces.next().await.unwrap().unwrap());
        }
        assert_eq!(text, b"a 1\n");
        assert_eq!(format!("{:?}", pieces.next().await), expected);
    }
}

#[tokio::test]
async fn pings_between_requests_are_answered_with_the_next_one() {
    let answers = (0..6).map(|at| [good(2 * at + 1), ping()].concat()).collect();
    let server = Server::start(vec![Script { answers, end: End::Hang }]).await;
    let client = server.client();
    for _ in 0..6 {
        assert_eq!(get(&client, &server.url(), PATIENCE).await.unwrap(), "200 OK: a 1\n");
    }
    assert_eq!(server.connection_count(), 1);
    assert!(server.pong_count.load(Ordering::Relaxed) >= 3);
}

/// Asks a server that begins with `first` twice; how the second request went, and over how many connections.
async fn ask_twice(first: &Script, is_post: bool) -> (Result<u16, String>, usize) {
    let again = Script { answers: vec![good(1)], end: End::Hang };
    let server = Server::start(vec![first.clone(), again]).await;
    let client = server.client();
    assert_eq!(get(&client, &server.url(), PATIENCE).await.unwrap(), "200 OK: a 1\n");
    if first.end == End::Close {
        server.ended.acquire().await.unwrap().forget();
    }
    let second = match is_post {
        true => Request::post(&server.url(), vec![1], PATIENCE),
        false => Request::get(&server.url(), PATIENCE),
    };
    let answered = client.send(&second.unwrap()).await;
    let status = answered.map(|response| response.status_code());
    let told = status.map_err(|error| error.to_string().replace(&server.url(), "URL"));
    (told, server.connection_count())
}

#[tokio::test]
async fn a_connection_that_has_ended_meanwhile_is_replaced() {
    let script = |more: Vec<u8>, end| Script { answers: vec![[good(1), more].concat()], end };
    let second = |answer| Script { answers: vec![good(1), answer], end: End::Hang };
    let (farewell, anger) = (go_away(1, NO_ERROR), go_away(1, ENHANCE_YOUR_CALM));
    for (index, (first, is_for_post)) in [
        (script(farewell.clone(), End::Close), true),
        (script(farewell.clone(), End::Hang), true),
        (script(anger.clone(), End::Close), true),
        (script(Vec::new(), End::Close), false),
        // The same, but once the request is under way: only what was not looked at is sent again.
        (second(farewell), true),
        (second(anger), true),
        (second(reset(3, REFUSED_STREAM)), true),
        (script(Vec::new(), End::CloseWhenAsked), false),
        (script(Vec::new(), End::ResetWhenAsked), false),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(ask_twice(&first, false).await, (Ok(200), 2), "{index}");
        if is_for_post {
            assert_eq!(ask_twice(&first, true).await, (Ok(200), 2), "{index}");
        }
    }
    // What may have been done is not asked for again.
    let asked = script(Vec::new(), End::CloseWhenAsked);
    let expected = Err("Post \"URL\": unexpected EOF".to_owned());
    assert_eq!(ask_twice(&asked, true).await, (expected, 1));
    let expected = "stream error: stream ID 3; INTERNAL_ERROR; received from peer";
    let expected = Err(format!("Get \"URL\": {expected}"));
    assert_eq!(ask_twice(&second(reset(3, INTERNAL_ERROR)), false).await, (expected, 1));
}

#[tokio::test]
async fn redirects_lead_from_http2_to_a_plain_target_and_back() {
    let target = FakeTarget::start().await;
    target.answer("/plain", Answer::text("plain 1\n"));
    let moved = |to: &str| {
        let fields = [header(STATUS, b"302"), header(LOCATION, to.as_bytes())].concat();
        [head(1, &fields), last_data(1, b"moved")].concat()
    };
    let script = Script { answers: vec![moved(&target.url("/plain")), good(3)], end: End::Hang };
    let server = Server::start(vec![script]).await;
    let client = server.client();
    target.answer("/back", Answer::redirect("302 Found", &server.url()));
    assert_eq!(get(&client, &server.url(), PATIENCE).await.unwrap(), "200 OK: plain 1\n");
    assert_eq!(get(&client, &target.url("/back"), PATIENCE).await.unwrap(), "200 OK: a 1\n");
    assert_eq!(server.connection_count(), 1, "the connection is kept over the redirect");
}
