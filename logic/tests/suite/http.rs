//! The push API as JSON.

use orrery_model::{Address, Id};
use orrery_proto::registry::Member;
use serde_json::json;

use crate::support::{Bed, Comet, route};

fn user(id: &str) -> Address {
    Address::user(Id::new(id).unwrap())
}

#[tokio::test]
async fn a_push_in_json_is_the_same_push() {
    let comet = Comet::start("a", 1).await;
    let bed = Bed::new(&[&comet]).await;
    bed.registry.bind(user("u"), vec![route(comet.life(), 1, 10)]);
    let push =
        json!({ "target": { "users": { "ids": ["u", "nobody"] } }, "op": 1000, "body": "hé" });
    let answer = bed.http("POST", "/v1/push", push.to_string()).await;
    assert_eq!((answer.status, answer.content_type()), (200, "application/json"));
    let expected = json!({
        "summary": { "queued": 1, "written": 0, "filtered": 0, "dropped": 0, "unknown": 0,
                     "gone": 0, "offline": 1, "comets_unknown": 0 },
        "addresses": [
            { "id": "u", "offline": false,
              "connections": [{ "seq": 10, "comet": "a", "outcome": "queued" }] },
            { "id": "nobody", "offline": true, "connections": [] },
        ],
        "stale": false,
        "incomplete": false,
    });
    assert_eq!(answer.json(), expected);
    assert_eq!(comet.bodies(), [("hé".to_owned(), 1)]);

    let bytes = json!({ "target": { "users": { "ids": ["u"] } }, "body_base64": "AAH+", "wait_for": "written" });
    let answer = bed.http("POST", "/v1/push", bytes.to_string()).await;
    assert_eq!(answer.json()["addresses"][0]["connections"][0]["outcome"], "written");
    let received = comet.received();
    let Some(orrery_proto::delivery::deliver::Kind::ToConnections(to)) = &received[1].kind else {
        panic!()
    };
    assert_eq!(to.message.as_ref().unwrap().body.as_ref(), [0, 1, 254]);
}

#[tokio::test]
async fn every_target_can_be_named() {
    let comet = Comet::start("a", 1).await;
    let bed = Bed::new(&[&comet]).await;
    bed.registry.bind(Address::key(Id::new("k").unwrap()), vec![route(comet.life(), 1, 10)]);
    bed.registry.list_room(Address::room(Id::new("live://1").unwrap()), &[comet.life()]);
    for (target, queued) in [
        (json!({ "keys": { "ids": ["k"] } }), 1),
        (json!({ "connections": { "connections": [{ "key": "k", "seq": 10 }] } }), 1),
        (json!({ "room": "live://1" }), 0),
        (json!({ "broadcast": {} }), 0),
        (json!({ "broadcast": { "rate": 5 } }), 0),
    ] {
        let push = json!({ "target": target, "body": "x" });
        let answer = bed.http("POST", "/v1/push", push.to_string()).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.json()["summary"]["queued"], queued, "{target}");
    }
    assert_eq!(comet.received().len(), 5);
}

