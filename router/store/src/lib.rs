//! What a router node keeps on disk: one ordered log for all shards, their votes, their snapshots, and
//! the node's identity. The only crate that names the engines.
//!
//! [`Disk`] and [`Store`] are the seam: [`disk`] is raft-engine (log and votes), plain files (snapshots) and
//! sled (catalogue); [`model`] obeys the same contract in memory and can lose what was not synced, for
//! simulation. One suite, [`contract`], is run against both.

mod bounds;
pub mod contract;
pub mod disk;
pub mod error;
pub mod limits;
pub mod model;
mod opened;
pub mod record;
pub mod store;

pub use error::StoreError;
pub use opened::{Blank, Disk, Opened};
pub use store::{
    Identity, LogState, Record, SnapshotReader, SnapshotWriter, Space, Store, Write, WriteBatch,
};
