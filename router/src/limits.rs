//! Every limit of a router node, with its unit and its reason. What is configured is in `config`.

use std::time::Duration;

use orrery_host::grpc::PING_TIMEOUT;
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
pub(crate) const CLOCK_TICK: Duration = Duration::from_millis(500);

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

/// Most requests of a lane that wait for an answer: what openraft keeps under way itself.
pub(crate) const LANE_REQUESTS_MAX: usize = 64;

/// Most bytes of requests of a lane that wait for an answer: several messages, so that a follower's sync
/// does not hold up the next one; few enough that all shards' lanes to a stuck peer fit in memory.
pub(crate) const LANE_BYTES_MAX: usize = 4 << 20;

/// How long a lane's oldest request may stay unanswered before the lane ends and is begun anew. Longer
/// than a disk's stall: a follower answers only what is synced. That a peer is gone is known sooner.
pub(crate) const LANE_IDLE_MAX: Duration = Duration::from_secs(3);

/// Most lanes that one peer may have open here: a few for each shard. Beyond that the stream is ended.
pub(crate) const LANES_PER_PEER_MAX: usize = 4096;

/// Most bytes of appends that a shard's core holds unanswered, of all lanes together: what two lanes may
/// have under way, since a lane that ended leaves its requests behind. More are refused (`OVERLOADED`).
pub(crate) const BACKLOG_BYTES_MAX: usize = 8 << 20;

/// Most requests to one peer that wait for the connection; lanes wait when as many do.
pub(crate) const PEER_REQUESTS_WAITING_MAX: usize = 1024;

/// Most bytes of such requests.
pub(crate) const PEER_QUEUE_BYTES_MAX: usize = 4 << 20;

/// Most heartbeats that wait for the connection: each shard has one under way. Further ones fail.
pub(crate) const PEER_HEARTBEATS_WAITING_MAX: usize = 4096;

/// Bytes of requests gathered into one message, unless a single one is larger: as much as one read of the
/// log gives, so that heartbeats behind it do not wait long.
pub(crate) const PEER_MESSAGE_BYTES: usize = 1 << 20;

/// Most answers gathered into one message.
pub(crate) const PEER_ANSWERS_PER_MESSAGE_MAX: usize = 1024;

/// How long a peer may take to accept the stream.
pub(crate) const LINK_OPEN_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a peer that owes answers may say nothing at all before its connection is given up.
pub(crate) const LINK_SILENCE_MAX: Duration = Duration::from_secs(1);

/// How often a node that owes answers, because its disk holds them up, says that it lives.
pub(crate) const LINK_PULSE: Duration = Duration::from_millis(250);

/// Pause after a connection broke; what is sent meanwhile fails at once.
pub(crate) const LINK_PAUSE: Duration = Duration::from_millis(50);

/// Most calls at once on one connection of a peer: a stream, and a vote of each shard.
pub(crate) const PEER_CALLS_PER_CONNECTION_MAX: u32 = 2048;

/// Bytes that a peer may send before they were taken, per stream and per connection. Few on a stream: what is on
/// its way is what a ping waits behind on a slow line.
pub(crate) const PEER_STREAM_WINDOW_BYTES: u32 = 512 << 10;
/// See [`PEER_STREAM_WINDOW_BYTES`].
pub(crate) const PEER_CONNECTION_WINDOW_BYTES: u32 = 8 << 20;

/// Most entries that a leader's successor may lack when it is asked to take over: it has them on disk
/// well before an election would be due.
pub(crate) const TRANSFER_LAG_MAX: u64 = 1000;

/// After so many heartbeats without an answer a successor is not asked.
pub(crate) const TRANSFER_SILENCE_HEARTBEATS: u32 = 3;

/// Bytes of a snapshot in one message.
pub(crate) const SNAPSHOT_PART_BYTES: usize = 1 << 20;

/// How long one message of a snapshot may take, on either side.
pub(crate) const SNAPSHOT_PART_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a replica may take to sync and restore a snapshot that it has got whole.
pub(crate) const SNAPSHOT_INSTALL_TIMEOUT: Duration = Duration::from_secs(120);

