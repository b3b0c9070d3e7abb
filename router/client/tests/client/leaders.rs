//! Who leads a shard is learned, remembered, and forgotten when it is no longer so.

use orrery_proto::registry::failure::Reason;

use crate::scripted::{
    Act, bind, cluster, cluster_with, failed, fitting, led_by, offline, soon, table, user, within,
};

#[tokio::test]
async fn a_redirect_to_the_leader_is_followed_and_remembered() {
    let (nodes, client) = cluster(3).await;
    nodes[0].on(|_| led_by(3));
    nodes[1].on(|_| led_by(3));
    nodes[2].on(fitting);
    client.write(bind("u", 1), soon()).await.unwrap();
    client.write(bind("u", 2), soon()).await.unwrap();
    client.locate(user("u"), false, soon()).await.unwrap();
    assert_eq!(nodes[2].seen().len(), 3);
    assert_eq!(nodes[0].seen().len() + nodes[1].seen().len(), 1, "asked once, then remembered");
}

#[tokio::test]
async fn without_a_leader_node_after_node_is_asked() {
    let (nodes, client) = cluster(3).await;
    nodes[0].on(|_| led_by(0));
    nodes[1].on(|_| failed(Reason::NoShard));
    nodes[2].on(fitting);
    client.write(bind("u", 1), soon()).await.unwrap();
    assert_eq!(nodes[2].seen().len(), 1);
    assert!(nodes[0].seen().len() <= 1 && nodes[1].seen().len() <= 1);
}

#[tokio::test]
async fn a_leader_that_resigned_is_left_for_the_new_one() {
    let (nodes, client) = cluster(2).await;
    nodes[0].on(|_| led_by(2));
    nodes[1].on(fitting);
    client.write(bind("u", 1), soon()).await.unwrap();
    nodes[0].on(fitting);
    nodes[1].on(|_| led_by(1));
    client.write(bind("u", 2), soon()).await.unwrap();
    client.write(bind("u", 3), soon()).await.unwrap();
    let conns_at_first = nodes[0].seen().len();
    assert!(conns_at_first >= 2, "binds 2 and 3 came to the new leader: {conns_at_first}");
}

#[tokio::test]
async fn nodes_that_name_each_other_are_not_asked_in_a_tight_circle() {
    let (nodes, client) = cluster(2).await;
    nodes[0].on(|_| led_by(2));
    nodes[1].on(|_| led_by(1));
    let asking = client.write(bind("u", 1), within(300));
    assert!(asking.await.is_err());
    let asked = nodes[0].seen().len() + nodes[1].seen().len();
    assert!((3..60).contains(&asked), "asked {asked} times in 300 ms");
}

#[tokio::test]
async fn a_silent_node_is_given_up_for_another_one() {
    let (nodes, client) = cluster_with(2, &table(1, &[1]), 150).await;
    nodes[0].on(|_| Act::Silence);
    nodes[1].on(fitting);
    // Whoever is asked first, both are asked before the deadline.
    client.write(bind("u", 1), soon()).await.unwrap();
    nodes[0].on(fitting);
    nodes[1].on(|_| Act::Silence);
    client.write(bind("u", 2), soon()).await.unwrap();
    assert!(!nodes[0].seen().is_empty() && !nodes[1].seen().is_empty());
}

#[tokio::test]
async fn a_stale_read_by_a_follower_does_not_make_it_the_leader() {
    // Calls on shard 2 of two nodes begin at the first node.
    let (nodes, client) = cluster_with(2, &table(1, &[2]), 2_000).await;
    nodes[0].on(|_| failed(Reason::Unavailable));
    nodes[1].on(|_| offline());
    client.locate(user("u"), true, soon()).await.unwrap();
    assert_eq!(nodes[1].seen().len(), 1, "the follower answered");
    nodes[0].on(fitting);
    nodes[1].on(|_| led_by(1));
    client.write(bind("u", 1), soon()).await.unwrap();
    assert_eq!(nodes[1].seen().len(), 1, "and was not taken for the leader");
}
