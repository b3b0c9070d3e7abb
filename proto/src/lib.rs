//! The contracts: what goes over the wire between processes and what is stored on disk, generated from
//! `proto/`, and the one place that turns each message into our nouns and back ([`convert`]).

pub mod convert;

/// Generated code; its documentation is in the `.proto` files.
#[allow(missing_docs, unreachable_pub, rust_2018_idioms, clippy::all, clippy::unwrap_used)]
mod contracts {
    include!(concat!(env!("OUT_DIR"), "/contracts.rs"));
}

pub use contracts::orrery::cluster::v1 as cluster;
pub use contracts::orrery::comet::v1 as comet;
pub use contracts::orrery::common::v1 as common;
pub use contracts::orrery::delivery::v1 as delivery;
pub use contracts::orrery::edge::v1 as edge;
pub use contracts::orrery::peers::v1 as peers;
pub use contracts::orrery::push::v1 as push;
pub use contracts::orrery::registry::v1 as registry;
pub use contracts::orrery::storage::v1 as storage;

/// The encoded descriptors of all contracts, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
