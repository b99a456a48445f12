//! Every flag of Prometheus 3.14 as data: name, default, kind, and what this build does with it.
//! Compat: `cmd/prometheus/main.go` and `docs/command-line/prometheus.md`.

/// How a flag's text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `--name` or `--no-name`.
    Bool,
    Text,
    /// Prometheus's duration: `1h30m`.
    Duration,
    /// Go's duration: `2ms`, `1.5h`.
    GoDuration,
    Integer,
    Float,
    /// Bytes with a unit, powers of two: `512MB`.
    Size,
    /// One of these words; what is said of another one, if not the usual.
    OneOf {
        words: &'static [&'static str],
        refusal: Option<&'static str>,
    },
}

/// In which mode a flag may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Any,
    Server,
    Agent,
}

/// What this build does with a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Support {
    Honored,
    /// Tunes the Go runtime, which is not here: accepted, and said to have no effect.
    NoEffect,
    /// Giving it a value other than its default is an error that says so.
    NotYet,
}

/// One flag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flag {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// As `/api/v1/status/flags` prints it when the flag is not given.
    pub(crate) default: &'static str,
    pub(crate) is_repeated: bool,
    pub(crate) is_hidden: bool,
    pub(crate) mode: Mode,
    pub(crate) support: Support,
    pub(crate) help: &'static str,
}

impl Flag {
    const fn new(
        name: &'static str,
        kind: Kind,
        default: &'static str,
        help: &'static str,
    ) -> Self {
        Self {
            name,
            kind,
            default,
            is_repeated: false,
            is_hidden: false,
            mode: Mode::Any,
            support: Support::Honored,
            help,
        }
    }

    const fn repeated(mut self) -> Self {
        self.is_repeated = true;
        self
    }

    const fn hidden(mut self) -> Self {
        self.is_hidden = true;
        self
    }

    const fn server(mut self) -> Self {
        self.mode = Mode::Server;
        self
    }

    const fn agent(mut self) -> Self {
        self.mode = Mode::Agent;
        self.support = Support::NotYet;
        self
    }

    const fn not_yet(mut self) -> Self {
        self.support = Support::NotYet;
        self
    }

    const fn no_effect(mut self) -> Self {
        self.support = Support::NoEffect;
        self
    }
}

use Kind::{Bool, Duration, Float, GoDuration, Integer, OneOf, Size, Text};

const COMPRESSION_TYPES: Kind = OneOf { words: &["snappy", "zstd"], refusal: None };
const SWITCH: Kind = OneOf { words: &["on", "off"], refusal: None };
const LOG_LEVELS: Kind =
    OneOf { words: &["debug", "info", "warn", "error"], refusal: Some("unrecognized log level") };
const LOG_FORMATS: Kind =
    OneOf { words: &["logfmt", "json"], refusal: Some("unrecognized log format") };

