//! What must hold of a data shard after any log.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, its support included")]

mod naive;
mod random;

use std::collections::{BTreeMap, BTreeSet};

use naive::Naive;
use orrery_model::command::*;
use orrery_model::record::ShardRecord;
use orrery_model::{Address, CometRef, Conn, Details, Keep, Policy, Primary, Scope, Seq, ShardId};
use orrery_router_core::registry::{Member, Registry};
use proptest::prelude::*;

fn shard() -> Registry {
    Registry::new(ShardId(1))
}

/// The registry that the snapshot of this one makes.
fn restored(registry: &Registry) -> Registry {
    Registry::restore(registry.snapshot().records()).unwrap()
}

/// All members of a room, in pages of two.
fn members(registry: &Registry, room: &Address) -> Vec<Member> {
    let mut all: Vec<Member> = Vec::new();
    loop {
        let after = all.last().map(|last| (last.address.clone(), last.route.seq));
        let after = after.as_ref().map(|(address, seq)| (address, *seq));
        let page = registry.members(room, after, 2);
        all.extend(page.members);
        if !page.more {
            return all;
        }
    }
}

/// All routes of a comet's life, in pages that look at two routes.
fn comet_routes(registry: &Registry, comet: &CometRef) -> Vec<Member> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let borrowed = after.as_ref().map(|(address, seq)| (address, *seq));
        let page = registry.comet_routes(comet, borrowed, 0, 2);
        all.extend(page.members);
        after = page.next;
        if after.is_none() {
            return all;
        }
    }
}

/// What names a bind.
fn name_of(bind: &Bind) -> (Address, CometRef, Conn) {
    (bind.address.clone(), bind.comet.clone(), bind.conn)
}

fn routable() -> Vec<Address> {
    [random::users(), random::keys()].concat()
}

