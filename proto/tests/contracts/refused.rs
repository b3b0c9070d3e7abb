//! What the contract does not allow is refused by the name of its field, and no bytes at all panic.

use orrery_model::cluster::{FIRST_INSTANCE, Node};
use orrery_model::command::{Batch, Command, Reply};
use orrery_model::control::{Attach, ControlBatch, ControlCommand, Found};
use orrery_model::record::{ControlRecord, ShardRecord};
use orrery_model::{Address, Details, IdError, Policy, SlotTable};
use orrery_proto::convert::{Fault, WireError};
use orrery_proto::{common, delivery, edge, peers, push, registry, storage};
use proptest::prelude::*;
use prost::Message;

use crate::nouns;

fn user(id: &str) -> common::Address {
    common::Address { namespace: String::new(), kind: 1, id: id.to_owned() }
}

fn comet() -> common::CometRef {
    common::CometRef { id: "c".to_owned(), incarnation: 1 }
}

fn command(kind: registry::command::Kind) -> registry::Command {
    registry::Command { kind: Some(kind) }
}

#[track_caller]
fn refused<M: TryFrom<W, Error = WireError> + std::fmt::Debug, W>(
    wire: W,
    field: &'static str,
    what: Fault,
) {
    assert_eq!(M::try_from(wire).unwrap_err(), WireError { field, what });
}

#[test]
fn addresses_name_a_kind_and_ids() {
    let address = common::Address { kind: 0, ..user("u") };
    refused::<Address, _>(address, "address.kind", Fault::Unknown(0));
    let address = common::Address { kind: 9, ..user("u") };
    refused::<Address, _>(address, "address.kind", Fault::Unknown(9));
    refused::<Address, _>(user(""), "address.id", Fault::Id(IdError::Empty));
    let long = Fault::Id(IdError::TooLong { bytes: 129 });
    refused::<Address, _>(user(&"x".repeat(129)), "address.id", long.clone());
    let address = common::Address { namespace: "x".repeat(129), ..user("u") };
    refused::<Address, _>(address, "address.namespace", long);
}

#[test]
fn commands_name_all_they_need() {
    use registry::command::Kind;
    refused::<Command, _>(registry::Command { kind: None }, "command.kind", Fault::Missing);
    let bind = registry::Bind { comet: Some(comet()), ..Default::default() };
    refused::<Command, _>(command(Kind::Bind(bind)), "bind.address", Fault::Missing);
    let bind = registry::Bind { address: Some(user("u")), ..Default::default() };
    refused::<Command, _>(command(Kind::Bind(bind)), "bind.comet", Fault::Missing);
    let unbind = registry::Unbind { address: Some(user("u")), ..Default::default() };
    refused::<Command, _>(command(Kind::Unbind(unbind)), "unbind.route", Fault::Missing);
    let list = registry::ListRoom { comet: Some(comet()), ..Default::default() };
    refused::<Command, _>(command(Kind::BindRoom(list)), "list_room.room", Fault::Missing);
    let set = registry::SetRooms {
        address: Some(user("u")),
        comet: Some(comet()),
        rooms: vec![String::new()],
        ..Default::default()
    };
    let empty = Fault::Id(IdError::Empty);
    refused::<Command, _>(command(Kind::SetRooms(set)), "set_rooms.rooms", empty);
    let open = registry::Open { slots: vec![0, 4096], epoch: 1, ..Default::default() };
    refused::<Command, _>(command(Kind::Open(open)), "open.slots", Fault::Unknown(4096));
}

#[test]
fn a_bind_without_details_or_policy_has_the_default_ones() {
    let bind =
        registry::Bind { address: Some(user("u")), comet: Some(comet()), ..Default::default() };
    let bind = orrery_model::command::Bind::try_from(bind).unwrap();
    assert_eq!((bind.details, bind.policy), (Details::default(), Policy::default()));
}

#[test]
fn policies_of_an_unknown_kind_are_not_guessed() {
    let policy = common::Policy { scope: 7, n: 0, keep: 0 };
    refused::<Policy, _>(policy, "policy.scope", Fault::Unknown(7));
    let policy = common::Policy { scope: 0, n: 0, keep: 7 };
    refused::<Policy, _>(policy, "policy.keep", Fault::Unknown(7));
}

#[test]
fn encodings_of_another_version_are_not_read() {
    for version in [0, 2] {
        let batch = registry::Batch { version, ..Default::default() };
        refused::<Batch, _>(batch, "batch.version", Fault::Version(version));
        let batch = registry::ControlBatch { version, ..Default::default() };
        refused::<ControlBatch, _>(batch, "control_batch.version", Fault::Version(version));
        let head = storage::ShardHead { version, ..Default::default() };
        let record = storage::ShardRecord { kind: Some(storage::shard_record::Kind::Head(head)) };
        refused::<ShardRecord, _>(record, "shard_head.version", Fault::Version(version));
        let head = storage::ControlHead { version, ..Default::default() };
        let kind = Some(storage::control_record::Kind::Head(head));
        let record = storage::ControlRecord { kind };
        refused::<ControlRecord, _>(record, "control_head.version", Fault::Version(version));
    }
}

