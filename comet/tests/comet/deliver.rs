//! Deliveries: to connections, rooms and everybody, and what their receipts say.

use std::time::Duration;

use futures_util::StreamExt;
use orrery_proto::delivery::deliver::Kind;
use orrery_proto::delivery::{Close, CloseReason, Outcome, Tally, ToAll};
use orrery_proto::edge::edge_request::Kind as Request;
use orrery_proto::registry::command::Kind as Write;
use tokio::time::Instant;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::connect::{key, room, user};
use crate::support::device::{BOTH, Device, Transport, frame};
use crate::support::logic::Fate;
use crate::support::session::{target, to_all, to_connections, to_room};
use crate::support::{Stage, soon};

/// What a device gets of a push.
async fn pushed(device: &mut Device, op: i32, body: &[u8]) {
    let expected = frame(op, 0, body);
    assert_eq!(device.receive().await, expected);
}

#[tokio::test]
async fn a_push_reaches_exactly_its_connections() {
    for transport in BOTH {
        let stage = Stage::new().await;
        let mut one = stage.device(transport, r#"{"mid":1,"accepts":[1000]}"#).await;
        let mut two = stage.device(transport, r#"{"mid":2,"accepts":[1000]}"#).await;
        let (first, second) = (stage.logic.route(&user("1")), stage.logic.route(&user("2")));
        let mut session = stage.session().await;
        assert_eq!(session.push(1000, b"first", &[&first]).await, [Outcome::Queued]);
        let outcomes = session.push(1000, b"both", &[&second, &first]).await;
        assert_eq!(outcomes, [Outcome::Queued, Outcome::Queued]);
        pushed(&mut one, 1000, b"first").await;
        pushed(&mut one, 1000, b"both").await;
        pushed(&mut two, 1000, b"both").await;
    }
}

#[tokio::test]
async fn a_connection_that_is_called_otherwise_is_not_here() {
    let stage = Stage::new().await;
    let mut device = stage.device(Transport::Tcp, r#"{"mid":1,"key":"k","accepts":[1]}"#).await;
    let route = stage.logic.route(&user("1"));
    let mut session = stage.session().await;
    let mut other_seq = route.clone();
    other_seq.seq += 1000;
    let mut other_address = route.clone();
    other_address.address = user("2");
    let mut other_conn = route.clone();
    other_conn.conn += 1 << 40;
    for wrong in [&other_seq, &other_address, &other_conn] {
        assert_eq!(session.push(1, b"wrong", &[wrong]).await, [Outcome::NotHere]);
    }
    let by_key = stage.logic.route(&key("k"));
    assert_eq!(session.push(1, b"by key", &[&by_key]).await, [Outcome::Queued]);
    pushed(&mut device, 1, b"by key").await;
}

#[tokio::test]
async fn another_incarnation_gets_nothing() {
    let stage = Stage::new().await;
    let _device = stage.device(Transport::Tcp, r#"{"mid":1,"accepts":[1]}"#).await;
    let route = stage.logic.route(&user("1"));
    let mut session = stage.session().await;
    session.incarnation = 99;
    let receipt = session.deliver(to_connections(1, b"x", vec![target(&route)])).await;
    assert!(receipt.wrong_incarnation && receipt.outcomes.is_empty());
}

#[tokio::test]
async fn accepts_filters_pushes_to_connections_and_everybody_but_not_to_rooms() {
    for transport in BOTH {
        let stage = Stage::new().await;
        let token = r#"{"mid":1,"room_id":"live://1","accepts":[1000]}"#;
        let mut device = stage.device(transport, token).await;
        let route = stage.logic.route(&user("1"));
        let mut session = stage.session().await;
        assert_eq!(session.push(1001, b"no", &[&route]).await, [Outcome::Filtered]);
        let tally = session.deliver(to_all(1001, b"no", 0)).await.tally;
        assert_eq!(tally, Some(Tally { filtered: 1, ..Tally::default() }));
        let tally = session.deliver(to_all(1000, b"all", 0)).await.tally;
        assert_eq!(tally, Some(Tally { queued: 1, ..Tally::default() }));
        let tally = session.deliver(to_room(1001, b"room", &room("live://1"))).await.tally;
        assert_eq!(tally, Some(Tally { queued: 1, ..Tally::default() }));
        pushed(&mut device, 1000, b"all").await;
        pushed(&mut device, 1001, b"room").await;
        device.send(frame(14, 1, b"1001")).await;
        assert_eq!(device.receive().await, frame(15, 1, b"1001"));
        assert_eq!(session.push(1001, b"now", &[&route]).await, [Outcome::Queued]);
        pushed(&mut device, 1001, b"now").await;
    }
}

#[tokio::test]
async fn a_push_to_a_room_reaches_all_its_members_and_nobody_else() {
    let stage = Stage::new().await;
    let mut members = Vec::new();
    for transport in [Transport::Tcp, Transport::WebSocket, Transport::Tcp, Transport::WebSocket] {
        members.push(stage.device(transport, r#"{"room_id":"live://1"}"#).await);
    }
    let mut other = stage.device(Transport::Tcp, r#"{"mid":9,"room_id":"live://2"}"#).await;
    let mut session = stage.session().await;
    let tally = session.deliver(to_room(5, b"hi", &room("live://1"))).await.tally;
    assert_eq!(tally, Some(Tally { queued: 4, ..Tally::default() }));
    for member in &mut members {
        pushed(member, 5, b"hi").await;
    }
    other.send(frame(2, 1, b"")).await;
    assert_eq!(other.receive().await.op, 3, "nothing was pushed to another room");
    let nobody = session.deliver(to_room(5, b"hi", &room("live://3"))).await.tally;
    assert_eq!(nobody, Some(Tally::default()));
}

#[tokio::test]
async fn a_delivery_during_the_bind_is_held_and_follows_the_answer() {
    for transport in BOTH {
        let stage = Stage::new().await;
        // The primary bind is known to the registry; the secondary one hangs.
        stage.logic.rule_second_binds(Fate::Hold);
        let mut device = stage.stranger(transport).await;
        device.send(frame(7, 42, br#"{"mid":1,"room_id":"live://1","accepts":[1]}"#)).await;
        stage.logic.until("the secondary bind", |logic| logic.held() > 0).await;
        let route = stage.logic.route(&user("1"));
        let mut wrong = route.clone();
        wrong.seq += 1000;
        let mut session = stage.session().await;
        let held = session.send(to_connections(1, b"held", vec![target(&route)])).await;
        let lost = session.send(to_connections(1, b"wrong", vec![target(&wrong)])).await;
        let in_room = session.deliver(to_room(2, b"room", &room("live://1"))).await.tally;
        assert_eq!(in_room, Some(Tally { queued: 1, ..Tally::default() }));
        stage.logic.release();
        assert_eq!(device.receive().await, frame(8, 42, b""), "the answer comes first");
        pushed(&mut device, 1, b"held").await;
        pushed(&mut device, 2, b"room").await;
        assert_eq!(session.receipt(held).await.outcomes, [i32::from(Outcome::Queued)]);
        assert_eq!(session.receipt(lost).await.outcomes, [i32::from(Outcome::NotHere)]);
    }
}

#[tokio::test]
async fn what_is_held_for_a_member_of_a_room_and_counted_reaches_it() {
    let stage = Stage::with(|config| (config.outbox_frames, config.outbox_bytes) = (2, 1000)).await;
    stage.logic.rule(|request| match request {
        Request::Write(write) if matches!(write.kind, Some(Write::Bind(_))) => Fate::Hold,
        _ => Fate::Answer,
    });
    let mut device = stage.stranger(Transport::Tcp).await;
    device.send(frame(7, 42, br#"{"key":"k","room_id":"live://1"}"#)).await;
    stage.logic.until("the bind", |logic| logic.held() > 0).await;
    let mut session = stage.session().await;
    let mut queued = Vec::new();
    for n in 0..8 {
        let tally = session.deliver(to_room(5, &[n; 250], &room("live://1"))).await.tally.unwrap();
        assert_eq!(tally.queued + tally.dropped, 1, "each is counted");
        // One by itself has to fit, of those that wait the last may not: which are dropped is a matter of time.
        queued.extend((tally.queued == 1).then_some(n));
    }
    assert!((1..8).contains(&queued.len()), "what is held is bounded: {queued:?}");
    stage.logic.release();
    assert_eq!(device.receive().await, frame(8, 42, b""));
    for n in queued {
        pushed(&mut device, 5, &[n; 250]).await;
    }
}

#[tokio::test]
async fn a_held_delivery_of_a_connection_that_is_never_bound_is_not_here() {
    let stage = Stage::with(|config| config.handshake_ms = 400).await;
    stage.logic.rule_second_binds(Fate::Hold);
    let mut device = stage.stranger(Transport::Tcp).await;
    device.send(frame(7, 42, br#"{"mid":1,"accepts":[1]}"#)).await;
    stage.logic.until("the secondary bind", |logic| logic.held() > 0).await;
    let route = stage.logic.route(&user("1"));
    let mut session = stage.session().await;
    assert_eq!(session.push(1, b"held", &[&route]).await, [Outcome::NotHere]);
    device.ended().await;
}

#[tokio::test]
async fn a_push_held_for_one_connection_keeps_nothing_back_that_is_known_of_the_others() {
    let stage = Stage::new().await;
    let mut ready = stage.device(Transport::Tcp, r#"{"mid":1,"key":"a","accepts":[1]}"#).await;
    let bound = stage.logic.route(&user("1"));
    // A shard is away: the next one's primary bind is known to the registry, its secondary one hangs.
    stage.logic.rule_second_binds(Fate::Hold);
    let mut device = stage.stranger(Transport::Tcp).await;
    device.send(frame(7, 42, br#"{"mid":1,"key":"b","accepts":[1]}"#)).await;
    stage.logic.until("the secondary bind", |logic| logic.held() > 0).await;
    let routes = stage.logic.routes_of(&user("1"));
    let binding = routes.iter().find(|route| route.seq != bound.seq).unwrap();
    let mut session = stage.session().await;
    session.timeout_ms = 300;
    let outcomes = session.push(1, b"x", &[&bound, binding]).await;
    assert_eq!(outcomes, [Outcome::Queued, Outcome::Unknown]);
    pushed(&mut ready, 1, b"x").await;
    stage.logic.release();
    assert_eq!(device.receive().await, frame(8, 42, b""));
}

#[tokio::test]
async fn a_close_held_for_one_connection_keeps_nothing_back_and_is_not_forgotten() {
    let stage = Stage::new().await;
    let mut ready = stage.device(Transport::Tcp, r#"{"mid":1,"key":"a"}"#).await;
    let bound = stage.logic.route(&user("1"));
    stage.logic.rule_second_binds(Fate::Hold);
    let mut device = stage.stranger(Transport::Tcp).await;
    device.send(frame(7, 42, br#"{"mid":1,"key":"b"}"#)).await;
    stage.logic.until("the secondary bind", |logic| logic.held() > 0).await;
    let routes = stage.logic.routes_of(&user("1"));
    let binding = routes.iter().find(|route| route.seq != bound.seq).unwrap();
    let mut session = stage.session().await;
    session.timeout_ms = 300;
    let targets = vec![target(&bound), target(binding)];
    let close = Close { targets, reason: CloseReason::Kicked.into() };
    let receipt = session.deliver(Kind::Close(close)).await;
    assert_eq!(receipt.outcomes, [Outcome::Queued, Outcome::Unknown].map(i32::from));
    ready.ended().await;
    stage.logic.release();
    assert_eq!(device.receive().await, frame(8, 42, b""));
    device.ended().await;
}

#[tokio::test]
async fn a_receipt_that_waits_for_the_kernel_says_written() {
    for transport in BOTH {
        let stage = Stage::new().await;
        let token = r#"{"mid":1,"room_id":"live://1","accepts":[1]}"#;
        let _device = stage.device(transport, token).await;
        let route = stage.logic.route(&user("1"));
        let mut session = stage.session().await;
        (session.wait_written, session.timeout_ms) = (true, 5000);
        assert_eq!(session.push(1, b"x", &[&route]).await, [Outcome::Written]);
        assert_eq!(session.push(2, b"x", &[&route]).await, [Outcome::Filtered]);
        let tally = session.deliver(to_room(2, b"x", &room("live://1"))).await.tally;
        assert_eq!(tally, Some(Tally { written: 1, ..Tally::default() }));
    }
}

#[tokio::test]
async fn a_slow_device_loses_what_it_does_not_read_and_nobody_waits_for_it() {
    let stage = Stage::with(|config| config.outbox_frames = 8).await;
    let token = r#"{"mid":1,"room_id":"live://1","accepts":[1]}"#;
    let slow = stage.device(Transport::Tcp, token).await;
    let mut quick = stage.device(Transport::Tcp, r#"{"mid":2,"room_id":"live://1"}"#).await;
    let mut session = stage.session().await;
    let body = vec![7; 256 * 1024];
    // Until the kernel's buffers are full; the quick one reads everything meanwhile.
    let mut dropped = 0;
    for _ in 0..200 {
        let tally = session.deliver(to_room(5, &body, &room("live://1"))).await.tally.unwrap();
        assert_eq!(tally.queued + tally.dropped, 2);
        dropped += tally.dropped;
        assert_eq!(quick.receive().await.body.len(), body.len());
        if dropped >= 10 {
            break;
        }
    }
    assert!(dropped >= 10, "only {dropped} were dropped");

    let route = stage.logic.route(&user("1"));
    assert_eq!(session.push(1, &body, &[&route]).await, [Outcome::DroppedOutboxFull]);
    drop(slow);
    stage.logic.until("its goodbye", |logic| logic.routes_of(&user("1")).is_empty()).await;
}

#[tokio::test]
async fn what_the_kernel_does_not_take_in_time_is_unknown_and_later_dropped() {
    // One that is written in part, and one more.
    let stage = Stage::with(|config| config.outbox_bytes = 4 << 20).await;
    let slow = stage.device(Transport::Tcp, r#"{"mid":1,"accepts":[1]}"#).await;
    let route = stage.logic.route(&user("1"));
    let mut session = stage.session().await;
    (session.wait_written, session.timeout_ms) = (true, 200);
    let body = vec![7; 1 << 20];
    let mut outcome = Outcome::Written;
    for _ in 0..100 {
        outcome = session.push(1, &body, &[&route]).await[0];
        if outcome != Outcome::Written {
            break;
        }
    }
    assert_eq!(outcome, Outcome::Unknown);
    session.timeout_ms = 60_000;
    let waits = session.send(to_connections(1, b"x", vec![target(&route)])).await;
    // The push is in the outbox once a later one to the same worker has its receipt.
    session.wait_written = false;
    let _ = session.push(2, b"x", &[&route]).await;
    drop(slow);
    let outcomes = session.receipt(waits).await.outcomes;
    assert_eq!(outcomes, [i32::from(Outcome::DroppedClosed)]);
}

#[tokio::test]
async fn pushes_of_one_session_arrive_in_order() {
    for transport in BOTH {
        let stage = Stage::new().await;
        let mut device = stage.device(transport, r#"{"mid":1,"accepts":[1]}"#).await;
        let route = stage.logic.route(&user("1"));
        let mut session = stage.session().await;
        for n in 0..500_u32 {
            session.send(to_connections(1, &n.to_be_bytes(), vec![target(&route)])).await;
        }
        for n in 0..500_u32 {
            pushed(&mut device, 1, &n.to_be_bytes()).await;
        }
    }
}

#[tokio::test]
async fn a_burst_larger_than_an_outbox_costs_devices_that_read_nothing() {
    for transport in BOTH {
        let stage = Stage::new().await;
        let mut members = Vec::new();
        for _ in 0..20 {
            members.push(stage.device(transport, r#"{"room_id":"live://1"}"#).await);
        }
        let mut session = stage.session().await;
        let pushes = (0..5000_u32).map(|n| to_room(1, &n.to_be_bytes(), &room("live://1")));
        session.send_batch(pushes).await;
        let read = members.iter_mut().map(|member| async move {
            for n in 0..5000_u32 {
                pushed(member, 1, &n.to_be_bytes()).await;
            }
        });
        futures_util::future::join_all(read).await;
    }
}

#[tokio::test]
async fn a_paced_broadcast_keeps_to_its_rate_and_reaches_everybody() {
    let stage = Stage::new().await;
    let mut devices = Vec::new();
    for _ in 0..40 {
        devices.push(stage.device(Transport::Tcp, r#"{"accepts":[1]}"#).await);
    }
    let mut session = stage.session().await;
    let began = Instant::now();
    let tally = session.deliver(to_all(1, b"all", 100)).await.tally;
    assert_eq!(tally, Some(Tally { queued: 40, ..Tally::default() }));
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(300), "{took:?}");
    for device in &mut devices {
        pushed(device, 1, b"all").await;
    }
}

#[tokio::test]
async fn a_receipt_due_before_a_paced_broadcast_is_done_calls_the_rest_unknown() {
    let stage = Stage::new().await;
    let mut devices = Vec::new();
    for _ in 0..20 {
        devices.push(stage.device(Transport::Tcp, r#"{"accepts":[1]}"#).await);
    }
    let mut session = stage.session().await;
    session.timeout_ms = 100;
    for wait_written in [true, false] {
        session.wait_written = wait_written;
        let tally = session.deliver(to_all(1, b"all", 50)).await.tally.unwrap();
        assert!(tally.unknown > 0, "{tally:?}");
        let reached = if wait_written { tally.written } else { tally.queued };
        assert!(reached + tally.unknown >= 20, "none is left out: {tally:?}");
        for device in &mut devices {
            pushed(device, 1, b"all").await;
        }
    }
}

#[tokio::test]
async fn who_connects_during_a_paced_broadcast_hides_nobody_from_a_receipt_due_before_it_is_done() {
    let token = r#"{"accepts":[1]}"#;
    let stage = Stage::with(|config| config.workers = 1).await;
    let mut first = Vec::new();
    for _ in 0..10 {
        first.push(stage.device(Transport::Tcp, token).await);
    }
    // They have places among the others, and get there while it is under way.
    stage.logic.rule(|request| match request {
        Request::Write(_) => Fate::Hold,
        _ => Fate::Answer,
    });
    let mut late = Vec::new();
    for n in 1..=4 {
        let mut device = stage.stranger(Transport::Tcp).await;
        device.send(frame(7, 42, token.as_bytes())).await;
        stage.logic.until("its bind", |logic| logic.held() == n).await;
        late.push(device);
    }
    stage.logic.rule(|_| Fate::Answer);
    let mut last = Vec::new();
    for _ in 0..10 {
        last.push(stage.device(Transport::Tcp, token).await);
    }
    let mut session = stage.session().await;
    session.timeout_ms = 1500;
    let broadcast = session.send(to_all(1, b"all", 10)).await;
    pushed(&mut first[0], 1, b"all").await;
    stage.logic.release();
    for device in &mut late {
        assert_eq!(device.receive().await, frame(8, 42, b""), "the answer comes first");
    }
    let tally = session.receipt(broadcast).await.tally.unwrap();
    assert!(tally.unknown > 0, "{tally:?}");
    assert!(tally.queued + tally.unknown >= 24, "twenty and those who came late: {tally:?}");
    for device in late.iter_mut().chain(&mut last) {
        pushed(device, 1, b"all").await;
    }
}

#[tokio::test]
async fn a_paced_broadcast_neither_waits_for_those_whom_it_is_not_for_nor_counts_them() {
    let stage = Stage::new().await;
    let mut devices = Vec::new();
    for _ in 0..60 {
        devices.push(stage.device(Transport::Tcp, r#"{"accepts":[1]}"#).await);
    }
    let mut session = stage.session().await;
    let to_others = || match to_all(1, b"others", 1) {
        Kind::ToAll(to) => Kind::ToAll(ToAll { namespace: "others".to_owned(), ..to }),
        _ => unreachable!("it is to all"),
    };
    // At its pace it would take half a minute to say so of each.
    assert_eq!(session.deliver(to_others()).await.tally, Some(Tally::default()));
    // More than may be under way.
    session.send_batch((0..64).map(|_| to_all(1, b"all", 1))).await;
    let refused = session.deliver(to_all(1, b"all", 1)).await.tally;
    assert_eq!(refused, Some(Tally { dropped: 60, ..Tally::default() }));
    assert_eq!(session.deliver(to_others()).await.tally, Some(Tally::default()));
}

#[tokio::test]
async fn logic_closes_exactly_the_connection_it_names() {
    for transport in BOTH {
        let stage = Stage::new().await;
        let mut device = stage.device(transport, r#"{"mid":1}"#).await;
        let route = stage.logic.route(&user("1"));
        let mut session = stage.session().await;
        let mut wrong = route.clone();
        wrong.seq += 1;
        let receipt = session.close(&wrong, CloseReason::Kicked).await;
        assert_eq!(receipt.outcomes, [i32::from(Outcome::NotHere)]);
        let receipt = session.close(&route, CloseReason::Kicked).await;
        assert_eq!(receipt.outcomes, [i32::from(Outcome::Queued)]);
        device.ended().await;
        stage.logic.until("its goodbye", |logic| logic.routes().is_empty()).await;
        assert_eq!(session.push(1, b"x", &[&route]).await, [Outcome::NotHere]);
    }
}

#[tokio::test]
async fn the_census_counts_connections_addresses_and_members() {
    let stage = Stage::new().await;
    let _one = stage.device(Transport::Tcp, r#"{"room_id":"live://1"}"#).await;
    let _two = stage.device(Transport::WebSocket, r#"{"room_id":"live://1"}"#).await;
    let _three = stage.device(Transport::Tcp, r#"{"room_id":"live://2"}"#).await;
    let page = stage.session().await.census().await;
    assert_eq!((page.incarnation, page.connections, page.ips), (1, 3, 1));
    let rooms: Vec<_> = page.rooms.iter().map(|room| (room.room.as_str(), room.count)).collect();
    assert_eq!(rooms, [("live://1", 2), ("live://2", 1)]);
}

#[tokio::test]
async fn health_says_for_how_long_the_comet_can_be_delivered_to() {
    let stage = Stage::new().await;
    let address = stage.comet.delivery_address().to_string();
    let channel = orrery_host::grpc::channel(stage.host.net.clone(), &address).unwrap();
    let mut health = HealthClient::new(channel);
    let mut watches = Vec::new();
    for service in ["", "orrery.delivery.v1.Delivery"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let watch = health.watch(request).await.unwrap().into_inner();
        watches.push(watch.map(|told| told.unwrap().status()));
    }
    for watch in &mut watches {
        assert_eq!(soon("word of it", watch.next()).await, Some(ServingStatus::Serving));
    }
    // It is on its way to its next life, and cannot get there.
    stage.logic.rule(|request| match request {
        Request::Attach(_) => Fate::Fail,
        _ => Fate::Answer,
    });
    stage.logic.alive(false);
    for watch in &mut watches {
        assert_eq!(soon("word of it", watch.next()).await, Some(ServingStatus::NotServing));
    }
    stage.logic.release();
    for watch in &mut watches {
        assert_eq!(soon("word of it", watch.next()).await, Some(ServingStatus::Serving));
    }
    let told = async {
        for watch in &mut watches {
            assert_eq!(soon("word of it", watch.next()).await, Some(ServingStatus::NotServing));
        }
    };
    tokio::join!(stage.comet.stop(), told);
}
