//! Coalescing: what a busy room or connection gets within a short time comes together, and all of it in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use orrery_host::tasks::{TaskFuture, WorkerStart};
use orrery_host::{Host, Task, Tasks};
use orrery_proto::delivery::Tally;
use orrery_proto::delivery::deliver::Kind;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::connect::{room, user};
use crate::support::device::{BOTH, Device, Transport, frame};
use crate::support::json::JsonDevice;
use crate::support::session::{target, to_all, to_connections, to_room};
use crate::support::{Stage, soon};

/// The longest that may be configured: what happens meanwhile is sure to happen meanwhile.
const LONG_MS: u64 = 100;

#[tokio::test]
async fn an_idle_room_is_written_to_at_once_and_a_busy_one_in_one_piece() {
    let stage = Stage::with(|config| {
        config.coalesce_ms = LONG_MS;
        config.workers = 1;
    })
    .await;
    let token = r#"{"room_id":"live://1"}"#;
    let mut tcp = stage.device(Transport::Tcp, token).await;
    let mut websocket = stage.device(Transport::WebSocket, token).await;
    let mut device = stage.json().await;
    device.hello(json!({"type": "hello", "rooms": ["live://1"]})).await;
    let mut session = stage.session().await;
    let bodies: [&[u8]; 3] = [b"at once", b"later", b"with it"];
    let last = session.send_batch(bodies.map(|body| to_room(5, body, &room("live://1")))).await;
    for body in bodies {
        assert_eq!(tcp.receive().await, frame(5, 0, body));
        assert_eq!(device.receive().await["data"], String::from_utf8_lossy(body).as_ref());
    }
    for (body, more) in bodies.into_iter().zip([0, 1, 0]) {
        assert_eq!(websocket.receive().await, frame(5, 0, body));
        assert_eq!(websocket.more_in_message(), more, "{}", String::from_utf8_lossy(body));
    }
    for id in last - 2..=last {
        let tally = session.receipt(id).await.tally;
        assert_eq!(tally, Some(Tally { queued: 3, ..Tally::default() }));
    }
    assert_eq!((stage.counted("room_sweeps"), stage.counted("room_pushes")), (2, 3));
}

