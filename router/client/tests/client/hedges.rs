//! A node that is silent holds nobody up for longer than it takes to find out who leads instead.

use std::time::Duration;

use futures_util::future::join_all;
use orrery_proto::registry::failure::Reason;
use orrery_proto::registry::{Located, Request, request, response};
use orrery_router_client::ClientError;
use tokio::time::Instant;

use crate::scripted::{
    Act, Scripted, bind, bound, client, cluster, cluster_with, failed, fitting, led_by, nobody,
    offline, soon, table, user, within,
};

/// Longer than any test here waits for an attempt: what is faster was hedged.
const ATTEMPT_MS: u64 = 10_000;

fn is_write(request: &Request) -> bool {
    matches!(request.kind, Some(request::Kind::Write(_)))
}

/// Two nodes of which the first is known to lead the one shard.
async fn led_by_the_first() -> (Vec<Scripted>, orrery_router_client::Client) {
    let (nodes, client) = cluster_with(2, &table(1, &[1]), ATTEMPT_MS).await;
    nodes[0].on(fitting);
    nodes[1].on(|_| led_by(1));
    client.write(bind("u", 1), soon()).await.unwrap();
    (nodes, client)
}

#[tokio::test]
async fn a_read_of_a_silent_leader_is_answered_by_its_successor() {
    let (nodes, client) = led_by_the_first().await;
    nodes[0].on(|_| Act::Silence);
    let mut asked = 0;
    nodes[1].on(move |_| {
        asked += 1;
        // The election takes a while.
        if asked < 4 { led_by(1) } else { offline() }
    });
    let begun = Instant::now();
    client.locate(user("u"), false, soon()).await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(ATTEMPT_MS), "{:?}", begun.elapsed());
    // Whoever comes now is not held up at all.
    let silent = nodes[0].seen().len();
    client.write(bind("u", 2), soon()).await.unwrap_err();
    assert_eq!(nodes[0].seen().len(), silent, "the successor is remembered");
}

