//! Clusters of whole router nodes in this process: found, lose, cut, change, restart.
// What tests share may unwrap as tests do.
#![allow(clippy::unwrap_used)]

#[path = "../support/cluster.rs"]
mod cluster;
mod disks;
mod founding;
mod leases;
mod members;
#[path = "../support/net.rs"]
mod net;
mod partitions;
mod restarts;
mod versions;
