//! The control socket: a Unix socket by which the unit's own commands ask the running service and wait
//! for its answer, whatever the web side allows. Who may open the file may ask; nothing else is checked.
//!
//! One question a connection: a line with a word (`reload`, `status`, `generations`, `rollback 7`,
//! `rollback 7 write`), answered by one line that begins with `ok ` or `error `. Line breaks within an
//! answer are sent as `\n`.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use crate::handle::Handle;
use crate::inbox::ReloadOutcome;
use crate::step::ReloadCause;

/// Questions that may wait at once.
const QUESTIONS_COUNT_MAX: usize = 16;
/// Bytes of a question.
const QUESTION_SIZE_BYTES_MAX: u64 = 64;
/// How long somebody who has connected may take to ask.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);
/// How long no question is taken after one could not be.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Answers in words that only the service knows: its generations.
pub type Answers = Arc<dyn Fn() -> String + Send + Sync>;

/// Binds the socket, replacing one that an earlier process has left, and answers until the service stops.
///
/// # Errors
/// The socket cannot be made at `path`.
pub fn serve_control(handle: &Handle, path: &Path, generations: Answers) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(err) if err.kind() != io::ErrorKind::NotFound => return Err(err),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    handle.spawn("control socket", answer_all(handle.clone(), listener, generations));
    Ok(())
}

/// Asks a running service to reload and waits for the outcome, in words.
///
/// # Errors
/// Nobody answers at `path`, or the reload was refused: the message is the reason.
pub fn ask_reload(path: &Path) -> io::Result<String> {
    ask(path, "reload")
}

/// Asks a running service for its state and status line.
///
/// # Errors
/// Nobody answers at `path`.
pub fn ask_status(path: &Path) -> io::Result<String> {
    ask(path, "status")
}

/// Asks a running service for the generations of its configuration, one a line.
///
/// # Errors
/// Nobody answers at `path`.
pub fn ask_generations(path: &Path) -> io::Result<String> {
    ask(path, "generations")
}

/// Asks a running service to go back to a generation of its configuration, and waits for the outcome, in
/// words. `is_written`: its texts are written to their files, too.
///
/// # Errors
/// Nobody answers at `path`, or the reload was refused: the message is the reason.
pub fn ask_rollback(path: &Path, number: u64, is_written: bool) -> io::Result<String> {
    ask(path, &format!("rollback {number}{}", if is_written { " write" } else { "" }))
}

fn ask(path: &Path, question: &str) -> io::Result<String> {
    let mut stream = std::os::unix::net::UnixStream::connect(path)?;
    match stream.write_all(format!("{question}\n").as_bytes()) {
        // It went away at once; that it gave no answer is told below.
        Err(err) if err.kind() != io::ErrorKind::BrokenPipe => return Err(err),
        _ => {}
    }
    let mut answer = String::new();
    match BufReader::new(stream).read_line(&mut answer) {
        Err(err) if err.kind() != io::ErrorKind::ConnectionReset => return Err(err),
        _ => {}
    }
    let answer = answer.trim_end_matches('\n').replace("\\n", "\n");
    match (answer.strip_prefix("ok "), answer.strip_prefix("error ")) {
        (Some(text), _) => Ok(text.to_owned()),
        (None, Some(reason)) => Err(io::Error::other(reason.to_owned())),
        (None, None) => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the service ended before it answered".to_owned(),
        )),
    }
}

async fn answer_all(handle: Handle, listener: UnixListener, generations: Answers) {
    let end = handle.cancellation();
    let places = Arc::new(Semaphore::new(QUESTIONS_COUNT_MAX));
    loop {
        let accepted = tokio::select! {
            () = end.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely; those who end give some back.
            tokio::select! {
                () = end.cancelled() => return,
                () = tokio::time::sleep(ACCEPT_PAUSE) => continue,
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let (one, generations) = (handle.clone(), Arc::clone(&generations));
        handle.spawn("control question", async move {
            if let Err(err) = answer(&one, stream, generations).await {
                tracing::debug!(err = %err, "A question on the control socket got no answer");
            }
            drop(place);
        });
    }
}

async fn answer(handle: &Handle, mut stream: UnixStream, generations: Answers) -> io::Result<()> {
    let mut question = String::new();
    let (reader, mut writer) = stream.split();
    let mut reader = tokio::io::BufReader::new(reader).take(QUESTION_SIZE_BYTES_MAX);
    tokio::time::timeout(QUESTION_TIMEOUT, reader.read_line(&mut question)).await??;
    let words: Vec<&str> = question.split_whitespace().collect();
    let answer = match words[..] {
        ["reload"] => reload_by(handle, ReloadCause::Command).await,
        ["status"] => {
            let view = handle.view();
            Ok(format!("{}: {}", view.current, view.status))
        }
        ["generations"] => handle.blocking(move || generations()).await.map_err(|e| e.to_string()),
        ["rollback", number, ref how @ ..] => match (number.parse(), how) {
            (Ok(number), []) => reload_by(handle, ReloadCause::Rollback(number)).await,
            (Ok(number), ["write"]) => {
                reload_by(handle, ReloadCause::RollbackAndWrite(number)).await
            }
            _ => {
                Err(format!("{:?} is no way back: a generation has a number", question.trim_end()))
            }
        },
        _ => Err(format!("{:?} is not a question that is answered here", question.trim_end())),
    };
    let line = match answer {
        Ok(text) => format!("ok {}\n", text.replace('\n', "\\n")),
        Err(reason) => format!("error {}\n", reason.replace('\n', "\\n")),
    };
    writer.write_all(line.as_bytes()).await
}

async fn reload_by(handle: &Handle, cause: ReloadCause) -> Result<String, String> {
    handle.request_reload(cause).await.map(outcome_text)
}

fn outcome_text(outcome: ReloadOutcome) -> String {
    match outcome {
        ReloadOutcome::Committed { summary } => summary,
        ReloadOutcome::Unchanged => "unchanged".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::lifecycle::State;

    #[tokio::test]
    async fn questions_are_answered_in_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let handle = Handle::detached("Test Server", State::Ready);
        let generations: Answers = Arc::new(|| "1 first\n2 second".to_owned());
        serve_control(&handle, &path, Arc::clone(&generations)).unwrap();
        // a second start takes the place of a socket that nobody serves
        serve_control(&handle, &path, generations).unwrap();
        let asked = path.clone();
        let answer = tokio::task::spawn_blocking(move || ask_status(&asked)).await.unwrap();
        assert!(answer.unwrap().starts_with("Ready: "));
        let asked = path.clone();
        let answer = tokio::task::spawn_blocking(move || ask_generations(&asked)).await.unwrap();
        assert_eq!(answer.unwrap(), "1 first\n2 second");
        for (question, expected) in [
            ("dance", "\"dance\" is not a question that is answered here"),
            ("rollback x", "\"rollback x\" is no way back: a generation has a number"),
        ] {
            let asked = path.clone();
            let answer = tokio::task::spawn_blocking(move || ask(&asked, question)).await.unwrap();
            assert_eq!(answer.unwrap_err().to_string(), expected);
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn silence_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        assert_eq!(ask_reload(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let server = std::thread::spawn(move || drop(listener.accept()));
        assert_eq!(ask_reload(&path).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        server.join().unwrap();
    }
}
