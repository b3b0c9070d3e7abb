//! The slot table is fetched, fetched again when a shard knows of a newer one, and never guessed.

use std::sync::Arc;
use std::time::Duration;

use orrery_host::Host;
use orrery_model::command::Refusal;
use orrery_proto::registry::failure::Reason;
use orrery_proto::registry::{Failure, Request, request, response};
use orrery_router_client::{Client, ClientError, Config};
use tokio::time::{sleep, timeout};

use crate::scripted::{
    Act, PATIENCE, Scripted, bind, bound, client, cluster, failed_with, fitting, led_by, soon,
    table, user, within,
};

/// Refuses by the table epoch that the request was made with: as a read and as a write.
fn wrong_shard(request: &Request, epoch: u64) -> Act {
    match request.kind {
        Some(request::Kind::Write(_)) => {
            Act::Answer(response::Kind::Reply(Err(Refusal::WrongShard { epoch }).into()))
        }
        _ => {
            let reason = Reason::WrongShard.into();
            failed_with(Failure { reason, epoch, ..Failure::default() })
        }
    }
}

#[tokio::test]
async fn a_moved_slot_is_followed_with_a_fresh_table() {
    for write in [true, false] {
        let (mut nodes, client) = cluster(1).await;
        let node = Arc::new(nodes.remove(0));
        let weak = Arc::downgrade(&node);
        node.on(move |request| {
            if request.epoch == 2 {
                assert_eq!(request.shard, 7);
                return fitting(request);
            }
            let node = weak.upgrade().expect("the node outlives its script");
            node.serve_table("c", &table(2, &[7]), &[&node]);
            wrong_shard(request, 2)
        });
        if write {
            client.write(bind("u", 1), soon()).await.unwrap().reply.unwrap();
        } else {
            client.locate(user("u"), false, soon()).await.unwrap();
        }
        let shards: Vec<_> = node.seen().iter().map(|request| request.shard).collect();
        assert_eq!(shards, [1, 7]);
        assert_eq!(client.table().unwrap().slots.epoch, 2);
    }
}

#[tokio::test]
async fn a_shard_older_than_the_table_is_waited_for() {
    let (nodes, client) = cluster(1).await;
    let mut asked = 0;
    nodes[0].on(move |request| {
        asked += 1;
        if asked < 4 { wrong_shard(request, 0) } else { fitting(request) }
    });
    client.write(bind("u", 1), soon()).await.unwrap().reply.unwrap();
    assert_eq!(nodes[0].seen().len(), 4);
    assert_eq!(nodes[0].tables_given(), 1, "the table was not to blame");
}

#[tokio::test]
async fn a_slot_without_an_owner_ends_as_unavailable() {
    let (nodes, client) = cluster(1).await;
    nodes[0].on(|request| wrong_shard(request, 1));
    let error = client.write(bind("u", 1), within(200)).await.unwrap_err();
    assert!(matches!(error, ClientError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn calls_wait_for_the_first_table() {
    let node = Scripted::start().await;
    node.on(|_| bound(1));
    let client = client(vec![node.address.clone()], 2_000);
    let (write, ()) = tokio::join!(client.write(bind("u", 1), soon()), async {
        assert!(client.table().is_none());
        node.serve_table("c", &table(1, &[1]), &[&node]);
    });
    write.unwrap();
}

#[tokio::test]
async fn without_a_table_a_call_ends_at_its_deadline() {
    let node = Scripted::start().await;
    let client = client(vec![node.address.clone()], 2_000);
    let error = client.write(bind("u", 1), within(100)).await.unwrap_err();
    assert_eq!(error, ClientError::Unavailable { detail: "no slot table yet".to_owned() });
}

#[tokio::test]
async fn one_seed_is_enough_to_meet_all_nodes() {
    let (nodes, _) = cluster(3).await;
    for node in &nodes {
        node.on(fitting);
    }
    let client = client(vec![nodes[1].address.clone()], 2_000);
    client.write(bind("u", 1), soon()).await.unwrap();
    let known = client.table().unwrap();
    assert_eq!(known.nodes.len(), 3);
    assert_eq!(known.cluster_id, "c");
}

#[tokio::test]
async fn the_session_with_a_node_that_left_the_cluster_ends() {
    let (nodes, _) = cluster(2).await;
    let client = client(vec![nodes[0].address.clone()], 2_000);
    nodes[0].on(|_| led_by(2));
    nodes[1].on(fitting);
    client.write(bind("u", 1), soon()).await.unwrap();
    nodes[1].sessions(1).await;
    for node in &nodes {
        node.serve_table("c", &table(2, &[1]), &[&nodes[0]]);
    }
    nodes[0].on(fitting);
    nodes[1].on(|request| wrong_shard(request, 2));
    client.write(bind("u", 2), soon()).await.unwrap();
    nodes[1].sessions(0).await;
}

/// Waits until the client's table names so many nodes.
async fn names(client: &Client, nodes: usize) {
    let reached = async {
        while client.table().is_none_or(|table| table.nodes.len() != nodes) {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("never named {nodes} nodes"));
}

#[tokio::test]
async fn an_older_answer_does_not_replace_a_newer_one() {
    let (node, other) = (Scripted::start().await, Scripted::start().await);
    let serve = |index, nodes: &[&Scripted]| {
        node.serve_table_at(index, "c", &table(1, &[1]), nodes);
    };
    serve(10, &[&node, &other]);
    let nodes = vec![node.address.clone()];
    let config = Config { nodes, table_refresh_ms: 10, ..Config::default() };
    let client = Client::new(config, Host::system());
    names(&client, 2).await;
    // The same again, and known to be so for longer.
    serve(20, &[&node, &other]);
    node.gives_tables(2).await;
    // The node was restarted, and has read only a part of its log.
    serve(15, &[&node]);
    node.gives_tables(3).await;
    assert_eq!(client.table().unwrap().nodes.len(), 2);
    serve(21, &[&node]);
    names(&client, 1).await;
    // One that does not say counts by its epoch alone.
    serve(0, &[&node, &other]);
    names(&client, 2).await;
}

#[tokio::test]
async fn a_node_of_another_cluster_is_not_believed() {
    let (mut nodes, client) = cluster(1).await;
    let node = Arc::new(nodes.remove(0));
    let stranger = Arc::new(Scripted::start().await);
    stranger.on(|_| bound(666));
    // From the first request on, the seed's address belongs to another cluster with a newer table.
    let (weak, strange) = (Arc::downgrade(&node), stranger.clone());
    node.on(move |request| {
        let node = weak.upgrade().expect("the node outlives its script");
        node.serve_table("other", &table(9, &[1]), &[&strange]);
        wrong_shard(request, 9)
    });
    let error = client.write(bind("u", 2), within(300)).await.unwrap_err();
    assert!(matches!(error, ClientError::Unavailable { .. }), "{error}");
    assert_eq!(client.table().unwrap().cluster_id, "c");
    assert!(node.tables_given() > 1, "it was asked for the newer table");
    assert!(stranger.seen().is_empty());
}
