//! How much `quick` does, each number with its unit and reason.

use std::time::Duration;

/// Devices that connect in the first part: some seconds of work.
pub(super) const CONNECT_DEVICES: usize = 2000;

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

/// Most devices at once: each part's are gone before the next one's come.
pub(super) const DEVICES_MAX: usize = CONNECT_DEVICES;

const _: () =
    assert!(DEVICES_MAX >= USERS && DEVICES_MAX >= QUIET_ROOMS && DEVICES_MAX >= ROOM_MEMBERS);
