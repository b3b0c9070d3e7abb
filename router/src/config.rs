//! Configuration of a router node.

use std::net::SocketAddr;

use orrery_model::cluster::PROTOCOL;
use orrery_model::limits::SLOTS;
use serde::{Deserialize, Serialize};

/// How many data shards a cluster founded alone gets where nothing else is said.
const SHARDS_ALONE: u32 = 4;

/// Milliseconds of a day: longer durations are mistakes, and far longer ones no clock can add.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Configuration of a router node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// This node's number in the cluster, never reused. Must be the one its data directory was made
    /// for. Default 1.
    pub node_id: u64,
    /// How many data shards the cluster has. Where it is set, the data directory must agree; a cluster
    /// that this node founds alone gets so many, else 4: enough to keep two cores busy, few enough to be
    /// cheap when idle.
    pub shards: Option<u32>,
    /// A node whose data directory belongs to no cluster founds one that is itself alone, instead of
    /// waiting to be taken into one. Default false.
    pub found_alone: bool,
    /// Where the registry service listens. Port 0 takes any free one. Default 127.0.0.1:3121.
    pub registry_listen: SocketAddr,
    /// `host:port` under which clients reach the registry service. Default: the address listened on.
    pub registry_advertise: Option<String>,
    /// Where other router nodes reach this one. Port 0 takes any free one. Default 127.0.0.1:3120.
    pub peers_listen: SocketAddr,
    /// `host:port` under which other router nodes reach this one. Default: the address listened on.
    pub peers_advertise: Option<String>,
    /// The version of the protocol between router nodes that this one speaks: this build's, or the one
    /// before it, to act as the older build does while a cluster is being upgraded. Default: this build's.
    pub protocol: u32,
    /// Bytes of the disk that are kept free. With less, the node gives its leaderships away and takes no
    /// writes, so that it can still end what is under way. 0 keeps none. Default 256 MiB.
    pub disk_reserve_bytes: u64,
    /// How long a comet's routes stay without news from it, in milliseconds. Default 10000: longer
    /// than a restart of logic.
    pub lease_ms: u64,
    /// How often a comet should say that it lives, in milliseconds. Default 2000: several tries fit
    /// into a lease.
    pub keep_alive_ms: u64,
    /// How many of its living connections a comet should bind again each second after it attached.
    /// Default 5000.
    pub rebind_per_second: u32,
    /// After how long a request is given up, in milliseconds, unless it asks for less. The outcome of
    /// a write is unknown then. Default 5000.
    pub request_timeout_ms: u64,
    /// After how many entries a shard writes a snapshot; each shard's own number is up to 20 % off, so
    /// that they do not all do it at once. Default 50000.
    pub snapshot_log_entries: u64,
    /// How many entries below its snapshot a shard keeps, so that a replica that missed a few seconds
    /// needs no snapshot. Default 20000.
    pub log_keep_entries: u64,
    /// Fewest entries that are purged at once. Default 2000: few large purges cost less than many.
    pub purge_batch_entries: u64,
    /// About how many bytes of memory each shard fills with its newest entries, so that applying and
    /// replicating them reads no disk. An entry takes several times as much as on disk. Default 4 MiB:
    /// some eight thousand binds, more than are under way at once.
    pub log_tail_bytes: usize,
    /// How often a shard's leader tells its replicas that it lives, in milliseconds. Default 100.
    pub heartbeat_ms: u64,
    /// Shortest silence of a leader, in milliseconds, after which a replica campaigns. Default 400.
    pub election_ms_min: u64,
    /// Longest such silence, in milliseconds; also the leader's lease. Default 600: twice the worst
    /// stall of a disk that one should put up with.
    pub election_ms_max: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node_id: 1,
            shards: None,
            found_alone: false,
            registry_listen: SocketAddr::from(([127, 0, 0, 1], 3121)),
            registry_advertise: None,
            peers_listen: SocketAddr::from(([127, 0, 0, 1], 3120)),
            peers_advertise: None,
            protocol: PROTOCOL,
            disk_reserve_bytes: 256 << 20,
            lease_ms: 10_000,
            keep_alive_ms: 2_000,
            rebind_per_second: 5_000,
            request_timeout_ms: 5_000,
            snapshot_log_entries: 50_000,
            log_keep_entries: 20_000,
            purge_batch_entries: 2_000,
            log_tail_bytes: 4 << 20,
            heartbeat_ms: 100,
            election_ms_min: 400,
            election_ms_max: 600,
        }
    }
}

