//! Limits: what happens at each of them.

use std::time::Duration;

use orrery_comet::{Config, StartError};
use orrery_host::Host;
use orrery_proto::edge::edge_request::Kind as Request;
use orrery_proto::registry::command::Kind as Write;
use tokio::io::AsyncReadExt;

use crate::support::device::{BOTH, Transport, frame};
use crate::support::logic::Fate;
use crate::support::{Stage, soon};

#[tokio::test]
async fn a_connection_above_the_limit_is_refused_and_a_place_that_is_given_up_is_taken() {
    let stage = Stage::with(|config| config.connections_max = 1).await;
    let device = stage.device(Transport::Tcp, r#"{"mid":1}"#).await;

    let tcp = stage.comet.tcp_address().to_string();
    let mut refused = stage.host.net.connect(&tcp).await.unwrap();
    let mut bytes = Vec::new();
    let read = soon("the refusal", refused.read_to_end(&mut bytes)).await;
    assert_eq!(read.unwrap_or(0), 0);

    let websocket = stage.comet.websocket_address().to_string();
    let mut refused = stage.host.net.connect(&websocket).await.unwrap();
    soon("the refusal", refused.read_to_end(&mut bytes)).await.unwrap();
    let answer = String::from_utf8(bytes).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("Retry-After: "), "{answer}");

    drop(device);
    stage.logic.until("the goodbye", |logic| logic.routes().is_empty()).await;
    // The place is free when the comet has heard the answer to its last unbind.
    soon("a free place", async {
        while !stage.stranger(Transport::Tcp).await.try_authenticate("{}").await {}
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_frames_closes_the_connection() {
    for transport in BOTH {
        let stage = Stage::with(|config| {
            config.frames_burst = 20;
            config.frames_per_second = 1;
        })
        .await;
        let mut device = stage.device(transport, "{}").await;
        device.send_burst((0..30).map(|seq| frame(4, seq, b""))).await;
        for seq in 0..19 {
            assert_eq!(device.receive().await, frame(4, seq, b""), "the token was the first frame");
        }
        device.ended().await;
    }
}

#[tokio::test]
async fn what_a_device_sends_while_we_do_not_read_is_no_flood_when_we_read_on() {
    let stage = Stage::with(|config| {
        config.frames_burst = 20;
        config.frames_per_second = 100;
        // What is held is not asked for again.
        config.edge_request_ms = 60_000;
    })
    .await;
    stage.logic.rule(|request| match request {
        Request::Write(write) if matches!(write.kind, Some(Write::SetRooms(_))) => Fate::Hold,
        _ => Fate::Answer,
    });
    let mut device = stage.device(Transport::Tcp, r#"{"mid":1}"#).await;
    let room = |seq: i32| frame(12, seq, format!("live://{seq}").as_bytes());
    // One more than wait behind the one under way: the device is not read any more.
    device.send_burst((0..18).map(room)).await;
    stage.logic.until("the change", |logic| logic.held() > 0).await;
    for seq in 0..80 {
        device.send(frame(4, seq, b"")).await;
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    stage.logic.release();
    let mut heard = Vec::new();
    while heard.len() < 80 {
        heard.extend(Some(device.receive().await).filter(|it| it.op == 4).map(|it| it.seq));
    }
    assert_eq!(heard, (0..80).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let stage = Stage::new().await;
    let taken = stage.comet.tcp_address();
    let config = Config { tcp_listen: taken, ..Config::default() };
    match orrery_comet::start(config, Host::system()).await {
        Err(StartError::Listen { address, .. }) => assert_eq!(address, taken),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the port was taken"),
    }
}

#[tokio::test]
async fn a_value_that_makes_no_sense_is_named() {
    let config = Config { outbox_frames: 0, ..Config::default() };
    let Err(error) = orrery_comet::start(config, Host::system()).await else {
        panic!("no comet can run without an outbox")
    };
    assert_eq!(error.to_string(), "outbox_frames must be at least 1");
    for (bytes_burst, json_message_bytes) in [(16_383, 1), (20_000, 20_001), (20_000, 18_601)] {
        let config = Config { bytes_burst, json_message_bytes, ..Config::default() };
        let error = config.check().unwrap_err().to_string();
        assert_eq!(
            error,
            "bytes_burst must be at least 16384, and 1400 more than json_message_bytes"
        );
    }
    let config = Config { delivery_advertise: Some(String::new()), ..Config::default() };
    let error = config.check().unwrap_err().to_string();
    assert!(error.starts_with("delivery_advertise must not be empty"), "{error}");
}
