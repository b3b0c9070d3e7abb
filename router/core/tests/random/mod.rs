//! Random logs over a small world, so that commands meet: few addresses, comets, lives and conns.

use std::collections::BTreeSet;

use orrery_model::command::*;
use orrery_model::{
    Address, CometRef, Conn, Details, Id, Incarnation, Keep, Kind, Policy, Primary, Scope, Seq,
    Slot, Version,
};
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;

pub(crate) fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

pub(crate) fn users() -> Vec<Address> {
    ["u0", "u1", "u2"].map(|name| Address::user(id(name))).to_vec()
}

pub(crate) fn keys() -> Vec<Address> {
    ["k0", "k1"].map(|name| Address::key(id(name))).to_vec()
}

pub(crate) fn rooms() -> Vec<Address> {
    ["r0", "r1", "r2"].map(|name| Address::room(id(name))).to_vec()
}

/// An address whose slot stays closed.
pub(crate) fn elsewhere() -> Address {
    Address { namespace: Some(id("far")), kind: Kind::User, id: id("away") }
}

/// The slots of all addresses but [`elsewhere`].
pub(crate) fn open() -> Batch {
    let all = [users(), keys(), rooms()].concat();
    let slots: BTreeSet<Slot> = all.iter().map(Address::slot).collect();
    assert!(!slots.contains(&elsewhere().slot()));
    let open = Open::new(slots.into_iter().collect(), 1);
    Batch { commands: vec![Command::Open(open)], ..Batch::default() }
}

/// A log of batches, the first of which opens the slots. Most fence events are the next one after those
/// that came; some are repeats and some come too early.
pub(crate) fn log(commands: usize) -> impl Strategy<Value = Vec<Batch>> {
    vec((vec(command(), 0..6), 0..50_u64), 1..commands / 3).prop_map(|batches| {
        let batch = |(commands, elapsed_ms)| Batch { elapsed_ms, wall_ms: elapsed_ms, commands };
        let mut log: Vec<_> =
            std::iter::once(open()).chain(batches.into_iter().map(batch)).collect();
        let mut cursor = 0;
        for command in log.iter_mut().flat_map(|batch| &mut batch.commands) {
            if let Command::ExpireComet(expire) = command {
                match expire.position {
                    0 => expire.position = cursor,
                    1 => expire.position = cursor + 2,
                    _ => {
                        cursor += 1;
                        expire.position = cursor;
                    }
                }
            }
        }
        log
    })
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    prop_oneof![
        24 => bind().prop_map(Command::Bind),
        12 => unbind().prop_map(Command::Unbind),
        10 => set_rooms().prop_map(Command::SetRooms),
        6 => list_room().prop_map(Command::BindRoom),
        4 => list_room().prop_map(Command::UnbindRoom),
        2 => expire().prop_map(Command::ExpireComet),
        1 => reopen().prop_map(Command::Open),
    ]
}

fn one_of(addresses: Vec<Address>) -> impl Strategy<Value = Address> {
    proptest::sample::select(addresses)
}

fn routable() -> impl Strategy<Value = Address> {
    prop_oneof![8 => one_of(users()), 5 => one_of(keys()), 1 => Just(elsewhere())]
}

/// Mostly the first lives, so that a comet is not fenced all the time.
fn comet() -> impl Strategy<Value = CometRef> {
    let life = prop_oneof![20 => Just(1_u64), 6 => Just(2), 1 => Just(3)];
    (0..3_usize, life).prop_map(|(comet, life)| CometRef {
        id: id(["c0", "c1", "c2"][comet]),
        incarnation: Incarnation(life),
    })
}

fn conn() -> impl Strategy<Value = Conn> {
    (0..8_u64).prop_map(Conn)
}

fn settled() -> impl Strategy<Value = Conn> {
    prop_oneof![9 => Just(0_u64), 1 => 0..6_u64].prop_map(Conn)
}

fn policy() -> impl Strategy<Value = Policy> {
    let scope = prop_oneof![
        3 => Just(Scope::All),
        5 => (0..3_u32).prop_map(|n| Scope::PerAddress { n }),
        2 => Just(Scope::PerPlatform),
    ];
    let keep = prop_oneof![3 => Just(Keep::Newest), 1 => Just(Keep::Oldest)];
    (scope, keep).prop_map(|(scope, keep)| Policy { scope, keep })
}

fn room_ids() -> impl Strategy<Value = BTreeSet<Id>> {
    btree_set(proptest::sample::select(vec![id("r0"), id("r1"), id("r2")]), 0..3)
}

/// A key's bind is mostly a secondary one; a user's never is.
fn bind() -> impl Strategy<Value = Bind> {
    let primary = option::weighted(0.8, (one_of(users()), 1..6_u64));
    let details = (room_ids(), primary, proptest::sample::select(vec!["", "web"]));
    let rank = option::weighted(0.3, (1..12_u64).prop_map(Seq));
    (routable(), comet(), conn(), policy(), settled(), details, rank).prop_map(
        |(address, comet, conn, policy, settled, (rooms, primary, platform), rank)| {
            let primary = primary
                .filter(|_| address.kind == Kind::Key)
                .map(|(address, seq)| Primary { address, seq: Seq(seq) });
            let rooms = if primary.is_some() { BTreeSet::new() } else { rooms };
            let platform = platform.to_owned();
            let details = Details { platform, rooms, primary, ..Details::default() };
            Bind { address, comet, conn, details, policy, settled, rank }
        },
    )
}

fn unbind() -> impl Strategy<Value = Unbind> {
    let route = prop_oneof![
        conn().prop_map(RouteName::Conn),
        (1..12_u64).prop_map(|seq| RouteName::Seq(Seq(seq))),
    ];
    (routable(), comet(), route, settled()).prop_map(|(address, comet, route, settled)| Unbind {
        address,
        comet,
        route,
        settled,
    })
}

fn set_rooms() -> impl Strategy<Value = SetRooms> {
    (routable(), comet(), 1..12_u64, room_ids(), 0..6_u64).prop_map(
        |(address, comet, seq, rooms, version)| SetRooms {
            address,
            comet,
            seq: Seq(seq),
            rooms,
            version: Version(version),
        },
    )
}

fn list_room() -> impl Strategy<Value = ListRoom> {
    (one_of(rooms()), comet(), 0..6_u64).prop_map(|(room, comet, version)| ListRoom {
        room,
        comet,
        version: Version(version),
    })
}

/// Its position says which one it is of the log's: see [`log`].
fn expire() -> impl Strategy<Value = ExpireComet> {
    (comet(), 0..8_u64).prop_map(|(comet, position)| ExpireComet {
        comet: comet.id,
        fence: comet.incarnation.next(),
        position,
    })
}

/// What is open already, mostly as it is; seldom as in a restored cluster.
fn reopen() -> impl Strategy<Value = Open> {
    let floor = prop_oneof![4 => Just(0_u64), 1 => 1..3_u64];
    (floor, 0..20_u64).prop_map(|(floor, next_seq)| {
        let slots = vec![users()[0].slot()];
        Open { slots, epoch: 1, next_seq: Seq(next_seq), floor: Incarnation(floor) }
    })
}
