//! Every limit of a router node, with its unit and its reason. What is configured is in `config`.

use std::time::Duration;

use orrery_model::limits::{COMMANDS_PER_BATCH_MAX, INTERNAL_MESSAGE_BYTES_MAX};

/// Most changes that wait for the log's writer. When it is full the shards' cores wait, which is what
/// a slow disk should do to them.
pub(crate) const LOG_WRITER_QUEUE_MAX: usize = 1024;

/// Most changes made durable by one sync: bounds how long the first of them waits for the last.
pub(crate) const JOBS_PER_WRITE_MAX: usize = 512;

/// Most bytes read from the log at once; also what one message of replication can hold at most, which
/// stays under the limit of a gRPC message. One entry is always read, whatever its size.
pub(crate) const LOG_READ_BYTES_MAX: usize = 1 << 20;

/// Most commands that wait for a shard's batcher. Two entries' worth: what is beyond would wait longer
/// than the disk needs for them, so it is refused at once (`OVERLOADED`).
pub(crate) const PROPOSALS_WAITING_MAX: usize = 2 * COMMANDS_PER_BATCH_MAX;

/// Most entries of a shard on their way to being applied. While as many are under way commands gather,
/// so that the next entry holds more of them; a few keep disk and state machine busy at once.
pub(crate) const ENTRIES_IN_FLIGHT_MAX: usize = 4;

/// Most reads of a shard that wait for a confirmation of leadership; more are refused (`OVERLOADED`).
pub(crate) const READS_WAITING_MAX: usize = 8192;

/// Most requests of one session under way. At the limit the session's stream is not read on, which the
/// client feels as back pressure. Also the most that one message can bring: a session that brings more is
/// ended.
pub(crate) const SESSION_REQUESTS_MAX: usize = 8192;

/// Most responses packed into one message of a session.
pub(crate) const RESPONSES_PER_MESSAGE_MAX: usize = 512;

/// Most bytes of responses packed into one message of a session, unless a single one is larger.
pub(crate) const RESPONSES_BYTES_MAX: usize = 1 << 20;

/// Most sessions and calls at once on one connection.
pub(crate) const STREAMS_PER_CONNECTION_MAX: u32 = 256;

/// Most fence events that a shard's leader fetches at once.
pub(crate) const FENCES_PER_LOOK_MAX: usize = 256;

/// How often log time moves on by itself, and how often what fell due in a shard is looked for.
pub(crate) const CLOCK_TICK: Duration = Duration::from_millis(250);

/// The most that a gap between two ticks can add to log time: a leader that was paused must not let
/// everything run out at once.
pub(crate) const CLOCK_GAP_MAX: Duration = Duration::from_secs(1);

/// How often a task looks again where it is also notified: bounds the harm of a missed notice.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Pause after a step of the node's own upkeep was refused, before it is tried again.
pub(crate) const UPKEEP_PAUSE: Duration = Duration::from_millis(20);

/// How long the node's own commands may take before they are looked at again.
pub(crate) const UPKEEP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a read may wait for a confirmation of leadership and for the state machine to catch up.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(3);

/// How often the store gives back space of purged entries.
pub(crate) const RECLAIM_PERIOD: Duration = Duration::from_secs(10);

/// How long `stop` waits for sessions and calls that are under way.
pub(crate) const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);

/// How long `stop` waits for all shards to end, and then for the log's writer to end.
pub(crate) const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

const _: () = assert!(RESPONSES_BYTES_MAX < INTERNAL_MESSAGE_BYTES_MAX);
const _: () = assert!(LOG_READ_BYTES_MAX < INTERNAL_MESSAGE_BYTES_MAX);
const _: () = assert!(CLOCK_TICK.as_millis() < CLOCK_GAP_MAX.as_millis());
