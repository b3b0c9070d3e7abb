//! Frames: their limits at both ends, and what closes.

use crate::bytes::{claiming, frame};
use crate::device::{Device, Who};
use crate::stack::{id, shared};
use crate::wire::{GOIM, TCP, WEBSOCKET, Way};

async fn device(way: Way) -> Device {
    shared().device(way, &Who::key(&id("key"))).await
}

#[tokio::test]
async fn a_body_of_4096_bytes_is_taken_and_one_more_closes() {
    for way in GOIM {
        let mut device = device(way).await;
        let body = vec![b'x'; 4096];
        device.wire.send(&frame(1, 14, 1, &body)).await;
        device.wire.expect(&frame(1, 15, 1, &body)).await;
        device.wire.send(&frame(1, 14, 2, &[b'x'; 4097])).await;
        device.wire.expect_end().await;
    }
}

#[tokio::test]
async fn a_longer_packet_closes_before_its_body_is_there() {
    for packet in [4113, i32::MAX] {
        for way in GOIM {
            let mut device = device(way).await;
            device.wire.send(&claiming(packet, 16, 1, 100, 1, b"")).await;
            device.wire.expect_end().await;
        }
    }
}

#[tokio::test]
async fn a_header_length_other_than_16_closes() {
    for way in GOIM {
        for header in [0, 15, 17, -16, i16::MIN, i16::MAX] {
            let mut device = device(way).await;
            device.wire.send(&claiming(16, header, 1, 100, 1, b"")).await;
            device.wire.expect_end().await;
        }
    }
}

#[tokio::test]
async fn a_packet_length_below_16_means_no_body() {
    for way in GOIM {
        let mut device = device(way).await;
        for packet in 0..16 {
            device.wire.send(&claiming(packet, 16, 1, 100, packet, b"")).await;
            device.wire.expect(&frame(1, 100, packet, b"")).await;
        }
    }
}

#[tokio::test]
async fn a_negative_packet_length_means_no_body_on_tcp_and_closes_on_websocket() {
    for packet in [-1, i32::MIN] {
        for way in TCP {
            let mut device = device(way).await;
            device.wire.send(&claiming(packet, 16, 1, 100, 7, b"")).await;
            device.wire.expect(&frame(1, 100, 7, b"")).await;
        }
        for way in WEBSOCKET {
            let mut device = device(way).await;
            device.wire.send(&claiming(packet, 16, 1, 100, 7, b"")).await;
            device.wire.expect_end().await;
        }
    }
}

#[tokio::test]
async fn a_message_without_room_for_a_header_closes() {
    for way in WEBSOCKET {
        for len in [0, 1, 15] {
            let mut device = device(way).await;
            device.wire.send(&frame(1, 100, 1, b"")[..len]).await;
            device.wire.expect_end().await;
        }
    }
}

#[tokio::test]
async fn bytes_behind_the_frame_of_a_message_are_ignored() {
    for way in WEBSOCKET {
        let mut device = device(way).await;
        device.wire.send(&[frame(1, 100, 1, b"body"), vec![0xff; 15]].concat()).await;
        device.wire.expect(&frame(1, 100, 1, b"")).await;
        device.beat().await;
    }
}

#[tokio::test]
async fn the_version_is_echoed_whatever_it_is() {
    for way in GOIM {
        let mut device = device(way).await;
        for version in [0, 1, -1, i16::MIN, i16::MAX] {
            device.wire.send(&frame(version, 100, 1, b"")).await;
            device.wire.expect(&frame(version, 100, 1, b"")).await;
        }
    }
}

#[tokio::test]
async fn how_a_frame_is_cut_into_packets_does_not_matter() {
    for way in TCP {
        let mut device = device(way).await;
        for byte in frame(1, 12, 5, b"live://cut") {
            device.wire.send_bytes(&[byte]).await;
            tokio::task::yield_now().await;
        }
        device.wire.expect(&frame(1, 13, 5, b"live://cut")).await;
    }
}

#[tokio::test]
async fn what_came_before_a_broken_frame_is_answered() {
    for way in GOIM {
        let mut device = device(way).await;
        for seq in 1..=20 {
            device.wire.send(&frame(1, 100, seq, b"")).await;
        }
        device.wire.send(&claiming(16, 15, 1, 100, 1, b"")).await;
        for seq in 1..=20 {
            device.wire.expect(&frame(1, 100, seq, b"")).await;
        }
        device.wire.expect_end().await;
    }
}
