//! Bounds: nobody is read beyond what they sent, and whatever is sent at once is answered.

use crate::bytes::{
    BINARY, CONTINUATION, FIN, PING, beaten, claiming, frame, masked, token, unmasked,
};
use crate::device::Who;
use crate::soon;
use crate::stack::{id, shared};
use crate::wire::{GOIM, SOCKETS, TCP, Transport, WEBSOCKET};

#[tokio::test]
async fn a_message_that_claims_more_than_it_has_gets_nobodys_bytes() {
    for way in WEBSOCKET {
        let mut bystander = shared().device(way, &Who::key(&id("bystander"))).await;
        for _ in 0..50 {
            // Tokens that pass through the comet's buffers and must not be seen again.
            shared().device(way, &Who::key(&id("secret"))).await;
        }
        for op in [12, 14, 16, 100] {
            for claimed in [17, 200, 4096, 4112] {
                let mut device = shared().device(way, &Who::key(&id("probe"))).await;
                device.wire.send(&claiming(claimed, 16, 1, op, 1, b"")).await;
                device.wire.expect_end().await;
            }
            let mut device = shared().device(way, &Who::key(&id("probe"))).await;
            device.wire.send(&claiming(4112, 16, 1, op, 1, b"short")).await;
            device.wire.expect_end().await;
        }
        // Before it was let in, too.
        let mut stranger = shared().wire(way).await;
        stranger.send(&claiming(4112, 16, 1, 7, 1, b"{}")).await;
        stranger.expect_end().await;
        bystander.beat().await;
    }
}

#[tokio::test]
async fn fragments_that_claim_more_than_they_have_end_only_their_own_connection() {
    for way in WEBSOCKET {
        let mut bystanders = Vec::new();
        for _ in 0..4 {
            bystanders.push(shared().device(way, &Who::key(&id("bystander"))).await);
        }
        for mask in [masked, unmasked] {
            for claimed in [18, 4096, 4112] {
                let mut stranger = shared().wire(way).await;
                let lie = claiming(claimed, 16, 1, 7, 1, b"");
                stranger.send_bytes(&mask(BINARY, &lie)).await;
                stranger.send_bytes(&mask(FIN | CONTINUATION, b"x")).await;
                stranger.expect_end().await;
            }
        }
        for bystander in &mut bystanders {
            bystander.beat().await;
        }
    }
}

#[tokio::test]
async fn a_thousand_pipelined_frames_are_all_answered_in_order() {
    for transport in GOIM {
        let key = id("key");
        let mut device = shared().device(transport, &Who::key(&key)).await;
        for seq in 0..1000 {
            device.wire.send(&frame(1, 2, seq, b"")).await;
        }
        for seq in 0..1000 {
            device.wire.expect(&beaten(1, seq, 0)).await;
        }
        let mut http = shared().http().await;
        http.push(&format!("keys?operation=1000&keys={key}"), "after").await;
        device.expect(1000, b"after").await;
    }
}

#[tokio::test]
async fn a_thousand_frames_in_one_write_are_all_answered_in_order() {
    for way in TCP {
        let mut device = shared().device(way, &Who::key(&id("key"))).await;
        let burst: Vec<u8> = (0..1000).flat_map(|seq| frame(1, 100, seq, b"body")).collect();
        device.wire.send_bytes(&burst).await;
        for seq in 0..1000 {
            device.wire.expect(&frame(1, 100, seq, b"")).await;
        }
    }
}

#[tokio::test]
async fn echoed_bodies_are_those_that_were_sent_however_many_come_at_once() {
    for transport in GOIM {
        let mut device = shared().device(transport, &Who::key(&id("key"))).await;
        let mut sent = Vec::new();
        for seq in 0..300 {
            let op = [12, 14, 16][seq as usize % 3];
            let body = format!("not a list {seq} {}", "x".repeat(seq as usize % 90));
            device.wire.send(&frame(1, op, seq, body.as_bytes())).await;
            sent.push((op, seq, body));
        }
        // Changes of room wait for the registry, so other answers may overtake theirs.
        let mut answers: Vec<Vec<u8>> = Vec::new();
        for _ in &sent {
            let unit = soon("an echo", device.wire.unit()).await.unwrap();
            let head =
                if transport == Transport::Tcp { 0 } else { [2, 4][usize::from(unit[1] == 126)] };
            answers.push(unit[head..].to_vec());
        }
        answers.sort_by_key(|answer| answer[12..16].to_vec());
        for (answer, (op, seq, body)) in answers.iter().zip(&sent) {
            assert_eq!(*answer, frame(1, op + 1, *seq, body.as_bytes()), "{transport:?}");
        }
    }
}

#[tokio::test]
async fn a_pong_needs_no_other_data_to_leave() {
    for transport in SOCKETS {
        let mut wire = shared().wire(transport).await;
        for number in 0..20u8 {
            wire.send_bytes(&masked(FIN | PING, &[number; 100])).await;
            wire.expect_bytes(&[&[0x8a, 100][..], &[number; 100]].concat()).await;
        }
    }
}

#[tokio::test]
async fn frames_behind_the_authentication_wait_for_its_answer() {
    for transport in GOIM {
        let token = token(0, &id("key"), "", &[]);
        let mut frames = vec![frame(1, 2, 0, b"early"), frame(1, 7, 1, &token)];
        // A second one is as unknown as any other operation.
        frames.push(frame(1, 7, 2, &token));
        frames.extend((3..=7).map(|seq| frame(1, 2, seq, b"")));
        let mut wire = shared().wire(transport).await;
        if transport == Transport::Tcp {
            wire.send_bytes(&frames.concat()).await;
        } else {
            let messages: Vec<u8> =
                frames.iter().flat_map(|frame| masked(FIN | BINARY, frame)).collect();
            wire.send_bytes(&messages).await;
        }
        wire.expect(&frame(1, 8, 1, b"")).await;
        wire.expect(&frame(1, 7, 2, b"")).await;
        for seq in 3..=7 {
            wire.expect(&beaten(1, seq, 0)).await;
        }
    }
}
