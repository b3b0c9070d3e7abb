//! The command line of `orrery ctl`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use orrery_model::ShardId;
use orrery_model::limits::{SLOW_DEFAULT, SLOW_MAX};

use super::backup::GENERATIONS_MAX;

/// What every command of `ctl` is told, and which one it is.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed or refused, 2 wrong usage, 3 not reached or not \
                        done in time."
)]
pub(crate) struct CtlOptions {
    #[command(flatten)]
    pub(super) shared: Shared,
    #[command(subcommand)]
    pub(super) noun: Noun,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Shared {
    /// Registry addresses of some router nodes; the others are learned from them.
    #[arg(
        long = "router",
        global = true,
        env = "ORRERY_ROUTERS",
        value_name = "HOST:PORT",
        value_delimiter = ',',
        value_parser = host_port,
        default_value = "127.0.0.1:3121"
    )]
    pub(super) routers: Vec<String>,
    /// Prints JSON with stable field names instead of a table.
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Seconds that the command may take in all, with everything it waits for.
    #[arg(
        long,
        global = true,
        value_name = "SECONDS",
        default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(1..=86_400)
    )]
    pub(super) timeout: u64,
}

#[derive(Debug, Subcommand)]
pub(super) enum Noun {
    /// The cluster as a whole: founds it and shows it.
    #[command(subcommand)]
    Cluster(ClusterVerb),
    /// Router nodes: they come and go.
    #[command(subcommand)]
    Node(NodeVerb),
    /// Leaders of shards: moves them.
    #[command(subcommand)]
    Leader(LeaderVerb),
    /// Comets: sends their devices elsewhere, and names the slow ones.
    #[command(subcommand)]
    Comet(CometVerb),
    /// Says where a user, a key or a room is, from the registry.
    Locate(LocateOptions),
    /// Lets nodes write snapshots of their replicas now.
    Snapshot(SnapshotOptions),
    /// Copies a cluster into a folder, and makes a new cluster from such a copy.
    #[command(subcommand)]
    Backup(BackupVerb),
}

#[derive(Debug, Subcommand)]
pub(super) enum ClusterVerb {
    /// Makes blank router nodes a cluster. Repeating it changes nothing and goes on with what is missing.
    Bootstrap(BootstrapOptions),
    /// Everything at a glance: nodes, shards, and what is wrong.
    Status,
    /// The nodes, with what each says of itself.
    Nodes,
    /// The shards, with where they should be and where they are.
    Shards,
    /// Every replica of every shard, as its node sees it.
    Members,
    /// Compares the replicas of each shard: what each of them holds, as one number.
    Digests,
    /// The living comets.
    Comets,
    /// Puts each shard on so many nodes: more than it was founded on, once there are more nodes.
    Replicas {
        /// How many; never fewer than the cluster was founded with.
        #[arg(value_parser = clap::value_parser!(u32).range(1..=7))]
        replicas: u32,
    },
}

