//! What clap finds wrong, in kingpin's words; and flags that can be negated.
//! Compat: alecthomas/kingpin v2, `parser.go` and `flags.go`.

use clap::{
    Arg, ArgAction, Error,
    error::{ContextKind, ErrorKind},
};

/// Why a command line gives nothing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Help was asked for: the text for standard output.
    Help(String),
    /// Not a command line: the reason.
    Usage(String),
}

/// clap's error in kingpin's words.
pub fn explain(err: &Error) -> Refusal {
    let context = |kind| err.get(kind).map(ToString::to_string).unwrap_or_default();
    let argument = context(ContextKind::InvalidArg);
    let argument = argument.split([' ', '=']).next().unwrap_or_default();
    Refusal::Usage(match err.kind() {
        ErrorKind::DisplayHelp => return Refusal::Help(err.render().to_string()),
        ErrorKind::InvalidSubcommand => {
            format!("expected command but got {:?}", context(ContextKind::InvalidSubcommand))
        }
        ErrorKind::UnknownArgument if argument.starts_with("--") => {
            format!("unknown long flag '{argument}'")
        }
        ErrorKind::UnknownArgument if argument.starts_with('-') => {
            format!("unknown short flag '{argument}'")
        }
        ErrorKind::UnknownArgument => format!("unexpected {argument}"),
        ErrorKind::InvalidValue => format!("expected argument for flag '{argument}'"),
        _ => {
            let text = err.render().to_string();
            text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
        }
    })
}

/// `no-name`, the twin that takes a flag back.
pub fn negated(name: &str) -> String {
    format!("no-{name}")
}

/// A flag without a value and its twin; the last one given counts.
pub fn switch(name: &str, help: impl Into<String>) -> [Arg; 2] {
    let names = [name.to_owned(), negated(name)];
    let arg = |name: &String| Arg::new(name.clone()).long(name.clone()).action(ArgAction::SetTrue);
    let [flag, twin] = [arg(&names[0]).help(help.into()), arg(&names[1]).hide(true)];
    [flag.overrides_with_all(names.clone()), twin.overrides_with_all(names)]
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    fn parse(line: &str) -> Result<bool, Refusal> {
        let command = Command::new("program")
            .subcommand(Command::new("check"))
            .args(switch("fast", "Be quick"))
            .arg(Arg::new("file").long("file"));
        let words = std::iter::once("program").chain(line.split_whitespace());
        match command.try_get_matches_from(words) {
            Ok(matches) => Ok(matches.get_flag("fast")),
            Err(err) => Err(explain(&err)),
        }
    }

    #[test]
    fn the_last_of_a_flag_and_its_twin_counts() {
        for (line, expected) in
            [("", false), ("--fast", true), ("--fast --no-fast", false), ("--no-fast --fast", true)]
        {
            assert_eq!(parse(line), Ok(expected), "{line}");
        }
    }

    #[test]
    fn mistakes_are_said_in_kingpins_words() {
        let cases = [
            ("--slow", "unknown long flag '--slow'"),
            ("--slow=1", "unknown long flag '--slow'"),
            ("-x", "unknown short flag '-x'"),
            ("--file", "expected argument for flag '--file'"),
            ("bogus", "expected command but got \"bogus\""),
            ("check bogus", "unexpected bogus"),
        ];
        for (line, reason) in cases {
            assert_eq!(parse(line), Err(Refusal::Usage(reason.to_owned())), "{line}");
        }
        assert!(matches!(parse("--help"), Err(Refusal::Help(text)) if text.contains("Be quick")));
    }
}
