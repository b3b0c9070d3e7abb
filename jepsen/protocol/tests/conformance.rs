//! The model's shards do what the product's do: random walks through the model, each command of which is
//! given to the registry as well.

use std::collections::BTreeSet;

use orrery_jepsen_protocol::{Address, CometId, ConnectionId, Life, Mutation, Policy, Protocol};
use orrery_jepsen_protocol::{Route, RouteName, Seq, Step, World};
use orrery_model::command::{
    Batch, Bind, Command, ExpireComet, Open, Outcome, Refusal, Reply, Unbind,
};
use orrery_model::record::ShardRecord;
use orrery_model::{CometRef, Conn, Details, Id, Incarnation, Keep, Primary, Scope, ShardId};
use orrery_router_core::registry::Registry;
use stateright::Model;

const WALKS: u64 = 300;
const STEPS: usize = 120;

/// The product's two shards.
struct Registries([Registry; 2]);

impl Registries {
    fn new() -> Self {
        Self([1, 2].map(|shard| {
            let mut registry = Registry::new(ShardId(shard));
            let open = Open::new(Address::ALL.map(|it| name_of(it).slot()).to_vec(), 1);
            assert_eq!(apply(&mut registry, Command::Open(open)), Ok(Outcome::Done));
            registry
        }))
    }

    /// Carries out what a step of the model does to a shard, and compares the shards.
    fn follow(&mut self, protocol: &Protocol, before: &World, step: Step, after: &World) {
        match step {
            Step::Bind(connection, life, address) => {
                let command = bind(protocol, before, connection, life, address);
                let reply = apply(&mut self.0[address as usize], command);
                let route = after.shards[address].route(connection, life);
                match reply {
                    Ok(Outcome::Bound(bound)) => {
                        assert_eq!(Some(bound.seq.0), route.map(|it| u64::from(it.seq.0)));
                    }
                    Err(refusal) => {
                        assert_eq!(route, None, "{refusal:?}");
                        // Whoever is refused by the policy is so for good.
                        let is_marked = after.shards[address].is_marked(connection);
                        assert!(refusal != Refusal::Outranked || is_marked, "it leaves no mark");
                    }
                    reply => panic!("a bind is not answered with {reply:?}"),
                }
            }
            Step::Unbind(connection, life, address) => {
                let name = before.copies.get(connection, life, address).unbind;
                let route = match name.expect("it arrives") {
                    RouteName::Conn => orrery_model::command::RouteName::Conn(conn(connection)),
                    RouteName::Seq(it) => orrery_model::command::RouteName::Seq(seq(it)),
                };
                let unbind = Unbind {
                    address: name_of(address),
                    comet: comet(connection.comet(), life),
                    route,
                    settled: Conn(0),
                };
                let reply = apply(&mut self.0[address as usize], Command::Unbind(unbind));
                let is_fenced = before.shards[address].fence(connection.comet()) > life;
                assert_eq!(reply.is_err(), is_fenced, "{reply:?}");
            }
            Step::Settle(id, life, settled, address) => {
                let unbind = Unbind {
                    address: name_of(address),
                    comet: comet(id, life),
                    // Nobody's: it carries what is settled, and nothing else.
                    route: orrery_model::command::RouteName::Seq(orrery_model::Seq(u64::MAX)),
                    settled: Conn(settled.into()),
                };
                let reply = apply(&mut self.0[address as usize], Command::Unbind(unbind));
                assert_eq!(reply, Ok(Outcome::Unbound { removed: false }));
            }
            Step::Fence(address) => {
                let cursor = before.shards[address].cursor();
                let event = before.control.event_after(cursor).expect("it is carried out");
                let expire = ExpireComet {
                    comet: comet(event.comet, event.fence).id,
                    fence: comet(event.comet, event.fence).incarnation,
                    position: u64::from(cursor) + 1,
                };
                let reply = apply(&mut self.0[address as usize], Command::ExpireComet(expire));
                assert_eq!(reply, Ok(Outcome::Done));
            }
            _ => {}
        }
        for address in Address::ALL {
            let mut routes: Vec<_> = after.shards[address].routes().collect();
            routes.sort_by_key(|(.., route)| route.seq);
            let located =
                self.0[address as usize].locate(&name_of(address)).expect("it owns both slots");
            let held = located.routes.iter().map(|it| (it.seq, it.comet.clone(), it.conn));
            let expected = routes.iter().map(|(connection, life, Route { seq: number, .. })| {
                (seq(*number), comet(connection.comet(), *life), conn(*connection))
            });
            assert!(held.eq(expected), "{address:?}: {located:?} is not {routes:?}");
            let marked = ConnectionId::all().filter(|it| after.shards[address].is_marked(*it));
            assert_eq!(self.0[address as usize].stats().marks, marked.count() as u64, "marks");
        }
    }

