//! Strategies for any noun of the model.

use std::collections::BTreeSet;

use orrery_model::cluster::{Counters, FIRST_INSTANCE, NodeState, Placed, Placement};
use orrery_model::command::{
    Batch, Bind, Bound, Command, ExpireComet, ListRoom, Loser, Open, Outcome, Refusal, Reply,
    RouteName, SetRooms, Unbind,
};
use orrery_model::control::{
    Advertise, Attach, Comet, ControlBatch, ControlCommand, FenceEvent, Found, Node,
};
use orrery_model::limits::SLOTS;
use orrery_model::record::{ControlRecord, ShardHead, ShardRecord};
use orrery_model::{
    Address, CometRef, Conn, Details, Id, Incarnation, Keep, Kind, NodeId, Policy, Primary, Route,
    Scope, Seq, ShardId, Slot, SlotTable, Version,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

pub(crate) fn id() -> impl Strategy<Value = Id> {
    // 32 characters of at most 4 bytes each: up to the longest id there is.
    "\\PC{1,32}".prop_map(|text| Id::new(text).expect("1 to 128 bytes"))
}

pub(crate) fn text() -> impl Strategy<Value = String> {
    "\\PC{0,12}"
}

pub(crate) fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::User), Just(Kind::Key), Just(Kind::Room)]
}

pub(crate) fn address() -> impl Strategy<Value = Address> {
    let parts = (proptest::option::of(id()), kind(), id());
    parts.prop_map(|(namespace, kind, id)| Address { namespace, kind, id })
}

pub(crate) fn number() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), Just(u64::MAX), 1..1000u64, any::<u64>()]
}

pub(crate) fn seq() -> impl Strategy<Value = Seq> {
    number().prop_map(Seq)
}

pub(crate) fn conn() -> impl Strategy<Value = Conn> {
    number().prop_map(Conn)
}

pub(crate) fn version() -> impl Strategy<Value = Version> {
    number().prop_map(Version)
}

pub(crate) fn incarnation() -> impl Strategy<Value = Incarnation> {
    number().prop_map(Incarnation)
}

pub(crate) fn comet_ref() -> impl Strategy<Value = CometRef> {
    (id(), incarnation()).prop_map(|(id, incarnation)| CometRef { id, incarnation })
}

pub(crate) fn rooms() -> impl Strategy<Value = BTreeSet<Id>> {
    vec(id(), 0..4).prop_map(BTreeSet::from_iter)
}

pub(crate) fn primary() -> impl Strategy<Value = Primary> {
    (address(), seq()).prop_map(|(address, seq)| Primary { address, seq })
}

pub(crate) fn details() -> impl Strategy<Value = Details> {
    let labels = btree_map(text(), text(), 0..3);
    let parts = (text(), text(), labels, rooms(), version(), proptest::option::of(primary()));
    parts.prop_map(|(platform, device, labels, rooms, rooms_version, primary)| Details {
        platform,
        device,
        labels,
        rooms,
        rooms_version,
        primary,
    })
}

pub(crate) fn route() -> impl Strategy<Value = Route> {
    (seq(), comet_ref(), conn(), details(), number()).prop_map(
        |(seq, comet, conn, details, bound_at_ms)| Route { seq, comet, conn, details, bound_at_ms },
    )
}

pub(crate) fn policy() -> impl Strategy<Value = Policy> {
    let scope = prop_oneof![
        Just(Scope::All),
        any::<u32>().prop_map(|n| Scope::PerAddress { n }),
        Just(Scope::PerPlatform),
    ];
    let keep = prop_oneof![Just(Keep::Newest), Just(Keep::Oldest)];
    (scope, keep).prop_map(|(scope, keep)| Policy { scope, keep })
}

pub(crate) fn slot() -> impl Strategy<Value = Slot> {
    (0..SLOTS as u32).prop_map(|number| Slot::new(number).expect("below the number of slots"))
}

pub(crate) fn table() -> impl Strategy<Value = SlotTable> {
    (number(), any::<[u32; 8]>()).prop_map(|(epoch, owners)| {
        let owners = owners.iter().cycle().take(SLOTS).map(|shard| ShardId(*shard)).collect();
        SlotTable::new(epoch, owners).expect("one owner a slot")
    })
}

fn bind() -> impl Strategy<Value = Bind> {
    let rank = proptest::option::of(seq());
    (address(), comet_ref(), conn(), details(), policy(), conn(), rank).prop_map(
        |(address, comet, conn, details, policy, settled, rank)| Bind {
            address,
            comet,
            conn,
            details,
            policy,
            settled,
            rank,
        },
    )
}

