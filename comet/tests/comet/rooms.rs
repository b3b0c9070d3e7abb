//! Rooms: changes of goim devices and the counts they are told.

use orrery_proto::edge::edge_request::Kind as Request;
use orrery_proto::registry::command::Kind as Write;

use crate::connect::{room, user};
use crate::support::Stage;
use crate::support::device::{BOTH, Transport, frame};
use crate::support::logic::Fate;
use crate::support::session::to_room;

#[tokio::test]
async fn a_device_changes_its_room_and_is_answered_when_it_is_done() {
    for transport in BOTH {
        let stage = Stage::with(|config| config.room_linger_ms = 50).await;
        let mut device = stage.device(transport, r#"{"mid":1,"room_id":"live://1"}"#).await;
        device.send(frame(12, 5, b"live://2")).await;
        assert_eq!(device.receive().await, frame(13, 5, b"live://2"));
        let rooms = stage.logic.route(&user("1")).details.rooms;
        assert_eq!(rooms, ["live://2".try_into().unwrap()].into());
        let mut session = stage.session().await;
        session.deliver(to_room(1, b"old", &room("live://1"))).await;
        session.deliver(to_room(1, b"new", &room("live://2"))).await;
        assert_eq!(device.receive().await, frame(1, 0, b"new"));
        let let_go = |logic: &crate::support::logic::Logic| !logic.is_listed(&room("live://1"));
        stage.logic.until("the empty room to be let go", let_go).await;
        assert!(stage.logic.is_listed(&room("live://2")));

        device.send(frame(12, 6, b"")).await;
        assert_eq!(device.receive().await, frame(13, 6, b""));
        assert!(stage.logic.route(&user("1")).details.rooms.is_empty());
    }
}

#[tokio::test]
async fn changing_to_the_room_one_is_in_changes_nothing() {
    let stage = Stage::new().await;
    let mut device = stage.device(Transport::Tcp, r#"{"mid":1,"room_id":"live://1"}"#).await;
    device.send(frame(12, 5, b"live://1")).await;
    assert_eq!(device.receive().await, frame(13, 5, b"live://1"));
    let mut session = stage.session().await;
    session.deliver(to_room(1, b"still", &room("live://1"))).await;
    assert_eq!(device.receive().await, frame(1, 0, b"still"));
}

#[tokio::test]
async fn a_slow_change_of_rooms_delays_neither_heartbeats_nor_pushes_to_the_new_room() {
    for transport in BOTH {
        let stage = Stage::new().await;
        let mut device = stage.device(transport, r#"{"mid":1}"#).await;
        stage.logic.rule(|request| match request {
            Request::Write(write) if matches!(write.kind, Some(Write::SetRooms(_))) => Fate::Hold,
            _ => Fate::Answer,
        });
        device.send(frame(12, 5, b"live://1")).await;
        device.send(frame(2, 6, b"")).await;
        let beat = device.receive().await;
        assert_eq!((beat.op, beat.seq), (3, 6));
        stage.logic.until("the change", |logic| logic.held() > 0).await;
        let mut session = stage.session().await;
        session.deliver(to_room(1, b"early", &room("live://1"))).await;
        assert_eq!(device.receive().await, frame(1, 0, b"early"));
        stage.logic.release();
        assert_eq!(device.receive().await, frame(13, 5, b"live://1"));
    }
}

#[tokio::test]
async fn a_room_that_is_joined_again_while_it_is_let_go_stays_listed() {
    let stage = Stage::with(|config| config.room_linger_ms = 50).await;
    let device = stage.device(Transport::Tcp, r#"{"mid":1,"room_id":"live://1"}"#).await;
    stage.logic.rule(|request| match request {
        Request::Write(write) if matches!(write.kind, Some(Write::UnbindRoom(_))) => Fate::Hold,
        _ => Fate::Answer,
    });
    drop(device);
    stage.logic.until("the removal", |logic| logic.held() > 0).await;
    let _again = stage.device(Transport::Tcp, r#"{"mid":1,"room_id":"live://1"}"#).await;
    stage.logic.release();
    // A later write: by its answer the removal has had its effect.
    let _other = stage.device(Transport::Tcp, r#"{"mid":2,"room_id":"live://2"}"#).await;
    assert!(stage.logic.is_listed(&room("live://1")));
}

#[tokio::test]
async fn heartbeats_tell_the_total_else_the_members_here_and_keep_the_last_number() {
    let stage = Stage::new().await;
    let mut device = stage.device(Transport::Tcp, r#"{"mid":1}"#).await;
    let mut seq = 0;
    let mut beat = async |device: &mut crate::support::device::Device| {
        seq += 1;
        device.send(frame(2, seq, b"")).await;
        let reply = device.receive().await;
        assert_eq!((reply.op, reply.seq), (3, seq));
        i32::from_be_bytes(reply.body[..].try_into().unwrap())
    };
    assert_eq!(beat(&mut device).await, 0, "never in a room");
    device.send(frame(12, 100, b"live://1")).await;
    assert_eq!(device.receive().await.op, 13);
    assert_eq!(beat(&mut device).await, 1, "alone here");
    let _other = stage.device(Transport::WebSocket, r#"{"room_id":"live://1"}"#).await;
    assert_eq!(beat(&mut device).await, 2, "two here");
    stage.logic.send_totals("live://1", 70);
    crate::support::soon("the total", async { while beat(&mut device).await != 70 {} }).await;
    device.send(frame(12, 101, b"")).await;
    assert_eq!(device.receive().await.op, 13);
    assert_eq!(beat(&mut device).await, 70, "goim goes on telling the last number");
}
