//! Configurations that were in force, each with its number and all its texts, and those that were refused:
//! kept on disk so that there is a way back. Which one runs is decided elsewhere; nothing here is needed to
//! run, so that a disk that refuses costs the way back and nothing else.

mod record;
mod restore;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{Changes, Config, ConfigErrors, LoadOptions, SourceText, Sources};

pub use restore::{RestoreError, write_files};

use record::{read_generation, read_rejections, read_texts, write_generation, write_rejections};

/// Most generations that are kept.
pub const GENERATION_COUNT_MAX: usize = 32;
/// Most bytes of texts that are kept, the latest generation not counted.
const KEPT_SIZE_BYTES_MAX: u64 = 64 << 20;
/// Most refusals that are remembered.
pub const REJECTION_COUNT_MAX: usize = 16;
/// Most bytes of errors that are remembered of one refusal.
const ERRORS_SIZE_BYTES_MAX: usize = 64 << 10;
/// Most bytes that are remembered of the text that was refused last.
const REJECTED_SIZE_BYTES_MAX: usize = 1 << 20;
const REJECTIONS_NAME: &str = "rejected.state";
const RECORD_EXTENSION: &str = "state";

/// A configuration that was in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// From 1, never given twice.
    pub number: u64,
    /// When it came into force, Unix time.
    pub accepted_ms: i64,
    /// See [`Sources::content_hash`].
    pub content_hash: u64,
    /// Who asked for it, in words.
    pub cause: String,
    /// The generation whose texts it brought back.
    pub restores: Option<u64>,
    pub changes: Changes,
    /// The main file first.
    pub files: Vec<GenerationFile>,
}

/// One text of a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationFile {
    pub path: PathBuf,
    pub size_bytes: u64,
}

/// A configuration that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// Unix time.
    pub rejected_ms: i64,
    pub cause: String,
    /// All that was wrong, as far as there is room.
    pub errors: String,
}

/// All of it at one moment.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct GenerationsView {
    /// The one in force.
    pub current: Option<Arc<Generation>>,
    /// All to which there is a way back, the latest first.
    pub kept: Vec<Arc<Generation>>,
    /// The latest first.
    pub rejections: Vec<Arc<Rejection>>,
    /// The files on disk hold something else than what runs: an earlier generation was brought back, or
    /// what they hold was refused.
    pub is_file_other: bool,
    /// Why the latest generation is not on disk.
    pub fault: Option<String>,
}

/// Why there is no way back to a generation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerationError {
    #[error("there is no generation {number}{}", kept_text(.kept))]
    Unknown { number: u64, kept: Vec<u64> },
    #[error("generation {number} cannot be read: {reason}")]
    Unreadable { number: u64, reason: String },
    #[error("generation {number} is not valid any more: {errors}")]
    Invalid { number: u64, errors: ConfigErrors },
}

/// The generations of one server. Shared by reference; all calls block on the disk except
/// [`Generations::view`].
#[derive(Debug)]
pub struct Generations {
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// In ascending order.
    kept: Vec<Arc<Generation>>,
    rejections: VecDeque<Arc<Rejection>>,
    rejected_text: Option<SourceText>,
    current: Option<Arc<Generation>>,
    is_file_other: bool,
    number_max: u64,
    /// The latest generation, if it could not be written, and why.
    unwritten: Option<(Arc<Generation>, Vec<SourceText>, String)>,
}

impl Generations {
    /// Reads what is kept in `folder`. What cannot be read is named in the log and left alone.
    pub fn open(folder: &Path) -> Self {
        let mut state = State::default();
        for number in numbers_in(folder) {
            state.number_max = state.number_max.max(number);
            let path = record_path(folder, number);
            match read_generation(&path) {
                Ok(Some(generation)) if generation.number == number => {
                    state.kept.push(Arc::new(generation));
                }
                Ok(_) => {}
                Err(err) => {
                    tracing::warn!(%err, "A generation of the configuration is not readable")
                }
            }
        }
        match read_rejections(&folder.join(REJECTIONS_NAME)) {
            Ok(Some((rejections, text))) => {
                state.rejections = rejections.into_iter().map(Arc::new).collect();
                state.rejected_text = text;
            }
            Ok(None) => {}
            Err(err) => tracing::warn!(%err, "The refused configurations are not readable"),
        }
        Self { folder: folder.to_owned(), state: Mutex::new(state) }
    }

