//! goim's HTTP API: each endpoint with its parameters, status, content type and body.

use serde_json::{Value, json};

use crate::device::{Device, Who};
use crate::http::Http;
use crate::reply::Reply;
use crate::stack::{Plan, id, mid, shared};
use crate::until;
use crate::wire::{ALL, EVERY, Transport, Wire};

const JSON: &str = "application/json; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// What goim answers a request that it could carry out and that has no data.
fn done(answer: &Reply) {
    assert_eq!(answer.body, r#"{"code":0,"message":""}"#);
    assert_eq!((answer.status, answer.header("content-type")), (200, JSON));
}

/// What goim answers a request whose parameters cannot be bound.
fn refused(answer: &Reply, message: &str) {
    assert_eq!(answer.json(), json!({"code": -400, "message": message}));
    assert_eq!((answer.status, answer.header("content-type")), (400, TEXT));
}

/// The data of an answer.
fn data(answer: &Reply) -> Value {
    assert_eq!((answer.status, answer.header("content-type")), (200, JSON), "{answer:?}");
    assert!(answer.body.starts_with(r#"{"code":0,"message":"","data":"#), "{answer:?}");
    answer.json()["data"].clone()
}

fn required(fields: &[&str]) -> String {
    let line = |field: &&str| {
        format!("Key: '{field}' Error:Field validation for '{field}' failed on the 'required' tag")
    };
    fields.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn number(text: &str, what: &str) -> String {
    format!("strconv.ParseInt: parsing \"{text}\": {what}")
}

async fn http() -> Http {
    shared().http().await
}

#[tokio::test]
async fn push_keys() {
    let mut http = http().await;
    let (a, b) = (id("a"), id("b"));
    let mut one = shared().device(Transport::Tcp, &Who::key(&a)).await;
    let mut other = shared().device(Transport::WebSocket, &Who::key(&b).accepts(&[0])).await;
    let path = "/goim/push/keys";
    // Unknown keys are passed over; an operation that is not there is 0.
    done(&http.post(&format!("{path}?operation=1000&keys={a}&keys=nobody&keys="), "k=1&m=2").await);
    one.expect(1000, b"k=1&m=2").await;
    done(&http.post(&format!("{path}?keys={b}&keys={a}"), "").await);
    other.expect(0, b"").await;
    // A comma separates nothing.
    done(&http.post(&format!("{path}?operation=1000&keys={a},{b}"), "nobody").await);
    one.beat().await;
    refused(
        &http.post(&format!("{path}?operation=abc&keys={a}"), "").await,
        &number("abc", "invalid syntax"),
    );
    refused(
        &http.post(&format!("{path}?operation=2147483648&keys={a}"), "").await,
        &number("2147483648", "value out of range"),
    );
}

#[tokio::test]
async fn push_mids() {
    let mut http = http().await;
    let mid = mid();
    let mut device = shared().device(Transport::Tcp, &Who::user(mid, "").accepts(&[0, 1000])).await;
    let path = "/goim/push/mids";
    done(&http.post(&format!("{path}?operation=1000&mids={mid}&mids=1&mids="), "m").await);
    device.expect(1000, b"m").await;
    done(&http.post(&format!("{path}?mids={mid}"), "zero").await);
    device.expect(0, b"zero").await;
    refused(&http.post(&format!("{path}?mids=1,2"), "").await, &number("1,2", "invalid syntax"));
    refused(
        &http.post(&format!("{path}?mids={mid}&mids=x"), "").await,
        &number("x", "invalid syntax"),
    );
    let large = "9223372036854775808";
    refused(
        &http.post(&format!("{path}?mids={large}"), "").await,
        &number(large, "value out of range"),
    );
    device.beat().await;
}

#[tokio::test]
async fn push_room() {
    let mut http = http().await;
    let room = id("room");
    let mut device = shared().device(Transport::Tcp, &Who::member(&format!("live://{room}"))).await;
    let path = "/goim/push/room";
    done(&http.post(&format!("{path}?operation=1&type=live&room={room}"), "r").await);
    device.expect(1, b"r").await;
    done(&http.post(&format!("{path}?operation=1&type=live&room=nobody-is-here"), "r").await);
    done(&http.post(&format!("{path}?operation=-1&type=li%76e&room={room}"), "r").await);
    device.expect(-1, b"r").await;
    refused(&http.post(path, "").await, &required(&["Op", "Type", "Room"]));
    refused(
        &http.post(&format!("{path}?operation=0&type=live&room="), "").await,
        &required(&["Op", "Room"]),
    );
    refused(
        &http.post(&format!("{path}?operation=x&type=live&room={room}"), "").await,
        &number("x", "invalid syntax"),
    );
    device.beat().await;
}

#[tokio::test]
async fn push_all() {
    let stack = Plan::new().start().await;
    let mut http = stack.http().await;
    let mut device = stack.device(Transport::Tcp, &Who::key("k").accepts(&[7])).await;
    done(&http.post("/goim/push/all?operation=7", "all").await);
    device.expect(7, b"all").await;
    done(&http.post("/goim/push/all?operation=7&speed=100", "at a pace").await);
    device.expect(7, b"at a pace").await;
    refused(&http.post("/goim/push/all", "").await, &required(&["Op"]));
    refused(&http.post("/goim/push/all?operation=0", "").await, &required(&["Op"]));
    refused(
        &http.post("/goim/push/all?operation=7&speed=fast", "").await,
        &number("fast", "invalid syntax"),
    );
    device.beat().await;
}

#[tokio::test]
async fn online_top_lists_the_fullest_rooms_of_a_type_first() {
    let stack = Plan::new().with(|plan| plan.comets = 2).start().await;
    let mut devices = Vec::new();
    for (room, members) in [
        ("live://1000", 2),
        ("live://2000", 3),
        ("live://a/b", 1),
        ("test://1", 4),
        ("live://no url", 1),
    ] {
        for number in 0..members {
            let doors = &stack.comets[number % 2];
            devices.push(Device::connect(doors, Transport::Tcp, &Who::member(room)).await);
        }
    }
    let mut http = stack.http().await;
    let all = json!([
        {"room_id": "2000", "count": 3},
        {"room_id": "1000", "count": 2},
        {"room_id": "a", "count": 1}
    ]);
    until("all are counted", async || {
        let test = data(&http.get("/goim/online/top?type=test&limit=1").await);
        let live = data(&http.get("/goim/online/top?type=live&limit=10").await);
        test[0]["count"] == 4 && live == all
    })
    .await;
    let top = http.get("/goim/online/top?type=test&limit=1").await;
    assert_eq!(top.body, r#"{"code":0,"message":"","data":[{"room_id":"1","count":4}]}"#);
    assert_eq!(
        data(&http.get("/goim/online/top?type=li&limit=2").await).as_array().unwrap().len(),
        2
    );
    assert_eq!(data(&http.get("/goim/online/top?type=none&limit=5").await), json!([]));
    let missing = http.get("/goim/online/top").await;
    refused(&missing, &required(&["Type", "Limit"]));
    refused(&http.get("/goim/online/top?type=live&limit=0").await, &required(&["Limit"]));
    refused(&http.get("/goim/online/top?type=live&limit=x").await, &number("x", "invalid syntax"));
}

#[tokio::test]
async fn a_body_in_chunks_is_a_body() {
    let key = id("key");
    let mut device = shared().device(Transport::Tcp, &Who::key(&key)).await;
    let mut wire = Wire::bare(shared().http, Transport::Tcp).await;
    let request = format!(
        "POST /goim/push/keys?operation=1000&keys={key} HTTP/1.1\r\nHost: localhost\r\n\
         Transfer-Encoding: chunked\r\n\r\n3\r\nin \r\n6\r\nchunks\r\n0\r\n\r\n"
    );
    wire.send_bytes(request.as_bytes()).await;
    assert!(wire.http_head().await.starts_with("HTTP/1.1 200 "));
    device.expect(1000, b"in chunks").await;
}

#[tokio::test]
async fn a_negative_limit_is_a_bad_request() {
    let answer = http().await.get("/goim/online/top?type=live&limit=-1").await;
    refused(&answer, "Key: 'Limit' Error:Field validation for 'Limit' failed on the 'min' tag");
}

#[tokio::test]
async fn online_room_counts_the_rooms_that_were_asked_for() {
    let mut http = http().await;
    let room = id("room");
    let mut devices = Vec::new();
    for transport in EVERY {
        devices.push(shared().device(transport, &Who::member(&format!("live://{room}"))).await);
    }
    let target = format!("/goim/online/room?type=live&rooms={room}&rooms=nobody");
    until("all are counted", async || {
        data(&http.get(&target).await) == json!({room.as_str(): EVERY.len(), "nobody": 0})
    })
    .await;
    refused(&http.get("/goim/online/room?type=live").await, &required(&["Rooms"]));
    refused(&http.get("/goim/online/room").await, &required(&["Type", "Rooms"]));
    refused(&http.get("/goim/online/room?rooms=1").await, &required(&["Type"]));
}

#[tokio::test]
async fn online_total_counts_connections_and_addresses_of_each_comet() {
    let stack = Plan::new().with(|plan| plan.comets = 2).start().await;
    let mut http = stack.http().await;
    let mut devices = Vec::new();
    for transport in ALL {
        for doors in &stack.comets {
            devices.push(Device::connect(doors, transport, &Who::key(&id("key"))).await);
        }
    }
    let count = devices.len();
    let expected =
        format!(r#"{{"code":0,"message":"","data":{{"conn_count":{count},"ip_count":2}}}}"#);
    until("all are counted", async || http.get("/goim/online/total").await.body == expected).await;
    devices.clear();
    let expected = r#"{"code":0,"message":"","data":{"conn_count":0,"ip_count":0}}"#;
    until("nobody is left", async || http.get("/goim/online/total").await.body == expected).await;
}

#[tokio::test]
async fn nodes_weighted() {
    let change = |plan: &mut Plan| {
        plan.logic.nodes.domain = "conn.goim.io".to_owned();
        plan.logic.nodes.host_domain = ".goim.io".to_owned();
        plan.logic.nodes.wss_port = 3103;
        plan.comets = 0;
    };
    let mut stack = Plan::new().with(change).start().await;
    let weighted = |nodes: &str| {
        format!(
            r#"{{"code":0,"message":"","data":{{"domain":"conn.goim.io","tcp_port":3101,"ws_port":3102,"wss_port":3103,"heartbeat":240,"nodes":["{nodes}"],"backoff":{{"max_delay":300,"base_delay":3,"factor":1.8,"jitter":0.3}},"heartbeat_max":2}}}}"#
        )
    };
    let mut http = stack.http().await;
    for platform in ["", "?platform=web", "?platform=ios"] {
        let answer = http.get(&format!("/goim/nodes/weighted{platform}")).await;
        assert_eq!(answer.body, weighted("conn.goim.io"), "without a comet");
        assert_eq!((answer.status, answer.header("content-type")), (200, JSON));
    }
    stack.start_comet("comet-0", None).await;
    until("the comet is advised", async || {
        http.get("/goim/nodes/weighted").await.body == weighted("comet-0.public.example")
    })
    .await;
    let web = http.get("/goim/nodes/weighted?platform=web").await;
    assert_eq!(web.body, weighted("comet-0.example.goim.io"));
    for number in 1..7 {
        stack.start_comet(&format!("comet-{number}"), None).await;
    }
    until("at most five are advised", async || {
        let nodes = data(&http.get("/goim/nodes/weighted").await)["nodes"].clone();
        let nodes = nodes.as_array().unwrap().len();
        assert!(nodes <= 5, "{nodes}");
        nodes == 5
    })
    .await;
}

#[tokio::test]
async fn nodes_instances() {
    let stack = Plan::new().start().await;
    let _device = stack.device(Transport::Tcp, &Who::key("k")).await;
    let mut http = stack.http().await;
    until("the device is counted", async || {
        let instances = data(&http.get("/goim/nodes/instances").await);
        instances[0]["metadata"]["conn_count"] == "1"
    })
    .await;
    let answer = http.get("/goim/nodes/instances").await;
    let order = [
        "region",
        "zone",
        "env",
        "appid",
        "hostname",
        "addrs",
        "version",
        "latest_timestamp",
        "metadata",
    ];
    let places: Vec<_> = order.iter().map(|key| answer.body.find(&format!("\"{key}\":"))).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{answer:?}");
    let mut instance = data(&answer)[0].clone();
    let since = instance["latest_timestamp"].take().as_u64().expect("nanoseconds");
    assert!(since > 1_500_000_000_000_000_000, "{since}");
    let address = instance["addrs"][0].take();
    assert!(address.as_str().unwrap().starts_with("grpc://127.0.0.1:"), "{address}");
    assert_eq!(
        instance,
        json!({
            "region": "", "zone": "", "env": "", "appid": "goim.comet",
            "hostname": "comet-0.example", "addrs": [null], "version": "", "latest_timestamp": null,
            "metadata": {
                "addrs": "comet-0.public.example", "conn_count": "1", "ip_count": "1",
                "offline": "false", "weight": "1"
            }
        })
    );
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let mut http = http().await;
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/goim"),
        ("GET", "/goim/push/keys"),
        ("PUT", "/goim/push/room"),
        ("POST", "/goim/online/total"),
        ("POST", "/goim/push/nobody"),
        ("POST", "/goim/push/Keys"),
        ("DELETE", "/goim/nodes/weighted"),
        // What one of goim's own benchmark programs asks for.
        ("POST", "/goim/push/mids=1"),
    ] {
        let answer = http.request(method, path, b"").await;
        assert_eq!((answer.status, answer.body.as_str()), (404, "404 page not found"), "{path}");
        assert_eq!(answer.header("content-type"), "text/plain", "{path}");
    }
}

#[tokio::test]
async fn a_slash_too_many_is_sent_on() {
    let mut http = http().await;
    let answer = http.post("/goim/push/keys/?keys=a&operation=1", "").await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (307, "/goim/push/keys?keys=a&operation=1")
    );
    let answer = http.get("/goim/online/total/").await;
    assert_eq!((answer.status, answer.header("location")), (301, "/goim/online/total"));
}

#[tokio::test]
async fn keys_without_keys_and_mids_without_mids_are_refused_alike() {
    let mut http = http().await;
    refused(&http.post("/goim/push/keys?operation=1", "").await, &required(&["Keys"]));
    refused(&http.post("/goim/push/mids?operation=1", "").await, &required(&["Mids"]));
}

#[tokio::test]
async fn more_keys_than_one_push_may_name_are_all_pushed_to() {
    let mut http = http().await;
    let key = id("key");
    let mut device = shared().device(Transport::Tcp, &Who::key(&key)).await;
    let others: String = (0..2500).map(|number| format!("keys=n{number}&")).collect();
    done(&http.post(&format!("/goim/push/keys?{others}operation=1000&keys={key}"), "last").await);
    device.expect(1000, b"last").await;
}