#[tokio::test]
async fn what_comes_for_a_device_that_was_just_written_to_waits_for_more() {
    let stage = Stage::with(|config| config.coalesce_ms = LONG_MS).await;
    let mut session = stage.session().await;
    // Where the machine dawdles between two pushes nobody is busy any more. Then the next device is.
    let waiting = async {
        for mid in 1.. {
            let token = format!(r#"{{"mid":{mid},"accepts":[5]}}"#);
            let mut device = stage.device(Transport::Tcp, &token).await;
            let route = stage.logic.route(&user(&mid.to_string()));
            let began = Instant::now();
            session.push(5, b"at once", &[&route]).await;
            let bodies: [&[u8]; 2] = [b"later", b"with it"];
            session
                .send_batch(bodies.map(|body| to_connections(5, body, vec![target(&route)])))
                .await;
            for body in [b"at once", bodies[0], bodies[1]] {
                assert_eq!(device.receive().await, frame(5, 0, body));
            }
            let waited = began.elapsed();
            match stage.counted("connection_writes_waited") {
                0 => {}
                writes => return (writes, waited),
            }
        }
        unreachable!("there is always a next one")
    };
    let (writes, waited) = soon("a push that waits", waiting).await;
    assert_eq!(writes, 1);
    assert!(waited >= Duration::from_millis(LONG_MS / 2), "{waited:?}");
}

/// Threads that seem to take a minute for each thing that is measured.
struct Slow(Arc<dyn Tasks>, AtomicU64);

impl Tasks for Slow {
    fn spawn_boxed(&self, name: &'static str, task: TaskFuture) -> Task {
        self.0.spawn_boxed(name, task)
    }

    fn blocking(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) -> TaskFuture {
        self.0.blocking(name, work)
    }

    fn worker(&self, name: String, start: WorkerStart) -> Task {
        self.0.worker(name, start)
    }

    fn thread_time(&self) -> Duration {
        Duration::from_secs(60 * self.1.fetch_add(1, Ordering::Relaxed))
    }
}

#[tokio::test]
async fn the_window_is_shown_as_it_was_configured_and_as_it_grows_under_load() {
    let mut host = Host::system();
    host.tasks = Arc::new(Slow(host.tasks, AtomicU64::default()));
    let stage = Stage::on(host, |config| config.coalesce_ms = 4).await;
    let until = async |worker, shown| {
        soon("a window", async {
            while stage.window(worker) != Some(shown) {
                yield_now().await
            }
        })
        .await;
    };
    until(0, 0.004).await;
    until(1, 0.004).await;
    let _device = stage.device(Transport::Tcp, r#"{"room_id":"live://1"}"#).await;
    let mut session = stage.session().await;
    let load = async {
        while !(0..2).any(|worker| stage.window(worker) == Some(0.1)) {
            let last = session.send_batch((0..2).map(|_| to_room(5, b"", &room("live://1")))).await;
            session.receipt(last).await;
        }
    };
    soon("the longest window", load).await;
    assert!((0..2).any(|worker| stage.window(worker) == Some(0.004)), "the other one is idle");
}

#[tokio::test]
async fn nothing_waits_where_it_is_turned_off() {
    let stage = Stage::with(|config| config.coalesce_ms = 0).await;
    let mut device = stage.device(Transport::WebSocket, r#"{"room_id":"live://1"}"#).await;
    let mut session = stage.session().await;
    session.send_batch((0..20).map(|op| to_room(op, b"", &room("live://1")))).await;
    for op in 0..20 {
        assert_eq!(device.receive().await.op, op);
        assert_eq!(device.more_in_message(), 0);
    }
    assert_eq!(stage.counted("room_sweeps"), stage.counted("room_pushes"));
}

#[tokio::test]
async fn more_than_may_wait_is_written_early_and_none_of_it_is_lost() {
    let stage = Stage::with(|config| config.coalesce_ms = LONG_MS).await;
    let mut devices = Vec::new();
    for transport in BOTH {
        devices.push(stage.device(transport, r#"{"room_id":"live://1"}"#).await);
    }
    let mut session = stage.session().await;
    // Some are large enough that a few of them are too many bytes, one alone is.
    let body = |op: i32| vec![b'x'; if op == 900 { 100_000 } else { (op as usize % 7) * 150 }];
    session.send_batch((0..1000).map(|op| to_room(op, &body(op), &room("live://1")))).await;
    for device in &mut devices {
        for op in 0..1000 {
            assert_eq!(device.receive().await, frame(op, 0, &body(op)));
        }
    }
}

/// The sizes of all bodies of each message, of so many pushes.
async fn messages(device: &mut Device, pushes: usize) -> Vec<Vec<usize>> {
    let (mut messages, mut left) = (Vec::new(), pushes);
    while left > 0 {
        let mut message = vec![device.receive().await.body.len()];
        for _ in 0..device.more_in_message() {
            message.push(device.receive().await.body.len());
        }
        left -= message.len();
        messages.push(message);
    }
    messages
}

#[tokio::test]
async fn a_message_has_at_most_256_pushes_and_32_kib_unless_one_push_is_larger() {
    const KIB: usize = 1024;
    let stage = Stage::with(|config| config.coalesce_ms = LONG_MS).await;
    let mut session = stage.session().await;
    // So many pushes of so many bytes, and how many of them share a message at most.
    for (room_id, pushes, bytes, most) in [
        ("live://many", 1000, 0, 256),
        ("live://long", 200, KIB, 32),
        ("live://more", 9, 40 * KIB, 1),
    ] {
        let token = format!(r#"{{"room_id":"{room_id}"}}"#);
        let mut device = stage.device(Transport::WebSocket, &token).await;
        let body = vec![b'x'; bytes];
        session.send_batch((0..pushes).map(|_| to_room(5, &body, &room(room_id)))).await;
        let messages = messages(&mut device, pushes).await;
        let counts: Vec<_> = messages.iter().map(Vec::len).collect();
        assert_eq!(counts.iter().max(), Some(&most), "{counts:?}");
    }
    // One that is too long by itself is so in a message of its own.
    let mut device = stage.device(Transport::WebSocket, r#"{"room_id":"live://one"}"#).await;
    let bodies = [0, 1, 2, 40 * KIB, 3, 4].map(|len| vec![b'x'; len]);
    session.send_batch(bodies.iter().map(|body| to_room(5, body, &room("live://one")))).await;
    let messages = messages(&mut device, bodies.len()).await;
    assert!(messages.contains(&vec![40 * KIB]), "{messages:?}");
    assert_eq!(messages.concat(), bodies.map(|body| body.len()));
}

#[tokio::test]
async fn who_wants_to_know_that_the_kernel_has_it_does_not_wait() {
    let stage = Stage::with(|config| config.coalesce_ms = LONG_MS).await;
    let mut device =
        stage.device(Transport::Tcp, r#"{"mid":1,"room_id":"r://1","accepts":[3]}"#).await;
    let mut session = stage.session().await;
    session.send_batch((0..2).map(|op| to_room(op, b"", &room("r://1")))).await;
    session.wait_written = true;
    session.timeout_ms = 5000;
    let tally = session.deliver(to_room(2, b"", &room("r://1"))).await.tally;
    assert_eq!(tally, Some(Tally { written: 1, ..Tally::default() }));
    let route = stage.logic.route(&user("1"));
    session.deliver(to_connections(3, b"", vec![target(&route)])).await;
    // One at once, what waited, and this one by itself.
    assert_eq!((stage.counted("room_sweeps"), stage.counted("room_pushes")), (3, 3));
    for op in 0..4 {
        assert_eq!(device.receive().await.op, op);
    }
}

#[tokio::test]
async fn who_leaves_gets_what_waited_before_and_who_comes_what_is_pushed_after() {
    let stage = Stage::with(|config| config.coalesce_ms = LONG_MS).await;
    let mut session = stage.session().await;
    let mut goes = stage.device(Transport::Tcp, r#"{"mid":1,"room_id":"r://1"}"#).await;
    let ids = session.send_batch((0..2).map(|op| to_room(op, b"", &room("r://1")))).await;
    // By the answer to it, what was sent before it is taken.
    let route = stage.logic.route(&user("1"));
    session.push(100, b"", &[&route]).await;
    let mut comes = stage.device(Transport::WebSocket, r#"{"mid":2,"room_id":"r://1"}"#).await;
    goes.send(frame(12, 1, b"")).await;
    for op in 0..2 {
        assert_eq!(goes.receive().await, frame(op, 0, b""));
        let tally = session.receipt(ids - 1 + op as u64).await.tally;
        assert_eq!(tally, Some(Tally { queued: 1, ..Tally::default() }));
    }
    assert_eq!(goes.receive().await, frame(13, 1, b""));
    let tally = session.deliver(to_room(2, b"", &room("r://1"))).await.tally;
    assert_eq!(tally, Some(Tally { queued: 1, ..Tally::default() }));
    assert_eq!(comes.receive().await, frame(2, 0, b""));
}

/// What is said to be queued while it waits is a promise, which a slow device's outbox keeps.
#[tokio::test]
async fn a_slow_member_gets_what_was_counted_for_it_and_keeps_nothing_from_the_others() {
    const PUSHES: u64 = 1500;
    let stage = Stage::with(|config| {
        config.coalesce_ms = 2;
        config.outbox_bytes = 64 * 1024;
    })
    .await;
    let mut slow = stage.device(Transport::Tcp, r#"{"mid":1,"room_id":"r://1"}"#).await;
    let mut quick = stage.device(Transport::Tcp, r#"{"mid":2,"room_id":"r://1"}"#).await;
    let mut session = stage.session().await;
    let body = vec![7; 10_000];
    for op in (0..PUSHES as i32).step_by(3) {
        session.send_batch((op..op + 3).map(|op| to_room(op, &body, &room("r://1")))).await;
        for op in op..op + 3 {
            assert_eq!(quick.receive().await.op, op);
        }
    }
    let (mut queued, mut dropped) = (0, 0);
    for id in 1..=PUSHES {
        let tally = session.receipt(id).await.tally.unwrap();
        queued += u64::from(tally.queued);
        dropped += u64::from(tally.dropped);
    }
    assert_eq!(queued + dropped, 2 * PUSHES);
    assert!(dropped > 0, "the slow one's buffers took everything");
    let mut last = -1;
    for _ in 0..queued - PUSHES {
        let op = slow.receive().await.op;
        assert!(op > last, "{op} after {last}");
        last = op;
    }
    // A heartbeat's answer comes next: nothing was promised that is not said.
    slow.send(frame(2, 1, b"")).await;
    assert_eq!(slow.receive().await.op, 3);
}

/// Pushes of all kinds in one stream: each device gets those for it, in the order of the stream.
#[tokio::test]
async fn every_device_gets_all_that_is_for_it_in_order() {
    const ROOMS: [&[&str]; 6] = [&[], &["a"], &["a"], &["b"], &["a", "b"], &["a", "b", "c"]];
    for seed in 0..4 {
        let mut random = SmallRng::seed_from_u64(seed);
        let stage = Stage::with(|config| config.coalesce_ms = [0, 1, 3, 10][seed as usize]).await;
        let mut devices: Vec<(JsonDevice, Vec<i32>)> = Vec::new();
        for (number, rooms) in ROOMS.into_iter().enumerate() {
            let mut device = stage.json().await;
            device
                .hello(json!({"type": "hello", "user": number.to_string(), "rooms": rooms}))
                .await;
            devices.push((device, Vec::new()));
        }
        let mut session = stage.session().await;
        let mut op = 0;
        let mut tallied = 0;
        while op < 1500 {
            let mut batch = Vec::new();
            for _ in 0..random.random_range(1..40) {
                op += 1;
                let (kind, for_whom): (Kind, Vec<usize>) = match random.random_range(0..10) {
                    0 => (to_all(op, b"", 0), (0..ROOMS.len()).collect()),
                    1..3 => {
                        let number = random.random_range(0..ROOMS.len());
                        let route = stage.logic.route(&user(&number.to_string()));
                        (to_connections(op, b"", vec![target(&route)]), vec![number])
                    }
                    _ => {
                        let name = ["a", "b", "c"][random.random_range(0..3)];
                        let is_in = |number: &usize| ROOMS[*number].contains(&name);
                        (to_room(op, b"", &room(name)), (0..ROOMS.len()).filter(is_in).collect())
                    }
                };
                for_whom.iter().for_each(|number| devices[*number].1.push(op));
                tallied += match kind {
                    Kind::ToConnections(_) => 0,
                    _ => for_whom.len(),
                };
                batch.push(kind);
            }
            session.send_batch(batch).await;
            // Sometimes all of it is idle again.
            if random.random_bool(0.2) {
                tokio::time::sleep(Duration::from_millis(random.random_range(0..12))).await;
            }
        }
        for (number, (device, expected)) in devices.iter_mut().enumerate() {
            for op in expected {
                assert_eq!(device.receive().await["op"], *op, "device {number} of seed {seed}");
            }
        }
        let mut queued = 0;
        for id in 1..=op as u64 {
            queued += session.receipt(id).await.tally.map_or(0, |tally| tally.queued);
        }
        assert_eq!(queued as usize, tallied);
    }
}
