//! What the shelf holds: the reference's own bodies, hard ones written by hand, and damaged ones.

use prom_testkit::{Message, conformance};

/// One body.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
}

pub(super) const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
pub(super) const PROTOBUF: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
/// Name of the case, and the family, of a gauge histogram that is classic.
const CLASSIC_GAUGE: &str = "classic_gauge";
/// Damaged copies of each short body.
const DAMAGED_COUNT: usize = 4;
/// Names of cases of histograms begin so.
const HISTOGRAMS: &str = "histograms";
/// Bodies up to this size are damaged, too.
const DAMAGED_SIZE_BYTES_MAX: usize = 20_000;
/// The damage is the same in each run.
const SEED: u64 = 0x5eed_0f5c_4a9e_5001;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name: String, content_type, body: Vec<u8>| {
        cases.push(Case { name, content_type, body });
    };
    if let Some(folder) = conformance("textparse") {
        for (name, content_type) in [
            ("alltypes.237mfs.prom.txt", TEXT),
            ("alltypes.237mfs.nometa.prom.txt", TEXT),
            ("alltypes.5mfs.om.txt", OPEN_METRICS),
            ("1histogram.om.txt", OPEN_METRICS),
        ] {
            let body = std::fs::read(folder.join(name)).expect("the folder has this body");
            let as_families = families_of_lines(&String::from_utf8_lossy(&body));
            add(name.to_owned(), content_type, body);
            add(format!("{name}.proto"), PROTOBUF, as_families);
        }
    }
    for (index, body) in TEXT_BODIES.iter().enumerate() {
        add(format!("text{index}"), TEXT, body.as_bytes().to_vec());
    }
    for (index, body) in OPEN_METRICS_BODIES.iter().enumerate() {
        add(format!("openmetrics{index}"), OPEN_METRICS, body.as_bytes().to_vec());
    }
    for (index, body) in [simple_families(), broken_families()].concat().into_iter().enumerate() {
        add(format!("families{index}"), PROTOBUF, body);
    }
    for (index, body) in histograms().into_iter().enumerate() {
        let is_gauge = body.windows(CLASSIC_GAUGE.len()).any(|it| it == CLASSIC_GAUGE.as_bytes());
        let name = if is_gauge { CLASSIC_GAUGE.to_owned() } else { format!("{HISTOGRAMS}{index}") };
        add(name, PROTOBUF, body);
    }
    let mut random = Random(SEED);
    // The original dies of damaged histograms where their buckets are limited.
    let short = cases.iter().filter(|case| {
        case.body.len() <= DAMAGED_SIZE_BYTES_MAX && !case.name.starts_with(HISTOGRAMS)
    });
    let mut damaged = Vec::new();
    for case in short {
        for index in 0..DAMAGED_COUNT {
            let (name, body) =
                (format!("{}.damaged{index}", case.name), damage(&case.body, &mut random));
            damaged.push(Case { name, content_type: case.content_type, body });
        }
    }
    cases.extend(damaged);
    cases
}

/// Longer ago than a head takes samples.
const TOO_OLD_MS: i64 = 10_800_000;

/// Bodies that tell since when their series count: for a while, for too long, since right now, and not even yet.
pub(super) fn starting_cases(now_ms: i64) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, age_ms) in [
        ("fresh", 600_123),
        ("older", 1_500_500),
        ("too_old", TOO_OLD_MS),
        ("begun", -3_600_000),
        ("never", now_ms),
    ] {
        let start_ms = now_ms - age_ms;
        let start = format!("{}.{:03}", start_ms / 1000, start_ms % 1000);
        for (index, body) in STARTING_BODIES.iter().enumerate() {
            let body = body.replace("START", &start).into_bytes();
            let name = format!("openmetrics.{name}{index}");
            cases.push(Case { name, content_type: OPEN_METRICS, body });
        }
        // Version 3.5 dies of a native histogram whose start is older than what its head takes.
        let has_native = age_ms != TOO_OLD_MS;
        for (index, body) in starting_families(start_ms, has_native).into_iter().enumerate() {
            cases.push(Case { name: format!("{name}{index}"), content_type: PROTOBUF, body });
        }
    }
    cases
}

