//! Slow devices: who they are can be asked, and they are nobody else's trouble.

use std::sync::Arc;
use std::time::Duration;

use orrery_host::Host;
use orrery_proto::comet::{SlowDevice, SlowRequest};
use orrery_proto::delivery::Outcome;
use serde_json::json;
use tokio::io::AsyncReadExt;

use crate::connect::{key, room, user};
use crate::support::device::Transport;
use crate::support::memory::{DOOR, MemoryNet};
use crate::support::patience::until;
use crate::support::session::to_room;
use crate::support::{Stage, soon};

async fn slow(stage: &Stage, limit: u32) -> Vec<SlowDevice> {
    let request = SlowRequest { comet: "comet-1".to_owned(), limit };
    soon("a list", stage.operator().slow(request)).await.unwrap().into_inner().devices
}

#[tokio::test]
async fn the_devices_are_listed_that_do_not_take_what_is_pushed_to_them() {
    let stage = Stage::new().await;
    let mut deaf = Vec::new();
    for mid in 1..=3 {
        let token = json!({"mid": mid, "key": format!("k{mid}"), "accepts": [1]}).to_string();
        deaf.push(stage.device(Transport::Tcp, &token).await);
    }
    let mut good = stage.json().await;
    good.hello(json!({"type": "hello", "user": "good"})).await;
    assert_eq!(slow(&stage, 0).await, [], "nothing waits for anybody");

    let mut session = stage.session().await;
    let routes = [1, 2, 3].map(|mid: u64| stage.logic.route(&user(&mid.to_string())));
    let body = vec![0; 300_000];
    // The second one loses most.
    for (route, lost) in routes.iter().zip([1, 3, 2]) {
        let mut dropped = 0;
        soon("a full outbox", async {
            while dropped < lost {
                let outcomes = session.push(1, &body, &[route]).await;
                dropped += u32::from(outcomes == [Outcome::DroppedOutboxFull]);
            }
        })
        .await;
    }
    session.push(1, b"hi", &[&stage.logic.route(&user("good"))]).await;
    assert_eq!(good.receive().await["data"], "hi");

    let listed = soon("a list of those who stand still", async {
        loop {
            let listed = slow(&stage, 0).await;
            if listed.len() == 3 && listed.iter().all(|device| device.still_seconds > 0) {
                return listed;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    for device in &listed {
        assert_eq!(device.protocol, "tcp");
        assert!(device.bytes > 300_000 && device.frames >= 2, "{device:?}");
        let primary = orrery_model::Address::try_from(device.primary.clone().unwrap()).unwrap();
        let mid: usize = primary.id.as_str().parse().unwrap();
        let secondary = Some((&key(&format!("k{mid}"))).into());
        assert_eq!((device.conn, &device.secondary), (routes[mid - 1].conn, &secondary));
        assert_eq!(device.dropped, [1, 3, 2][mid - 1], "{device:?}");
    }
    let one = slow(&stage, 1).await;
    assert_eq!(one.len(), 1, "no more than asked for");
}

#[tokio::test]
async fn one_that_stopped_reading_holds_up_none_of_ten_thousand_in_its_room() {
    const DEVICES: usize = 10_000;
    const PUSHES: usize = 12;
    const LEN: usize = 1016;
    let net = MemoryNet::new();
    let host = Host { net: Arc::new(net.clone()), ..Host::system() };
    let stage = Stage::on(host, |config| {
        (config.tcp_listen, config.outbox_frames) = (DOOR, 4);
        (config.handshake_ms, config.edge_request_ms) = (60_000, 60_000);
    })
    .await;
    let connect = (0..DEVICES).map(|_| net.authenticated(r#"{"room_id":"r"}"#, 4096));
    let all = futures_util::future::join_all(connect);
    let mut devices = tokio::time::timeout(Duration::from_secs(60), all).await.expect("all get in");
    // It is in the middle of them, and never read from here on.
    let stopped = devices.swap_remove(DEVICES / 2);

    let mut session = stage.session().await;
    let (body, mut lost) = ([7; LEN - 16], 0);
    for number in 0..PUSHES {
        let receipt = session.deliver(to_room(number as i32, &body, &room("r"))).await;
        let tally = receipt.tally.unwrap();
        assert_eq!(tally.queued + tally.dropped, DEVICES as u32);
        lost += tally.dropped;
        let mut got = [0; LEN];
        let all = async {
            for device in &mut devices {
                device.read_exact(&mut got).await.unwrap();
                assert_eq!(got[11], number as u8, "each of them, in order");
            }
        };
        soon("the push at all others", all).await;
    }
    // 4 KiB on the way and four frames in its outbox.
    assert!((2..=5).contains(&lost), "only the one that stopped loses any: {lost}");
    // The first goes at once, and the others wait to be written together.
    let push = || to_room(0, &body, &room("r"));
    let last = session.send_batch([push(), push(), push()]).await;
    for id in last - 2..=last {
        assert_eq!(session.receipt(id).await.tally.unwrap().dropped, 1);
    }
    lost += 3;
    let mut listed = Vec::new();
    until("the others have what waited for them", async || {
        listed = slow(&stage, 0).await;
        listed.len() == 1
    })
    .await;
    assert_eq!((listed[0].dropped, listed[0].frames), (lost, 4));
    drop(stopped);
}