fn unbind() -> impl Strategy<Value = Unbind> {
    let route = prop_oneof![seq().prop_map(RouteName::Seq), conn().prop_map(RouteName::Conn)];
    (address(), comet_ref(), route, conn()).prop_map(|(address, comet, route, settled)| Unbind {
        address,
        comet,
        route,
        settled,
    })
}

fn set_rooms() -> impl Strategy<Value = SetRooms> {
    (address(), comet_ref(), seq(), rooms(), version()).prop_map(
        |(address, comet, seq, rooms, version)| SetRooms { address, comet, seq, rooms, version },
    )
}

fn list_room() -> impl Strategy<Value = ListRoom> {
    let parts = (address(), comet_ref(), version());
    parts.prop_map(|(room, comet, version)| ListRoom { room, comet, version })
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    let expire = (id(), incarnation(), number()).prop_map(|(comet, fence, position)| ExpireComet {
        comet,
        fence,
        position,
    });
    let open = (vec(slot(), 0..20), number(), seq(), incarnation())
        .prop_map(|(slots, epoch, next_seq, floor)| Open { slots, epoch, next_seq, floor });
    prop_oneof![
        bind().prop_map(Command::Bind),
        unbind().prop_map(Command::Unbind),
        set_rooms().prop_map(Command::SetRooms),
        list_room().prop_map(Command::BindRoom),
        list_room().prop_map(Command::UnbindRoom),
        expire.prop_map(Command::ExpireComet),
        open.prop_map(Command::Open),
    ]
}

pub(crate) fn batch() -> impl Strategy<Value = Batch> {
    let parts = (number(), number(), vec(command(), 0..6));
    parts.prop_map(|(elapsed_ms, wall_ms, commands)| Batch { elapsed_ms, wall_ms, commands })
}

pub(crate) fn loser() -> impl Strategy<Value = Loser> {
    let parts = (address(), comet_ref(), conn(), seq());
    parts.prop_map(|(address, comet, conn, seq)| Loser { address, comet, conn, seq })
}

/// Any reply but an invalid one, whose detail does not travel back.
pub(crate) fn reply() -> impl Strategy<Value = Reply> {
    let bound = (seq(), vec(loser(), 0..4)).prop_map(|(seq, losers)| Bound { seq, losers });
    prop_oneof![
        bound.prop_map(|bound| Ok(Outcome::Bound(bound))),
        any::<bool>().prop_map(|removed| Ok(Outcome::Unbound { removed })),
        Just(Ok(Outcome::Done)),
        Just(Ok(Outcome::Stale)),
        Just(Err(Refusal::Gone)),
        incarnation().prop_map(|fence| Err(Refusal::Fenced { fence })),
        Just(Err(Refusal::Outranked)),
        number().prop_map(|epoch| Err(Refusal::WrongShard { epoch })),
        Just(Err(Refusal::NotBound)),
        Just(Err(Refusal::Unsettled)),
    ]
}

/// Any node but one without instance or protocol: on the wire their absence has a meaning.
pub(crate) fn node() -> impl Strategy<Value = Node> {
    let protocol = prop_oneof![1..4u32, Just(u32::MAX)];
    let instance = prop_oneof![Just(FIRST_INSTANCE.to_owned()), "\\PC{1,12}"];
    (node_id(), text(), text(), instance, protocol).prop_map(
        |(id, registry, peers, instance, protocol)| Node {
            id,
            registry,
            peers,
            instance,
            protocol,
        },
    )
}

pub(crate) fn node_id() -> impl Strategy<Value = NodeId> {
    number().prop_map(NodeId)
}

pub(crate) fn node_state() -> impl Strategy<Value = NodeState> {
    proptest::sample::select(&NodeState::ALL)
}

pub(crate) fn shard() -> impl Strategy<Value = ShardId> {
    any::<u32>().prop_map(ShardId)
}

pub(crate) fn placement() -> impl Strategy<Value = Placement> {
    let parts = (shard(), number(), vec(node_id(), 0..5));
    parts.prop_map(|(shard, version, replicas)| Placement { shard, version, replicas })
}

pub(crate) fn placed() -> impl Strategy<Value = Placed> {
    let version = proptest::option::of(number());
    let parts = (shard(), number(), vec(node_id(), 0..5), vec(node_id(), 0..5), version);
    parts.prop_map(|(shard, log_index, voters, learners, version)| Placed {
        shard,
        log_index,
        voters,
        learners,
        version,
    })
}

pub(crate) fn counters() -> impl Strategy<Value = Counters> {
    (incarnation(), btree_map(shard(), seq(), 0..3))
        .prop_map(|(first_incarnation, first_seqs)| Counters { first_incarnation, first_seqs })
}

