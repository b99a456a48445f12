//! From `tracing` events and spans to finished lines.

use std::fmt;

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{Layer, layer::Context, registry::LookupSpan};

use super::{LogFormat, format::Line};
use crate::clock;

/// Builds one line for each event and gives it to `sink`.
pub(super) struct LineLayer<F> {
    format: LogFormat,
    sink: F,
}

/// Fields of a span, formatted once: they lead the fields of every event inside it.
struct SpanFields(String);

/// Writes fields in order; the message apart, because it leads the line.
struct Fields<'a> {
    line: &'a mut Line,
    message: &'a mut String,
}

impl<F: Fn(String) + 'static> LineLayer<F> {
    pub(super) fn new(format: LogFormat, sink: F) -> Self {
        Self { format, sink }
    }

    fn line_of<S: Subscriber + for<'a> LookupSpan<'a>>(
        &self,
        event: &Event<'_>,
        ctx: &Context<'_, S>,
    ) -> String {
        let mut fields = Line::new(self.format);
        if let Some(scope) = ctx.event_scope(event) {
            for span in scope.from_root() {
                if let Some(SpanFields(text)) = span.extensions().get() {
                    fields.push_formatted(text);
                }
            }
        }
        let mut message = String::new();
        event.record(&mut Fields { line: &mut fields, message: &mut message });
        let metadata = event.metadata();
        let file = metadata.file().unwrap_or_default();
        let file = file.rsplit('/').next().unwrap_or_default();
        let mut line = Line::new(self.format);
        line.push_head(
            clock::now_since_epoch(),
            *metadata.level(),
            (file, metadata.line().unwrap_or_default()),
            &message,
        );
        line.push_formatted(fields.as_str());
        line.finish()
    }
}

impl<S, F> Layer<S> for LineLayer<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    F: Fn(String) + 'static,
{
    fn on_new_span(&self, attributes: &span::Attributes<'_>, id: &span::Id, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let (mut line, mut message) = (Line::new(self.format), String::new());
        attributes.record(&mut Fields { line: &mut line, message: &mut message });
        span.extensions_mut().insert(SpanFields(line.as_str().to_owned()));
    }

    fn on_record(&self, id: &span::Id, values: &span::Record<'_>, ctx: Context<'_, S>) {
        let Some(span) = ctx.span(id) else { return };
        let mut extensions = span.extensions_mut();
        let Some(SpanFields(text)) = extensions.get_mut() else { return };
        let (mut line, mut message) = (Line::new(self.format), String::new());
        line.push_formatted(text);
        values.record(&mut Fields { line: &mut line, message: &mut message });
        line.as_str().clone_into(text);
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        (self.sink)(self.line_of(event, &ctx));
    }
}

impl Visit for Fields<'_> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.line.push_f64(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.line.push_plain(field.name(), format_args!("{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.line.push_plain(field.name(), format_args!("{value}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.line.push_plain(field.name(), format_args!("{value}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            value.clone_into(self.message);
        } else {
            self.line.push_text(field.name(), value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}
