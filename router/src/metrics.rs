//! Metrics of a router node: counters and histograms as they happen, gauges when they are asked for.

use std::fmt;
use std::sync::Arc;

use orrery_model::{NodeId, ShardId};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::error::{ReadError, WriteError};
use crate::lobby::Lobby;
use crate::raft::group::Progress;
use crate::raft::members::Members;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ShardLabel {
    shard: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    shard: u32,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    shard: u32,
    kind: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerLabel {
    peer: u64,
}

/// What a router node counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    log: LogMetrics,
    peers: PeerMetrics,
    entry_commands: EntryCommands,
    writes: Family<WriteLabels, Counter>,
    reads: Family<OutcomeLabels, Counter>,
    fences: Family<ShardLabel, Counter>,
    leaderships: Family<ShardLabel, Counter>,
    handovers: Family<ShardLabel, Counter>,
    confirm_seconds: Seconds,
    snapshots: SnapshotMetrics,
    expiries: Counter,
    sessions: Gauge,
}

/// Times from a tenth of a millisecond to three seconds.
#[derive(Debug, Clone)]
struct Seconds(Histogram);

impl Default for Seconds {
    fn default() -> Self {
        Self(Histogram::new(exponential_buckets(0.000_1, 2.0, 16)))
    }
}

/// What replicas count of their snapshots.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotMetrics {
    pub(crate) build_seconds: Histogram,
    pub(crate) install_seconds: Histogram,
}

impl Default for SnapshotMetrics {
    fn default() -> Self {
        // A millisecond to a minute: from an empty shard to one with millions of routes.
        let seconds = || Histogram::new(exponential_buckets(0.001, 2.0, 17));
        Self { build_seconds: seconds(), install_seconds: seconds() }
    }
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

/// What the ways to all other nodes count.
#[derive(Debug, Clone, Default)]
pub(crate) struct PeerMetrics {
    sent_messages: Family<PeerLabel, Counter>,
    sent_bytes: Family<PeerLabel, Counter>,
    received_messages: Family<PeerLabel, Counter>,
    received_bytes: Family<PeerLabel, Counter>,
    queued_bytes: Family<PeerLabel, Gauge>,
    refused: Family<PeerLabel, Counter>,
    silent_heartbeats: Family<PeerLabel, Counter>,
    broken: Family<PeerLabel, Counter>,
    snapshot_bytes: Family<PeerLabel, Counter>,
}

/// What the way to one node counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct LinkMetrics {
    pub(crate) sent_messages: Counter,
    pub(crate) sent_bytes: Counter,
    pub(crate) received_messages: Counter,
    pub(crate) received_bytes: Counter,
    pub(crate) queued_bytes: Gauge,
    pub(crate) refused: Counter,
    pub(crate) silent_heartbeats: Counter,
    pub(crate) broken: Counter,
    pub(crate) snapshot_bytes: Counter,
}

impl PeerMetrics {
    /// For the way to one node.
    pub(crate) fn link(&self, node: NodeId) -> LinkMetrics {
        let label = PeerLabel { peer: node.0 };
        let of = |counters: &Family<PeerLabel, Counter>| counters.get_or_create(&label).clone();
        LinkMetrics {
            sent_messages: of(&self.sent_messages),
            sent_bytes: of(&self.sent_bytes),
            received_messages: of(&self.received_messages),
            received_bytes: of(&self.received_bytes),
            queued_bytes: self.queued_bytes.get_or_create(&label).clone(),
            refused: of(&self.refused),
            silent_heartbeats: of(&self.silent_heartbeats),
            broken: of(&self.broken),
            snapshot_bytes: of(&self.snapshot_bytes),
        }
    }

