//! Lives: a comet that was cut off from logic for longer than its lease, and what its devices see of it.

use std::time::Duration;

use orrery_router_client::Client;
use serde_json::json;
use tokio::time::Instant;

use crate::device::{Device, Who};
use crate::link::Link;
use crate::stack::{Plan, Stack, id, mid};
use crate::wire::{EVERY, Transport, Wire};
use crate::{PATIENCE, until};

/// Long enough that the comet is let go of well before it gives up on logic, which is after two of them.
const LEASE: Duration = Duration::from_secs(4);
const REBINDS_PER_SECOND: u32 = 20;

/// A stack whose last comet talks to logic over a link.
async fn linked(comets: usize) -> (Stack, Link) {
    let change = |plan: &mut Plan| {
        plan.comets = comets;
        plan.router.lease_ms = LEASE.as_millis() as u64;
        plan.router.keep_alive_ms = 100;
        plan.router.rebind_per_second = REBINDS_PER_SECOND;
    };
    let mut stack = Plan::new().with(change).start().await;
    let link = Link::to(stack.logic.edge_address).await;
    stack.start_comet("linked", Some(link.address)).await;
    (stack, link)
}

/// Ends a comet's life as the end of its lease would, without waiting for that.
async fn end_life(registry: &Client, id: &str) {
    let deadline = Instant::now() + PATIENCE;
    let comets = registry.comets(false, deadline).await.unwrap();
    let comet = comets.into_iter().find(|comet| comet.comet.id.as_str() == id);
    registry.detach(comet.expect("it is attached").comet, deadline).await.unwrap();
}

/// How many connections the registry knows of a user.
async fn connections(stack: &Stack, mid: i64) -> usize {
    let list = stack.http().await.get(&format!("/v1/users/{mid}/connections")).await.json();
    list["connections"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_comet_cut_off_past_its_lease_keeps_its_devices_and_binds_them_again_at_a_pace() {
    const DEVICES: usize = 15;
    let (stack, link) = linked(0).await;
    let room = id("room");
    let mut devices = Vec::new();
    for number in 0..DEVICES {
        let who = Who { room: format!("t://{room}"), ..Who::user(mid(), &id("key")) };
        devices.push((stack.device(EVERY[number % EVERY.len()], &who).await, who));
    }
    link.hold(true);
    let last = devices[DEVICES - 1].1.mid;
    until("the end of the lease", async || connections(&stack, last).await == 0).await;
    let mut http = stack.http().await;
    let target = json!({"users": {"ids": [last.to_string()]}});
    let push = json!({"target": target, "op": 1000, "body": "nobody"});
    let receipt = http.push_v1(push.clone()).await;
    assert_eq!(receipt["summary"]["offline"], 1, "{receipt}");

    link.hold(false);
    let began = Instant::now();
    for (_, who) in &devices {
        until("the bind", async || connections(&stack, who.mid).await == 1).await;
    }
    // Two steps' worth may go at once.
    let least = Duration::from_millis((DEVICES as u64 - 3) * 1000 / u64::from(REBINDS_PER_SECOND));
    assert!(began.elapsed() >= least, "{:?}", began.elapsed());
    for (device, who) in &mut devices {
        http.push(&format!("mids?operation=1000&mids={}", who.mid), "to the user").await;
        http.push(&format!("keys?operation=1000&keys={}", who.key), "to the key").await;
        device.expect(1000, b"to the user").await;
        device.expect(1000, b"to the key").await;
    }
    http.push(&format!("room?operation=9&type=t&room={room}"), "to the room").await;
    for (device, _) in &mut devices {
        device.expect(9, b"to the room").await;
        device.beat().await;
    }
    assert_eq!(stack.counted("lives_lost"), 1);
}

#[tokio::test]
async fn a_device_that_moved_on_while_its_comet_was_cut_off_keeps_its_place() {
    let (stack, link) = linked(1).await;
    let registry = stack.registry();
    let [other, cut_off] = &stack.comets[..] else { panic!("two comets run") };
    let (mid, key) = (mid(), id("key"));
    for who in [Who::user(mid, &key), Who::key(&id("only"))] {
        let mut left = Device::connect(cut_off, Transport::Json, &who).await;
        link.hold(true);
        end_life(&registry, "linked").await;
        let path = format!("/v1/keys/{}/connections", who.key);
        let count = async || {
            let list = stack.http().await.get(&path).await.json();
            list["connections"].as_array().unwrap().len()
        };
        until("the end of its life", async || count().await == 0).await;
        let mut moved = Device::begin(Wire::open(other, Transport::Tcp).await, &who).await;
        moved.let_in().await;
        link.hold(false);
        left.expect_closed(4001).await;
        assert_eq!(count().await, 1);
        let mut http = stack.http().await;
        http.push(&format!("keys?operation=1000&keys={}", who.key), "where it is").await;
        moved.expect(1000, b"where it is").await;
        drop(moved);
        until("its goodbye", async || count().await == 0).await;
    }
}
