//! Limits of the state machines, each with its unit and its reason. Those that apply judges by are part
//! of the replicated behaviour: changing one needs all replicas to change together.

use orrery_model::limits::{PAGE_SIZE_MAX, ROUTES_PER_ADDRESS_MAX, SLOTS};

/// Addresses that one log entry looks at while sweeping what a fence has made invisible. Small enough
/// that an entry stays under a fraction of a millisecond, large enough that a million addresses are
/// swept by a thousand entries.
pub const SWEEP_ADDRESSES_PER_BATCH: usize = 1024;

/// Marks that one comet may have in a shard. A mark lives only while its conn is not settled, so a
/// correct comet stays far below this even if one of its binds hangs while everybody leaves. At the
/// limit its new binds, and unbinds that find nothing, are refused; removals always leave their mark.
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

/// Answered attaches that the control shard remembers beside those of living comets. Beyond it the
/// oldest is forgotten: an instance superseded that long ago would be taken for a new one.
pub const ANSWERED_ATTACHES_MAX: usize = 4096;

/// Largest page of fence events read at once.
pub const EVENTS_PAGE_MAX: usize = 1024;

/// Comets whose expiry one poll of the leases proposes; the next poll goes on.
pub const EXPIRIES_PER_POLL_MAX: usize = 256;

const _: () = assert!(COUNT_PARTS.is_power_of_two() && COUNT_PARTS <= SLOTS);
const _: () = assert!(SWEEP_ADDRESSES_PER_BATCH >= PAGE_SIZE_MAX);
const _: () = assert!(ROUTES_PER_ADDRESS_MAX < u32::MAX as usize);
