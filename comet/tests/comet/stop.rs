//! Stopping: a comet ends in order also where it has hardly the time for its devices.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

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
