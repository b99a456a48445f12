//! A reload of the server, in two phases: every room prepares, then all take over. What a generation is, and
//! how the rooms do their part, is theirs; here is the order, and what is told of it.

use std::{collections::BTreeMap, sync::Arc};

use prom_config::{
    Accepted, Changes, Config, ExprCheck, Generations, GenerationsView, LoadOptions, Rejection,
    RoomChange, Sources, load_with, write_files,
};
use prom_lifecycle::{Event, Failure, Preparation, ReloadCause, ReloadStep};
use prom_telemetry::clock;

use crate::{
    exemplars::exemplars_count_max,
    flags::Feature,
    float_encoding::{checked_float_encoding, float_encoding},
    out_of_order::apply_out_of_order_window,
    prometheus::{Prometheus, Running},
    queries::PreparedQueryLog,
    retention::retention,
    stale_series::stale_series_threshold,
};

/// A new configuration, prepared by every room.
#[derive(Debug)]
pub(crate) struct Prepared {
    config: Arc<Config>,
    sources: Sources,
    scrape: prom_scrape::Prepared,
    query_log: PreparedQueryLog,
    changes: Changes,
    cause: ReloadCause,
    /// The files will go on to hold something else.
    is_file_other: bool,
}

impl Prometheus {
    /// How the server loads a configuration; parts equal to those of `previous` are shared with it.
    pub(crate) fn load_options<'o>(
        &self,
        check_expression: &'o ExprCheck<'o>,
        previous: Option<&'o Config>,
    ) -> LoadOptions<'o> {
        LoadOptions {
            check_expression: Some(check_expression),
            leaves_rules_unevaluated: self.options.is_rule_evaluation_off,
            prefers_protobuf: [Feature::StartZeros, Feature::StartStorage]
                .iter()
                .any(|feature| self.options.features.has(*feature)),
            previous,
            ..LoadOptions::SERVER
        }
    }

    /// The first phase. Without effect on what runs; a refusal is remembered with the generations.
    pub(crate) fn prepare(
        &self,
        running: &Running,
        step: &ReloadStep,
    ) -> Result<Preparation<Prepared>, Failure> {
        let cause = step.cause();
        if let ReloadCause::Revert(number) = cause
            && !self.trials.wants(number)
        {
            // Another reload was faster; what it brought is on trial now.
            return Ok(Preparation::Unchanged);
        }
        let mut sources = Sources::of_disk();
        let prepared = match cause.restores() {
            Some(number) => self.prepare_generation(running, step, number),
            None => {
                let prepared = self.prepare_files(running, step, &mut sources);
                if let Err(failure) = &prepared {
                    self.watch.follow_also(&sources);
                    remember_refusal(running, cause, failure, &sources);
                }
                prepared
            }
        }?;
        let Some(prepared) = prepared else { return Ok(Preparation::Unchanged) };
        Ok(Preparation::Prepared(prepared))
    }

    /// The second phase: all rooms take over. It cannot fail; a disk that does not keep the generation is
    /// told in what it returns.
    pub(crate) fn commit(&self, running: &Running, prepared: Prepared) -> String {
        let Prepared { config, sources, scrape, query_log, changes, cause, is_file_other } =
            prepared;
        let mut summary = changes.to_string();
        let before = running.generations.view().current.map(|it| it.number);
        let before = self.trials.look(&running.scrape, before);
        let undone = cause.restores().and_then(|_| self.trials.end(cause));
        let accepted = Accepted {
            accepted_ms: clock::now_ms(),
            cause: undone.map_or(cause.to_string(), |reason| format!("{cause}: {reason}")),
            restores: cause.restores(),
            changes,
            sources: &sources,
            is_file_other,
        };
        // The slow part, on the disk, comes before the swap, which all see at once.
        let (generation, fault) = running.generations.accept(accepted);
        let old = running.config.swap(Arc::clone(&config));
        self.apply_retention(running, &old, &config);
        running.db.set_exemplars_count_max(exemplars_count_max(&self.options, &config));
        running.db.set_float_encoding(float_encoding(&self.options, &config));
        running.db.set_stale_series_threshold(stale_series_threshold(&config));
        apply_out_of_order_window(running, &old, &config);
        running.scrape.commit(scrape);
        query_log.take_over(&running.engine);
        running.included.store(Arc::new(sources.included()));
        self.watch.follow(&sources, &config);
        if cause.restores().is_none() {
            self.trials.begin(generation.number, before);
        }
        summary = match cause {
            ReloadCause::Revert(_) => format!("{}: {summary}", generation.cause),
            _ => summary,
        };
        summary = format!("generation {}: {summary}", generation.number);
        if let Some(fault) = fault {
            tracing::warn!(err = %fault, "There is no way back to this configuration");
            summary = format!("{summary} ({fault})");
        }
        summary
    }

    /// The storage removes what is beyond new limits, in its own time: a compaction may be under way.
    fn apply_retention(&self, running: &Running, before: &Config, now: &Config) {
        let limits = retention(&self.options, now);
        if limits == retention(&self.options, before) {
            return;
        }
        let (handle, db) = (running.handle.clone(), Arc::clone(&running.db));
        running.handle.spawn("retention", async move {
            let applied = handle.blocking(move || db.apply_retention(limits)).await;
            match applied {
                Ok(Ok(())) => {}
                Ok(Err(err)) => {
                    tracing::error!(%err, "Blocks beyond the retention are not removed")
                }
                Err(err) => tracing::warn!(%err, "Retention follows with the next compaction"),
            }
        });
    }

    /// From the files on disk; `None` if they hold what runs.
    fn prepare_files(
        &self,
        running: &Running,
        step: &ReloadStep,
        sources: &mut Sources,
    ) -> Result<Option<Prepared>, Failure> {
        let previous = running.config.load_full();
        let config = match previous.is_unchanged_in(&self.options.config_file, sources) {
            true => Config::clone(&previous),
            false => self.load(sources, Some(&previous))?,
        };
        step.mark_read();
        if config.content_hash() == previous.content_hash() {
            running.generations.note_unchanged();
            self.trials.forget_revert();
            self.watch.follow(sources, &config);
            // Whoever moves the log away asks for a reload: it is opened anew.
            PreparedQueryLog::of(&config).map_err(invalid)?.take_over(&running.engine);
            return Ok(None);
        }
        self.prepare_rooms(running, step, config, sources.clone(), false).map(Some)
    }

    /// From an earlier generation; `None` if it is what runs.
    fn prepare_generation(
        &self,
        running: &Running,
        step: &ReloadStep,
        number: u64,
    ) -> Result<Option<Prepared>, Failure> {
        let refused = |reason: String| Failure::new(Event::ConfigInvalid, reason);
        let previous = running.config.load_full();
        let check = self.expression_check();
        let options = self.load_options(&check, Some(&previous));
        let loaded = running.generations.load(number, &options);
        let (config, sources) = loaded.map_err(|err| refused(err.to_string()))?;
        step.mark_read();
        let is_running = config.content_hash() == running.config.load().content_hash();
        let texts = sources.texts().to_vec();
        let prepared = match is_running {
            true => None,
            false => Some(self.prepare_rooms(running, step, config, sources, true)?),
        };
        if step.cause() != ReloadCause::RollbackAndWrite(number) {
            return Ok(prepared);
        }
        // The last that may fail; from here on the files are worth what runs.
        let written = write_files(&texts).map_err(|err| refused(err.to_string()))?;
        for file in written {
            tracing::info!(file = %file.display(), generation = number, "Configuration file written");
        }
        let mut disk = Sources::of_disk();
        let on_disk =
            load_with(&self.options.config_file, &mut disk, &self.load_options(&check, None));
        let hash_on_disk = on_disk.map(|config| config.content_hash()).ok();
        match prepared {
            Some(prepared) => {
                let is_file_other = hash_on_disk != Some(prepared.config.content_hash());
                let sources = if is_file_other { prepared.sources } else { disk };
                Ok(Some(Prepared { is_file_other, sources, ..prepared }))
            }
            None => {
                running.generations.note_unchanged();
                Ok(None)
            }
        }
    }

    fn prepare_rooms(
        &self,
        running: &Running,
        step: &ReloadStep,
        config: Config,
        sources: Sources,
        is_file_other: bool,
    ) -> Result<Prepared, Failure> {
        step.mark_checked();
        let scrape = running
            .scrape
            .prepare(&config)
            .map_err(|err| Failure::new(Event::ConfigInvalid, err.to_string()))?;
        checked_float_encoding(&self.options, &config)
            .map_err(|reason| Failure::new(Event::ConfigInvalid, reason))?;
        let query_log = PreparedQueryLog::of(&config).map_err(invalid)?;
        let mut changes = Changes::default();
        for change in scrape.changes() {
            changes.add(change.clone());
        }
        for change in Config::changed_parts(&running.config.load(), &config) {
            changes.add(change);
        }
        changes.add(changed_files(&running.included.load(), &sources.included()));
        let config = Arc::new(config);
        let cause = step.cause();
        Ok(Prepared { config, sources, scrape, query_log, changes, cause, is_file_other })
    }
}

