//! Histories of the registry itself, from a seed: comets bind, unbind and read users and keys under every policy,
//! with ranks and secondary addresses; answers get lost, copies come late, lives end.

use std::collections::BTreeSet;

use orrery_judge::history::{
    Attach, Bind, Event, Keep, Kind, Locate, Op, Policy, Primary, Refusal, Route, Scope, Unbind,
};
use orrery_model::command::{self, Batch, Command, ExpireComet, Open, Outcome, RouteName};
use orrery_model::{Address, CometId, CometRef, Conn, Details, Id, Incarnation, Seq, ShardId};
use orrery_router_core::registry::Registry;

use crate::generate::Numbers;

/// Comets, each of which does one thing at a time.
const COMETS: u64 = 3;

/// Addresses, of which the last is a secondary one.
const ADDRESSES: [&str; 3] = ["user-0", "user-1", "key-0"];

/// What a connection of an address asks for, mostly.
const POLICIES: [Option<Policy>; 7] = [
    None,
    Some(Policy { scope: Scope::Address, n: 1, keep: Keep::Newest }),
    Some(Policy { scope: Scope::Address, n: 2, keep: Keep::Newest }),
    Some(Policy { scope: Scope::Address, n: 1, keep: Keep::Oldest }),
    Some(Policy { scope: Scope::Address, n: 2, keep: Keep::Oldest }),
    Some(Policy { scope: Scope::Platform, n: 1, keep: Keep::Newest }),
    Some(Policy { scope: Scope::Platform, n: 1, keep: Keep::Oldest }),
];

const PLATFORMS: [&str; 2] = ["ios", "web"];

/// One comet, as the history's process.
struct Comet {
    id: i64,
    name: String,
    incarnation: u64,
    conn: u64,
    /// What it once bound or tried to, by address.
    binds: Vec<(usize, Bind)>,
    /// Connections of which it does not know whether a bind may still take effect.
    undecided: BTreeSet<u64>,
    /// First seqs of this life's connections, with the address that gave them.
    seqs: Vec<(usize, u64)>,
    /// Those of earlier lives that are not bound again yet.
    ranks: Vec<(usize, u64)>,
    open: Option<(Op, usize)>,
    answer: Option<Event>,
}

/// The shard, and what is on its way to it.
struct World {
    numbers: Numbers,
    registry: Registry,
    index: u64,
    /// Whether an answer may have shown the last entry: no later write may be part of it.
    is_seen: bool,
    incarnations: u64,
    positions: u64,
    /// Fence events that the shard has not heard of, in order.
    expiries: Vec<ExpireComet>,
    /// Copies of commands that may still arrive.
    late: Vec<Command>,
    /// The policy on which the connections of each address mostly agree.
    policies: Vec<Option<Policy>>,
    /// Seqs given at the primary addresses.
    primaries: Vec<Primary>,
}

/// A history of so many operations.
pub(crate) fn history(operations: usize, seed: u64) -> Vec<Event> {
    let mut world = World::new(seed);
    let mut comets: Vec<Comet> = (0..COMETS).map(|number| Comet::new(number, &mut world)).collect();
    let mut next_id = COMETS as i64;
    let (mut begun, mut events): (usize, Vec<Event>) = (0, Vec::new());
    while begun < operations || comets.iter().any(|comet| comet.open.is_some()) {
        world.drift();
        let comet = &mut comets[world.numbers.below(COMETS) as usize];
        let (index, time) = (events.len() as u64, events.len() as u64 * 1_000);
        match (comet.open.clone(), comet.answer.take()) {
            (None, _) if begun < operations => {
                begun += 1;
                let (op, address) = comet.ask(&mut world);
                let mut event = Event::new(index, time, comet.id, Kind::Invoke, op.clone());
                event.key = Some(ADDRESSES[address].to_owned());
                comet.open = Some((op, address));
                events.push(event);
            }
            (None, _) => {}
            (Some((op, address)), None) => {
                comet.answer = Some(world.carry_out(comet.id, op, address));
            }
            (Some((_, address)), Some(mut answer)) => {
                (answer.index, answer.time) = (index, time);
                answer.key = Some(ADDRESSES[address].to_owned());
                comet.open = None;
                world.is_seen = true;
                comet.learn(&answer, address, &mut world);
                if answer.kind == Kind::Info {
                    (comet.id, next_id) = (next_id, next_id + 1);
                }
                events.push(answer);
            }
        }
    }
    events
}

impl World {
    fn new(seed: u64) -> Self {
        let mut numbers = Numbers(seed);
        let mut registry = Registry::new(ShardId(1));
        let slots: BTreeSet<_> = ADDRESSES.iter().map(|key| address(key).slot()).collect();
        let open = Command::Open(Open::new(slots.into_iter().collect(), 1));
        registry.apply(&Batch { commands: vec![open], ..Batch::default() });
        let drawn = |numbers: &mut Numbers| POLICIES[numbers.below(POLICIES.len() as u64) as usize];
        let policies = ADDRESSES.iter().map(|_| drawn(&mut numbers)).collect();
        Self {
            numbers,
            registry,
            index: 9,
            is_seen: true,
            incarnations: 0,
            positions: 0,
            expiries: Vec::new(),
            late: Vec::new(),
            policies,
            primaries: Vec::new(),
        }
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.numbers.below(bound) == 0
    }

