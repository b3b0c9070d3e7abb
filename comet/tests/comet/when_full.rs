//! Slow devices: what becomes of a push where as much waits for its device as may, and who counts as slow.

use orrery_comet::WhenFull as Configured;
use orrery_comet_core::Frame;
use orrery_proto::common::WhenFull;
use orrery_proto::delivery::{Outcome, Tally};

use crate::connect::{room, user};
use crate::support::Stage;
use crate::support::device::{BOTH, Device, Transport, frame};
use crate::support::logic::Fate;
use crate::support::registry::Route;
use crate::support::session::{Session, target, to_all, to_connections, to_room};

/// Frames that may wait.
const FRAMES: usize = 8;

/// A comet and a device that reads nothing, for which as much waits as may.
struct Stuck {
    stage: Stage,
    device: Device,
    route: Route,
    session: Session,
}

impl Stuck {
    async fn new(when_full: Configured) -> Self {
        let stage = Stage::with(|config| {
            config.outbox_frames = FRAMES;
            config.outbox_bytes = 64 << 20;
            config.when_full = when_full;
        })
        .await;
        let token = r#"{"mid":1,"room_id":"live://1","accepts":[1,2]}"#;
        let device = stage.device(Transport::Tcp, token).await;
        let route = stage.logic.route(&user("1"));
        let mut session = stage.session().await;
        session.when_full = WhenFull::DropNewest;
        let body = vec![7; 256 * 1024];
        for _ in 0..200 {
            if session.push(1, &body, &[&route]).await == [Outcome::DroppedOutboxFull] {
                session.when_full = WhenFull::Unspecified;
                return Self { stage, device, route, session };
            }
        }
        panic!("the outbox of a device that reads nothing never fills");
    }

    /// What the device reads from now on, up to a body.
    async fn read_until(&mut self, last: &[u8]) -> Vec<Frame> {
        let mut read = Vec::new();
        loop {
            let frame = self.device.receive().await;
            let is_last = frame.body == last;
            read.push(frame);
            if is_last {
                return read;
            }
        }
    }

