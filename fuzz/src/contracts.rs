//! Hostile messages between processes: no panic, and what was understood is the same when it is said again.

use std::fmt::Debug;

use orrery_model::cluster::{Node, Placed, Placement};
use orrery_model::command::{Batch, Reply};
use orrery_model::control::{Attach, Comet, ControlBatch};
use orrery_model::message::{CloseReason, Delivered};
use orrery_model::record::{ControlRecord, ShardRecord};
use orrery_model::{Address, Route, SlotTable};
use orrery_proto::convert::{wait_for, when_full};
use orrery_proto::delivery::deliver::Kind;
use orrery_proto::{common, delivery, push, registry, storage};
use prost::Message;

/// Holds for any bytes, or panics.
pub fn check(data: &[u8]) {
    understood::<registry::Batch, Batch>(data);
    understood::<registry::ControlBatch, ControlBatch>(data);
    understood::<registry::Attach, Attach>(data);
    understood::<registry::Comet, Comet>(data);
    understood::<registry::Reply, Reply>(data);
    understood::<registry::Node, Node>(data);
    understood::<registry::Placement, Placement>(data);
    understood::<registry::Placed, Placed>(data);
    understood::<common::Address, Address>(data);
    understood::<common::Message, orrery_model::message::Message>(data);
    understood::<common::Route, Route>(data);
    understood::<common::SlotTable, SlotTable>(data);
    understood::<storage::ShardRecord, ShardRecord>(data);
    understood::<storage::ControlRecord, ControlRecord>(data);
    deliveries(data);
    pushed(data);
}

/// What logic asks of a comet, and what the comet answers. Each word but the unspecified one is its own meaning.
fn deliveries(bytes: &[u8]) {
    use delivery::{CloseReason as Reason, Outcome};
    for deliver in delivery::Deliveries::decode(bytes).unwrap_or_default().deliveries {
        full(deliver.when_full);
        if let Some(Kind::Close(close)) = deliver.kind {
            let wanted = match close.reason() {
                Reason::Unspecified => Reason::Kicked,
                reason => reason,
            };
            assert_eq!(Reason::from(CloseReason::from(close.reason())), wanted);
        }
    }
    for receipt in delivery::Receipts::decode(bytes).unwrap_or_default().receipts {
        for outcome in receipt.outcomes() {
            let claimed = match outcome {
                Outcome::Unspecified => Outcome::Unknown,
                outcome => outcome,
            };
            assert_eq!(Outcome::from(Delivered::from(outcome)), claimed);
        }
    }
}

/// How a push waits, and what becomes of it at a full outbox.
fn pushed(bytes: &[u8]) {
    let request = push::PushRequest::decode(bytes).unwrap_or_default();
    full(request.when_full);
    if let Ok(level) = wait_for(request.wait_for) {
        let asked = match request.wait_for() {
            push::WaitFor::Unspecified => push::WaitFor::Queued,
            asked => asked,
        };
        assert_eq!(push::WaitFor::from(level), asked);
    }
}

fn full(number: i32) {
    if let Ok(Some(choice)) = when_full(number) {
        assert_eq!(i32::from(common::WhenFull::from(choice)), number);
    }
}

fn understood<Wire, Noun>(bytes: &[u8])
where
    Wire: Message + Default + for<'a> From<&'a Noun>,
    Noun: TryFrom<Wire, Error: Debug> + PartialEq + Debug,
{
    let Ok(wire) = Wire::decode(bytes) else { return };
    let Ok(noun) = Noun::try_from(wire) else { return };
    let again = Wire::decode(&*Wire::from(&noun).encode_to_vec()).expect("what was said is sound");
    assert_eq!(Noun::try_from(again).expect("what was understood"), noun);
}
