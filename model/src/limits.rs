//! Every limit that more than one crate must agree on, with its unit and its reason.

/// Longest user, key, room, comet or namespace id, in bytes of UTF-8: fits any sensible id and keeps a
/// route small enough that a million of them fit in memory.
pub const ID_BYTES_MAX: usize = 128;

/// Number of slots an address can hash to. Enough that 100 shards differ by under a half in load, few
/// enough that the table fits a single message.
pub const SLOTS: usize = 4096;

/// Most rooms one connection can be a member of. A bind carries them all in one command.
pub const ROOMS_PER_CONNECTION_MAX: usize = 64;

/// Most labels a connection can carry, and the most bytes of one label's name and value together.
pub const LABELS_MAX: usize = 16;
/// See [`LABELS_MAX`].
pub const LABEL_BYTES_MAX: usize = 256;

/// Most routes one address can have. A user with more living connections than this is refused, so that
/// one address can never make an unbounded answer.
pub const ROUTES_PER_ADDRESS_MAX: usize = 1024;

/// Most commands in one log entry. Bounds the time apply holds the state machine.
pub const COMMANDS_PER_BATCH_MAX: usize = 1024;

/// Most encoded bytes of one log entry; above it a batch is split before it is proposed. A single entry
/// must never exceed what one message between router nodes may carry.
pub const BATCH_BYTES_MAX: usize = 1 << 20;

/// Most encoded bytes of one route: all its ids, rooms and labels at their limits, the two texts of its
/// platform and device, and the encoding around them.
pub const ROUTE_BYTES_MAX: usize =
    ROOMS_PER_CONNECTION_MAX * (ID_BYTES_MAX + 4) + LABELS_MAX * (LABEL_BYTES_MAX + 12) + 1024;

/// Largest message accepted on a gRPC connection between our own processes, in bytes: the answer to a
/// look-up of an address with as many routes as it may have, each as large as it may be.
pub const INTERNAL_MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Largest body of a push, in bytes (goim's practical ceiling was its queue's limit of about 1 MB).
pub const PUSH_BODY_BYTES_MAX: usize = 1 << 20;

/// Most addresses one push can name, and most items one `PushMany` can carry.
pub const PUSH_TARGETS_MAX: usize = 1000;
/// See [`PUSH_TARGETS_MAX`].
pub const PUSH_ITEMS_MAX: usize = 1000;

/// Largest page of a list call; also what a request for 0 or more than this gets.
pub const PAGE_SIZE_MAX: usize = 1000;

/// Most other comets that a device is told which is sent away, and most bytes of the name of each.
pub const DRAIN_NODES_MAX: usize = 16;
/// See [`DRAIN_NODES_MAX`].
pub const DRAIN_NODE_BYTES_MAX: usize = 256;

/// Slow devices that are shown where nobody says how many, and most of them: what people read.
pub const SLOW_DEFAULT: u32 = 20;
/// See [`SLOW_DEFAULT`].
pub const SLOW_MAX: u32 = 1000;

const _: () = assert!(SLOTS.is_power_of_two() && SLOTS <= u16::MAX as usize + 1);
const _: () = assert!(ROUTES_PER_ADDRESS_MAX * ROUTE_BYTES_MAX < INTERNAL_MESSAGE_BYTES_MAX);
const _: () = assert!(BATCH_BYTES_MAX < INTERNAL_MESSAGE_BYTES_MAX);
const _: () = assert!(PUSH_BODY_BYTES_MAX < INTERNAL_MESSAGE_BYTES_MAX);
const _: () = assert!(ROOMS_PER_CONNECTION_MAX * (ID_BYTES_MAX + 8) < BATCH_BYTES_MAX);
