//! Clusters of whole router nodes in this process: found, lose, cut, change, restart.
// What tests share may unwrap as tests do.
#![allow(clippy::unwrap_used)]

mod clocks;
#[path = "../support/cluster.rs"]
mod cluster;
mod digests;
mod discarded;
mod disks;
mod founding;
mod health;
mod hints;
mod leases;
mod members;
#[path = "../support/net.rs"]
mod net;
mod partitions;
mod restarts;
mod session;
#[path = "../support/users.rs"]
mod users;
mod versions;
