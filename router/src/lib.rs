//! The router: the replicated registry of where everybody is connected.
//!
//! [`start`] is the only door. A node holds replicas of several shards, each a Raft group that keeps a part
//! of the addresses, and of the control shard, which keeps the cluster itself and is on every node. From the
//! outside in:
//!
//! - `server` starts and stops the node; `life` is what it goes through, `lobby` what it is at the moment.
//! - `service`, `session` and `request` are the registry's gRPC; `cluster` and `cluster_service` operate the
//!   cluster, `audit` says who had it changed, `backup` copies a shard; `peers` and `duties` are what router nodes say to each other.
//! - `member` is everything that a node of a cluster runs. `view` is what it knows of the cluster.
//! - `founding` and `opening` make empty shards a cluster; `holdings` opens and leaves replicas; `keep`
//!   decides and `keeper` does what brings a shard's members where they should be; `planner` says where.
//! - `doorkeeper` says who may be a peer; `presence` and `desk` speak for the node with the control shard's
//!   leader, which hears in `reports`.
//! - `control`, `leases` and `fences` are the control shard's duties towards comets.
//! - `shards` and `shard` are what the above use: `proposals` carries writes (of a `kind`) into a shard's
//!   log, `reads` confirms leadership before its state is read.
//! - `raft` is the only folder that names openraft; `log_writer` makes everything durable.

mod audit;
mod backup;
mod blocking;
mod cluster;
mod cluster_service;
mod config;
mod control;
mod desk;
mod digests;
mod doorkeeper;
mod duties;
mod error;
mod failure;
mod fences;
mod founding;
#[cfg(test)]
#[path = "../tests/router/gated_store.rs"]
// Each test uses another part of it.
#[allow(dead_code, clippy::unwrap_used, clippy::disallowed_methods)]
mod gated_store;
mod holdings;
mod keep;
mod keeper;
mod kind;
mod leases;
mod life;
mod limits;
mod lobby;
mod log_clock;
mod log_writer;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod lone_node;
mod member;
mod metrics;
mod opening;
mod peers;
mod plan;
mod planner;
mod presence;
mod proposals;
mod raft;
mod reads;
mod reports;
mod request;
mod room;
mod server;
mod service;
mod session;
mod shard;
mod shards;
mod surroundings;
mod thrift;
mod view;

pub use config::Config;
pub use error::StartError;
pub use server::{Handle, start};
