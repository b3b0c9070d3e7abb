//! What can be said of a request: carried out, certainly not, or unknown. Never the wrong one.

use std::time::Duration;

use orrery_model::Slot;
use orrery_model::command::{Command, Open, SetRooms};
use orrery_model::{Seq, Version};
use orrery_proto::registry::failure::Reason;
use orrery_proto::registry::{Failure, Request, request};
use orrery_router_client::{ClientError, limits};
use tokio::time::Instant;

use crate::scripted::{
    Act, Scripted, bind, bound, client, cluster, comet, failed, failed_with, fitting, id, nobody,
    soon, table, user, within,
};

fn is_write(request: &Request) -> bool {
    matches!(request.kind, Some(request::Kind::Write(_)))
}

#[tokio::test]
async fn a_broken_stream_repeats_writes_under_their_identity_and_loses_no_read() {
    let (nodes, client) = cluster(1).await;
    let mut asked = 0;
    nodes[0].on(move |request| {
        asked += 1;
        if asked <= 2 { Act::Break } else { fitting(request) }
    });
    let (written, located) =
        tokio::join!(client.write(bind("u", 5), soon()), client.locate(user("u"), false, soon()),);
    written.unwrap().reply.unwrap();
    located.unwrap();
    let writes: Vec<_> = nodes[0].seen().into_iter().filter(is_write).map(|r| r.kind).collect();
    assert!(writes.len() >= 2, "the write was repeated");
    assert!(writes.iter().all(|write| *write == writes[0]), "under one identity: {writes:?}");
}

#[tokio::test]
async fn an_unknown_outcome_is_asked_again_until_it_is_known() {
    let (nodes, client) = cluster(1).await;
    let mut asked = 0;
    nodes[0].on(move |_| {
        asked += 1;
        if asked < 4 { failed(Reason::Unknown) } else { bound(9) }
    });
    client.write(bind("u", 5), soon()).await.unwrap().reply.unwrap();
    let seen = nodes[0].seen();
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|request| request.kind == seen[0].kind));
}

#[tokio::test]
async fn a_write_without_an_answer_is_unknown_at_its_deadline_and_a_read_unavailable() {
    let (nodes, client) = cluster(1).await;
    nodes[0].on(|_| Act::Silence);
    let begun = Instant::now();
    let (written, located) = tokio::join!(
        client.write(bind("u", 5), within(200)),
        client.locate(user("u"), false, within(200)),
    );
    let (written, located) = (written.unwrap_err(), located.unwrap_err());
    assert!(matches!(written, ClientError::Unknown { .. }), "{written}");
    assert!(matches!(located, ClientError::Unavailable { .. }), "{located}");
    assert!(written.may_retry() && located.may_retry());
    let taken = begun.elapsed();
    assert!((200..2_000).contains(&taken.as_millis()), "the deadline is kept: {taken:?}");
}

#[tokio::test]
async fn requests_carry_what_is_left_of_their_time() {
    let (nodes, client) = cluster(1).await;
    nodes[0].on(fitting);
    client.write(bind("u", 1), within(700)).await.unwrap();
    client.write(bind("u", 2), soon()).await.unwrap();
    let timeouts: Vec<_> = nodes[0].seen().iter().map(|request| request.timeout_ms).collect();
    assert!((1..=700).contains(&timeouts[0]), "{timeouts:?}");
    assert!((1_900..=2_000).contains(&timeouts[1]), "one attempt's share: {timeouts:?}");
}

