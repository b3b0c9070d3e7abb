//! Pauses: a comet that did not run for a while, and one that nobody answers.

// The way to keep a comet from running is to hold up the thread it runs on.
#![allow(clippy::disallowed_methods)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use orrery_proto::edge::edge_request::Kind as Request;
use serde_json::json;
use tokio::time::Instant;

use crate::connect::{room, user};
use crate::support::device::{Transport, frame};
use crate::support::logic::{Fate, Logic};
use crate::support::{Stage, soon};

/// A stage whose comet was attached under this lease.
async fn stage(lease_ms: u32, rebind_per_second: u32) -> Stage {
    let stage = Stage::new().await;
    stage.logic.lease_ms(lease_ms);
    stage.logic.rebind_per_second(rebind_per_second);
    stage.logic.alive(false);
    stage.logic.until("the lease", |logic| logic.incarnation() == 2).await;
    stage
}

#[tokio::test]
async fn a_comet_paused_past_its_lease_keeps_its_devices_and_binds_them_again() {
    let lease = Duration::from_secs(1);
    let stage = Stage::new().await;
    let mut devices = Vec::new();
    for mid in 0..8 {
        let token = format!(r#"{{"mid":{mid},"room_id":"live://1"}}"#);
        devices.push(stage.device(Transport::Tcp, &token).await);
    }
    let old = stage.logic.incarnation();
    stage.logic.fence();
    stage.logic.alive(false);
    // Everything but the connections' own threads is on this one: nothing asks, and nothing answers. Far
    // past two leases, after which a comet that heard nothing would send its devices elsewhere.
    std::thread::sleep(lease * 5 / 2);
    let bound = |logic: &Logic| logic.incarnation() > old && logic.routes().len() == 16;
    stage.logic.until("all binds", bound).await;
    assert!(stage.logic.is_listed(&room("live://1")));
    for device in &mut devices {
        device.send(frame(2, 1, b"")).await;
        assert_eq!(device.receive().await.op, 3);
    }
}

#[tokio::test]
async fn a_comet_that_nobody_answers_sends_its_devices_elsewhere_at_a_pace() {
    const DEVICES: u64 = 12;
    const PER_SECOND: u32 = 20;
    let stage = stage(400, PER_SECOND).await;
    let mut devices = Vec::new();
    for mid in 0..DEVICES {
        let mut device = stage.json().await;
        device.hello(json!({"type": "hello", "user": mid.to_string()})).await;
        devices.push(device);
    }
    assert_eq!(stage.logic.routes_of(&user("0")).len(), 1);
    let began = Instant::now();
    stage.logic.rule(|_| Fate::Hold);
    let closes = devices.iter_mut().map(async |device| {
        assert_eq!(device.closed().await, 1012);
        Instant::now()
    });
    let mut closed = soon("all closes", futures_util::future::join_all(closes)).await;
    closed.sort();
    // The last answer may be as old as a keep-alive's period.
    let first = closed[0] - began;
    assert!(first >= Duration::from_millis(800 - 60), "two leases, not {first:?}");
    let spread = closed[closed.len() - 1] - closed[0];
    let least = Duration::from_millis((DEVICES - 3) * 1000 / u64::from(PER_SECOND));
    assert!(spread >= least, "{spread:?}");
}

#[tokio::test]
async fn devices_stay_when_logic_is_back_before_their_turn() {
    const PER_SECOND: u32 = 5;
    let stage = stage(400, PER_SECOND).await;
    let mut devices = Vec::new();
    for mid in 0..8 {
        devices.push(stage.device(Transport::Tcp, &format!(r#"{{"mid":{mid}}}"#)).await);
    }
    stage.logic.rule(|_| Fate::Hold);
    let closed = || stage.counted("goodbyes");
    // Goodbyes are held as everything is, so the first close shows in what is held.
    let unbinds = |logic: &Logic| !crate::presence::unbinds(logic).is_empty();
    stage.logic.until("the first close", unbinds).await;
    stage.logic.release();
    soon("its goodbye", async {
        while closed() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let mut alive = 0;
    for device in &mut devices {
        alive += u64::from(device.try_ask(frame(2, 1, b"")).await);
    }
    assert!((5..8).contains(&alive), "{alive} are left");
}

#[tokio::test]
async fn a_control_shard_without_quorum_is_an_answer_and_sends_nobody_elsewhere() {
    let lease = Duration::from_millis(400);
    let stage = stage(400, 1000).await;
    let mut device = stage.device(Transport::Tcp, r#"{"mid":1}"#).await;
    let failed = Arc::new(AtomicUsize::new(0));
    let counted = failed.clone();
    stage.logic.rule(move |request| match request {
        Request::KeepAlive(_) => {
            counted.fetch_add(1, Ordering::Relaxed);
            Fate::Fail
        }
        _ => Fate::Answer,
    });
    let began = Instant::now();
    let long = |_: &Logic| began.elapsed() > lease * 4 && failed.load(Ordering::Relaxed) > 8;
    stage.logic.until("far more than two leases", long).await;
    device.send(frame(2, 1, b"")).await;
    assert_eq!(device.receive().await.op, 3);
    assert_eq!((stage.counted("goodbyes"), stage.logic.incarnation()), (0, 2));
}
