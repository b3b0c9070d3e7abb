//! A write whose leader was replaced before it could commit it, as a client sees it.

use std::time::Duration;

use orrery_model::command::Outcome;
use orrery_router_client::ClientError;

use crate::cluster::{PATIENCE, Plan, until};
use crate::users::{bind, bind_all, located_all, routes, write};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_calls_a_discarded_write_unknown_and_repeats_it_to_the_same_end() {
    let plan = Plan::new(3, 1).with(|plan| {
        // Time enough for the entry to get under way before the leader takes no more.
        (plan.config.election_ms_min, plan.config.election_ms_max) = (1_500, 2_000);
    });
    let cluster = plan.found().await;
    let client = cluster.client();
    bind_all(&client, 0..5).await;
    let old = cluster.leader(1).await;
    // Clients still reach it; it reaches nobody that could commit with it.
    cluster.faults.isolate(old, 1..=3);
    let outcome = write(&client, bind(7), Duration::from_millis(400)).await;
    assert!(matches!(outcome, Err(ClientError::Unknown { .. })), "{outcome:?}");
    // Another one leads, and replaces the entry.
    bind_all(&client, 10..15).await;
    assert_eq!(routes(&client, 7, PATIENCE).await, Ok(0), "it is not there so far");
    cluster.faults.heal();
    until("the old one has what the new one wrote", || async {
        let status = cluster.status(old).await.map_err(|status| status.to_string())?;
        let held = status.replicas.iter().find(|held| held.shard == 1).map(|held| held.routes);
        (held == Some(10)).then_some(()).ok_or_else(|| format!("{held:?} routes"))
    })
    .await;
    let mut seqs = Vec::new();
    for _ in 0..2 {
        match write(&client, bind(7), PATIENCE).await {
            Ok(Ok(Outcome::Bound(bound))) => seqs.push(bound.seq),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seqs[0], seqs[1], "it took effect once");
    assert_eq!(routes(&client, 7, PATIENCE).await, Ok(1));
    located_all(&client, (0..5).chain(10..15)).await;
}
