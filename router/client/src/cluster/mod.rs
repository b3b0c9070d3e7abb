//! Cluster: how those who operate a cluster of router nodes talk to it.
//!
//! Each node answers for itself ([`ClusterClient::describe`], [`ClusterClient::report`]); changes go to
//! whoever leads the control shard, which the client finds ([`ClusterClient::change`]).

mod backup;
mod client;
mod described;
mod digest;
mod error;
mod report;

pub use backup::{BackupPart, BackupStream};
pub use client::{Adoption, ClusterClient};
pub use described::Described;
pub use digest::ShardDigest;
pub use error::ClusterError;
pub use report::{DataReport, ReplicaReport, ReplicaRole, Report};