    fn register(&self, registry: &mut Registry) {
        registry.register(
            "peer_sent_messages",
            "Messages of appends and heartbeats sent to the peer",
            self.sent_messages.clone(),
        );
        registry.register_with_unit(
            "peer_sent",
            "Bytes of appends and heartbeats sent to the peer",
            Unit::Bytes,
            self.sent_bytes.clone(),
        );
        registry.register(
            "peer_received_messages",
            "Messages of answers from the peer",
            self.received_messages.clone(),
        );
        registry.register_with_unit(
            "peer_received",
            "Bytes of answers from the peer",
            Unit::Bytes,
            self.received_bytes.clone(),
        );
        registry.register_with_unit(
            "peer_queued",
            "Bytes of appends that wait for the connection to the peer",
            Unit::Bytes,
            self.queued_bytes.clone(),
        );
        registry.register(
            "peer_refused",
            "Appends, heartbeats, votes and snapshots that the peer refused",
            self.refused.clone(),
        );
        registry.register(
            "peer_heartbeats_unanswered",
            "Heartbeats that the peer did not answer in time",
            self.silent_heartbeats.clone(),
        );
        registry.register(
            "peer_streams_broken",
            "Streams of appends to the peer that broke or could not be opened",
            self.broken.clone(),
        );
        registry.register_with_unit(
            "peer_snapshot_sent",
            "Bytes of snapshots sent to the peer",
            Unit::Bytes,
            self.snapshot_bytes.clone(),
        );
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
    pub(crate) confirm_seconds: Histogram,
    writes: Family<WriteLabels, Counter>,
    reads: Family<OutcomeLabels, Counter>,
    fences: Family<ShardLabel, Counter>,
    leaderships: Family<ShardLabel, Counter>,
    handovers: Family<ShardLabel, Counter>,
    snapshots: SnapshotMetrics,
}

impl Metrics {
    /// For the log's writer.
    pub(crate) fn log(&self) -> LogMetrics {
        self.log.clone()
    }

    /// For the ways to other nodes.
    pub(crate) fn peers(&self) -> PeerMetrics {
        self.peers.clone()
    }

