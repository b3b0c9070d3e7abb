//! What a receipt says of users, keys, connections, rooms and everybody.

use std::time::Duration;

use orrery_model::{Address, Id};
use orrery_proto::delivery::{self, Tally, deliver};
use orrery_proto::push::{self as wire, Outcome};
use tokio::time::Instant;

use crate::support::{
    Bed, Comet, broadcast, eventually, keys, outcomes, request, room, route, users,
};

fn user(id: &str) -> Address {
    Address::user(Id::new(id).unwrap())
}

fn key(id: &str) -> Address {
    Address::key(Id::new(id).unwrap())
}

fn live(id: &str) -> Address {
    Address::room(Id::new(id).unwrap())
}

#[tokio::test]
async fn each_connection_has_its_outcome() {
    let comet = Comet::start("a", 1).await;
    let bed = Bed::new(&[&comet]).await;
    let ends = [
        (delivery::Outcome::Queued, Outcome::Queued, ""),
        (delivery::Outcome::Filtered, Outcome::Filtered, ""),
        (delivery::Outcome::DroppedOutboxFull, Outcome::Dropped, "outbox_full"),
        (delivery::Outcome::DroppedDisplaced, Outcome::Dropped, "displaced"),
        (delivery::Outcome::DroppedClosed, Outcome::Dropped, "closed"),
        (delivery::Outcome::DroppedBindingFull, Outcome::Dropped, "binding_full"),
        (delivery::Outcome::DroppedOverloaded, Outcome::Dropped, "overloaded"),
        (delivery::Outcome::Unknown, Outcome::Unknown, ""),
    ];
    let routes = (0..ends.len() as u64).map(|n| route(comet.life(), n, 100 + n)).collect();
    bed.registry.bind(user("alice"), routes);
    for (conn, (end, _, _)) in ends.iter().enumerate() {
        comet.answer_next(conn as u64, *end);
    }
    let response = bed.push(users(&["alice"])).await;
    let expected: Vec<_> = ends
        .iter()
        .enumerate()
        .map(|(n, (_, outcome, reason))| ("alice", 100 + n as u64, *outcome, *reason))
        .collect();
    assert_eq!(outcomes(&response), expected);
    let summary = response.summary.unwrap();
    assert_eq!((summary.queued, summary.filtered, summary.dropped, summary.unknown), (1, 1, 5, 1));
    assert!(!response.stale && !response.incomplete);
}

#[tokio::test]
async fn written_is_told_only_where_it_was_waited_for() {
    let comet = Comet::start("a", 1).await;
    let bed = Bed::new(&[&comet]).await;
    bed.registry.bind(user("alice"), vec![route(comet.life(), 1, 5)]);
    let written = wire::PushRequest { wait_for: 2, ..request(users(&["alice"])) };
    let response = bed.push.clone().push(written).await.unwrap().into_inner();
    assert_eq!(outcomes(&response), [("alice", 5, Outcome::Written, "")]);
    let received = comet.received();
    assert!(received[0].wait_written);
    // The comet is given less time than there is, so that its answer is not too late.
    assert!((1..2_900).contains(&received[0].timeout_ms), "{}", received[0].timeout_ms);

    comet.answer_next(1, delivery::Outcome::Written);
    let response = bed.push(users(&["alice"])).await;
    assert_eq!(outcomes(&response), [("alice", 5, Outcome::Queued, "")]);
}

#[tokio::test]
async fn a_push_to_nobody_is_ok_and_says_offline() {
    let comet = Comet::start("a", 1).await;
    let bed = Bed::new(&[&comet]).await;
    bed.registry.bind(key("k"), vec![route(comet.life(), 1, 5)]);
    let response = bed.push(keys(&["nobody", "k"])).await;
    assert_eq!(response.summary.unwrap().offline, 1);
    assert_eq!(
        (response.addresses[0].id.as_str(), response.addresses[0].offline),
        ("nobody", true)
    );
    assert_eq!(outcomes(&response), [("k", 5, Outcome::Queued, "")]);
    let response = bed.push(room("live://empty")).await;
    assert_eq!(response.summary.unwrap(), wire::Summary { offline: 1, ..Default::default() });
}

