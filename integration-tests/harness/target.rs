//! A target whose answers are scripted: whole, broken, endless, late or none.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
};

type Script = Box<dyn FnMut(usize, &mut TcpStream) -> std::io::Result<()> + Send>;

/// A TCP listener on loopback that answers each request by its script.
pub(crate) struct Target {
    address: String,
    request_count: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Target {
    /// Answers 200 with the body that `body` gives for the n-th request.
    pub(crate) fn serving(mut body: impl FnMut(usize) -> String + Send + 'static) -> Self {
        Self::scripted(move |index, stream| {
            let body = body(index);
            let size = body.len();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\
                 Content-Length: {size}\r\n\r\n{body}"
            )
        })
    }

    /// Leaves the whole answer to `script`; an error of it closes the connection.
    pub(crate) fn scripted(
        script: impl FnMut(usize, &mut TcpStream) -> std::io::Result<()> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let request_count = Arc::new(AtomicUsize::new(0));
        let is_over = Arc::new(AtomicBool::new(false));
        let (count, over) = (Arc::clone(&request_count), Arc::clone(&is_over));
        let script: Arc<Mutex<Script>> = Arc::new(Mutex::new(Box::new(script)));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (count, script) = (Arc::clone(&count), Arc::clone(&script));
                std::thread::spawn(move || answer_all(stream, &count, &script));
            }
        });
        Self { address, request_count, is_over, thread: Some(thread) }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// How many requests have come.
    pub(crate) fn request_count(&self) -> usize {
        self.request_count.load(Ordering::SeqCst)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(&self.address));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn answer_all(stream: TcpStream, count: &AtomicUsize, script: &Mutex<Script>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let mut line = String::new();
        loop {
            line.clear();
            match reader.read_line(&mut line) {
                Ok(0) | Err(_) => return,
                Ok(_) if line == "\r\n" => break,
                Ok(_) => {}
            }
        }
        let index = count.fetch_add(1, Ordering::SeqCst);
        let answered = (script.lock().unwrap())(index, &mut stream);
        if answered.is_err() {
            return;
        }
    }
}
