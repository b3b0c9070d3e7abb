//! Faults: what is done to the system, to whom, when and for how long.

use serde::{Deserialize, Serialize};

/// One fault of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// Its name in the plan, for `--without`.
    pub id: u32,
    /// Milliseconds after the main phase began.
    pub at_ms: u64,
    /// For how long it stays, in milliseconds; a restart comes after so long.
    pub lasts_ms: u64,
    /// What is done.
    #[serde(flatten)]
    pub kind: FaultKind,
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "kebab-case")]
pub enum FaultKind {
    /// Nothing passes between the node and all others, either way.
    Isolate {
        /// Whom.
        node: Aim,
    },
    /// Nothing that the node sends arrives; what is sent to it does.
    Mute {
        /// Whom.
        node: Aim,
    },
    /// Nothing that is sent to the node arrives; what it sends does.
    Deafen {
        /// Whom.
        node: Aim,
    },
    /// Nothing passes between two routers, while both reach the others.
    Bridge {
        /// The one.
        a: Aim,
        /// The other.
        b: Aim,
    },
    /// All between the node and the others waits, and arrives late.
    Hold {
        /// Whom.
        node: Aim,
    },
    /// What passes between the node and the others takes so long.
    Slow {
        /// Whom.
        node: Aim,
        /// Milliseconds each way.
        latency_ms: u64,
    },
    /// Some of what passes between any two is lost.
    Loss {
        /// Per hundred thousand messages.
        per_100k: u32,
    },
    /// The process ends at once and starts again on what its disk holds.
    Kill {
        /// Whom.
        node: Aim,
    },
    /// The machine goes without a word: its process is gone, and nobody hears of that, for nothing passes between it
    /// and anybody. Later it is back and starts again.
    Outage {
        /// Whom.
        node: Aim,
    },
    /// The process stops where it is, and goes on later.
    Pause {
        /// Whom.
        node: Aim,
    },
    /// The power goes: of what was not synced a part is lost, and may be torn.
    PowerCut {
        /// How many routers at once.
        routers: usize,
    },
    /// The disk takes nothing for a while.
    Stall {
        /// Whose.
        node: Aim,
    },
    /// A sync fails once.
    FailedSync {
        /// Whose.
        node: Aim,
    },
    /// The disk is full.
    FullDisk {
        /// Whose.
        node: Aim,
    },
    /// The wall clock jumps.
    ClockJump {
        /// Whose.
        node: Aim,
        /// By how much, in milliseconds.
        by_ms: i64,
    },
    /// A shard's leadership is given to another node.
    MoveLeader {
        /// Which shard.
        shard: u32,
    },
    /// Snapshots are taken and logs purged.
    Snapshot {
        /// Where.
        node: Aim,
    },
    /// A router joins, and another leaves when it has.
    ReplaceNode {
        /// Whom.
        node: Aim,
    },
    /// A router's disk is lost; a new node takes its place.
    Wipe {
        /// Whom.
        node: Aim,
    },
    /// A shard gets one replica more, or one fewer, but never fewer than it was founded with.
    Resize {
        /// Which shard.
        shard: u32,
        /// More.
        more: bool,
    },
    /// A router is to lead nothing while another can; what it holds stays.
    Drain {
        /// Whom.
        node: Aim,
    },
    /// The routers are stopped and started again one after the other.
    RollingRestart,
    /// Some of what passes between any two arrives twice, or late and out of order.
    Rough {
        /// Per hundred thousand messages.
        duplicate_per_100k: u32,
        /// Per hundred thousand messages.
        reorder_per_100k: u32,
    },
    /// What passes between the node and the others passes slowly.
    Narrow {
        /// Whom.
        node: Aim,
        /// Each way, to and from each other node.
        bytes_per_second: u64,
    },
    /// While its process is away, something on a router's disk is not what was written.
    Damage {
        /// Whose.
        node: Aim,
        /// Which file.
        file: StoredFile,
        /// What is done to it.
        how: Harm,
    },
}

