//! How much the load of an edge does, each number with its unit and reason.

use std::time::Duration;

/// Connects under way at once while devices come in that are not what is measured: enough for writes to
/// share a sync of the disk, few enough that one connect's latency is not only the queue.
pub const CONNECT_CONCURRENCY: usize = 64;

/// gRPC connections that pushes are spread over, as a backend's pool would.
pub const PUSH_CONNECTIONS: usize = 2;

/// Pushes that wait for their answer at most. Above it the next one leaves late, and is charged for it.
pub const PUSHES_IN_FLIGHT_MAX: usize = 2000;

/// How long goim's logic may take to answer a push.
pub const PUSH_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest answer of goim's logic that is read, in bytes: its own are below a hundred.
pub const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Pushes that are due and not taken yet at most; above it the metronome waits, its schedule does not.
pub const DUE_MAX: usize = 4096;

/// Connects of a churn that are under way at most. Above it the next one leaves late, and is charged for it.
pub const CHURN_IN_FLIGHT_MAX: usize = 8192;

/// Threads that hold devices: one suffices for two cores, and half the cores for larger machines.
pub const READERS_MAX: usize = 8;

/// Bytes read from a socket at once, into a buffer that a thread's devices share.
pub const READ_BYTES: usize = 256 << 10;

/// Longest message that a comet may send, in bytes: the longest body, each byte of it as a JSON escape.
pub const MESSAGE_BYTES_MAX: usize = 6 * orrery_model::limits::PUSH_BODY_BYTES_MAX + 4096;

/// How often a device says that it lives.
pub const HEARTBEAT: Duration = Duration::from_secs(60);

/// How long connecting one device may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// How long nothing may arrive until what is missing counts as lost.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// How long the system may take to start.
pub const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How long each of its processes may take to end before it is killed.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// Pause between two looks at whether it has started.
pub const LOOK: Duration = Duration::from_millis(20);

/// How often whoever watches is told how far it is.
pub const PROGRESS: Duration = Duration::from_secs(1);

/// Addresses that the client's connections to this machine come from; each has some 28,000 ports.
pub const SOURCES: u32 = 64;

/// Descriptors that a process needs beside one for each connection: its own connections, files, runtimes.
pub const DESCRIPTORS_BESIDE: u64 = 300;

/// Looks at a process's memory, so long apart, that must agree until it counts as settled.
pub const SETTLING_LOOKS: usize = 10;
/// See [`SETTLING_LOOKS`].
pub const SETTLING_PAUSE: Duration = Duration::from_millis(100);

/// By how much they may differ, in KiB: what an idle process's threads do by themselves.
pub const SETTLING_KIB: f64 = 256.0;

/// How long memory may take to settle, after which it is reported as not settled.
pub const SETTLING_MAX: Duration = Duration::from_secs(60);

/// How long after a storm began the last device may come back; those that did not count as lost.
pub const STORM_MAX: Duration = Duration::from_secs(300);

const _: () = assert!(SOURCES < 127, "a source's second number is above 127");
const _: () = assert!(SETTLING_MAX.as_millis() > SETTLING_PAUSE.as_millis() * 10);
