//! Cut networks.

use std::time::Duration;

use orrery_proto::cluster as cluster_wire;
use orrery_proto::registry as wire;
use orrery_proto::registry::failure::Reason;
use orrery_proto::registry::registry_client::RegistryClient;
use orrery_router_client::ClientError;
use tokio::time::{Instant, sleep};

use crate::cluster::{Cluster, PATIENCE, Plan, until};
use crate::session::{Session, reason};
use crate::users::{bind, bind_all, located_all, routes, user, write};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_minority_refuses_and_the_majority_goes_on() {
    let cluster = Plan::new(3, 3).found().await;
    let client = cluster.client();
    bind_all(&client, 0..30).await;
    let led = leaders(&cluster, 1).await;
    let led = led.iter().filter(|(_, leads, _)| *leads).count();
    assert!((1..=3).contains(&led), "node 1 leads some and follows in others: {led}");
    cluster.faults.isolate(1, 1..=3);

    let majority = cluster.client_of(&[2, 3]);
    bind_all(&majority, 30..60).await;
    located_all(&majority, 0..60).await;

    for number in 0..10 {
        let answer = ask(&cluster, 1, number).await;
        assert!(answer.is_err(), "node 1 answered {answer:?} of user {number}");
    }
    // It led some shards and followed in others; it is ready for neither.
    not_ready(&cluster, 1).await;
    let leaders = leaders(&cluster, 1).await;
    assert!(leaders.iter().all(|(_, leads, leader)| !leads && *leader == 0), "{leaders:?}");
    let others = [cluster.handle(2).ready(), cluster.handle(3).ready()];
    assert_eq!(others, [Ok(()), Ok(())], "the majority is ready");

    cluster.faults.heal();
    cluster.ready().await;
    bind_all(&client, 60..70).await;
    located_all(&client, 0..70).await;
}

/// Waits until a node says that it is not ready, and why.
async fn not_ready(cluster: &Cluster, id: u64) -> String {
    until(&format!("node {id} is not ready"), || async {
        cluster.handle(id).ready().err().ok_or_else(|| "it is".to_owned())
    })
    .await
}

/// Each shard of a node: whether the node leads it, and who does, by its own word.
async fn leaders(cluster: &Cluster, id: u64) -> Vec<(u32, bool, u64)> {
    let leads = cluster_wire::replica_status::Role::Leader;
    let status = cluster.status(id).await.unwrap();
    let replicas = status.replicas.iter();
    replicas.map(|held| (held.shard, held.role() == leads, held.leader)).collect()
}