    fn any<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        (!of.is_empty()).then(|| of[self.numbers.below(of.len() as u64) as usize].clone())
    }

    fn begin_life(&mut self, name: &str) -> u64 {
        self.incarnations += 1;
        self.positions += 1;
        let (fence, position) = (Incarnation(self.incarnations), self.positions);
        self.expiries.push(ExpireComet { comet: id(name), fence, position });
        self.incarnations
    }

    /// What nobody waits for happens now and then.
    fn drift(&mut self) {
        if !self.expiries.is_empty() && self.one_in(12) {
            let expiry = self.expiries.remove(0);
            drop(self.apply(Command::ExpireComet(expiry)));
        }
        if !self.late.is_empty() && self.one_in(12) {
            let at = self.numbers.below(self.late.len() as u64) as usize;
            let late = self.late.swap_remove(at);
            drop(self.apply(late));
        }
    }

    fn apply(&mut self, command: Command) -> command::Reply {
        if std::mem::take(&mut self.is_seen) || self.one_in(2) {
            self.index += 1;
        }
        self.registry.apply(&Batch { commands: vec![command], ..Batch::default() }).remove(0)
    }

    /// Carries an operation out; one of unknown outcome maybe never, maybe later.
    fn carry_out(&mut self, process: i64, op: Op, place: usize) -> Event {
        let mut answer = Event::new(0, 0, process, Kind::Ok, op);
        (answer.shard, answer.attempts) = (Some(1), Some(1));
        let command = match &mut answer.op {
            Op::Attach(attach) => {
                attach.incarnation = Some(self.begin_life(&attach.comet));
                answer.shard = None;
                return answer;
            }
            Op::Locate(locate) => {
                self.is_seen = true;
                answer.log_index = Some(self.index);
                locate.routes = Some(self.routes(place));
                return answer;
            }
            Op::Bind(bind) => asked(bind, place),
            Op::Unbind(unbind) => Command::Unbind(command::Unbind {
                address: address(ADDRESSES[place]),
                comet: comet_ref(&unbind.comet, unbind.incarnation),
                route: RouteName::Conn(Conn(unbind.conn)),
                settled: Conn(unbind.settled.unwrap_or(0)),
            }),
            other => unreachable!("{other:?} is not asked"),
        };
        if self.one_in(8) {
            if self.one_in(2) {
                self.late.push(command);
            } else if self.one_in(2) {
                drop(self.apply(command));
            }
            return Event::new(0, 0, process, Kind::Info, answer.op);
        }
        if self.one_in(8) {
            drop(self.apply(command.clone()));
            answer.attempts = Some(2);
        }
        let reply = self.apply(command);
        answer.log_index = Some(self.index);
        match reply {
            Ok(Outcome::Bound(bound)) => {
                let Op::Bind(bind) = &mut answer.op else { unreachable!("it was a bind") };
                bind.seq = Some(bound.seq.0);
                let losers = bound.losers.iter().map(|one| route(&one.comet, one.conn, one.seq));
                bind.losers = Some(losers.collect());
            }
            Ok(Outcome::Unbound { removed: told }) => {
                let Op::Unbind(unbind) = &mut answer.op else { unreachable!("it was an unbind") };
                unbind.removed = Some(told);
            }
            Ok(other) => unreachable!("{other:?} answers no such command"),
            Err(refusal) => {
                answer.kind = Kind::Fail;
                answer.error = Some(match refusal {
                    command::Refusal::Gone => Refusal::Gone,
                    command::Refusal::Fenced { fence } => Refusal::Fenced { below: Some(fence.0) },
                    command::Refusal::Outranked => Refusal::Outranked,
                    other => panic!("{other:?} in {:?}", answer.op),
                });
            }
        }
        answer
    }

    fn routes(&self, place: usize) -> Vec<Route> {
        let located = self.registry.locate(&address(ADDRESSES[place])).unwrap();
        located.routes.iter().map(|one| route(&one.comet, one.conn, one.seq)).collect()
    }
}

impl Comet {
    fn new(number: u64, world: &mut World) -> Self {
        let name = format!("comet-{number}");
        Self {
            id: number as i64,
            incarnation: world.begin_life(&name),
            name,
            conn: 0,
            binds: Vec::new(),
            undecided: BTreeSet::new(),
            seqs: Vec::new(),
            ranks: Vec::new(),
            open: None,
            answer: None,
        }
    }

    /// Every conn below it is decided.
    fn settled(&self) -> Option<u64> {
        Some(self.undecided.first().copied().unwrap_or(self.conn + 1))
    }

