//! What a node finds when it opens its disk: a directory that belongs to no cluster yet, or its store.

use std::fmt;
use std::sync::Arc;

use orrery_model::NodeId;

use crate::error::StoreError;
use crate::store::{Identity, Store};

/// A node's disk. Calls block and come from blocking tasks.
pub trait Disk: Send + Sync {
    /// Opens what is there, or makes a blank directory where nothing is. It stays in use until the store is
    /// dropped, or, while it is blank, the disk.
    ///
    /// # Errors
    /// When it is in use, another node's, newer or damaged. Only one in use is worth another try.
    fn open(&self) -> Result<Opened, StoreError>;

    /// Makes the directory a member's for good, and opens it. Doing so again with the same identity opens
    /// it, and gives the store that is open if there is one.
    ///
    /// # Errors
    /// As [`Disk::open`], and [`StoreError::Foreign`] where it is a member with another identity, or blank
    /// with another node or instance than the identity says. A directory that could not be made a member
    /// (the disk may be full) is still blank, and it may be tried again.
    fn adopt(&self, identity: Identity) -> Result<Arc<dyn Store>, StoreError>;
}

/// What was found on a disk.
#[derive(Debug)]
pub enum Opened {
    /// The node belongs to no cluster yet.
    Blank(Blank),
    /// The node is a member of a cluster.
    Member(Arc<dyn Store>),
}

/// A directory that belongs to no cluster yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blank {
    /// Which node may use it.
    pub node: NodeId,
    /// Drawn when it was made: a node that lost its disk has another one.
    pub instance: String,
}

/// Who a directory belongs to, in errors.
impl fmt::Display for Blank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} (instance {:?}) of no cluster yet", self.node, self.instance)
    }
}

/// Who a directory belongs to, in errors.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster_id, node, instance, shards, founding } = self;
        write!(
            f,
            "node {node} (instance {instance:?}) of cluster {cluster_id:?} with {shards} shards"
        )?;
        match founding.is_empty() {
            true => Ok(()),
            false => write!(f, ", founded by plan {:08x}", crc32fast::hash(founding)),
        }
    }
}
