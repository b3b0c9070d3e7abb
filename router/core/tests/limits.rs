//! What happens at each limit of the state machines.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its support included")]

use std::collections::{BTreeMap, BTreeSet};

use orrery_model::cluster::{Counters, FIRST_INSTANCE};
use orrery_model::command::*;
use orrery_model::control::*;
use orrery_model::limits::{
    LABEL_BYTES_MAX, LABELS_MAX, ROOMS_PER_CONNECTION_MAX, ROUTES_PER_ADDRESS_MAX,
};
use orrery_model::record::{ShardHead, ShardRecord};
use orrery_model::{
    Address, CometRef, Conn, Details, Id, Incarnation, NodeId, Policy, Route, Seq, ShardId, Slot,
    Version, ring,
};
use orrery_router_core::control::Control;
use orrery_router_core::limits::{
    ANSWERED_ATTACHES_MAX, MARKS_PER_COMET_MAX, SWEEP_BODIES_PER_BATCH, TOMBSTONES_PER_COMET_MAX,
};
use orrery_router_core::registry::{Registry, RestoreError};

fn shard() -> Registry {
    let mut registry = Registry::new(ShardId(1));
    let open = Open::new(Slot::all().collect(), 1);
    apply(&mut registry, Command::Open(open)).unwrap();
    registry
}

fn apply(registry: &mut Registry, command: Command) -> Reply {
    registry.apply(&Batch { commands: vec![command], ..Batch::default() }).remove(0)
}

fn id(text: impl AsRef<str>) -> Id {
    Id::new(text).unwrap()
}

fn user(n: usize) -> Address {
    Address::user(id(format!("u{n}")))
}

fn room(n: usize) -> Address {
    Address::room(id(format!("r{n}")))
}

fn comet(incarnation: u64) -> CometRef {
    CometRef { id: id("c"), incarnation: Incarnation(incarnation) }
}

fn bind(address: Address, conn: usize, details: Details) -> Command {
    Command::Bind(Bind {
        address,
        comet: comet(1),
        conn: Conn(conn as u64),
        details,
        policy: Policy::default(),
        settled: Conn(0),
        rank: None,
    })
}

fn bind_plain(address: Address, conn: usize) -> Command {
    bind(address, conn, Details::default())
}

fn rooms(count: usize) -> BTreeSet<Id> {
    (0..count).map(|n| id(format!("r{n}"))).collect()
}

fn list(n: usize, version: u64) -> ListRoom {
    ListRoom { room: room(n), comet: comet(1), version: Version(version) }
}

#[test]
fn a_bind_over_a_limit_is_refused_with_a_word_and_changes_nothing() {
    let labels = |count: usize, bytes: usize| -> BTreeMap<String, String> {
        (0..count).map(|n| (format!("l{n:02}"), "v".repeat(bytes - 3))).collect()
    };
    let details = Details::default();
    let fits = [
        Details { rooms: rooms(ROOMS_PER_CONNECTION_MAX), ..details.clone() },
        Details { labels: labels(LABELS_MAX, LABEL_BYTES_MAX), ..details.clone() },
        Details { device: "d".repeat(256), platform: "p".repeat(256), ..details.clone() },
    ];
    let over = [
        Details { rooms: rooms(ROOMS_PER_CONNECTION_MAX + 1), ..details.clone() },
        Details { labels: labels(LABELS_MAX + 1, 3), ..details.clone() },
        Details { labels: labels(1, LABEL_BYTES_MAX + 1), ..details.clone() },
        Details { device: "d".repeat(257), ..details.clone() },
        Details { platform: "p".repeat(257), ..details },
    ];
    let mut registry = shard();
    for (conn, details) in fits.into_iter().enumerate() {
        assert!(apply(&mut registry, bind(user(0), conn, details)).is_ok());
    }
    let digest = registry.digest();
    for details in over {
        let refused = apply(&mut registry, bind(user(0), 99, details));
        assert!(matches!(refused, Err(Refusal::Invalid(_))), "{refused:?}");
    }
    let set = SetRooms {
        address: user(0),
        comet: comet(1),
        seq: Seq(1),
        rooms: rooms(ROOMS_PER_CONNECTION_MAX + 1),
        version: Version(9),
    };
    let refused = apply(&mut registry, Command::SetRooms(set));
    assert!(matches!(refused, Err(Refusal::Invalid(_))), "{refused:?}");
    assert_eq!(registry.digest(), digest);
}

