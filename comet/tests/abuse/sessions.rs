//! Sessions: devices over HTTP that say hello and go, again and again, and how many of them one address may have.

use std::time::Duration;

use futures_util::future::join_all;
use orrery_host::LocalStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::time::Instant;

use crate::doors::{Doors, WAYS, Way, check_growth, resident};
use crate::support::device::{Device, Transport};
use crate::support::soon;
use crate::support::web::{Reply, Web};
use crate::visits::{Bystanders, HTTP, Visit, greet, head, web};

const CONNECTIONS: usize = 60;

/// What the device over TCP, and a connection and a session over HTTP at each door, have of them.
const BYSTANDERS: usize = 1 + 2 * HTTP.len();

/// There is no place, for now.
fn check_refused(reply: &Reply) {
    assert_eq!(reply.status, 503, "{reply:?}");
    let after_s: u64 = reply.header("retry-after").parse().unwrap();
    assert!((5..=15).contains(&after_s), "{after_s}");
}

/// Says hello on one connection until that is refused, and leaves every session as it is; gives how many there are.
async fn say_hellos(doors: &Doors, way: Way) -> usize {
    let mut web = web(doors, way).await;
    for begun in 0.. {
        let reply = greet(&mut web, &format!("again-{begun}")).await;
        if reply.status != 200 {
            check_refused(&reply);
            web.ended().await;
            return begun;
        }
    }
    unreachable!("it has to end")
}

/// Says hello as a device does that was cut off, and is gone when it has heard of its session, or that there is no place.
async fn come_and_go(doors: &Doors, number: usize) {
    let Ok(mut stream) = doors.try_silent(HTTP[0]).await else { return };
    let hello = format!(r#"{{"type":"hello","user":"storm-{number}"}}"#);
    let length = format!("Content-Length: {}", hello.len());
    let _ = stream.write_all(&[&head("/sub/poll", &length), hello.as_bytes()].concat()).await;
    let mut answer = [0; 512];
    // It may be reset as well, for it said more than who is refused is asked.
    if let Ok(len @ 1..) = soon("an answer", stream.read(&mut answer)).await {
        let told = String::from_utf8_lossy(&answer[..len]).to_lowercase();
        let is_refused = told.starts_with("http/1.1 503 ") && told.contains("retry-after: ");
        assert!(is_refused || told.starts_with("http/1.1 200 "), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_hellos_takes_the_places_there_are_and_leaves_them_free() {
    const DEVICES: usize = 400;
    // A session that nobody comes back for is over after both.
    const HANDSHAKE: Duration = Duration::from_millis(1000);
    const WAIT: Duration = Duration::from_millis(1500);
    let doors = Doors::with(|config| {
        config.connections_max = CONNECTIONS;
        config.handshake_ms = HANDSHAKE.as_millis() as u64;
        config.poll_wait_ms = WAIT.as_millis() as u64;
    })
    .await;
    let mut bystanders = Bystanders::new(&doors).await;
    let routes = doors.stage.logic.routes().len();
    let before = resident();
    for way in HTTP {
        let began = Instant::now();
        let begun = say_hellos(&doors, way).await;
        // The connection has a place too. Where the machine dawdles the first ones are over by now.
        let most = CONNECTIONS - BYSTANDERS - 1;
        let is_slow = began.elapsed() >= HANDSHAKE + WAIT;
        assert!(is_slow || (1..=most).contains(&begun), "{way:?}: {begun}");
        bystanders.check(&doors).await;
        join_all((0..DEVICES).map(|number| come_and_go(&doors, number))).await;
        bystanders.check(&doors).await;
        check_growth(before, 8 << 20, "a storm of hellos");
        // Nobody comes back for any of them.
        let over = doors.stage.logic.until("the goodbyes", |logic| logic.routes().len() == routes);
        soon("the goodbyes", over).await;
        soon("a place", async { while !doors.lets_in(WAYS[0]).await {} }).await;
    }
    assert!(doors.refused("connections") > 0);
    bystanders.check(&doors).await;
}

#[tokio::test]
async fn an_address_that_has_its_share_in_sessions_begins_no_more_and_others_do() {
    const SHARE: usize = 4;
    for way in HTTP {
        let doors = Doors::with(|config| config.connections_per_address_max = SHARE).await;
        // Two connections and two sessions.
        let (mut first, mut second) = (web(&doors, way).await, web(&doors, way).await);
        let visit = Visit::of(&greet(&mut first, "1").await);
        Visit::of(&greet(&mut first, "2").await);
        check_refused(&greet(&mut first, "3").await);
        first.ended().await;
        assert_eq!((doors.refused("address"), doors.refused("connections")), (1, 0), "{way:?}");

        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let other = socket.connect(doors.address(HTTP[0]));
        let other = soon("a connection", other).await.unwrap();
        Visit::of(&greet(&mut Web::over(Box::new(LocalStream(other))), "4").await);

        // All places but that of the other session are free when it is over.
        assert_eq!(second.fetch("POST", &visit.close(), "").await.status, 204);
        second.ended().await;
        let mut devices = Vec::new();
        soon("the places", async {
            while devices.len() < SHARE - 1 {
                let Ok(stream) = doors.try_silent(WAYS[0]).await else { continue };
                let mut device = Device::over(stream, Transport::Tcp).await;
                if device.try_authenticate("{}").await {
                    devices.push(device);
                }
            }
        })
        .await;
        assert!(!doors.lets_in(WAYS[0]).await, "{way:?}: the other session still has its own");
    }
}