    /// For one shard.
    pub(crate) fn shard(&self, shard: ShardId) -> ShardMetrics {
        ShardMetrics {
            shard: shard.0,
            entry_commands: self.entry_commands.0.clone(),
            writes: self.writes.clone(),
            reads: self.reads.clone(),
            fences: self.fences.clone(),
            leaderships: self.leaderships.clone(),
            handovers: self.handovers.clone(),
            confirm_seconds: self.confirm_seconds.0.clone(),
            snapshots: self.snapshots.clone(),
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
    pub(crate) fn register(&self, registry: &mut Registry, lobby: Arc<Lobby>) {
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
        self.peers.register(registry);
        registry.register(
            "entry_commands",
            "Commands in one log entry",
            self.entry_commands.0.clone(),
        );
        registry.register("writes", "Writes by kind and outcome", self.writes.clone());
        registry.register("reads", "Confirmed reads by outcome", self.reads.clone());
        registry.register(
            "fences_written",
            "Fence events written into the shard's log",
            self.fences.clone(),
        );
        registry.register(
            "leaderships",
            "Terms in which this node came to lead the shard; over all nodes, its elections",
            self.leaderships.clone(),
        );
        registry.register(
            "handovers",
            "Leaderships that this node gave to another one on purpose",
            self.handovers.clone(),
        );
        registry.register_with_unit(
            "read_confirm",
            "Time to confirm a leadership for all reads that wait",
            Unit::Seconds,
            self.confirm_seconds.0.clone(),
        );
        registry.register_with_unit(
            "snapshot_build",
            "Time to write a snapshot of a shard",
            Unit::Seconds,
            self.snapshots.build_seconds.clone(),
        );
        registry.register_with_unit(
            "snapshot_install",
            "Time to take a snapshot over, at start or from a leader",
            Unit::Seconds,
            self.snapshots.install_seconds.clone(),
        );
        registry.register("lease_expiries", "Comets whose lease ran out", self.expiries.clone());
        registry.register("sessions", "Sessions that are open", self.sessions.clone());
        registry.register_collector(Box::new(Gauges(lobby)));
    }
}

impl ShardMetrics {
    /// For the replica's snapshots.
    pub(crate) fn snapshots(&self) -> SnapshotMetrics {
        self.snapshots.clone()
    }

    /// Counts a term in which this node leads.
    pub(crate) fn leadership(&self) {
        self.leaderships.get_or_create(&ShardLabel { shard: self.shard }).inc();
    }

    /// Counts a leadership given away.
    pub(crate) fn handover(&self) {
        self.handovers.get_or_create(&ShardLabel { shard: self.shard }).inc();
    }

    /// Counts a write by its kind and outcome.
    pub(crate) fn write(&self, kind: &'static str, error: Option<&WriteError>) {
        let outcome = match error {
            None => "ok",
            Some(WriteError::NotLeader { .. }) => "not_leader",
            Some(WriteError::Overloaded) => "overloaded",
            Some(WriteError::Unavailable(_)) => "unavailable",
            Some(WriteError::DiskFull) => "disk_full",
            Some(WriteError::Unknown(_)) => "unknown",
            Some(WriteError::TooLarge { .. }) => "too_large",
        };
        self.writes.get_or_create(&WriteLabels { shard: self.shard, kind, outcome }).inc();
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

const PROGRESS: [ProgressGauge; 8] = [
    ("term", "Raft term", |at| at.term),
    ("leads", "1 where this node leads the shard and its quorum answers", |at| at.leads.into()),
    ("leader", "Node that leads the shard and is heard, 0 where there is none", |at| {
        at.leader.map_or(0, |leader| leader.0)
    }),
    ("last_index", "Last log index", |at| at.last_index),
    ("committed_index", "Last log index known to be committed", |at| at.committed_index),
    ("applied_index", "Last log index applied", |at| at.applied_index),
    ("snapshot_index", "Log index of the newest snapshot", |at| at.snapshot_index),
    ("purged_index", "Last log index purged", |at| at.purged_index),
];

/// Where the shards stand, looked at on each scrape.
struct Gauges(Arc<Lobby>);

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gauges")
    }
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // Nothing to show before the node is a member, and once it has ended.
        let Ok(member) = self.0.member() else { return Ok(()) };
        let shards = &member.shards;
        let progress = shards.progress();
        for (name, help, of) in PROGRESS {
            let values = progress.iter().map(|(shard, at)| (*shard, of(at)));
            encode_gauge(&mut encoder, name, help, values)?;
        }
        let members = shards.groups();
        let members = members.iter().map(|group| (group.shard(), group.members()));
        let members: Vec<_> = members.collect();
        let of = |count: fn(&Members) -> usize| {
            members.iter().map(move |(shard, members)| (*shard, count(members) as u64))
        };
        let voters = of(|members| members.all_voters().len());
        encode_gauge(&mut encoder, "voters", "Nodes that vote in the shard", voters)?;
        let learners = of(|members| members.learners.len());
        encode_gauge(&mut encoder, "learners", "Nodes that follow without a vote", learners)?;
        let joint = of(|members| members.joint.into());
        encode_gauge(&mut encoder, "joint", "1 while a change of voters is half done", joint)?;
        let stats = shards.stats();
        for (name, help, of) in crate::shards::STATS {
            let values = stats.iter().map(|(shard, stats)| (*shard, of(stats)));
            encode_gauge(&mut encoder, name, help, values)?;
        }
        let data = shards.data();
        let next_seqs = data.iter().map(|shard| {
            (shard.id(), shard.replica().registry(|registry, _| registry.next_seq().0))
        });
        encode_gauge(&mut encoder, "next_seq", "The seq that the next bind takes", next_seqs)?;
        let comets = shards.control().replica().control(|control, _| control.comets().count());
        encode_gauge(
            &mut encoder,
            "comets",
            "Living comets",
            [(ShardId::CONTROL, comets as u64)].into_iter(),
        )?;
        let seen = member.around.room.seen();
        if let Some(space) = seen.space {
            encode_plain(
                &mut encoder,
                "disk_free_bytes",
                "Free bytes of the disk",
                space.free_bytes,
            )?;
        }
        encode_plain(&mut encoder, "disk_full", "1 below the disk's reserve", seen.full.into())
    }
}

fn encode_plain(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    value: u64,
) -> fmt::Result {
    let encoder = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(encoder)
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
