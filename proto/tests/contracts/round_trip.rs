//! Whatever the model can say, the wire carries: to bytes and back it is the same, by value and by
//! reference alike.

use std::fmt::Debug;

use orrery_model::command::{Refusal, Reply};
use orrery_model::message::{CloseReason, Delivered, DropReason, Message, WaitFor, WhenFull};
use orrery_proto::convert::{self, Fault, WireError};
use orrery_proto::{common, delivery, push, registry, storage};
use proptest::prelude::*;

use crate::nouns;

/// Encodes and decodes; equal bytes for both conversions, equal nouns at the end.
fn there_and_back<M, W>(model: M)
where
    M: TryFrom<W, Error: Debug> + Clone + PartialEq + Debug,
    W: From<M> + for<'a> From<&'a M> + prost::Message + Default + PartialEq,
{
    let wire = W::from(&model);
    assert!(wire == W::from(model.clone()), "by reference and by value differ: {model:?}");
    let bytes = wire.encode_to_vec();
    let decoded = W::decode(&*bytes).unwrap();
    assert_eq!(M::try_from(decoded).unwrap(), model);
}

proptest! {
    #[test]
    fn nouns_survive(
        address in nouns::address(),
        comet in nouns::comet_ref(),
        route in nouns::route(),
        policy in nouns::policy(),
        primary in nouns::primary(),
    ) {
        there_and_back::<_, common::Address>(address);
        there_and_back::<_, common::CometRef>(comet);
        there_and_back::<_, common::Details>(route.details.clone());
        there_and_back::<_, common::Route>(route);
        there_and_back::<_, common::Policy>(policy);
        there_and_back::<_, common::Primary>(primary);
    }

    #[test]
    fn messages_survive(op in any::<i32>(), body in any::<Vec<u8>>()) {
        there_and_back::<_, common::Message>(Message { op, body: body.into() });
    }

    #[test]
    fn commands_survive(batch in nouns::batch(), command in nouns::command()) {
        there_and_back::<_, registry::Batch>(batch);
        there_and_back::<_, registry::Command>(command);
    }

    #[test]
    fn replies_survive(reply in nouns::reply(), loser in nouns::loser()) {
        there_and_back::<_, registry::Reply>(reply);
        there_and_back::<_, registry::Loser>(loser);
    }

    #[test]
    fn control_commands_survive(batch in nouns::control_batch()) {
        there_and_back::<_, registry::ControlBatch>(batch);
    }

    #[test]
    fn cluster_nouns_survive(
        table in nouns::table(),
        node in nouns::node(),
        attach in nouns::attach(),
        comet in nouns::comet(),
        event in nouns::fence_event(),
        placement in nouns::placement(),
        placed in nouns::placed(),
        found in nouns::found(),
    ) {
        there_and_back::<_, common::SlotTable>(table);
        there_and_back::<_, registry::Node>(node);
        there_and_back::<_, registry::Advertise>(attach.advertise.clone());
        there_and_back::<_, registry::Attach>(attach);
        there_and_back::<_, registry::Comet>(comet);
        there_and_back::<_, registry::FenceEvent>(event);
        there_and_back::<_, registry::Placement>(placement);
        there_and_back::<_, registry::Placed>(placed);
        there_and_back::<_, registry::Found>(found);
    }

    #[test]
    fn records_survive(shard in nouns::shard_record(), control in nouns::control_record()) {
        there_and_back::<_, storage::ShardRecord>(shard);
        there_and_back::<_, storage::ControlRecord>(control);
    }
}

#[test]
fn what_became_of_a_delivery_survives() {
    let all = [
        Delivered::Queued,
        Delivered::Written,
        Delivered::Filtered,
        Delivered::NotHere,
        Delivered::Unknown,
        Delivered::Dropped(DropReason::OutboxFull),
        Delivered::Dropped(DropReason::Displaced),
        Delivered::Dropped(DropReason::Closed),
        Delivered::Dropped(DropReason::BindingFull),
        Delivered::Dropped(DropReason::Overloaded),
    ];
    for delivered in all {
        let wire = delivery::Outcome::from(delivered);
        assert_ne!(wire, delivery::Outcome::Unspecified);
        assert_eq!(Delivered::from(wire), delivered);
    }
    assert_eq!(Delivered::from(delivery::Outcome::Unspecified), Delivered::Unknown);
}

#[test]
fn reasons_to_close_and_levels_to_wait_for_survive() {
    for reason in [CloseReason::Replaced, CloseReason::Kicked] {
        assert_eq!(CloseReason::from(delivery::CloseReason::from(reason)), reason);
    }
    let own = delivery::CloseReason::from(CloseReason::Drain);
    assert_eq!(own, delivery::CloseReason::Unspecified);
    assert_eq!(CloseReason::from(own), CloseReason::Kicked);
    for wait_for in [WaitFor::Queued, WaitFor::Written] {
        let wire = push::WaitFor::from(wait_for);
        assert_eq!(WaitFor::from(wire), wait_for);
        assert_eq!(convert::wait_for(wire.into()), Ok(wait_for));
    }
    assert_eq!(convert::wait_for(0), Ok(WaitFor::Queued));
    for when_full in [WhenFull::DropNewest, WhenFull::DropOldest, WhenFull::Close] {
        let wire = common::WhenFull::from(when_full);
        assert_eq!(convert::when_full(wire.into()), Ok(Some(when_full)));
    }
    assert_eq!(convert::when_full(0), Ok(None), "as the comet is configured");
    let else_ = WireError { field: "when_full", what: Fault::Unknown(4) };
    assert_eq!(convert::when_full(4), Err(else_));
    let acked = WireError { field: "push_request.wait_for", what: Fault::Unknown(3) };
    assert_eq!(convert::wait_for(3), Err(acked));
}

#[test]
fn the_detail_of_an_invalid_command_stays_on_the_wire() {
    let reply: Reply = Err(Refusal::Invalid("a room cannot be bound"));
    let wire = registry::Reply::from(&reply);
    let Some(registry::reply::Reply::Refusal(refusal)) = &wire.reply else { panic!("{wire:?}") };
    assert_eq!(refusal.detail, "a room cannot be bound");
    assert!(matches!(Reply::try_from(wire), Ok(Err(Refusal::Invalid(_)))));
}
