//! Metrics of a router node: counters and histograms as they happen, gauges when they are asked for.

use std::fmt;
use std::sync::Weak;

use orrery_model::ShardId;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::error::{ReadError, WriteError};
use crate::raft::group::Progress;
use crate::shards::Shards;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShardLabel {
    shard: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    shard: u32,
    outcome: &'static str,
}

/// What a router node counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    log: LogMetrics,
    entry_commands: EntryCommands,
    writes: Family<OutcomeLabels, Counter>,
    reads: Family<OutcomeLabels, Counter>,
    fences: Family<ShardLabel, Counter>,
    expiries: Counter,
    sessions: Gauge,
}

/// What the log's writer counts.
#[derive(Debug, Clone)]
pub(crate) struct LogMetrics {
    pub(crate) batch_changes: Histogram,
    pub(crate) sync_seconds: Histogram,
}

impl Default for LogMetrics {
    fn default() -> Self {
        Self {
            batch_changes: Histogram::new(exponential_buckets(1.0, 2.0, 11)),
            // 50 us to 1.6 s: from a good disk to one that loses its leaderships.
            sync_seconds: Histogram::new(exponential_buckets(0.000_05, 2.0, 16)),
        }
    }
}

#[derive(Debug, Clone)]
struct EntryCommands(Histogram);

impl Default for EntryCommands {
    fn default() -> Self {
        Self(Histogram::new(exponential_buckets(1.0, 2.0, 11)))
    }
}

/// What one shard counts.
#[derive(Debug, Clone)]
pub(crate) struct ShardMetrics {
    shard: u32,
    pub(crate) entry_commands: Histogram,
    writes: Family<OutcomeLabels, Counter>,
    reads: Family<OutcomeLabels, Counter>,
    fences: Family<ShardLabel, Counter>,
}

impl Metrics {
    /// For the log's writer.
    pub(crate) fn log(&self) -> LogMetrics {
        self.log.clone()
    }

    /// For one shard.
    pub(crate) fn shard(&self, shard: ShardId) -> ShardMetrics {
        ShardMetrics {
            shard: shard.0,
            entry_commands: self.entry_commands.0.clone(),
            writes: self.writes.clone(),
            reads: self.reads.clone(),
            fences: self.fences.clone(),
        }
    }

    /// Counts sessions that are open.
    pub(crate) fn sessions(&self) -> Gauge {
        self.sessions.clone()
    }

    /// Counts comets whose lease ran out.
    pub(crate) fn expiries(&self) -> Counter {
        self.expiries.clone()
    }

    /// Shows everything, with the gauges of these shards.
    pub(crate) fn register(&self, registry: &mut Registry, shards: Weak<Shards>) {
        let registry = registry.sub_registry_with_prefix("orrery_router");
        registry.register(
            "log_batch_changes",
            "Changes of all shards made durable by one sync",
            self.log.batch_changes.clone(),
        );
        registry.register_with_unit(
            "log_sync",
            "Time to write and sync one batch",
            Unit::Seconds,
            self.log.sync_seconds.clone(),
        );
        registry.register(
            "entry_commands",
            "Commands in one log entry",
            self.entry_commands.0.clone(),
        );
        registry.register("writes", "Writes by outcome", self.writes.clone());
        registry.register("reads", "Confirmed reads by outcome", self.reads.clone());
        registry.register(
            "fences_written",
            "Fence events written into the shard's log",
            self.fences.clone(),
        );
        registry.register("lease_expiries", "Comets whose lease ran out", self.expiries.clone());
        registry.register("sessions", "Sessions that are open", self.sessions.clone());
        registry.register_collector(Box::new(Gauges(shards)));
    }
}

impl ShardMetrics {
    /// Counts a write by its outcome.
    pub(crate) fn write(&self, error: Option<&WriteError>) {
        let outcome = match error {
            None => "ok",
            Some(WriteError::NotLeader { .. }) => "not_leader",
            Some(WriteError::Overloaded) => "overloaded",
            Some(WriteError::Unavailable(_)) => "unavailable",
            Some(WriteError::Unknown(_)) => "unknown",
            Some(WriteError::TooLarge { .. }) => "too_large",
        };
        self.writes.get_or_create(&OutcomeLabels { shard: self.shard, outcome }).inc();
    }

    /// Counts a confirmed read by its outcome.
    pub(crate) fn read(&self, error: Option<&ReadError>) {
        let outcome = match error {
            None => "ok",
            Some(ReadError::NotLeader { .. }) => "not_leader",
            Some(ReadError::Overloaded) => "overloaded",
            Some(ReadError::Unavailable(_)) => "unavailable",
        };
        self.reads.get_or_create(&OutcomeLabels { shard: self.shard, outcome }).inc();
    }

    /// Counts fence events written into the shard's log.
    pub(crate) fn fences(&self, count: usize) {
        self.fences.get_or_create(&ShardLabel { shard: self.shard }).inc_by(count as u64);
    }
}

/// A gauge of where a shard stands: name, help, value.
type ProgressGauge = (&'static str, &'static str, fn(&Progress) -> u64);

const PROGRESS: [ProgressGauge; 7] = [
    ("term", "Raft term", |at| at.term),
    ("leads", "1 where this node leads the shard", |at| at.leads.into()),
    ("leader", "Node that leads the shard, 0 where not known", |at| {
        at.leader.map_or(0, |leader| leader.0)
    }),
    ("last_index", "Last log index", |at| at.last_index),
    ("applied_index", "Last log index applied", |at| at.applied_index),
    ("snapshot_index", "Log index of the newest snapshot", |at| at.snapshot_index),
    ("purged_index", "Last log index purged", |at| at.purged_index),
];

/// Where the shards stand, looked at on each scrape.
struct Gauges(Weak<Shards>);

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gauges")
    }
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // Nothing to show once the node has ended.
        let Some(shards) = self.0.upgrade() else { return Ok(()) };
        let progress = shards.progress();
        for (name, help, of) in PROGRESS {
            let values = progress.iter().map(|(shard, at)| (*shard, of(at)));
            encode_gauge(&mut encoder, name, help, values)?;
        }
        let stats = shards.stats();
        for (name, help, of) in crate::shards::STATS {
            let values = stats.iter().map(|(shard, stats)| (*shard, of(stats)));
            encode_gauge(&mut encoder, name, help, values)?;
        }
        let next_seqs = shards.data().map(|shard| {
            (shard.id(), shard.replica().registry(|registry, _| registry.next_seq().0))
        });
        encode_gauge(&mut encoder, "next_seq", "The seq that the next bind takes", next_seqs)?;
        let comets = shards.control().replica().control(|control, _| control.comets().count());
        encode_gauge(
            &mut encoder,
            "comets",
            "Living comets",
            [(ShardId::CONTROL, comets as u64)].into_iter(),
        )
    }
}

fn encode_gauge(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: impl Iterator<Item = (ShardId, u64)>,
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (shard, value) in values {
        let label = ShardLabel { shard: shard.0 };
        ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
            .encode(family.encode_family(&label)?)?;
    }
    Ok(())
}
