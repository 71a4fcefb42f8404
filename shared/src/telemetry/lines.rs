//! Log lines as JSON: `timestamp`, `level`, the event's fields, `target`, and the current span under `span`.
//!
//! This file exists to save microseconds: it writes each line straight into one buffer. The JSON format of
//! `tracing-subscriber` collects fields in a map and parses the span's fields again for each event, which took four times as
//! long.

use std::{fmt::Debug, io::Write as _};

use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    fmt::{
        MakeWriter,
        format::Writer,
        time::{FormatTime as _, SystemTime},
    },
    layer::Context,
    registry::LookupSpan,
};

use super::object::Object;

/// Writes each event as one line of JSON.
#[derive(Debug)]
pub struct JsonLines<W> {
    writer: W,
}

impl<W> JsonLines<W> {
    /// Writes lines to the writers that `writer` makes.
    #[must_use]
    pub const fn new(writer: W) -> Self {
        Self { writer }
    }
}

/// The name of a span and the fields that were recorded so far.
struct SpanFields(Object);

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Object::new();
        fields.member("name", attributes.metadata().name());
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(SpanFields(fields));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(SpanFields(fields)) = span.extensions_mut().get_mut()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut line = Object::new();
        line.member("timestamp", &now());
        line.member("level", metadata.level().as_str());
        event.record(&mut line);
        line.member("target", metadata.target());
        if let Some(span) = context.event_span(event) {
            let extensions = span.extensions();
            if let Some(SpanFields(fields)) = extensions.get() {
                line.object("span", fields);
            }
        }
        // A log line that cannot be written cannot be logged either.
        let _ = self.writer.make_writer_for(metadata).write_all(&line.into_line());
    }
}

fn now() -> String {
    let mut now = String::with_capacity("2026-01-01T00:00:00.000000Z".len());
    // Writing to a String cannot fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut now));
    now
}

impl Visit for Object {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.member(field.name(), &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.member(field.name(), &value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.member(field.name(), &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.member(field.name(), &value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.member(field.name(), value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.member(field.name(), &format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use serde_json::{Value, json};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that `log` writes, without their timestamps.
    fn lines(log: impl FnOnce()) -> Vec<Value> {
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::registry().with(JsonLines::new(move || writer.clone()));
        tracing::subscriber::with_default(subscriber, log);
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        let line = |line: &str| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            let timestamp = line.as_object_mut().unwrap().remove("timestamp").unwrap();
            let timestamp = timestamp.as_str().unwrap();
            assert!(timestamp.starts_with("20") && timestamp.ends_with('Z'), "{timestamp}");
            line
        };
        text.lines().map(line).collect()
    }

    #[test]
    fn a_line_has_its_fields_in_their_types_and_the_span_it_happened_in() {
        let lines = lines(|| {
            let span = tracing::info_span!("invoke", requestId = "8476a536", answer = tracing::field::Empty);
            let _entered = span.enter();
            span.record("answer", 42);
            let absent: Option<&str> = None;
            tracing::warn!(
                text = "引号\" and\nline",
                count = 3_u64,
                change = -1,
                share = 0.5,
                is_new = true,
                absent,
                shown = ?Some("a\"b"),
                error = %io::Error::other("no \"table\""),
                "a \"name\"" = f64::NAN,
                "callback {}",
                "refused"
            );
        });
        assert_eq!(
            lines,
            [json!({
                "level": "WARN",
                "message": "callback refused",
                "text": "引号\" and\nline",
                "count": 3,
                "change": -1,
                "share": 0.5,
                "is_new": true,
                "shown": "Some(\"a\\\"b\")",
                "error": "no \"table\"",
                "a \"name\"": null,
                "target": "wechat::telemetry::lines::tests",
                "span": {"name": "invoke", "requestId": "8476a536", "answer": 42},
            })]
        );
    }

    #[test]
    fn a_line_outside_of_any_span_has_none() {
        let lines = lines(|| {
            tracing::info!("one");
            tracing::error!("two");
        });
        assert_eq!(lines.len(), 2);
        assert_eq!(
            lines[1],
            json!({"level": "ERROR", "message": "two", "target": "wechat::telemetry::lines::tests"})
        );
    }
}