#[test]
fn an_address_has_so_many_routes_and_a_stricter_bind_still_gets_in() {
    let mut registry = shard();
    for conn in 0..ROUTES_PER_ADDRESS_MAX {
        assert!(apply(&mut registry, bind_plain(user(0), conn)).is_ok());
    }
    let refused = apply(&mut registry, bind_plain(user(0), 5000));
    assert!(matches!(refused, Err(Refusal::Invalid(_))), "{refused:?}");
    assert_eq!(registry.locate(&user(0)).unwrap().routes.len(), ROUTES_PER_ADDRESS_MAX);

    let Command::Bind(mut bind) = bind_plain(user(0), 5001) else { unreachable!() };
    bind.policy = Policy::ONE_NEWEST;
    let bound = apply(&mut registry, Command::Bind(bind));
    let Ok(Outcome::Bound(bound)) = bound else { panic!("{bound:?}") };
    assert_eq!(bound.losers.len(), ROUTES_PER_ADDRESS_MAX);
    assert!(bound.losers.is_sorted_by_key(|loser| loser.seq));
    assert_eq!(registry.stats().marks, ROUTES_PER_ADDRESS_MAX as u64 + 1);
}

#[test]
fn a_bind_that_a_full_address_refused_never_takes_effect_when_there_is_room() {
    let mut registry = shard();
    for conn in 0..ROUTES_PER_ADDRESS_MAX {
        assert!(apply(&mut registry, bind_plain(user(0), conn)).is_ok());
    }
    let late = bind_plain(user(0), 5000);
    let refused = apply(&mut registry, late.clone());
    assert!(matches!(refused, Err(Refusal::Invalid(_))), "{refused:?}");

    let (route, settled) = (RouteName::Conn(Conn(0)), Conn(0));
    let unbind = Unbind { address: user(0), comet: comet(1), route, settled };
    assert!(apply(&mut registry, Command::Unbind(unbind)).is_ok());
    assert_eq!(apply(&mut registry, late), Err(Refusal::Gone));
}

#[test]
fn a_comet_that_never_settles_is_refused_in_the_end_but_may_still_say_goodbye() {
    let mut registry = shard();
    let unbind = |conn: usize, settled: usize| {
        let (address, route) = (user(0), RouteName::Conn(Conn(conn as u64)));
        let settled = Conn(settled as u64);
        Command::Unbind(Unbind { address, comet: comet(1), route, settled })
    };
    apply(&mut registry, bind_plain(user(0), 0)).unwrap();
    let commands = (1..=MARKS_PER_COMET_MAX).map(|conn| unbind(conn, 0)).collect();
    let replies = registry.apply(&Batch { commands, ..Batch::default() });
    assert!(replies.iter().all(|reply| *reply == Ok(Outcome::Unbound { removed: false })));

    let more = MARKS_PER_COMET_MAX + 1;
    for command in [bind_plain(user(1), more), unbind(more, 0)] {
        assert_eq!(apply(&mut registry, command), Err(Refusal::Unsettled));
    }
    let removed = Ok(Outcome::Unbound { removed: true });
    assert_eq!(apply(&mut registry, unbind(0, 0)), removed);
    assert_eq!(apply(&mut registry, bind_plain(user(0), 0)), Err(Refusal::Gone));
    assert_eq!(registry.stats().marks, more as u64);

    apply(&mut registry, unbind(more, more)).unwrap();
    assert_eq!(registry.stats().marks, 1);
    assert!(apply(&mut registry, bind_plain(user(1), more)).is_ok());
}