    pub fn view(&self) -> GenerationsView {
        let state = self.lock();
        let unwritten = state.unwritten.as_ref().map(|(generation, ..)| generation);
        GenerationsView {
            current: state.current.clone(),
            kept: unwritten.into_iter().chain(state.kept.iter().rev()).map(Arc::clone).collect(),
            rejections: state.rejections.iter().rev().map(Arc::clone).collect(),
            is_file_other: state.is_file_other,
            fault: state.unwritten.as_ref().map(|(.., fault)| fault.clone()),
        }
    }

    /// The main text that was refused last, as it stood in its file; it may hold secrets.
    pub fn rejected_text(&self) -> Option<SourceText> {
        self.lock().rejected_text.clone()
    }

    /// The texts of this configuration are in force from now on. If they are those of the latest
    /// generation, as after a restart, that one goes on; else there is a new one. Returns which, and why
    /// it is not on disk, if so.
    pub fn accept(&self, accepted: Accepted<'_>) -> (Arc<Generation>, Option<String>) {
        let mut state = self.lock();
        state.is_file_other = accepted.is_file_other;
        let content_hash = accepted.sources.content_hash();
        let latest = state.kept.last().filter(|latest| latest.content_hash == content_hash);
        if let Some(latest) = latest.filter(|_| accepted.restores.is_none()).map(Arc::clone) {
            state.current = Some(Arc::clone(&latest));
            return (latest, None);
        }
        state.number_max += 1;
        let generation = Arc::new(accepted.generation(state.number_max));
        state.current = Some(Arc::clone(&generation));
        let texts = accepted.sources.texts().to_vec();
        // One that could not be written gets another chance, and its place in front.
        let waiting = state.unwritten.take().map(|(generation, texts, _)| (generation, texts));
        for (generation, texts) in waiting.into_iter().chain([(Arc::clone(&generation), texts)]) {
            match self.keep(&generation, &texts) {
                Ok(()) => state.kept.push(generation),
                Err(fault) => state.unwritten = Some((generation, texts, fault)),
            }
        }
        self.forget_old(&mut state);
        let fault = state.unwritten.as_ref().map(|(.., fault)| fault.clone());
        (generation, fault)
    }

    /// The files hold what runs: a reload found nothing new in them.
    pub fn note_unchanged(&self) {
        self.lock().is_file_other = false;
    }

    /// A configuration was refused. `main` is its main file.
    pub fn reject(&self, rejection: Rejection, main: Option<&SourceText>) {
        let mut state = self.lock();
        state.is_file_other = true;
        let Rejection { rejected_ms, cause, mut errors } = rejection;
        errors.truncate(errors.floor_char_boundary(ERRORS_SIZE_BYTES_MAX));
        // The same text may be refused several times: by a command, then because its file changed.
        if state.rejections.back().is_some_and(|last| last.errors == errors) {
            state.rejections.pop_back();
        }
        state.rejections.push_back(Arc::new(Rejection { rejected_ms, cause, errors }));
        while state.rejections.len() > REJECTION_COUNT_MAX {
            state.rejections.pop_front();
        }
        let fits = |text: &&SourceText| text.bytes.len() <= REJECTED_SIZE_BYTES_MAX;
        state.rejected_text = main.filter(fits).cloned();
        let path = self.folder.join(REJECTIONS_NAME);
        let written = make_folder(&self.folder).map_err(|err| err.to_string()).and_then(|()| {
            write_rejections(&path, state.rejections.iter(), state.rejected_text.as_ref())
                .map_err(|err| err.to_string())
        });
        if let Err(err) = written {
            tracing::warn!(%err, "The refused configuration is not kept on disk");
        }
    }

    /// The texts of a generation, for the way back to it. They may hold secrets.
    ///
    /// # Errors
    /// There is no such generation, or it cannot be read.
    pub fn sources(&self, number: u64) -> Result<Sources, GenerationError> {
        let unwritten = {
            let state = self.lock();
            let unwritten = state.unwritten.as_ref().filter(|(it, ..)| it.number == number);
            if unwritten.is_none() && !state.kept.iter().any(|kept| kept.number == number) {
                let kept = state.kept.iter().map(|kept| kept.number).collect();
                return Err(GenerationError::Unknown { number, kept });
            }
            unwritten.map(|(_, texts, _)| texts.clone())
        };
        let texts = match unwritten {
            Some(texts) => texts,
            None => read_texts(&record_path(&self.folder, number))
                .map_err(|err| GenerationError::Unreadable { number, reason: err.to_string() })?,
        };
        Ok(Sources::of_kept(texts))
    }