#[tokio::test]
async fn a_connection_that_moved_is_found_by_the_second_look_up() {
    let (a, b) = (Comet::start("a", 1).await, Comet::start("b", 2).await);
    let bed = Bed::new(&[&a, &b]).await;
    // Two devices; one just went from a to b.
    bed.registry.answer_next(user("u"), vec![route(a.life(), 1, 10), route(a.life(), 2, 11)]);
    bed.registry.bind(user("u"), vec![route(a.life(), 2, 11), route(b.life(), 1, 12)]);
    a.answer_next(1, delivery::Outcome::NotHere);
    let response = bed.push(users(&["u"])).await;
    let expected = [
        ("u", 10, Outcome::Gone, ""),
        ("u", 11, Outcome::Queued, ""),
        ("u", 12, Outcome::Queued, ""),
    ];
    assert_eq!(outcomes(&response), expected);
    // The one that answered is not asked again.
    assert_eq!(a.bodies(), [("hello".to_owned(), 1), ("hello".to_owned(), 2)]);
    assert_eq!(b.bodies(), [("hello".to_owned(), 1)]);
    assert_eq!(bed.registry.look_ups(&user("u")), 2);
}

#[tokio::test]
async fn a_second_look_up_is_not_given_up_because_another_address_was_quicker() {
    let comet = Comet::start("a", 1).await;
    let bed = Bed::new(&[&comet]).await;
    bed.registry.bind(user("u"), vec![route(comet.life(), 1, 10)]);
    bed.registry.bind(user("v"), vec![route(comet.life(), 2, 11)]);
    comet.answer_next(1, delivery::Outcome::NotHere);
    comet.answer_next(2, delivery::Outcome::NotHere);
    bed.registry.hold_once(user("u"), 2);
    let release = async {
        eventually("the retry of one arrives", || comet.bodies().len() == 3).await;
        let answered = || bed.metric("orrery_logic_look_ups_again_total") == 2;
        eventually("the other is looked up again", answered).await;
        bed.registry.release(&user("u"));
    };
    let (response, ()) = tokio::join!(bed.push(users(&["u", "v"])), release);
    let expected = [("u", 10, Outcome::Queued, ""), ("v", 11, Outcome::Queued, "")];
    assert_eq!(outcomes(&response), expected);
}

#[tokio::test]
async fn a_silent_comet_does_not_keep_what_another_missed_from_being_sent_again() {
    let (silent, old) = (Comet::start("a", 1).await, Comet::start("b", 2).await);
    let new = Comet::start("c", 3).await;
    silent.set_silent(true);
    let bed = Bed::with(&[&silent, &old, &new], |config| config.push_timeout_ms = 2_000).await;
    let stays = || route(silent.life(), 1, 10);
    bed.registry.answer_next(user("u"), vec![stays(), route(old.life(), 1, 11)]);
    bed.registry.bind(user("u"), vec![stays(), route(new.life(), 1, 12)]);
    old.answer_next(1, delivery::Outcome::NotHere);
    let response = bed.push(users(&["u"])).await;
    let expected = [
        ("u", 10, Outcome::Unknown, ""),
        ("u", 11, Outcome::Gone, ""),
        ("u", 12, Outcome::Queued, ""),
    ];
    assert_eq!(outcomes(&response), expected);
    assert_eq!(silent.bodies().len(), 1, "what is in doubt is not sent again");
}

#[tokio::test]
async fn a_connection_that_is_not_there_twice_is_gone() {
    let comet = Comet::start("a", 1).await;
    let bed = Bed::new(&[&comet]).await;
    bed.registry.bind(user("u"), vec![route(comet.life(), 1, 10)]);
    comet.answer_next(1, delivery::Outcome::NotHere);
    comet.answer_next(1, delivery::Outcome::NotHere);
    let response = bed.push(users(&["u"])).await;
    assert_eq!(outcomes(&response), [("u", 10, Outcome::Gone, "")]);
    assert_eq!(response.summary.unwrap().gone, 1);
    assert_eq!(comet.received().len(), 2);
    assert_eq!(bed.registry.look_ups(&user("u")), 2);
}

