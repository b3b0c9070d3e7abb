//! HTTP refusals: how a device over HTTP is told that what it asked for is not done.

use orrery_proto::edge::edge_request::Kind as Request;
use orrery_proto::registry::command::Kind as Write;
use serde_json::json;

use crate::support::Stage;
use crate::support::logic::Fate;
use crate::support::web::Web;

#[tokio::test]
async fn a_hello_whose_place_another_connection_has_is_answered_with_410_and_why() {
    for fate in [Fate::Outrank, Fate::Gone] {
        let stage = Stage::new().await;
        stage.logic.rule(move |request| match request {
            Request::Write(write) if matches!(write.kind, Some(Write::Bind(_))) => fate,
            _ => Fate::Answer,
        });
        let mut web = Web::connect(&stage.host, stage.comet.websocket_address()).await;
        let refused = web.fetch("POST", "/sub/poll", r#"{"type":"hello","user":"1"}"#).await;
        let close = json!({"type": "close", "code": 4001, "reason": "replaced"});
        assert_eq!((refused.status, refused.json()), (410, json!({"events": [close]})), "{fate:?}");
        assert_eq!((refused.header("connection"), refused.header("retry-after")), ("close", ""));
        web.ended().await;
    }
}