const _: () = assert!(LANE_BYTES_MAX >= PEER_MESSAGE_BYTES);
const _: () = assert!(BACKLOG_BYTES_MAX >= 2 * LANE_BYTES_MAX);
const _: () = assert!(PEER_QUEUE_BYTES_MAX >= 2 * PEER_MESSAGE_BYTES);
const _: () = assert!(LINK_PULSE.as_millis() * 2 < LINK_SILENCE_MAX.as_millis());
const _: () = assert!(2 * LOG_READ_BYTES_MAX + PEER_MESSAGE_BYTES < INTERNAL_MESSAGE_BYTES_MAX);
const _: () = assert!(SNAPSHOT_PART_BYTES < INTERNAL_MESSAGE_BYTES_MAX);
// What a peer has not taken passes in this time on the slowest line on which a snapshot's parts are in time.
const _: () = assert!(
    PEER_STREAM_WINDOW_BYTES as u64 * SNAPSHOT_PART_TIMEOUT.as_secs()
        < SNAPSHOT_PART_BYTES as u64 * PING_TIMEOUT.as_secs()
);

/// How long `stop` waits for the peers' calls to end before the shards do.
pub(crate) const PEERS_END_TIMEOUT: Duration = Duration::from_millis(500);

/// How long `stop` waits for the last who use the data directory to let it go, after the log's writer ended.
pub(crate) const LET_GO_TIMEOUT: Duration = Duration::from_secs(1);

/// How often `stop` looks whether they have.
pub(crate) const LET_GO_LOOK: Duration = Duration::from_millis(2);

/// How long `stop` waits for the node's peers, shards and log to end, after its services have.
pub(crate) const END_TIMEOUT: Duration = Duration::from_secs(8);

/// How often health checks are told anew whether the node can serve.
pub(crate) const HEALTH_LOOK: Duration = Duration::from_millis(250);

/// Longest silence of a member that still counts as alive where replicas are placed: several heartbeats,
/// and longer than an election that went wrong once.
pub(crate) const LIVE_SILENCE_MAX: Duration = Duration::from_secs(2);

/// Longest silence of a member that a leadership is handed to. A handover to somebody who is gone leaves
/// the shard without a leader for an election.
pub(crate) const HANDOVER_SILENCE_MAX: Duration = Duration::from_millis(500);

/// Most entries that a member is behind while it counts as caught up: less than an election's worth.
pub(crate) const FOLLOWS_CLOSELY_ENTRIES_MAX: u64 = 1000;

/// How long a node leads a shard before it hands the lead to whoever is preferred: a node that has just
/// come back gets its shards one after the other, when it is warm.
pub(crate) const LEAD_MIN: Duration = Duration::from_secs(3);

/// Shortest time between two handovers of one shard.
pub(crate) const HANDOVER_PAUSE: Duration = Duration::from_secs(3);

/// How long a handover is waited for before another one may begin.
pub(crate) const HANDOVER_PATIENCE: Duration = Duration::from_secs(1);

/// How long `stop` waits for others to take this node's leaderships over.
pub(crate) const STOP_HANDOVER_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a shard's keeper looks while there is nothing to do.
pub(crate) const KEEPER_LOOK: Duration = Duration::from_millis(500);

/// How often a shard's keeper looks while a step is under way.
pub(crate) const KEEPER_STEP: Duration = Duration::from_millis(50);

/// How often a node tells the leader of the control shard that it lives and how far its shards are.
pub(crate) const REPORT_PERIOD: Duration = Duration::from_secs(1);

/// How long a node counts as alive after it has reported; several reports fit.
pub(crate) const REPORT_LIFE: Duration = Duration::from_secs(4);

/// How long another node may take to answer a report.
pub(crate) const REPORT_TIMEOUT: Duration = Duration::from_secs(1);

/// How often the planner looks while nothing is told.
pub(crate) const PLANNER_LOOK: Duration = Duration::from_secs(1);

/// How long a node leads the control shard before it plans: by then it has heard of all that live.
pub(crate) const PLANNER_LEADS_MIN: Duration = Duration::from_secs(1);

/// Shortest time between two looks of the planner, however much is told.
pub(crate) const PLANNER_PAUSE: Duration = Duration::from_millis(200);

/// How often the disk's room is looked at.
pub(crate) const ROOM_LOOK: Duration = Duration::from_secs(1);

/// A snapshot is written below the reserve if this percentage of its bytes is free: the state and other
/// shards' logs grow meanwhile.
pub(crate) const SNAPSHOT_ROOM_PERCENT: u64 = 120;

/// Below the reserve a shard that has written a snapshot writes the next one after this percentage of the
/// entries that it takes otherwise, so that its log never grows by much.
pub(crate) const THRIFT_ENTRIES_PERCENT: u64 = 2;