fn invalid(err: std::io::Error) -> Failure {
    Failure::new(Event::ConfigInvalid, err.to_string())
}

/// The configuration of the start becomes a generation, if it is not the latest one.
pub(crate) fn accept_at_start(
    generations: &Generations,
    prepared: &prom_scrape::Prepared,
    sources: &Sources,
) {
    let mut changes = Changes::default();
    prepared.changes().iter().for_each(|change| changes.add(change.clone()));
    let accepted = Accepted {
        accepted_ms: clock::now_ms(),
        cause: "the start".to_owned(),
        restores: None,
        changes,
        sources,
        is_file_other: false,
    };
    if let (_, Some(fault)) = generations.accept(accepted) {
        tracing::warn!(err = %fault, "There is no way back to this configuration");
    }
}

/// What a status line adds: that the way back is cut, or that the files hold something else.
pub(crate) fn generation_facts(view: &GenerationsView) -> String {
    let Some(current) = &view.current else { return String::new() };
    let mut facts = String::new();
    if let (Some(restored), true) = (current.restores, view.is_file_other) {
        facts.push_str(&format!(
            "; generation {} (back to {restored}), the file holds something else",
            current.number
        ));
    }
    if let Some(fault) = &view.fault {
        facts.push_str(&format!("; {fault}"));
    }
    facts
}

