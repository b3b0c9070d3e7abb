//! Requests share messages, keep their order and find their own answers.

use futures_util::future::join_all;
use orrery_model::Seq;
use orrery_model::command::{Bound, Outcome};
use orrery_proto::registry::{Request, command, request};

use crate::scripted::{Act, bind, bound, cluster, fitting, soon};

/// The conn that a bind names.
fn conn_of(request: &Request) -> u64 {
    match &request.kind {
        Some(request::Kind::Write(write)) => match &write.kind {
            Some(command::Kind::Bind(bind)) => bind.conn,
            other => panic!("not a bind: {other:?}"),
        },
        other => panic!("not a write: {other:?}"),
    }
}

#[tokio::test]
async fn requests_share_messages_and_each_finds_its_own_answer() {
    let (nodes, client) = cluster(1).await;
    // The seq tells the conn that was asked for; answers come in reverse order.
    nodes[0].on(|request| bound(conn_of(request) + 1_000));
    let writes = (0..300).map(|conn| client.write(bind("u", conn), soon()));
    for (conn, written) in (0..).zip(join_all(writes).await) {
        let bound = Bound { seq: Seq(conn + 1_000), losers: Vec::new() };
        assert_eq!(written.unwrap().reply, Ok(Outcome::Bound(bound)));
    }
    let sizes = nodes[0].message_sizes();
    assert_eq!(sizes.iter().sum::<usize>(), 300);
    assert!(sizes.len() <= 100, "300 requests took {} messages: {sizes:?}", sizes.len());
}

#[tokio::test]
async fn requests_on_one_address_leave_in_the_order_they_were_made() {
    let (nodes, client) = cluster(2).await;
    nodes[0].on(|_| bound(1));
    nodes[1].on(|_| bound(1));
    client.write(bind("u", 0), soon()).await.unwrap();
    join_all((1..200).map(|conn| client.write(bind("u", conn), soon()))).await;
    let seen: Vec<_> = nodes.iter().flat_map(|node| node.seen()).map(|r| conn_of(&r)).collect();
    assert_eq!(seen, (0..200).collect::<Vec<_>>());
    assert!(nodes.iter().any(|node| node.seen().is_empty()), "one shard has one leader");
}

#[tokio::test]
async fn a_caller_that_leaves_takes_nothing_from_the_others() {
    let (nodes, client) = cluster(1).await;
    nodes[0].on(|request| match conn_of(request) {
        1 => Act::Silence,
        _ => fitting(request),
    });
    let leaving = client.write(bind("u", 1), soon());
    let staying = client.write(bind("u", 2), soon());
    tokio::select! {
        biased;
        _ = leaving => panic!("nobody answers it"),
        () = nodes[0].seen_at_least(1) => {}
    }
    assert!(staying.await.is_ok());
}

#[tokio::test]
async fn sessions_end_with_the_last_clone_of_the_client() {
    let (nodes, client) = cluster(1).await;
    nodes[0].on(fitting);
    let clone = client.clone();
    client.write(bind("u", 1), soon()).await.unwrap();
    drop(client);
    clone.write(bind("u", 2), soon()).await.unwrap();
    nodes[0].sessions(1).await;
    drop(clone);
    nodes[0].sessions(0).await;
}