const STARTING_BODIES: [&str; 6] = [
    "# TYPE a counter\na_total{x=\"1\"} 1\na_created{x=\"1\"} START\na_total{x=\"2\"} 2 # {id=\"y\"} 1\n\
     a_total{x=\"3\"} 3\na_created{x=\"2\"} START\na_created{x=\"3\"} START\n# EOF\n",
    "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 3\nh_count 3\nh_sum 4\nh_created START\n\
     # TYPE s summary\ns{quantile=\"0.5\"} 1\ns_count 1\ns_sum 2\ns_created START\n# EOF\n",
    "# TYPE g gauge\ng 1\ng_created START\n# TYPE i info\ni_info 1\n# TYPE u unknown\nu_total 1\nu_created START\n# EOF\n",
    "a_total 1\na_created START\n# TYPE b counter\nb_created START\nb_total 1\n# EOF\n",
    "# TYPE a counter\n{\"a_total\",x=\"1\"} 1\n{\"a_created\",x=\"1\"} START\n# HELP b _created\n# TYPE b counter\n\
     b_total{x=\"_created\"} 1\nb_created{x=\"_created\"} START\n# EOF\n",
    "# TYPE h histogram\nh_count{x=\"1\"} 3\nh_created{x=\"1\"} START\nh_sum{x=\"1\"} 4\nh_bucket{x=\"1\",le=\"+Inf\"} 3\n\
     h_count{x=\"2\"} 3\nh_sum{x=\"2\"} 3\n# EOF\n",
];

fn starting_families(start_ms: i64, has_native: bool) -> Vec<Vec<u8>> {
    let counter = value(3.0).time(3, start_ms);
    let summary = Message::new()
        .integer(1, 9)
        .double(2, 1.5)
        .message(3, &Message::new().double(1, 0.5).double(2, 7.0))
        .time(4, start_ms);
    let classic = Message::new()
        .integer(1, 4)
        .double(2, 4.5)
        .message(3, &Message::new().integer(1, 1).double(2, 1.0));
    let span = Message::new().signed(1, 0).integer(2, 2);
    let native = Message::new()
        .integer(1, 5)
        .double(2, 4.5)
        .signed(5, 3)
        .double(6, 0.125)
        .integer(7, 1)
        .message(12, &span)
        .signed_list(13, &[1, 2]);
    let floats = Message::new()
        .double(4, 3.5)
        .double(2, 1.5)
        .signed(5, 0)
        .double(6, 0.5)
        .message(12, &span)
        .double_list(14, &[1.5, 2.0]);
    let started = |message: &Message| of(7, &message.clone().time(15, start_ms));
    let mut families = vec![
        family("a", 0, &[of(3, &counter), labeled("2").message(3, &value(4.0))]),
        family("a", 1, &[of(2, &counter)]),
        family("s", 2, &[of(4, &summary)]),
        family("h", 4, &[started(&classic)]),
    ];
    if has_native {
        families.extend([native, floats].map(|it| family("h", 4, &[started(&it)])));
    }
    families
}

const TEXT_BODIES: [&str; 22] = [
    "",
    "a 1",
    "a 1\n\n\n b 2\n\tc\t3\t\n",
    "a{} 1\nb{x=\"1\",} 2\nb{x=\"2\" , y = \"3\" } 3\n",
    "a{x=\"\\\"q\\\" \\\\ \\n \\t\"} 1\n",
    "a NaN\nb +Inf\nc -Inf\nd 1e400\ne 0x1p4\n",
    "a 0x10\n",
    "a 1_000\n",
    "a nan\nb inf\nc infinity\nd 1e-400\ne .5\nf 5.\n",
    "a{x=\"1\"} 1\na{x=\"1\"} 2\na{x=\"2\"} 3\n",
    "a{x=\"1\",y=\"2\"} 1\na{y=\"2\",x=\"1\"} 2\n",
    "a{x=\"1\",x=\"2\"} 1\n",
    "a{x=\"\"} 1\nb{instance=\"own\",job=\"own\",case=\"own\",exported_job=\"e\"} 2\n",
    "{\"a.b\",\"c d\"=\"e\"} 1\n{\"plain\"} 2\n{x=\"1\",\"late\"} 3\n",
    "{x=\"1\"} 1\n",
    "# HELP a one\n# HELP a two\n# TYPE a counter\n# TYPE a gauge\na 1\n# TYPE a summary\n",
    "# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"1e3\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 4\nh_count 3\n\
     # TYPE s summary\ns{quantile=\"0.5\"} 1\ns{quantile=\"1\"} 2\ns_sum 3\ns_count 4\n",
    "# TYPE h histogram\nh_bucket{le=\"2\"} 3\nh_bucket{le=\"1\"} 1\nh_sum 4\nh_bucket{x=\"1\",le=\"1\"} 1.5\n\
     h_bucket{x=\"1\",le=\"+Inf\"} 2\nh_count{x=\"1\"} 2\nh_sum{x=\"1\"} 2\nh_bucket{x=\"2\",le=\"1\"} 5\n\
     h_bucket{x=\"2\",le=\"2\"} 4\nother 1\n",
    "# TYPE h histogram\nh_bucket{le=\"0.1\"} 0\nh_bucket{le=\"0.2\"} 0\nh_bucket{le=\"0.3\"} 0\n\
     h_bucket{le=\"0.4\"} 0\nh_bucket{le=\"0.5\"} 9\nh_bucket{le=\"+Inf\"} 9\nh_count 9\nh_sum 1\n# a comment\n\
     h_bucket{le=\"1\"} 1\n",
    "a 1\r\nb 2\r\n",
    "# only comments\n#\n# HELP\n# TYPE a nonsense\na 1\n",
    "a 1\n<html>\n",
];

