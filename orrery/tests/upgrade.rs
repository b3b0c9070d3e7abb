//! A cluster is upgraded under load: each node in turn is ended, and comes back as a build that speaks the
//! next version of the protocol between nodes.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::cell::{Cell, RefCell};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use orrery_bench::limits::CALL_TIMEOUT;
use orrery_bench::registry::Registry;
use orrery_host::Host;
use orrery_model::cluster::PROTOCOL;
use orrery_model::{ShardId, SlotTable};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use support::DEADLINE;
use support::cluster::{Router, addresses, ctl};

/// Pause of a shard's caller after each bind and its look-up.
const PAUSE: Duration = Duration::from_millis(3);

/// Binds that every shard acknowledges before the next node is ended, and after the last one came back.
const BINDS_BETWEEN: usize = 100;

/// Longest time in which a shard may acknowledge nothing. Handing a leadership over costs milliseconds. Only
/// where the machine is too busy for that does a follower wait out its leader's silence and stand for
/// election, which takes about a second; here is time for several of them in a row. Whoever waits for a
/// node that is not there, until the call's own end, waits for longer.
const GAP_MAX: Duration = Duration::from_secs(5);

const _: () = assert!(GAP_MAX.as_millis() < CALL_TIMEOUT.as_millis());

/// Look-ups under way at once when everything that was acknowledged is looked for.
const CHECKS_UNDER_WAY: usize = 64;

/// Binds new users of one shard and looks each up at once, one operation at a time.
struct Caller<'a> {
    registry: &'a Registry,
    table: &'a SlotTable,
    shard: ShardId,
    /// Users that are bound, and the seq of each.
    acknowledged: RefCell<Vec<(u64, u64)>>,
    longest_gap: Cell<Duration>,
}

impl<'a> Caller<'a> {
    fn new(registry: &'a Registry, table: &'a SlotTable, shard: ShardId) -> Self {
        let (acknowledged, longest_gap) = Default::default();
        Self { registry, table, shard, acknowledged, longest_gap }
    }

    /// Goes on until it is told to stop.
    ///
    /// # Panics
    /// When an operation fails, or a look-up does not find what was just bound.
    async fn call(&self, stop: &Cell<bool>) {
        let mine = |user: &u64| self.table.owner(self.registry.user(*user).slot()) == self.shard;
        let mut users = (0..).filter(mine);
        let mut last = Instant::now();
        let mut answered = || {
            self.longest_gap.set(self.longest_gap.get().max(last.elapsed()));
            last = Instant::now();
        };
        while !stop.get() {
            let user = users.next().unwrap();
            let bound = self.registry.bind(self.registry.user(user), conn(user)).await;
            answered();
            let seq = bound.unwrap_or_else(|failure| panic!("bind of user {user}: {failure:?}"));
            self.acknowledged.borrow_mut().push((user, seq));
            find(self.registry, user, seq).await;
            answered();
            sleep(PAUSE).await;
        }
    }

    fn binds(&self) -> usize {
        self.acknowledged.borrow().len()
    }
}

/// The conn a user is bound with; they begin at 1.
fn conn(user: u64) -> u64 {
    user + 1
}

/// Looks a user up, who has exactly the route that was acknowledged.
async fn find(registry: &Registry, user: u64, seq: u64) {
    let found = registry.locate(registry.user(user)).await;
    let found = found.unwrap_or_else(|failure| panic!("look-up of user {user}: {failure:?}"));
    assert_eq!(found, [(conn(user), seq)], "user {user}");
}

/// Waits until every shard has acknowledged some binds more.
async fn go_on(callers: &[Caller<'_>]) {
    let enough: Vec<_> = callers.iter().map(|caller| caller.binds() + BINDS_BETWEEN).collect();
    let bound = async {
        while callers.iter().zip(&enough).any(|(caller, enough)| caller.binds() < *enough) {
            sleep(PAUSE).await;
        }
    };
    timeout(DEADLINE, bound).await.expect("every shard takes binds");
}

/// The versions that the cluster knows its nodes to speak.
async fn protocols(all: &str) -> Vec<u64> {
    let nodes = ctl(all, &["cluster", "nodes"]).await;
    let nodes = nodes["nodes"].as_array().unwrap();
    nodes.iter().map(|node| node["protocol"].as_u64().unwrap()).collect()
}

#[tokio::test]
async fn nodes_are_upgraded_one_by_one_and_no_operation_fails() {
    let folder = TempDir::new().unwrap();
    let (older, newer) = (u64::from(PROTOCOL - 1), u64::from(PROTOCOL));
    let mut routers = [1, 2, 3].map(|id| Router::new(folder.path(), id));
    for router in &mut routers {
        router.settings.push(format!("router.protocol={older}"));
        router.start().await;
    }
    let all = addresses(&routers);
    ctl(&all, &["cluster", "bootstrap", "--nodes", &all, "--shards", "4"]).await;
    assert_eq!(protocols(&all).await, [older; 3]);

    let nodes = all.split(',').map(str::to_owned).collect();
    let registry = Registry::attach(&Host::system(), nodes).await.unwrap();
    let table = registry.client().table().unwrap();
    let caller = |shard: &ShardId| Caller::new(&registry, &table.slots, *shard);
    let callers: Vec<_> = table.shards.iter().map(caller).collect();
    let stop = Cell::new(false);
    let upgrade = async {
        for router in &mut routers {
            go_on(&callers).await;
            router.end().await;
            router.settings.clear();
            router.start().await;
            router.ready().await;
        }
        go_on(&callers).await;
        stop.set(true);
    };
    tokio::join!(upgrade, join_all(callers.iter().map(|caller| caller.call(&stop))));

    let acknowledged = callers.iter().flat_map(|caller| caller.acknowledged.take());
    let looks = acknowledged.map(|(user, seq)| find(&registry, user, seq));
    let found = stream::iter(looks).buffer_unordered(CHECKS_UNDER_WAY).count().await;
    let gaps: Vec<_> = callers.iter().map(|c| (c.shard.0, c.longest_gap.get())).collect();
    println!("{found} binds acknowledged and found; longest gap of each shard: {gaps:?}");
    assert!(gaps.iter().all(|(_, gap)| *gap < GAP_MAX), "{gaps:?}");

    let told = async {
        while protocols(&all).await != [newer; 3] {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(DEADLINE, told).await.expect("the cluster knows that all nodes are upgraded");
}
