//! A comet's life goes through whichever router node takes the call.

use std::time::Duration;

use orrery_model::Incarnation;
use orrery_model::control::{Advertise, Attach, Comet};
use orrery_proto::registry::{AttachCometResponse, KeepAliveCometResponse};
use orrery_router_client::{Attached, ClientError, Pulse};
use tokio::time::Instant;
use tonic::Status;

use crate::scripted::{
    Scripted, bind, client, cluster, cluster_with, comet, fitting, id, nobody, soon, table, within,
};

fn attach() -> Attach {
    Attach {
        comet: id("comet-1"),
        instance: "i".to_owned(),
        attempt: 4,
        advertise: Advertise { delivery: "127.0.0.1:3109".to_owned(), ..Advertise::default() },
    }
}

fn attached() -> AttachCometResponse {
    AttachCometResponse {
        incarnation: 8,
        lease_ms: 10_000,
        keep_alive_ms: 2_000,
        rebind_per_second: 500,
    }
}

#[tokio::test]
async fn an_attach_is_repeated_until_some_node_takes_it() {
    let (nodes, client) = cluster(2).await;
    nodes[0].will_attach(Err(Status::unavailable("no leader")));
    nodes[0].will_attach(Err(Status::unknown("broke")));
    nodes[1].will_attach(Err(Status::unavailable("no leader")));
    nodes[1].will_attach(Ok(attached()));
    let expected = Attached {
        incarnation: Incarnation(8),
        lease_ms: 10_000,
        keep_alive_ms: 2_000,
        rebind_per_second: 500,
    };
    assert_eq!(client.attach(attach(), soon()).await, Ok(expected));
    let sent: Vec<_> = nodes.iter().flat_map(|node| node.attached()).collect();
    assert!(sent.len() >= 3, "asked {} times", sent.len());
    assert!(sent.iter().all(|sent| *sent == attach().into()), "the same attempt each time");
}

#[tokio::test]
async fn a_node_that_names_the_leader_saves_asking_the_others() {
    let (nodes, client) = cluster(3).await;
    for node in &nodes {
        let mut status = Status::unavailable("not the leader");
        status.metadata_mut().insert("orrery-leader", nodes[2].address.parse().unwrap());
        node.will_attach(Err(status));
        node.will_attach(Ok(attached()));
    }
    // The third node takes it when it is asked for the second time, as one that is being elected.
    client.attach(attach(), soon()).await.unwrap();
    let asked: Vec<_> = nodes.iter().map(|node| node.attached().len()).collect();
    assert!(asked[0] + asked[1] <= 2, "{asked:?}");
}

#[tokio::test]
async fn a_keep_alive_is_not_held_up_by_a_silent_node() {
    let (nodes, client) = cluster_with(2, &table(1, &[1]), 10_000).await;
    nodes[0].will_keep_alive(Ok(KeepAliveCometResponse { alive: true, superseded: false }));
    assert_eq!(client.keep_alive(comet(), soon()).await, Ok(Pulse::Alive));
    nodes[0].falls_silent();
    nodes[1].will_keep_alive(Err(Status::unavailable("electing")));
    nodes[1].will_keep_alive(Ok(KeepAliveCometResponse { alive: true, superseded: false }));
    let begun = Instant::now();
    assert_eq!(client.keep_alive(comet(), soon()).await, Ok(Pulse::Alive));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_superseded_comet_is_told_so_at_once() {
    let (nodes, client) = cluster(1).await;
    nodes[0].will_attach(Err(Status::failed_precondition("incarnation 9 lives")));
    let error = client.attach(attach(), soon()).await.unwrap_err();
    assert!(matches!(error, ClientError::Superseded { .. }) && !error.may_retry(), "{error}");
    assert_eq!(nodes[0].attached().len(), 1);
}

#[tokio::test]
async fn an_attach_nobody_takes_is_unavailable_and_one_without_an_answer_unknown() {
    let (nodes, client) = cluster(1).await;
    let error = client.attach(attach(), within(100)).await.unwrap_err();
    assert!(matches!(error, ClientError::Unavailable { .. }), "{error}");
    nodes[0].will_attach(Err(Status::internal("broke")));
    let error = client.attach(attach(), within(100)).await.unwrap_err();
    assert!(matches!(error, ClientError::Unknown { .. }), "{error}");
    let error = client.detach(comet(), within(100)).await.unwrap_err();
    assert!(matches!(error, ClientError::Unknown { .. }), "{error}");
}

#[tokio::test]
async fn an_attach_that_never_left_is_not_unknown() {
    let client = client(vec![nobody().await], 2_000);
    let error = client.attach(attach(), within(200)).await.unwrap_err();
    assert!(matches!(error, ClientError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn nodes_known_only_from_the_table_take_these_calls_too() {
    let (nodes, _) = cluster(3).await;
    let client = client(vec![nodes[0].address.clone()], 2_000);
    nodes[0].on(fitting);
    nodes[1].on(fitting);
    nodes[2].on(fitting);
    client.write(bind("u", 1), soon()).await.unwrap();
    nodes[2].will_attach(Ok(attached()));
    let told = client.attach(attach(), soon()).await;
    let asked: Vec<_> = nodes.iter().map(|node| node.attached().len()).collect();
    assert!(told.is_ok(), "{told:?} {asked:?}");
    assert_eq!(nodes[2].attached().len(), 1);
}

#[tokio::test]
async fn a_keep_alive_tells_life_end_and_succession_apart() {
    let (nodes, client) = cluster(1).await;
    let pulses = [
        (true, false, Pulse::Alive),
        (false, false, Pulse::Ended),
        (false, true, Pulse::Superseded),
    ];
    for (alive, superseded, pulse) in pulses {
        nodes[0].will_keep_alive(Err(Status::unavailable("electing")));
        nodes[0].will_keep_alive(Ok(KeepAliveCometResponse { alive, superseded }));
        assert_eq!(client.keep_alive(comet(), soon()).await, Ok(pulse));
    }
}

#[tokio::test]
async fn living_comets_are_listed_with_what_they_advertise() {
    let (nodes, client) = cluster(1).await;
    let living = Comet {
        comet: comet(),
        instance: "i".to_owned(),
        attempt: 1,
        advertise: attach().advertise,
        attached_at_ms: 5,
    };
    nodes[0].has_comets(vec![(&living).into()]);
    assert_eq!(client.comets(false, soon()).await, Ok(vec![living]));
    nodes[0].has_comets(vec![orrery_proto::registry::Comet::default()]);
    assert!(client.comets(false, soon()).await.is_err(), "a comet without a name is not one");
}

#[tokio::test]
async fn a_node_that_is_behind_does_not_undo_what_another_call_found() {
    let (nodes, client) = cluster(3).await;
    let names = |leader: &Scripted| {
        let mut status = Status::unavailable("not the leader");
        status.metadata_mut().insert("orrery-leader", leader.address.parse().unwrap());
        Err(status)
    };
    // Of two calls at the same time one is told late, and of who led before.
    nodes[0].will_attach_late(Duration::from_millis(300), names(&nodes[2]));
    nodes[0].will_attach(names(&nodes[1]));
    nodes[1].will_attach(Ok(attached()));
    nodes[1].will_attach(Ok(attached()));
    let (one, other) =
        tokio::join!(client.attach(attach(), soon()), client.attach(attach(), soon()));
    assert!(one.is_ok() && other.is_ok(), "{one:?} {other:?}");
    assert_eq!(nodes[0].attached().len(), 2);
    assert!(nodes[2].attached().is_empty(), "the other call had found the leader");
}
