//! Command lines as data.

use super::*;

fn parse(line: &str) -> Result<Flags, FlagError> {
    Flags::parse(std::iter::once("prometheus").chain(line.split_whitespace()).map(OsString::from))
}

fn check(line: &str, name: &str, expected: &str) {
    assert_eq!(parse(line).unwrap().text(name), expected, "{line}");
}

fn check_error(line: &str, expected: &str) {
    match parse(line).unwrap_err() {
        FlagError::Usage(text) | FlagError::WrongMode(text) => assert_eq!(text, expected, "{line}"),
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn values_follow_kingpin() {
    check("", "config.file", "prometheus.yml");
    check("--config.file=a.yml", "config.file", "a.yml");
    check("--config.file a.yml", "config.file", "a.yml");
    check("--query.max-samples=1.5", "query.max-samples", "1");
    check("--scrape.timestamp-tolerance=1.5ms", "scrape.timestamp-tolerance", "1.5ms");
    check("--web.enable-lifecycle", "web.enable-lifecycle", "true");
    check("--no-web.enable-lifecycle", "web.enable-lifecycle", "false");
    check("--no-storage.tsdb.wal-compression", "storage.tsdb.wal-compression", "false");
    check("--query.timeout=90s", "query.timeout", "1m30s");
    check("--web.listen-address=:1", "web.listen-address", ":1");
    let flags = parse("--web.listen-address=:1 --web.listen-address=:2").unwrap();
    assert_eq!(flags.all("web.listen-address"), [":1", ":2"]);
}

#[test]
fn mistakes_are_named_in_kingpins_words() {
    check_error("--foo", "unknown long flag '--foo'");
    check_error("--foo=1", "unknown long flag '--foo'");
    check_error("-x", "unknown short flag '-x'");
    check_error("extra", "unexpected extra");
    check_error("--config.file", "expected argument for flag '--config.file'");
    check_error("--log.level=loud", "unrecognized log level loud");
    check_error("--log.format=loud", "unrecognized log format loud");
    check_error(
        "--storage.tsdb.wal-compression-type=x",
        "enum value must be one of snappy,zstd, got 'x'",
    );
    check_error("--config.file=a --config.file b", "flag 'config.file' cannot be repeated");
    check_error(
        "--web.enable-lifecycle --no-web.enable-lifecycle",
        "flag 'web.enable-lifecycle' cannot be repeated",
    );
    check_error("--storage.tsdb.retention.size=5", "units: unknown unit  in 5");
    check_error("--scrape.timestamp-tolerance=1", "time: missing unit in duration \"1\"");
    check_error("--query.timeout=5x", "unknown unit \"x\" in duration \"5x\"");
    check_error("--query.max-samples=x", "strconv.ParseFloat: parsing \"x\": invalid syntax");
    check_error(
        "--web.config.file=x",
        "flag '--web.config.file' is not supported by this build yet",
    );
    check_error(
        "--storage.agent.path=x",
        "The following flag(s) can only be used in agent mode: [\"--storage.agent.path\"]",
    );
}

#[test]
fn values_that_only_mean_something_in_their_range_are_refused() {
    let refusal = |line: &str| match Options::new(&parse(line).unwrap()) {
        Err(FlagError::Usage(reason)) => reason,
        other => panic!("{line}: {other:?}"),
    };
    let bound = "flag '--config.auto-revert-below' must be between 0 and 1, got ";
    for value in ["2", "-0.5", "NaN", "+Inf"] {
        let said = refusal(&format!("--config.auto-revert-below={value}"));
        assert_eq!(said, format!("{bound}{value}"));
    }
    assert_eq!(
        refusal("--config.auto-revert-below=0.5 --config.auto-revert-window=0s"),
        "flag '--config.auto-revert-window' must be above 0s"
    );
    assert_eq!(
        refusal("--query.rule-evaluators=10.0.0.0/8 --query.rule-evaluators=ruler"),
        "flag '--query.rule-evaluators': \"ruler\" is neither an address nor a network such as 10.0.0.0/8"
    );
    let options = Options::new(&parse("--config.auto-revert-below=0.5").unwrap()).unwrap();
    assert_eq!(options.trial.bound, 0.5);
    assert_eq!(options.trial.window.as_secs(), 120);
    assert_eq!(Options::new(&parse("").unwrap()).unwrap().trial.bound, 0.0);
}

#[test]
fn go_runtime_flags_are_accepted_and_named() {
    let flags = parse("--no-auto-gomemlimit --auto-gomemlimit.ratio=0.5").unwrap();
    assert_eq!(flags.without_effect, ["auto-gomemlimit", "auto-gomemlimit.ratio"]);
}

#[test]
fn every_default_is_a_value_of_its_kind() {
    for flag in FLAGS.iter().filter(|flag| !flag.default.is_empty()) {
        assert!(normalize(flag.kind, flag.default).is_ok(), "{}", flag.name);
    }
}
