//! Bytes: cut, gathered, split and ended as the network and the other side like.

use std::io::{ErrorKind, IoSlice};
use std::pin::Pin;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::poll_fn;
use orrery_host::Stream;
use orrery_tls::Speaks;
use orrery_tls::limits::{RECORD_PLAIN_MAX, RECORD_WIRE_MAX};
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::world::{Manners, Server, TLS12, TLS13};

/// Bytes that are not all alike.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 251) as u8).collect()
}

#[tokio::test]
async fn large_writes_are_split_into_records_and_arrive_whole() {
    let server = Server::new(Speaks::Http);
    let sent = pattern(5 * RECORD_PLAIN_MAX + 17);
    for version in [TLS12, TLS13] {
        let client = server.client(version);
        for manners in
            [Manners::GOOD, Manners { write: 1000, coy: true, pipe: 4096, ..Manners::GOOD }]
        {
            let (mut device, mut comet) = server.connect(&client, manners).await;
            let mut received = vec![0; sent.len()];
            let write = async {
                comet.write_all(&sent).await.unwrap();
                comet.flush().await.unwrap();
            };
            tokio::join!(write, async { device.read_exact(&mut received).await.unwrap() });
            assert!(received == sent);
            assert_eq!(comet.buffered_bytes(), 0);
        }
    }
}

#[tokio::test]
async fn slices_share_a_record_as_far_as_it_has_room() {
    let server = Server::new(Speaks::Http);
    let (mut device, mut comet) = server.connect(&server.client(TLS13), Manners::GOOD).await;
    let long = pattern(RECORD_PLAIN_MAX);
    for (slices, taken) in [
        (vec![&b""[..], b"ab", b"", b"c"], 3),
        (vec![b"ab", &long], RECORD_PLAIN_MAX),
        (vec![&long, b"ab"], RECORD_PLAIN_MAX),
        (vec![b"", b""], 0),
    ] {
        let io: Vec<_> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
        let len = poll_fn(|cx| Pin::new(&mut comet).poll_write_vectored(cx, &io)).await.unwrap();
        assert_eq!(len, taken);
        let mut received = vec![0; len];
        device.read_exact(&mut received).await.unwrap();
        assert!(received == slices.concat()[..len]);
    }
}

#[tokio::test]
async fn many_records_in_one_read_are_all_there_and_a_small_reader_gets_them_in_parts() {
    let server = Server::new(Speaks::Http);
    for version in [TLS12, TLS13] {
        let (mut device, mut comet) = server.connect(&server.client(version), Manners::GOOD).await;
        for number in 0..100_u8 {
            device.write_all(&[number; 3]).await.unwrap();
        }
        device.flush().await.unwrap();
        let mut word = [0; 2];
        comet.read_exact(&mut word).await.unwrap();
        assert!(comet.buffered_bytes() > 0, "the others were read too");
        let mut rest = vec![0; 298];
        comet.read_exact(&mut rest).await.unwrap();
        let sent: Vec<u8> = (0..100_u8).flat_map(|number| [number; 3]).collect();
        assert!([&word[..], &rest].concat() == sent);
        assert_eq!(comet.buffered_bytes(), 0);
    }
}

#[tokio::test]
async fn only_the_beginning_of_a_record_is_kept_and_given_back() {
    let server = Server::new(Speaks::Http);
    let manners = Manners { pipe: 1000, ..Manners::GOOD };
    for version in [TLS12, TLS13] {
        let (mut device, mut comet) = server.connect(&server.client(version), manners).await;
        let sent = pattern(RECORD_PLAIN_MAX);
        let mut received = Vec::new();
        let mut kept_max = 0;
        let mut write = std::pin::pin!(
            async {
                device.write_all(&sent).await.unwrap();
                device.flush().await.unwrap();
            }
            .fuse()
        );
        while received.len() < sent.len() {
            let _ = (&mut write).now_or_never();
            let mut some = [0; 4096];
            if let Some(len) = comet.read(&mut some).now_or_never() {
                received.extend_from_slice(&some[..len.unwrap()]);
            }
            kept_max = kept_max.max(comet.buffered_bytes());
        }
        assert!(received == sent);
        assert!((1000..=2 * RECORD_WIRE_MAX).contains(&kept_max), "{kept_max}");
        assert_eq!(comet.buffered_bytes(), 0);
    }
}

#[tokio::test]
async fn what_the_kernel_does_not_take_is_one_record_and_a_read_sends_it() {
    let server = Server::new(Speaks::Http);
    let manners = Manners { pipe: 4096, ..Manners::GOOD };
    let (mut device, mut comet) = server.connect(&server.client(TLS13), manners).await;
    let sent = pattern(RECORD_PLAIN_MAX);
    assert_eq!(comet.write(&sent).now_or_never().unwrap().unwrap(), RECORD_PLAIN_MAX);
    let kept = comet.buffered_bytes();
    assert!((1..=RECORD_WIRE_MAX).contains(&kept), "{kept}");
    assert!(comet.write(b"more").now_or_never().is_none(), "first things first");
    let mut received = vec![0; sent.len()];
    let mut nothing = [0; 1];
    tokio::select! {
        biased;
        _ = comet.read(&mut nothing) => panic!("the device said nothing"),
        read = device.read_exact(&mut received) => assert_eq!(read.unwrap(), sent.len()),
    }
    assert!(received == sent);
    assert_eq!(comet.buffered_bytes(), 0);
}

