//! Takeover: a key has one connection, the newest, wherever the older one was.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::bytes::{frame, pushed};
use crate::device::{Device, Who};
use crate::soon;
use crate::stack::{id, mid, shared};
use crate::until;
use crate::wire::{ALL, EVERY, Transport, Wire};

async fn connections(path: &str) -> Vec<Value> {
    let list = shared().http().await.get(&format!("/v1/{path}/connections")).await.json();
    list["connections"].as_array().unwrap().clone()
}

#[tokio::test]
async fn the_goodbye_of_a_replaced_connection_does_not_take_the_new_one_along() {
    let mut http = shared().http().await;
    let [first, second] = &shared().comets[..] else { panic!("two comets are shared") };
    for (old, new) in [(first, first), (first, second), (second, first)] {
        for transport in EVERY {
            let (mid, key) = (mid(), id("key"));
            let who = Who::user(mid, &key);
            let mut replaced = Device::connect(old, transport, &who).await;
            let mut device = Device::connect(new, transport, &who).await;
            replaced.expect_closed(4001).await;
            // The old one's goodbye is over once the registry knows one connection of the user.
            until("the goodbye", async || connections(&format!("users/{mid}")).await.len() == 1)
                .await;
            http.push(&format!("keys?operation=1000&keys={key}"), "to the key").await;
            http.push(&format!("mids?operation=1000&mids={mid}"), "to the mid").await;
            device.expect(1000, b"to the key").await;
            device.expect(1000, b"to the mid").await;
            device.beat().await;
        }
    }
}

#[tokio::test]
async fn a_key_is_taken_over_from_any_transport_by_any_other() {
    let mut http = shared().http().await;
    for old in EVERY {
        for new in EVERY {
            let key = id("key");
            let mut replaced = shared().device(old, &Who::key(&key)).await;
            let mut device = shared().device(new, &Who::key(&key)).await;
            replaced.expect_closed(4001).await;
            http.push(&format!("keys?operation=1000&keys={key}"), "new").await;
            device.expect(1000, b"new").await;
        }
    }
}

#[tokio::test]
async fn of_many_that_want_a_key_at_once_one_keeps_it_and_is_reached() {
    const RACERS: usize = 24;
    for _ in 0..3 {
        let (mid, key) = (mid(), id("key"));
        let mut racers = JoinSet::new();
        for number in 0..RACERS {
            let doors = shared().comets[number % 2];
            let who = Who::user(mid, &key);
            racers.spawn(async move {
                // Whoever loses may be let in first or not; on TCP both are easily told from a push.
                let wire = Wire::open(&doors, Transport::Tcp).await;
                let mut device = Device::begin(wire, &who).await;
                let mut next = soon("an answer or the end", device.wire.unit()).await;
                if next == Some(frame(1, 8, 42, b"")) {
                    next = soon("the push or the end", device.wire.unit()).await;
                }
                next
            });
        }
        let push = json!({"target": {"keys": {"ids": [key]}}, "op": 1000, "body": "to the last"});
        for _ in 1..RACERS {
            let unit = soon("all others end", racers.join_next()).await.unwrap().unwrap();
            assert_eq!(unit, None, "nothing was pushed yet");
        }
        until("one connection", async || {
            connections(&format!("keys/{key}")).await.len() == 1
                && connections(&format!("users/{mid}")).await.len() == 1
        })
        .await;
        let receipt = shared().http().await.push_v1(push).await;
        assert_eq!(receipt["summary"]["queued"], 1, "{receipt}");
        let unit = soon("the push", racers.join_next()).await.unwrap().unwrap();
        assert_eq!(unit, Some(pushed(1000, b"to the last")));
    }
}

#[tokio::test]
async fn however_a_device_goes_its_routes_go() {
    for transport in ALL {
        let (mid, key) = (mid(), id("key"));
        let room = format!("t://{}", id("room"));
        for abrupt in [false, true] {
            let who = Who { room: room.clone(), ..Who::user(mid, &key) };
            let device = shared().device(transport, &who).await;
            assert_eq!(connections(&format!("keys/{key}")).await.len(), 1);
            device.wire.hang_up(abrupt);
            until("the goodbye", async || {
                connections(&format!("keys/{key}")).await.is_empty()
                    && connections(&format!("users/{mid}")).await.is_empty()
            })
            .await;
        }
    }
}