/// The generations one a line, the latest first, for the control socket.
pub(crate) fn generations_text(view: &GenerationsView) -> String {
    let line = |generation: &Arc<prom_config::Generation>| {
        let is_current = view.current.as_ref().is_some_and(|it| it.number == generation.number);
        format!(
            "{} {}  {}  {} ({})",
            if is_current { "*" } else { " " },
            generation.number,
            moment_text(generation.accepted_ms),
            generation.changes,
            generation.cause,
        )
    };
    let mut lines: Vec<String> = view.kept.iter().map(line).collect();
    if view.is_file_other {
        lines.push("the file on disk holds something else than what runs".to_owned());
    }
    lines.extend(view.fault.clone());
    match lines.is_empty() {
        true => "no generation is kept".to_owned(),
        false => lines.join("\n"),
    }
}

/// Keeps a refused configuration beside the running one. A failure of the reload itself has no file.
fn remember_refusal(running: &Running, cause: ReloadCause, failure: &Failure, sources: &Sources) {
    // The first line is a digest of the others.
    let errors = failure.message.split_once('\n').map_or(&*failure.message, |(_, all)| all);
    let rejection = Rejection {
        rejected_ms: clock::now_ms(),
        cause: cause.to_string(),
        errors: errors.to_owned(),
    };
    running.generations.reject(rejection, sources.texts().first());
}

fn changed_files(old: &BTreeMap<String, u64>, new: &BTreeMap<String, u64>) -> RoomChange {
    fn pairs(files: &BTreeMap<String, u64>) -> impl Iterator<Item = (&str, u64)> {
        files.iter().map(|(name, hash)| (&**name, *hash))
    }
    RoomChange::between("included files", pairs(old), pairs(new))
}

fn moment_text(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms).map(|moment| moment.to_string()).unwrap_or_default()
}
