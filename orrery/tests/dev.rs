//! `orrery dev` as a child process: its start, its end, its data, and what it says when it cannot.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::net::TcpListener;
use std::path::Path;

use bytes::Bytes;
use orrery_host::Host;
use orrery_sdk::{Device, Event, Options, Transport};
use rustix::process::Signal;

use support::{DEADLINE, Dev, http, orrery, push_to_user, refusal};

async fn connect(dev: &Dev, user: &str) -> Device {
    let address = dev.address("comet.websocket_listen").to_string();
    let options = Options::new(Transport::Json, address).user(user).room("live://1");
    Device::connect(&Host::system().net, options).await.unwrap()
}

async fn hear(device: &mut Device) -> Bytes {
    match tokio::time::timeout(DEADLINE, device.next()).await.expect("a push in time") {
        Event::Message { op: 1000, body } => body,
        other => panic!("not a push: {other:?}"),
    }
}

#[tokio::test]
async fn push_travels_from_backend_to_device_and_the_end_is_orderly() {
    let data = tempfile::tempdir().unwrap();
    let dev = Dev::start(data.path(), &[]).await;
    let mut alice = connect(&dev, "alice").await;

    let receipt = push_to_user(dev.address("logic.http_listen"), "/v1/push", "alice", "one").await;
    assert_eq!(receipt["summary"]["written"], 1, "{receipt}");
    assert_eq!(hear(&mut alice).await, "one");
    // The demo page's way to the same call.
    let receipt = push_to_user(dev.address("admin.listen"), "/demo/push", "alice", "two").await;
    assert_eq!(receipt["summary"]["written"], 1, "{receipt}");
    assert_eq!(hear(&mut alice).await, "two");

    let (status, text) = http(dev.address("admin.listen"), "GET", "/readyz?verbose", "").await;
    let lines =
        ["[+] router ok", "[+] router: shard 4 ok", "[+] logic ok", "[+] comet ok", "ready"];
    assert_eq!(status, 200, "{text}");
    for line in lines {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    let (status, text) = http(dev.address("admin.listen"), "GET", "/metrics", "").await;
    assert_eq!(status, 200);
    for prefix in ["orrery_router_", "orrery_logic_", "orrery_registry_client_", "orrery_comet_"] {
        assert!(text.contains(prefix), "no metric begins with {prefix}");
    }
    let said = dev.interrupt().await;
    let odd = ["WARN", "ERROR", "panicked"].iter().any(|word| said.contains(word));
    assert!(!odd, "an orderly life: {said}");
}

#[tokio::test]
async fn devices_without_a_websocket_are_pushed_to() {
    let data = tempfile::tempdir().unwrap();
    let dev = Dev::start(data.path(), &[]).await;
    for transport in [Transport::Poll, Transport::Sse] {
        let address = dev.address("comet.websocket_listen").to_string();
        let options = Options::new(transport, address).user("carol");
        let mut carol = Device::connect(&Host::system().net, options).await.unwrap();
        assert!(carol.welcome().seq.is_some());
        carol.join(&["live://2", "live://3"]).await.unwrap();
        carol.leave(&["live://2"]).await.unwrap();
        carol.heartbeat().await.unwrap();
        assert_eq!(carol.next().await, Event::HeartbeatReply { count: None });
        let logic = dev.address("logic.http_listen");
        for number in 0..50 {
            let body = number.to_string();
            let pushing = push_to_user(logic, "/v1/push", "carol", &body);
            let (receipt, heard) = tokio::join!(pushing, hear(&mut carol));
            assert_eq!((&receipt["summary"]["written"], heard), (&1.into(), Bytes::from(body)));
        }
        carol.close().await;
    }
}

#[tokio::test]
async fn three_nodes_two_logics_and_two_comets_work_as_one() {
    let data = tempfile::tempdir().unwrap();
    let mut last = 0;
    for round in 0..2 {
        let dev = Dev::start(data.path(), &["--nodes", "3"]).await;
        let mut alice = connect(&dev, "alice").await;
        let seq = alice.welcome().seq.expect("a connection has a seq");
        assert!(seq > last, "seq {seq} came after {last} in round {round}");
        last = seq;
        let second = dev.address("comet-2.websocket_listen").to_string();
        let options = Options::new(Transport::Json, second).user("bob");
        let mut bob = Device::connect(&Host::system().net, options).await.unwrap();
        for logic in ["logic.http_listen", "logic-2.http_listen"] {
            for (user, device) in [("alice", &mut alice), ("bob", &mut bob)] {
                let receipt = push_to_user(dev.address(logic), "/v1/push", user, "one").await;
                assert_eq!(receipt["summary"]["written"], 1, "{user} by {logic}: {receipt}");
                assert_eq!(hear(device).await, "one");
            }
        }
        let admin = dev.address("admin.listen");
        let (_, text) = http(admin, "GET", "/readyz?verbose", "").await;
        for line in ["[+] router-3 ok", "[+] router-3: shard 4 ok", "[+] comet-2 ok", "ready"] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        let (_, text) = http(admin, "GET", "/metrics", "").await;
        for label in ["orrery_router_term{instance=\"3\"", "orrery_comet_", "instance=\"2\""] {
            assert!(text.contains(label), "no metric has {label}");
        }
        let router = dev.address("router-2.registry_listen").to_string();
        let status = support::cluster::ctl(&router, &["cluster", "status"]).await;
        assert_eq!((&status["healthy"], &status["comets"]), (&true.into(), &2.into()), "{status}");
        let said = dev.interrupt().await;
        assert!(!said.contains("panicked"), "{said}");
    }
    refused_data(data.path(), &[]).await;
    refused_data(data.path(), &["--nodes", "5"]).await;
}

#[tokio::test]
async fn seqs_go_on_after_an_orderly_end_and_after_a_kill() {
    let data = tempfile::tempdir().unwrap();
    let mut last = 0;
    for round in 0..4 {
        let dev = Dev::start(data.path(), &[]).await;
        // The same user is in the same shard, where seqs only rise.
        for _ in 0..3 {
            let seq = connect(&dev, "alice").await.welcome().seq.expect("a connection has a seq");
            assert!(seq > last, "seq {seq} came after {last} in round {round}");
            last = seq;
        }
        match round % 2 {
            0 => dev.kill().await,
            _ => drop(dev.interrupt().await),
        }
    }
}

#[tokio::test]
async fn second_signal_ends_it_at_once_and_harms_no_data() {
    let data = tempfile::tempdir().unwrap();
    let dev = Dev::start(data.path(), &[]).await;
    // Both wait when it goes on, so that the second is there before the orderly end is over.
    assert_eq!(dev.signals(&[Signal::STOP, Signal::INT, Signal::TERM, Signal::CONT]).await, 130);
    drop(Dev::start(data.path(), &[]).await.interrupt().await);
}

#[tokio::test]
async fn taken_port_is_named_with_its_role_and_key() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let keys = [
        "router.registry_listen",
        "router.peers_listen",
        "logic.http_listen",
        "logic.grpc_listen",
        "logic.edge_listen",
        "comet.tcp_listen",
        "comet.websocket_listen",
        "comet.delivery_listen",
        "admin.listen",
    ];
    for key in keys {
        let data = tempfile::tempdir().unwrap();
        let data = data.path().to_str().unwrap();
        let set = format!("{key}={address}");
        let line = refusal(orrery(&["dev", "--any-ports", "--data", data, "--set", &set])).await;
        let role = key.split('.').next().unwrap();
        let expected = format!("orrery: {role}: port {} (key {key}): ", address.port());
        assert!(line.starts_with(&expected), "{line}\nis not\n{expected}");
        assert!(line.contains("in use"), "{line}");
    }
}

