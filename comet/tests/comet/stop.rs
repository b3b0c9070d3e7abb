//! Stopping: a comet ends in order also where it has hardly the time for its devices.

use std::time::Duration;

use futures_util::future::join_all;
use orrery_proto::delivery::Outcome;
use serde_json::json;
use tokio::time::Instant;

use crate::connect::user;
use crate::drain::{drain, jsons};
use crate::support::device::Transport;
use crate::support::json::JsonDevice;
use crate::support::secured::Secured;
use crate::support::web::Web;
use crate::support::{Stage, soon};

#[tokio::test]
async fn a_stop_with_too_little_time_for_its_pace_leaves_its_workers_time_to_end() {
    let stage = Stage::with(|config| {
        (config.drain_per_second, config.stop_ms) = (1, 4000);
    })
    .await;
    // More than go in that time at that pace, and none of them comes for its last words.
    let mut visits = Vec::new();
    for number in 0..20 {
        let mut web = Web::connect(&stage.host, stage.comet.websocket_address()).await;
        let hello = json!({"type": "hello", "user": number.to_string()}).to_string();
        let welcome = web.fetch("POST", "/sub/poll", &hello).await;
        assert_eq!(welcome.status, 200, "{welcome:?}");
        visits.push(web);
    }
    let logic = stage.logic.clone();
    let began = Instant::now();
    soon("the stop", stage.comet.stop()).await;
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(1), "who went last had that long to come: {took:?}");
    // A second is the comet's own goodbye's, and half a second before it is the workers'.
    assert!(took < Duration::from_millis(2500), "{took:?}");
    assert!(logic.routes().is_empty());
}

#[tokio::test]
async fn a_stop_keeps_its_time_whatever_the_pace_and_however_badly_a_device_reads() {
    let stop = Duration::from_secs(4);
    let stage = Secured::with(|config| {
        config.drain_per_second = 1;
        config.stop_ms = stop.as_millis() as u64;
    })
    .await;
    let mut devices = jsons(&stage, 20).await;
    let deaf = [
        stage.stage.device(Transport::Tcp, r#"{"mid":7,"accepts":[1]}"#).await,
        stage.device(Transport::Tcp, r#"{"mid":8,"accepts":[1]}"#).await,
    ];
    let mut session = stage.session().await;
    let body = vec![0; 1 << 20];
    for mid in ["7", "8"] {
        let route = stage.logic.route(&user(mid));
        soon("a full outbox", async {
            while session.push(1, &body, &[&route]).await != [Outcome::DroppedOutboxFull] {}
        })
        .await;
    }
    let logic = stage.logic.clone();
    let began = Instant::now();
    let told = join_all(devices.iter_mut().map(JsonDevice::sent_away));
    tokio::join!(soon("the stop", stage.stage.comet.stop()), told);
    let took = began.elapsed();
    assert!(took > Duration::from_secs(1), "it took its time: {took:?}");
    assert!(took < stop + Duration::from_secs(2), "{took:?}");
    assert!(logic.routes().is_empty());
    drop(deaf);
}

#[tokio::test]
async fn a_stop_that_is_hurried_waits_for_no_pace() {
    let stage = Secured::with(|config| {
        (config.drain_per_second, config.stop_ms) = (1, 600_000);
    })
    .await;
    let mut devices = jsons(&stage, 30).await;
    let (logic, hurry) = (stage.logic.clone(), stage.comet.hurry());
    hurry();
    assert_eq!(stage.comet.ready(), Ok(()), "nothing is hurried before it stops");
    let told = async {
        // join! polls the stop first, so that it has begun.
        hurry();
        join_all(devices.iter_mut().map(JsonDevice::sent_away)).await
    };
    tokio::join!(soon("the stop", stage.stage.comet.stop()), told);
    assert!(logic.routes().is_empty());
}

#[tokio::test]
async fn a_drain_that_an_operator_began_ends_with_the_stop() {
    let stage = Secured::with(|config| config.drain_per_second = 1000).await;
    let mut devices = jsons(&stage, 5).await;
    stage.operator().drain(drain(1, &["other"])).await.unwrap();
    let told = join_all(devices.iter_mut().map(JsonDevice::sent_away));
    let ((), hints) = tokio::join!(soon("the stop", stage.stage.comet.stop()), told);
    assert!(hints.iter().all(|hint| hint["nodes"] == json!(["other"])), "{hints:?}");
}
