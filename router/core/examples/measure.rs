//! Measures a node's worth of registries: memory per address, binds per second, what a snapshot costs
//! writes, how fast one is read and restored, and how a dead comet's routes are swept.
//!
//! `cargo run --release -p orrery-router-core --example measure -- [users=1000000] [shards=16] [rooms=0]
//! [keys] [fill]`: `fill` ends when everybody is bound. Bytes are those asked of the allocator, which is
//! the one that the binary uses; the resident set is said beside them. Times are the thread's on a
//! processor, so that what else the machine does counts little.

#![allow(clippy::unwrap_used, reason = "a measurement fails by panicking")]
#![allow(clippy::print_stdout, reason = "the figures are its answer")]

use std::collections::BTreeSet;
use std::time::Duration;

use cap::Cap;
use mimalloc::MiMalloc;
use orrery_model::command::*;
use orrery_model::limits::COMMANDS_PER_BATCH_MAX;
use orrery_model::{
    Address, CometRef, Conn, Details, Id, Incarnation, Policy, Primary, Seq, ShardId, Slot,
};
use orrery_router_core::limits::MARKS_PER_COMET_MAX;
use orrery_router_core::registry::{Registry, Snapshot};
use rustix::time::{ClockId, clock_gettime};

#[global_allocator]
static ALLOCATOR: Cap<MiMalloc> = Cap::new(MiMalloc, usize::MAX);

/// Comets that hold the connections.
const COMETS: usize = 20;
/// Commands in a batch where nothing else is said.
const BATCH: usize = 256;
/// Rooms that are to choose from for each room that a user is in.
const ROOMS: usize = 1000;

struct World {
    users: usize,
    rooms: usize,
    keys: bool,
    shards: Vec<Registry>,
}

fn main() {
    let (mut users, mut shards, mut rooms) = (1_000_000, 16, 0);
    let (mut keys, mut fill) = (false, false);
    for argument in std::env::args().skip(1) {
        match argument.split_once('=') {
            Some(("users", number)) => users = number.parse().unwrap(),
            Some(("shards", number)) => shards = number.parse().unwrap(),
            Some(("rooms", number)) => rooms = number.parse().unwrap(),
            None if argument == "keys" => keys = true,
            None if argument == "fill" => fill = true,
            _ => panic!("users=N shards=N rooms=N keys fill"),
        }
    }
    println!("{users} users, {shards} shards, {rooms} rooms each, keys: {keys}");
    let mut world = World::new(users, shards, rooms, keys);
    world.fill();
    if fill {
        return;
    }
    world.snapshots();
    world.restore();
    world.walks();
    world.death();
    marks();
}

impl World {
    fn new(users: usize, shards: usize, rooms: usize, keys: bool) -> Self {
        let mut world = Self {
            users,
            rooms,
            keys,
            shards: (1..=shards as u32).map(|n| Registry::new(ShardId(n))).collect(),
        };
        for (index, shard) in world.shards.iter_mut().enumerate() {
            let slots = Slot::all().filter(|slot| usize::from(slot.number()) % shards == index);
            let commands = vec![Command::Open(Open::new(slots.collect(), 1))];
            shard.apply(&Batch { commands, ..Batch::default() });
        }
        world
    }

    /// Binds everybody, then says what that took.
    fn fill(&mut self) {
        let (before, resident) = (ALLOCATOR.allocated(), resident());
        let mut seqs = vec![Seq(0); self.users];
        let mut waiting = vec![Vec::new(); self.shards.len()];
        let mut took = Vec::new();
        for step in [false, true].into_iter().take(1 + usize::from(self.keys)) {
            for n in 0..self.users {
                let bind = match step {
                    false => bind_user(n, self.rooms),
                    true => bind_key(n, seqs[n]),
                };
                let shard = self.shard_of(&bind.address);
                waiting[shard].push((n, Command::Bind(bind)));
                if waiting[shard].len() == BATCH {
                    took.push(self.flush(shard, &mut waiting[shard], &mut seqs));
                }
            }
            for (shard, waiting) in waiting.iter_mut().enumerate() {
                self.flush(shard, waiting, &mut seqs);
            }
        }
        drop((waiting, seqs));
        let held = ALLOCATOR.allocated() - before;
        let addresses = self.users * (1 + usize::from(self.keys));
        let per = |bytes: usize| bytes as f64 / addresses as f64;
        println!(
            "memory: {:.0} bytes an address, {:.0} beyond its id of 16; resident {:.0}",
            per(held),
            per(held) - 16.0,
            per(self::resident() - resident)
        );
        println!("batches of {BATCH} binds: {}", Spread::of(took, BATCH));
    }

