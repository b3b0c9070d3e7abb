//! A comet is drained, by an operator or by signals.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use orrery_host::Host;
use orrery_sdk::{Device, Event, Options, ServerMessage, Transport};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::fleet::Fleet;
use crate::support::cluster::{ctl, try_ctl};
use crate::support::{DEADLINE, http};

async fn devices(fleet: &Fleet, comet: usize, count: usize) -> Vec<Device> {
    let host = Host::system();
    let connect = (0..count).map(|number| {
        let options = Options::new(Transport::Json, fleet.websocket[comet].to_string());
        let net = host.net.clone();
        async move { Device::connect(&net, options.user(format!("u{number}"))).await.unwrap() }
    });
    join_all(connect).await
}

/// What a device hears until it is closed, with what code.
async fn to_the_end(device: &mut Device) -> (Vec<Event>, Option<u16>) {
    let mut heard = Vec::new();
    let end = async {
        loop {
            match device.next().await {
                Event::Closed { code, .. } => return code,
                event => heard.push(event),
            }
        }
    };
    let code = tokio::time::timeout(DEADLINE, end).await.expect("it ends");
    (heard, code)
}

/// Where devices are advised to connect.
async fn advised(fleet: &Fleet) -> Vec<String> {
    let (status, answer) = http(fleet.push, "GET", "/goim/nodes/weighted", "").await;
    assert_eq!(status, 200);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let nodes = answer["data"]["nodes"].as_array().unwrap();
    nodes.iter().map(|node| node.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_operator_drains_a_comet_looks_at_it_and_lets_it_take_devices_again() {
    const PER_SECOND: u32 = 10;
    let fleet = Fleet::start(2, &[]).await;
    let routers = fleet.registry.to_string();
    let mut devices = devices(&fleet, 0, 10).await;
    let slow = ctl(&routers, &["comet", "slow", "comet-0"]).await;
    assert_eq!(slow, json!({ "devices": [] }));
    ctl(&routers, &["comet", "slow", "--all", "--limit", "5"]).await;
    let [one, other] = [0, 1].map(|comet| fleet.websocket[comet].to_string());
    let both = async {
        while advised(&fleet).await.len() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, both).await.expect("logic hears of both");

    let began = Instant::now();
    let arguments = ["comet", "drain", "comet-0", "--rate", "10/s", "--watch"];
    let ends = join_all(devices.iter_mut().map(to_the_end));
    let (told, ends) = tokio::join!(try_ctl(&routers, &arguments), ends);
    assert_eq!(told.code, 0, "{told:?}");
    assert!(began.elapsed() >= Duration::from_secs(1) * 10 / PER_SECOND, "{:?}", began.elapsed());
    assert!(told.stderr.contains("comet comet-0 still has"), "it is watched: {told:?}");
    let expected = json!({
        "comet": "comet-0", "state": "drained", "per_second": PER_SECOND, "connections": 0, "unbinding": 0,
    });
    assert_eq!(told.json, expected);
    for (heard, code) in ends {
        assert_eq!(code, Some(1012));
        let [Event::Json(ServerMessage::Drain { nodes, .. })] = &heard[..] else {
            panic!("{heard:?}")
        };
        assert_eq!(nodes, std::slice::from_ref(&other));
    }
    assert!(!fleet.comets[0].is_ready().await);
    assert_eq!(advised(&fleet).await, std::slice::from_ref(&other));
    let located = ctl(&routers, &["locate", "u1"]).await;
    assert_eq!(located["routes"], json!([]), "{located}");

    let undone = ctl(&routers, &["comet", "drain", "comet-0", "--undo"]).await;
    assert_eq!(undone["state"], "open", "{undone}");
    assert!(fleet.comets[0].is_ready().await);
    let back = async {
        while !advised(&fleet).await.contains(&one) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(DEADLINE, back).await.expect("it is advised again");

    let unknown = try_ctl(&routers, &["comet", "drain", "comet-9"]).await;
    assert_eq!(unknown.code, 1, "{unknown:?}");
    assert!(unknown.stderr.contains("no comet lives under the id comet-9"), "{unknown:?}");
    for wrong in [
        &["comet", "drain", "comet-0", "--rate", "0"][..],
        &["comet", "drain", "comet-0", "--rate", "5", "--undo"],
        &["comet", "slow"],
        &["comet", "slow", "comet-0", "--all"],
    ] {
        assert_eq!(try_ctl(&routers, wrong).await.code, 2, "{wrong:?}");
    }
}

#[tokio::test]
async fn devices_are_told_of_no_comet_that_is_drained_itself() {
    let fleet = Fleet::start(3, &[]).await;
    let routers = fleet.registry.to_string();
    ctl(&routers, &["comet", "drain", "comet-0"]).await;
    let mut devices = devices(&fleet, 1, 1).await;
    let (_, (heard, _)) = tokio::join!(
        ctl(&routers, &["comet", "drain", "comet-1", "--rate", "1000/s"]),
        to_the_end(&mut devices[0]),
    );
    let [Event::Json(ServerMessage::Drain { nodes, .. })] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(nodes, &[fleet.websocket[2].to_string()]);
}

#[tokio::test]
async fn a_second_signal_hurries_a_comet_that_stops() {
    let mut fleet = Fleet::start(1, &["comet.drain_per_second=1", "comet.stop_ms=600000"]).await;
    let mut devices = devices(&fleet, 0, 120).await;
    let began = Instant::now();
    fleet.comets[0].signal(Signal::TERM);
    let goes = devices.iter_mut().map(|device| Box::pin(to_the_end(device)));
    let mut goes = futures_util::future::select_all(goes);
    // The first one goes after a second: whoever asks has stopped sending others by then.
    let unready = async { while fleet.comets[0].is_ready().await {} };
    tokio::select! {
        ((first, _), ..) = &mut goes => panic!("one went before the comet was not ready: {first:?}"),
        () = unready => {}
    }
    // Once the first one was sent away, the first signal has been heard.
    let ((first, _), _, others) = goes.await;
    assert!(matches!(first[..], [Event::Json(ServerMessage::Drain { .. })]), "{first:?}");
    fleet.comets[0].signal(Signal::TERM);
    for (heard, code) in join_all(others).await {
        assert_eq!((heard.len(), code), (1, Some(1012)));
    }
    fleet.comets[0].ended().await;
    assert!(began.elapsed() < Duration::from_secs(60), "at its pace it takes two minutes");
}

#[tokio::test]
async fn a_third_signal_ends_a_comet_that_stops_at_once() {
    let mut fleet = Fleet::start(1, &["comet.drain_per_second=1", "comet.stop_ms=600000"]).await;
    let mut devices = devices(&fleet, 0, 120).await;
    fleet.comets[0].signal(Signal::TERM);
    let goes = devices.iter_mut().map(|device| Box::pin(to_the_end(device)));
    futures_util::future::select_all(goes).await;
    // Stopped, so that both are there when it runs again: nothing ends in between.
    let comet = &mut fleet.comets[0];
    for each in [Signal::STOP, Signal::TERM, Signal::INT, Signal::CONT] {
        comet.signal(each);
    }
    assert_eq!(comet.code().await, 130);
}
