//! Every limit of the machinery around a service, with its unit and its reason.

use std::time::Duration;

/// Connections the admin port serves at once. People and scrapers are few; more wait in the kernel's
/// accept queue, so that a loop gone wild cannot take the process's descriptors.
pub const ADMIN_CONNECTIONS_MAX: usize = 64;

/// Largest request body the admin port reads, in bytes: a demo push, not an upload.
pub const ADMIN_BODY_BYTES_MAX: usize = 64 << 10;

/// How long a client of the admin port may take to send the head of a request.
pub const ADMIN_HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause after a failed accept (descriptors ran out), so that the listener does not spin.
pub const ADMIN_ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// How long requests under way on the admin port may take once the process ends.
pub const ADMIN_STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// How deep a configuration may nest: deeper than any section of ours, far from any stack's end.
pub const CONFIG_DEPTH_MAX: usize = 16;

/// Largest configuration file that is read, in bytes. Something bigger is not a configuration.
pub const CONFIG_FILE_BYTES_MAX: u64 = 1 << 20;

/// Threads of the runtime that Raft has to itself. Consensus waits for disks and peers more than it
/// computes; beyond this, threads only wake each other.
pub const RAFT_THREADS_MAX: usize = 4;

/// How long a runtime waits for its blocking work when the process ends.
pub const RUNTIME_STOP_TIMEOUT: Duration = Duration::from_secs(2);