#[derive(Debug, Args)]
pub(super) struct BootstrapOptions {
    /// Registry addresses of the nodes, all of them.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', required = true, value_parser = host_port)]
    pub(super) nodes: Vec<String>,
    /// Data shards; fixed from then on. Default 16.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(super) shards: Option<u32>,
    /// Nodes that hold each shard. Default 3, or all where there are fewer.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=7))]
    pub(super) replicas: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(super) enum NodeVerb {
    /// Makes a blank node a part of the cluster and moves replicas to it.
    Add {
        /// Its registry address.
        #[arg(value_name = "HOST:PORT", value_parser = host_port)]
        address: String,
        /// Returns once the node follows the cluster, before replicas have moved.
        #[arg(long)]
        no_wait: bool,
    },
    /// Moves a node's replicas to others and takes it out of the cluster, for good: its number is never
    /// used again.
    Remove {
        /// Its number.
        node: u64,
        /// Also where too few nodes stay to hold all replicas of a shard.
        #[arg(long)]
        fewer_replicas: bool,
        /// Returns at once; it goes on by itself.
        #[arg(long)]
        no_wait: bool,
    },
    /// Puts a blank node in the place of one that may be dead.
    ///
    /// A repeat goes on with what was begun; so the new node may also be one that was added since the
    /// cluster was founded.
    Replace {
        /// The number of the one that goes.
        old: u64,
        /// Registry address of the one that comes; it has a number of its own.
        #[arg(value_name = "HOST:PORT", value_parser = host_port)]
        address: String,
        /// Returns once the new node follows the cluster; the rest goes on by itself.
        #[arg(long)]
        no_wait: bool,
    },
    /// Takes the leaderships from a node, which keeps its replicas: before a restart.
    Drain {
        /// Its number.
        node: u64,
        /// Lets it lead again. Where it is leaving, it stays after all.
        #[arg(long)]
        undo: bool,
        /// Returns at once; it goes on by itself.
        #[arg(long)]
        no_wait: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum LeaderVerb {
    /// Lets a node lead a shard, and prefers it from now on.
    Move {
        /// The shard: its number, or `control`.
        #[arg(value_parser = shard)]
        shard: u32,
        /// The node, which must hold a replica.
        node: u64,
    },
    /// Spreads the leaders evenly over the nodes that hold the replicas.
    Balance,
}

#[derive(Debug, Subcommand)]
pub(super) enum CometVerb {
    /// Sends a comet's devices elsewhere at a pace, and lets it take no others: before it is stopped.
    ///
    /// The comet stays up, empty, until it is stopped or the drain is undone. A repeat changes the pace.
    Drain {
        /// Its id, as `cluster comets` shows it.
        comet: String,
        /// Devices per second. Default: as the comet is configured.
        #[arg(long, value_name = "N/s", value_parser = rate, conflicts_with = "undo")]
        rate: Option<u32>,
        /// Lets it take devices again. Those that went stay where they are.
        #[arg(long)]
        undo: bool,
        /// Says every second how many devices are left.
        #[arg(long, conflicts_with_all = ["undo", "no_wait"])]
        watch: bool,
        /// Returns at once; it goes on by itself.
        #[arg(long)]
        no_wait: bool,
    },
    /// Lists the devices that take what is pushed to them worst, the worst first.
    Slow {
        /// The comet's id.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        comet: Option<String>,
        /// Those of all comets.
        #[arg(long)]
        all: bool,
        /// How many of them.
        #[arg(long, default_value_t = SLOW_DEFAULT, value_parser = clap::value_parser!(u32).range(1..=i64::from(SLOW_MAX)))]
        limit: u32,
    },
}

#[derive(Debug, Args)]
pub(super) struct LocateOptions {
    /// The id of the user, or of the key or room.
    pub(super) id: String,
    /// It is a connection's key.
    #[arg(long, conflicts_with = "room")]
    pub(super) key: bool,
    /// It is a room.
    #[arg(long)]
    pub(super) room: bool,
    /// The namespace; without it the default one.
    #[arg(long)]
    pub(super) namespace: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct SnapshotOptions {
    /// Only this node.
    #[arg(long, value_name = "ID")]
    pub(super) node: Option<u64>,
    /// Only these shards: numbers, or `control`.
    #[arg(value_parser = shard)]
    pub(super) shards: Vec<u32>,
}

#[derive(Debug, Subcommand)]
pub(super) enum BackupVerb {
    /// Copies every shard into a new folder: each as it is at one index of its log.
    Create {
        /// The folder; it must not exist yet, or be empty.
        dir: PathBuf,
    },
    /// Reads a backup to its end and says whether it is whole.
    Verify {
        /// The folder.
        dir: PathBuf,
    },
    /// Makes blank nodes a new cluster that never reuses a number of the old one.
    ///
    /// The new cluster has an id of its own, the old one's shards and slot table, and counters far above
    /// the old ones and those of earlier restores: no seq and no incarnation is ever given twice. Routes
    /// are not carried over: every comet of the old cluster is fenced in the new one, so none of its routes
    /// would be visible; comets attach again and bind the connections they hold.
    Restore(RestoreOptions),
}

#[derive(Debug, Args)]
pub(super) struct RestoreOptions {
    /// The folder.
    pub(super) dir: PathBuf,
    /// Registry addresses of the new nodes, all of them.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',', required = true, value_parser = host_port)]
    pub(super) nodes: Vec<String>,
    /// Nodes that hold each shard. Default 3, or all where there are fewer.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=7))]
    pub(super) replicas: Option<u32>,
    /// Which restore of this backup it is, from 1. Needed where the folder cannot be written; also to be
    /// stated where it is a copy, which knows nothing of the restores of the others.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(GENERATIONS_MAX)))]
    pub(super) generation: Option<u32>,
}

/// A shard as people call it, or as scripts do: there the control shard is 0.
fn shard(text: &str) -> Result<u32, String> {
    match text {
        "control" => Ok(ShardId::CONTROL.0),
        number => number.parse().map_err(|_| "expected a number or `control`".to_owned()),
    }
}

/// So many per second: `500`, or `500/s`.
fn rate(text: &str) -> Result<u32, String> {
    match text.strip_suffix("/s").unwrap_or(text).parse() {
        Ok(rate @ 1..) => Ok(rate),
        _ => Err("expected a number of at least 1, or so many per second: 500/s".to_owned()),
    }
}

fn host_port(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port))
            if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) =>
        {
            Ok(text.to_owned())
        }
        _ => Err("expected HOST:PORT".to_owned()),
    }
}
