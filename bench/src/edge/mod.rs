//! Edge: loads a running system the way devices and backends do, and measures it.
//!
//! The client holds its devices on threads of its own and pushes from another; the system under load is
//! other processes. Latencies begin at the moment a push or connect was *due*, not when the client got round
//! to it, so that a stall of either side is charged to everything that it delayed. Every message at every
//! device is parsed, timed and counted.

pub mod arrivals;
pub mod bench;
pub mod client;
pub mod failure;
pub mod limits;
pub mod options;
pub mod progress;
pub mod push;
pub mod pushing;
pub mod quick;
pub mod report;
pub mod scenario;
pub mod separate_sends;
pub mod server;