async fn refused_data(data: &Path, more: &[&str]) -> String {
    let path = data.to_str().unwrap();
    let arguments = [&["dev", "--any-ports", "--data", path], more].concat();
    let line = refusal(orrery(&arguments)).await;
    assert!(line.contains(path), "{line}\ndoes not name\n{path}");
    line
}

#[tokio::test]
async fn data_directory_in_use_is_refused_and_its_user_unharmed() {
    let data = tempfile::tempdir().unwrap();
    let dev = Dev::start(data.path(), &[]).await;
    let line = refused_data(data.path(), &[]).await;
    assert!(line.contains("in use"), "{line}");
    connect(&dev, "alice").await;
    dev.interrupt().await;
}

#[tokio::test]
async fn data_directory_of_another_node_or_shape_is_refused() {
    let data = tempfile::tempdir().unwrap();
    Dev::start(data.path(), &[]).await.interrupt().await;
    let line = refused_data(data.path(), &["--set", "router.node_id=2"]).await;
    assert!(line.contains("belongs to"), "{line}");
    let line = refused_data(data.path(), &["--shards", "5"]).await;
    assert!(line.contains("shards is 5, but the cluster was founded with 4"), "{line}");
    Dev::start(data.path(), &[]).await.interrupt().await;
}

#[tokio::test]
async fn folder_of_somebody_else_is_left_alone() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("thesis.txt"), "irreplaceable").unwrap();
    refused_data(data.path(), &[]).await;
    let names: Vec<_> =
        std::fs::read_dir(data.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["thesis.txt"]);

    let file = data.path().join("thesis.txt");
    refused_data(&file, &[]).await;
    assert_eq!(std::fs::read_to_string(file).unwrap(), "irreplaceable");
}

#[tokio::test]
async fn damaged_header_is_refused_and_a_mended_one_taken() {
    let data = tempfile::tempdir().unwrap();
    Dev::start(data.path(), &[]).await.interrupt().await;
    let header = data.path().join("header");
    let good = std::fs::read(&header).unwrap();
    let cut = good[..good.len() - 1].to_vec();
    for damaged in [Vec::new(), b"garbage".to_vec(), flipped(&good, good.len() / 2), cut] {
        std::fs::write(&header, damaged).unwrap();
        refused_data(data.path(), &[]).await;
    }
    std::fs::write(&header, &good).unwrap();
    Dev::start(data.path(), &[]).await.interrupt().await;
}

#[tokio::test]
async fn damaged_log_is_refused() {
    let data = tempfile::tempdir().unwrap();
    Dev::start(data.path(), &[]).await.interrupt().await;
    let files = std::fs::read_dir(data.path().join("log")).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let file = files.filter(|path| path.extension().is_some_and(|e| e == "raftlog")).min().unwrap();
    let bytes = std::fs::read(&file).unwrap();
    // The first bytes after the file's own header: a record that was synced long ago.
    std::fs::write(&file, flipped(&bytes, 100)).unwrap();
    refused_data(data.path(), &[]).await;
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 0xff;
    bytes
}
