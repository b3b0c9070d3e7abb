//! What batches say that they take, beside what the allocator gives out for them. The one test of its
//! program: whatever another one allocated meanwhile would count as well.
// What the test shares may unwrap as it does.
#![allow(clippy::unwrap_used)]

use std::alloc::System;
use std::collections::{BTreeMap, BTreeSet};

use cap::Cap;
use orrery_model::cluster::{Counters, Node, Placed, Placement};
use orrery_model::command::{
    Batch, Bind, Command, ExpireComet, ListRoom, Open, RouteName, SetRooms, Unbind,
};
use orrery_model::control::{Advertise, Attach, ControlBatch, ControlCommand, Found};
use orrery_model::{
    Address, CometRef, Conn, Details, Id, Incarnation, NodeId, Policy, Primary, Seq, ShardId, Slot,
    SlotTable, Version,
};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// How far off it may be, in percent.
const TOLERANCE: usize = 15;

#[test]
fn a_batch_says_within_fifteen_percent_what_it_takes() {
    let binds = |details: fn() -> Details| commands(move |conn| bind(conn, details()));
    data("plain binds", binds(Details::default));
    data("binds of devices", binds(device));
    data("binds with rooms and labels", binds(everything));
    data(
        "unbinds",
        commands(|conn| {
            let (address, route) = (user(conn), RouteName::Conn(Conn(conn)));
            Command::Unbind(Unbind { address, comet: comet(), route, settled: Conn(conn) })
        }),
    );
    for count in [1, 11, 12, 100, 1000] {
        data(
            &format!("sets of {count} rooms"),
            commands(move |conn| {
                let (address, rooms) = (user(conn), rooms(count));
                let (seq, version) = (Seq(conn), Version(1));
                Command::SetRooms(SetRooms { address, comet: comet(), seq, rooms, version })
            }),
        );
    }
    data(
        "listings",
        commands(|conn| {
            let room = Address::room(text("live://", conn));
            Command::BindRoom(ListRoom { room, comet: comet(), version: Version(conn) })
        }),
    );
    data(
        "expiries",
        commands(|position| {
            let (comet, fence) = (comet().id, Incarnation(position));
            Command::ExpireComet(ExpireComet { comet, fence, position })
        }),
    );
    data("slots", || vec![Command::Open(Open::new(Slot::all().collect(), 1))]);
    data("a tick", Vec::new);

    control("a founding", || vec![ControlCommand::Found(found())]);
    control("attaches", || (0..100).map(attach).collect());
    control("placements", || {
        let replicas = || (1..=5).map(NodeId).collect::<Vec<_>>();
        let (shard, version, log_index) = (ShardId(1), 1, 1);
        let place = ControlCommand::Place(Placement { shard, version, replicas: replicas() });
        let (voters, learners) = (replicas(), replicas());
        let version = Some(version);
        let placed = ControlCommand::Placed(Placed { shard, log_index, voters, learners, version });
        vec![place, placed, ControlCommand::AddNode(node(1)), ControlCommand::Expire(comet())]
    });
}

fn data(what: &str, commands: impl FnOnce() -> Vec<Command>) {
    let batch = || Box::new(Batch { elapsed_ms: 1, wall_ms: 1, commands: commands() });
    compare(what, batch, |batch| batch.memory_bytes());
}

fn control(what: &str, commands: impl FnOnce() -> Vec<ControlCommand>) {
    let batch = || Box::new(ControlBatch { elapsed_ms: 1, wall_ms: 1, commands: commands() });
    compare(what, batch, |batch| batch.memory_bytes());
}

fn compare<T>(what: &str, make: impl FnOnce() -> Box<T>, said: impl FnOnce(&T) -> usize) {
    let before = ALLOCATOR.allocated();
    let made = make();
    let taken = ALLOCATOR.allocated() - before;
    let said = said(&made);
    let off = said.abs_diff(taken) * 100 / taken;
    assert!(off <= TOLERANCE, "{what}: says {said} bytes, takes {taken}");
}

fn commands(command: impl Fn(u64) -> Command) -> impl FnOnce() -> Vec<Command> {
    // More room than needed, as what has grown has.
    move || {
        let mut commands = Vec::new();
        for conn in 0..100 {
            commands.push(command(conn));
        }
        commands
    }
}

fn text(prefix: &str, number: u64) -> Id {
    Id::new(format!("{prefix}{number}")).unwrap()
}

fn user(number: u64) -> Address {
    Address { namespace: Some(text("app-", 1)), ..Address::user(text("user-", number)) }
}

fn comet() -> CometRef {
    CometRef { id: text("comet-1.example:", 3109), incarnation: Incarnation(1) }
}

fn rooms(count: u64) -> BTreeSet<Id> {
    (0..count).map(|room| text("live://room-", room)).collect()
}

fn bind(conn: u64, details: Details) -> Command {
    Command::Bind(Bind {
        address: user(conn),
        comet: comet(),
        conn: Conn(conn),
        details,
        policy: Policy::ONE_NEWEST,
        settled: Conn(conn),
        rank: None,
    })
}

fn device() -> Details {
    let (platform, device) = ("android".to_owned(), "0f9d2a52-64b1-4c8e".to_owned());
    Details { platform, device, ..Details::default() }
}

fn everything() -> Details {
    let labels = BTreeMap::from([("version".to_owned(), "2.14.1".to_owned())]);
    let primary = Some(Primary { address: user(7), seq: Seq(7) });
    Details { labels, rooms: rooms(3), rooms_version: Version(1), primary, ..device() }
}

fn node(id: u64) -> Node {
    Node {
        id: NodeId(id),
        registry: format!("router-{id}.example:3121"),
        peers: format!("router-{id}.example:3120"),
        instance: "0f9d2a5264b14c8e".to_owned(),
        protocol: 2,
    }
}

fn found() -> Found {
    let shards = 1..=16_u32;
    let owners = shards.clone().cycle().map(ShardId).take(Slot::all().count()).collect();
    let place = |shard| Placement { shard, version: 1, replicas: (1..=3).map(NodeId).collect() };
    let first_seqs = shards.clone().map(|shard| (ShardId(shard), Seq(1 << 40))).collect();
    Found {
        cluster_id: "0f9d2a5264b14c8e".to_owned(),
        nodes: (1..=3).map(node).collect(),
        table: SlotTable::new(1, owners).unwrap(),
        placements: shards.map(ShardId).map(place).collect(),
        counters: Counters { first_incarnation: Incarnation(1 << 40), first_seqs },
    }
}

fn attach(number: u64) -> ControlCommand {
    ControlCommand::Attach(Attach {
        comet: text("comet-", number),
        instance: "0f9d2a5264b14c8e".to_owned(),
        attempt: 1,
        advertise: Advertise {
            delivery: "10.0.0.1:3109".to_owned(),
            hostname: "comet-1".to_owned(),
            addresses: vec!["push.example:3102".to_owned()],
            ..Advertise::default()
        },
    })
}
