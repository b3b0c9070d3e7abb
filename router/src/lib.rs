//! The router: the replicated registry of where everybody is connected.
//!
//! [`start`] is the only door. A node holds a replica of several shards, each a Raft group that keeps a
//! part of the addresses, and of the control shard, which keeps the cluster itself. From the outside in:
//!
//! - `server` starts and stops the node; `service`, `session` and `request` are the registry's gRPC.
//! - `control`, `leases`, `fences` and `founding` are the control shard's duties.
//! - `shards` and `shard` are what the above use: `proposals` carries writes into a shard's log, `reads`
//!   confirms leadership before its state is read.
//! - `raft` is the only folder that names openraft; `log_writer` makes everything durable.

mod blocking;
mod config;
mod control;
mod error;
mod failure;
mod fences;
mod founding;
mod leases;
mod limits;
mod log_clock;
mod log_writer;
mod metrics;
mod proposals;
mod raft;
mod reads;
mod request;
mod server;
mod service;
mod session;
mod shard;
mod shards;

pub use config::Config;
pub use error::StartError;
pub use server::{Handle, start};