    /// A generation as a configuration, checked anew as `options` say.
    ///
    /// # Errors
    /// There is no such generation, it cannot be read, or this program refuses it.
    pub fn load(
        &self,
        number: u64,
        options: &LoadOptions<'_>,
    ) -> Result<(Config, Sources), GenerationError> {
        let mut sources = self.sources(number)?;
        let main = sources.kept_main().map(Path::to_owned);
        let main = main.ok_or_else(|| GenerationError::Unreadable {
            number,
            reason: "it has no text".to_owned(),
        })?;
        let loaded = crate::load_with(&main, &mut sources, options);
        let config = loaded.map_err(|errors| GenerationError::Invalid { number, errors })?;
        Ok((config, sources))
    }

    fn keep(&self, generation: &Generation, texts: &[SourceText]) -> Result<(), String> {
        let failed = |reason: String| {
            format!(
                "generation {} of the configuration is not on disk: {reason}",
                generation.number
            )
        };
        make_folder(&self.folder)
            .map_err(|err| failed(format!("cannot make {:?}: {err}", self.folder)))?;
        let path = record_path(&self.folder, generation.number);
        write_generation(&path, generation, texts).map_err(|err| failed(err.to_string()))
    }

    /// Removes the oldest until the rest is within the limits.
    fn forget_old(&self, state: &mut State) {
        let size_bytes_of = |generation: &Arc<Generation>| -> u64 {
            generation.files.iter().map(|file| file.size_bytes).sum()
        };
        let mut size_bytes: u64 = state.kept.iter().rev().skip(1).map(size_bytes_of).sum();
        let mut forgotten_count = 0;
        for generation in state.kept.iter().take(state.kept.len().saturating_sub(1)) {
            let count = state.kept.len() - forgotten_count;
            if count <= GENERATION_COUNT_MAX && size_bytes <= KEPT_SIZE_BYTES_MAX {
                break;
            }
            size_bytes -= size_bytes_of(generation);
            forgotten_count += 1;
        }
        state.kept.drain(..forgotten_count);
        let Some(oldest) = state.kept.first().map(|oldest| oldest.number) else { return };
        for number in numbers_in(&self.folder).into_iter().filter(|number| *number < oldest) {
            if let Err(err) = fs::remove_file(record_path(&self.folder, number)) {
                tracing::debug!(%err, number, "An old generation stays on disk");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change of the state is complete before anything in it can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A configuration that has come into force.
#[derive(Debug)]
pub struct Accepted<'a> {
    /// Unix time.
    pub accepted_ms: i64,
    pub cause: String,
    pub restores: Option<u64>,
    pub changes: Changes,
    pub sources: &'a Sources,
    /// The files hold something else.
    pub is_file_other: bool,
}

impl Accepted<'_> {
    fn generation(&self, number: u64) -> Generation {
        let file = |text: &SourceText| GenerationFile {
            path: text.path.clone(),
            size_bytes: text.bytes.len() as u64,
        };
        Generation {
            number,
            accepted_ms: self.accepted_ms,
            content_hash: self.sources.content_hash(),
            cause: self.cause.clone(),
            restores: self.restores,
            changes: self.changes.clone(),
            files: self.sources.texts().iter().map(file).collect(),
        }
    }
}

fn kept_text(kept: &[u64]) -> String {
    match (kept.first(), kept.last()) {
        (Some(first), Some(last)) => format!(", only {first} to {last}"),
        _ => String::new(),
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn record_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.{RECORD_EXTENSION}"))
}

/// Numbers of the records in a folder, ascending.
fn numbers_in(folder: &Path) -> Vec<u64> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let number = |entry: fs::DirEntry| {
        let path = entry.path();
        let is_record = path.extension().is_some_and(|extension| extension == RECORD_EXTENSION);
        path.file_stem().filter(|_| is_record)?.to_str()?.parse().ok()
    };
    let mut numbers: Vec<u64> = entries.filter_map(number).collect();
    numbers.sort_unstable();
    numbers
}
