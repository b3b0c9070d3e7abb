//! Every limit of this crate, with its unit and reason.

use std::time::Duration;

/// Bytes that may wait on one directed link. A gigabit for 100 ms is 12.5 MB; more is dropped at the tail.
pub const LINK_WAITING_BYTES_MAX: usize = 16 << 20;

/// How long a packet may wait for its turn on a link with a rate; a router's queue is about as long.
pub const RATE_WAIT_MAX: Duration = Duration::from_millis(500);

/// Bytes that a link with a rate takes at once after it was idle: ten full packets, TCP's first window.
pub const RATE_BURST_BYTES: u64 = 15_000;

/// How much later than in its turn a reordered packet comes. More than three packets pass it on a busy link.
pub const REORDER_HOLD: Duration = Duration::from_millis(2);

/// The largest packet of the network in bytes, as Ethernet's: bigger ones would make one loss cost more.
pub const MTU_BYTES: usize = 1500;

/// Packets that the kernel keeps for the switch to read before it drops some.
pub const DEVICE_QUEUE_PACKETS: u32 = 4096;

/// How the switch's threads stand to others when cores are scarce (nice(2)): before the nodes they serve.
pub const NICE: i32 = -15;

/// Ports of one network: the addresses of a /24 without its first and last.
pub const PORTS_MAX: usize = 254;

/// How many networks are tried before there is none free. There are 65,536.
pub const NET_DRAWS_MAX: u32 = 256;

/// How long a file system may be busy after its users ended: a process being started holds for a moment
/// whatever its parent has open.
pub const UNMOUNT_WAIT_MAX: Duration = Duration::from_secs(3);

/// How long a process may take to end or to stop once it was told to by a signal it cannot refuse. A write to
/// a slow disk may be under way.
pub const SIGNAL_WAIT_MAX: Duration = Duration::from_secs(10);

/// How long somebody else may take to undo what a run has left: some processes and file systems in a row.
pub const SWEEP_WAIT_MAX: Duration = Duration::from_secs(60);

/// How long strace may take to attach to all threads of a process, or to let go of it.
pub const TRACER_WAIT_MAX: Duration = Duration::from_secs(10);

/// Pause between two looks at something that is about to happen.
pub const LOOK: Duration = Duration::from_millis(2);

/// The smallest disk in bytes: mkfs wants several times the space of the journal.
pub const DISK_BYTES_MIN: u64 = 16 << 20;

/// Bytes of a node's name, so that a namespace's name stays readable.
pub const NAME_BYTES_MAX: usize = 32;

const _: () = assert!(LINK_WAITING_BYTES_MAX > MTU_BYTES * DEVICE_QUEUE_PACKETS as usize);
const _: () = assert!(RATE_BURST_BYTES as usize >= MTU_BYTES);
const _: () = assert!(PORTS_MAX <= u8::MAX as usize);