    async fn closed(&self) {
        let gone = |logic: &crate::support::logic::Logic| logic.routes_of(&user("1")).is_empty();
        self.stage.logic.until("its goodbye", gone).await;
        // It is told within a second, or not at all.
        crate::support::soon("the close", async {
            while self.stage.counted_for("closes", "reason", "slow") == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_push_may_take_the_place_of_those_that_have_waited_longest() {
    let mut stuck = Stuck::new(Configured::DropNewest).await;
    (stuck.session.wait_written, stuck.session.timeout_ms) = (true, 60_000);
    stuck.session.when_full = WhenFull::DropOldest;
    let mut pushes = Vec::new();
    for n in 0..FRAMES as u8 {
        let push = to_connections(2, &[n], vec![target(&stuck.route)]);
        pushes.push(stuck.session.send(push).await);
    }
    // One of which a part was written stays, so that there is room for one less than all of these.
    let first = stuck.session.receipt(pushes[0]).await;
    assert_eq!(first.outcomes, [i32::from(Outcome::DroppedDisplaced)]);
    assert_eq!(stuck.stage.counted("outbox_displaced"), FRAMES as u64);
    let read = stuck.read_until(&[FRAMES as u8 - 1]).await;
    let small: Vec<u8> = read.iter().filter(|frame| frame.op == 2).map(|it| it.body[0]).collect();
    assert_eq!(small, (1..FRAMES as u8).collect::<Vec<_>>());
    for push in &pushes[1..] {
        let written = stuck.session.receipt(*push).await;
        assert_eq!(written.outcomes, [i32::from(Outcome::Written)]);
    }
}

#[tokio::test]
async fn a_push_may_close_the_connection_of_a_device_that_is_too_slow_for_it() {
    let mut stuck = Stuck::new(Configured::DropNewest).await;
    stuck.session.when_full = WhenFull::Close;
    let outcomes = stuck.session.push(2, b"x", &[&stuck.route]).await;
    assert_eq!(outcomes, [Outcome::DroppedOutboxFull]);
    stuck.closed().await;
}

#[tokio::test]
async fn a_push_that_says_nothing_does_what_is_configured() {
    let mut stuck = Stuck::new(Configured::Close).await;
    let outcomes = stuck.session.push(2, b"x", &[&stuck.route]).await;
    assert_eq!(outcomes, [Outcome::DroppedOutboxFull]);
    stuck.closed().await;

    let mut stuck = Stuck::new(Configured::DropOldest).await;
    assert_eq!(stuck.session.push(2, b"x", &[&stuck.route]).await, [Outcome::Queued]);
    assert_eq!(stuck.read_until(b"x").await.last().map(|frame| frame.op), Some(2));
}

#[tokio::test]
async fn pushes_to_rooms_and_to_everybody_make_room_too() {
    let mut stuck = Stuck::new(Configured::DropOldest).await;
    for n in 0..20 {
        for to in [to_room(2, &[n], &room("live://1")), to_all(2, &[n], 0)] {
            let tally = stuck.session.deliver(to).await.tally.unwrap();
            assert_eq!((tally.queued, tally.dropped), (1, 0));
        }
    }
    // What waits in the room is not in the outbox yet.
    assert!(stuck.stage.counted("outbox_displaced") > 20);
    stuck.read_until(&[19]).await;

    let mut stuck = Stuck::new(Configured::Close).await;
    let to = to_room(2, b"x", &room("live://1"));
    let tally = stuck.session.deliver(to).await.tally.unwrap();
    assert_eq!((tally.queued, tally.dropped), (0, 1));
    stuck.closed().await;
}

#[tokio::test]
async fn a_device_that_reads_is_not_slow_however_much_is_pushed_to_it_at_once() {
    for transport in BOTH {
        let stage = Stage::with(|config| config.outbox_bytes = 64 * 1024).await;
        let token = r#"{"mid":1,"room_id":"live://1","accepts":[1,2]}"#;
        let mut device = stage.device(transport, token).await;
        let route = stage.logic.route(&user("1"));
        let mut session = stage.session().await;
        for when_full in [WhenFull::Close, WhenFull::DropOldest, WhenFull::DropNewest] {
            session.when_full = when_full;
            let body = |n: u8| vec![n; 40 * 1024];
            // In one message, so that all of them are carried out before anybody is written to.
            let pushes = (0..3).map(|n| to_connections(1, &body(n), vec![target(&route)]));
            let last = session.send_batch(pushes).await;
            for (n, id) in (0..3).zip(last - 2..) {
                assert_eq!(device.receive().await, frame(1, 0, &body(n)));
                let outcomes = session.receipt(id).await.outcomes;
                assert_eq!(outcomes, [i32::from(Outcome::Queued)], "{when_full:?}");
            }
            let pushes = (0..3).map(|n| to_room(2, &body(n), &room("live://1")));
            let last = session.send_batch(pushes).await;
            for (n, id) in (0..3).zip(last - 2..) {
                assert_eq!(device.receive().await, frame(2, 0, &body(n)));
                let tally = session.receipt(id).await.tally;
                assert_eq!(tally, Some(Tally { queued: 1, ..Tally::default() }), "{when_full:?}");
            }
        }
        assert_eq!(stage.counted("outbox_displaced"), 0);
    }
}

#[tokio::test]
async fn who_was_just_bound_is_not_slow_since_much_was_held_for_it() {
    let stage = Stage::with(|config| config.outbox_bytes = 64 * 1024).await;
    stage.logic.rule_second_binds(Fate::Hold);
    let mut device = stage.stranger(Transport::Tcp).await;
    device.send(frame(7, 42, br#"{"mid":1,"accepts":[1]}"#)).await;
    stage.logic.until("the secondary bind", |logic| logic.held() > 0).await;
    let route = stage.logic.route(&user("1"));
    let mut session = stage.session().await;
    session.when_full = WhenFull::Close;
    // More than the kernel takes.
    let body = vec![7; 1 << 20];
    let mut pushes = Vec::new();
    for _ in 0..30 {
        pushes.push(session.send(to_connections(1, &body, vec![target(&route)])).await);
    }
    // By the answer to it, what was sent before it is held.
    session.deliver(to_all(1, b"x", 0)).await;
    stage.logic.release();
    let (mut queued, mut dropped) = (0, 0);
    for push in pushes {
        match Outcome::try_from(session.receipt(push).await.outcomes[0]).unwrap() {
            Outcome::Queued => queued += 1,
            Outcome::DroppedOutboxFull => dropped += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(queued > 0 && dropped > 0, "{queued}, {dropped}");
    assert_eq!(device.receive().await, frame(8, 42, b""));
    for _ in 0..queued {
        assert_eq!(device.receive().await.body.len(), body.len());
    }
    device.send(frame(2, 1, b"")).await;
    assert_eq!(device.receive().await.op, 3, "it is still there");
    assert_eq!(stage.counted_for("closes", "reason", "slow"), 0);
}