    fn ask(&mut self, world: &mut World) -> (Op, usize) {
        if world.one_in(16) {
            self.conn += 1;
            let (comet, instance) = (self.name.clone(), "x".to_owned());
            return (
                Op::Attach(Attach { comet, instance, attempt: self.conn, incarnation: None }),
                0,
            );
        }
        let earlier = world.any(&self.binds);
        match (world.numbers.below(10), earlier) {
            (0..4, _) => self.bind(world),
            (4, Some((place, bind))) => {
                let settled = self.settled();
                (Op::Bind(Bind { settled, ..bind }), place)
            }
            (5 | 6, Some((place, bind))) => {
                let Bind { comet, incarnation, conn, .. } = bind;
                let settled = self.settled();
                (Op::Unbind(Unbind { comet, incarnation, conn, settled, removed: None }), place)
            }
            _ => {
                let place = world.numbers.below(ADDRESSES.len() as u64) as usize;
                (Op::Locate(Locate::default()), place)
            }
        }
    }

    fn bind(&mut self, world: &mut World) -> (Op, usize) {
        let settled = self.settled();
        self.conn += 1;
        self.undecided.insert(self.conn);
        let place = world.numbers.below(ADDRESSES.len() as u64) as usize;
        let mut policy = world.policies[place];
        if world.one_in(8) {
            policy = world.any(&POLICIES).flatten();
        }
        let is_second = place + 1 == ADDRESSES.len();
        // A connection has one secondary address: no two ever name the same primary.
        let primary = if is_second { world.primaries.pop() } else { None };
        let is_ranked = world.one_in(2);
        let rank = self.ranks.iter().position(|(of, _)| *of == place).filter(|_| is_ranked);
        let rank = rank.map(|at| self.ranks.swap_remove(at).1);
        let bind = Bind {
            comet: self.name.clone(),
            incarnation: self.incarnation,
            conn: self.conn,
            policy,
            platform: world.any(&PLATFORMS).map(str::to_owned),
            rank,
            primary,
            settled,
            ..Bind::default()
        };
        self.binds.push((place, bind.clone()));
        (Op::Bind(bind), place)
    }

    fn learn(&mut self, answer: &Event, place: usize, world: &mut World) {
        match &answer.op {
            Op::Attach(Attach { incarnation: Some(life), .. }) => {
                self.incarnation = *life;
                self.undecided.clear();
                self.ranks = std::mem::take(&mut self.seqs);
                // A comet that is fenced writes on for a moment.
                let kept = self.binds.len().min(1);
                self.binds.drain(..self.binds.len() - kept);
            }
            Op::Bind(bind) if answer.kind != Kind::Info => {
                if answer.attempts == Some(1) && bind.incarnation == self.incarnation {
                    self.undecided.remove(&bind.conn);
                }
                let first = bind.seq.map(|seq| (place, bind.rank.unwrap_or(seq)));
                let first = first.filter(|first| {
                    bind.incarnation == self.incarnation
                        && bind.primary.is_none()
                        && !self.seqs.contains(first)
                });
                self.seqs.extend(first);
                if let Some(seq) = bind.seq.filter(|_| place + 1 < ADDRESSES.len()) {
                    world.primaries.push(Primary { key: ADDRESSES[place].to_owned(), seq });
                }
            }
            _ => {}
        }
    }
}

fn asked(bind: &Bind, place: usize) -> Command {
    let primary = bind.primary.as_ref().map(|primary| orrery_model::Primary {
        address: address(&primary.key),
        seq: Seq(primary.seq),
    });
    let platform = bind.platform.clone().unwrap_or_default();
    Command::Bind(command::Bind {
        address: address(ADDRESSES[place]),
        comet: comet_ref(&bind.comet, bind.incarnation),
        conn: Conn(bind.conn),
        details: Details { platform, primary, ..Details::default() },
        policy: bind.policy.map(policy).unwrap_or_default(),
        settled: Conn(bind.settled.unwrap_or(0)),
        rank: bind.rank.map(Seq),
    })
}

fn policy(policy: Policy) -> orrery_model::Policy {
    let scope = match policy.scope {
        Scope::All => orrery_model::Scope::All,
        Scope::Address => orrery_model::Scope::PerAddress { n: policy.n },
        Scope::Platform => orrery_model::Scope::PerPlatform,
    };
    let keep = match policy.keep {
        Keep::Newest => orrery_model::Keep::Newest,
        Keep::Oldest => orrery_model::Keep::Oldest,
    };
    orrery_model::Policy { scope, keep }
}

fn id(text: &str) -> CometId {
    Id::new(text).unwrap()
}

fn address(key: &str) -> Address {
    match key.starts_with("key") {
        true => Address::key(Id::new(key).unwrap()),
        false => Address::user(Id::new(key).unwrap()),
    }
}

fn comet_ref(name: &str, incarnation: u64) -> CometRef {
    CometRef { id: id(name), incarnation: Incarnation(incarnation) }
}

fn route(comet: &CometRef, conn: Conn, seq: Seq) -> Route {
    let comet_id = comet.id.as_str().to_owned();
    Route { comet: comet_id, incarnation: comet.incarnation.0, conn: conn.0, seq: seq.0 }
}
