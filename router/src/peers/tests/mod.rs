//! Groups on several nodes, over real loopback connections and disks in memory.
// What tests share may unwrap as tests do.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../../../tests/router/gated_store.rs"]
#[allow(dead_code)]
mod gated_store;
mod idle;
mod limits;
mod membership;
#[path = "../../../tests/support/net.rs"]
mod net;
mod partitions;
mod refusals;
mod replication;
mod restored_leader;
mod snapshots;
mod world;
