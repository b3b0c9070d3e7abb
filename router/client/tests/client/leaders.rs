//! Who leads a shard is learned, remembered, and forgotten when it is no longer so.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use orrery_proto::registry::failure::Reason;
use orrery_proto::registry::{Failure, Request, request, response};

use crate::scripted::{
    Act, bind, cluster, cluster_with, failed, failed_with, fitting, led_by, offline, soon, table,
    user, within,
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
async fn a_node_without_the_shard_redirects_to_who_should_lead_it() {
    let (nodes, client) = cluster(5).await;
    let elsewhere = || Failure { reason: Reason::NoShard.into(), leader: 5, ..Failure::default() };
    for node in nodes.iter().take(4) {
        node.on(move |_| failed_with(elsewhere()));
    }
    nodes[4].on(fitting);
    client.write(bind("u", 1), soon()).await.unwrap();
    assert_eq!(nodes[4].seen().len(), 1);
    let others: usize = nodes.iter().take(4).map(|node| node.seen().len()).sum();
    assert!(others <= 1, "{others} others were asked");
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

#[tokio::test]
async fn a_stale_read_of_a_slot_that_moved_does_not_make_a_follower_the_leader() {
    // Calls on shard 2 of two nodes begin at the first node.
    let (nodes, client) = cluster_with(2, &table(1, &[2]), 2_000).await;
    let nodes = Arc::new(nodes);
    let (leader, follower) = (&nodes[0], &nodes[1]);
    leader.on(|_| failed(Reason::Unavailable));
    let weak = Arc::downgrade(&nodes);
    follower.on(move |request| match request.epoch {
        1 => {
            let nodes = weak.upgrade().expect("the nodes outlive their scripts");
            nodes[0].serve_table("c", &table(2, &[2]), &[&nodes[0], &nodes[1]]);
            nodes[0].on(fitting);
            let reason = Reason::WrongShard.into();
            failed_with(Failure { reason, epoch: 2, ..Failure::default() })
        }
        _ => fitting(request),
    });
    client.locate(user("u"), true, soon()).await.unwrap();
    assert_eq!(follower.seen().len(), 1, "it did not own the slot");
    client.write(bind("u", 1), soon()).await.unwrap();
    assert_eq!(follower.seen().len(), 1, "and was not taken for the leader");
}

#[tokio::test]
async fn a_node_that_is_behind_does_not_turn_callers_from_the_leader() {
    let (nodes, client) = cluster_with(3, &table(1, &[1]), 10_000).await;
    for node in &nodes {
        node.on(|_| led_by(1));
    }
    nodes[0].on(fitting);
    client.write(bind("u", 1), soon()).await.unwrap();
    // The leader is slow for a moment, and those that are asked meanwhile name one from before.
    let mut asked = 0;
    nodes[0].on(move |request| {
        asked += 1;
        match fitting(request) {
            Act::Answer(kind) if asked == 1 => Act::Late(Duration::from_secs(1), kind),
            act => act,
        }
    });
    nodes[1].on(|_| led_by(3));
    let no_shard = |_: &_| failed(Reason::NoShard);
    nodes[2].on(no_shard);
    let before = nodes[2].seen().len();
    let (slow, ()) = tokio::join!(client.write(bind("u", 2), soon()), async {
        nodes[2].seen_at_least(before + 1).await;
        client.write(bind("u", 3), soon()).await.unwrap();
    });
    slow.unwrap();
    let third = Some(request::Kind::Write((&bind("u", 3)).into()));
    assert!(nodes[2].seen().iter().all(|request| request.kind != third), "it never led");
}

#[tokio::test]
async fn a_leader_that_a_probe_found_is_remembered_although_it_was_asked_before() {
    // Whom a call turned to that forgot it was chance.
    join_all((0..8).map(|_| a_probe_finds_whom_the_call_asked_first())).await;
}

async fn a_probe_finds_whom_the_call_asked_first() {
    // Calls on shard 3 of three nodes begin at the first node.
    let (nodes, client) = cluster_with(3, &table(1, &[3]), 10_000).await;
    let late = Duration::from_secs(1);
    let failure = |reason: Reason| {
        let failure = Failure { reason: reason.into(), ..Failure::default() };
        response::Kind::Failure(failure)
    };
    // It is elected while it is asked, and says so to a probe.
    let (mut writes, mut probes) = (0, 0);
    nodes[0].on(move |request| {
        let Act::Answer(kind) = fitting(request) else { panic!("it answers") };
        let asked = if is_write(request) { &mut writes } else { &mut probes };
        *asked += 1;
        match (*asked, is_write(request)) {
            (1, true) => Act::Late(late, failure(Reason::Unavailable)),
            (1, false) => Act::Late(late, kind),
            _ => Act::Answer(kind),
        }
    });
    // The others know of nobody. One is slow at first, so that the call goes on probing.
    let mut probes = 0;
    nodes[1].on(move |_| {
        probes += 1;
        if probes == 1 { Act::Late(late + late / 2, failure(Reason::NotLeader)) } else { led_by(0) }
    });
    nodes[2].on(|_| led_by(0));
    client.write(bind("u", 1), soon()).await.unwrap();
    for other in &nodes[1..] {
        let seen = other.seen();
        assert!(!seen.is_empty(), "it was asked who leads");
        assert!(!seen.iter().any(is_write), "the leader was known: {seen:?}");
    }
    assert!(nodes[0].seen().iter().any(|request| !is_write(request)), "it was probed");
}

fn is_write(request: &Request) -> bool {
    matches!(request.kind, Some(request::Kind::Write(_)))
}
