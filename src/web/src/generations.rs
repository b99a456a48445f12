//! Generations of the configuration as the API and the pages show them: what differs between two, and the
//! way back. Secrets are hidden before anything is compared, so that none is in a difference.

use prom_config::{Config, GenerationError, Generations, LoadOptions, Sources, TextDiff};
use prom_lifecycle::{ReloadCause, ReloadOutcome};
use prom_promql::CancelToken;

use crate::{
    context::WebContext,
    error::{ApiError, ErrorKind},
};

/// What differs between two generations.
#[derive(Clone, Debug, Default)]
pub(crate) struct GenerationDiff {
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Of the checked configurations, with defaults filled in and secrets hidden.
    pub(crate) yaml: TextDiff,
    /// Names of included files that only the later one has, that only the earlier one has, and that differ.
    pub(crate) files: [Vec<String>; 3],
}

/// Which two generations are asked for: by number, or the one in force and the one before it.
pub(crate) fn chosen(
    generations: &Generations,
    from: &str,
    to: &str,
) -> Result<(u64, u64), ApiError> {
    let number = |name, text: &str| {
        text.parse::<u64>().map_err(|_| ApiError::parameter(name, "a generation has a number"))
    };
    let view = generations.view();
    let nothing = || ApiError::new(ErrorKind::NotFound, "no generation is kept");
    let to = match to {
        "" => view.current.as_ref().map(|it| it.number).ok_or_else(nothing)?,
        text => number("to", text)?,
    };
    let from = match from {
        "" => view.kept.iter().map(|it| it.number).find(|it| *it < to).unwrap_or(to),
        text => number("from", text)?,
    };
    Ok((from, to))
}

/// Compares two generations, on a thread that may block.
pub(crate) async fn diff(ctx: &WebContext, from: u64, to: u64) -> Result<GenerationDiff, ApiError> {
    let generations = std::sync::Arc::clone(&ctx.parts.generations);
    let compare = move || compare(&generations, from, to);
    let diff = ctx.pool.run(CancelToken::default(), compare).await?;
    diff.map_err(ApiError::from)
}

/// Asks for a way back and waits for its outcome, in words.
pub(crate) async fn roll_back(
    ctx: &WebContext,
    number: u64,
    is_written: bool,
) -> Result<String, ApiError> {
    let cause = match is_written {
        true => ReloadCause::RollbackAndWrite(number),
        false => ReloadCause::Rollback(number),
    };
    match ctx.parts.lifecycle.request_reload(cause).await {
        Ok(ReloadOutcome::Committed { summary }) => Ok(summary),
        Ok(ReloadOutcome::Unchanged) => Ok(format!("generation {number} is what runs")),
        Err(reason) => Err(ApiError::new(ErrorKind::Execution, reason)),
    }
}

fn compare(
    generations: &Generations,
    from: u64,
    to: u64,
) -> Result<GenerationDiff, GenerationError> {
    let (old, old_texts): (Config, Sources) = generations.load(from, &LoadOptions::CHECK)?;
    let (new, new_texts) = generations.load(to, &LoadOptions::CHECK)?;
    let (mut old_files, new_files) = (old_texts.included(), new_texts.included());
    let mut files = <[Vec<String>; 3]>::default();
    for (name, hash) in new_files {
        match old_files.remove(&name) {
            None => files[0].push(name),
            Some(before) if before != hash => files[2].push(name),
            Some(_) => {}
        }
    }
    files[1].extend(old_files.into_keys());
    let yaml = TextDiff::between(&old.redacted_yaml(), &new.redacted_yaml());
    Ok(GenerationDiff { from, to, yaml, files })
}

impl From<GenerationError> for ApiError {
    fn from(error: GenerationError) -> Self {
        let kind = match &error {
            GenerationError::Unknown { .. } => ErrorKind::NotFound,
            _ => ErrorKind::Execution,
        };
        Self::new(kind, error.to_string())
    }
}