/// All flags, in the order of `--help`.
#[rustfmt::skip]
pub(crate) const FLAGS: &[Flag] = &[
    Flag::new("config.file", Text, "prometheus.yml", "Configuration file"),
    Flag::new("config.auto-reload", Bool, "false", "Reload when a configuration file changes; this server does so by itself").no_effect(),
    Flag::new("config.auto-reload-interval", Duration, "30s", "Polling period of --config.auto-reload; this server is told of changes").no_effect(),
    Flag::new("config.auto-revert-below", Float, "0", "After a reload, go back to the configuration before it when less than this part of the targets that were up stays up; 0: never"),
    Flag::new("config.auto-revert-window", Duration, "2m", "How long after a reload --config.auto-revert-below watches the targets"),
    Flag::new("web.listen-address", Text, "0.0.0.0:9090", "Address to listen on for API, pages and metrics; may be repeated").repeated(),
    Flag::new("auto-gomaxprocs", Bool, "true", "Go runtime").no_effect(),
    Flag::new("auto-gomemlimit", Bool, "true", "Go runtime").no_effect(),
    Flag::new("auto-gomemlimit.ratio", Float, "0.9", "Go runtime").no_effect(),
    Flag::new("auto-gomemlimit.refresh-interval", Duration, "0s", "Go runtime").no_effect(),
    Flag::new("web.config.file", Text, "", "File that enables TLS or authentication").not_yet(),
    Flag::new("web.read-timeout", Duration, "5m", "Longest time to read a request or to keep an idle connection"),
    Flag::new("web.max-connections", Integer, "512", "Most simultaneous connections over all listeners"),
    Flag::new("web.max-notifications-subscribers", Integer, "16", "Most subscribers of live notifications").not_yet(),
    Flag::new("web.external-url", Text, "", "URL under which this server is reachable from outside; its path prefixes all routes"),
    Flag::new("web.route-prefix", Text, "", "Prefix of all routes; default: the path of --web.external-url"),
    Flag::new("web.user-assets", Text, "", "Folder served at /user").not_yet(),
    Flag::new("web.enable-lifecycle", Bool, "false", "Enable reload and shutdown by HTTP request"),
    Flag::new("web.enable-admin-api", Bool, "false", "Enable the API for administration"),
    Flag::new("web.enable-remote-write-receiver", Bool, "false", "Accept remote write requests"),
    Flag::new("web.remote-write-receiver.accepted-protobuf-messages", Text, "prometheus.WriteRequest,io.prometheus.write.v2.Request", "Messages that the remote write receiver accepts; this build takes the first only").repeated(),
    Flag::new("web.enable-otlp-receiver", Bool, "false", "Accept OTLP write requests").not_yet(),
    Flag::new("web.console.templates", Text, "consoles", "Folder of console templates").not_yet(),
    Flag::new("web.console.libraries", Text, "console_libraries", "Folder of console libraries").not_yet(),
    Flag::new("web.page-title", Text, "Prometheus Time Series Collection and Processing Server", "Title of the pages"),
    Flag::new("web.cors.origin", Text, ".*", "Regular expression, anchored, of origins that may call the API"),
    Flag::new("web.search.max-limit", Integer, "10000", "Largest limit of the search API; 0: none").server().not_yet(),
    Flag::new("storage.tsdb.path", Text, "data/", "Folder of the stored samples").server(),
    Flag::new("storage.tsdb.retention.time", Duration, "0s", "How long samples are kept").server(),
    Flag::new("storage.tsdb.retention.size", Size, "0B", "How many bytes of blocks are kept").server(),
    Flag::new("storage.tsdb.no-lockfile", Bool, "false", "Do not lock the folder against other processes").server(),
    Flag::new("storage.tsdb.head-chunks-write-queue-size", Integer, "0", "Queue of head chunks to be written").server().not_yet(),
    Flag::new("storage.tsdb.delay-compact-file.path", Text, "", "File that tells which blocks an uploader has yet to take").server().not_yet(),
    Flag::new("storage.tsdb.min-block-duration", Duration, "2h", "Shortest range of a block").server().hidden(),
    Flag::new("storage.tsdb.max-block-duration", Duration, "0s", "Longest range of a compacted block").server().hidden(),
    Flag::new("storage.tsdb.max-block-chunk-segment-size", Size, "0B", "Largest segment of a block's chunks").server().hidden().not_yet(),
    Flag::new("storage.tsdb.wal-segment-size", Size, "0B", "Size at which the log starts a new segment").server().hidden(),
    Flag::new("storage.tsdb.wal-compression", Bool, "true", "Compress the log").server().hidden(),
    Flag::new("storage.tsdb.wal-compression-type", COMPRESSION_TYPES, "snappy", "How the log is compressed").server().hidden(),
    Flag::new("storage.tsdb.samples-per-chunk", Integer, "120", "Samples a chunk aims at").server().hidden().not_yet(),
    Flag::new("storage.tsdb.allow-overlapping-compaction", Bool, "true", "Compact overlapping blocks").server().hidden().not_yet(),
    Flag::new("storage.tsdb.delayed-compaction.max-percent", Integer, "10", "Longest random delay of a compaction").server().hidden().not_yet(),
    Flag::new("storage.tsdb.block-reload-interval", Duration, "1m", "How often blocks are looked for").server().hidden().not_yet(),
    Flag::new("storage.tsdb.early-wal-checkpoint", Bool, "false", "Keep samples in the log only until durable files of head chunks have them").server(),
    Flag::new("storage.tsdb.series-limit", Integer, "0", "Most series in memory; new ones beyond it are refused; 0: no limit").server(),
    Flag::new("storage.tsdb.series-limit-per-job", Integer, "0", "The same for series with one value of the label job").server(),
    Flag::new("storage.tsdb.series-limit-per-metric", Integer, "0", "The same for series of one name").server(),
    Flag::new("storage.agent.path", Text, "data-agent/", "Folder of the agent's log").agent(),
    Flag::new("storage.agent.wal-compression", Bool, "true", "Compress the agent's log").agent(),
    Flag::new("storage.agent.wal-compression-type", COMPRESSION_TYPES, "snappy", "How the agent's log is compressed").agent().hidden(),
    Flag::new("storage.agent.wal-segment-size", Size, "0B", "Size at which the agent's log starts a new segment").agent().hidden(),
    Flag::new("storage.agent.wal-truncate-frequency", Duration, "0s", "How often the agent's log is truncated").agent().hidden(),
    Flag::new("storage.agent.retention.min-time", Duration, "0s", "Least age of samples that a truncation may drop").agent(),
    Flag::new("storage.agent.retention.max-time", Duration, "0s", "Age at which a truncation drops samples").agent(),
    Flag::new("storage.agent.checkpoint-from-in-memory-series", Bool, "false", "Make checkpoints of the series in memory").agent(),
    Flag::new("storage.agent.checkpoint-batch-size", Integer, "1000", "Series written at once to a checkpoint").agent(),
    Flag::new("storage.agent.no-lockfile", Bool, "false", "Do not lock the agent's folder").agent(),
    Flag::new("storage.remote.flush-deadline", Duration, "1m", "How long a shutdown or reload waits for samples to be sent").not_yet(),
    Flag::new("storage.remote.read-sample-limit", Integer, "50000000", "Most samples of one remote read; 0: no limit").server().not_yet(),
    Flag::new("storage.remote.read-concurrent-limit", Integer, "10", "Most concurrent remote reads; 0: no limit").server().not_yet(),
    Flag::new("storage.remote.read-max-bytes-in-frame", Integer, "1048576", "Largest frame of a streamed remote read").server().not_yet(),
    Flag::new("rules.evaluation", SWITCH, "on", "off: load, check and watch rule files, evaluate none; this build refuses rules without it").server(),
    Flag::new("rules.alert.for-outage-tolerance", Duration, "1h", "Longest outage over which an alert's \"for\" state is restored").server().not_yet(),
    Flag::new("rules.alert.for-grace-period", Duration, "10m", "Least time between a restored alert and its firing").server().not_yet(),
    Flag::new("rules.alert.resend-delay", Duration, "1m", "Least time between two sendings of an alert").server().not_yet(),
    Flag::new("rules.max-concurrent-evals", Integer, "4", "Most independent rules evaluated at once").server().not_yet(),
    Flag::new("alertmanager.notification-queue-capacity", Integer, "10000", "Most notifications that wait").server().not_yet(),
    Flag::new("alertmanager.notification-batch-size", Integer, "256", "Most notifications sent at once").server().not_yet(),
    Flag::new("alertmanager.drain-notification-queue-on-shutdown", Bool, "true", "Send what waits before stopping").server().not_yet(),
    Flag::new("query.lookback-delta", Duration, "5m", "How far back an instant looks for a sample").server(),
    Flag::new("query.timeout", Duration, "2m", "Longest time a query may take").server(),
    Flag::new("query.max-concurrency", Integer, "20", "Most queries executed at once").server(),
    Flag::new("query.max-samples", Integer, "50000000", "Most samples one query may hold").server(),
    Flag::new("query.max-memory", Size, "0B", "Most memory the values of one query may take; 0: by the size of the machine").server(),
    Flag::new("query.max-memory-total", Size, "0B", "Most memory the values of all queries may take; 0: half of the machine").server(),
    Flag::new("query.rule-evaluators", Text, "", "Address or network of those who evaluate rules over this server, as Thanos Ruler and vmalert do: their queries come first; may be repeated").server().repeated(),
    Flag::new("scrape.adjust-timestamps", Bool, "true", "Snap scrape times to the schedule within the tolerance").hidden(),
    Flag::new("scrape.timestamp-tolerance", GoDuration, "2ms", "How far a scrape time may be snapped").hidden(),
    Flag::new("scrape.discovery-reload-interval", Duration, "5s", "How often discovered targets are taken over").hidden().not_yet(),
    Flag::new("enable-feature", Text, "", "Comma separated names of features to enable").repeated(),
    Flag::new("agent", Bool, "false", "Run in agent mode").not_yet(),
    Flag::new("log.level", LOG_LEVELS, "info", "Least severity that is logged"),
    Flag::new("log.format", LOG_FORMATS, "logfmt", "Form of the log"),
];
