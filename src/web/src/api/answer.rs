//! The answer of a query as JSON, written piece by piece from its columns while the client reads.
//! Neither the whole text nor a tree of it is ever in memory.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http::{HeaderValue, header::CONTENT_TYPE};
use http_body::{Frame, SizeHint};
use prom_model::push_float;
use prom_promql::{QueryAnswer, QueryStats, SamplesPerStep, Series, Value};
use prom_telemetry::clock;

use super::histogram::push_histogram_sample;
use crate::json;

/// Size of one piece: large enough to be cheap, small enough not to hold up other connections.
const PIECE_SIZE_BYTES: usize = 64 * 1024;
/// What one element or the labels of a series are taken to need.
const ITEM_SIZE_BYTES: usize = 320;
/// What one point of a series needs at most, where its time has no fraction.
const POINT_SIZE_BYTES: usize = 40;
/// Warnings and infos in one answer. Compat: `web/api/v1/api.go` asks for ten of each.
const ANNOTATIONS_MAX: usize = 10;

/// What a handler adds to an answer of the engine.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AnswerOptions {
    /// Most series or elements, 0 for all.
    pub(super) limit: usize,
    pub(super) has_stats: bool,
    /// When the client must have read all but what is in buffers: until then the answer holds memory.
    pub(super) deadline: Option<Instant>,
}

/// Why an answer ends before it is whole. Its client sees that the connection ends.
#[derive(Debug, thiserror::Error)]
#[error("the client did not read the answer in time")]
struct Overdue;

