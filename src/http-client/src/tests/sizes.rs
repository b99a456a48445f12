//! Answers in pieces, of all sizes, with a length or in chunks.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::sleep,
};

use super::{PATIENCE, client, plain};
use crate::{BodyLimit, BufferPool, Request};

/// One answer: its size, and whether it comes in chunks.
const ANSWERS: [(usize, bool); 12] = [
    (8_000, false),
    (8_000, false),
    (8_000, false),
    (200, false),
    (40_000, false),
    (300_000, false),
    (300_000, true),
    (0, false),
    (9_000, true),
    (9_000, true),
    (1, true),
    (9_000, false),
];

async fn serve(mut stream: TcpStream) {
    let mut asked = [0; 4_096];
    for (size_bytes, is_chunked) in ANSWERS {
        let count = stream.read(&mut asked).await.unwrap();
        assert!(asked[..count].ends_with(b"\r\n\r\n"), "a request is one small write");
        let body = vec![b'x'; size_bytes];
        let bytes = match is_chunked {
            true => {
                let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
                let length = format!("{size_bytes:x}\r\n").into_bytes();
                [head, length, body, b"\r\n0\r\n\r\n".to_vec()].concat()
            }
            false => {
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size_bytes}\r\n\r\n");
                [head.into_bytes(), body].concat()
            }
        };
        for (index, piece) in bytes.chunks(3_000).enumerate() {
            stream.write_all(piece).await.unwrap();
            if index < 3 {
                sleep(Duration::from_millis(1)).await;
            }
        }
    }
}

#[tokio::test]
async fn answers_of_all_sizes_come_whole_over_one_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let answer = async { serve(listener.accept().await.unwrap().0).await };
    let ask = async {
        let client = client(plain());
        let pool = BufferPool::new(1 << 20);
        for (index, (size_bytes, _)) in ANSWERS.into_iter().enumerate() {
            let response = client.send(&Request::get(&url, PATIENCE).unwrap()).await.unwrap();
            let mut body = pool.lend(0);
            response.read_body(&mut body, BodyLimit { size_bytes: 1 << 20 }).await.unwrap();
            assert_eq!(body.as_slice(), vec![b'x'; size_bytes], "{index}");
        }
    };
    tokio::join!(answer, ask);
}

#[tokio::test]
async fn a_refusal_is_read_before_the_request_is_sent_to_its_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let refuse = async {
        let mut stream = listener.accept().await.unwrap().0;
        let mut asked = [0; 4_096];
        assert!(stream.read(&mut asked).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
        stream
    };
    let ask = async {
        let request = Request::post(&url, vec![b'x'; 64 << 20], PATIENCE).unwrap();
        let response = client(plain()).send(&request).await.unwrap();
        assert_eq!(response.status_text(), "413 Too Large");
        let mut body = BufferPool::new(1 << 20).lend(0);
        response.read_body(&mut body, BodyLimit { size_bytes: 100 }).await.unwrap();
        assert_eq!(body.as_slice(), b"no");
    };
    // The server neither reads on nor closes.
    let (_stream, ()) = tokio::join!(refuse, ask);
}
