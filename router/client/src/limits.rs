//! Every limit of the client, with its unit and its reason.

use std::time::Duration;

use orrery_model::limits::{BATCH_BYTES_MAX, INTERNAL_MESSAGE_BYTES_MAX};

/// Most requests one session may have unanswered. Above it a call ends as `Overloaded` at once: a
/// router node this far behind is not helped by a longer queue.
pub const UNANSWERED_MAX: usize = 16 * 1024;

/// Most requests packed into one message: enough to share its cost, few enough that the first answer
/// does not wait for the last.
pub const MESSAGE_REQUESTS_MAX: usize = 512;

/// A message is sent once it holds this many encoded bytes; it may exceed it by its last request.
pub const MESSAGE_BYTES: usize = BATCH_BYTES_MAX;

/// Largest encoded request, in bytes; larger ones are `Invalid`. A log entry could not hold it either.
pub const REQUEST_BYTES_MAX: usize = BATCH_BYTES_MAX;

/// Most asks for one request, whatever the deadline, so that no call is endless work.
pub const ATTEMPTS_MAX: u32 = 1024;

/// Most asks of one call under way at the same time: the node that should answer, the one that is said to
/// lead instead, and one that is asked who does.
pub const FLIGHTS_MAX: usize = 3;

/// Shortest and longest pause between the further asks of a call that waits for a silent node; drawn at
/// random. Elections take some hundred milliseconds.
pub const HEDGE_PAUSE_MIN: Duration = Duration::from_millis(20);
/// See [`HEDGE_PAUSE_MIN`].
pub const HEDGE_PAUSE_MAX: Duration = Duration::from_millis(50);

/// Shortest time between two callers that ask around for the leader of one shard after one failed.
pub const SCOUT_PAUSE: Duration = Duration::from_millis(4);

/// Longest time one node can be given for one request, in milliseconds: a day is no time to wait, and far
/// more is none that a clock can add.
pub const ATTEMPT_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// Most redirects in a row that are followed without a pause: two nodes that each believe the other one
/// leads would be asked in circles.
pub const REDIRECTS_MAX: u32 = 2;

/// Shortest pause before a request is asked again where no leader is known; doubles up to [`PAUSE_MAX`],
/// and half of each is random.
pub const PAUSE_MIN: Duration = Duration::from_millis(5);

/// Longest such pause: what a planned move of a leader may cost is twice that. It ends early when another
/// caller learns who leads.
pub const PAUSE_MAX: Duration = Duration::from_millis(50);

/// How long a node whose session broke is left alone before a new session is tried. All calls to the
/// node share this pause, so a dead one is tried about twenty times a second however many they are.
pub const RECONNECT_PAUSE: Duration = Duration::from_millis(50);

/// Shortest time between two rounds of asking for the slot table.
pub const TABLE_PAUSE_MIN: Duration = Duration::from_millis(20);

/// Shortest time between two rounds that are asked for because a leader is not known: the table names the
/// nodes, and nodes come and go seldom.
pub const TABLE_HURRY_PAUSE: Duration = Duration::from_millis(200);

/// Longest pause between two rounds of asking for the slot table while nobody has the wanted one.
pub const TABLE_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Longest pause between two asks for the control shard, which any node may have to elect a leader for.
pub const CONTROL_PAUSE_MAX: Duration = Duration::from_millis(200);

/// How long one node may take to give its slot table before the next one is asked.
pub const TABLE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a node may take for the next part of a backup: longer than a slow disk, shorter than patience.
pub const BACKUP_CHUNK_TIMEOUT: Duration = Duration::from_secs(30);

/// Most asks for one page of a comet's routes. Shards that hold few of them answer with little or nothing,
/// so several answers make a page; enough for every shard of a small cluster.
pub const COMET_ROUTES_ASKS_MAX: usize = 16;

/// Most router nodes of a cluster; a table that names more is not taken. Bounds sessions and memory.
pub const NODES_MAX: usize = 64;

const _: () = assert!(MESSAGE_BYTES + REQUEST_BYTES_MAX < INTERNAL_MESSAGE_BYTES_MAX);
const _: () = assert!(MESSAGE_REQUESTS_MAX <= UNANSWERED_MAX);
const _: () = assert!(FLIGHTS_MAX > 1);
const _: () = assert!(HEDGE_PAUSE_MIN.as_millis() < HEDGE_PAUSE_MAX.as_millis());
const _: () = assert!(PAUSE_MIN.as_millis() > 0 && PAUSE_MIN.as_millis() < PAUSE_MAX.as_millis());
