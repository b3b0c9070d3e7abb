//! Cut networks.

use std::time::Duration;

use orrery_proto::registry as wire;
use orrery_proto::registry::registry_client::RegistryClient;
use orrery_router_client::ClientError;
use tokio::time::Instant;

use crate::cluster::{Cluster, PATIENCE, Plan, bind, bind_all, located_all, routes, user, write};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_minority_refuses_and_the_majority_goes_on() {
    let cluster = Plan::new(3, 3).found().await;
    let client = cluster.client();
    bind_all(&client, 0..30).await;
    cluster.faults.isolate(1, 1..=3);

    let majority = cluster.client_of(&[2, 3]);
    bind_all(&majority, 30..60).await;
    located_all(&majority, 0..60).await;

    for number in 0..10 {
        let answer = ask(&cluster, 1, number).await;
        assert!(answer.is_err(), "node 1 answered {answer:?} of user {number}");
    }

    cluster.faults.heal();
    cluster.ready().await;
    bind_all(&client, 60..70).await;
    located_all(&client, 0..70).await;
}

/// Asks one node alone where a user is.
async fn ask(cluster: &Cluster, id: u64, number: u64) -> Result<usize, String> {
    let mut registry = RegistryClient::new(cluster.channel(id));
    let table = registry.get_table(wire::GetTableRequest {}).await.map_err(|s| s.to_string())?;
    let owners = table.into_inner().table.unwrap().owners;
    let address = user(number);
    let shard = owners[usize::from(address.slot().number())];
    let locate = wire::Locate { address: Some(address.into()), stale_ok: false };
    let request = wire::Request {
        id: 1,
        shard,
        epoch: 1,
        timeout_ms: 1_500,
        kind: Some(wire::request::Kind::Locate(locate)),
    };
    let requests = wire::SessionRequest { requests: vec![request] };
    let (send, queue) = tokio::sync::mpsc::channel(1);
    send.send(requests).await.unwrap();
    let stream = futures_util::stream::unfold(queue, |mut queue| async {
        Some((queue.recv().await?, queue))
    });
    let mut answers = registry.session(stream).await.map_err(|s| s.to_string())?.into_inner();
    let answer = answers.message().await.map_err(|s| s.to_string())?;
    drop(send);
    match answer.and_then(|mut answer| answer.responses.pop()?.kind) {
        Some(wire::response::Kind::Located(located)) => Ok(located.routes.len()),
        other => Err(format!("{other:?}")),
    }
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
