//! Draining: devices are sent elsewhere at a pace, with all that was promised to them, by a stop or by an operator, and
//! from the doors within TLS as from those without.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use orrery_host::Host;
use orrery_proto::comet::{DrainRequest, DrainStatus, StatusRequest, UndrainRequest};
use orrery_proto::delivery::Outcome;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;
use tonic::Code;

use crate::connect::{room, user};
use crate::presence::unbinds;
use crate::support::device::{Device, Transport, frame};
use crate::support::json::JsonDevice;
use crate::support::memory::{DOOR, MemoryNet};
use crate::support::secured::{Door, Secured};
use crate::support::session::{target, to_connections, to_room};
use crate::support::web::Reply;
use crate::support::{Stage, soon};

pub(crate) fn drain(per_second: u32, nodes: &[&str]) -> DrainRequest {
    DrainRequest {
        comet: "comet-1".to_owned(),
        per_second,
        nodes: nodes.iter().map(|&node| node.to_owned()).collect(),
        by: "the test".to_owned(),
    }
}

fn undrain() -> UndrainRequest {
    UndrainRequest { comet: "comet-1".to_owned(), by: String::new() }
}

async fn status(stage: &Stage) -> DrainStatus {
    let request = StatusRequest { comet: "comet-1".to_owned() };
    soon("a status", stage.operator().status(request)).await.unwrap().into_inner()
}