#[tokio::test]
async fn a_reader_in_another_task_does_not_keep_the_writer_from_being_woken() {
    let server = Server::new(Speaks::Http);
    let manners = Manners { pipe: 4096, ..Manners::GOOD };
    let (device, comet) = server.connect(&server.client(TLS13), manners).await;
    let (mut device_reads, mut device_writes) = tokio::io::split(device);
    let (mut comet_reads, mut comet_writes) = tokio::io::split(comet);
    let sent = pattern(10 * RECORD_PLAIN_MAX);
    let mut tasks = tokio::task::JoinSet::new();
    let (down, up) = (sent.clone(), sent.clone());
    tasks.spawn(async move {
        comet_writes.write_all(&down).await.unwrap();
        comet_writes.shutdown().await.unwrap();
    });
    tasks.spawn(async move {
        device_writes.write_all(&up).await.unwrap();
        device_writes.shutdown().await.unwrap();
    });
    let read = async {
        let (mut up, mut down) = (Vec::new(), Vec::new());
        let (upward, downward) =
            tokio::join!(comet_reads.read_to_end(&mut up), device_reads.read_to_end(&mut down));
        assert_eq!((upward.unwrap(), downward.unwrap()), (sent.len(), sent.len()));
        assert!(up == sent && down == sent);
    };
    tokio::time::timeout(Duration::from_secs(60), read).await.expect("nobody is forgotten");
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn either_side_may_end_first_and_the_other_goes_on() {
    let server = Server::new(Speaks::Http);
    for version in [TLS12, TLS13] {
        let client = server.client(version);
        let (mut device, mut comet) = server.connect(&client, Manners::GOOD).await;
        device.write_all(b"last").await.unwrap();
        device.shutdown().await.unwrap();
        let mut said = Vec::new();
        comet.read_to_end(&mut said).await.unwrap();
        assert_eq!(said, b"last");
        comet.write_all(b"and mine").await.unwrap();
        comet.shutdown().await.unwrap();
        let mut said = Vec::new();
        device.read_to_end(&mut said).await.unwrap();
        assert_eq!(said, b"and mine");

        let (mut device, mut comet) = server.connect(&client, Manners::GOOD).await;
        comet.shutdown().await.unwrap();
        assert_eq!(comet.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        let mut said = Vec::new();
        device.read_to_end(&mut said).await.unwrap();
        device.write_all(b"still here").await.unwrap();
        device.shutdown().await.unwrap();
        let mut said = Vec::new();
        comet.read_to_end(&mut said).await.unwrap();
        assert_eq!(said, b"still here");
    }
}

#[tokio::test]
async fn a_device_that_only_goes_is_told_from_one_that_ends() {
    let server = Server::new(Speaks::Http);
    let (device, mut comet) = server.connect(&server.client(TLS13), Manners::GOOD).await;
    drop(device);
    let error = comet.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
}

#[tokio::test]
async fn keys_are_updated_and_the_update_is_answered() {
    let server = Server::new(Speaks::Http);
    let (mut device, mut comet) = server.connect(&server.client(TLS13), Manners::GOOD).await;
    let mut word = [0; 3];
    for _ in 0..20 {
        device.get_mut().1.refresh_traffic_keys().unwrap();
        device.write_all(b"one").await.unwrap();
        comet.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"one");
        comet.write_all(b"two").await.unwrap();
        device.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"two");
    }
    assert_eq!(comet.buffered_bytes(), 0);
}

#[tokio::test]
async fn a_record_that_was_tampered_with_ends_the_connection_with_an_alert() {
    let server = Server::new(Speaks::Http);
    for version in [TLS12, TLS13] {
        let (device, mut comet) = server.connect(&server.client(version), Manners::GOOD).await;
        let (mut wire, mut tls) = device.into_inner();
        // Its tickets are on their way.
        let mut told = [0; 4096];
        while let Some(len) = wire.read(&mut told).now_or_never() {
            tls.read_tls(&mut &told[..len.unwrap()]).unwrap();
            tls.process_new_packets().unwrap();
        }
        let mut forged = vec![23, 3, 3, 0, 32];
        forged.extend([7; 32]);
        wire.write_all(&forged).await.unwrap();
        assert_eq!(comet.read_u8().await.unwrap_err().kind(), ErrorKind::InvalidData);
        assert!(comet.write(b"x").await.is_err());
        let len = wire.read(&mut told).await.unwrap();
        tls.read_tls(&mut &told[..len]).unwrap();
        let alert = tls.process_new_packets().unwrap_err();
        assert_eq!(alert, rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac));
    }
}

#[tokio::test]
async fn an_adopted_stream_goes_on() {
    let server = Server::new(Speaks::Http);
    let (mut device, comet) = server.connect(&server.client(TLS13), Manners::GOOD).await;
    device.write_all(b"x").await.unwrap();
    let comet: Box<dyn Stream> = comet;
    let mut comet = comet.adopt().unwrap();
    comet.reset_on_drop();
    assert!(comet.is_write_vectored());
    assert_eq!(comet.read_u8().await.unwrap(), b'x');
}
