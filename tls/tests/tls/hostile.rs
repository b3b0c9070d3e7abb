//! Hostile bytes: whatever is changed on the way is noticed, and nothing else comes of it.

use std::io::Write;

use futures_util::FutureExt;
use orrery_tls::{Refusal, Speaks};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use crate::world::{Manners, NAME, Server, TLS12, TLS13};

/// Other bits for some of the bytes.
fn changes() -> impl Strategy<Value = Vec<(Index, u8)>> {
    vec((any::<Index>(), 1..=255_u8), 1..5)
}

fn change(bytes: &mut [u8], changes: &[(Index, u8)]) {
    for (at, bits) in changes {
        *at.get_mut(bytes) ^= bits;
    }
}

proptest! {
    #[test]
    fn a_changed_hello_is_refused_with_a_name(
        changes in changes(),
        read in prop_oneof![1..600_usize, Just(usize::MAX)],
        newest in any::<bool>(),
    ) {
        let server = Server::new(Speaks::Http);
        let client = server.client(if newest { TLS13 } else { TLS12 });
        let name = ServerName::try_from(NAME).unwrap();
        let mut hello = Vec::new();
        ClientConnection::new(client, name).unwrap().write_tls(&mut hello).unwrap();
        change(&mut hello, &changes);
        let (near, mut far) = duplex(1 << 16);
        far.write_all(&hello).now_or_never().unwrap().unwrap();
        far.shutdown().now_or_never().unwrap().unwrap();
        let stream = Manners { read, ..Manners::GOOD }.over(near);
        let accepted = server.acceptor.accept(stream).now_or_never();
        let refusal = accepted.expect("nothing is waited for").unwrap_err();
        prop_assert!(Refusal::NAMES.contains(&refusal.name()));
    }

    #[test]
    fn changed_records_are_noticed_and_what_came_before_them_is_right(
        lens in vec(1..3000_usize, 1..5),
        changes in changes(),
        read in prop_oneof![20..3000_usize, Just(usize::MAX)],
        newest in any::<bool>(),
    ) {
        let server = Server::new(Speaks::Http);
        let client = server.client(if newest { TLS13 } else { TLS12 });
        let manners = Manners { read, ..Manners::GOOD };
        let mut connect = Box::pin(server.connect(&client, manners));
        let (device, mut comet) = (0..10_000)
            .find_map(|_| connect.as_mut().now_or_never())
            .expect("a handshake takes so many steps at most");
        let (mut wire, mut tls) = device.into_inner();
        let mut sent = Vec::new();
        let mut records = Vec::new();
        for len in lens {
            let bytes: Vec<u8> = (sent.len()..sent.len() + len).map(|at| at as u8).collect();
            tls.writer().write_all(&bytes).unwrap();
            tls.write_tls(&mut records).unwrap();
            sent.extend(bytes);
        }
        change(&mut records, &changes);
        wire.write_all(&records).now_or_never().unwrap().unwrap();
        wire.shutdown().now_or_never().unwrap().unwrap();
        let mut received = Vec::new();
        let read = comet.read_to_end(&mut received).now_or_never();
        prop_assert!(read.expect("nothing is waited for").is_err());
        prop_assert!(sent.starts_with(&received));
        // Who goes on nevertheless meets an error, and no more.
        prop_assert!(comet.read_u8().now_or_never().is_some_and(|read| read.is_err()));
        let _ = comet.write(b"x").now_or_never();
        let _ = comet.shutdown().now_or_never();
    }
}