const OPEN_METRICS_BODIES: [&str; 16] = [
    "# EOF\n",
    "# EOF",
    "a 1\n",
    "a 1\n# EOF\nb 2\n",
    "# TYPE a counter\n# UNIT a_seconds seconds\n# HELP a help \\\"q\\\" \\n\na_total{x=\"1\"} 1\na_created{x=\"1\"} 1520872607.123\n# EOF\n",
    "a_total 1 # {id=\"x\"} 0.5 1520879607.789\nb_total 2 # {} 1\nc_total 3 # {id=\"y\"} 2\n# EOF\n",
    "# TYPE h histogram\nh_bucket{le=\"1\"} 1 # {id=\"x\"} 0.5\nh_bucket{le=\"+Inf\"} 3 # {id=\"y\"} 2 1520879607.789\n\
     h_count 3\nh_sum 4\nh_created 1520872607.123\n# EOF\n",
    "# TYPE g gaugehistogram\ng_bucket{le=\"1\"} 1\ng_bucket{le=\"+Inf\"} 3\ng_gcount 3\ng_gsum 4\n# EOF\n",
    "# TYPE i info\ni_info{v=\"1\"} 1\n# TYPE s stateset\ns{s=\"a\"} 1\ns{s=\"b\"} 0\n# TYPE u unknown\nu 1\n# EOF\n",
    "a  1\n# EOF\n",
    "a 1 \n# EOF\n",
    "# UNIT a_seconds minutes\n# EOF\n",
    "# TYPE a counter\n\n# EOF\n",
    "{\"a.b\",x=\"1\"} 1 # {\"y\"=\"2\"} 3\n# EOF\n",
    "a 1 NaN\n# EOF\n",
    "a 0x1p3\nb 1_0\n# EOF\n",
];

fn family(name: &str, kind: u64, metrics: &[Message]) -> Vec<u8> {
    let family = Message::new().text(1, name).text(2, "help").integer(3, kind);
    metrics.iter().fold(family, |family, metric| family.message(4, metric)).delimited()
}

fn value(value: f64) -> Message {
    Message::new().double(1, value)
}

fn labeled(x: &str) -> Message {
    Message::new().label(1, "x", x)
}

/// A metric with one label, whose value stands in `field`.
fn of(field: u64, message: &Message) -> Message {
    labeled("1").message(field, message)
}

fn exemplar(id: &str) -> Message {
    Message::new().label(1, "id", id).double(2, 0.5).time(3, 1_520_879_607_789)
}

fn simple_families() -> Vec<Vec<u8>> {
    let counter = value(3.0).message(2, &exemplar("c")).time(3, 1_500_000_000_000);
    let quantile = |q, v| Message::new().double(1, q).double(2, v);
    let summary = Message::new()
        .integer(1, 9)
        .double(2, 1.5)
        .message(3, &quantile(0.5, 7.0))
        .message(3, &quantile(1.0, 8.0));
    let lone = Message::new().integer(1, 1);
    vec![
        family("a", 0, &[of(3, &counter), labeled("2").message(3, &value(4.0))]),
        family("a", 1, &[of(2, &value(f64::NAN)), of(2, &value(1.0)), of(2, &value(1.0))]),
        family("a", 3, &[of(5, &value(-0.5)).integer(6, 0)]),
        family("s", 2, &[of(4, &summary), labeled("2").message(4, &lone)]),
        [family("empty", 0, &[]), family("b", 1, &[of(2, &value(1.0))])].concat(),
        family("a.b c", 1, &[Message::new().label(1, "d e", "f").message(2, &value(1.0))]),
        family("a", 1, &[Message::new().label(1, "x", "").message(2, &value(1.0))]),
    ]
}

