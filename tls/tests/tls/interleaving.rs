//! Interleaving: in whatever order both sides read and write, and however the bytes are cut, what arrives is what
//! was sent.

use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt;
use orrery_tls::limits::{RECORD_PLAIN_MAX, RECORD_WIRE_MAX};
use orrery_tls::{Speaks, TlsStream};
use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio_rustls::client::TlsStream as ClientStream;

use crate::world::{Manners, Server, TLS12, TLS13};

#[derive(Debug, Clone)]
enum Step {
    DeviceWrites(usize),
    DeviceReads(usize),
    DeviceUpdatesKeys,
    CometWrites(Vec<usize>),
    CometReads(usize),
    CometFlushes,
}

fn step() -> impl Strategy<Value = Step> {
    let len = prop_oneof![4 => 1..300_usize, 1 => 1..40_000_usize];
    let lens = prop::collection::vec(prop_oneof![4 => 0..300_usize, 1 => 0..20_000_usize], 1..8);
    prop_oneof![
        6 => len.clone().prop_map(Step::DeviceWrites),
        6 => len.clone().prop_map(Step::DeviceReads),
        1 => Just(Step::DeviceUpdatesKeys),
        6 => lens.prop_map(Step::CometWrites),
        6 => len.prop_map(Step::CometReads),
        1 => Just(Step::CometFlushes),
    ]
}

fn manners() -> impl Strategy<Value = Manners> {
    // Single bytes would take too long for so much; they have tests of their own.
    let some = || prop_oneof![Just(usize::MAX), 20..200_usize, 200..5000_usize];
    let pipe = prop_oneof![2000..9000_usize, Just(1 << 18)];
    (some(), some(), any::<bool>(), pipe).prop_map(|(read, write, coy, pipe)| Manners {
        read,
        write,
        coy,
        pipe,
    })
}

/// One direction: how much was accepted, and how much of it arrived.
#[derive(Default)]
struct Flow {
    sent: usize,
    arrived: usize,
}

/// The byte at a place of a flow.
fn byte(at: usize) -> u8 {
    (at * 31 + at / 253) as u8
}

impl Flow {
    fn next(&self, len: usize) -> Vec<u8> {
        (self.sent..self.sent + len).map(byte).collect()
    }

    fn arrive(&mut self, bytes: &[u8]) {
        for found in bytes {
            assert_eq!(*found, byte(self.arrived), "at {}", self.arrived);
            self.arrived += 1;
        }
        assert!(self.arrived <= self.sent, "what was never sent");
    }
}

struct Run {
    device: ClientStream<DuplexStream>,
    comet: Box<TlsStream>,
    up: Flow,
    down: Flow,
    updates: usize,
}

impl Run {
    fn step(&mut self, step: &Step) {
        let cx = &mut Context::from_waker(Waker::noop());
        match step {
            Step::DeviceWrites(len) => {
                let bytes = self.up.next(*len);
                if let Poll::Ready(taken) = Pin::new(&mut self.device).poll_write(cx, &bytes) {
                    self.up.sent += taken.unwrap();
                }
            }
            Step::DeviceReads(len) => {
                let mut bytes = vec![0; *len];
                let mut reader = ReadBuf::new(&mut bytes);
                if let Poll::Ready(read) = Pin::new(&mut self.device).poll_read(cx, &mut reader) {
                    read.unwrap();
                    self.down.arrive(reader.filled());
                }
            }
            // More without anything being said in between is refused by rustls.
            Step::DeviceUpdatesKeys if self.updates < 8 => {
                self.updates += 1;
                // TLS 1.2 has none.
                let _ = self.device.get_mut().1.refresh_traffic_keys();
            }
            Step::DeviceUpdatesKeys => {}
            Step::CometWrites(lens) => {
                let all = self.down.next(lens.iter().sum());
                let mut rest = &all[..];
                let mut slices = Vec::new();
                for len in lens {
                    let (slice, others) = rest.split_at(*len);
                    slices.push(IoSlice::new(slice));
                    rest = others;
                }
                let written = Pin::new(&mut self.comet).poll_write_vectored(cx, &slices);
                if let Poll::Ready(taken) = written {
                    let taken = taken.unwrap();
                    assert_eq!(taken, all.len().min(RECORD_PLAIN_MAX));
                    self.down.sent += taken;
                }
            }
            Step::CometReads(len) => {
                let mut bytes = vec![0; *len];
                let mut reader = ReadBuf::new(&mut bytes);
                if let Poll::Ready(read) = Pin::new(&mut self.comet).poll_read(cx, &mut reader) {
                    read.unwrap();
                    assert!(!reader.filled().is_empty(), "nobody has ended");
                    self.up.arrive(reader.filled());
                }
            }
            Step::CometFlushes => {
                if let Poll::Ready(flushed) = Pin::new(&mut self.comet).poll_flush(cx) {
                    flushed.unwrap();
                }
            }
        }
        // The beginning of a record, plaintext of others, and a record that is not sent: and what a vector keeps beyond.
        assert!(self.comet.buffered_bytes() <= 4 * RECORD_WIRE_MAX);
    }

    /// Has both sides send what they have kept. Returns whether the device has sent all.
    fn flush(&mut self) -> bool {
        let cx = &mut Context::from_waker(Waker::noop());
        self.step(&Step::CometFlushes);
        match Pin::new(&mut self.device).poll_flush(cx) {
            Poll::Ready(flushed) => flushed.is_ok(),
            Poll::Pending => false,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_arrives_is_what_was_sent(
        steps in prop::collection::vec(step(), 1..150),
        manners in manners(),
        newest in any::<bool>(),
    ) {
        let server = Server::new(Speaks::Http);
        let client = server.client(if newest { TLS13 } else { TLS12 });
        let mut connect = Box::pin(server.connect(&client, manners));
        let (device, comet) = (0..100_000)
            .find_map(|_| connect.as_mut().now_or_never())
            .expect("a handshake takes so many steps at most");
        let mut run = Run { device, comet, up: Flow::default(), down: Flow::default(), updates: 0 };
        for step in &steps {
            run.step(step);
        }
        for _ in 0..1_000_000 {
            let arrived = (run.up.arrived, run.down.arrived) == (run.up.sent, run.down.sent);
            if run.flush() && arrived && run.comet.buffered_bytes() == 0 {
                break;
            }
            run.step(&Step::DeviceReads(20_000));
            run.step(&Step::CometReads(20_000));
        }
        prop_assert_eq!((run.up.arrived, run.down.arrived), (run.up.sent, run.down.sent));
        prop_assert_eq!(run.comet.buffered_bytes(), 0);
    }
}