/// Waits until nothing of any device is left.
pub(crate) async fn emptied(stage: &Stage) {
    soon("an empty comet", async {
        loop {
            let DrainStatus { draining, connections, handshakes, unbinding, .. } =
                status(stage).await;
            assert!(draining);
            if connections + handshakes + unbinding == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Devices, each second one of them within TLS.
pub(crate) async fn jsons(comet: &Secured, count: usize) -> Vec<JsonDevice> {
    let doors = comet.doors(Transport::WebSocket);
    let mut devices = Vec::new();
    for number in 0..count {
        let mut device = doors[number % 2].json().await;
        device.hello(json!({"type": "hello", "user": format!("json-{number}")})).await;
        devices.push(device);
    }
    devices
}

/// The same on TCP.
async fn goims(comet: &Secured, count: usize) -> Vec<Device> {
    let doors = comet.doors(Transport::Tcp);
    let mut devices = Vec::new();
    for mid in 1..=count {
        let mut device = Device::over(doors[mid % 2].stream().await, Transport::Tcp).await;
        device.authenticate(&json!({"mid": mid, "accepts": [1000]}).to_string()).await;
        devices.push(device);
    }
    devices
}

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A comet that takes no devices says so to those who come to its door for WebSocket.
pub(crate) async fn nobody_is_let_in(door: &Door) {
    let mut upgrade = door.web().await;
    let refused = upgrade.fetch_with(UPGRADE, "GET", "/sub", "").await;
    is_sent_elsewhere(&refused);
    upgrade.ended().await;
    let mut hello = door.web().await;
    let refused = hello.fetch("POST", "/sub/poll", r#"{"type":"hello"}"#).await;
    is_sent_elsewhere(&refused);
    hello.ended().await;
}

pub(crate) fn is_sent_elsewhere(refused: &Reply) {
    assert_eq!((refused.status, refused.header("connection")), (503, "close"), "{refused:?}");
    let pause = refused.header("retry-after").parse().unwrap();
    assert!((1..=2).contains(&pause), "soon, and elsewhere: {refused:?}");
}

#[tokio::test]
async fn a_comet_that_stops_sends_its_devices_elsewhere_at_its_pace() {
    const EACH: usize = 6;
    const PER_SECOND: u32 = 20;
    let stage = Secured::with(|config| {
        (config.drain_per_second, config.drain_spread_ms) = (PER_SECOND, 3000);
        config.stop_ms = 60_000;
    })
    .await;
    let (mut jsons, mut goims) = (jsons(&stage, EACH).await, goims(&stage, EACH).await);
    let logic = stage.logic.clone();
    let began = Instant::now();
    let told = join_all(jsons.iter_mut().map(|device| async {
        let hint = device.sent_away().await;
        (began.elapsed(), Some(hint))
    }));
    let ended = join_all(goims.iter_mut().map(|device| async {
        device.ended().await;
        (began.elapsed(), None)
    }));
    let (told, ended, ()) = tokio::join!(told, ended, soon("the stop", stage.stage.comet.stop()));

    let mut all: Vec<(Duration, Option<Value>)> = told.into_iter().chain(ended).collect();
    all.sort_by_key(|(at, _)| *at);
    for (number, (at, _)) in (1..).zip(&all) {
        let earliest = Duration::from_secs(1) * number / PER_SECOND;
        assert!(*at >= earliest, "number {number} went after {at:?}");
    }
    let pauses = all.iter().filter_map(|(_, hint)| hint.as_ref()).map(|hint| {
        assert_eq!(
            (&hint["type"], hint.as_object().unwrap().len()),
            (&json!("drain"), 2),
            "{hint}"
        );
        hint["retry_after_ms"].as_u64().unwrap()
    });
    let pauses: BTreeSet<u64> = pauses.collect();
    assert!(pauses.len() > 1, "each has its own: {pauses:?}");
    assert!(pauses.iter().all(|pause| *pause <= 3000), "{pauses:?}");
    assert!(logic.routes().is_empty());
    assert_eq!(unbinds(&logic).len(), 2 * 2 * EACH, "all were unbound, one by one");
}

#[tokio::test]
async fn a_comet_is_not_ready_any_more_before_the_first_device_goes() {
    let stage = Secured::with(|_| {}).await;
    let mut devices = jsons(&stage, 2).await;
    let answer = stage.operator().drain(drain(1, &["other:3102", "another"])).await.unwrap();
    assert_eq!(
        answer.into_inner(),
        DrainStatus { draining: true, per_second: 1, connections: 2, ..DrainStatus::default() }
    );
    assert!(stage.comet.ready().unwrap_err().contains("draining"));
    assert_eq!(status(&stage).await.connections, 2, "the first one goes after a second");
    stage.operator().drain(drain(1000, &[])).await.unwrap();
    for device in &mut devices {
        let hint = device.sent_away().await;
        let nodes: BTreeSet<&str> =
            hint["nodes"].as_array().unwrap().iter().map(|node| node.as_str().unwrap()).collect();
        assert_eq!(nodes, ["another", "other:3102"].into(), "what was said of others holds on");
    }
    emptied(&stage).await;
    assert!(stage.logic.routes().is_empty());
}

#[tokio::test]
async fn a_drained_comet_takes_devices_again_when_it_is_told_so_and_none_before() {
    let stage = Secured::with(|_| {}).await;
    let mut session = stage.session().await;
    assert!(!session.told_draining().await, "each is told how it is first");
    stage.operator().drain(drain(0, &[])).await.unwrap();
    assert!(session.told_draining().await);
    assert!(stage.session().await.told_draining().await, "a later logic is told so too");
    emptied(&stage).await;

    assert!(!stage.stranger(Transport::Tcp).await.try_authenticate("{}").await);
    let [_, secured] = stage.doors(Transport::Tcp);
    let refused = secured.try_stream().await.err().expect("a reset before TLS");
    assert_eq!(refused.kind(), ErrorKind::ConnectionReset);
    for door in stage.doors(Transport::WebSocket) {
        nobody_is_let_in(&door).await;
    }
    assert!(stage.counted_for("handshakes_refused", "limit", "drain") >= 6);

    stage.operator().undrain(undrain()).await.unwrap();
    assert!(!session.told_draining().await);
    assert_eq!(stage.comet.ready(), Ok(()));
    goims(&stage, 2).await;
}

#[tokio::test]
async fn what_is_for_another_comet_or_too_long_is_refused() {
    let stage = Secured::with(|_| {}).await;
    let other = DrainRequest { comet: "comet-2".to_owned(), ..drain(1, &[]) };
    let refused = stage.operator().drain(other).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("comet-1"), "{refused}");
    let (long, many) = ("x".repeat(257), ["a"; 17]);
    for nodes in [&[""][..], &[&long], &many] {
        let refused = stage.operator().drain(drain(1, nodes)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    assert_eq!(stage.comet.ready(), Ok(()));
}

#[tokio::test]
async fn whoever_is_sent_elsewhere_has_all_that_was_queued_for_it_first() {
    // What is pushed to the room waits for more all the time.
    let stage = Secured::with(|config| config.coalesce_ms = 100).await;
    let mut devices = jsons(&stage, 2).await;
    for device in &mut devices {
        device.send(json!({"type": "join", "rooms": ["r"]})).await;
        assert_eq!(device.receive().await["type"], "joined");
    }
    let mut session = stage.session().await;
    for op in 0..10 {
        let receipt = session.deliver(to_room(op, b"x", &room("r"))).await;
        assert_eq!(receipt.tally.unwrap().queued, 2);
    }
    stage.operator().drain(drain(100_000, &[])).await.unwrap();
    for device in &mut devices {
        for op in 0..10 {
            assert_eq!(device.receive().await["op"], op);
        }
        assert_eq!(device.sent_away().await["type"], "drain");
    }
}

#[tokio::test]
async fn whoever_is_sent_elsewhere_is_listened_to_until_it_has_closed_too() {
    let net = MemoryNet::new();
    let host = Host { net: Arc::new(net.clone()), ..Host::system() };
    let stage = Stage::on(host, |config| config.tcp_listen = DOOR).await;
    let mut devices = Vec::new();
    for _ in 0..8 {
        devices.push(net.authenticated("{}", 4096).await);
    }
    stage.operator().drain(drain(100_000, &[])).await.unwrap();
    for device in &mut devices {
        assert_eq!(soon("the end", device.read(&mut [0])).await.unwrap(), 0);
        // A kernel resets who says something to a stream that nobody has, and what is on its way may be lost.
        device.write_all(&frame(2, 1, b"").encode()).await.expect("somebody reads it");
    }
    drop(devices);
    emptied(&stage).await;
}

#[tokio::test]
async fn no_push_is_lost_that_was_said_to_be_written_while_devices_go() {
    const DEVICES: usize = 30;
    let stage = Secured::with(|config| config.drain_per_second = 60).await;
    let devices = goims(&stage, DEVICES).await;
    let routes: Vec<_> =
        (1..=DEVICES).map(|mid| stage.logic.route(&user(&mid.to_string()))).collect();
    let mut session = stage.session().await;
    (session.wait_written, session.timeout_ms) = (true, 5000);
    // Each reads to its end, and says something all the time.
    let reading = join_all(devices.into_iter().map(|mut device| async move {
        let mut got = BTreeSet::new();
        let mut seq = 0;
        while let Some(received) = device.try_receive().await {
            if received.op == 1000 {
                got.insert(String::from_utf8(received.body.to_vec()).unwrap());
            }
            seq += 1;
            device.try_send(frame(2, seq, b"")).await;
        }
        got
    }));
    let pushing = async {
        let mut written = vec![BTreeSet::new(); DEVICES];
        for number in 0.. {
            let targets = routes.iter().map(target).collect();
            let body = number.to_string();
            let receipt = session.deliver(to_connections(1000, body.as_bytes(), targets)).await;
            let outcomes: Vec<_> =
                receipt.outcomes.iter().map(|it| Outcome::try_from(*it)).collect();
            for (written, outcome) in written.iter_mut().zip(&outcomes) {
                match outcome.unwrap() {
                    Outcome::Written => drop(written.insert(body.clone())),
                    Outcome::NotHere | Outcome::DroppedClosed => {}
                    other => panic!("{other:?}"),
                }
            }
            if outcomes.iter().all(|it| *it == Ok(Outcome::NotHere)) {
                return written;
            }
        }
        unreachable!()
    };
    let draining = async {
        stage.operator().drain(drain(0, &[])).await.unwrap();
    };
    let (got, written, ()) = tokio::join!(reading, soon("the last one's end", pushing), draining);
    for (got, written) in got.iter().zip(&written) {
        let lost: Vec<_> = written.difference(got).collect();
        assert!(lost.is_empty(), "{lost:?}");
    }
    assert!(written.iter().map(BTreeSet::len).max() > Some(3), "pushes went on meanwhile");
    emptied(&stage).await;
    assert!(stage.logic.routes().is_empty());
}
