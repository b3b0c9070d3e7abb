//! Draining sessions over HTTP: those that live are served until they had their last words, and nobody new is let in.

use std::time::Duration;

use serde_json::{Value, json};

use crate::drain::{drain, emptied, is_sent_elsewhere, jsons, nobody_is_let_in};
use crate::support::device::{BOTH, Transport};
use crate::support::secured::{Door, Secured};
use crate::support::soon;
use crate::support::web::Web;

/// A session over HTTP, which its device has named once.
struct Visit {
    session: String,
    cursor: String,
}

impl Visit {
    async fn begin(door: &Door, user: &str) -> Self {
        let mut web = door.web().await;
        let hello = json!({"type": "hello", "user": user}).to_string();
        let welcome = web.fetch("POST", "/sub/poll", &hello).await;
        assert_eq!((welcome.status, welcome.header("connection")), (200, ""), "{welcome:?}");
        let text = |name: &str| welcome.json()[name].as_str().unwrap().to_owned();
        let visit = Self { session: text("session"), cursor: text("cursor") };
        let polled = web.fetch("GET", &format!("{}&wait_ms=0", visit.target("poll")), "").await;
        assert_eq!(polled.status, 200, "{polled:?}");
        visit
    }

    fn target(&self, how: &str) -> String {
        format!("/sub/{how}?session={}&cursor={}", self.session, self.cursor)
    }

    /// Says something.
    async fn post(&self, web: &mut Web) {
        let target = format!("/sub/send?session={}", self.session);
        let posted = web.fetch("POST", &target, r#"{"type":"ping","id":"p"}"#).await;
        assert_eq!((posted.status, posted.header("connection")), (204, ""), "{posted:?}");
    }

    /// Events that it asks for.
    async fn poll(&mut self, web: &mut Web) -> Vec<Value> {
        let polled = web.fetch("GET", &self.target("poll"), "").await;
        assert_eq!(polled.status, 200, "{polled:?}");
        polled.json()["cursor"].as_str().unwrap().clone_into(&mut self.cursor);
        polled.json()["events"].as_array().unwrap().clone()
    }
}

/// What devices over HTTP do while a comet is drained, slowly until the hurry.
async fn sessions_live_on(
    door: &Door,
    [mut poller, streamer]: [Visit; 2],
    hurry: impl Future<Output = ()>,
) -> Value {
    nobody_is_let_in(door).await;
    // Its connection stays: behind a balancer the next one might lead to another comet.
    let mut kept = door.web().await;
    for _ in 0..2 {
        poller.post(&mut kept).await;
        assert_eq!(poller.poll(&mut kept).await, [json!({"type": "pong", "id": "p"})]);
    }
    let mut stream = door.web().await;
    let head = stream.fetch("GET", &streamer.target("events"), "").await;
    assert_eq!((head.status, head.header("connection")), (200, ""), "{head:?}");
    streamer.post(&mut kept).await;
    stream.text_to(r#"{"type":"pong","id":"p"}"#).await;

    hurry.await;
    let end = json!({"type": "close", "code": 1012, "reason": "drain"});
    let text = stream.text_to(r#"{"type":"close","code":1012,"reason":"drain"}"#).await;
    assert!(text.contains(r#"{"type":"drain","#), "{text}");
    // This one asks for its last words only now.
    let mut events = Vec::new();
    while events.last() != Some(&end) {
        events.extend(poller.poll(&mut door.web().await).await);
    }
    assert_eq!(events.len(), 2, "{events:?}");
    events.swap_remove(0)
}

#[tokio::test]
async fn whoever_comes_over_http_is_served_by_new_connections_until_it_is_sent_elsewhere() {
    for nth in 0..2 {
        let stage = Secured::with(|_| {}).await;
        let door = &stage.doors(Transport::WebSocket)[nth];
        // They are in the first places, and go first.
        let _others = jsons(&stage, 20).await;
        let visits = [Visit::begin(door, "poller").await, Visit::begin(door, "streamer").await];
        stage.operator().drain(drain(1, &["other"])).await.unwrap();
        let hurry = async {
            stage.operator().drain(drain(1000, &[])).await.unwrap();
        };
        let hint = sessions_live_on(door, visits, hurry).await;
        assert_eq!((&hint["type"], &hint["nodes"]), (&json!("drain"), &json!(["other"])), "{hint}");
        emptied(&stage).await;
        assert!(stage.logic.routes().is_empty());
    }
}

#[tokio::test]
async fn a_comet_that_stops_serves_new_connections_of_sessions_until_they_had_their_last_word() {
    for nth in 0..2 {
        let stage = Secured::with(|config| {
            (config.drain_per_second, config.stop_ms) = (1, 600_000);
        })
        .await;
        let [tcp, websocket] = BOTH.map(|transport| stage.doors(transport));
        let door = &websocket[nth];
        let _others = jsons(&stage, 20).await;
        let visits = [Visit::begin(door, "poller").await, Visit::begin(door, "streamer").await];
        let (logic, hurry) = (stage.logic.clone(), stage.comet.hurry());
        let serving = async {
            let hurried = async {
                hurry();
                logic.until("all goodbyes", |logic| logic.routes().is_empty()).await;
                // A device that takes its time between two polls, more than the comet to see that none is connected.
                tokio::time::sleep(Duration::from_millis(100)).await;
            };
            let hint = sessions_live_on(door, visits, hurried).await;
            assert_eq!(hint["type"], "drain", "{hint}");
            for closed in &tcp {
                assert!(!closed.is_open().await, "{closed:?}");
            }
        };
        // join! polls the stop first, so that it has begun.
        tokio::join!(soon("the stop", stage.stage.comet.stop()), serving);
        assert!(logic.routes().is_empty());
        for closed in &websocket {
            assert!(!closed.is_open().await, "{closed:?} is closed at last");
        }
    }
}

#[tokio::test]
async fn a_hello_on_a_connection_from_before_the_drain_is_refused() {
    for nth in 0..2 {
        let stage = Secured::with(|_| {}).await;
        let mut kept = stage.doors(Transport::WebSocket)[nth].web().await;
        let hello = r#"{"type":"hello"}"#;
        let welcome = kept.fetch("POST", "/sub/poll", hello).await;
        assert_eq!((welcome.status, welcome.header("connection")), (200, ""), "{welcome:?}");
        stage.operator().drain(drain(1, &[])).await.unwrap();
        is_sent_elsewhere(&kept.fetch("POST", "/sub/poll", hello).await);
        kept.ended().await;
        assert_eq!(stage.counted_for("handshakes_refused", "limit", "drain"), 1);
    }
}
