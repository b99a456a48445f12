//! The command line: clap reads it by the table, a thin layer gives it kingpin's syntax and error texts.
//! Defaults and support of each flag stand in `table`; what the server makes of them in `options`.

mod features;
mod options;
mod table;
mod values;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
};

use clap::{Arg, ArgAction, ArgMatches, Command};
use prom_cli::{Refusal, explain, negated, switch};

pub(crate) use features::{Feature, Features};
pub(crate) use options::Options;
use table::{FLAGS, Flag, Kind, Mode, Support};
use values::normalize;

/// The values of all flags, as text.
#[derive(Clone, Debug)]
pub(crate) struct Flags {
    values: BTreeMap<&'static str, Vec<String>>,
    /// Flags that were given but have no effect here.
    pub(crate) without_effect: Vec<&'static str>,
}

/// Why the command line does not lead to a server.
#[derive(Debug)]
pub(crate) enum FlagError {
    /// `--help`: the text for standard output, exit status 0.
    Help(String),
    /// `--version`, likewise.
    Version,
    /// Not a command line: the reason and the usage for standard error, exit status 2.
    Usage(String),
    /// A flag of the other mode: exit status 3.
    WrongMode(String),
}

impl Flags {
    /// Reads a command line, the program's name first.
    ///
    /// # Errors
    /// See [`FlagError`]; texts follow kingpin's.
    pub(crate) fn parse<I: IntoIterator<Item = OsString>>(args: I) -> Result<Self, FlagError> {
        let args: Vec<OsString> = args.into_iter().collect();
        let repeated = repeated(&args);
        let matches = command().try_get_matches_from(args).map_err(|err| match explain(&err) {
            Refusal::Help(text) => FlagError::Help(text),
            Refusal::Usage(reason) => FlagError::Usage(reason),
        })?;
        if matches.get_flag("version") {
            return Err(FlagError::Version);
        }
        if let Some(name) = repeated {
            return Err(FlagError::Usage(format!("flag '{name}' cannot be repeated")));
        }
        let mut flags = Self { values: BTreeMap::new(), without_effect: Vec::new() };
        let mut wrong_mode = Vec::new();
        for flag in FLAGS {
            let given = given_values(flag, &matches);
            if given.is_empty() {
                flags.values.insert(flag.name, vec![flag.default.to_owned()]);
                continue;
            }
            let values: Result<Vec<_>, _> =
                given.iter().map(|text| normalize(flag.kind, text)).collect();
            let values = values.map_err(FlagError::Usage)?;
            if flag.mode == Mode::Agent {
                wrong_mode.push(format!("\"--{}\"", flag.name));
            }
            match flag.support {
                Support::Honored => {}
                Support::NoEffect => flags.without_effect.push(flag.name),
                Support::NotYet if values.join(",") == flag.default => {}
                Support::NotYet if flag.mode == Mode::Agent => {}
                Support::NotYet => {
                    return Err(FlagError::Usage(format!(
                        "flag '--{}' is not supported by this build yet",
                        flag.name
                    )));
                }
            }
            flags.values.insert(flag.name, values);
        }
        if !wrong_mode.is_empty() {
            return Err(FlagError::WrongMode(format!(
                "The following flag(s) can only be used in agent mode: [{}]",
                wrong_mode.join(" ")
            )));
        }
        Ok(flags)
    }

    /// All values of a flag.
    pub(crate) fn all(&self, name: &str) -> &[String] {
        self.values.get(name).expect("the flag stands in the table")
    }

    /// The last value of a flag.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.all(name).last().map_or("", String::as_str)
    }

    /// Name and value of each flag, for `/api/v1/status/flags`.
    pub(crate) fn to_map(&self) -> BTreeMap<String, String> {
        self.values.iter().map(|(name, values)| ((*name).to_owned(), values.join(","))).collect()
    }
}

fn command() -> Command {
    let mut command = Command::new("prometheus")
        .about("The Prometheus monitoring server")
        .override_usage("prometheus [<flags>]")
        .disable_version_flag(true)
        .arg(Arg::new("version").long("version").action(ArgAction::SetTrue).help("Show version"));
    for flag in FLAGS {
        if flag.kind == Kind::Bool {
            let [arg, twin] = switch(flag.name, help(flag));
            command = command.arg(arg.hide(flag.is_hidden)).arg(twin);
        } else {
            let arg = Arg::new(flag.name).long(flag.name).hide(flag.is_hidden).help(help(flag));
            let arg = arg.value_name("VALUE").allow_hyphen_values(true);
            command = command.arg(arg.action(ArgAction::Append));
        }
    }
    command
}

fn help(flag: &Flag) -> String {
    let default = match (flag.kind, flag.default) {
        (Kind::Bool, _) | (_, "") => String::new(),
        (_, default) => format!(" [default: {default}]"),
    };
    let support = match flag.support {
        Support::Honored => "",
        Support::NoEffect => " (accepted without effect)",
        Support::NotYet => " (not supported by this build yet)",
    };
    format!("{}{default}{support}", flag.help)
}

/// The first flag that is given twice and may not be. Compat: kingpin's `cannot be repeated`.
fn repeated(args: &[OsString]) -> Option<&'static str> {
    let mut given = BTreeSet::new();
    let mut args = args.iter().skip(1).filter_map(|arg| arg.to_str());
    while let Some(arg) = args.next() {
        let Some(text) = arg.strip_prefix("--") else { continue };
        if text.is_empty() {
            break;
        }
        let name = text.split('=').next().unwrap_or_default();
        let positive = name.strip_prefix("no-");
        let is_meant = |flag: &&Flag| {
            flag.name == name || (flag.kind == Kind::Bool && Some(flag.name) == positive)
        };
        let Some(flag) = FLAGS.iter().find(is_meant) else { continue };
        if flag.kind != Kind::Bool && !text.contains('=') {
            args.next();
        }
        if !flag.is_repeated && !given.insert(flag.name) {
            return Some(flag.name);
        }
    }
    None
}

/// What was given for a flag, in order; booleans as `true` or `false`.
fn given_values(flag: &Flag, matches: &ArgMatches) -> Vec<String> {
    if flag.kind != Kind::Bool {
        return matches.get_many::<String>(flag.name).unwrap_or_default().cloned().collect();
    }
    if matches.get_flag(flag.name) {
        vec!["true".to_owned()]
    } else if matches.get_flag(&negated(flag.name)) {
        vec!["false".to_owned()]
    } else {
        Vec::new()
    }
}

#[cfg(test)]
mod tests;