#[tokio::test]
async fn one_that_does_not_answer_is_unknown_at_the_deadline_and_holds_up_no_other() {
    let (silent, well) = (Comet::start("a", 1).await, Comet::start("b", 2).await);
    silent.set_silent(true);
    let bed = Bed::with(&[&silent, &well], |config| config.push_timeout_ms = 600).await;
    bed.registry.bind(user("u"), vec![route(silent.life(), 1, 10), route(well.life(), 1, 11)]);
    let begun = Instant::now();
    let response = bed.push(users(&["u"])).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    let expected = [("u", 10, Outcome::Unknown, ""), ("u", 11, Outcome::Queued, "")];
    assert_eq!(outcomes(&response), expected);
    // Never retried: it may have arrived.
    assert_eq!(silent.received().len(), 1);
    assert_eq!(bed.registry.look_ups(&user("u")), 1);
}

#[tokio::test]
async fn the_callers_deadline_is_kept_and_the_receipt_still_arrives() {
    let silent = Comet::start("a", 1).await;
    silent.set_silent(true);
    let bed = Bed::new(&[&silent]).await;
    bed.registry.bind(user("u"), vec![route(silent.life(), 1, 10)]);
    let mut call = tonic::Request::new(request(users(&["u"])));
    call.set_timeout(Duration::from_millis(800));
    let begun = Instant::now();
    let response =
        bed.push.clone().push(call).await.expect("a receipt, not a timeout").into_inner();
    assert!(begun.elapsed() < Duration::from_millis(800), "{:?}", begun.elapsed());
    assert_eq!(outcomes(&response), [("u", 10, Outcome::Unknown, "")]);
}

#[tokio::test]
async fn a_comet_that_cannot_be_reached_is_unknown_and_one_that_ended_is_gone() {
    let comet = Comet::start("a", 5).await;
    let bed = Bed::with(&[&comet], |config| config.push_timeout_ms = 400).await;
    let mut unreachable = comet.listed();
    unreachable.comet.as_mut().unwrap().id = "dead".into();
    unreachable.advertise.as_mut().unwrap().delivery = "127.0.0.1:1".into();
    bed.registry.list_comet(unreachable);
    bed.registry.bind(
        user("u"),
        vec![
            route(("dead", 5), 1, 10),
            route(comet.life(), 1, 11),
            route(("a", 4), 1, 12),
            route(("never", 1), 1, 13),
        ],
    );
    let response = bed.push(users(&["u"])).await;
    let expected = [
        ("u", 10, Outcome::Unknown, ""),
        ("u", 11, Outcome::Queued, ""),
        ("u", 12, Outcome::Gone, ""),
        ("u", 13, Outcome::Gone, ""),
    ];
    assert_eq!(outcomes(&response), expected);
}

#[tokio::test]
async fn a_comet_that_just_came_is_found_when_a_route_names_it() {
    let (a, b) = (Comet::start("a", 1).await, Comet::start("b", 2).await);
    let bed = Bed::with(&[&a], |config| config.comets_ms = 3_600_000).await;
    bed.registry.list_comet(b.listed());
    bed.registry.bind(user("u"), vec![route(b.life(), 1, 10)]);
    let response = bed.push(users(&["u"])).await;
    assert_eq!(outcomes(&response), [("u", 10, Outcome::Queued, "")]);
}

#[tokio::test]
async fn a_push_is_one_delivery_a_comet_however_many_users_it_names() {
    let (a, b) = (Comet::start("a", 1).await, Comet::start("b", 2).await);
    let bed = Bed::new(&[&a, &b]).await;
    let names: Vec<String> = (0..200).map(|n| format!("u{n}")).collect();
    for (n, name) in names.iter().enumerate() {
        let n = n as u64;
        bed.registry.bind(user(name), vec![route(a.life(), n, n), route(b.life(), n, n)]);
    }
    // The first push opens the sessions.
    bed.push(users(&["u0"])).await;
    let (before_a, before_b) = (a.batches(), b.batches());
    let ids: Vec<&str> = names.iter().map(String::as_str).collect();
    let response = bed.push(users(&ids)).await;
    assert_eq!(response.summary.unwrap().queued, 400);
    let order: Vec<&str> = response.addresses.iter().map(|address| &*address.id).collect();
    assert_eq!(order, ids);
    for (comet, before) in [(&a, before_a), (&b, before_b)] {
        assert_eq!(comet.batches() - before, 1);
        let received = comet.received();
        assert_eq!(received.len(), 2);
        let Some(deliver::Kind::ToConnections(to)) = &received[1].kind else { panic!() };
        assert_eq!(to.targets.len(), 200);
    }
}

