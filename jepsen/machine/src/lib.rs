//! The machine that real processes run on, and its faults: networks that lose and delay, disks that lose their
//! power, processes that are stopped, clocks that are wrong.
//!
//! Everything is written into a [`Ledger`] before it is made, so that nothing is left behind, not even by a
//! harness that was killed: the next start's [`Ledger::sweep`] undoes it. [`doctor::examine`] tells what a
//! machine lacks. Most of it needs the rights of root and is Linux's.
//!
//! Two calls of the kernel have no safe wrapper: making a TUN device and shutting down a file system. Each has a
//! file of its own, `network/tun.rs` and `shutdown.rs`; nothing else here is unsafe.
#![deny(unsafe_code)]

mod clock;
mod disk;
pub mod doctor;
mod error;
mod injection;
mod ledger;
pub mod limits;
mod network;
mod process;
mod shutdown;
mod tool;

pub use self::clock::WallClock;
pub use self::disk::Disk;
pub use self::error::MachineError;
pub use self::injection::{Injected, Injection};
pub use self::ledger::{FOLDER, Ledger};
pub use self::network::{Counters, Fabric, HARNESS, Link, Net, Network, Node};
pub use self::process::Process;
