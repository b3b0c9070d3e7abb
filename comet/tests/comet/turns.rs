//! Turns: whoever has something to say has its turn, however much is to be pushed.

use crate::support::Stage;
use crate::support::device::{Transport, frame};
use crate::support::patience::until;
use crate::support::session::to_all;

#[tokio::test]
async fn a_burst_of_broadcasts_lets_devices_have_their_turn_in_between() {
    const DEVICES: usize = 300;
    const BURST: i32 = 256;
    let stage = Stage::with(|config| {
        config.workers = 1;
        config.coalesce_ms = 1;
        // No outbox is so full that it has to be written to before the burst is over.
        config.outbox_frames = 4096;
    })
    .await;
    let mut device = stage.device(Transport::Tcp, r#"{"mid":1,"accepts":[1000]}"#).await;
    let mut others = Vec::new();
    for _ in 1..DEVICES {
        others.push(stage.device(Transport::Tcp, r#"{"accepts":[1000]}"#).await);
    }
    let mut session = stage.session().await;
    // When it is read is up to the system: what is never done in between does not come to pass however often it is tried.
    until("a heartbeat is answered before all of a burst has come", async || {
        session.send_batch((0..BURST).map(|_| to_all(1000, b"", 0))).await;
        device.send(frame(2, 1, b"")).await;
        let (mut came, mut before) = (0, None);
        while came < BURST || before.is_none() {
            match device.receive().await.op {
                3 => before = Some(came),
                _ => came += 1,
            }
        }
        before.is_some_and(|came| (1..BURST).contains(&came))
    })
    .await;
}