#[test]
fn the_oldest_tombstones_are_forgotten_also_after_a_snapshot() {
    let mut registry = shard();
    let half = TOMBSTONES_PER_COMET_MAX / 2;
    for n in 0..half {
        apply(&mut registry, Command::UnbindRoom(list(n, 5))).unwrap();
    }
    let mut other = Registry::restore(registry.snapshot().records()).unwrap();
    for registry in [&mut registry, &mut other] {
        for n in half..TOMBSTONES_PER_COMET_MAX + 2 {
            apply(registry, Command::UnbindRoom(list(n, 5))).unwrap();
        }
        assert_eq!(registry.stats().tombstones, TOMBSTONES_PER_COMET_MAX as u64);
        // The first two are forgotten, the third is not; a room listed again is no tombstone.
        for (n, outcome) in [(0, Outcome::Done), (1, Outcome::Done), (2, Outcome::Stale)] {
            assert_eq!(apply(registry, Command::BindRoom(list(n, 4))), Ok(outcome));
        }
        assert_eq!(apply(registry, Command::BindRoom(list(3, 6))), Ok(Outcome::Done));
        assert_eq!(registry.stats().tombstones, TOMBSTONES_PER_COMET_MAX as u64 - 1);
        assert_eq!(registry.stats().listings, 3);
    }
    assert_eq!(registry.digest(), other.digest());
}

#[test]
fn a_fenced_comets_bodies_leave_in_slices_that_nobody_sees() {
    let count = 3 * SWEEP_BODIES_PER_BATCH;
    let details = Details { rooms: rooms(1), ..Details::default() };
    let mut registry = shard();
    for n in 0..count {
        apply(&mut registry, bind(user(n), n, details.clone())).unwrap();
    }
    apply(&mut registry, Command::BindRoom(list(0, 1))).unwrap();
    assert_eq!(registry.count(&room(0)), count as u64);

    let expire = ExpireComet { comet: id("c"), fence: Incarnation(2), position: 1 };
    apply(&mut registry, Command::ExpireComet(expire)).unwrap();
    assert_eq!(registry.count(&room(0)), 0);
    assert_eq!(registry.stats().unswept, count as u64 + 1);
    let digest = registry.digest();
    let mut unswept = registry.stats().unswept;
    let mut entries = 0;
    while registry.sweep_due() {
        registry.apply(&Batch::default());
        let now = registry.stats().unswept;
        assert!(unswept - now <= SWEEP_BODIES_PER_BATCH as u64, "a slice is bounded");
        unswept = now;
        entries += 1;
        assert!(entries <= 5, "the sweep does not end");
        assert_eq!(registry.digest(), digest);
        assert_eq!(registry.count(&room(0)), 0);
    }
    assert!(entries >= 3);
    assert_eq!(registry.snapshot().records().count(), 1 + 4096 + 1);
}

#[test]
fn a_page_of_a_comets_routes_looks_at_so_many_and_a_walk_meets_each_once() {
    let mut registry = shard();
    let count = 300;
    for n in 0..count {
        let Command::Bind(mut bind) = bind_plain(user(n / 2), n) else { unreachable!() };
        bind.comet.id = id(if n % 10 == 0 { "rare" } else { "c" });
        apply(&mut registry, Command::Bind(bind)).unwrap();
    }
    let rare = CometRef { id: id("rare"), incarnation: Incarnation(1) };
    let walk = |comet: &CometRef, limit: usize, scan_max: usize| {
        let (mut met, mut pages, mut after) = (Vec::new(), 0, None);
        loop {
            let borrowed = after.as_ref().map(|(address, seq)| (address, *seq));
            let page = registry.comet_routes(comet, borrowed, limit, scan_max);
            assert!(page.members.len() <= limit.min(scan_max));
            assert!(page.members.iter().all(|member| member.route.comet == *comet));
            met.extend(page.members);
            pages += 1;
            match page.next {
                Some(next) => after = Some(next),
                None => return (met, pages),
            }
        }
    };
    let (all, pages) = walk(&rare, 1000, 1000);
    assert_eq!((all.len(), pages), (count / 10, 1));
    for member in &all {
        assert!(registry.locate(&member.address).unwrap().routes.contains(&member.route));
    }
    assert!(all.is_sorted_by_key(|member| member.address.slot()));
    // Neither bound changes what a walk meets, nor in which order.
    for (limit, scan_max) in [(1, 1000), (7, 1000), (1000, 1), (1000, 7), (3, 11)] {
        let (met, pages) = walk(&rare, limit, scan_max);
        assert_eq!(met, all);
        assert!(pages >= (count / scan_max).max(all.len() / limit), "{pages} pages");
    }
    let others = walk(&comet(1), 1000, 1000).0;
    assert_eq!(others.len(), count - all.len());

    // Lives that ended, or have not begun, hold nothing.
    for incarnation in [0, 2] {
        let page = registry.comet_routes(&comet(incarnation), None, 1000, 1000);
        assert_eq!(page, Default::default());
    }
    let expire = ExpireComet { comet: id("rare"), fence: Incarnation(2), position: 1 };
    apply(&mut registry, Command::ExpireComet(expire)).unwrap();
    assert_eq!(registry.comet_routes(&rare, None, 1000, 1000), Default::default());
}

