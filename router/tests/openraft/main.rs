//! What openraft does by itself, shown on three cores over a log that obeys its contract: the traps that our
//! configuration and our answers go around. A test here that fails tells that openraft has changed.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod cluster;
mod discarded;
mod disk;
mod leader_restore;
mod lease_reads;
mod machine;
mod net;
mod quorum_probe;
mod types;
