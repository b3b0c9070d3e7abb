//! The registry's pure state machines: what a data shard and the control shard hold, and what each log
//! entry does to it.
//!
//! Everything here is total and deterministic: equal entries in equal order give equal state and equal
//! replies on every replica. Time is an argument, randomness is absent, and no iteration order depends
//! on a hash. A service drives it like this:
//!
//! - [`registry::Registry`] is one data shard: `apply` each committed [`orrery_model::command::Batch`]
//!   in log order, answer reads from it, take a [`registry::Snapshot`] whenever the log grows long.
//! - [`control::Control`] is the control shard, driven alike with
//!   [`orrery_model::control::ControlBatch`].
//! - [`lease::Leases`] belongs to the control shard's *leader* alone and is not replicated: it says which
//!   comets have been silent for too long, and the leader then proposes their end.
//! - [`plan::plan`] says, to that same leader, what it should propose next so that the replicas and
//!   leaders of all shards get to where they should be; [`placement::propose`] says where they begin.

pub mod control;
pub mod digest;
pub mod lease;
pub mod limits;
pub mod placement;
pub mod plan;
pub mod registry;
