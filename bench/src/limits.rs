//! How much a measurement does, each number with its unit and reason.

use std::time::Duration;

/// Syncs of the disk that are timed.
pub const SYNCS: usize = 50;

/// Users that are bound before reads are measured: each read is of one of them.
pub const POPULATION: u64 = 10_000;

/// Writes under way at once while they are bound: enough to share syncs of the disk.
pub const POPULATING_CALLERS: usize = 64;

/// How long a load is kept up before it is measured: connections open, caches and batches fill.
pub const WARM_UP: Duration = Duration::from_secs(2);

/// How long one call may take before it counts as failed: longer than an election.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause of a caller after a call that failed, so that calls refused at once do not become the load.
pub const FAILURE_PAUSE: Duration = Duration::from_millis(10);

/// Threads that callers run on: one suffices for two cores, and half the cores for larger machines,
/// where client and servers share them.
pub const CALLER_THREADS_MAX: usize = 8;

/// Most callers of one run.
pub const CALLERS_MAX: usize = 16 * 1024;

/// How long processes may take to start and to become a cluster.
pub const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a cluster may take until every node serves and has caught up.
pub const SETTLE_TIMEOUT: Duration = Duration::from_secs(120);

/// How long leaders must stay where they are until the next one is killed or moved: longer than an
/// election, so that what is measured begins in a cluster at rest.
pub const SETTLED: Duration = Duration::from_secs(1);

/// Pause between two looks.
pub const LOOK: Duration = Duration::from_millis(20);

/// How long one node may take to say how it stands.
pub const REPORT_TIMEOUT: Duration = Duration::from_secs(2);

/// Entries that a replica may be behind and still count as caught up: writes go on meanwhile.
pub const BEHIND_MAX: u64 = 100;

/// Writes of one shard under way at most; the next waits for an answer. While a shard has no leader each of
/// them asks again and again: more would be no light load, and would slow down what is measured.
pub const UNDER_WAY_MAX: usize = 50;

/// Reads under way at once when everything that was acknowledged is looked for.
pub const CHECKS_UNDER_WAY: usize = 256;

/// How often a read is repeated that fails, before what it looks for counts as not found.
pub const CHECK_ATTEMPTS: u32 = 5;

/// How long a node may take to end when it is asked to.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a node may take to write snapshots of everything it holds.
pub const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(300);

/// How long an admin port may take to answer.
pub const ADMIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Largest answer of an admin port that is read, in bytes: metrics of many shards stay far below it.
pub const ADMIN_ANSWER_BYTES_MAX: u64 = 16 << 20;

/// How often a bind of a large population is tried before the population counts as impossible: queues that
/// are full for a moment, and leaders that move, are part of it.
pub const BIND_ATTEMPTS: u32 = 20;

const _: () = assert!(SETTLED.as_millis() > LOOK.as_millis());
const _: () = assert!(POPULATING_CALLERS <= CALLERS_MAX);