fn bucket(bound: f64, count: u64) -> Message {
    Message::new().integer(1, count).double(2, bound)
}

fn classic_histogram() -> Message {
    [bucket(0.1, 0), bucket(1.0, 1), bucket(2.0, 3)]
        .iter()
        .fold(Message::new().integer(1, 4).double(2, 4.5), |it, bucket| it.message(3, bucket))
}

fn span(offset: i64, length: u64) -> Message {
    Message::new().signed(1, offset).integer(2, length)
}

/// With classic buckets beside the native ones.
fn native_histogram() -> Message {
    classic_histogram()
        .signed(5, 3)
        .double(6, 0.125)
        .integer(7, 1)
        .message(12, &span(-2, 2))
        .message(12, &span(1, 1))
        .signed_list(13, &[1, 0, 0])
        .message(16, &exemplar("n"))
}

/// A family of one native histogram.
pub(super) fn native_family(name: &str) -> Vec<u8> {
    family(name, 4, &[of(7, &native_histogram())])
}

fn histograms() -> Vec<Vec<u8>> {
    let (classic, native) = (classic_histogram(), native_histogram());
    let six = [1, 0, 0, 0, 0, 0];
    let wide = Message::new()
        .integer(1, 12)
        .signed(5, 5)
        .message(12, &span(0, 6))
        .signed_list(13, &six)
        .message(9, &span(0, 6))
        .signed_list(10, &six);
    let floats = Message::new()
        .double(4, 3.5)
        .double(2, 1.5)
        .signed(5, 0)
        .double(6, 0.5)
        .message(12, &span(0, 2))
        .double_list(14, &[1.5, 2.0]);
    let empty = Message::new().message(12, &span(0, 0));
    let sinking =
        Message::new().integer(1, 1).message(3, &bucket(1.0, 2)).message(3, &bucket(2.0, 1));
    let also = |message: &Message| labeled("2").message(7, message);
    vec![
        family("h", 4, &[of(7, &classic), also(&Message::new().integer(1, 1))]),
        family("h", 4, &[of(7, &native), also(&native)]),
        family("h", 4, &[of(7, &wide)]),
        family("h", 4, &[of(7, &floats)]),
        family("h", 5, &[of(7, &floats), also(&native)]),
        family("h", 4, &[of(7, &empty)]),
        family("h", 4, &[of(7, &native.clone().integer(1, 9))]),
        family("h", 4, &[of(7, &sinking)]),
        family(CLASSIC_GAUGE, 5, &[of(7, &classic)]),
    ]
}

fn broken_families() -> Vec<Vec<u8>> {
    vec![
        family("a", 1, &[labeled("1").label(1, "x", "2").message(2, &value(1.0))]),
        family("", 1, &[of(2, &value(1.0))]),
        family("a", 7, &[of(2, &value(1.0))]),
        vec![0xff; 9],
        vec![9, 1, 2],
    ]
}

/// Each line as a family without a type, its labels in their order.
fn families_of_lines(text: &str) -> Vec<u8> {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let family = |line: &str| -> Option<Vec<u8>> {
        let (name, rest) = line.split_at(line.find(['{', ' '])?);
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => rest.split_once('}')?,
            None => ("", rest),
        };
        let value = rest.split_whitespace().next()?.parse::<f64>().ok()?;
        let mut metric = Message::new();
        for pair in labels.split("\",").filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once("=\"")?;
            metric = metric.label(1, name, value.trim_end_matches('"'));
        }
        let metric = metric.message(5, &Message::new().double(1, value));
        Some(Message::new().text(1, name).integer(3, 3).message(4, &metric).delimited())
    };
    lines.filter_map(family).flatten().collect()
}

/// A body with one to three wounds.
fn damage(body: &[u8], random: &mut Random) -> Vec<u8> {
    const BYTES: &[u8] = b"\n \t{}\"\\=,#1.eE+-:_aN\x00\xff";
    let mut body = body.to_vec();
    for _ in 0..=random.below(3) {
        if body.is_empty() {
            return body;
        }
        let at = random.below(body.len());
        match random.below(4) {
            0 => body[at] = BYTES[random.below(BYTES.len())],
            1 => body.insert(at, BYTES[random.below(BYTES.len())]),
            2 => drop(body.drain(at..body.len().min(at + 1 + random.below(8)))),
            _ => {
                let copy = body[at..body.len().min(at + 1 + random.below(40))].to_vec();
                let to = random.below(body.len());
                body.splice(to..to, copy);
            }
        }
    }
    body
}

struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end.max(1) as u64) as usize
    }
}