#[tokio::test]
async fn an_id_named_twice_is_delivered_twice() {
    let comet = Comet::start("a", 1).await;
    let bed = Bed::new(&[&comet]).await;
    bed.registry.bind(key("k"), vec![route(comet.life(), 1, 5)]);
    let response = bed.push(keys(&["k", "k"])).await;
    let expected = [("k", 5, Outcome::Queued, ""), ("k", 5, Outcome::Queued, "")];
    assert_eq!(outcomes(&response), expected);
    assert_eq!(comet.bodies().len(), 2);
    assert_eq!(comet.received().len(), 1);
}

#[tokio::test]
async fn a_connection_can_be_named() {
    let comet = Comet::start("a", 1).await;
    let bed = Bed::new(&[&comet]).await;
    bed.registry.bind(user("u"), vec![route(comet.life(), 1, 10), route(comet.life(), 2, 11)]);
    bed.registry.bind(key("k"), vec![route(comet.life(), 3, 12)]);
    let name =
        |user: &str, key: &str, seq| wire::Connection { user: user.into(), key: key.into(), seq };
    let connections = vec![name("u", "", 11), name("", "k", 12), name("u", "", 99)];
    let target = wire::target::Target::Connections(wire::Connections { connections });
    let response = bed.push(target).await;
    let expected = [("u", 11, Outcome::Queued, ""), ("k", 12, Outcome::Queued, "")];
    assert_eq!(outcomes(&response), expected);
    assert_eq!(response.summary.unwrap().offline, 1);
    let mut conns: Vec<u64> = comet.bodies().into_iter().map(|(_, conn)| conn).collect();
    conns.sort_unstable();
    assert_eq!(conns, [2, 3]);
}

#[tokio::test]
async fn a_room_is_the_sum_of_its_comets() {
    let (a, b, c) =
        (Comet::start("a", 1).await, Comet::start("b", 2).await, Comet::start("c", 3).await);
    let bed = Bed::with(&[&a, &b, &c], |config| config.push_timeout_ms = 400).await;
    a.set_tally(Tally { queued: 3, filtered: 1, ..Tally::default() });
    b.set_tally(Tally { queued: 2, dropped: 4, unknown: 1, partial: true, ..Tally::default() });
    c.set_silent(true);
    bed.registry.list_room(live("live://1"), &[a.life(), b.life(), c.life()]);
    let summary = bed.push(room("live://1")).await.summary.unwrap();
    let expected = wire::Summary {
        queued: 5,
        filtered: 1,
        dropped: 4,
        unknown: 1,
        comets_unknown: 2,
        ..wire::Summary::default()
    };
    assert_eq!(summary, expected);
    let Some(deliver::Kind::ToRoom(to)) = &a.received()[0].kind else { panic!() };
    assert_eq!(to.room.as_ref().unwrap().id, "live://1");
}

#[tokio::test]
async fn a_room_whose_comet_began_a_new_life_is_looked_up_again() {
    let (a, b) = (Comet::start("a", 7).await, Comet::start("b", 2).await);
    let bed = Bed::new(&[&a, &b]).await;
    a.set_tally(Tally { queued: 3, ..Tally::default() });
    b.set_tally(Tally { queued: 1, ..Tally::default() });
    // The registry still lists the old life once.
    bed.registry.answer_room_next(live("live://1"), &[("a", 6), b.life()]);
    bed.registry.list_room(live("live://1"), &[a.life(), b.life()]);
    let summary = bed.push(room("live://1")).await.summary.unwrap();
    assert_eq!((summary.queued, summary.comets_unknown), (4, 0));
    assert_eq!((a.received().len(), b.received().len()), (1, 1));

    // A comet that says by itself that its life is another one, twice.
    a.set_wrong_incarnation(true);
    let summary = bed.push(room("live://1")).await.summary.unwrap();
    assert_eq!((summary.queued, summary.comets_unknown), (1, 1));
    assert_eq!((a.received().len(), b.received().len()), (3, 2));
}

