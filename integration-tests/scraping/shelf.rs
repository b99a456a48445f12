//! A target for each of many bodies: one listener, one path a body. Bodies never change.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
};

/// Content type and body.
pub(super) type Book = (String, Vec<u8>);

/// Serves until the process ends.
pub(super) struct Shelf {
    address: String,
}

impl Shelf {
    /// The n-th body is served as `/n`.
    pub(super) fn open(books: impl Iterator<Item = Book>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let books: Arc<[Book]> = books.collect();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let books = Arc::clone(&books);
                std::thread::spawn(move || serve(stream, &books));
            }
        });
        Self { address }
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }
}

/// Answers until the client is gone.
fn serve(mut stream: TcpStream, books: &[Book]) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let mut first = String::new();
        reader.read_line(&mut first).ok()?;
        let path = first.split(' ').nth(1)?;
        let (content_type, body) = books.get(path.strip_prefix('/')?.parse::<usize>().ok()?)?;
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
        }
        let size = body.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {size}\r\n\r\n"
        )
        .ok()?;
        stream.write_all(body).ok()?;
    }
}
