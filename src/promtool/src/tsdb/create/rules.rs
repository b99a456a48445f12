//! `create-blocks-from rules`: what recording rules would have stored, asked of a server as range queries.
//! Compat: Prometheus `cmd/promtool/rules.go`. Alerting rules are passed over, as its help says; the original
//! writes their expressions as series named for the alert.

use std::{collections::BTreeMap, fs, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use jiff::Timestamp;
use prom_config::{
    HttpClientConfig, RecordingRule, Rule, RuleGroup, RuleOptions, parse_rules, rule_error_lines,
};
use prom_http_client::{BodyLimit, BufferPool, Client, Request};
use prom_model::{Labels, LabelsBuilder, METRIC_NAME, NameValidation, parse_float, quote_go};
use prom_promql::{ParseOptions, parse};
use serde::Deserialize;

use super::{
    super::args::{CreateBlocks, RulesSource},
    OpenBlock, block_duration_ms,
};
use crate::{check::http_client, output::err};

/// Largest answer to one query: one rule over one block.
const ANSWER_SIZE_BYTES_MAX: u64 = 512 << 20;
/// How long one query may take; the server has limits of its own.
const QUERY_TIME_MAX: Duration = Duration::from_secs(600);

/// What is asked for, checked.
struct Importer<'a> {
    source: &'a RulesSource,
    begin_s: i64,
    end_s: i64,
    block_duration_s: i64,
    asker: Asker,
}

/// Asks the server.
struct Asker {
    client: Client,
    runtime: tokio::runtime::Runtime,
    url: String,
}

#[derive(Deserialize)]
struct Answer {
    data: Option<Data>,
    #[serde(default)]
    error: String,
    #[serde(default, rename = "errorType")]
    error_type: String,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    #[serde(default)]
    result: Vec<Series>,
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    /// Seconds and text; histograms are left out, as the original does.
    #[serde(default)]
    values: Vec<(f64, String)>,
}

/// Evaluates each rule over each block, and writes the blocks.
pub(super) fn run(options: &CreateBlocks, source: &RulesSource) -> Result<()> {
    let end_ms = match source.end.as_str() {
        "" => prom_telemetry::clock::now_ms() - 3 * 3_600_000,
        text => parse_time_ms(text).context("error parsing end time")?,
    };
    let begin_ms = parse_time_ms(&source.start).context("error parsing start time")?;
    if begin_ms >= end_ms {
        bail!("start time is not before end time");
    }
    let client = http_client(source.http_config_file.as_deref()).map_err(|text| anyhow!(text))?;
    let importer = Importer {
        source,
        begin_s: begin_ms.div_euclid(1000),
        end_s: end_ms.div_euclid(1000),
        block_duration_s: block_duration_ms(options.max_block_duration_ms) / 1000,
        asker: Asker::new(client, &source.url)?,
    };
    let groups = load(source)?;
    let mut is_failed = false;
    for (file, group) in &groups {
        for rule in &group.rules {
            let Rule::Recording(rule) = rule else { continue };
            err(&format!(
                "level=INFO msg=\"processing rule\" component=backfiller group={} name={}",
                quote_go(&group.name),
                rule.record
            ));
            if let Err(reason) = importer.import(file, group, rule) {
                err(&format!("rule importer error: {reason:#}"));
                is_failed = true;
            }
        }
    }
    if is_failed {
        bail!("error importing rules");
    }
    Ok(())
}

/// The groups of all files, each with its file's name.
fn load(source: &RulesSource) -> Result<Vec<(String, Arc<RuleGroup>)>> {
    let check = |expression: &str| {
        let parsed = parse(expression, &ParseOptions::default());
        parsed.map(drop).map_err(|errors| errors.to_string())
    };
    let options = RuleOptions {
        check_expression: Some(&check),
        name_validation: NameValidation::Utf8,
        ignores_unknown_fields: false,
    };
    let mut groups = Vec::new();
    for path in &source.files {
        let name = path.display().to_string();
        let refused = |reason: String| anyhow!("rule importer parse error: {name}: {reason}");
        let bytes = fs::read(path).map_err(|err| refused(err.to_string()))?;
        let file = parse_rules(path, &bytes, &options)
            .map_err(|errors| refused(rule_error_lines(&errors).join("\n")))?;
        groups.extend(file.groups.into_iter().map(|group| (name.clone(), group)));
    }
    Ok(groups)
}

impl Importer<'_> {
    fn import(&self, file: &str, group: &RuleGroup, rule: &RecordingRule) -> Result<()> {
        let interval = group.interval.unwrap_or(self.source.eval_interval);
        let offset_ns = group_offset_ns(&group.name, file, interval);
        let size_s = self.block_duration_s;
        // Compat: blocks are counted from 1970, towards which the first one is rounded.
        let mut block_begin_s = self.begin_s / size_s * size_s;
        while block_begin_s <= self.end_s {
            let block_end_s = block_begin_s + size_s;
            let begin_s = block_begin_s.max(self.begin_s);
            let end_s = (block_end_s - 1).min(self.end_s);
            let begin_ns = first_evaluation_ns(begin_s, interval, offset_ns);
            if i128::from(end_s) * 1_000_000_000 < begin_ns {
                break;
            }
            let series = self.asker.query(&rule.expression, begin_ns, end_s, interval);
            self.write(group, rule, series.context("query range")?)?;
            block_begin_s = block_end_s;
        }
        Ok(())
    }

    fn write(&self, group: &RuleGroup, rule: &RecordingRule, series: Vec<Series>) -> Result<()> {
        let duration_ms = self.block_duration_s * 1000;
        let mut block = OpenBlock::new(&self.source.output_dir, duration_ms);
        let mut labels = LabelsBuilder::default();
        for series in series {
            labels.clear();
            // The rule's labels win over those of the result.
            for (name, value) in series.metric.iter().chain(&group.labels).chain(&rule.labels) {
                labels.set(name, value);
            }
            labels.set(METRIC_NAME, &rule.record);
            let mut samples = Vec::with_capacity(series.values.len());
            for (seconds, text) in &series.values {
                let value = parse_float(text).ok_or_else(|| anyhow!("add: no number: {text:?}"))?;
                samples.push(((seconds * 1000.0).round() as i64, value));
            }
            block.add(&labels.labels(), samples).context("add")?;
        }
        block.flush().map(drop).context("flush and commit")
    }
}