pub(crate) fn found() -> impl Strategy<Value = Found> {
    let parts = (text(), vec(node(), 0..4), table(), vec(placement(), 0..4), counters());
    parts.prop_map(|(cluster_id, nodes, table, placements, counters)| Found {
        cluster_id,
        nodes,
        table,
        placements,
        counters,
    })
}

pub(crate) fn advertise() -> impl Strategy<Value = Advertise> {
    (text(), text(), vec(text(), 0..3), text(), text(), text(), any::<u32>()).prop_map(
        |(delivery, hostname, addresses, region, zone, env, weight)| Advertise {
            delivery,
            hostname,
            addresses,
            region,
            zone,
            env,
            weight,
        },
    )
}

pub(crate) fn attach() -> impl Strategy<Value = Attach> {
    (id(), text(), number(), advertise()).prop_map(|(comet, instance, attempt, advertise)| Attach {
        comet,
        instance,
        attempt,
        advertise,
    })
}

pub(crate) fn comet() -> impl Strategy<Value = Comet> {
    (comet_ref(), text(), number(), advertise(), number()).prop_map(
        |(comet, instance, attempt, advertise, attached_at_ms)| Comet {
            comet,
            instance,
            attempt,
            advertise,
            attached_at_ms,
        },
    )
}

pub(crate) fn fence_event() -> impl Strategy<Value = FenceEvent> {
    let parts = (number(), id(), incarnation());
    parts.prop_map(|(position, comet, fence)| FenceEvent { position, comet, fence })
}

pub(crate) fn control_batch() -> impl Strategy<Value = ControlBatch> {
    let command = prop_oneof![
        found().prop_map(ControlCommand::Found),
        attach().prop_map(ControlCommand::Attach),
        comet_ref().prop_map(ControlCommand::Expire),
        number().prop_map(|position| ControlCommand::Trim { position }),
        node().prop_map(ControlCommand::AddNode),
        node().prop_map(ControlCommand::UpdateNode),
        (node_id(), node_state())
            .prop_map(|(node, state)| ControlCommand::SetNodeState { node, state }),
        placement().prop_map(ControlCommand::Place),
        placed().prop_map(ControlCommand::Placed),
    ];
    let parts = (number(), number(), vec(command, 0..4));
    parts.prop_map(|(elapsed_ms, wall_ms, commands)| ControlBatch { elapsed_ms, wall_ms, commands })
}

pub(crate) fn shard_record() -> impl Strategy<Value = ShardRecord> {
    let head = (shard(), seq(), number(), number(), number(), incarnation()).prop_map(
        |(shard, next_seq, elapsed_ms, cursor, epoch, floor)| {
            ShardRecord::Head(ShardHead { shard, next_seq, elapsed_ms, cursor, epoch, floor })
        },
    );
    let routed = (address(), route(), vec(loser(), 0..3), proptest::option::of(seq())).prop_map(
        |(address, route, losers, rank)| ShardRecord::Route { address, route, losers, rank },
    );
    let listing = (address(), comet_ref(), version(), any::<bool>()).prop_map(
        |(room, comet, version, listed)| ShardRecord::Listing { room, comet, version, listed },
    );
    let removed_seq = proptest::option::of(seq());
    let mark = (address(), comet_ref(), conn(), any::<bool>(), removed_seq, any::<bool>());
    let mark = mark.prop_map(|(address, comet, conn, removed, seq, outranked)| ShardRecord::Mark {
        address,
        comet,
        conn,
        removed,
        seq,
        outranked,
    });
    prop_oneof![
        head,
        slot().prop_map(ShardRecord::Slot),
        routed,
        listing,
        (id(), incarnation()).prop_map(|(comet, fence)| ShardRecord::Fence { comet, fence }),
        mark,
        (comet_ref(), conn()).prop_map(|(comet, settled)| ShardRecord::Settled { comet, settled }),
    ]
}

pub(crate) fn control_record() -> impl Strategy<Value = ControlRecord> {
    let head = (incarnation(), number(), number()).prop_map(
        |(next_incarnation, next_position, elapsed_ms)| ControlRecord::Head {
            next_incarnation,
            next_position,
            elapsed_ms,
        },
    );
    prop_oneof![
        head,
        found().prop_map(ControlRecord::Found),
        comet().prop_map(ControlRecord::Comet),
        fence_event().prop_map(ControlRecord::Event),
        (id(), incarnation()).prop_map(|(comet, fence)| ControlRecord::Fence { comet, fence }),
        (comet_ref(), text(), number(), number()).prop_map(
            |(comet, instance, attempt, position)| ControlRecord::Answered {
                comet,
                instance,
                attempt,
                position,
            }
        ),
        (node(), node_state()).prop_map(|(node, state)| ControlRecord::Node { node, state }),
        placement().prop_map(ControlRecord::Placement),
        placed().prop_map(ControlRecord::Placed),
    ]
}
