//! Metrics of a client of the registry.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::ask::Effect;
use crate::error::ClientError;

/// The counters, shared by all parts. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Metrics(Arc<Counters>);

#[derive(Default)]
struct Counters {
    calls: Family<CallLabels, Counter>,
    attempts: Family<OutcomeLabel, Counter>,
    redirects: Counter,
    hedges: Family<KindLabel, Counter>,
    refreshes: Family<OutcomeLabel, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

impl Metrics {
    /// A call ended.
    pub(crate) fn call<T>(&self, effect: Effect, result: &Result<T, ClientError>) {
        let kind = effect.word();
        let outcome = match result {
            Ok(_) => "ok",
            Err(ClientError::Unavailable { .. }) => "unavailable",
            Err(ClientError::Unknown { .. }) => "unknown",
            Err(ClientError::Overloaded { .. }) => "overloaded",
            Err(ClientError::Invalid { .. }) => "invalid",
            Err(ClientError::Deadline) => "deadline",
            Err(ClientError::Superseded { .. }) => "superseded",
        };
        self.0.calls.get_or_create(&CallLabels { kind, outcome }).inc();
    }

    /// One ask of one node ended.
    pub(crate) fn attempt(&self, outcome: &'static str) {
        self.0.attempts.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// A call followed a node's word that another one leads.
    pub(crate) fn redirect(&self) {
        self.0.redirects.inc();
    }

    /// Another node was asked while the first one had not answered.
    pub(crate) fn hedge(&self, kind: &'static str) {
        self.0.hedges.get_or_create(&KindLabel { kind }).inc();
    }

    /// A round of asking for the slot table ended.
    pub(crate) fn refresh(&self, outcome: &'static str) {
        self.0.refreshes.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Shows everything.
    pub(crate) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("orrery_registry_client");
        let counters = &self.0;
        registry.register("calls", "Calls on the registry by outcome", counters.calls.clone());
        registry.register(
            "attempts",
            "Asks of single router nodes by outcome",
            counters.attempts.clone(),
        );
        registry.register(
            "redirects",
            "Times a call went on at the node that another one named as the leader",
            counters.redirects.clone(),
        );
        registry.register(
            "hedges",
            "Times another node was asked while the first one had not answered",
            counters.hedges.clone(),
        );
        registry.register(
            "table_refreshes",
            "Rounds of asking router nodes for the slot table by outcome",
            counters.refreshes.clone(),
        );
    }
}
