//! A router node in process, asked through its real gRPC service.
// What tests share may unwrap as tests do.
#![allow(clippy::unwrap_used)]

mod adopting;
mod backup;
mod caller;
mod comets;
mod damage;
mod durability;
mod failure;
mod gated_disk;
mod gated_store;
mod node;
mod overload;
mod oversized;
mod registry;
mod snapshots;
mod start;
