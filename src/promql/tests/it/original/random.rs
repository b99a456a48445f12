//! Random queries over the series of `data` or `native`: valid ones by the grammar, and some with a mistake.
//! The seed is the number of the query, so that one query can be asked again alone.

/// How deep expressions nest.
const DEPTH_MAX: u32 = 4;
/// One query of so many gets a mistake.
const MISTAKE_RATE: u64 = 8;

/// Which series are asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Over {
    Floats,
    Native,
}

/// The query with this number.
pub(super) fn query(over: Over, number: u64) -> String {
    let mut random = Random::new(over, number);
    let text = match random.below(8) {
        0 => random.scalar(DEPTH_MAX),
        _ => random.vector(DEPTH_MAX),
    };
    if random.below(MISTAKE_RATE) == 0 { random.spoiled(&text) } else { text }
}

struct Random {
    state: u64,
    over: Over,
}

impl Random {
    fn new(over: Over, seed: u64) -> Self {
        let mut random = Self { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1, over };
        // The first numbers of neighbouring seeds resemble each other.
        for _ in 0..8 {
            random.below(2);
        }
        random
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) % limit
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }

    fn label(&mut self) -> &'static str {
        self.pick(&["job", "instance", "code", "le", "kind", "version", "nothing"])
    }

    fn labels(&mut self) -> String {
        let list: Vec<_> = (0..self.below(3)).map(|_| self.label()).collect();
        list.join(", ")
    }

    fn duration(&mut self) -> &'static str {
        self.pick(&["15s", "30s", "1m", "90s", "5m", "7m13s", "20m", "1h"])
    }

    fn number(&mut self) -> &'static str {
        self.pick(&["0", "1", "2", "-1", "0.5", "3.7", "100", "1e6", "NaN", "+Inf", "-Inf", "0x1F"])
    }

    fn selector(&mut self) -> String {
        if self.over == Over::Native {
            return self.native_selector();
        }
        let name = self.pick(&[
            "gauge",
            "requests_total",
            "latency_bucket",
            "build_info",
            "sparse",
            "special",
            "nothing_here",
        ]);
        let matcher = self.pick(&[
            "",
            "",
            "",
            "{job=\"a\"}",
            "{job!=\"a\"}",
            "{job=~\"a|b\"}",
            "{instance!~\".*1.*\"}",
            "{job=\"c\",code=~\"2..\"}",
            "{kind!=\"nan\"}",
            "{le=\"+Inf\"}",
            "{nothing=\"\"}",
        ]);
        format!("{name}{matcher}")
    }

    fn native_selector(&mut self) -> String {
        let name = self.pick(&[
            "latency",
            "latency",
            "latency_float",
            "custom",
            "custom",
            "queue",
            "mixed",
            "changing",
            "gauge",
            "requests_total",
            "classic_bucket",
            "{__name__=~\"latency|mixed\"}",
            "{__name__=~\"cus.*|gauge\"}",
        ]);
        let matcher = self.pick(&[
            "",
            "",
            "",
            "{job=\"a\"}",
            "{job!=\"a\"}",
            "{instance=~\"host[02].*\"}",
            "{instance=\"host1:9100\"}",
            "{nothing=\"\"}",
        ]);
        match name.strip_suffix('}') {
            Some(open) if matcher.len() > 2 => format!("{open},{}", &matcher[1..]),
            _ => format!("{name}{}", if name.ends_with('}') { "" } else { matcher }),
        }
    }

    fn modifiers(&mut self) -> &'static str {
        self.pick(&[
            "",
            "",
            "",
            "",
            "",
            "",
            " offset 5m",
            " offset -1m",
            " @ 1700003600",
            " @ 1700005000 offset 90s",
            " @ start()",
            " @ end()",
        ])
    }

    fn range(&mut self, depth: u32) -> String {
        let (duration, modifiers) = (self.duration(), self.modifiers());
        if depth > 0 && self.below(4) == 0 {
            let step = self.pick(&["", "30s", "1m", "77s"]);
            let inner = self.vector(depth - 1);
            return format!("({inner})[{duration}:{step}]{modifiers}");
        }
        format!("{}[{duration}]{modifiers}", self.selector())
    }

    fn scalar(&mut self, depth: u32) -> String {
        if depth == 0 {
            return self.number().to_owned();
        }
        match self.below(6) {
            0 => "time()".to_owned(),
            1 => format!("scalar({})", self.vector(depth - 1)),
            2 => {
                let op = self.pick(&["+", "-", "*", "/", "%", "^", "== bool", "< bool", ">= bool"]);
                format!("({} {op} {})", self.scalar(depth - 1), self.scalar(depth - 1))
            }
            3 => format!("-({})", self.scalar(depth - 1)),
            _ => self.number().to_owned(),
        }
    }

    fn vector(&mut self, depth: u32) -> String {
        if depth == 0 {
            let selector = self.selector();
            return selector + self.modifiers();
        }
        match self.below(16) {
            0 | 1 => {
                let selector = self.selector();
                selector + self.modifiers()
            }
            2..=4 => self.over_time(depth - 1),
            5..=7 => self.aggregation(depth - 1),
            8 | 9 => self.binary(depth - 1),
            10 => self.with_scalar(depth - 1),
            11 => self.set(depth - 1),
            12..=14 => self.call(depth - 1),
            _ => format!("({})", self.vector(depth - 1)),
        }
    }

    fn over_time(&mut self, depth: u32) -> String {
        let range = self.range(depth);
        match self.below(5) {
            0 => {
                let quantile = self.pick(&["0", "0.5", "0.9", "1", "1.5", "-1", "NaN"]);
                format!("quantile_over_time({quantile}, {range})")
            }
            1 => format!("predict_linear({range}, {})", self.pick(&["0", "60", "3600", "-600"])),
            _ => {
                let function = self.pick(&[
                    "rate",
                    "rate",
                    "increase",
                    "delta",
                    "irate",
                    "idelta",
                    "resets",
                    "changes",
                    "deriv",
                    "sum_over_time",
                    "avg_over_time",
                    "min_over_time",
                    "max_over_time",
                    "count_over_time",
                    "last_over_time",
                    "present_over_time",
                    "stddev_over_time",
                    "stdvar_over_time",
                    "absent_over_time",
                ]);
                format!("{function}({range})")
            }
        }
    }

    fn aggregation(&mut self, depth: u32) -> String {
        let (inner, labels) = (self.vector(depth), self.labels());
        let grouping = match self.below(4) {
            0 => String::new(),
            1 => format!(" without ({labels}) "),
            _ => format!(" by ({labels}) "),
        };
        match self.below(7) {
            0 => {
                let op = self.pick(&["topk", "bottomk"]);
                format!("{op}{grouping}({}, {inner})", self.pick(&["0", "1", "2", "3", "10", "-1"]))
            }
            1 => {
                let quantile = self.pick(&["0", "0.3", "0.5", "1", "2", "NaN"]);
                format!("quantile{grouping}({quantile}, {inner})")
            }
            2 => {
                let label = self.pick(&["value", "job", "code"]);
                format!("count_values{grouping}(\"{label}\", {inner})")
            }
            _ => {
                let op = self.pick(&[
                    "sum", "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar",
                ]);
                format!("{op}{grouping}({inner})")
            }
        }
    }

    fn matching(&mut self) -> String {
        let labels = self.labels();
        match self.below(6) {
            0 | 1 => String::new(),
            2 => format!(" on ({labels})"),
            3 => format!(" ignoring ({labels})"),
            4 => format!(" on ({labels}) {}({})", self.side(), self.labels()),
            _ => format!(" ignoring ({labels}) {}()", self.side()),
        }
    }

    fn side(&mut self) -> &'static str {
        self.pick(&["group_left ", "group_right "])
    }

    fn operator(&mut self) -> &'static str {
        self.pick(&[
            "+", "-", "*", "/", "%", "^", "atan2", "==", "!=", "<", ">", "<=", ">=", "== bool",
            "> bool",
        ])
    }

    fn binary(&mut self, depth: u32) -> String {
        let (lhs, rhs) = match self.below(3) {
            0 => {
                let same = self.vector(depth);
                (same.clone(), same)
            }
            _ => (self.vector(depth), self.vector(depth)),
        };
        let (op, matching) = (self.operator(), self.matching());
        format!("({lhs}) {op}{matching} ({rhs})")
    }

    fn with_scalar(&mut self, depth: u32) -> String {
        let (vector, scalar, op) = (self.vector(depth), self.scalar(depth.min(1)), self.operator());
        match self.below(2) {
            0 => format!("({vector}) {op} {scalar}"),
            _ => format!("{scalar} {op} ({vector})"),
        }
    }

    fn set(&mut self, depth: u32) -> String {
        let (lhs, rhs) = (self.vector(depth), self.vector(depth));
        let (op, labels) = (self.pick(&["and", "or", "unless"]), self.labels());
        let matching = match self.below(3) {
            0 => String::new(),
            1 => format!(" on ({labels})"),
            _ => format!(" ignoring ({labels})"),
        };
        format!("({lhs}) {op}{matching} ({rhs})")
    }

    fn call(&mut self, depth: u32) -> String {
        let inner = self.vector(depth);
        if self.over == Over::Native && self.below(3) > 0 {
            return self.of_histogram(&inner);
        }
        match self.below(9) {
            0 => {
                let quantile = self.pick(&["0", "0.5", "0.9", "1", "1.1", "-0.1"]);
                format!("histogram_quantile({quantile}, {inner})")
            }
            1 => {
                let (to, from) = (self.label(), self.label());
                let regex = self.pick(&["(.*)", "host(.).*", "(.)(.*)", "a", ""]);
                let template = self.pick(&["$1", "x$1", "${1}y$2", "", "a"]);
                format!("label_replace({inner}, \"{to}\", \"{template}\", \"{from}\", \"{regex}\")")
            }
            2 => {
                let (to, from, second) = (self.label(), self.label(), self.label());
                format!("label_join({inner}, \"{to}\", \"-\", \"{from}\", \"{second}\")")
            }
            3 => {
                let function = self.pick(&["clamp_min", "clamp_max", "round"]);
                format!("{function}({inner}, {})", self.scalar(depth.min(1)))
            }
            4 => format!("clamp({inner}, {}, {})", self.scalar(0), self.scalar(0)),
            5 => format!("absent({inner})"),
            6 => format!("vector({})", self.scalar(depth)),
            7 => format!("timestamp({inner})"),
            _ => {
                let function = self.pick(&[
                    "abs",
                    "ceil",
                    "floor",
                    "sqrt",
                    "exp",
                    "ln",
                    "log2",
                    "log10",
                    "sgn",
                    "sin",
                    "cos",
                    "deg",
                    "rad",
                    "minute",
                    "hour",
                    "day_of_week",
                    "day_of_year",
                    "month",
                    "year",
                    "days_in_month",
                    "-",
                    "+",
                ]);
                format!("{function}({inner})")
            }
        }
    }

    fn of_histogram(&mut self, inner: &str) -> String {
        let bound =
            |random: &mut Self| random.pick(&["-1", "0", "0.3", "1", "2.5", "+Inf", "-Inf", "NaN"]);
        match self.below(7) {
            0 | 1 => {
                let quantile = self.pick(&["0", "0.1", "0.5", "0.9", "1", "1.1", "-0.1", "NaN"]);
                format!("histogram_quantile({quantile}, {inner})")
            }
            2 => format!("histogram_fraction({}, {}, {inner})", bound(self), bound(self)),
            _ => {
                let function = self.pick(&["count", "sum", "avg", "stddev", "stdvar"]);
                format!("histogram_{function}({inner})")
            }
        }
    }

    /// The text with one character taken away, doubled or replaced.
    fn spoiled(&mut self, text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        let at = self.below(bytes.len() as u64) as usize;
        match self.below(3) {
            0 => drop(bytes.remove(at)),
            1 => bytes.insert(at, bytes[at]),
            _ => bytes[at] = self.pick(b"()[]{},:\"+-*/=~!@ a1."),
        }
        String::from_utf8(bytes).expect("all of it is ASCII")
    }
}
