//! All comets are restarted, one after the other, while backends push and devices live.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use orrery_host::{Host, Net, Task};
use orrery_sdk::{Client, ClientEvent, Event, NodeList, Options, Pacing, TlsNet, Transport};
use tokio::sync::watch;

use crate::fleet::Fleet;
use crate::support::{DEADLINE, push_to_user};

const TRANSPORTS: [Transport; 5] =
    [Transport::Json, Transport::Tcp, Transport::WebSocket, Transport::Poll, Transport::Sse];

const COMETS: usize = 3;

/// One on each comet by each transport, within TLS and without.
const DEVICES: usize = TRANSPORTS.len() * 2 * COMETS;

/// How long a device may be away.
const AWAY_MAX: Duration = Duration::from_secs(10);

/// How long a backend pauses between two pushes, so that there is room for others on small machines.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a device is busy with a push and reads nothing: over HTTP the next one waits in the comet until it asks.
const BUSY: Duration = Duration::from_millis(150);

/// With what code a comet closes that goes away, where the protocol has codes.
const DRAIN: u16 = 1012;

/// The body of the last push to each device.
const LAST: &str = "last";

const PACING: Pacing =
    Pacing { base: Duration::from_millis(500), cap: Duration::from_millis(2000) };

/// What became of a device.
#[derive(Default)]
struct Story {
    /// How often each push came.
    got: BTreeMap<String, u32>,
    away: Vec<Duration>,
    /// With what code it was let go of.
    codes: Vec<Option<u16>>,
}

/// Where a device lives, and how.
struct Home {
    net: Arc<dyn Net>,
    transport: Transport,
    nodes: NodeList,
}

impl Home {
    /// Homes that differ in transport, TLS and the comet they begin with, for as many devices as there are.
    fn of(fleet: &Fleet, net: &Arc<dyn Net>, secured: &Arc<dyn Net>, number: usize) -> Self {
        let transport = TRANSPORTS[number % TRANSPORTS.len()];
        let (within_tls, comet) = (number / TRANSPORTS.len() % 2 == 1, number % COMETS);
        let (net, tcp, websocket) = match within_tls {
            true => (secured, &fleet.secured_tcp, &fleet.secured_websocket),
            false => (net, &fleet.tcp, &fleet.websocket),
        };
        let nodes = if transport == Transport::Tcp { tcp } else { websocket };
        let nodes = NodeList::new(nodes.iter().map(SocketAddr::to_string)).unwrap();
        Self { net: net.clone(), transport, nodes: nodes.beginning_with(comet) }
    }
}

/// Lives until the last push came.
async fn live(mut client: Client, connected: Arc<AtomicUsize>) -> Story {
    let mut story = Story::default();
    loop {
        match client.next().await {
            ClientEvent::Connected { .. } => _ = connected.fetch_add(1, Ordering::SeqCst),
            ClientEvent::Lost { code, .. } => {
                connected.fetch_sub(1, Ordering::SeqCst);
                story.codes.push(code);
            }
            ClientEvent::Gap { away } => story.away.push(away),
            ClientEvent::Device(Event::Message { body, .. }) if body == LAST => return story,
            ClientEvent::Device(Event::Message { body, .. }) => {
                let text = String::from_utf8(body.to_vec()).unwrap();
                *story.got.entry(text).or_default() += 1;
                tokio::time::sleep(BUSY).await;
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
        tokio::time::sleep(PAUSE).await;
    }
    written
}

/// Pushes to a device for the last time. One that was busy may have noticed only now that its comet went, and be on its
/// way back.
async fn say_last(logic: SocketAddr, user: usize) {
    let said = async {
        loop {
            let receipt = push_to_user(logic, "/v1/push", &user.to_string(), LAST).await;
            match (&receipt["summary"]["written"], &receipt["summary"]["offline"]) {
                (written, _) if *written == 1 => return,
                (_, offline) => assert_eq!(*offline, 1, "{receipt}"),
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(DEADLINE, said).await.expect("the last push is written");
}

#[tokio::test]
async fn a_rolling_restart_of_all_comets_loses_no_push_that_was_written() {
    let mut fleet =
        Fleet::start(COMETS, &["comet.drain_per_second=20", "comet.drain_spread_ms=500"]).await;
    let host = Host::system();
    let secured = TlsNet::trusting(host.net.clone(), fleet.certificate.as_bytes()).unwrap();
    let secured: Arc<dyn Net> = Arc::new(secured);
    let connected = Arc::<AtomicUsize>::default();
    let (told, stories) = watch::channel(Vec::new());
    let mut devices = Vec::new();
    for user in 1..=DEVICES {
        let Home { net, transport, nodes } = Home::of(&fleet, &host.net, &secured, user - 1);
        // On goim's protocol a device says which operations it takes.
        let options = Options::new(transport, "by the list").user(user.to_string()).accepts([1000]);
        let client = Client::new(net, options, nodes, PACING, user as u64);
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
        say_last(fleet.push, user).await;
    }
    let mut stories = stories;
    let all = stories.wait_for(|stories| stories.len() == DEVICES);
    let stories = tokio::time::timeout(DEADLINE, all).await.expect("all end").unwrap();
    let mut pushes = 0;
    for (user, written) in &receipts {
        let (_, Story { got, away, codes }) = stories.iter().find(|(of, _)| of == user).unwrap();
        let transport = TRANSPORTS[(user - 1) % TRANSPORTS.len()];
        let told = format!("{user} by {transport:?}");
        // A device over HTTP asks again with the same cursor where an answer breaks off. It takes an answer to a poll whole
        // or not at all, and what comes on a stream by its numbers: so it has each push once, as all others have.
        let lost: Vec<_> = written.iter().filter(|text| !got.contains_key(*text)).collect();
        assert!(lost.is_empty(), "written to {told} and lost: {lost:?}");
        let twice: Vec<_> = got.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "{told} had more than once: {twice:?}");
        // Else it would be away for longer than it knows.
        let is_goim = matches!(transport, Transport::Tcp | Transport::WebSocket);
        let word = (!is_goim).then_some(DRAIN);
        assert!(codes.iter().all(|code| *code == word), "{told} was let go of with {codes:?}");
        assert!(!away.is_empty(), "{told} was on a comet that was restarted");
        assert!(away.iter().all(|away| *away <= AWAY_MAX), "{told} was away: {away:?}");
        pushes += written.len();
    }
    assert!(pushes > DEVICES * 10, "{pushes} pushes are no load");
}
