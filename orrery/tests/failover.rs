//! What callers of the registry notice when its leaders move, die or stand still.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::time::Duration;

use orrery_host::Host;
use orrery_model::{Address, Id, ShardId};
use orrery_router_client::{Client, Config};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::Instant;

use support::DEADLINE;
use support::cluster::{Router, addresses, ctl, start};

/// Longer than an election on a busy machine, shorter than a client that waits for a dead node would take.
const PATIENCE: Duration = Duration::from_secs(8);

/// After how long whoever asked a silent node asks others as well: far longer than a read takes from a node
/// that answers, so that the two cannot be taken for each other.
const HEDGE: Duration = Duration::from_secs(1);

fn user(n: u64) -> Address {
    Address::user(Id::new(format!("u{n}")).unwrap())
}

async fn leader_of(all: &str, shard: ShardId) -> u64 {
    let shards = ctl(all, &["cluster", "shards"]).await;
    let rows = shards["shards"].as_array().unwrap();
    let row = rows.iter().find(|row| row["shard"] == shard.0).unwrap();
    row["leader"].as_u64().unwrap()
}

async fn cluster(folder: &TempDir, config: Config) -> ([Router; 3], String, Client, ShardId) {
    let routers = start(folder.path(), [1, 2, 3]).await;
    let all = addresses(&routers);
    ctl(&all, &["cluster", "bootstrap", "--nodes", &all, "--shards", "2"]).await;
    let nodes = all.split(',').map(str::to_owned).collect();
    // No attempt ends by itself within this test: what is faster was not held up by a silent node.
    let config = Config { nodes, attempt_timeout_ms: 60_000, ..config };
    let client = Client::new(config, Host::system());
    client.locate(user(1), false, Instant::now() + DEADLINE).await.unwrap();
    let shard = client.table().unwrap().slots.owner(user(1).slot());
    (routers, all, client, shard)
}

/// How long a read takes that every call of this test must be able to make.
async fn read(client: &Client) -> Duration {
    let begun = Instant::now();
    client.locate(user(1), false, begun + DEADLINE).await.unwrap();
    begun.elapsed()
}

#[tokio::test]
async fn a_leader_that_stands_still_holds_nobody_up_for_longer_than_an_election() {
    let folder = TempDir::new().unwrap();
    let hedge_ms = u64::try_from(HEDGE.as_millis()).unwrap();
    let config = Config { hedge_ms, ..Config::default() };
    let (routers, all, client, shard) = cluster(&folder, config).await;
    let leader = leader_of(&all, shard).await;
    let stopped = routers.iter().find(|router| router.id == leader).unwrap();
    stopped.pause().await;
    let took = read(&client).await;
    assert!((HEDGE..PATIENCE).contains(&took), "a read took {took:?}");
    // Nobody who comes later asks the stopped one at all.
    let after = read(&client).await;
    assert!(after < HEDGE, "the next read took {after:?}");
    stopped.signal(Signal::CONT);
    stopped.ready().await;
    println!("read through a stopped leader: {took:?}, the next one {after:?}");
}

#[tokio::test]
async fn a_leader_that_dies_and_one_that_moves_are_survived_without_an_error() {
    let folder = TempDir::new().unwrap();
    let (mut routers, all, client, shard) = cluster(&folder, Config::default()).await;
    let next = leader_of(&all, shard).await % 3 + 1;
    let arguments = ["leader", "move", &shard.to_string(), &next.to_string()];
    let (_, worst) = tokio::join!(ctl(&all, &arguments), async {
        let (begun, mut worst) = (Instant::now(), Duration::ZERO);
        while begun.elapsed() < Duration::from_secs(2) {
            worst = worst.max(read(&client).await);
        }
        worst
    });
    assert_eq!(leader_of(&all, shard).await, next);
    assert!(worst < PATIENCE, "the worst read took {worst:?}");
    let dying = routers.iter_mut().find(|router| router.id == next).unwrap();
    dying.kill().await;
    let took = read(&client).await;
    assert!(took < PATIENCE, "a read took {took:?}");
    println!("worst read while the leader moved: {worst:?}; after it died: {took:?}");
}