#[tokio::test]
async fn a_broadcast_goes_to_all_comets_and_shares_its_rate() {
    let (a, b) = (Comet::start("a", 1).await, Comet::start("b", 2).await);
    a.set_census(30, 1, &[]);
    b.set_census(10, 1, &[]);
    a.set_tally(Tally { queued: 30, ..Tally::default() });
    b.set_tally(Tally { queued: 10, ..Tally::default() });
    let bed = Bed::with(&[&a, &b], |config| config.census_ms = 50).await;
    let mut total = String::new();
    let begun = Instant::now();
    while !total.contains("\"conn_count\":40") {
        assert!(begun.elapsed() < Duration::from_secs(10), "{total}");
        total = bed.http("GET", "/goim/online/total", "").await.body;
    }
    let response = bed.push(broadcast(1000)).await;
    assert_eq!(response.summary.unwrap().queued, 40);
    assert!(!response.incomplete && response.addresses.is_empty());
    let rate = |comet: &Comet| match &comet.received()[0].kind {
        Some(deliver::Kind::ToAll(all)) => all.rate,
        other => panic!("{other:?}"),
    };
    assert_eq!((rate(&a), rate(&b)), (750, 250));
}

#[tokio::test]
async fn a_broadcast_reaches_a_comet_that_came_after_the_last_refresh() {
    let (a, b) = (Comet::start("a", 1).await, Comet::start("b", 2).await);
    let bed = Bed::with(&[&a], |config| config.comets_ms = 3_600_000).await;
    bed.registry.list_comet(b.listed());
    bed.push(broadcast(0)).await;
    assert_eq!((a.received().len(), b.received().len()), (1, 1));
}

#[tokio::test]
async fn a_broadcast_without_control_shard_goes_to_the_last_known_comets_and_says_so() {
    let comet = Comet::start("a", 1).await;
    comet.set_tally(Tally { queued: 3, ..Tally::default() });
    let bed = Bed::new(&[&comet]).await;
    bed.registry.set_comets_unavailable(true);
    let response = bed.push(broadcast(0)).await;
    assert!(response.incomplete);
    assert_eq!(response.summary.unwrap().queued, 3);
}

#[tokio::test]
async fn a_stale_look_up_is_told() {
    let comet = Comet::start("a", 1).await;
    let bed = Bed::new(&[&comet]).await;
    bed.registry.bind(user("u"), vec![route(comet.life(), 1, 10)]);
    let stale = wire::PushRequest { stale_ok: true, ..request(users(&["u"])) };
    let response = bed.push.clone().push(stale).await.unwrap().into_inner();
    assert!(response.stale);
    assert!(!bed.push(users(&["u"])).await.stale);
}

#[tokio::test]
async fn a_disconnect_closes_and_counts() {
    let comet = Comet::start("a", 1).await;
    let bed = Bed::new(&[&comet]).await;
    bed.registry.bind(user("u"), vec![route(comet.life(), 1, 10), route(comet.life(), 2, 11)]);
    let target = Some(wire::Target { target: Some(users(&["u", "nobody"])) });
    let request = wire::DisconnectRequest { target, namespace: String::new() };
    comet.answer_next(2, delivery::Outcome::Unknown);
    let answer = bed.push.clone().disconnect(request).await.unwrap().into_inner();
    let expected = wire::DisconnectResponse { closed: 1, unknown: 1, offline: 1 };
    assert_eq!(answer, expected);
    assert_eq!(comet.closes(), [(vec![1, 2], delivery::CloseReason::Kicked.into())]);
}

#[tokio::test]
async fn what_waits_for_a_comet_is_delivered_when_it_comes_within_the_deadline() {
    let gone = Comet::start("a", 1).await;
    let (address, listed) = (gone.address, gone.listed());
    drop(gone);
    let bed = Bed::with(&[], |config| config.push_timeout_ms = 10_000).await;
    bed.registry.list_comet(listed);
    bed.registry.bind(user("u"), vec![route(("a", 1), 1, 10)]);
    let (mut client, push) = (bed.push.clone(), request(users(&["u"])));
    let come = async {
        eventually("the push is looked up", || bed.registry.look_ups(&user("u")) == 1).await;
        Comet::start_at("a", 1, address).await
    };
    let (response, comet) = tokio::join!(client.push(push), come);
    let response = response.unwrap().into_inner();
    assert_eq!(outcomes(&response), [("u", 10, Outcome::Queued, "")]);
    assert_eq!(comet.received().len(), 1);
}
