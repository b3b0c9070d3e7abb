//! Rooms: they are joined and left at any moment, and counted right.

use std::time::{Duration, Instant};

use crate::bytes::frame;
use crate::device::{Device, Who};
use crate::stack::{id, shared};
use crate::until;
use crate::wire::{ALL, EVERY, GOIM, Transport, Wire};

#[tokio::test]
async fn changing_to_the_room_one_is_alone_in_already_keeps_it() {
    let mut http = shared().http().await;
    for transport in GOIM {
        let room = id("room");
        let name = format!("live://{room}");
        let mut device = shared().device(transport, &Who::member(&name)).await;
        for seq in 1..=3 {
            device.wire.send(&frame(1, 12, seq, name.as_bytes())).await;
            device.wire.expect(&frame(1, 13, seq, name.as_bytes())).await;
            http.push(&format!("room?operation=9&type=live&room={room}"), "still here").await;
            device.expect(9, b"still here").await;
            assert_eq!(device.count().await, 1);
        }
    }
}

#[tokio::test]
async fn joining_at_the_moment_the_last_one_leaves_succeeds() {
    let mut http = shared().http().await;
    let room = id("room");
    let who = Who::member(&format!("live://{room}"));
    let mut last = shared().device(Transport::Tcp, &who).await;
    for round in 0..60 {
        let transport = ALL[round % ALL.len()];
        let doors = &shared().comets[round % 7 % 2];
        // The goodbye and the credentials are on their way together.
        let mut joining = Device::begin(Wire::open(doors, transport).await, &who).await;
        drop(last);
        joining.let_in().await;
        let body = round.to_string();
        http.push(&format!("room?operation=9&type=live&room={room}"), &body).await;
        joining.expect(9, body.as_bytes()).await;
        joining.beat().await;
        last = joining;
    }
    // Nothing dead is left behind.
    until("one member", async || {
        let target = format!("/v1/rooms/live%3A%2F%2F{room}/count");
        shared().http().await.get(&target).await.json()["count"] == 1
    })
    .await;
}

#[tokio::test]
async fn room_counts_go_down_again_while_other_rooms_go_on() {
    let (room, other) = (id("room"), id("other"));
    let name = format!("live://{room}");
    let [first, second] = &shared().comets[..] else { panic!("two comets are shared") };
    let _other =
        Device::connect(second, Transport::Tcp, &Who::member(&format!("live://{other}"))).await;
    let mut stays = Device::connect(first, Transport::Tcp, &Who::member(&name)).await;
    let leaves = Device::connect(second, Transport::WebSocket, &Who::member(&name)).await;
    let online = async || {
        let target = format!("/goim/online/room?type=live&rooms={room}&rooms={other}");
        let counts = shared().http().await.get(&target).await.json();
        (counts["data"][&room].as_i64().unwrap(), counts["data"][&other].as_i64().unwrap())
    };
    until("both are counted", async || stays.count().await == 2 && online().await == (2, 1)).await;
    drop(leaves);
    until("one has gone", async || stays.count().await == 1 && online().await == (1, 1)).await;
    drop(stays);
    until("nobody is left", async || online().await == (0, 1)).await;
}

#[tokio::test]
async fn a_room_that_was_left_by_all_others_counts_right_when_it_fills_again() {
    let name = format!("live://{}", id("room"));
    let [first, second] = &shared().comets[..] else { panic!("two comets are shared") };
    let mut stays = Device::connect(first, Transport::Tcp, &Who::member(&name)).await;
    let mut others = Vec::new();
    for transport in ALL {
        others.push(Device::connect(second, transport, &Who::member(&name)).await);
    }
    until("all are counted", async || usize::try_from(stays.count().await) == Ok(1 + ALL.len()))
        .await;
    others.clear();
    drop(stays);
    let mut back = Device::connect(first, Transport::WebSocket, &Who::member(&name)).await;
    until("one is counted", async || back.count().await == 1).await;
}

#[tokio::test]
async fn the_first_message_to_a_quiet_room_does_not_wait() {
    let mut http = shared().http().await;
    for transport in EVERY {
        let room = id("quiet");
        let mut device = shared().device(transport, &Who::member(&format!("live://{room}"))).await;
        let begun = Instant::now();
        http.push(&format!("room?operation=9&type=live&room={room}"), "first").await;
        device.expect(9, b"first").await;
        assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    }
}