/// Asks one node alone where a user is.
async fn ask(cluster: &Cluster, id: u64, number: u64) -> Result<usize, String> {
    let mut registry = RegistryClient::new(cluster.channel(id));
    let table = registry.get_table(wire::GetTableRequest {}).await.map_err(|s| s.to_string())?;
    let owners = table.into_inner().table.unwrap().owners;
    let address = user(number);
    let shard = owners[usize::from(address.slot().number())];
    let locate = wire::Locate { address: Some(address.into()), stale_ok: false };
    let mut session = Session::open(cluster, id).await?;
    session.ask(shard, 1_500, [(number, wire::request::Kind::Locate(locate))]).await;
    match session.answer(number).await? {
        wire::response::Kind::Located(located) => Ok(located.routes.len()),
        other => Err(format!("{other:?}")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_leader_that_is_cut_off_refuses_what_it_cannot_write() {
    let plan = Plan::new(3, 1).with(|plan| {
        // Time enough for entries to get under way before the leader takes no more.
        (plan.config.election_ms_min, plan.config.election_ms_max) = (1_500, 2_000);
    });
    let cluster = plan.found().await;
    let client = cluster.client();
    bind_all(&client, 0..5).await;
    let leader = cluster.leader(1).await;
    let mut session = Session::open(&cluster, leader).await.unwrap();
    let write = |number| (number, wire::request::Kind::Write((&bind(number)).into()));
    cluster.faults.isolate(leader, 1..=3);
    for first in (1_000..6_000).step_by(500) {
        session.ask(1, 4_000, (first..first + 500).map(write)).await;
    }
    not_ready(&cluster, leader).await;

    session.ask(1, 1_500, [write(6_000)]).await;
    let answer = session.answer(6_000).await.unwrap();
    assert_eq!(reason(&answer), Some(Reason::Unavailable), "{answer:?}");

    let mut unknown = 0;
    for number in 1_000..6_000 {
        let answer = session.answer(number).await.unwrap();
        match reason(&answer) {
            Some(Reason::Unknown) => unknown += 1,
            Some(Reason::Unavailable | Reason::Overloaded) => {}
            _ => panic!("user {number}: {answer:?}"),
        }
    }
    // The entries that were under way, and nothing that waited for its turn.
    assert!((1..=4 * 1024).contains(&unknown), "{unknown} outcomes are unknown");
    cluster.faults.heal();
    located_all(&client, 0..5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_left_without_a_majority_is_not_ready() {
    let mut cluster = Plan::new(3, 3).found().await;
    cluster.kill(2);
    cluster.kill(3);
    let begun = Instant::now();
    not_ready(&cluster, 1).await;
    // Two of the longest election timeouts, and what a busy machine takes.
    assert!(begun.elapsed() < Duration::from_secs(4), "ready for {:?} more", begun.elapsed());
    until("node 1 says that nobody leads", || async {
        let leaders = leaders(&cluster, 1).await;
        match leaders.iter().all(|(_, leads, leader)| !leads && *leader == 0) {
            true => Ok(()),
            false => Err(format!("{leaders:?}")),
        }
    })
    .await;
    cluster.start(2).await;
    cluster.start(3).await;
    cluster.ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_follows_a_leader_without_a_quorum_is_not_ready_however_often_it_hears_of_it() {
    let plan = Plan::new(5, 1).with(|plan| {
        plan.placements = vec![(0, vec![1, 2, 3]), (1, vec![4, 5, 1])];
    });
    let mut cluster = plan.found().await;
    assert_eq!(cluster.leader(0).await, 1);
    cluster.kill(2);
    cluster.kill(3);
    let reason = not_ready(&cluster, 4).await;
    assert!(reason.starts_with("shard control"), "{reason}");
    // Its leader goes on in turns of silence and of heartbeats, each of three election timeouts.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        for id in [1, 4, 5] {
            assert!(cluster.handle(id).ready().is_err(), "node {id}, {:?} later", begun.elapsed());
        }
        sleep(Duration::from_millis(20)).await;
    }
    cluster.start(2).await;
    until("all that run are ready again", || async {
        let ready = [1, 2, 4, 5].map(|id| cluster.handle(id).ready());
        match ready.iter().all(Result::is_ok) {
            true => Ok(()),
            false => Err(format!("{ready:?}")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_nothing_is_acknowledged() {
    let mut cluster = Plan::new(3, 1).found().await;
    let client = cluster.client();
    bind_all(&client, 0..5).await;
    cluster.kill(2);
    cluster.kill(3);
    let refused = routes(&client, 0, Duration::from_secs(2)).await;
    assert!(refused.is_err(), "{refused:?}");
    let refused = write(&client, bind(5), Duration::from_secs(2)).await;
    assert!(
        matches!(refused, Err(ClientError::Unavailable { .. } | ClientError::Unknown { .. })),
        "{refused:?}"
    );
    cluster.start(2).await;
    located_all(&client, 0..5).await;
    bind_all(&client, 5..10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_control_shard_binds_and_reads_go_on() {
    let plan = Plan::new(5, 2).with(|plan| {
        plan.placements = vec![(0, vec![1, 2, 3]), (1, vec![3, 4, 5]), (2, vec![4, 5, 3])];
    });
    let mut cluster = plan.found().await;
    let client = cluster.client();
    bind_all(&client, 0..20).await;
    cluster.kill(1);
    cluster.kill(2);
    bind_all(&client, 20..40).await;
    located_all(&client, 0..40).await;

    // A client that comes now still learns the table; what concerns the cluster waits.
    let newcomer = cluster.client_of(&[4]);
    located_all(&newcomer, 0..5).await;
    let comets = newcomer.comets(false, Instant::now() + Duration::from_secs(2)).await;
    assert!(comets.is_err(), "{comets:?}");
    cluster.start(1).await;
    newcomer.comets(false, Instant::now() + PATIENCE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_in_one_direction_is_survived() {
    let cluster = Plan::new(3, 2).found().await;
    let client = cluster.client();
    bind_all(&client, 0..20).await;
    let leader = cluster.leader(1).await;
    let others: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    // The leader hears everybody and is heard by nobody.
    for other in &others {
        cluster.faults.hold(leader, *other);
    }
    let reachable = cluster.client_of(&others);
    let answer = write(&reachable, bind(20), PATIENCE).await.unwrap();
    assert!(answer.is_ok(), "{answer:?}");
    cluster.faults.heal();
    cluster.ready().await;
    located_all(&client, 0..21).await;
}