/// A file on a router's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoredFile {
    /// The newest of the log, which holds the votes too.
    Log,
    /// The newest snapshot.
    Snapshot,
    /// What the node says of itself: its id, its cluster.
    Identity,
}

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Harm {
    /// One bit is another.
    Bit,
    /// Its end is gone.
    Truncate,
}

/// Whom a fault is meant for. Who leads is found out when it is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aim {
    /// The n-th router, from 0.
    Router(usize),
    /// The node that leads a shard.
    LeaderOf(u32),
    /// The n-th logic.
    Logic(usize),
    /// The n-th comet.
    Comet(usize),
}

/// Faults of a kind; a run has some of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Cuts, both ways and one way.
    Partition,
    /// Delays and losses.
    Network,
    /// Ends and restarts of processes.
    Kill,
    /// Pauses.
    Pause,
    /// Power cuts.
    Power,
    /// Disks that stall, fail or fill up.
    Disk,
    /// Wall clocks.
    Clock,
    /// Changes of members, leaders and snapshots.
    Admin,
    /// Files that are not what was written.
    Damage,
}

impl Family {
    /// Those that a seed draws from.
    pub const ALL: [Self; 8] = [
        Self::Partition,
        Self::Network,
        Self::Kill,
        Self::Pause,
        Self::Power,
        Self::Disk,
        Self::Clock,
        Self::Admin,
    ];

    /// Its name.
    pub fn word(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

impl FaultKind {
    /// What it belongs to.
    pub fn family(&self) -> Family {
        match self {
            Self::Isolate { .. }
            | Self::Mute { .. }
            | Self::Deafen { .. }
            | Self::Bridge { .. } => Family::Partition,
            Self::Hold { .. }
            | Self::Slow { .. }
            | Self::Loss { .. }
            | Self::Rough { .. }
            | Self::Narrow { .. } => Family::Network,
            Self::Kill { .. } | Self::Outage { .. } | Self::RollingRestart => Family::Kill,
            Self::Pause { .. } => Family::Pause,
            Self::PowerCut { .. } => Family::Power,
            Self::Stall { .. } | Self::FailedSync { .. } | Self::FullDisk { .. } => Family::Disk,
            Self::ClockJump { .. } => Family::Clock,
            Self::MoveLeader { .. }
            | Self::Snapshot { .. }
            | Self::ReplaceNode { .. }
            | Self::Resize { .. }
            | Self::Drain { .. }
            | Self::Wipe { .. } => Family::Admin,
            Self::Damage { .. } => Family::Damage,
        }
    }

    /// Whom it is meant for, where that is one node; of two the first.
    pub fn aim(&self) -> Option<Aim> {
        match self {
            Self::Isolate { node }
            | Self::Mute { node }
            | Self::Deafen { node }
            | Self::Hold { node }
            | Self::Slow { node, .. }
            | Self::Narrow { node, .. }
            | Self::Kill { node }
            | Self::Outage { node }
            | Self::Pause { node }
            | Self::Stall { node }
            | Self::FailedSync { node }
            | Self::FullDisk { node }
            | Self::Damage { node, .. }
            | Self::ClockJump { node, .. }
            | Self::Snapshot { node }
            | Self::Drain { node }
            | Self::ReplaceNode { node }
            | Self::Wipe { node } => Some(*node),
            Self::Bridge { a, .. } => Some(*a),
            Self::Loss { .. }
            | Self::Rough { .. }
            | Self::PowerCut { .. }
            | Self::MoveLeader { .. }
            | Self::Resize { .. }
            | Self::RollingRestart => None,
        }
    }

    /// Whether it stays until it is taken back. The others happen at once, and what must be done afterwards
    /// (a start, for example) is part of them.
    pub fn stays(&self) -> bool {
        !matches!(
            self,
            Self::MoveLeader { .. }
                | Self::Resize { .. }
                | Self::Snapshot { .. }
                | Self::ReplaceNode { .. }
                | Self::Wipe { .. }
                | Self::FailedSync { .. }
                | Self::ClockJump { .. }
                | Self::Damage { .. }
                | Self::RollingRestart
        )
    }
}
