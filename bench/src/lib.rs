//! Measures a registry of routes, and the edge in front of it.
//!
//! [`closed_loop`] drives any registry that is a [`target::Target`]; [`registry`] is Orrery's, and the
//! comparison with etcd brings its own. [`edge`] drives comets and their push API, Orrery's or goim's, as
//! devices and backends do. Everything else is what measurements share.

pub mod acks;
pub mod admin;
pub mod bar;
pub mod clock;
pub mod closed_loop;
pub mod cluster;
pub mod edge;
pub mod experiment;
pub mod latency;
pub mod limits;
pub mod machine;
pub mod measure;
pub mod paced_load;
pub mod population;
pub mod registry;
pub mod report;
pub mod resources;
pub mod router;
pub mod tally;
pub mod target;
