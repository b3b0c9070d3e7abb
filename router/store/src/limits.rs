//! Every size the store is bounded by, with its unit and its reason.

/// Bytes of a log file before the next one is begun: small enough that purging gives space back soon,
/// large enough that beginning one (a sync of the folder) is rare.
pub const LOG_FILE_BYTES: u64 = 16 << 20;

/// Bytes of log files from which [`crate::Store::reclaim`] begins to rewrite what is still needed and to
/// give files back. Also bounds the files kept for reuse (half as many again).
pub const LOG_PURGE_BYTES: u64 = 128 << 20;

/// Bytes of all records of one write. The engine's own bound is 2 GiB; no writer gathers so much, and
/// a larger one would hold the disk for seconds.
pub const WRITE_BYTES_MAX: usize = 1 << 30;

/// Threads that read log files at start.
pub const LOG_RECOVERY_THREADS: usize = 2;

/// Bytes of newest records kept in memory for each shard, so that applying and replicating what was
/// just written never reads a file.
pub const TAIL_BYTES_MAX: usize = 1 << 20;

/// Bytes of one record of a snapshot: bounds what a reader must hold at once.
pub const SNAPSHOT_RECORD_BYTES_MAX: usize = 16 << 20;

/// Bytes of a snapshot's opaque meta: a log position and a membership, a few hundred bytes in practice.
pub const SNAPSHOT_META_BYTES_MAX: usize = 1 << 20;

/// Bytes of a snapshot written between two syncs, so that its last sync does not hold up the log's.
pub const SNAPSHOT_SYNC_BYTES: u64 = 8 << 20;

/// Bytes of buffer with which snapshots are read and written.
pub const SNAPSHOT_BUFFER_BYTES: usize = 64 << 10;

/// Bytes of cache for the catalogue, which holds some dozens of values of under a hundred bytes.
pub const CATALOGUE_CACHE_BYTES: u64 = 1 << 20;

/// Milliseconds between two runs of the catalogue engine's own flusher, which is also what collects its
/// garbage. Durability never waits for it.
pub const CATALOGUE_FLUSH_MS: u64 = 1_000;

/// Bytes of a cluster's id in a header.
pub const CLUSTER_ID_BYTES_MAX: usize = 1 << 10;

/// Bytes of a directory's instance in a header: a UUID's text and some room.
pub const INSTANCE_BYTES_MAX: usize = 64;

/// Bytes of a founding plan in a header: a slot table of 4096 slots, and the nodes and replicas of a
/// cluster, some dozens of kilobytes in practice.
pub const FOUNDING_BYTES_MAX: usize = 4 << 20;

const _: () = {
    assert!(LOG_PURGE_BYTES >= LOG_FILE_BYTES, "the engine refuses the opposite");
    assert!(SNAPSHOT_RECORD_BYTES_MAX < u32::MAX as usize, "u32::MAX marks a snapshot's end");
    assert!(WRITE_BYTES_MAX < i32::MAX as usize, "the engine's own bound");
};