#[test]
fn the_oldest_answered_attaches_are_forgotten_but_never_those_of_the_living() {
    let mut control = Control::new();
    let table = ring::propose(1, &[ShardId(1)]).unwrap();
    let node = Node {
        id: NodeId(1),
        registry: String::new(),
        peers: String::new(),
        instance: FIRST_INSTANCE.to_owned(),
        protocol: 1,
    };
    let found = Found {
        cluster_id: "test".to_owned(),
        nodes: vec![node],
        table,
        placements: Vec::new(),
        counters: Counters::default(),
    };
    let attach = |comet: &str, instance: usize| {
        let instance = format!("i{instance}");
        let advertise = Advertise::default();
        ControlCommand::Attach(Attach { comet: id(comet), instance, attempt: 1, advertise })
    };
    let mut apply = |command: ControlCommand| {
        let batch = ControlBatch { commands: vec![command], ..ControlBatch::default() };
        control.apply(&batch).remove(0)
    };
    apply(ControlCommand::Found(found)).unwrap();
    let oldest = apply(attach("calm", 0)).unwrap();
    for instance in 0..ANSWERED_ATTACHES_MAX + 2 {
        apply(attach("busy", instance)).unwrap();
    }
    assert_eq!(apply(attach("calm", 0)), Ok(oldest));
    // Of the superseded ones only the very first is forgotten and taken for new.
    assert!(matches!(apply(attach("busy", 1)), Err(ControlRefusal::Superseded { .. })));
    let taken = apply(attach("busy", 0));
    assert!(matches!(taken, Ok(ControlOutcome::Attached { .. })), "{taken:?}");
}

#[test]
fn records_that_contradict_each_other_are_refused() {
    let head = ShardRecord::Head(ShardHead {
        shard: ShardId(1),
        next_seq: Seq(10),
        elapsed_ms: 0,
        cursor: 0,
        epoch: 1,
        floor: Incarnation(0),
    });
    let slot = ShardRecord::Slot(user(0).slot());
    let route = |seq: u64, incarnation: u64| ShardRecord::Route {
        address: user(0),
        route: Route {
            seq: Seq(seq),
            comet: comet(incarnation),
            conn: Conn(seq),
            details: Details::default(),
            bound_at_ms: 0,
        },
        losers: Vec::new(),
        rank: None,
    };
    let fence = |n: u64| ShardRecord::Fence { comet: id("c"), fence: Incarnation(n) };
    let restore = |records: &[ShardRecord]| Registry::restore(records.to_vec()).map(|_| ());
    let seq = |n: u64| Err(RestoreError::SeqOutOfOrder { address: user(0), seq: Seq(n) });

    assert_eq!(restore(&[head.clone(), slot.clone(), route(3, 2), fence(2)]), Ok(()));
    assert_eq!(restore(std::slice::from_ref(&slot)), Err(RestoreError::NoHead));
    assert_eq!(restore(&[]), Err(RestoreError::NoHead));
    assert_eq!(restore(&[head.clone(), head.clone()]), Err(RestoreError::SecondHead));
    let closed = Err(RestoreError::SlotNotOpen { address: user(0) });
    assert_eq!(restore(&[head.clone(), route(3, 2), fence(2)]), closed);
    assert_eq!(restore(&[head.clone(), slot.clone(), route(10, 1)]), seq(10));
    assert_eq!(restore(&[head.clone(), slot.clone(), route(5, 1), route(5, 1)]), seq(5));
    let fenced = Err(RestoreError::NotAtFence { comet: comet(2), fence: Incarnation(3) });
    assert_eq!(restore(&[head.clone(), slot.clone(), route(3, 2), fence(3)]), fenced);
    let mut long = route(3, 2);
    let ShardRecord::Route { route, .. } = &mut long else { unreachable!() };
    route.details.device = "d".repeat(70_000);
    let long = restore(&[head, slot, long, fence(2)]);
    assert_eq!(long, Err(RestoreError::TextTooLong { address: user(0) }));
}