#[tokio::test]
async fn bad_json_is_refused_with_its_place() {
    let bed = Bed::new(&[]).await;
    let reason = async |path: &str, body: &str| {
        let answer = bed.http("POST", path, body.to_owned()).await;
        assert_eq!(answer.content_type(), "application/json");
        let field = answer.json()["error"]["details"][1]["fieldViolations"][0]["field"].clone();
        let (status, reason) = answer.reason();
        (status, reason, field.as_str().unwrap_or_default().to_owned())
    };
    let bad = |reason: &str, field: &str| (400, reason.to_owned(), field.to_owned());
    for (body, expected) in [
        ("", bad("BAD_JSON", ".")),
        ("{", bad("BAD_JSON", ".")),
        ("{} x", bad("BAD_JSON", ".")),
        ("\u{0}", bad("BAD_JSON", ".")),
        (r#"{"opp":1}"#, bad("BAD_JSON", "opp")),
        (r#"{"op":1.5}"#, bad("BAD_JSON", "op")),
        (r#"{"op":2147483648}"#, bad("BAD_JSON", "op")),
        (r#"{"target":{"users":{"ids":[5]}}}"#, bad("BAD_JSON", "target.users.ids[0]")),
        ("{}", bad("TARGET_MISSING", "target")),
        (r#"{"target":{"room":""}}"#, bad("ID_EMPTY", "target.room")),
        (r#"{"body":"a","body_base64":"AA=="}"#, bad("BODY_AMBIGUOUS", "body_base64")),
        (r#"{"body_base64":"*"}"#, bad("BAD_BASE64", "body_base64")),
        (r#"{"wait_for":"acked"}"#, bad("BAD_JSON", "wait_for")),
        (r#"{"delivery":"retained"}"#, bad("BAD_JSON", "delivery")),
    ] {
        assert_eq!(reason("/v1/push", body).await, expected, "{body}");
    }
    let many = r#"{"items":[{"target":{"room":"r"}},{"body_base64":"*"}]}"#;
    let expected = bad("BAD_BASE64", "items[1].body_base64");
    assert_eq!(reason("/v1/push-many", many).await, expected);
    let room = r#"{"target":{"room":"r"}}"#;
    assert_eq!(reason("/v1/disconnect", room).await, bad("TARGET_NOT_ALLOWED", "target"));

    let large = "x".repeat((4 << 20) + 1);
    let answer = bed.http("POST", "/v1/push", large).await;
    assert_eq!(answer.reason(), (413, "REQUEST_TOO_LARGE".to_owned()));
    let body = "x".repeat((1 << 20) + 1);
    let push = json!({ "target": { "room": "r" }, "body": body }).to_string();
    assert_eq!(reason("/v1/push", &push).await, bad("BODY_TOO_LARGE", "body"));
}

#[tokio::test]
async fn many_pushes_have_a_result_each() {
    let bed = Bed::new(&[]).await;
    let many = json!({ "items": [
        { "target": { "users": { "ids": ["u"] } } },
        { "target": { "users": { "ids": [""] } } },
    ]});
    let answer = bed.http("POST", "/v1/push-many", many.to_string()).await;
    assert_eq!(answer.status, 200);
    let results = answer.json()["results"].clone();
    assert_eq!(results[0]["response"]["summary"]["offline"], 1);
    assert_eq!(results[1]["error"]["status"], "INVALID_ARGUMENT");
    assert_eq!(results[1]["error"]["details"][0]["reason"], "ID_EMPTY");
    assert_eq!(
        results[1]["error"]["details"][1]["fieldViolations"][0]["field"],
        "items[1].target.users.ids[0]"
    );
}

#[tokio::test]
async fn ids_in_a_path_are_percent_encoded_slashes_too() {
    let bed = Bed::new(&[]).await;
    let member = |n: u64| Member {
        address: Some(user(&format!("u{n}")).into()),
        seq: n,
        route: Some(route(("a", 1), n, n)),
    };
    bed.registry.set_members((0..3).map(member).collect());
    bed.registry.bind(user("a/b c?"), vec![route(("a", 1), 1, 10)]);
    let answer = bed.http("GET", "/v1/rooms/live%3A%2F%2F1000/count", "").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"count":3}"#));

    let first = bed.http("GET", "/v1/rooms/live%3A%2F%2F1000/members?page_size=2", "").await.json();
    assert_eq!(first["members"].as_array().unwrap().len(), 2);
    assert_eq!(first["members"][0]["user"], "u0");
    assert_eq!(first["members"][0]["connection"]["seq"], 0);
    let token = first["next_page_token"].as_str().unwrap();
    let path = format!("/v1/rooms/live%3A%2F%2F1000/members?page_size=2&page_token={token}");
    let second = bed.http("GET", &path, "").await.json();
    assert_eq!(second["members"][0]["user"], "u2");
    assert_eq!(second["next_page_token"], "");
    let path = format!("/v1/rooms/other/members?page_token={token}");
    let answer = bed.http("GET", &path, "").await;
    assert_eq!(answer.reason(), (400, "BAD_PAGE_TOKEN".to_owned()));

    let answer = bed.http("GET", "/v1/users/a%2Fb%20c%3F/connections", "").await;
    assert_eq!(answer.json()["connections"][0]["seq"], 10, "{}", answer.body);
    let answer = bed.http("GET", "/v1/keys/k/connections", "").await;
    assert_eq!(answer.body, r#"{"connections":[]}"#);
    for (path, reason) in [
        ("/v1/users/%FF/connections", "BAD_PATH"),
        ("/v1/rooms/r/members?page_size=x", "BAD_QUERY"),
        ("/v1/rooms/r/members?unknown=1", "BAD_QUERY"),
        ("/v1/rooms/r/members?page_size=-1", "BAD_PAGE_SIZE"),
        (&format!("/v1/rooms/{}/count", "r".repeat(10_240)), "ID_TOO_LONG"),
    ] {
        let answer = bed.http("GET", path, "").await;
        assert_eq!(answer.reason(), (400, reason.to_owned()), "{path}");
    }
}

#[tokio::test]
async fn a_disconnect_is_counted() {
    let comet = Comet::start("a", 1).await;
    let bed = Bed::new(&[&comet]).await;
    bed.registry.bind(user("u"), vec![route(comet.life(), 1, 10)]);
    let request = json!({ "target": { "users": { "ids": ["u"] } } });
    let answer = bed.http("POST", "/v1/disconnect", request.to_string()).await;
    assert_eq!(answer.json(), json!({ "closed": 1, "unknown": 0, "offline": 0 }));
    assert_eq!(comet.closes().len(), 1);
}

#[tokio::test]
async fn wrong_paths_and_methods_are_told_in_json() {
    let bed = Bed::new(&[]).await;
    for path in ["/v1", "/v1/", "/v1/pushes", "/v1/rooms/live://1/count", "/v1/push/"] {
        let answer = bed.http("POST", path, "{}").await;
        assert_eq!(answer.reason(), (404, "NO_SUCH_PATH".to_owned()), "{path}");
    }
    let answer = bed.http("GET", "/v1/push", "").await;
    assert_eq!(answer.reason(), (405, "METHOD_NOT_ALLOWED".to_owned()));
    assert_eq!(answer.header("allow"), "POST");
}

#[tokio::test]
async fn the_document_is_served() {
    let bed = Bed::new(&[]).await;
    let answer = bed.http("GET", "/v1/openapi.json", "").await;
    assert_eq!((answer.status, answer.content_type()), (200, "application/json"));
    assert_eq!(answer.json()["openapi"], "3.1.0");
}

#[tokio::test]
async fn overload_and_unavailability_say_when_to_come_back() {
    let bed = Bed::with(&[], |config| {
        config.addresses_in_flight_max = 1;
        config.push_timeout_ms = 300;
    })
    .await;
    let push = json!({ "target": { "users": { "ids": ["u", "v"] } } }).to_string();
    let answer = bed.http("POST", "/v1/push", push).await;
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.reason(), (429, "ADDRESSES_IN_FLIGHT".to_owned()));
    bed.registry.set_unavailable(true);
    let push = json!({ "target": { "users": { "ids": ["u"] } } }).to_string();
    let answer = bed.http("POST", "/v1/push", push).await;
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(answer.reason(), (503, "REGISTRY_UNAVAILABLE".to_owned()));
}