#[tokio::test]
async fn a_write_that_never_left_is_not_unknown() {
    let seed = Scripted::start().await;
    let mut gone = Scripted::start().await;
    gone.address = nobody().await;
    seed.serve_table("c", &table(1, &[1]), &[&gone]);
    let client = client(vec![seed.address.clone()], 2_000);
    let error = client.write(bind("u", 1), within(300)).await.unwrap_err();
    assert!(matches!(error, ClientError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn a_call_without_time_is_not_tried() {
    let (nodes, client) = cluster(1).await;
    nodes[0].on(fitting);
    let late = Instant::now() - Duration::from_millis(1);
    assert_eq!(client.write(bind("u", 1), late).await, Err(ClientError::Deadline));
    client.write(bind("u", 2), soon()).await.unwrap();
    assert_eq!(nodes[0].seen().len(), 1);
}

#[tokio::test]
async fn overload_is_told_at_once() {
    let (nodes, client) = cluster(1).await;
    let detail = "the shard's queue is full".to_owned();
    let reason = Reason::Overloaded.into();
    let failure = Failure { reason, detail: detail.clone(), ..Failure::default() };
    nodes[0].on(move |_| failed_with(failure.clone()));
    let error = client.write(bind("u", 1), soon()).await.unwrap_err();
    assert_eq!(error, ClientError::Overloaded { detail });
    assert!(error.may_retry());
    assert_eq!(nodes[0].seen().len(), 1, "an overloaded node is not asked again");
}

#[tokio::test]
async fn overload_after_a_lost_answer_is_still_unknown() {
    let (nodes, client) = cluster(1).await;
    let mut asked = 0;
    nodes[0].on(move |_| {
        asked += 1;
        if asked == 1 { Act::Break } else { failed(Reason::Overloaded) }
    });
    let error = client.write(bind("u", 1), soon()).await.unwrap_err();
    assert!(matches!(error, ClientError::Unknown { .. }), "{error}");
}

#[tokio::test]
async fn what_one_node_refuses_for_good_after_another_may_have_taken_it_is_unknown() {
    let (nodes, client) = cluster(1).await;
    let mut asked = 0;
    nodes[0].on(move |_| {
        asked += 1;
        if asked % 2 == 1 { Act::Break } else { failed(Reason::Invalid) }
    });
    let error = client.write(bind("u", 1), soon()).await.unwrap_err();
    assert!(matches!(error, ClientError::Unknown { .. }), "{error}");
    let error = client.locate(user("u"), false, soon()).await.unwrap_err();
    assert!(matches!(error, ClientError::Invalid { .. }), "a read does nothing: {error}");
}

#[tokio::test]
async fn what_is_refused_for_good_while_another_node_is_silent_is_unknown() {
    let (nodes, client) = cluster(2).await;
    // The first one that is asked; a probe finds out that the other one leads by now.
    nodes[1].on(|_| Act::Silence);
    nodes[0].on(|asked| if is_write(asked) { failed(Reason::Invalid) } else { fitting(asked) });
    let error = client.write(bind("u", 1), soon()).await.unwrap_err();
    let asked = |node: &Scripted| node.seen().iter().filter(|request| is_write(request)).count();
    assert_eq!((asked(&nodes[0]), asked(&nodes[1])), (1, 1));
    assert!(matches!(error, ClientError::Unknown { .. }), "{error}");
}

#[tokio::test]
async fn more_requests_than_a_session_holds_are_overload() {
    let (nodes, client) = cluster(1).await;
    nodes[0].on(fitting);
    // Table and leader first, so that all requests of the flood meet in the session.
    client.locate(user("u"), false, soon()).await.unwrap();
    nodes[0].on(|_| Act::Silence);
    let flood = limits::UNANSWERED_MAX + 10;
    let calls = (0..flood).map(|_| client.locate(user("u"), false, within(1_500)));
    let ended = futures_util::future::join_all(calls).await;
    let overloaded =
        ended.iter().filter(|result| matches!(result, Err(ClientError::Overloaded { .. }))).count();
    assert_eq!(overloaded, 10);
}

#[tokio::test]
async fn what_can_never_be_carried_out_is_not_asked_again() {
    let (nodes, client) = cluster(1).await;
    nodes[0].on(|_| failed(Reason::Invalid));
    let error = client.write(bind("u", 1), soon()).await.unwrap_err();
    assert!(matches!(error, ClientError::Invalid { .. }) && !error.may_retry(), "{error}");
    assert_eq!(nodes[0].seen().len(), 1);

    let open = Command::Open(Open::new(Slot::all().collect(), 1));
    let error = client.write(open, soon()).await.unwrap_err();
    assert!(matches!(error, ClientError::Invalid { .. }), "only the registry opens slots: {error}");

    let rooms = (0..20_000).map(|room| id(&format!("{room:0>100}"))).collect();
    let (address, seq, version) = (user("u"), Seq(1), Version(1));
    let huge = Command::SetRooms(SetRooms { address, comet: comet(), seq, rooms, version });
    let error = client.write(huge, soon()).await.unwrap_err();
    assert!(matches!(error, ClientError::Invalid { .. }), "too large: {error}");
    assert_eq!(nodes[0].seen().len(), 1, "neither was sent");
}
