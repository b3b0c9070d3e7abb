//! Limits of the state machines, each with its unit and its reason. Those that apply judges by are part
//! of the replicated behaviour: changing one needs all replicas to change together.

use orrery_model::limits::{PAGE_SIZE_MAX, ROUTES_PER_ADDRESS_MAX, SLOTS};

/// Routes and listings that one log entry looks at while sweeping what a fence has made invisible. Small
/// enough that an entry stays under a millisecond, large enough that a million are swept by a thousand
/// entries.
pub const SWEEP_BODIES_PER_BATCH: usize = 1024;

/// Elements of one page of a sorted list. A write after a snapshot copies a page, and each insertion
/// moves half of one: both stay near a microsecond.
pub const PAGE_ELEMENTS_MAX: usize = 64;

/// Elements by which a page grows, which is also what it may hold unused, twice that after removals.
pub const PAGE_SPARE: usize = 8;

/// Routes that one page of a comet's routes looks at; whoever reads it keeps writes waiting meanwhile.
pub const COMET_ROUTES_SCAN_MAX: usize = 1 << 14;

/// Marks that one comet may have in a shard. A mark lives only while its conn is not settled, so a
/// correct comet stays far below this even if one of its binds hangs while everybody leaves. At the
/// limit its new binds, and unbinds that find nothing, are refused as unsettled, to be repeated; removals
/// always leave their mark.
pub const MARKS_PER_COMET_MAX: usize = 1 << 18;

/// Rooms that one comet may have taken off its listing in a shard and still be remembered for. Beyond
/// it the oldest is forgotten: a listing command delayed past that many others may then list the comet
/// for a room it has left, which costs needless deliveries and never loses one.
pub const TOMBSTONES_PER_COMET_MAX: usize = 4096;

/// Parts of the index of room counts that are copied one by one when written after a snapshot.
pub const COUNT_PARTS: usize = 1024;

/// Longest text of a platform or device, in bytes: both come from devices and stay in memory.
pub const DETAIL_BYTES_MAX: usize = 256;

/// Longest instance name of a comet, in bytes.
pub const INSTANCE_BYTES_MAX: usize = 128;

/// Longest single text in what a comet advertises, in bytes: a host name has at most 253.
pub const ADVERTISE_TEXT_BYTES_MAX: usize = 512;

/// Most public addresses that a comet can advertise.
pub const ADVERTISE_ADDRESSES_MAX: usize = 64;

/// Nodes that a cluster can have at a time: each holds a replica of the control shard, whose leader
/// sends every entry to all of them.
pub const NODES_MAX: usize = 64;

/// Nodes that a cluster can have had, the present ones among them: a removed one stays known, so that
/// its number never comes back, with a few hundred bytes. Beyond it no node can join; a cluster in which
/// one is replaced each day reaches it after eleven years.
pub const NODES_EVER_MAX: usize = 4096;

/// Replicas that a shard can have. Seven survive the loss of three; more only slow every write down.
pub const REPLICAS_MAX: usize = 7;

/// Voters, and learners, that a shard's leader can report. Every node is a member of the control shard,
/// removed ones until its leader hears of it.
pub const MEMBERS_MAX: usize = 2 * NODES_MAX;

/// Shards whose replicas may be on the move at a time: a move sends a whole snapshot, so a few at once
/// leave disk and network to the writes.
pub const SHARDS_MOVING_MAX: usize = 2;

/// Leaderships that one plan hands over, so that the gaps of the shards do not fall together.
pub const HANDOVERS_PER_PLAN_MAX: usize = 4;

/// Answered attaches that the control shard remembers beside those of living comets. Beyond it the
/// oldest is forgotten: an instance superseded that long ago would be taken for a new one.
pub const ANSWERED_ATTACHES_MAX: usize = 4096;

/// Largest page of fence events read at once.
pub const EVENTS_PAGE_MAX: usize = 1024;

/// Comets whose expiry one poll of the leases proposes; the next poll goes on.
pub const EXPIRIES_PER_POLL_MAX: usize = 256;

const _: () = assert!(COUNT_PARTS.is_power_of_two() && COUNT_PARTS <= SLOTS);
const _: () = assert!(MEMBERS_MAX >= NODES_MAX && NODES_MAX >= REPLICAS_MAX);
const _: () = assert!(NODES_EVER_MAX > NODES_MAX);
const _: () = assert!(PAGE_ELEMENTS_MAX >= 4 * PAGE_SPARE && PAGE_SPARE > 0);
const _: () = assert!(COMET_ROUTES_SCAN_MAX >= PAGE_SIZE_MAX);
const _: () = assert!(ROUTES_PER_ADDRESS_MAX < u32::MAX as usize);