impl Config {
    /// How many data shards a cluster has that this node founds alone.
    pub(crate) fn shards_alone(&self) -> u32 {
        self.shards.unwrap_or(SHARDS_ALONE)
    }

    /// Checks what the fields must keep among each other.
    ///
    /// # Errors
    /// The field that breaks a rule, and the rule.
    pub fn check(&self) -> Result<(), String> {
        let rules = [
            (self.node_id > 0, "node_id: 0 names no node"),
            (self.shards != Some(0), "shards: a cluster has at least one data shard"),
            (self.shards_alone() as usize <= SLOTS, "shards: more than there are slots"),
            (
                self.protocol == PROTOCOL || self.protocol + 1 == PROTOCOL,
                "protocol: must be this build's version or the one before it",
            ),
            (
                self.registry_advertise.as_deref() != Some(""),
                "registry_advertise: must not be empty; without it the address listened on is told",
            ),
            (
                self.peers_advertise.as_deref() != Some(""),
                "peers_advertise: must not be empty; without it the address listened on is told",
            ),
            (self.keep_alive_ms > 0, "keep_alive_ms: must not be 0"),
            (
                self.lease_ms >= 100,
                "lease_ms: below 100 a late tick could not be told from silence",
            ),
            (
                self.lease_ms >= 2 * self.keep_alive_ms,
                "lease_ms: must be at least twice keep_alive_ms, or one lost message ends a comet",
            ),
            (self.lease_ms <= DAY_MS, "lease_ms: more than a day"),
            (self.request_timeout_ms > 0, "request_timeout_ms: must not be 0"),
            (self.request_timeout_ms <= DAY_MS, "request_timeout_ms: more than a day"),
            (self.snapshot_log_entries > 0, "snapshot_log_entries: must not be 0"),
            (self.heartbeat_ms > 0, "heartbeat_ms: must not be 0"),
            (
                self.election_ms_min > 2 * self.heartbeat_ms,
                "election_ms_min: must be more than twice heartbeat_ms",
            ),
            (
                self.election_ms_max > self.election_ms_min,
                "election_ms_max: must be more than election_ms_min",
            ),
        ];
        match rules.iter().find(|(kept, _)| !kept) {
            Some((_, broken)) => Err((*broken).to_owned()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_keeps_all_rules() {
        assert_eq!(Config::default().check(), Ok(()));
    }

    #[test]
    fn a_broken_rule_names_its_field() {
        let config = Config { lease_ms: 3_000, ..Config::default() };
        assert!(config.check().unwrap_err().starts_with("lease_ms"));
        let config = Config { lease_ms: u64::MAX, ..Config::default() };
        assert!(config.check().unwrap_err().starts_with("lease_ms"));
        let config = Config { shards: Some(0), ..Config::default() };
        assert!(config.check().unwrap_err().starts_with("shards"));
        let empty = || Some(String::new());
        let config = Config { registry_advertise: empty(), ..Config::default() };
        assert!(config.check().unwrap_err().starts_with("registry_advertise"));
        let config = Config { peers_advertise: empty(), ..Config::default() };
        assert!(config.check().unwrap_err().starts_with("peers_advertise"));
        for protocol in [PROTOCOL - 2, PROTOCOL + 1] {
            let config = Config { protocol, ..Config::default() };
            assert!(config.check().unwrap_err().starts_with("protocol"));
        }
    }
}
