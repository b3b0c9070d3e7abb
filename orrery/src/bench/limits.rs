//! How much the benchmark does, each number with its unit and reason.

use std::time::Duration;

/// Devices that connect in the first part: some seconds of work. With everything else the client stays
/// far below 20 000 descriptors.
pub(super) const CONNECT_DEVICES: usize = 2000;

/// Connects under way at once: enough for writes to share a sync of the disk, few enough that one
/// connect's latency is not only the queue.
pub(super) const CONNECT_CONCURRENCY: usize = 64;

/// Connected users that pushes go to, in turn.
pub(super) const USERS: usize = 500;

/// Pushes to users a second; the bar is set for this rate.
pub(super) const USER_PUSHES_PER_SECOND: u64 = 2000;

/// Calls under way at once when pushing as fast as answers come.
pub(super) const CALLERS: usize = 64;

/// Rooms that get their first message, each of its own.
pub(super) const QUIET_ROOMS: usize = 20;

/// Silence before the first of them, and between one and the next.
pub(super) const QUIET_FIRST: Duration = Duration::from_secs(1);
/// See [`QUIET_FIRST`].
pub(super) const QUIET_BETWEEN: Duration = Duration::from_millis(100);

/// Members of the busy room.
pub(super) const ROOM_MEMBERS: usize = 1000;

/// Pushes to it a second.
pub(super) const ROOM_PUSHES_PER_SECOND: u64 = 1000;

/// How long a rate is kept up before it is measured: connections between the services open, caches
/// fill.
pub(super) const WARM_UP: Duration = Duration::from_secs(1);

/// Pause between two parts, so that one's goodbyes are not the next one's load.
pub(super) const SETTLE: Duration = Duration::from_secs(2);

/// Bar: 99 of 100 pushes to one user arrive sooner, at [`USER_PUSHES_PER_SECOND`].
pub(super) const USER_P99_MAX: Duration = Duration::from_millis(5);

/// Bar: the first message to a quiet room arrives sooner.
pub(super) const QUIET_ROOM_MAX: Duration = Duration::from_millis(5);

/// Share of a rate below which it was not kept up. The last messages of a run take a moment more.
pub(super) const RATE_KEPT_SHARE: f64 = 0.95;

/// Length of a message's body: a short notification.
pub(super) const BODY_BYTES: usize = 100;

/// gRPC connections that pushes are spread over, as a backend's pool would.
pub(super) const PUSH_CONNECTIONS: usize = 2;

/// Pushes that wait for their answer at most. Above it the next one leaves late, and is charged for it.
pub(super) const PUSHES_IN_FLIGHT_MAX: usize = 2000;

/// Pushes that are due and not taken yet at most; above it the metronome waits, its schedule does not.
pub(super) const DUE_MAX: usize = 4096;

/// Threads that read devices: one suffices for two cores, and half the cores for larger machines.
pub(super) const READERS_MAX: usize = 8;

/// Bytes read from a socket at once, into a buffer that a thread's devices share.
pub(super) const READ_BYTES: usize = 256 << 10;

/// How often a device says that it lives.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(60);

/// How long connecting one device may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// How long nothing may arrive until what is missing counts as lost.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// How long the system may take to start.
pub(super) const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How long it may take to end before it is killed.
pub(super) const STOP_TIMEOUT: Duration = Duration::from_secs(20);

const _: () = assert!(BODY_BYTES >= super::stamp::STAMP_BYTES);
const _: () = assert!(CONNECT_DEVICES + USERS + QUIET_ROOMS + ROOM_MEMBERS < 20_000);