impl Asker {
    fn new(config: HttpClientConfig, url: &str) -> Result<Self> {
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        Ok(Self {
            client: Client::new(config, concat!("promtool/", env!("CARGO_PKG_VERSION"))),
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build()?,
            url: format!("{}/api/v1/query_range", url.trim_end_matches('/')),
        })
    }

    fn query(
        &self,
        expression: &str,
        begin_ns: i128,
        end_s: i64,
        step: Duration,
    ) -> Result<Vec<Series>> {
        let begin_ms = begin_ns.div_euclid(1_000_000);
        let (whole, thousandths) = (begin_ms.div_euclid(1000), begin_ms.rem_euclid(1000));
        let url = format!(
            "{}?query={}&start={whole}.{thousandths:03}&end={end_s}&step={}",
            self.url,
            percent_encoded(expression),
            step.as_secs_f64()
        );
        let body = self.runtime.block_on(self.fetch(&url))?;
        let answer: Answer = serde_json::from_slice(&body)
            .with_context(|| format!("bad answer: {}", excerpt(&body)))?;
        for warning in &answer.warnings {
            err(&format!(
                "level=WARN msg=\"Range query returned warnings.\" component=backfiller warnings={}",
                quote_go(warning)
            ));
        }
        match answer.data {
            Some(data) if data.result_type == "matrix" => Ok(data.result),
            Some(data) => bail!("rule result is wrong type {}", data.result_type),
            None => bail!("{}: {}", answer.error_type, answer.error),
        }
    }

    async fn fetch(&self, url: &str) -> Result<Vec<u8>> {
        let request = Request::get(url, QUERY_TIME_MAX)?;
        let response = self.client.send(&request).await?;
        let pool = BufferPool::new(ANSWER_SIZE_BYTES_MAX as usize);
        let mut body = pool.lend(0);
        let limit = BodyLimit { size_bytes: ANSWER_SIZE_BYTES_MAX };
        response.read_body(&mut body, limit).await?;
        Ok(body.as_slice().to_vec())
    }
}

/// By how much the evaluations of a group are put off against whole intervals.
/// Compat: Prometheus `rules/group.go` (hash, EvalTimestamp).
fn group_offset_ns(name: &str, file: &str, interval: Duration) -> i128 {
    let hash = Labels::from_pairs([("name", name), ("file", file)]).hash64();
    i128::from(hash) % i128::try_from(interval.as_nanos()).map_or(1, |ns| ns.max(1))
}

/// The first time of a group at or after so many whole seconds.
fn first_evaluation_ns(begin_s: i64, interval: Duration, offset_ns: i128) -> i128 {
    let interval_ns = i128::try_from(interval.as_nanos()).map_or(1, |ns| ns.max(1));
    let begin_ns = i128::from(begin_s) * 1_000_000_000;
    let before = begin_ns - offset_ns;
    let evaluation = before - before % interval_ns + offset_ns;
    // Compat: whole seconds are compared.
    match evaluation.div_euclid(1_000_000_000) < i128::from(begin_s) {
        true => evaluation + interval_ns,
        false => evaluation,
    }
}

/// Seconds since 1970, or RFC 3339.
fn parse_time_ms(text: &str) -> Result<i64> {
    if let Some(seconds) = parse_float(text).filter(|seconds| seconds.is_finite()) {
        return Ok((seconds * 1000.0) as i64);
    }
    let time: Result<Timestamp, _> = text.parse();
    let time = time.map_err(|_| anyhow!("cannot parse {text:?} to a valid timestamp"))?;
    Ok(time.as_millisecond())
}

fn percent_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluations_are_where_the_original_has_them() {
        let interval = Duration::from_secs(60);
        let offset_ns = group_offset_ns("one", "r.yml", interval);
        let first_ns = first_evaluation_ns(1_700_000_000, interval, offset_ns);
        assert_eq!(first_ns / 1_000_000, 1_700_000_006_690);
    }

    #[test]
    fn times_are_seconds_or_dates() {
        let check = |text, expected: Result<i64, &str>| {
            let found = parse_time_ms(text).map_err(|err| err.to_string());
            assert_eq!(found, expected.map_err(str::to_owned), "{text}");
        };
        check("1700000000.5", Ok(1_700_000_000_500));
        check("2023-11-14T22:13:20Z", Ok(1_700_000_000_000));
        check("2023-11-14T23:13:20+01:00", Ok(1_700_000_000_000));
        check("x", Err("cannot parse \"x\" to a valid timestamp"));
        check("", Err("cannot parse \"\" to a valid timestamp"));
        check("NaN", Err("cannot parse \"NaN\" to a valid timestamp"));
    }
}
