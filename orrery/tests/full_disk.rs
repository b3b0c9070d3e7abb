//! A router process whose disk is really full ends and says so, and serves again once there is space. Needs the
//! right to mount; who has not is told.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../../router/store/tests/small_disk/mod.rs"]
mod small_disk;
mod support;

use std::collections::BTreeMap;
use std::fs::read_to_string;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use orrery_host::Host;
use orrery_model::command::{Bind, Bound, Command, Outcome};
use orrery_model::{Address, CometRef, Conn, Details, Id, Incarnation, Policy, Seq};
use orrery_router_client::{Client, Config};
use tempfile::TempDir;
use tokio::time::Instant;

use small_disk::SmallDisk;
use support::DEADLINE;
use support::cluster::Router;

/// How much of the disk is free when it begins to fill.
const LEFT_BYTES: u64 = 256 << 10;

/// How many binds are under way at once.
const ROUND: u64 = 128;

/// For how long a bind is waited for that may find nobody any more.
const PATIENCE: Duration = Duration::from_secs(3);

fn user(number: u64) -> Address {
    Address::user(Id::new(format!("u{number}")).unwrap())
}

fn bind(number: u64) -> Command {
    Command::Bind(Bind {
        address: user(number),
        comet: CometRef { id: Id::new("comet-1").unwrap(), incarnation: Incarnation(1) },
        conn: Conn(number),
        details: Details::default(),
        policy: Policy::default(),
        settled: Conn(0),
        rank: None,
    })
}

/// The seq that a bind was acknowledged with, if it was within this time.
async fn bound(client: &Client, number: u64, patience: Duration) -> Option<Seq> {
    let written = client.write(bind(number), Instant::now() + patience).await.ok()?;
    match written.reply {
        Ok(Outcome::Bound(Bound { seq, .. })) => Some(seq),
        other => panic!("u{number}: {other:?}"),
    }
}

#[tokio::test]
async fn a_router_without_space_ends_by_name_and_has_lost_nothing_once_there_is_some() {
    let Some(small) = SmallDisk::in_memory() else { return };
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    let mut router = Router::at(small.path().join("router-1"), 1);
    router.log = Some(log.clone());
    // Nothing is kept back: it meets the very end of the disk.
    router.settings = ["router.found_alone=true", "router.shards=2", "router.disk_reserve_bytes=0"]
        .map(str::to_owned)
        .into();
    router.start().await;
    router.ready().await;
    let nodes = vec![router.registry.to_string()];
    let client = Client::new(Config { nodes, ..Config::default() }, Host::system());
    let mut acknowledged = BTreeMap::new();
    acknowledged.insert(0, bound(&client, 0, DEADLINE).await.expect("there is space"));

    small.fill(LEFT_BYTES);
    for round in 0.. {
        let numbers = 1 + round * ROUND..1 + (round + 1) * ROUND;
        let binds = numbers.clone().map(|number| bound(&client, number, PATIENCE));
        let seqs = join_all(binds).await;
        let gone = seqs.contains(&None);
        acknowledged.extend(numbers.zip(seqs).filter_map(|(number, seq)| Some((number, seq?))));
        if gone {
            break;
        }
        assert!(round < 10_000, "the disk never filled");
    }
    assert!(!router.succeeded().await, "it ended as if it had been told to");
    let told = read_to_string(&log).unwrap();
    let last = told.lines().last().unwrap_or_default();
    assert!(last.starts_with("orrery: router ended: the disk is full: "), "{told}");
    assert!(!told.contains("panicked"), "{told}");

    small.empty();
    router.start().await;
    router.ready().await;
    let located = stream::iter(&acknowledged).map(async |(number, seq)| {
        let deadline = Instant::now() + DEADLINE;
        let located = client.locate(user(*number), false, deadline).await.unwrap();
        let seqs: Vec<_> = located.routes.iter().map(|route| route.seq).collect();
        assert_eq!(seqs, [*seq], "u{number} of {}", acknowledged.len());
    });
    located.buffer_unordered(ROUND as usize).collect::<()>().await;
    bound(&client, 1 << 40, DEADLINE).await.expect("there is space again");
    router.stop().await;
}