    /// Compares which connections the shards remember that they removed or refused.
    fn agree_on_marks(&self, world: &World) {
        Address::ALL.into_iter().for_each(|address| self.agree_on_marks_of(address, world));
    }

    fn agree_on_marks_of(&self, address: Address, world: &World) {
        let shard = &world.shards[address];
        let is_marked = |it: &ConnectionId| shard.is_marked(*it);
        let expected: BTreeSet<_> = ConnectionId::all()
            .filter(is_marked)
            .map(|it| (comet(it.comet(), shard.fence(it.comet())), conn(it)))
            .collect();
        let held: BTreeSet<_> = self.0[address as usize]
            .snapshot()
            .records()
            .filter_map(|record| match record {
                ShardRecord::Mark { comet, conn, .. } => Some((comet, conn)),
                _ => None,
            })
            .collect();
        assert_eq!(held, expected, "{address:?}");
    }
}

fn apply(registry: &mut Registry, command: Command) -> Reply {
    let batch = Batch { commands: vec![command], ..Batch::default() };
    registry.apply(&batch).pop().expect("a command has a reply")
}

fn bind(
    protocol: &Protocol,
    world: &World,
    connection: ConnectionId,
    life: Life,
    address: Address,
) -> Command {
    let bind = world.copies.get(connection, life, address).bind.expect("it arrives");
    let primary = |it| Primary { address: name_of(Address::User), seq: seq(it) };
    let one = |keep| orrery_model::Policy { scope: Scope::PerAddress { n: 1 }, keep };
    let policy = match (address, protocol.policy) {
        (Address::User, Policy::All) => orrery_model::Policy::default(),
        (Address::User, Policy::Oldest) => one(Keep::Oldest),
        (Address::User, Policy::Newest) | (Address::Key, _) => one(Keep::Newest),
    };
    Command::Bind(Bind {
        address: name_of(address),
        comet: comet(connection.comet(), life),
        conn: conn(connection),
        details: Details { primary: bind.primary.map(primary), ..Details::default() },
        policy,
        settled: Conn(0),
        rank: bind.rank.map(seq),
    })
}

fn name_of(address: Address) -> orrery_model::Address {
    match address {
        Address::User => orrery_model::Address::user(Id::new("user").expect("it is short")),
        Address::Key => orrery_model::Address::key(Id::new("key").expect("it is short")),
    }
}

fn comet(id: CometId, life: Life) -> CometRef {
    let incarnation = Incarnation(life.0.into());
    CometRef { id: Id::new(format!("comet-{}", id.0)).expect("it is short"), incarnation }
}

fn conn(connection: ConnectionId) -> Conn {
    Conn(connection.conn().into())
}

fn seq(seq: Seq) -> orrery_model::Seq {
    orrery_model::Seq(seq.0.into())
}

/// Knuth's generator: the same walks wherever they are taken.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % bound
    }
}

/// Takes a walk, and says how long it was.
fn walk(protocol: Protocol, seed: u64) -> usize {
    let protocol = Protocol { forgets: false, ..protocol };
    let mut random = Random(seed);
    let mut world = protocol.init_states().remove(0);
    let mut registries = Registries::new();
    for taken in 0..STEPS {
        let mut steps = Vec::new();
        protocol.actions(&world, &mut steps);
        // One that goes by itself ends much: rarely.
        steps.retain(|step| !matches!(step, Step::Leave(_)) || random.below(6) == 0);
        if steps.is_empty() {
            registries.agree_on_marks(&world);
            return taken;
        }
        let step = steps[random.below(steps.len())];
        let after = protocol.next_state(&world, step).unwrap_or(world);
        registries.follow(&protocol, &world, step, &after);
        world = after;
    }
    registries.agree_on_marks(&world);
    STEPS
}

#[test]
fn the_registry_does_what_the_model_does() {
    for policy in [Policy::All, Policy::Newest, Policy::Oldest] {
        let steps: usize = (0..WALKS).map(|seed| walk(Protocol::new(policy), seed)).sum();
        assert!(steps > WALKS as usize * STEPS / 2, "{policy:?}: only {steps} steps");
    }
}

#[test]
#[should_panic(expected = "marks")]
fn the_registry_does_not_do_what_a_model_without_marks_does() {
    let mutation = Some(Mutation::EvictionLeavesNoMark);
    for seed in 0..WALKS {
        walk(Protocol { mutation, ..Protocol::new(Policy::Newest) }, seed);
    }
}

#[test]
#[should_panic(expected = "it leaves no mark")]
fn the_registry_does_not_do_what_a_model_does_whose_refusals_are_not_final() {
    for seed in 0..WALKS {
        walk(Protocol { refusal_is_final: false, ..Protocol::new(Policy::Oldest) }, seed);
    }
}
