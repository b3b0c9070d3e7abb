//! goim's HTTP API: every path with its parameters, codes, bodies and content types.

use std::time::Duration;

use orrery_model::{Address, Id};
use orrery_proto::delivery::{Tally, deliver};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::http::Answer;
use crate::support::{Bed, Comet, PATIENCE, route};

const JSON: &str = "application/json; charset=utf-8";
const DONE: &str = r#"{"code":0,"message":""}"#;

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

/// A bed with one comet that holds user 7, user 8 (on two keys) and key k.
async fn bed(comet: &Comet) -> Bed {
    let bed = Bed::with(&[comet], |config| {
        config.census_ms = 20;
        config.push_timeout_ms = 10_000;
    })
    .await;
    bed.registry.bind(Address::user(id("7")), vec![route(comet.life(), 1, 10)]);
    bed.registry
        .bind(Address::user(id("8")), vec![route(comet.life(), 2, 11), route(comet.life(), 3, 12)]);
    bed.registry.bind(Address::key(id("k")), vec![route(comet.life(), 1, 10)]);
    bed.registry.list_room(Address::room(id("live://1000")), &[comet.life()]);
    bed
}

/// Asks until the answer is as expected: counts are as old as the last census.
async fn answers(bed: &Bed, path: &str, expected: &Value) -> Answer {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = bed.http("GET", path, "").await;
        if answer.json() == *expected {
            return answer;
        }
        assert!(Instant::now() < deadline, "{path}: {}", answer.body);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn is_done(answer: &Answer, path: &str) {
    let got = (answer.status, answer.content_type(), answer.body.as_str());
    assert_eq!(got, (200, JSON, DONE), "{path}");
}

/// Refused by binding: 400, JSON that calls itself text.
fn is_refused(answer: &Answer, message: &str, path: &str) {
    let got = (answer.status, answer.content_type());
    assert_eq!(got, (400, "text/plain; charset=utf-8"), "{path}");
    assert_eq!(answer.json(), json!({ "code": -400, "message": message }), "{path}");
    assert!(answer.body.starts_with(r#"{"code":-400,"message":"#), "{}", answer.body);
}

#[tokio::test]
async fn pushes_are_carried_out_and_answered_with_code_0() {
    let comet = Comet::start("a", 1).await;
    let bed = bed(&comet).await;
    for (path, expected) in [
        ("/goim/push/keys?operation=1000&keys=k", vec![1]),
        ("/goim/push/keys?operation=1000&keys=k&keys=nobody&keys=k", vec![1, 1]),
        ("/goim/push/keys?keys=k", vec![1]),
        ("/goim/push/keys?operation=1000&keys=", vec![]),
        ("/goim/push/keys?operation=1000&keys=nobody", vec![]),
        ("/goim/push/mids?operation=1000&mids=7", vec![1]),
        ("/goim/push/mids?operation=1000&mids=8&mids=7", vec![1, 2, 3]),
        ("/goim/push/mids?operation=1000&mids=7&mids=7", vec![1]),
        ("/goim/push/mids?mids=", vec![]),
        ("/goim/push/mids?mids=-5", vec![]),
    ] {
        let before = comet.bodies().len();
        is_done(&bed.http("POST", path, "MSG").await, path);
        let mut conns: Vec<u64> = comet.bodies()[before..].iter().map(|(_, conn)| *conn).collect();
        conns.sort_unstable();
        assert_eq!(conns, expected, "{path}");
    }
    let received = comet.received();
    let op = |n: usize| match &received[n].kind {
        Some(deliver::Kind::ToConnections(to)) => to.message.as_ref().unwrap().op,
        other => panic!("{other:?}"),
    };
    assert_eq!((op(0), op(2)), (1000, 0));
}

#[tokio::test]
async fn room_and_broadcast_pushes_reach_their_comets() {
    let comet = Comet::start("a", 1).await;
    let bed = bed(&comet).await;
    comet.set_tally(Tally { queued: 1, ..Tally::default() });
    for path in [
        "/goim/push/room?operation=1000&type=live&room=1000",
        "/goim/push/room?operation=-5&type=live&room=nobody",
        "/goim/push/all?operation=1000",
        "/goim/push/all?operation=1000&speed=32",
        "/goim/push/all?operation=1000&speed=-1",
    ] {
        is_done(&bed.http("POST", path, "MSG").await, path);
    }
    let received = comet.received();
    assert_eq!(received.len(), 4);
    let Some(deliver::Kind::ToRoom(to)) = &received[0].kind else { panic!() };
    assert_eq!(to.room.as_ref().unwrap().id, "live://1000");
    let rate = |n: usize| match &received[n].kind {
        Some(deliver::Kind::ToAll(all)) => all.rate,
        other => panic!("{other:?}"),
    };
    assert_eq!((rate(1), rate(2), rate(3)), (0, 32, 0));
}

#[tokio::test]
async fn more_addresses_than_one_push_may_name_are_taken() {
    let comet = Comet::start("a", 1).await;
    let bed = bed(&comet).await;
    let mids: String = (0..2500).map(|n| format!("&mids={n}")).collect();
    let path = format!("/goim/push/mids?operation=1{mids}");
    is_done(&bed.http("POST", &path, "MSG").await, "2500 mids");
    assert_eq!(comet.bodies().len(), 3);
}

#[tokio::test]
async fn a_body_is_taken_raw_and_up_to_its_limit() {
    let comet = Comet::start("a", 1).await;
    let bed = bed(&comet).await;
    let path = "/goim/push/keys?operation=1&keys=k";
    for body in [String::new(), "operation=5&keys=other".into(), "x".repeat(1 << 20)] {
        is_done(&bed.http("POST", path, body.clone()).await, path);
        assert_eq!(comet.bodies().last(), Some(&(body, 1)));
    }
    let answer = bed.http("POST", path, "x".repeat((1 << 20) + 1)).await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.json()["code"], -400);
}

#[tokio::test]
async fn parameters_that_cannot_be_bound_are_refused_with_gos_messages() {
    let comet = Comet::start("a", 1).await;
    let bed = bed(&comet).await;
    let required = |fields: &[&str]| {
        let line = |field: &&str| {
            format!(
                "Key: '{field}' Error:Field validation for '{field}' failed on the 'required' tag"
            )
        };
        fields.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    let syntax = |text: &str| format!("strconv.ParseInt: parsing \"{text}\": invalid syntax");
    let range = |text: &str| format!("strconv.ParseInt: parsing \"{text}\": value out of range");
    for (method, path, message) in [
        ("POST", "/goim/push/keys?operation=abc&keys=k", syntax("abc")),
        ("POST", "/goim/push/keys?operation=2147483648&keys=k", range("2147483648")),
        ("POST", "/goim/push/keys?operation=1", required(&["Keys"])),
        ("POST", "/goim/push/mids?operation=1", required(&["Mids"])),
        ("POST", "/goim/push/mids?operation=1&mids=1,2", syntax("1,2")),
        ("POST", "/goim/push/mids?mids=9223372036854775808", range("9223372036854775808")),
        ("POST", "/goim/push/room", required(&["Op", "Type", "Room"])),
        ("POST", "/goim/push/room?operation=0&type=live&room=1", required(&["Op"])),
        ("POST", "/goim/push/room?operation=1&type=&room=1", required(&["Type"])),
        ("POST", "/goim/push/room?operation=1&type=live", required(&["Room"])),
        ("POST", "/goim/push/room?operation=x", syntax("x")),
        ("POST", "/goim/push/all", required(&["Op"])),
        ("POST", "/goim/push/all?operation=1&speed=x", syntax("x")),
        ("GET", "/goim/online/top", required(&["Type", "Limit"])),
        ("GET", "/goim/online/top?type=live&limit=0", required(&["Limit"])),
        ("GET", "/goim/online/top?type=live&limit=x", syntax("x")),
        (
            "GET",
            "/goim/online/top?type=live&limit=-1",
            "Key: 'Limit' Error:Field validation for 'Limit' failed on the 'min' tag".to_owned(),
        ),
        ("GET", "/goim/online/room", required(&["Type", "Rooms"])),
        ("GET", "/goim/online/room?type=live", required(&["Rooms"])),
        ("GET", "/goim/online/room?rooms=1", required(&["Type"])),
    ] {
        is_refused(&bed.http(method, path, "MSG").await, &message, path);
    }
    let long = "k".repeat(10_240);
    for (path, message) in [
        (
            format!("/goim/push/keys?operation=1&keys={long}"),
            "keys: an id of 10240 bytes is longer than 128",
        ),
        (
            format!("/goim/push/room?operation=1&type=live&room={long}"),
            "room: an id of 10247 bytes is longer than 128",
        ),
    ] {
        is_refused(&bed.http("POST", &path, "MSG").await, message, "a long id");
    }
    assert!(comet.received().is_empty());
}

#[tokio::test]
async fn a_backend_failure_is_status_200_with_code_minus_500() {
    let comet = Comet::start("a", 1).await;
    let bed = bed(&comet).await;
    bed.registry.set_unavailable(true);
    for path in [
        "/goim/push/keys?operation=1&keys=k",
        "/goim/push/mids?operation=1&mids=7",
        "/goim/push/room?operation=1&type=live&room=1000",
    ] {
        let answer = bed.http("POST", path, "MSG").await;
        assert_eq!((answer.status, answer.content_type()), (200, JSON), "{path}");
        assert_eq!(answer.json()["code"], -500, "{path}");
        assert!(!answer.json()["message"].as_str().unwrap().is_empty(), "{path}");
        assert!(answer.json().get("data").is_none());
    }
}

#[tokio::test]
async fn paths_and_methods_are_gins() {
    let comet = Comet::start("a", 1).await;
    let bed = bed(&comet).await;
    for (method, path) in [
        ("GET", "/goim/push/keys"),
        ("POST", "/goim/online/total"),
        ("HEAD", "/goim/online/total"),
        ("POST", "/goim/push/mids=1"),
        ("GET", "/"),
        ("GET", "/goim"),
        ("GET", "/goim/push/keys/"),
        ("GET", "/goim/online/total//"),
        ("GET", "/GOIM/online/total"),
    ] {
        let answer = bed.http(method, path, "").await;
        let got = (answer.status, answer.content_type());
        assert_eq!(got, (404, "text/plain"), "{method} {path}");
        let body = if method == "HEAD" { "" } else { "404 page not found" };
        assert_eq!(answer.body, body, "{method} {path}");
    }
    for (method, path, status, location) in [
        ("POST", "/goim/push/keys/?operation=1&keys=k", 307, "/goim/push/keys?operation=1&keys=k"),
        ("GET", "/goim/online/total/", 301, "/goim/online/total"),
    ] {
        let answer = bed.http(method, path, "").await;
        assert_eq!((answer.status, answer.header("location")), (status, location), "{path}");
    }
}

#[tokio::test]
async fn online_counts_are_those_of_the_last_census() {
    let (a, b) = (Comet::start("a", 1).await, Comet::start("b", 2).await);
    a.set_census(5, 3, &[("live://1000", 3), ("live://2", 1), ("test://9", 4), ("odd", 9)]);
    b.set_census(2, 1, &[("live://1000", 2), ("live://a/b", 1)]);
    let bed = Bed::with(&[&a, &b], |config| config.census_ms = 20).await;
    let data = |data: Value| json!({ "code": 0, "message": "", "data": data });

    let total = data(json!({ "conn_count": 7, "ip_count": 4 }));
    let answer = answers(&bed, "/goim/online/total", &total).await;
    assert_eq!((answer.status, answer.content_type()), (200, JSON));
    let text = r#"{"code":0,"message":"","data":{"conn_count":7,"ip_count":4}}"#;
    assert_eq!(answer.body, text);

    let top = data(json!([{ "room_id": "1000", "count": 5 }, { "room_id": "2", "count": 1 }]));
    let answer = answers(&bed, "/goim/online/top?type=live&limit=2", &top).await;
    assert!(answer.body.contains(r#"[{"room_id":"1000","count":5},"#), "{}", answer.body);
    answers(&bed, "/goim/online/top?type=none&limit=2", &data(json!([]))).await;
    let prefix = data(json!([{ "room_id": "9", "count": 4 }]));
    answers(&bed, "/goim/online/top?type=te&limit=10", &prefix).await;

    let rooms = data(json!({ "1000": 5, "2": 1, "nobody": 0 }));
    let path = "/goim/online/room?type=live&rooms=nobody&rooms=1000&rooms=2";
    let answer = answers(&bed, path, &rooms).await;
    assert_eq!(answer.content_type(), JSON);

    // Counts go down again.
    a.set_census(0, 0, &[]);
    answers(&bed, path, &data(json!({ "1000": 2, "2": 0, "nobody": 0 }))).await;
}

#[tokio::test]
async fn nodes_are_advised_in_goims_words_and_order() {
    let comet = Comet::start("a", 1).await;
    let bed = Bed::with(&[&comet], |config| {
        config.census_ms = 20;
        config.nodes.domain = "conn.goim.io".into();
        config.nodes.host_domain = ".goim.io".into();
        config.nodes.wss_port = 3103;
    })
    .await;
    let answer = bed.http("GET", "/goim/nodes/weighted", "").await;
    assert_eq!((answer.status, answer.content_type()), (200, JSON));
    let expected = concat!(
        r#"{"code":0,"message":"","data":{"domain":"conn.goim.io","tcp_port":3101,"ws_port":3102,"#,
        r#""wss_port":3103,"heartbeat":240,"nodes":["10.0.0.1"],"backoff":{"max_delay":300,"#,
        r#""base_delay":3,"factor":1.8,"jitter":0.3},"heartbeat_max":2}}"#
    );
    assert_eq!(answer.body, expected);
    let web = bed.http("GET", "/goim/nodes/weighted?platform=web", "").await;
    assert_eq!(web.json()["data"]["nodes"], json!(["a.host.goim.io"]));

    comet.set_census(5, 3, &[]);
    let instances = json!({ "code": 0, "message": "", "data": [{
        "region": "sh", "zone": "sh001", "env": "dev", "appid": "goim.comet", "hostname": "a.host",
        "addrs": [format!("grpc://{}", comet.address)], "version": "",
        "latest_timestamp": 1_700_000_000_000_000_000_u64,
        "metadata": { "addrs": "10.0.0.1", "conn_count": "5", "ip_count": "3",
                      "offline": "false", "weight": "10" },
    }]});
    answers(&bed, "/goim/nodes/instances", &instances).await;
}

#[tokio::test]
async fn a_comet_that_takes_no_devices_is_not_advised_until_it_does() {
    let (a, b) = (Comet::start("a", 1).await, Comet::start("b", 2).await);
    a.set_draining(true);
    let bed = Bed::new(&[&a, &b]).await;
    let advised = async || {
        let mut nodes = Vec::new();
        let answer = bed.http("GET", "/goim/nodes/weighted", "").await;
        for node in answer.json()["data"]["nodes"].as_array().unwrap() {
            nodes.push(node.as_str().unwrap().to_owned());
        }
        nodes.sort();
        nodes
    };
    let until = async |expected: &[&str]| {
        let told = async {
            while advised().await != expected {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        let told = tokio::time::timeout(std::time::Duration::from_secs(10), told).await;
        told.unwrap_or_else(|_| panic!("{expected:?} are never advised"));
    };
    until(&["10.0.0.2"]).await;
    let instances = bed.http("GET", "/goim/nodes/instances", "").await.json();
    let offline = |at: usize| instances["data"][at]["metadata"]["offline"].as_str().unwrap();
    assert_eq!((offline(0), offline(1)), ("true", "false"));
    // It says so with the receipt of the next push.
    a.set_draining(false);
    bed.http("POST", "/goim/push/all?operation=1000", "x").await;
    until(&["10.0.0.1", "10.0.0.2"]).await;
}

#[tokio::test]
async fn without_comets_the_domain_is_advised_and_zeros_are_left_out() {
    let bed = Bed::new(&[]).await;
    let answer = bed.http("GET", "/goim/nodes/weighted", "").await;
    let data = &answer.json()["data"];
    assert_eq!(data["nodes"], json!(["localhost"]));
    assert!(data.get("wss_port").is_none());
    let answer = bed.http("GET", "/goim/nodes/instances", "").await;
    assert_eq!(answer.body, r#"{"code":0,"message":"","data":null}"#);
}

#[tokio::test]
async fn devices_are_spread_over_equal_nodes_between_two_counts() {
    let (a, b) = (Comet::start("a", 1).await, Comet::start("b", 2).await);
    a.set_census(10, 1, &[]);
    b.set_census(10, 1, &[]);
    let bed = Bed::with(&[&a, &b], |config| config.census_ms = 3_600_000).await;
    let total = json!({ "code": 0, "message": "", "data": { "conn_count": 20, "ip_count": 2 } });
    answers(&bed, "/goim/online/total", &total).await;
    let mut first = Vec::new();
    for _ in 0..10 {
        let answer = bed.http("GET", "/goim/nodes/weighted", "").await;
        first.push(answer.json()["data"]["nodes"][0].as_str().unwrap().to_owned());
    }
    let to_a = first.iter().filter(|node| *node == "10.0.0.1").count();
    assert!((4..=6).contains(&to_a), "{first:?}");
}