/// How long a shard waits, below the reserve, before it sees again whether a snapshot fits: to find out costs
/// about half as much as writing it.
pub(crate) const THRIFT_PAUSE: Duration = Duration::from_secs(5);

/// How often a snapshot that was asked for is looked for.
pub(crate) const SNAPSHOT_LOOK: Duration = Duration::from_millis(20);

/// A disk that fell below its reserve has room again at this percentage of it.
pub(crate) const ROOM_REGAINED_PERCENT: u64 = 125;

/// Most entries that a replica may be behind its shard's leader while the node counts as ready.
pub(crate) const READY_LAG_MAX: u64 = 1000;

/// So many of the longest election timeouts a replica may hear nothing of its leader while it still counts
/// as having one: an election that goes well fits in, so that a leader that dies does not make the others
/// unready. A leader itself counts until its lease is over, when it takes no more writes.
pub(crate) const LEADER_SILENCE_ELECTIONS_MAX: u32 = 2;

/// For so many of them, in turns, a leader without its quorum keeps silent and speaks up.
pub(crate) const QUORUM_PROBE_ELECTIONS: u32 = 3;

/// For so many of them a leader must be heard without a pause once it was silent for too long, before it
/// counts again: longer than it speaks up without its quorum.
pub(crate) const LEADER_STEADY_ELECTIONS: u32 = 4;

/// Most bytes of records in one message of a backup, unless a single one is larger.
pub(crate) const BACKUP_CHUNK_BYTES: usize = 1 << 20;

/// Most messages of a backup that are made before they are fetched.
pub(crate) const BACKUP_CHUNKS_WAITING_MAX: usize = 1;

/// Most backups that a node gives at once; more are refused (`OVERLOADED`). Each holds on to whatever of
/// its shard's state changes while it is fetched.
pub(crate) const BACKUPS_AT_ONCE_MAX: usize = 1;

/// Most requests for digests that a node works on at once; more are refused (`RESOURCE_EXHAUSTED`). Each takes
/// a core, for one replica after the other.
pub(crate) const DIGESTS_AT_ONCE_MAX: usize = 1;

/// How long a message of a backup may wait to be fetched before the backup is given up: nobody else gets
/// one meanwhile. As long as the client waits for the next one.
pub(crate) const BACKUP_STALL_MAX: Duration = Duration::from_secs(30);

/// Most bytes of each text in a line of the audit log: what is asked for comes from outside.
pub(crate) const AUDIT_TEXT_BYTES_MAX: usize = 2048;

/// Longest id of a cluster, in bytes: every message between nodes carries it. Those that we draw have 36.
pub(crate) const CLUSTER_ID_BYTES_MAX: usize = 128;

/// Most snapshots that a node writes at once; further shards wait. Writing one takes a core for a while,
/// and holds on to whatever of the state changes meanwhile: all shards together would leave those that
/// serve neither time nor memory.
pub(crate) const SNAPSHOTS_AT_ONCE_MAX: usize = 1;

/// How long a snapshot that was asked for may take, waiting for those of all other shards included.
pub(crate) const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(120);

const _: () = assert!(RESPONSES_BYTES_MAX < INTERNAL_MESSAGE_BYTES_MAX);
const _: () = assert!(LOG_READ_BYTES_MAX < INTERNAL_MESSAGE_BYTES_MAX);
const _: () = assert!(CLOCK_TICK.as_millis() < CLOCK_GAP_MAX.as_millis());
const _: () = assert!(HANDOVER_SILENCE_MAX.as_millis() < LIVE_SILENCE_MAX.as_millis());
const _: () = assert!(2 * REPORT_PERIOD.as_millis() < REPORT_LIFE.as_millis());
const _: () = assert!(ROOM_REGAINED_PERCENT > 100);
const _: () = assert!(SNAPSHOT_ROOM_PERCENT > 100 && THRIFT_ENTRIES_PERCENT < 100);
const _: () = assert!(LEADER_STEADY_ELECTIONS > QUORUM_PROBE_ELECTIONS);
// Or a leader that speaks up now and then would never be silent for too long.
const _: () = assert!(QUORUM_PROBE_ELECTIONS > LEADER_SILENCE_ELECTIONS_MAX);

/// Traces that the span of an entry names. An entry can hold a thousand commands, and each of their requests
/// tells its entry by itself.
pub(crate) const TRACES_NAMED_MAX: usize = 32;
