//! Nodes that come, go, are replaced and drained.

use std::collections::BTreeMap;
use std::time::Duration;

use orrery_model::cluster::{NodeState, Placement as Place};
use orrery_model::control::ControlCommand;
use orrery_model::{NodeId, ShardId};
use orrery_proto::cluster::replica_status::Role;
use orrery_proto::registry::Placement;
use tokio::time::timeout;

use crate::cluster::{Cluster, PATIENCE, Plan, until};
use crate::users::{bind_all, located_all};

fn holds(voters: &BTreeMap<u32, Vec<u64>>, id: u64) -> usize {
    voters.values().filter(|voters| voters.contains(&id)).count()
}

/// Waits until every node has opened what is placed on it, and given up everything else.
async fn until_held_as_placed(cluster: &Cluster) {
    until("every node holds what is placed on it and nothing else", || async {
        for id in cluster.running() {
            let status = cluster.status(id).await.map_err(|status| status.to_string())?;
            let placed = status.placements.iter().filter_map(|held| held.placement.as_ref());
            let here = |placed: &&Placement| placed.shard == 0 || placed.replicas.contains(&id);
            let mut placed: Vec<u32> = placed.filter(here).map(|placed| placed.shard).collect();
            let mut held: Vec<u32> = status.replicas.iter().map(|held| held.shard).collect();
            placed.sort_unstable();
            held.sort_unstable();
            if placed != held {
                return Err(format!("node {id} holds {held:?}, placed are {placed:?}"));
            }
        }
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_joins_gets_its_share_and_one_that_leaves_gives_it_back() {
    let mut cluster = Plan::new(3, 4).found().await;
    let client = cluster.client();
    bind_all(&client, 0..60).await;
    cluster.join(4).await;
    cluster.ready().await;
    let share = |voters: &BTreeMap<u32, Vec<u64>>| {
        holds(voters, 4) >= 3 && voters.values().all(|voters| voters.len() == 3)
    };
    cluster.voters("node 4 has its share", share).await;
    located_all(&client, 0..60).await;
    until_held_as_placed(&cluster).await;

    cluster.set_state(1, NodeState::Leaving).await.unwrap();
    let reason = timeout(PATIENCE, cluster.handle(1).failed()).await.expect("it ends itself");
    assert!(reason.contains("removed"), "{reason}");
    cluster.stop(1).await;
    let without = |voters: &BTreeMap<u32, Vec<u64>>| {
        holds(voters, 1) == 0 && voters.values().all(|voters| voters.len() == 3)
    };
    cluster.voters("node 1 holds nothing", without).await;
    until_held_as_placed(&cluster).await;
    located_all(&client, 0..60).await;
    bind_all(&client, 60..70).await;
}

/// Where each shard is placed.
async fn placements(cluster: &Cluster) -> BTreeMap<u32, Placement> {
    let status = cluster.status(1).await.unwrap();
    let placed = status.placements.into_iter().filter_map(|held| held.placement);
    placed.map(|placement| (placement.shard, placement)).collect()
}

/// Has a shard's replica moved, and waits until it is.
async fn move_replica(cluster: &Cluster, shard: u32, from: u64, to: u64) {
    let replicas = until("the placement is changed", || async {
        let placed = placements(cluster).await.remove(&shard).unwrap();
        let replicas = placed.replicas.iter().map(|id| if *id == from { to } else { *id });
        let replicas: Vec<u64> = replicas.collect();
        let command = ControlCommand::Place(Place {
            shard: ShardId(shard),
            version: placed.version + 1,
            replicas: replicas.iter().copied().map(NodeId).collect(),
        });
        // The planner may have moved its leader meanwhile.
        let changed = cluster.change(command).await;
        changed.map(|_| replicas).map_err(|status| status.to_string())
    })
    .await;
    let moved = |voters: &BTreeMap<u32, Vec<u64>>| {
        replicas.len() == voters[&shard].len()
            && replicas.iter().all(|id| voters[&shard].contains(id))
    };
    cluster.voters("the replica is moved", moved).await;
    until_held_as_placed(cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_left_a_node_comes_back_to_it_and_counts() {
    let mut cluster = Plan::new(3, 1).found().await;
    let client = cluster.client();
    bind_all(&client, 0..20).await;
    cluster.join(4).await;
    cluster.ready().await;
    // Evened out, each shard has a replica where the other has none.
    let (mover, free) = until("a replica was moved to node 4", || async {
        let placed = placements(&cluster).await;
        let has = |shard: u32, id: u64| placed[&shard].replicas.contains(&id);
        let mover = (1..=4).find(|id| has(0, *id) && has(1, *id));
        let free = (1..=4).find(|id| has(0, *id) && !has(1, *id));
        mover.zip(free).ok_or_else(|| format!("{placed:?}"))
    })
    .await;
    let mut next = 20;
    for (from, to) in [(mover, free), (free, mover), (mover, free), (free, mover)] {
        move_replica(&cluster, 1, from, to).await;
        bind_all(&client, next..next + 5).await;
        next += 5;
    }
    let voters = placements(&cluster).await.remove(&1).unwrap().replicas;
    let other = voters.into_iter().find(|id| *id != mover).unwrap();
    cluster.kill(other);
    bind_all(&client, next..next + 5).await;
    located_all(&client, 0..next + 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_node_is_replaced() {
    let mut cluster = Plan::new(3, 2).found().await;
    let client = cluster.client();
    bind_all(&client, 0..40).await;
    cluster.kill(2);
    cluster.join(4).await;
    cluster.set_state(2, NodeState::Leaving).await.unwrap();
    let replaced = |voters: &BTreeMap<u32, Vec<u64>>| {
        holds(voters, 2) == 0 && holds(voters, 4) == voters.len()
    };
    cluster.voters("node 4 holds what node 2 held", replaced).await;
    until("node 2 is removed", || async {
        let status = cluster.status(1).await.map_err(|status| status.to_string())?;
        let held = status.nodes.iter().find(|held| held.node.as_ref().unwrap().id == 2);
        match held.unwrap().state() {
            orrery_proto::registry::NodeState::Removed => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    // With the newcomer alone a majority holds.
    cluster.kill(3);
    located_all(&client, 0..40).await;

    // Who was removed and comes back is told so, and ends.
    cluster.start(2).await;
    until("it ends itself", || async {
        let handle = cluster.handle(2);
        match timeout(Duration::from_millis(1), handle.failed()).await {
            Ok(reason) if reason.contains("removed") => Ok(()),
            other => Err(format!("{other:?}, {:?}", handle.ready_report())),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_node_leads_nothing_and_leads_again_when_it_is_not() {
    let cluster = Plan::new(3, 4).found().await;
    let client = cluster.client();
    bind_all(&client, 0..20).await;
    let leads = |id: u64| {
        let cluster = &cluster;
        async move {
            let status = cluster.status(id).await.map_err(|status| status.to_string())?;
            let replicas = status.replicas.iter();
            Ok::<_, String>(replicas.filter(|held| held.role() == Role::Leader).count())
        }
    };
    cluster.set_state(1, NodeState::Draining).await.unwrap();
    until("node 1 leads nothing", || async {
        match leads(1).await? {
            0 => Ok(()),
            some => Err(format!("it leads {some} shards")),
        }
    })
    .await;
    bind_all(&client, 20..30).await;
    located_all(&client, 0..30).await;
    cluster.set_state(1, NodeState::Active).await.unwrap();
    until("node 1 leads again", || async {
        match leads(1).await? {
            0 => Err("it leads nothing".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
}
