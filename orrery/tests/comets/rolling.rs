//! All comets are restarted, one after the other, while backends push and devices live.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use orrery_host::{Host, Task};
use orrery_sdk::{Client, ClientEvent, Event, NodeList, Options, Pacing, Transport};
use tokio::sync::watch;

use crate::fleet::Fleet;
use crate::support::{DEADLINE, push_to_user};

const DEVICES: usize = 30;

/// How long a device may be away.
const AWAY_MAX: Duration = Duration::from_secs(10);

/// The body of the last push to each device.
const LAST: &str = "last";

const PACING: Pacing =
    Pacing { base: Duration::from_millis(500), cap: Duration::from_millis(2000) };

/// What became of a device.
#[derive(Default)]
struct Story {
    got: BTreeSet<String>,
    away: Vec<Duration>,
}

/// Lives until the last push came.
async fn live(mut client: Client, connected: Arc<AtomicUsize>) -> Story {
    let mut story = Story::default();
    loop {
        match client.next().await {
            ClientEvent::Connected { .. } => _ = connected.fetch_add(1, Ordering::SeqCst),
            ClientEvent::Lost { .. } => _ = connected.fetch_sub(1, Ordering::SeqCst),
            ClientEvent::Gap { away } => story.away.push(away),
            ClientEvent::Device(Event::Message { body, .. }) if body == LAST => return story,
            ClientEvent::Device(Event::Message { body, .. }) => {
                story.got.insert(String::from_utf8(body.to_vec()).unwrap());
            }
            ClientEvent::Ended { reason } => panic!("a device gave up: {reason}"),
            _ => {}
        }
    }
}

/// Pushes to a user until told otherwise; returns what was written to its device by the receipts.
async fn push(logic: SocketAddr, user: usize, stop: Arc<AtomicBool>) -> BTreeSet<String> {
    let mut written = BTreeSet::new();
    for number in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let text = format!("{user}-{number}");
        let receipt = push_to_user(logic, "/v1/push", &user.to_string(), &text).await;
        if receipt["summary"]["written"].as_u64() > Some(0) {
            written.insert(text);
        }
        // So that there is room for others on small machines.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    written
}

#[tokio::test]
async fn a_rolling_restart_of_all_comets_loses_no_push_that_was_written() {
    let mut fleet =
        Fleet::start(3, &["comet.drain_per_second=20", "comet.drain_spread_ms=500"]).await;
    let host = Host::system();
    let connected = Arc::<AtomicUsize>::default();
    let (told, stories) = watch::channel(Vec::new());
    let mut devices = Vec::new();
    for user in 1..=DEVICES {
        let transport = [Transport::Json, Transport::Tcp, Transport::WebSocket][user % 3];
        let nodes = if transport == Transport::Tcp { &fleet.tcp } else { &fleet.websocket };
        let nodes = NodeList::new(nodes.iter().map(SocketAddr::to_string)).unwrap();
        // On goim's protocol a device says which operations it takes.
        let options = Options::new(transport, "by the list").user(user.to_string()).accepts([1000]);
        let nodes = nodes.beginning_with(user / 3);
        let client = Client::new(host.net.clone(), options, nodes, PACING, user as u64);
        let (connected, told) = (connected.clone(), told.clone());
        let live = async move {
            let story = live(client, connected).await;
            told.send_modify(|stories| stories.push((user, story)));
        };
        devices.push(host.tasks.spawn("device", live));
    }
    let all_connected = async || {
        let all = async {
            while connected.load(Ordering::SeqCst) < DEVICES {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(DEADLINE, all).await.expect("all devices connect");
    };
    all_connected().await;

    let stop = Arc::<AtomicBool>::default();
    let (pushed, mut written) = tokio::sync::mpsc::unbounded_channel();
    let _pushing: Vec<Task> = (1..=DEVICES)
        .map(|user| {
            let (logic, stop, pushed) = (fleet.push, stop.clone(), pushed.clone());
            let pushing = async move {
                let written = push(logic, user, stop).await;
                pushed.send((user, written)).unwrap();
            };
            host.tasks.spawn("backend", pushing)
        })
        .collect();
    for comet in &mut fleet.comets {
        comet.end().await;
        comet.start().await;
        comet.ready().await;
        all_connected().await;
    }
    stop.store(true, Ordering::SeqCst);
    let mut receipts = Vec::new();
    while receipts.len() < DEVICES {
        let next = tokio::time::timeout(DEADLINE, written.recv()).await;
        receipts.push(next.expect("a backend ends").unwrap());
    }
    for user in 1..=DEVICES {
        let receipt = push_to_user(fleet.push, "/v1/push", &user.to_string(), LAST).await;
        assert_eq!(receipt["summary"]["written"], 1, "{receipt}");
    }
    let mut stories = stories;
    let all = stories.wait_for(|stories| stories.len() == DEVICES);
    let stories = tokio::time::timeout(DEADLINE, all).await.expect("all end").unwrap();
    let mut pushes = 0;
    for (user, written) in &receipts {
        let (_, Story { got, away }) = stories.iter().find(|(of, _)| of == user).unwrap();
        let lost: Vec<_> = written.difference(got).collect();
        assert!(lost.is_empty(), "written to {user} and lost: {lost:?}");
        assert!(!away.is_empty(), "{user} was on a comet that was restarted");
        assert!(away.iter().all(|away| *away <= AWAY_MAX), "{user} was away: {away:?}");
        pushes += written.len();
    }
    assert!(pushes > DEVICES * 10, "{pushes} pushes are no load");
}
