//! The store's contract. Calls block and come from the log's writer (writes) or from blocking tasks
//! (everything else); each is safe to call from several threads.

use std::fmt;

use bytes::Bytes;
use orrery_model::{NodeId, ShardId};

use crate::error::StoreError;

/// Whose directory this is; written once, when the node becomes a member of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's id.
    pub cluster_id: String,
    /// The node's number in it.
    pub node: NodeId,
    /// Drawn when the directory was made: a node that lost its disk has another one.
    pub instance: String,
    /// How many data shards the cluster was founded with.
    pub shards: u32,
    /// The opaque plan the cluster was founded by; empty for a node that joined later.
    pub founding: Bytes,
}

/// How much room the disk has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that may still be written.
    pub free_bytes: u64,
    /// Bytes there are in total.
    pub total_bytes: u64,
}

/// A log entry as the store sees it: an index and opaque bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in the shard's log; entries of a shard are contiguous.
    pub index: u64,
    /// The entry, encoded by the layer above.
    pub bytes: Bytes,
}

/// Where a shard's log begins and ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogState {
    /// The opaque position given with the last purge, if there was one.
    pub purged: Option<Bytes>,
    /// The index of the last purge, 0 where nothing was purged. Entries begin above it.
    pub purged_index: u64,
    /// The index of the last entry; equals `purged_index` when the log holds no entry. A log whose very
    /// first entry has index 0 is told apart by `empty`.
    pub last_index: u64,
    /// No entry is held.
    pub empty: bool,
}

/// One change of one shard's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Adds entries right after the last one (or as the first ones of an empty log).
    Append(Vec<Record>),
    /// Removes every entry with a larger index (`None` removes all that are not purged).
    TruncateAfter(Option<u64>),
    /// Removes every entry up to and including `index`, and remembers `position`.
    Purge {
        /// The last index to remove; may lie beyond the log's end (after a snapshot was installed).
        index: u64,
        /// What [`LogState::purged`] says from then on.
        position: Bytes,
    },
    /// Replaces the vote.
    Vote(Bytes),
    /// Replaces what is known to be committed.
    Committed(Bytes),
    /// Replaces what is said of how far the node had acknowledged when it left the shard.
    Left(Bytes),
    /// Forgets the entries, the purge and what is known to be committed, as if nothing of them had ever
    /// been written. The vote stays, and what [`Write::Left`] said: a node that leaves a shard and comes
    /// back must neither vote twice nor help to lose what it had acknowledged.
    Clear,
}

/// Changes of any number of shards, made durable together, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteBatch {
    /// The changes, in the order in which they take effect.
    pub writes: Vec<(ShardId, Write)>,
}

/// Everything a router node keeps on disk.
pub trait Store: Send + Sync {
    /// Whose directory this is.
    fn identity(&self) -> &Identity;

    /// Makes a batch durable: when this returns `Ok`, all of it survives a power cut; after a crash
    /// before that, any prefix of the batch's writes may be there (an entry is there whole or not at
    /// all, and nothing later is there without everything earlier).
    ///
    /// # Errors
    /// Any error is final for the node: after a failed sync nobody knows what is on the disk, and a
    /// later success would be a lie. The store refuses all writes from then on.
    fn write(&self, batch: WriteBatch) -> Result<(), StoreError>;

    /// Where a shard's log begins and ends, including what is written but not yet acknowledged.
    ///
    /// # Errors
    /// When the disk cannot be read, or what it holds is corrupt.
    fn log_state(&self, shard: ShardId) -> Result<LogState, StoreError>;

    /// Entries `from..to` of a shard, in order, stopping after the one that reaches `bytes_max`; never
    /// empty where the first one exists. A missing entry inside the range is an error.
    ///
    /// # Errors
    /// When the disk cannot be read, or what it holds is corrupt or has a hole.
    fn entries(
        &self,
        shard: ShardId,
        from: u64,
        to: u64,
        bytes_max: usize,
    ) -> Result<Vec<Record>, StoreError>;

    /// The last vote of a shard.
    ///
    /// # Errors
    /// As [`Store::log_state`].
    fn vote(&self, shard: ShardId) -> Result<Option<Bytes>, StoreError>;

    /// What was last said to be committed in a shard.
    ///
    /// # Errors
    /// As [`Store::log_state`].
    fn committed(&self, shard: ShardId) -> Result<Option<Bytes>, StoreError>;

    /// What was last said with [`Write::Left`] of a shard.
    ///
    /// # Errors
    /// As [`Store::log_state`].
    fn left(&self, shard: ShardId) -> Result<Option<Bytes>, StoreError>;

    /// Lets the engine give back space: call every now and then, away from the writer.
    ///
    /// # Errors
    /// As [`Store::write`].
    fn reclaim(&self) -> Result<(), StoreError>;

    /// Begins a snapshot of a shard; `meta` is opaque. Nothing is visible before `finish`.
    ///
    /// # Errors
    /// When the file cannot be made.
    fn begin_snapshot(
        &self,
        shard: ShardId,
        meta: Bytes,
    ) -> Result<Box<dyn SnapshotWriter>, StoreError>;

    /// The newest complete snapshot of a shard.
    ///
    /// # Errors
    /// When it is there but corrupt: the shard must not serve then.
    fn snapshot(&self, shard: ShardId) -> Result<Option<Box<dyn SnapshotReader>>, StoreError>;

    /// Removes a shard's snapshot, if there is one, durably. Readers that are open finish, writers too: who
    /// leaves a shard sees to it that none is left. And clears its log first ([`Write::Clear`]): a log that
    /// was purged is nothing without its snapshot. A snapshot beside a log that is cleared is found again
    /// after a crash, and is to be removed then.
    ///
    /// # Errors
    /// When the disk refuses; the snapshot is then there whole or not at all, and removing it may be tried
    /// again.
    fn remove_snapshot(&self, shard: ShardId) -> Result<(), StoreError>;

    /// How much room the disk has now.
    ///
    /// # Errors
    /// When the operating system does not say; may be tried again.
    fn space(&self) -> Result<Space, StoreError>;
}

impl fmt::Debug for dyn Store + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(self.identity()).finish()
    }
}

/// A snapshot being written. Dropping it unfinished removes it.
pub trait SnapshotWriter: Send {
    /// Adds one record of opaque bytes.
    ///
    /// # Errors
    /// When the disk refuses (it may be full); the snapshot is lost, nothing else is.
    fn record(&mut self, bytes: &[u8]) -> Result<(), StoreError>;

    /// Makes the snapshot durable and the newest of its shard, and removes the one before it.
    ///
    /// # Errors
    /// When the disk refuses; the older snapshot stays.
    fn finish(self: Box<Self>) -> Result<(), StoreError>;
}

/// A complete snapshot being read. Its checksum was verified when it was opened.
pub trait SnapshotReader: Send {
    /// The opaque bytes given when it was begun.
    fn meta(&self) -> &Bytes;

    /// The next record, `None` after the last.
    ///
    /// # Errors
    /// When the disk cannot be read, or the record is corrupt.
    fn next_record(&mut self) -> Result<Option<Bytes>, StoreError>;
}
