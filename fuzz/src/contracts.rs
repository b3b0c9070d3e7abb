//! Hostile messages between processes: no panic, and what was understood is the same when it is said again.

use std::fmt::Debug;

use orrery_model::command::{Batch, Reply};
use orrery_model::control::{Attach, Comet, ControlBatch};
use orrery_model::record::{ControlRecord, ShardRecord};
use orrery_model::{Route, SlotTable};
use orrery_proto::convert::WireError;
use orrery_proto::{common, registry, storage};
use prost::Message;

/// Holds for any bytes, or panics.
pub fn check(data: &[u8]) {
    understood::<registry::Batch, Batch>(data);
    understood::<registry::ControlBatch, ControlBatch>(data);
    understood::<registry::Attach, Attach>(data);
    understood::<registry::Comet, Comet>(data);
    understood::<registry::Reply, Reply>(data);
    understood::<common::Route, Route>(data);
    understood::<common::SlotTable, SlotTable>(data);
    understood::<storage::ShardRecord, ShardRecord>(data);
    understood::<storage::ControlRecord, ControlRecord>(data);
}

fn understood<Wire, Noun>(bytes: &[u8])
where
    Wire: Message + Default + for<'a> From<&'a Noun>,
    Noun: TryFrom<Wire, Error = WireError> + PartialEq + Debug,
{
    let Ok(wire) = Wire::decode(bytes) else { return };
    let Ok(noun) = Noun::try_from(wire) else { return };
    let again = Wire::decode(&*Wire::from(&noun).encode_to_vec()).expect("what was said is sound");
    assert_eq!(Noun::try_from(again).expect("what was understood"), noun);
}