/// The numbers below `count` in one of their orders.
fn shuffled(count: usize, mut which: usize) -> Vec<usize> {
    let mut order: Vec<_> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last, which % (last + 1));
        which /= last + 1;
    }
    order
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(192))]

    #[test]
    fn any_log_is_answered_as_the_naive_shard_does(log in random::log(120)) {
        let (mut registry, mut naive) = (shard(), Naive::default());
        for batch in &log {
            let replies: Vec<_> = batch.commands.iter().map(|c| naive.apply(c)).collect();
            prop_assert_eq!(registry.apply(batch), replies);
            for address in routable() {
                let located = registry.locate(&address).unwrap();
                let expected = naive.routes_of(&address);
                prop_assert_eq!(located.routes.len(), expected.len());
                for (route, expected) in located.routes.iter().zip(expected) {
                    prop_assert_eq!(route.seq, expected.seq);
                    prop_assert_eq!(&route.comet, &expected.comet);
                    prop_assert_eq!(route.conn, expected.conn);
                    prop_assert_eq!(&route.details, &expected.details);
                }
            }
            for room in random::rooms() {
                let expected: BTreeSet<_> =
                    naive.members_of(&room).iter().map(|r| (r.address.clone(), r.seq)).collect();
                prop_assert_eq!(registry.count(&room), expected.len() as u64);
                let members = members(&registry, &room);
                let named = members.iter().map(|m| (m.address.clone(), m.route.seq));
                prop_assert_eq!(named.collect::<BTreeSet<_>>(), expected);
                let mut listed: Vec<_> = naive
                    .listings
                    .iter()
                    .filter(|(of, _, _, listed)| *of == room && *listed)
                    .map(|(_, comet, _, _)| comet.clone())
                    .collect();
                listed.sort();
                prop_assert_eq!(registry.locate(&room).unwrap().comets, listed);
            }
        }
        let lives: BTreeSet<_> = naive.routes.iter().map(|route| route.comet.clone()).collect();
        for life in lives {
            let of_life = naive.routes.iter().filter(|route| route.comet == life);
            let expected: BTreeSet<_> = of_life.map(|r| (r.address.clone(), r.seq)).collect();
            let routes = comet_routes(&registry, &life);
            let named = routes.iter().map(|m| (m.address.clone(), m.route.seq));
            prop_assert_eq!(routes.len(), expected.len());
            prop_assert_eq!(named.collect::<BTreeSet<_>>(), expected);
        }
        prop_assert_eq!(registry.stats().routes, naive.routes.len() as u64);
        prop_assert_eq!(registry.stats().marks, naive.marks.len() as u64);
        prop_assert_eq!(naive.owns(&random::elsewhere()), registry.locate(&random::elsewhere()).is_ok());
    }

    #[test]
    fn replicas_agree_wherever_one_went_through_a_snapshot(
        log in random::log(120),
        at in any::<prop::sample::Index>(),
    ) {
        let at = at.index(log.len());
        let (mut one, mut other) = (shard(), shard());
        let mut earlier = Vec::new();
        for (index, batch) in log.iter().enumerate() {
            prop_assert_eq!(one.apply(batch), other.apply(batch));
            if index == at {
                let snapshot = one.snapshot();
                earlier.push((snapshot.digest(), snapshot));
                other = restored(&other);
                prop_assert!(!other.sweep_due());
            }
        }
        prop_assert_eq!(one.digest(), other.digest());
        prop_assert!(one.snapshot().records().eq(other.snapshot().records()));
        // Later writes do not reach into a snapshot.
        for (digest, snapshot) in earlier {
            prop_assert_eq!(snapshot.digest(), digest);
        }
    }

    #[test]
    fn a_seq_never_comes_back_and_rises_at_each_address(
        log in random::log(120),
        at in any::<prop::sample::Index>(),
    ) {
        let at = at.index(log.len());
        let mut registry = shard();
        let mut binds: BTreeMap<Seq, (Address, CometRef, Conn)> = BTreeMap::new();
        let mut highest: BTreeMap<Address, Seq> = BTreeMap::new();
        for (index, batch) in log.iter().enumerate() {
            let replies = registry.apply(batch);
            for (command, reply) in batch.commands.iter().zip(replies) {
                let (Command::Bind(bind), Ok(Outcome::Bound(bound))) = (command, reply) else {
                    continue;
                };
                let name = name_of(bind);
                if let Some(earlier) = binds.insert(bound.seq, name.clone()) {
                    prop_assert_eq!(earlier, name, "seq {} was given twice", bound.seq);
                } else {
                    let before = highest.insert(bind.address.clone(), bound.seq);
                    prop_assert!(before < Some(bound.seq));
                }
            }
            if index == at {
                registry = restored(&registry);
            }
        }
    }

    #[test]
    fn one_per_address_never_has_two_winners_nor_none(log in random::log(120), oldest in any::<bool>()) {
        let keep = if oldest { Keep::Oldest } else { Keep::Newest };
        let mut registry = shard();
        let mut refused = BTreeSet::new();
        for mut batch in log {
            for command in &mut batch.commands {
                if let Command::Bind(bind) = command {
                    bind.policy = Policy { scope: Scope::PerAddress { n: 1 }, keep };
                }
            }
            for command in batch.commands {
                let batch = Batch { commands: vec![command.clone()], ..Batch::default() };
                let reply = registry.apply(&batch).remove(0);
                for address in routable() {
                    prop_assert!(registry.locate(&address).unwrap().routes.len() <= 1);
                }
                if let Command::Bind(bind) = &command {
                    // Whoever is refused for its rank leaves somebody in place, and who wins is there. A
                    // repeat is refused whoever is there by now.
                    let decided = match &reply {
                        Ok(Outcome::Bound(_)) => true,
                        Err(Refusal::Outranked) => refused.insert(name_of(bind)),
                        _ => false,
                    };
                    if decided {
                        prop_assert_eq!(registry.locate(&bind.address).unwrap().routes.len(), 1);
                    }
                }
            }
        }
    }

    #[test]
    fn a_bind_that_was_refused_never_takes_effect(
        log in random::log(60),
        at in any::<prop::sample::Index>(),
    ) {
        let at = at.index(log.len());
        let mut registry = shard();
        let mut refused: Vec<Bind> = Vec::new();
        for (index, batch) in log.iter().enumerate() {
            for command in &batch.commands {
                let commands = vec![command.clone()];
                let reply = registry.apply(&Batch { commands, ..Batch::default() }).remove(0);
                if let (Command::Bind(bind), Err(Refusal::Outranked)) = (command, reply) {
                    refused.push(bind.clone());
                }
                // A copy of each may arrive at any moment.
                let commands = refused.iter().cloned().map(Command::Bind).collect();
                let replies = registry.apply(&Batch { commands, ..Batch::default() });
                for (bind, reply) in refused.iter().zip(replies) {
                    let is_final = match &reply {
                        Err(Refusal::Outranked) => true,
                        Err(Refusal::Fenced { fence }) => *fence > bind.comet.incarnation,
                        // Only what is settled is forgotten.
                        Err(Refusal::Gone) => registry.snapshot().records().any(|record| {
                            matches!(record, ShardRecord::Settled { comet, settled }
                                if comet == bind.comet && settled > bind.conn)
                        }),
                        _ => false,
                    };
                    prop_assert!(is_final, "{:?}: {:?}", bind, reply);
                }
            }
            if index == at {
                registry = restored(&registry);
            }
        }
    }

    #[test]
    fn on_a_secondary_address_the_order_of_a_users_binds_does_not_matter(
        // Which of them were bound again after their comet was fenced.
        again in proptest::collection::vec(any::<bool>(), 2..7),
        shuffle in any::<prop::sample::Index>(),
        oldest in any::<bool>(),
        fence in 0..20_usize,
    ) {
        let keep = if oldest { Keep::Oldest } else { Keep::Newest };
        let user = random::users()[0].clone();
        let count = again.len();
        // The order of the logins is that of the conns; who was bound again has a later primary seq.
        let bind = |login: usize| Bind {
            address: random::keys()[0].clone(),
            comet: CometRef { id: random::id("c0"), incarnation: orrery_model::Incarnation(1) },
            conn: Conn(login as u64),
            details: Details {
                primary: Some(Primary {
                    address: user.clone(),
                    seq: Seq((login + if again[login] { 100 - 2 * login } else { 1 }) as u64),
                }),
                ..Details::default()
            },
            policy: Policy { scope: Scope::PerAddress { n: 1 }, keep },
            settled: Conn(0),
            rank: again[login].then_some(Seq(login as u64 + 1)),
        };
        let order = shuffled(count, shuffle.index(5040));
        let mut registry = shard();
        registry.apply(&random::open());
        for (step, login) in order.iter().enumerate() {
            if step == fence {
                // Ranks survive a snapshot.
                registry = restored(&registry);
            }
            let commands = vec![Command::Bind(bind(*login))];
            registry.apply(&Batch { commands, ..Batch::default() });
        }
        let staying = registry.locate(&random::keys()[0]).unwrap().routes;
        let staying: Vec<_> = staying.iter().map(|route| route.conn).collect();
        prop_assert_eq!(staying, vec![Conn(count as u64 - 1)], "{:?}", order);
    }

    #[test]
    fn connections_bound_again_keep_their_order_whoever_comes_first(
        count in 2..7_usize,
        shuffle in any::<prop::sample::Index>(),
        oldest in any::<bool>(),
        places in 1..4_u32,
    ) {
        let keep = if oldest { Keep::Oldest } else { Keep::Newest };
        let mut registry = shard();
        let given = Open { next_seq: Seq(count as u64 + 1), ..Open::new(Vec::new(), 1) };
        registry.apply(&random::open());
        registry.apply(&Batch { commands: vec![Command::Open(given)], ..Batch::default() });
        let order = shuffled(count, shuffle.index(5040));
        for login in &order {
            let bind = Bind {
                address: random::users()[0].clone(),
                comet: CometRef { id: random::id("c0"), incarnation: orrery_model::Incarnation(1) },
                conn: Conn(*login as u64),
                details: Details::default(),
                policy: Policy { scope: Scope::PerAddress { n: places }, keep },
                settled: Conn(0),
                rank: Some(Seq(*login as u64 + 1)),
            };
            let commands = vec![Command::Bind(bind)];
            registry.apply(&Batch { commands, ..Batch::default() });
        }
        let staying = registry.locate(&random::users()[0]).unwrap().routes;
        let staying: BTreeSet<_> = staying.iter().map(|route| route.conn.0 as usize).collect();
        let stay = (places as usize).min(count);
        let expected = if oldest { 0..stay } else { count - stay..count };
        prop_assert_eq!(staying, expected.collect::<BTreeSet<_>>(), "{:?}", order);
    }

    #[test]
    fn below_the_floor_nothing_is_seen_or_heard(log in random::log(90), later in random::log(60)) {
        let mut registry = shard();
        for batch in &log {
            registry.apply(batch);
        }
        let floor = orrery_model::Incarnation(3);
        let next_seq = registry.next_seq();
        let open = Open { floor, next_seq: Seq(1 << 40), ..Open::new(Vec::new(), 1) };
        registry.apply(&Batch { commands: vec![Command::Open(open)], ..Batch::default() });
        prop_assert_eq!(registry.next_seq(), next_seq.max(Seq(1 << 40)));
        let mut other = restored(&registry);
        for batch in &later {
            let replies = registry.apply(batch);
            prop_assert_eq!(&other.apply(batch), &replies);
            for (command, reply) in batch.commands.iter().zip(&replies) {
                if let Command::Bind(bind) = command
                    && bind.address != random::elsewhere()
                    && bind.comet.incarnation < floor
                {
                    let fenced = matches!(reply, Err(Refusal::Fenced { fence }) if *fence >= floor);
                    prop_assert!(fenced, "{reply:?}");
                }
            }
            for address in routable() {
                let routes = registry.locate(&address).unwrap().routes;
                prop_assert!(!routes.iter().any(|route| route.comet.incarnation < floor));
            }
        }
        prop_assert_eq!(registry.fence(&random::id("never heard of")), floor);
        prop_assert_eq!(registry.digest(), other.digest());
    }

    #[test]
    fn a_count_is_its_members_is_a_fold_over_routes(log in random::log(120)) {
        let mut registry = shard();
        for batch in &log {
            registry.apply(batch);
        }
        for room in random::rooms() {
            let in_room: usize = routable()
                .iter()
                .flat_map(|address| registry.locate(address).unwrap().routes)
                .filter(|route| route.details.rooms.contains(&room.id))
                .count();
            let members = members(&registry, &room);
            prop_assert_eq!(registry.count(&room), in_room as u64);
            prop_assert_eq!(members.len(), in_room);
            for member in members {
                let routes = registry.locate(&member.address).unwrap().routes;
                prop_assert!(routes.contains(&member.route));
            }
        }
    }

    #[test]
    fn a_fenced_comet_is_neither_seen_nor_heard(log in random::log(90), later in random::log(60)) {
        let mut registry = shard();
        for batch in &log {
            registry.apply(batch);
        }
        let fence = orrery_model::Incarnation(3);
        let comet = random::id("c1");
        let position = registry.cursor() + 1;
        let expire = ExpireComet { comet: comet.clone(), fence, position };
        let commands = vec![Command::ExpireComet(expire)];
        registry.apply(&Batch { commands, ..Batch::default() });
        let ended = |of: &CometRef| of.id == comet && of.incarnation < fence;
        for batch in &later {
            let replies = registry.apply(batch);
            for (command, reply) in batch.commands.iter().zip(&replies) {
                let (writer, address) = match command {
                    Command::Bind(bind) => (&bind.comet, &bind.address),
                    Command::Unbind(unbind) => (&unbind.comet, &unbind.address),
                    Command::SetRooms(set) => (&set.comet, &set.address),
                    Command::BindRoom(list) | Command::UnbindRoom(list) => (&list.comet, &list.room),
                    Command::ExpireComet(_) | Command::Open(_) => continue,
                };
                if ended(writer) && *address != random::elsewhere() {
                    let fenced = matches!(reply, Err(Refusal::Fenced { fence: now }) if *now >= fence);
                    prop_assert!(fenced, "{reply:?}");
                }
                if let Ok(Outcome::Bound(bound)) = reply {
                    prop_assert!(bound.losers.iter().all(|l| l.seq < bound.seq));
                }
            }
            for address in routable() {
                let routes = registry.locate(&address).unwrap().routes;
                prop_assert!(!routes.iter().any(|route| ended(&route.comet)));
            }
            for room in random::rooms() {
                prop_assert!(!registry.locate(&room).unwrap().comets.iter().any(ended));
                prop_assert!(!members(&registry, &room).iter().any(|m| ended(&m.route.comet)));
            }
        }
    }

    #[test]
    fn marks_are_bounded_by_the_conns_not_settled(log in random::log(120)) {
        let mut registry = shard();
        for batch in &log {
            registry.apply(batch);
        }
        let records: Vec<_> = registry.snapshot().records().collect();
        let settled: BTreeMap<CometRef, Conn> = records
            .iter()
            .filter_map(|record| match record {
                ShardRecord::Settled { comet, settled } => Some((comet.clone(), *settled)),
                _ => None,
            })
            .collect();
        let mut marks = BTreeSet::new();
        for record in &records {
            if let ShardRecord::Mark { address, comet, conn, .. } = record {
                prop_assert!(settled.get(comet).is_none_or(|settled| conn >= settled));
                prop_assert!(marks.insert((address.clone(), comet.clone(), *conn)));
                let routes = registry.locate(address).unwrap().routes;
                prop_assert!(!routes.iter().any(|r| r.comet == *comet && r.conn == *conn));
            }
        }
        prop_assert_eq!(registry.stats().marks, marks.len() as u64);
    }

    #[test]
    fn what_is_swept_is_never_missed(log in random::log(120)) {
        let mut registry = shard();
        for batch in &log {
            registry.apply(batch);
        }
        let digest = registry.digest();
        // Everything of this small world fits one slice.
        registry.apply(&Batch::default());
        prop_assert!(!registry.sweep_due());
        prop_assert_eq!(registry.stats().unswept, 0);
        prop_assert_eq!(registry.digest(), digest);
    }
}
