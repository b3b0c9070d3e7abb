//! Metrics of a comet. All names begin with `orrery_comet_`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};

use orrery_comet_core::Dialect;
use orrery_comet_core::close::code_and_word;
use orrery_model::message::CloseReason;
use orrery_proto::delivery::{Outcome, Receipt};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::admission::Refused;
use crate::connection::Flood;

/// One label and its value.
type Label = [(&'static str, &'static str); 1];

/// A time in seconds.
pub(crate) type Seconds = Gauge<f64, AtomicU64>;

/// Counted by all workers and tasks of a comet.
#[derive(Default)]
pub(crate) struct Metrics {
    connections: Family<Label, Gauge>,
    handshakes: Gauge,
    handshakes_refused: Family<Label, Counter>,
    pub(crate) handshakes_failed: Counter,
    tls_handshakes_refused: Family<Label, Counter>,
    tls_certificates_end: Gauge,
    tls_certificates_looked_at: Gauge,
    pub(crate) tls_certificates_replaced: Counter,
    pub(crate) tls_certificates_refused: Counter,
    closes: Family<Label, Counter>,
    floods: Family<Label, Counter>,
    deliveries: Family<Label, Counter>,
    pub(crate) room_sweeps: Counter,
    pub(crate) room_pushes: Counter,
    pub(crate) connection_writes_waited: Counter,
    coalesce_windows: Family<[(&'static str, String); 1], Seconds>,
    pub(crate) outbox_displaced: Counter,
    pub(crate) upstream_dropped: Counter,
    pub(crate) goodbyes: Counter,
    pub(crate) writes_repeated: Counter,
    pub(crate) lives_lost: Counter,
    pub(crate) audited_connections: Counter,
    pub(crate) audit_missing_routes: Counter,
    pub(crate) audit_stray_routes: Counter,
    pub(crate) edge_connected: Gauge,
    pub(crate) panics: Counter,
}

/// Counts one connection while it lives.
#[derive(Debug)]
pub(crate) struct Counted(Gauge<i64, AtomicI64>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    pub(crate) fn connected(&self, dialect: Dialect) -> Counted {
        let gauge = self.connections.get_or_create(&[("protocol", dialect.word())]).clone();
        gauge.inc();
        Counted(gauge)
    }

    /// Counts one that is not authenticated yet.
    pub(crate) fn shakes_hands(&self) -> Counted {
        self.handshakes.inc();
        Counted(self.handshakes.clone())
    }

    /// Devices that are connected now.
    pub(crate) fn connections(&self) -> u64 {
        let count = |dialect: Dialect| {
            self.connections.get_or_create(&[("protocol", dialect.word())]).get()
        };
        Dialect::ALL.into_iter().map(count).sum::<i64>().try_into().unwrap_or(0)
    }

    /// Connections that are not authenticated yet.
    pub(crate) fn handshakes(&self) -> u64 {
        self.handshakes.get().try_into().unwrap_or(0)
    }

    pub(crate) fn refused(&self, refused: Refused) {
        let limit = match refused {
            Refused::Connections => "connections",
            Refused::Handshakes => "handshakes",
            Refused::Address => "address",
            Refused::Draining => "drain",
        };
        self.handshakes_refused.get_or_create(&[("limit", limit)]).inc();
    }

    pub(crate) fn tls_handshake_refused(&self, reason: &'static str) {
        self.tls_handshakes_refused.get_or_create(&[("reason", reason)]).inc();
    }

    /// Says when the first of the certificates ends that devices are shown, in seconds since 1970.
    pub(crate) fn certificates_end_at(&self, seconds: u64) {
        self.tls_certificates_end.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    /// Says when the files of the certificates were looked at, in seconds since 1970.
    pub(crate) fn certificates_looked_at(&self, seconds: u64) {
        self.tls_certificates_looked_at.set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }

    /// For how long a worker has pushes wait for others at most.
    pub(crate) fn coalesce_window(&self, worker: usize) -> Seconds {
        self.coalesce_windows.get_or_create(&[("worker", worker.to_string())]).clone()
    }

    pub(crate) fn closed(&self, reason: CloseReason) {
        self.closes.get_or_create(&[("reason", code_and_word(reason).1)]).inc();
    }

    pub(crate) fn flooded(&self, flood: Flood) {
        let limit = match flood {
            Flood::Frames => "frames",
            Flood::Bytes => "bytes",
        };
        self.floods.get_or_create(&[("limit", limit)]).inc();
    }

    /// Counts what became of a delivery at each connection.
    pub(crate) fn receipt(&self, receipt: &Receipt) {
        let add = |word, n: u32| {
            if n > 0 {
                self.deliveries.get_or_create(&[("outcome", word)]).inc_by(n.into());
            }
        };
        for outcome in &receipt.outcomes {
            add(word(Outcome::try_from(*outcome).unwrap_or_default()), 1);
        }
        if let Some(tally) = &receipt.tally {
            add("queued", tally.queued);
            add("written", tally.written);
            add("filtered", tally.filtered);
            add("dropped", tally.dropped);
            add("unknown", tally.unknown);
        }
    }

    pub(crate) fn register(self: &Arc<Self>, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("orrery_comet");
        registry.register("connections", "Connected devices by protocol", self.connections.clone());
        registry.register(
            "handshakes",
            "Connections that are not authenticated yet and may be",
            self.handshakes.clone(),
        );
        registry.register(
            "handshakes_refused",
            "Connections refused at the door, by the limit they met; `drain`: the comet takes none",
            self.handshakes_refused.clone(),
        );
        registry.register(
            "handshakes_failed",
            "Connections that ended before they were authenticated",
            self.handshakes_failed.clone(),
        );
        self.register_tls(registry);
        registry.register("closes", "Connections closed by us, by reason", self.closes.clone());
        registry.register(
            "floods",
            "Connections closed because their devices sent more than they may, by the limit",
            self.floods.clone(),
        );
        registry.register(
            "deliveries",
            "What became of deliveries, once for each connection, by outcome",
            self.deliveries.clone(),
        );
        self.register_coalescing(registry);
        registry.register(
            "outbox_displaced",
            "Pushed frames that had waited longest for a slow device and made room for newer ones",
            self.outbox_displaced.clone(),
        );
        registry.register(
            "upstream_dropped",
            "Messages of devices dropped because logic did not take them",
            self.upstream_dropped.clone(),
        );
        registry.register(
            "goodbyes",
            "Connections whose end the registry acknowledged",
            self.goodbyes.clone(),
        );
        registry.register(
            "writes_repeated",
            "Writes repeated because their outcome was unknown",
            self.writes_repeated.clone(),
        );
        registry.register(
            "lives_lost",
            "Incarnations of this comet that ended while it ran",
            self.lives_lost.clone(),
        );
        registry.register(
            "audited_connections",
            "Connections compared with the routes that the registry has of them",
            self.audited_connections.clone(),
        );
        registry.register(
            "audit_missing_routes",
            "Connections closed because the registry had lost a route of theirs",
            self.audit_missing_routes.clone(),
        );
        registry.register(
            "audit_stray_routes",
            "Routes removed because they belonged to no connection",
            self.audit_stray_routes.clone(),
        );
        registry.register(
            "edge_connected",
            "Whether there is a session with a logic, 0 or 1",
            self.edge_connected.clone(),
        );
        registry.register("panics", "Tasks of connections that panicked", self.panics.clone());
    }

    fn register_coalescing(&self, registry: &mut Registry) {
        registry.register(
            "room_sweeps",
            "How often what waited in a room was written, once for each section of up to 128 members on a worker",
            self.room_sweeps.clone(),
        );
        registry.register(
            "room_pushes",
            "Pushes to rooms that were written so: by sweeps, how many share a write",
            self.room_pushes.clone(),
        );
        registry.register(
            "connection_writes_waited",
            "Writes to single connections that waited for more to be written with them until they were due",
            self.connection_writes_waited.clone(),
        );
        registry.register(
            "coalesce_window_seconds",
            "How long what comes for who is busy waits for more at most, by worker: as configured, or longer under load",
            self.coalesce_windows.clone(),
        );
    }

    fn register_tls(&self, registry: &mut Registry) {
        registry.register(
            "tls_handshakes_refused",
            "Handshakes of TLS that failed, by reason",
            self.tls_handshakes_refused.clone(),
        );
        registry.register(
            "tls_certificate_expires_at_seconds",
            "When the first certificate ends that devices are shown, since 1970; 0 without TLS",
            self.tls_certificates_end.clone(),
        );
        registry.register(
            "tls_certificates_looked_at_seconds",
            "When the files of the certificates were last looked at, since 1970: some seconds ago; 0 without TLS",
            self.tls_certificates_looked_at.clone(),
        );
        registry.register(
            "tls_certificates_replaced",
            "Certificates that were replaced by new ones while devices were served",
            self.tls_certificates_replaced.clone(),
        );
        registry.register(
            "tls_certificates_refused",
            "New certificates that could not be used, where the old one is kept",
            self.tls_certificates_refused.clone(),
        );
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Queued => "queued",
        Outcome::Written => "written",
        Outcome::Filtered => "filtered",
        Outcome::NotHere => "not_here",
        Outcome::Unknown | Outcome::Unspecified => "unknown",
        Outcome::DroppedOutboxFull
        | Outcome::DroppedDisplaced
        | Outcome::DroppedClosed
        | Outcome::DroppedBindingFull
        | Outcome::DroppedOverloaded => "dropped",
    }
}