#[test]
fn tables_have_one_owner_a_slot() {
    let table = common::SlotTable { epoch: 1, owners: vec![1; 4095] };
    refused::<SlotTable, _>(table, "slot_table.owners", Fault::Length(4095));
    refused::<Found, _>(registry::Found::default(), "found.table", Fault::Missing);
    let attach = registry::Attach { comet: "c".to_owned(), ..Default::default() };
    refused::<Attach, _>(attach, "attach.advertise", Fault::Missing);
}

#[test]
fn what_is_wanted_of_a_node_is_not_guessed() {
    use registry::control_command::Kind;
    for state in [0, 9] {
        let set = registry::SetNodeState { node: 1, state };
        let command = registry::ControlCommand { kind: Some(Kind::SetNodeState(set)) };
        let unknown = Fault::Unknown(state.unsigned_abs().into());
        refused::<ControlCommand, _>(command, "set_node_state.state", unknown.clone());
        let record = |node| {
            let kind = storage::control_record::Kind::Node(storage::NodeRecord { node, state });
            storage::ControlRecord { kind: Some(kind) }
        };
        let node = Some(registry::Node::default());
        refused::<ControlRecord, _>(record(node), "node_record.state", unknown);
        refused::<ControlRecord, _>(record(None), "node_record.node", Fault::Missing);
    }
}

#[test]
fn a_node_of_the_build_for_one_node_has_the_first_instance_and_protocol() {
    let node = Node::from(registry::Node { id: 1, ..Default::default() });
    assert_eq!((node.instance.as_str(), node.protocol), (FIRST_INSTANCE, 1));
    let wire = registry::Node::from(&node);
    assert_eq!((wire.instance.as_str(), wire.protocol), ("", 0), "and is still written as by it");
}

#[test]
fn replies_of_an_unknown_kind_are_not_guessed() {
    let refusal = registry::Refusal { reason: 99, ..Default::default() };
    let reply = registry::Reply { reply: Some(registry::reply::Reply::Refusal(refusal)) };
    refused::<Reply, _>(reply, "refusal.reason", Fault::Unknown(99));
    refused::<Reply, _>(registry::Reply::default(), "reply.reply", Fault::Missing);
}

#[test]
fn errors_say_field_and_fault() {
    let error = Address::try_from(user("")).unwrap_err();
    assert_eq!(error.to_string(), "address.id is not an id: an id cannot be empty");
}

/// Decodes and converts, taking whatever comes of it.
fn take<M: TryFrom<W>, W: Message + Default>(bytes: &[u8]) {
    if let Ok(wire) = W::decode(bytes) {
        let _ = M::try_from(wire);
    }
}

fn take_all(bytes: &[u8]) {
    take::<Batch, registry::Batch>(bytes);
    take::<Command, registry::Command>(bytes);
    take::<Reply, registry::Reply>(bytes);
    take::<ControlBatch, registry::ControlBatch>(bytes);
    take::<Found, registry::Found>(bytes);
    take::<SlotTable, common::SlotTable>(bytes);
    take::<ShardRecord, storage::ShardRecord>(bytes);
    take::<ControlRecord, storage::ControlRecord>(bytes);
    let _ = storage::Entry::decode(bytes);
    let _ = storage::Vote::decode(bytes);
    let _ = storage::SnapshotMeta::decode(bytes);
    let _ = peers::AppendRequests::decode(bytes);
    let _ = peers::SnapshotPart::decode(bytes);
    let _ = registry::SessionRequest::decode(bytes);
    let _ = registry::SessionResponse::decode(bytes);
    let _ = edge::EdgeRequests::decode(bytes);
    let _ = delivery::Deliveries::decode(bytes);
    let _ = push::PushRequest::decode(bytes);
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        take_all(&bytes);
    }

    /// Bytes that were right but for a few reach deeper than random ones do.
    #[test]
    fn damaged_bytes_are_decoded_or_refused(
        batch in nouns::batch(),
        record in nouns::shard_record(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        for mut bytes in [
            registry::Batch::from(batch).encode_to_vec(),
            storage::ShardRecord::from(record).encode_to_vec(),
        ] {
            if bytes.is_empty() {
                continue;
            }
            for (place, byte) in &damage {
                let place = place.index(bytes.len());
                bytes[place] = *byte;
            }
            take_all(&bytes);
            bytes.truncate(cut.index(bytes.len()));
            take_all(&bytes);
        }
    }
}