    fn flush(
        &mut self,
        shard: usize,
        waiting: &mut Vec<(usize, Command)>,
        seqs: &mut [Seq],
    ) -> Duration {
        let (who, commands): (Vec<_>, Vec<_>) = waiting.drain(..).unzip();
        let (replies, took) = self.apply(shard, commands);
        for (n, reply) in who.into_iter().zip(replies) {
            let Ok(Outcome::Bound(bound)) = reply else { panic!("{reply:?}") };
            seqs[n] = bound.seq;
        }
        took
    }

    fn apply(&mut self, shard: usize, commands: Vec<Command>) -> (Vec<Reply>, Duration) {
        let batch = Batch { elapsed_ms: 1, wall_ms: 1_700_000_000_000, commands };
        let start = now();
        let replies = self.shards[shard].apply(&batch);
        (replies, now() - start)
    }

    fn shard_of(&self, address: &Address) -> usize {
        usize::from(address.slot().number()) % self.shards.len()
    }

    /// Applies the largest batches while snapshots of all shards are held, and without.
    fn snapshots(&mut self) {
        self.churn("no snapshot held", 1);
        let start = now();
        let held: Vec<Snapshot> = self.shards.iter().map(Registry::snapshot).collect();
        println!("capture of all shards: {:?}", now() - start);
        let digests: Vec<_> = held.iter().map(Snapshot::digest).collect();
        let before = ALLOCATOR.allocated();
        self.churn("snapshot held", 2);
        let copied = ALLOCATOR.allocated() - before;
        println!("copied while it was held: {} MiB", copied >> 20);
        assert!(held.iter().map(Snapshot::digest).eq(digests), "a snapshot changed");
        let start = now();
        drop(held);
        println!("dropping the snapshot: {:?}", now() - start);
        self.churn("afterwards", 3);
    }

    /// Binds as many newcomers as a fifth of the users, at addresses all over the shards.
    fn churn(&mut self, when: &str, round: usize) {
        let mut waiting = vec![Vec::new(); self.shards.len()];
        let mut took = Vec::new();
        for n in 0..self.users / 5 {
            let mut bind = bind_user(n * 5, self.rooms);
            bind.conn = Conn((round * 10 * self.users + n) as u64);
            bind.policy = Policy::ONE_NEWEST;
            bind.settled = bind.conn;
            let shard = self.shard_of(&bind.address);
            waiting[shard].push(Command::Bind(bind));
            if waiting[shard].len() == COMMANDS_PER_BATCH_MAX {
                let commands = std::mem::take(&mut waiting[shard]);
                took.push(self.apply(shard, commands).1);
            }
        }
        let spread = Spread::of(took, COMMANDS_PER_BATCH_MAX);
        println!("{when}: batches of {COMMANDS_PER_BATCH_MAX} binds that evict: {spread}");
    }

    fn restore(&self) {
        let snapshots: Vec<Snapshot> = self.shards.iter().map(Registry::snapshot).collect();
        let start = now();
        let records: usize = snapshots.iter().map(|snapshot| snapshot.records().count()).sum();
        let reading = now() - start;
        println!("records: {records} in {reading:?}");
        let (start, before) = (now(), ALLOCATOR.allocated());
        let restored: Vec<_> =
            snapshots.iter().map(|s| Registry::restore(s.records()).unwrap()).collect();
        let took = now() - start - reading;
        let held = ALLOCATOR.allocated() - before;
        println!("restore: {took:?} beside reading them, {} MiB", held >> 20);
        let start = now();
        let same = snapshots.iter().zip(&restored).all(|(s, r)| s.digest() == r.digest());
        assert!(same, "a restored shard differs");
        println!("two digests: {:?}", now() - start);
    }

