//! Groups on several nodes, over real loopback connections and disks in memory.
// What tests share may unwrap as tests do.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod departure;
mod discarded;
mod elections;
mod idle;
mod lease_reads;
mod limits;
mod membership;
mod narrow;
#[path = "../../../tests/support/net.rs"]
mod net;
mod partitions;
mod refusals;
mod replication;
mod restored_leader;
mod snapshots;
mod stuck;
mod world;
