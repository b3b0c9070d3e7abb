//! Spans: all that were begun in this program, with what they told.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, LazyLock, Mutex};

use tokio::sync::MutexGuard;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

/// A span, ended or not.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    id: u64,
    pub(crate) name: &'static str,
    /// Names of those around it, the nearest first.
    pub(crate) within: Vec<&'static str>,
    fields: BTreeMap<&'static str, String>,
}

impl Span {
    /// What it told under a name; nothing where it did not.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

impl Visit for Span {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
    }
}

/// Everything that was told.
#[derive(Clone, Default)]
pub(crate) struct Spans(Arc<Mutex<Vec<Span>>>);

impl Spans {
    /// Follows everything from here on, in all threads. One test at a time: they hear all of it.
    pub(crate) async fn follow() -> (Self, MutexGuard<'static, ()>) {
        static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        static SPANS: LazyLock<Spans> = LazyLock::new(|| {
            let spans = Spans::default();
            let subscriber = tracing_subscriber::registry().with(spans.clone());
            tracing::subscriber::set_global_default(subscriber).expect("nobody else listens");
            spans
        });
        let turn = TURN.lock().await;
        SPANS.0.lock().unwrap().clear();
        (SPANS.clone(), turn)
    }

    /// Those of a name.
    pub(crate) fn named(&self, name: &str) -> Vec<Span> {
        self.0.lock().unwrap().iter().filter(|span| span.name == name).cloned().collect()
    }

    /// Those of a name that tell this trace.
    pub(crate) fn of(&self, name: &str, trace: &str) -> Vec<Span> {
        let mut spans = self.named(name);
        spans.retain(|span| span.field("trace") == trace);
        spans
    }

    fn change(&self, id: &Id, change: impl FnOnce(&mut Span)) {
        let mut spans = self.0.lock().unwrap();
        // The latest: a number is used again once its span has ended.
        if let Some(span) = spans.iter_mut().rev().find(|span| span.id == id.into_u64()) {
            change(span);
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target().starts_with("orrery") && *metadata.level() <= Level::DEBUG
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let name = attributes.metadata().name();
        let within = context.span_scope(id).into_iter().flatten().skip(1);
        let within = within.map(|span| span.name()).collect();
        let mut span = Span { id: id.into_u64(), name, within, fields: BTreeMap::new() };
        attributes.record(&mut span);
        self.0.lock().unwrap().push(span);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        self.change(id, |span| values.record(span));
    }
}