    /// Reads what one comet holds, and one room, page by page.
    fn walks(&self) {
        let (mut met, mut pages, mut slowest) = (0, 0, Duration::ZERO);
        for shard in &self.shards {
            let mut after = None;
            loop {
                let borrowed = after.as_ref().map(|(address, seq)| (address, *seq));
                let start = now();
                let page = shard.comet_routes(&comet(1), borrowed, 0, 0);
                slowest = slowest.max(now() - start);
                met += page.members.len();
                pages += 1;
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
        }
        println!("routes of a comet: {met} in {pages} pages, slowest {slowest:?}");
        let Some(room) = bind_user(0, self.rooms).details.rooms.pop_first() else { return };
        let (mut met, mut slowest) = (0, Duration::ZERO);
        for shard in &self.shards {
            let start = now();
            met += shard.members(&Address::room(room.clone()), None, 0).members.len();
            slowest = slowest.max(now() - start);
        }
        println!("first pages of a room: {met} members, slowest {slowest:?}");
    }

    /// Ends one comet, and sweeps what it held by empty batches and by batches that bind.
    fn death(&mut self) {
        let id = comet(0).id;
        let (mut fencing, mut sweeping, mut entries, mut slowest) =
            (Duration::ZERO, Duration::ZERO, 0, Duration::ZERO);
        let mut unswept = 0;
        for shard in 0..self.shards.len() {
            let expire = ExpireComet { comet: id.clone(), fence: Incarnation(2), position: 1 };
            fencing += self.apply(shard, vec![Command::ExpireComet(expire)]).1;
            unswept += self.shards[shard].stats().unswept;
            while self.shards[shard].sweep_due() {
                let took = self.apply(shard, Vec::new()).1;
                entries += 1;
                sweeping += took;
                slowest = slowest.max(took);
            }
        }
        println!(
            "death of a comet with {unswept} bodies: fenced in {fencing:?}, swept by {entries} entries in \
             {sweeping:?}, slowest {slowest:?}"
        );
    }
}

/// How long batches took. The rate is that of a middling batch: the machine's other work, which makes
/// some wait, does not lower it.
struct Spread {
    took: Vec<Duration>,
    batch: usize,
}

impl Spread {
    fn of(mut took: Vec<Duration>, batch: usize) -> Self {
        took.sort();
        Self { took, batch }
    }

    fn at(&self, part: f64) -> Duration {
        self.took[((self.took.len() - 1) as f64 * part) as usize]
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rate = self.batch as f64 / self.at(0.5).as_secs_f64();
        let (p50, p99, worst) = (self.at(0.5), self.at(0.99), self.at(1.0));
        write!(f, "{rate:.0} binds/s; p50 {p50:.2?}, p99 {p99:.2?}, worst {worst:.2?}")
    }
}

/// What the first removal after a snapshot costs a comet that has as many marks as it may.
fn marks() {
    let mut shard = Registry::new(ShardId(1));
    let open = vec![Command::Open(Open::new(Slot::all().collect(), 1))];
    shard.apply(&Batch { commands: open, ..Batch::default() });
    let unbind = |n: usize| {
        let (address, route) = (Address::user(user(n)), RouteName::Conn(Conn(n as u64)));
        Command::Unbind(Unbind { address, comet: comet(0), route, settled: Conn(0) })
    };
    let commands = (1..MARKS_PER_COMET_MAX).map(unbind).collect();
    shard.apply(&Batch { commands, ..Batch::default() });
    let held = shard.snapshot();
    let last = Batch { commands: vec![unbind(MARKS_PER_COMET_MAX)], ..Batch::default() };
    let start = now();
    shard.apply(&last);
    println!(
        "a write of a comet with {MARKS_PER_COMET_MAX} marks, snapshot held: {:?}",
        now() - start
    );
    drop(held);
}

fn bind_user(n: usize, rooms: usize) -> Bind {
    let room =
        |nth: usize| Id::new(format!("live://room-{nth}-{:06}", mixed(n + nth) as usize % ROOMS));
    let rooms: BTreeSet<Id> = (0..rooms).map(|nth| room(nth).unwrap()).collect();
    let details = Details { rooms, ..details(n) };
    bind(Address::user(user(n)), n, details)
}

fn bind_key(n: usize, seq: Seq) -> Bind {
    let primary = Some(Primary { address: Address::user(user(n)), seq });
    let key = Id::new(format!("{:016x}", mixed(n + (1 << 40)))).unwrap();
    let mut bind = bind(Address::key(key), n, Details { primary, ..details(n) });
    bind.policy = Policy::ONE_NEWEST;
    bind
}

fn bind(address: Address, n: usize, details: Details) -> Bind {
    Bind {
        address,
        comet: comet(n % COMETS),
        conn: Conn(n as u64),
        details,
        policy: Policy::default(),
        settled: Conn(0),
        rank: None,
    }
}

fn details(n: usize) -> Details {
    Details { platform: "web".to_owned(), device: format!("device-{n:08}"), ..Details::default() }
}

fn user(n: usize) -> Id {
    Id::new(format!("{:016x}", mixed(n))).unwrap()
}

fn comet(n: usize) -> CometRef {
    CometRef { id: Id::new(format!("comet-{n}:3109")).unwrap(), incarnation: Incarnation(1) }
}

/// A number that looks random, different for each `n` (the finish of splitmix64).
fn mixed(n: usize) -> u64 {
    let mut z = (n as u64).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What this thread has used of processors.
fn now() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}

/// Bytes of the process in memory.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