#[tokio::test]
async fn a_write_is_repeated_only_where_another_node_is_known_to_lead() {
    let (nodes, client) = led_by_the_first().await;
    nodes[0].on(|_| Act::Silence);
    let error = client.write(bind("u", 2), within(600)).await.unwrap_err();
    assert!(matches!(error, ClientError::Unknown { .. }), "{error}");
    let asked = nodes[1].seen();
    assert!(asked.iter().any(|request| !is_write(request)), "it was asked who leads: {asked:?}");
    // One write came before the first leader was known.
    assert!(asked.iter().filter(|request| is_write(request)).count() <= 1, "{asked:?}");

    nodes[1].on(fitting);
    let begun = Instant::now();
    client.write(bind("u", 3), soon()).await.unwrap();
    assert!(begun.elapsed() < Duration::from_millis(ATTEMPT_MS), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_write_follows_a_leader_that_others_found() {
    let (nodes, client) = led_by_the_first().await;
    nodes[0].on(|_| Act::Silence);
    nodes[1].on(|_| led_by(1));
    let begun = Instant::now();
    let (waiting, ()) = tokio::join!(client.write(bind("u", 2), soon()), async {
        nodes[0].seen_at_least(2).await;
        nodes[1].on(fitting);
        client.locate(user("v"), false, soon()).await.unwrap();
    });
    waiting.unwrap();
    let repeated = nodes[0].seen().into_iter().rfind(is_write).unwrap();
    let same = |request: &Request| request.kind == repeated.kind;
    assert!(nodes[1].seen().iter().any(same), "under the same identity");
    assert!(begun.elapsed() < Duration::from_millis(ATTEMPT_MS), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_successor_that_joined_the_cluster_unnoticed_is_followed_past_a_silent_node() {
    // Whoever else is asked names it, or nobody.
    for (write, named) in [(false, 3), (true, 3), (false, 0), (true, 0)] {
        let (nodes, client) = led_by_the_first().await;
        let newcomer = Scripted::start().await;
        newcomer.on(fitting);
        for node in &nodes {
            node.serve_table("c", &table(1, &[1]), &[&nodes[0], &nodes[1], &newcomer]);
        }
        nodes[0].on(|_| Act::Silence);
        nodes[1].on(move |_| led_by(named));
        let begun = Instant::now();
        match write {
            true => client.write(bind("u", 2), soon()).await.map(|_| ()).unwrap(),
            false => client.locate(user("u"), false, soon()).await.map(|_| ()).unwrap(),
        }
        assert!(begun.elapsed() < Duration::from_millis(ATTEMPT_MS), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_slow_leader_is_waited_for_while_nobody_else_leads() {
    let (nodes, client) = led_by_the_first().await;
    let late = Duration::from_millis(700);
    nodes[0].on(move |_| Act::Late(late, response::Kind::Located(Located::default())));
    client.locate(user("u"), false, soon()).await.unwrap();
    let asked = nodes[0].seen().len();
    nodes[0].on(move |request| match fitting(request) {
        Act::Answer(kind) => Act::Late(late, kind),
        other => other,
    });
    client.write(bind("u", 2), soon()).await.unwrap();
    assert_eq!(nodes[0].seen().len(), asked + 1, "it was asked once for each");
}

#[tokio::test]
async fn a_stale_read_takes_whichever_replica_is_quicker() {
    let (nodes, client) = led_by_the_first().await;
    nodes[0].on(|_| Act::Silence);
    nodes[1].on(|_| offline());
    let begun = Instant::now();
    join_all((0..20).map(|_| client.locate(user("u"), true, soon()))).await.into_iter().for_each(
        |located| {
            located.unwrap();
        },
    );
    assert!(begun.elapsed() < Duration::from_millis(ATTEMPT_MS), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn several_silent_nodes_do_not_keep_a_living_one_from_being_asked() {
    let (nodes, client) = cluster_with(5, &table(1, &[1]), ATTEMPT_MS).await;
    for node in &nodes {
        node.on(fitting);
    }
    client.write(bind("u", 1), soon()).await.unwrap();
    for node in nodes.iter().take(4) {
        node.on(|_| Act::Silence);
    }
    for write in [false, true] {
        let begun = Instant::now();
        match write {
            true => client.write(bind("u", 2), soon()).await.map(|_| ()).unwrap(),
            false => client.locate(user("u"), false, soon()).await.map(|_| ()).unwrap(),
        }
        assert!(begun.elapsed() < Duration::from_millis(ATTEMPT_MS), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_full_disk_is_certain_and_the_next_leader_is_looked_for() {
    let (nodes, client) = led_by_the_first().await;
    nodes[0].on(|_| failed(Reason::DiskFull));
    let error = client.write(bind("u", 2), within(200)).await.unwrap_err();
    assert!(matches!(error, ClientError::Unavailable { .. }) && error.may_retry(), "{error}");
    nodes[0].on(|_| led_by(2));
    nodes[1].on(fitting);
    client.write(bind("u", 3), soon()).await.unwrap();
}

#[tokio::test]
async fn a_dead_leader_that_others_still_name_costs_pauses_and_no_more() {
    let (node, mut gone) = (Scripted::start().await, Scripted::start().await);
    gone.address = nobody().await;
    node.serve_table("c", &table(1, &[1]), &[&node, &gone]);
    let client = client(vec![node.address.clone()], ATTEMPT_MS);
    let begun = Instant::now();
    let elected = begun + Duration::from_millis(400);
    node.on(move |_| if Instant::now() < elected { led_by(2) } else { bound(1) });
    let calls = (0..200).map(|conn| client.write(bind("u", conn), soon()));
    let results = join_all(calls).await;
    assert!(results.iter().all(Result::is_ok));
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(3), "200 writes waited {took:?} for an election of 400 ms");
    let asked = node.seen().len();
    assert!(asked < 200 + 200 + 400, "the node was asked {asked} times during its election");
}

#[tokio::test]
async fn few_of_many_callers_ask_while_nobody_leads() {
    let (nodes, client) = cluster(3).await;
    let elected = Instant::now() + Duration::from_millis(500);
    for node in &nodes {
        node.on(|_| led_by(0));
    }
    nodes[2].on(move |request| if Instant::now() < elected { led_by(0) } else { fitting(request) });
    let calls = (0..500).map(|conn| client.write(bind("u", conn), soon()));
    assert!(join_all(calls).await.iter().all(Result::is_ok));
    let asked: usize = nodes.iter().map(|node| node.seen().len()).sum();
    // Each asks once before anything is wrong and once at the new leader; in between some ask around.
    assert!(asked < 500 + 500 + 700, "asked {asked} times");
}

#[tokio::test]
async fn a_leader_that_moved_is_found_without_a_pause_worth_noticing() {
    let (nodes, client) = cluster(3).await;
    nodes[0].on(fitting);
    nodes[1].on(|_| led_by(1));
    nodes[2].on(|_| led_by(1));
    client.write(bind("u", 0), soon()).await.unwrap();
    let mut worst = Duration::ZERO;
    for round in 0..20 {
        let leader = round % 3;
        for (place, node) in nodes.iter().enumerate() {
            let named = leader as u64 + 1;
            match place == leader {
                true => node.on(fitting),
                // Those that have not heard of it yet name nobody.
                false => node.on(move |_| led_by(if round % 2 == 0 { named } else { 0 })),
            }
        }
        let begun = Instant::now();
        client.write(bind("u", round as u64 + 1), soon()).await.unwrap();
        worst = worst.max(begun.elapsed());
    }
    assert!(worst < Duration::from_millis(400), "the worst move cost {worst:?}");
}
