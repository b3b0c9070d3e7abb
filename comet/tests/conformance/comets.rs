//! Comets: what becomes of devices and pushes when comets come and go.

use std::sync::Arc;

use orrery_router_store::disk::NodeDirectory;
use serde_json::Value;

use crate::device::{Device, Who};
use crate::stack::{NODE, Plan, Stack, id, mid};
use crate::until;
use crate::wire::{ALL, Transport};

async fn listed(stack: &Stack, path: &str) -> Vec<Value> {
    let answer = stack.http().await.get(path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let list = answer.json();
    let list = list.get("connections").or(list.get("members")).cloned();
    list.and_then(|list| list.as_array().cloned()).expect("a list")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_comet_that_stops_in_order_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let disk = NodeDirectory::new(directory.path(), NODE, || "first".to_owned());
    let mut stack = Plan::new().with(|plan| plan.disk = Arc::new(disk)).start().await;
    let room = id("room");
    let mut devices = Vec::new();
    for transport in ALL {
        let who = Who { room: format!("t://{room}"), ..Who::user(mid(), &id("key")) };
        devices.push((stack.device(transport, &who).await, who));
    }
    let members = format!("/v1/rooms/t%3A%2F%2F{room}/members");
    assert_eq!(listed(&stack, &members).await.len(), ALL.len());
    stack.stop_comet().await;
    for (device, who) in &mut devices {
        device.expect_sent_away().await;
        for path in [format!("keys/{}", who.key), format!("users/{}", who.mid)] {
            let path = format!("/v1/{path}/connections");
            assert_eq!(listed(&stack, &path).await, [] as [Value; 0], "{path}");
        }
    }
    assert_eq!(listed(&stack, &members).await, [] as [Value; 0]);
    stack.stop().await;
}

#[tokio::test]
async fn a_comet_that_comes_back_elsewhere_under_its_id_is_pushed_to_there() {
    let mut stack = Plan::new().start().await;
    let (mid, key, room) = (mid(), id("key"), id("room"));
    let who = Who { room: format!("t://{room}"), ..Who::user(mid, &key) };
    for _ in 0..2 {
        let mut device = stack.device(Transport::Tcp, &who).await;
        let mut http = stack.http().await;
        for target in [
            format!("keys?operation=1000&keys={key}"),
            format!("mids?operation=1000&mids={mid}"),
            format!("room?operation=1000&type=t&room={room}"),
        ] {
            http.push(&target, "here").await;
            device.expect(1000, b"here").await;
        }
        stack.stop_comet().await;
        stack.start_comet("comet-0", None).await;
    }
}

#[tokio::test]
async fn a_comet_that_dies_and_comes_back_leaves_nothing_that_is_pushed_to() {
    let mut stack = Plan::new().start().await;
    let (mid, key) = (mid(), id("key"));
    let mut gone = stack.device(Transport::Tcp, &Who::user(mid, &key)).await;
    stack.kill_comet();
    gone.wire.expect_end().await;
    stack.start_comet("comet-0", None).await;
    let mut http = stack.http().await;
    let path = format!("/v1/users/{mid}/connections");
    until("the old life is over", async || listed(&stack, &path).await.is_empty()).await;
    let mut device = stack.device(Transport::Tcp, &Who::user(mid, &key)).await;
    assert_eq!(listed(&stack, &path).await.len(), 1);
    http.push(&format!("mids?operation=1000&mids={mid}"), "back").await;
    device.expect(1000, b"back").await;
}

#[tokio::test]
async fn pushes_without_any_comet_are_answered() {
    let stack = Plan::new().with(|plan| plan.comets = 0).start().await;
    let mut http = stack.http().await;
    for target in [
        "keys?operation=1000&keys=nobody",
        "mids?operation=1000&mids=1",
        "room?operation=1000&type=t&room=empty",
        "all?operation=1000",
        "all?operation=1000&speed=10",
    ] {
        http.push(target, "to nobody").await;
    }
    let instances = http.get("/goim/nodes/instances").await;
    assert_eq!(instances.body, r#"{"code":0,"message":"","data":null}"#);
}

#[tokio::test]
async fn a_user_on_two_comets_keeps_the_one_that_stays() {
    let mut stack = Plan::new().with(|plan| plan.comets = 2).start().await;
    let mid = mid();
    let who = |key: &str| Who::user(mid, key);
    let mut stays = Device::connect(&stack.comets[0], Transport::WebSocket, &who("a")).await;
    let mut goes = Device::connect(&stack.comets[1], Transport::Tcp, &who("b")).await;
    stack.stop_comet().await;
    goes.expect_sent_away().await;
    let path = format!("/v1/users/{mid}/connections");
    until("one is left", async || listed(&stack, &path).await.len() == 1).await;
    stack.http().await.push(&format!("mids?operation=1000&mids={mid}"), "one").await;
    stays.expect(1000, b"one").await;
}
