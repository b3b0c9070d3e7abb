//! How logic and the harness talk to the registry: which shard has an address, who leads it, what to do
//! when that is no longer true, and what can be said of a request whose answer never came.
//!
//! A [`Client`] holds the slot table and one session per router node; requests that are under way at the
//! same time share messages. It repeats what may be repeated until the caller's deadline and keeps
//! three endings apart: answered, certainly not carried out, unknown ([`ClientError`]). One session carries
//! the requests of all shards that its node leads, so that they share messages too.
//!
//! [`cluster`] is for those who operate a cluster rather than use it.

mod ask;
mod backoff;
mod call;
mod client;
pub mod cluster;
mod comet_routes;
mod comets;
mod config;
mod door;
mod error;
mod flights;
mod leaders;
pub mod limits;
mod members;
mod metrics;
mod node;
mod nodes;
mod outstanding;
mod session;
mod table;
mod tables;

pub use client::{Client, Located, Written};
pub use comets::{Attached, Pulse};
pub use config::Config;
pub use error::ClientError;
pub use members::{Member, MembersCursor, MembersPage, ShardMembers};
pub use table::Table;
