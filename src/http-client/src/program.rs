//! Programs that print credentials: run with nothing to read, a bounded output and a deadline, at which they are
//! killed with all that they have started. What they print is understood elsewhere.

use std::{fmt, path::PathBuf, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
    sync::Semaphore,
    task::spawn_blocking,
    time::timeout,
};

use crate::error::errno_text;

/// A longer output is none.
const OUTPUT_SIZE_BYTES_MAX: usize = 1 << 20;
/// What is kept of what a program says about its failure.
const COMPLAINT_SIZE_BYTES_MAX: usize = 512;
/// Programs that are started at this moment: a disk that hangs takes no more threads than this.
static STARTS: Semaphore = Semaphore::const_new(8);

/// What to run.
#[derive(Clone, Default)]
pub struct Program {
    /// A path, or a name on the search path.
    pub command: PathBuf,
    pub args: Vec<String>,
    /// Beside the variables of this process.
    pub env: Vec<(String, String)>,
}

/// Why a program gave nothing. Its arguments are not told, since they may be secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    #[error("executable {command} not found")]
    Missing { command: String },
    #[error("executable {command} cannot be started: {reason}")]
    Start { command: String, reason: String },
    #[error("executable {command} failed with {status}{complaint}")]
    Failed { command: String, status: String, complaint: String },
    #[error("executable {command} has not ended after {time_limit:?}")]
    Overdue { command: String, time_limit: Duration },
    #[error("executable {command} prints more than {OUTPUT_SIZE_BYTES_MAX} bytes")]
    TooMuch { command: String },
}

/// Killed with its group when it is dropped before its end.
struct Running(Child);

impl Program {
    /// Runs to the end; what it has printed.
    ///
    /// # Errors
    /// It cannot be started, fails, prints too much, or has not ended in time.
    ///
    /// # Cancel safety
    /// Nothing is left running.
    pub async fn run(&self, time_limit: Duration) -> Result<Vec<u8>, ProgramError> {
        let ran = timeout(time_limit, self.run_to_end()).await;
        ran.unwrap_or_else(|_| Err(ProgramError::Overdue { command: self.shown(), time_limit }))
    }

    async fn run_to_end(&self) -> Result<Vec<u8>, ProgramError> {
        let mut running = self.start().await?;
        let (stdout, stderr) = (running.0.stdout.take(), running.0.stderr.take());
        let failed = |error: std::io::Error| ProgramError::Start {
            command: self.shown(),
            reason: errno_text(&error),
        };
        let output = async {
            let (output, is_whole) = read_some(stdout, OUTPUT_SIZE_BYTES_MAX, false).await;
            match is_whole {
                true => Ok(output),
                false => Err(ProgramError::TooMuch { command: self.shown() }),
            }
        };
        let complaint = async { Ok(read_some(stderr, COMPLAINT_SIZE_BYTES_MAX, true).await.0) };
        let (output, complaint) = tokio::try_join!(output, complaint)?;
        let status = running.0.wait().await.map_err(failed)?;
        match status.success() {
            true => Ok(output),
            false => Err(ProgramError::Failed {
                command: self.shown(),
                status: status.to_string(),
                complaint: one_line(&complaint),
            }),
        }
    }

    /// On a thread of its own: a program may lie on a disk that hangs.
    async fn start(&self) -> Result<Running, ProgramError> {
        let mut command = Command::new(&self.command);
        command
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let permit = STARTS.acquire().await.expect("it is never closed");
        let started = spawn_blocking(move || {
            let child = command.spawn().map(Running);
            drop(permit);
            child
        });
        let failed = |reason: String| ProgramError::Start { command: self.shown(), reason };
        let started = started.await.map_err(|error| failed(error.to_string()))?;
        started.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ProgramError::Missing { command: self.shown() },
            _ => failed(errno_text(&error)),
        })
    }

    fn shown(&self) -> String {
        self.command.display().to_string()
    }
}

impl fmt::Debug for Program {
    // Arguments and variables may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("command", &self.command).finish_non_exhaustive()
    }
}

impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        (&self.command, &self.args, &self.env) == (&other.command, &other.args, &other.env)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Until somebody has seen its end nobody else has this number.
        let id = self.0.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed()));
        if let Some(group) = id {
            // Who is gone already needs no end.
            _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
    }
}

/// The first bytes of a stream, and whether these are all. The rest is read only if `is_drained`.
async fn read_some(
    stream: Option<impl AsyncRead + Unpin>,
    size_bytes_max: usize,
    is_drained: bool,
) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    let Some(mut stream) = stream else { return (bytes, true) };
    let mut is_whole = true;
    let mut piece = vec![0; 4096];
    // A stream that breaks ends with its program.
    while let Ok(size @ 1..) = stream.read(&mut piece).await {
        let room = size_bytes_max - bytes.len();
        bytes.extend_from_slice(piece.get(..size.min(room)).unwrap_or_default());
        is_whole &= size <= room;
        if !(is_whole || is_drained) {
            break;
        }
    }
    (bytes, is_whole)
}

/// As part of an error.
fn one_line(complaint: &[u8]) -> String {
    let text = String::from_utf8_lossy(complaint);
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() { String::new() } else { format!(": {}", words.join(" ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        let args = vec!["-c".to_owned(), script.to_owned()];
        Program { command: "sh".into(), args, env: vec![("GIVEN".to_owned(), "value".to_owned())] }
    }

    async fn ran(script: &str) -> String {
        match shell(script).run(Duration::from_secs(20)).await {
            Ok(output) => String::from_utf8(output).unwrap(),
            Err(error) => format!("error: {error}"),
        }
    }

    #[tokio::test]
    async fn what_a_program_prints_counts_if_it_succeeds() {
        for (script, expected) in [
            ("printf %s \"$GIVEN\"; cat", "value"),
            ("exit 0", ""),
            (
                "echo out; echo 'no  session\n here' >&2; exit 3",
                "error: executable sh failed with exit status: 3: no session here",
            ),
            ("kill -9 $$", "error: executable sh failed with signal: 9 (SIGKILL)"),
            // More than a pipe holds.
            ("yes complaint | head -c 1000000 >&2; echo good", "good\n"),
            ("head -c 1048577 /dev/zero", "error: executable sh prints more than 1048576 bytes"),
            ("yes", "error: executable sh prints more than 1048576 bytes"),
        ] {
            let got = ran(script).await;
            assert_eq!(got, expected, "{script}");
        }
        let full = ran("head -c 1048576 /dev/zero").await;
        assert_eq!(full.len(), OUTPUT_SIZE_BYTES_MAX);
        let long = ran("yes word | head -c 100000 >&2; exit 1").await;
        assert!(long.len() < 2 * COMPLAINT_SIZE_BYTES_MAX, "{long}");
        let missing = Program { command: "/nowhere/tool".into(), ..Program::default() };
        let error = missing.run(Duration::from_secs(20)).await.unwrap_err();
        assert_eq!(error.to_string(), "executable /nowhere/tool not found");
        let folder = Program { command: "/".into(), ..Program::default() };
        let error = folder.run(Duration::from_secs(20)).await.unwrap_err();
        assert_eq!(error.to_string(), "executable / cannot be started: permission denied");
        assert!(!format!("{:?}", shell("secret")).contains("secret"));
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_is_killed_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("pids");
        let script =
            format!("sleep 1000 & echo $! $$ > {0}.new; mv {0}.new {0}; wait", pids.display());
        let program = shell(&script);
        let has_begun = async {
            while !pids.exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            ran = program.run(Duration::from_secs(900)) => panic!("{ran:?}"),
            () = has_begun => {}
        }
        let error = shell("sleep 1000").run(Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(error.to_string(), "executable sh has not ended after 50ms");
        let pids = std::fs::read_to_string(pids).unwrap();
        assert_eq!(pids.split_whitespace().count(), 2);
        for pid in pids.split_whitespace() {
            let is_dead = || {
                let status = std::fs::read_to_string(format!("/proc/{pid}/stat"));
                status.is_err() || status.is_ok_and(|it| it.contains(") Z "))
            };
            let mut glances = 0;
            while !is_dead() {
                glances += 1;
                assert!(glances < 1000, "{pid} lives on");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}
