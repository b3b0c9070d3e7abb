//! Metrics: everything this service counts.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::push::Summary;

/// The counters, shared by all parts. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Counters>);

struct Counters {
    pushes: Family<PushLabels, Counter>,
    push_seconds: Histogram,
    pushes_in_flight: Gauge,
    receipts: Family<OutcomeLabels, Counter>,
    look_ups: Family<ResultLabels, Counter>,
    look_up_seconds: Histogram,
    look_ups_again: Counter,
    deliveries: Counter,
    delivery_batches: Counter,
    delivery_sessions: Gauge,
    edge_sessions: Gauge,
    edge_requests: Family<RequestLabels, Counter>,
    received: Counter,
    losers: Family<ResultLabels, Counter>,
    census: Family<ResultLabels, Counter>,
    http_requests: Family<HttpLabels, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PushLabels {
    target: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    request: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HttpLabels {
    api: &'static str,
    status: u16,
}

fn result(ok: bool) -> ResultLabels {
    ResultLabels { result: if ok { "ok" } else { "failed" } }
}

impl Metrics {
    pub(crate) fn new() -> Self {
        // 0.1 ms to 6.5 s: from a look-up on the same machine to the longest usual deadline.
        let seconds = || Histogram::new(exponential_buckets(0.0001, 2.0, 17));
        Self(Arc::new(Counters {
            pushes: Family::default(),
            push_seconds: seconds(),
            pushes_in_flight: Gauge::default(),
            receipts: Family::default(),
            look_ups: Family::default(),
            look_up_seconds: seconds(),
            look_ups_again: Counter::default(),
            deliveries: Counter::default(),
            delivery_batches: Counter::default(),
            delivery_sessions: Gauge::default(),
            edge_sessions: Gauge::default(),
            edge_requests: Family::default(),
            received: Counter::default(),
            losers: Family::default(),
            census: Family::default(),
            http_requests: Family::default(),
        }))
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        let c = &*self.0;
        let r = registry.sub_registry_with_prefix("orrery_logic");
        r.register("pushes", "Pushes by target and result", c.pushes.clone());
        let help = "Time from a push's arrival to its receipt";
        r.register_with_unit("push", help, Unit::Seconds, c.push_seconds.clone());
        let help = "Pushes that were taken and are not answered yet";
        r.register("pushes_in_flight", help, c.pushes_in_flight.clone());
        r.register("receipts", "Connections pushed to, by what became of it", c.receipts.clone());
        r.register("look_ups", "Look-ups of addresses in the registry", c.look_ups.clone());
        let help = "Time of a look-up in the registry";
        r.register_with_unit("look_up", help, Unit::Seconds, c.look_up_seconds.clone());
        let help = "Addresses looked up again because a comet did not have the connection";
        r.register("look_ups_again", help, c.look_ups_again.clone());
        r.register("deliveries", "Deliveries sent to comets", c.deliveries.clone());
        let help = "Messages to comets, each of several deliveries";
        r.register("delivery_batches", help, c.delivery_batches.clone());
        let help = "Comets that a delivery session is open to";
        r.register("delivery_sessions", help, c.delivery_sessions.clone());
        r.register("edge_sessions", "Sessions that comets opened", c.edge_sessions.clone());
        r.register("edge_requests", "Requests of comets by kind", c.edge_requests.clone());
        r.register("received", "Messages that devices sent", c.received.clone());
        let help = "Connections closed because another took their place";
        r.register("losers", help, c.losers.clone());
        r.register("census", "Comets counted, by whether they answered", c.census.clone());
        r.register("http_requests", "HTTP requests by API and status", c.http_requests.clone());
    }

    pub(crate) fn pushed(
        &self,
        target: &'static str,
        took: Duration,
        summary: Result<&Summary, &'static str>,
    ) {
        let result = summary.err().unwrap_or("ok");
        self.0.pushes.get_or_create(&PushLabels { target, result }).inc();
        self.0.push_seconds.observe(took.as_secs_f64());
        let Ok(summary) = summary else { return };
        for (outcome, count) in summary.words() {
            if count > 0 {
                let labels = OutcomeLabels { outcome };
                self.0.receipts.get_or_create(&labels).inc_by(u64::from(count));
            }
        }
    }

    /// Counts a push in flight for as long as the guard lives.
    pub(crate) fn push_in_flight(&self) -> Open {
        Open::new(self.0.pushes_in_flight.clone())
    }

    pub(crate) fn looked_up(&self, took: Duration, ok: bool) {
        self.0.look_ups.get_or_create(&result(ok)).inc();
        self.0.look_up_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn looked_up_again(&self) {
        self.0.look_ups_again.inc();
    }

    pub(crate) fn delivered(&self, deliveries: usize) {
        self.0.deliveries.inc_by(deliveries as u64);
        self.0.delivery_batches.inc();
    }

    /// Counts an open delivery session for as long as the guard lives.
    pub(crate) fn delivery_session(&self) -> Open {
        Open::new(self.0.delivery_sessions.clone())
    }

    /// Counts an open edge session for as long as the guard lives.
    pub(crate) fn edge_session(&self) -> Open {
        Open::new(self.0.edge_sessions.clone())
    }

    pub(crate) fn edge_request(&self, request: &'static str, result: &'static str) {
        self.0.edge_requests.get_or_create(&RequestLabels { request, result }).inc();
    }

    pub(crate) fn received(&self) {
        self.0.received.inc();
    }

    pub(crate) fn loser(&self, closed: bool) {
        self.0.losers.get_or_create(&result(closed)).inc();
    }

    pub(crate) fn counted(&self, answered: bool) {
        self.0.census.get_or_create(&result(answered)).inc();
    }

    pub(crate) fn http(&self, api: &'static str, status: http::StatusCode) {
        self.0.http_requests.get_or_create(&HttpLabels { api, status: status.as_u16() }).inc();
    }
}

/// Something counted while it is open.
pub(crate) struct Open(Gauge);

impl Open {
    fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
