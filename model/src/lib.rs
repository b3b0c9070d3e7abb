//! The nouns of Orrery: ids, addresses, routes, commands, slots. No IO; depends on nothing of ours.
//!
//! Every other crate speaks in these words, and `orrery-proto` says how each looks on the wire and on
//! disk. Nothing here reads a clock, draws a random number or iterates a hash map.

pub mod address;
pub mod cluster;
pub mod command;
pub mod control;
pub mod id;
pub mod limits;
mod memory;
pub mod message;
pub mod policy;
pub mod record;
pub mod ring;
pub mod route;
pub mod slot;

pub use address::{Address, Kind};
pub use id::{CometId, CometRef, Conn, Id, IdError, Incarnation, NodeId, Seq, ShardId, Version};
pub use policy::{Keep, Policy, Scope};
pub use route::{Details, Primary, Route};
pub use slot::{Slot, SlotTable};