/// Answers with the value of a query.
pub(super) fn respond(mut answer: QueryAnswer, options: AnswerOptions) -> Response {
    let truncated = truncate(&mut answer.value, options.limit);
    let mut writer = AnswerWriter {
        answer,
        has_stats: options.has_stats,
        truncated,
        stage: Stage::Head,
        item: 0,
        point: 0,
    };
    let mut first = Vec::with_capacity(first_size_bytes(&writer.answer.value));
    writer.write(&mut first, PIECE_SIZE_BYTES);
    let body = match writer.stage {
        Stage::End => Body::from(first),
        _ => {
            let first = Some(first.into());
            Body::new(AnswerBody { first, writer, deadline: options.deadline })
        }
    };
    ([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

/// How many elements or series a value has.
fn items_count(value: &Value) -> usize {
    match value {
        Value::Vector(samples) => samples.len(),
        Value::Matrix(series) => series.len(),
        _ => 0,
    }
}

/// What the first piece is taken to need.
fn first_size_bytes(value: &Value) -> usize {
    let points_count = match value {
        Value::Matrix(series) => series.iter().map(|one| one.points.len()).sum(),
        _ => 0,
    };
    let size_bytes = items_count(value) * ITEM_SIZE_BYTES + points_count * POINT_SIZE_BYTES;
    (size_bytes + 512).min(PIECE_SIZE_BYTES + 1024)
}

fn truncate(value: &mut Value, limit: usize) -> bool {
    let before = items_count(value);
    if limit == 0 || before <= limit {
        return false;
    }
    match value {
        Value::Vector(samples) => samples.truncate(limit),
        Value::Matrix(series) => series.truncate(limit),
        _ => {}
    }
    true
}

/// Where the writer is; `item` and `point` say where within the items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Head,
    Items,
    Tail,
    End,
}

#[derive(Debug)]
struct AnswerWriter {
    answer: QueryAnswer,
    has_stats: bool,
    truncated: bool,
    stage: Stage,
    item: usize,
    point: usize,
}

impl AnswerWriter {
    /// Writes until `out` has `size_bytes`, or all is written.
    fn write(&mut self, out: &mut Vec<u8>, size_bytes: usize) {
        while out.len() < size_bytes {
            match self.stage {
                Stage::Head => {
                    out.extend_from_slice(br#"{"status":"success","data":{"resultType":""#);
                    out.extend_from_slice(self.answer.value.value_type().to_string().as_bytes());
                    out.extend_from_slice(br#"","result":["#);
                    self.stage = Stage::Items;
                }
                Stage::Items => {
                    if !self.write_item(out, size_bytes) {
                        self.stage = Stage::Tail;
                    }
                }
                Stage::Tail => {
                    self.write_tail(out);
                    self.stage = Stage::End;
                }
                Stage::End => return,
            }
        }
    }

    /// Writes the next element or part of a series; false when there is none left.
    fn write_item(&mut self, out: &mut Vec<u8>, size_bytes: usize) -> bool {
        match &self.answer.value {
            Value::Scalar(sample) => {
                push_seconds(out, sample.timestamp_ms);
                out.extend_from_slice(b",\"");
                push_float(out, sample.value);
                out.push(b'"');
                return false;
            }
            Value::String(text) => {
                push_seconds(out, text.timestamp_ms);
                out.push(b',');
                json::push_html_string(out, &text.value);
                return false;
            }
            Value::Vector(samples) => {
                let Some(sample) = samples.get(self.item) else { return false };
                push_item_start(out, self.item, &sample.labels);
                match &sample.histogram {
                    Some(histogram) => {
                        out.extend_from_slice(b",\"histogram\":");
                        push_histogram_sample(out, sample.timestamp_ms, histogram);
                    }
                    None => {
                        out.extend_from_slice(b",\"value\":");
                        push_sample(out, sample.timestamp_ms, sample.value);
                    }
                }
                out.push(b'}');
            }
            Value::Matrix(series) => {
                let Some(one) = series.get(self.item) else { return false };
                if self.point == 0 {
                    push_item_start(out, self.item, &one.labels);
                }
                while push_point(out, one, self.point) {
                    self.point += 1;
                    if out.len() >= size_bytes {
                        return true;
                    }
                }
                out.extend_from_slice(b"]}");
                self.point = 0;
            }
            _ => return false,
        }
        self.item += 1;
        true
    }

    fn write_tail(&self, out: &mut Vec<u8>) {
        out.push(b']');
        if self.has_stats {
            out.extend_from_slice(b",\"stats\":");
            push_stats(out, &self.answer.stats);
        }
        out.push(b'}');
        let mut warnings = self.answer.warnings.clone();
        if self.truncated {
            warnings.push(super::TRUNCATED.to_owned());
        }
        let limit = |texts: &[String], severity| {
            prom_promql::limit_annotations(texts, severity, ANNOTATIONS_MAX)
        };
        super::push_annotations(
            out,
            &limit(&warnings, "warning"),
            &limit(&self.answer.infos, "info"),
        );
        out.push(b'}');
    }
}

/// A body that writes as it is asked for.
struct AnswerBody {
    first: Option<Bytes>,
    writer: AnswerWriter,
    deadline: Option<Instant>,
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = Overdue;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if self.writer.stage == Stage::End {
            return Poll::Ready(None);
        }
        if self.deadline.is_some_and(|deadline| clock::monotonic() > deadline) {
            return Poll::Ready(Some(Err(Overdue)));
        }
        let mut piece = Vec::with_capacity(PIECE_SIZE_BYTES + 1024);
        self.writer.write(&mut piece, PIECE_SIZE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(piece.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.writer.stage == Stage::End
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

fn push_item_start(out: &mut Vec<u8>, index: usize, labels: &prom_model::Labels) {
    if index > 0 {
        out.push(b',');
    }
    out.extend_from_slice(b"{\"metric\":");
    json::push_labels(out, labels);
}

/// Writes the point at `index`, floats before histograms; false when there is none left.
fn push_point(out: &mut Vec<u8>, series: &Series, index: usize) -> bool {
    if let Some(sample) = series.points.get(index) {
        let before: &[u8] = if index == 0 { b",\"values\":[" } else { b"," };
        out.extend_from_slice(before);
        push_sample(out, sample.timestamp_ms, sample.value);
        return true;
    }
    let index = index - series.points.len();
    let Some(sample) = series.histograms.get(index) else { return false };
    if index > 0 {
        out.push(b',');
    } else {
        let floats_end: &[u8] = if series.points.is_empty() { b"" } else { b"]" };
        out.extend_from_slice(floats_end);
        out.extend_from_slice(b",\"histograms\":[");
    }
    push_histogram_sample(out, sample.timestamp_ms, &sample.histogram);
    true
}

fn push_sample(out: &mut Vec<u8>, timestamp_ms: i64, value: f64) {
    out.push(b'[');
    json::push_timestamp(out, timestamp_ms);
    out.extend_from_slice(b",\"");
    push_float(out, value);
    out.extend_from_slice(b"\"]");
}

/// The time of a scalar or string is a float of seconds: no trailing zeros, unlike in vectors.
fn push_seconds(out: &mut Vec<u8>, timestamp_ms: i64) {
    push_float(out, timestamp_ms as f64 / 1000.0);
}

/// Compat: Prometheus `util/stats/query_stats.go`, fields of 3.14.
pub(crate) fn push_stats(out: &mut Vec<u8>, stats: &QueryStats) {
    let timings = [
        ("evalTotalTime", stats.timings.eval_total),
        ("resultSortTime", stats.timings.result_sort),
        ("queryPreparationTime", stats.timings.query_preparation),
        ("innerEvalTime", stats.timings.inner_eval),
        ("execQueueTime", stats.timings.exec_queue),
        ("execTotalTime", stats.timings.exec_total),
    ];
    out.extend_from_slice(b"{\"timings\":{");
    for (index, (name, duration)) in timings.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json::push_string(out, name);
        out.push(b':');
        push_float(out, duration.as_secs_f64());
    }
    out.extend_from_slice(b"},\"samples\":{");
    let per_step = stats.samples.per_step.as_ref();
    push_steps(out, "totalQueryableSamplesPerStep", per_step, |steps| &steps.total_queryable);
    push_steps(out, "samplesReadPerStep", per_step, |steps| &steps.read);
    let counts = [
        ("totalQueryableSamples", stats.samples.total_queryable),
        ("samplesRead", stats.samples.read),
        ("peakSamples", stats.samples.peak),
    ];
    for (index, (name, count)) in counts.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json::push_string(out, name);
        out.push(b':');
        json::push_integer(out, count);
    }
    out.extend_from_slice(b"}}");
}

fn push_steps(
    out: &mut Vec<u8>,
    name: &str,
    steps: Option<&SamplesPerStep>,
    counts: impl Fn(&SamplesPerStep) -> &[u64],
) {
    let Some(steps) = steps else { return };
    json::push_string(out, name);
    out.push(b':');
    json::push_list(out, counts(steps).iter().enumerate(), |out, (index, count)| {
        out.push(b'[');
        json::push_timestamp(out, steps.start_ms.saturating_add(steps.step_ms * index as i64));
        out.push(b',');
        json::push_integer(out, *count);
        out.push(b']');
    });
    out.push(b',');
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt;
    use prom_promql::{Engine, EngineOptions, RangeParams};
    use prom_telemetry::Registry;
    use prom_testkit::MemoryStore;

    use super::*;

    /// A range of eleven thousand points: several pieces.
    fn long_answer(engine: &Engine) -> QueryAnswer {
        let params = RangeParams { end_ms: 11_000_000, step_ms: 1_000, ..RangeParams::default() };
        engine.range(&MemoryStore::default(), "vector(1)", params).unwrap()
    }

    #[tokio::test]
    async fn what_is_not_read_in_time_is_given_up() {
        let engine = Engine::new(EngineOptions::default(), &Registry::default());
        let options = |deadline| AnswerOptions { deadline, ..AnswerOptions::default() };
        let now = clock::monotonic();
        let in_time = respond(long_answer(&engine), options(Some(now + Duration::from_secs(600))));
        let body = in_time.into_body().collect().await.unwrap().to_bytes();
        assert!(body.len() > PIECE_SIZE_BYTES && body.ends_with(b"}}"), "{}", body.len());
        assert_eq!(engine.used_bytes(), 0);

        let mut late = respond(long_answer(&engine), options(Some(now))).into_body();
        let first = late.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, body[..first.len()]);
        assert!(engine.used_bytes() > 0);
        let error = late.frame().await.unwrap().unwrap_err();
        assert!(error.to_string().contains("did not read the answer in time"), "{error}");
        drop(late);
        assert_eq!(engine.used_bytes(), 0);
    }
}
