//! Hostile bytes on a port for TLS: no panic, never more kept than the limits say, an end for whoever ends.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll};

use futures_util::FutureExt;
use orrery_host::LocalStream;
use orrery_host::system::SystemClock;
use orrery_tls::limits::RECORD_WIRE_MAX;
use orrery_tls::{Acceptor, Certificates, Files, Refusal, Speaks, TlsStream};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

const NAME: &str = "comet.test";

static WORLD: LazyLock<(Acceptor, [Arc<ClientConfig>; 2])> = LazyLock::new(|| {
    let key = KeyPair::generate().expect("randomness");
    let params = CertificateParams::new(vec![NAME.to_owned()]).expect("a good name");
    let pem = params.self_signed(&key).expect("a good certificate").pem();
    let folder = tempfile::tempdir().expect("a folder");
    let files =
        Files { certificates: folder.path().join("cert.pem"), key: folder.path().join("key.pem") };
    std::fs::write(&files.certificates, &pem).expect("written");
    std::fs::write(&files.key, key.serialize_pem()).expect("written");
    let certificates = Certificates::load(vec![files], Arc::new(SystemClock)).expect("a good pair");
    let acceptor = Acceptor::new(Arc::new(certificates), Speaks::Http).expect("randomness");
    let clients = [&rustls::version::TLS12, &rustls::version::TLS13].map(|version| {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(pem.as_bytes()).expect("pem"))
            .expect("a good certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .expect("a good version")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    });
    (acceptor, clients)
});

/// Holds for any bytes, or panics.
pub fn check(data: &[u8]) {
    // The first byte chooses what the others are, the second where to cut.
    let Some((&[kind, cut], bytes)) = data.split_first_chunk() else { return };
    let cut = usize::from(cut).max(1);
    match kind % 4 {
        0 => opened(bytes.to_vec(), cut),
        // Most bytes are no hello: make them the inside of one.
        1 => {
            let len = bytes.len().min(0x3ff0);
            let mut hello = vec![22, 3, 1];
            hello.extend(((len + 4) as u16).to_be_bytes());
            hello.push(1);
            hello.extend(&(len as u32).to_be_bytes()[1..]);
            hello.extend(&bytes[..len]);
            opened(hello, cut);
        }
        version => connected(&WORLD.1[usize::from(version - 2)], bytes, cut),
    }
}

/// Opens a connection with these bytes and ends it.
fn opened(bytes: Vec<u8>, cut: usize) {
    let wire = Wire::new(cut);
    wire.lock().to_server.extend(bytes);
    wire.lock().ended = true;
    let accepted = WORLD.0.accept(Box::new(LocalStream(wire))).now_or_never();
    let refusal = accepted.expect("nothing is waited for").expect_err("nobody knew our key");
    assert!(Refusal::NAMES.contains(&refusal.name()));
}

/// Says these bytes where records should be, after a good handshake.
fn connected(client: &Arc<ClientConfig>, bytes: &[u8], cut: usize) {
    let wire = Wire::new(usize::MAX);
    let name = ServerName::try_from(NAME).expect("a good name");
    let mut device = ClientConnection::new(client.clone(), name).expect("a good config");
    let mut accepting = Box::pin(WORLD.0.accept(Box::new(LocalStream(wire.clone()))));
    let mut stream: Box<TlsStream> = loop {
        let mut sent = Vec::new();
        while device.wants_write() {
            device.write_tls(&mut sent).expect("memory");
        }
        wire.lock().to_server.extend(sent);
        if let Some(accepted) = accepting.as_mut().now_or_never() {
            break accepted.expect("a good handshake");
        }
        let answer: Vec<u8> = wire.lock().to_device.drain(..).collect();
        device.read_tls(&mut &answer[..]).expect("memory");
        device.process_new_packets().expect("a good handshake");
    };
    {
        let mut wire = wire.lock();
        wire.cut = cut;
        wire.to_server.extend(bytes);
        wire.ended = true;
    }
    let mut read = [0; 4096];
    let _ = stream.write(b"x").now_or_never();
    assert!(stream.buffered_bytes() <= 4 * RECORD_WIRE_MAX);
    let found = stream.read(&mut read).now_or_never().expect("nothing is waited for");
    assert!(matches!(found, Ok(0) | Err(_)), "nobody else has the keys");
    let _ = stream.shutdown().now_or_never();
    let _ = stream.read(&mut read).now_or_never();
}

/// Both directions of a connection, in memory.
#[derive(Clone)]
struct Wire(Arc<Mutex<Ends>>);

struct Ends {
    to_server: VecDeque<u8>,
    to_device: Vec<u8>,
    cut: usize,
    ended: bool,
}

impl Wire {
    fn new(cut: usize) -> Self {
        Self(Arc::new(Mutex::new(Ends {
            to_server: VecDeque::new(),
            to_device: Vec::new(),
            cut,
            ended: false,
        })))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ends> {
        self.0.lock().expect("one thread")
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut ends = self.lock();
        let len = buf.remaining().min(ends.cut).min(ends.to_server.len());
        if len == 0 && !ends.ended {
            return Poll::Pending;
        }
        let bytes: Vec<u8> = ends.to_server.drain(..len).collect();
        buf.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut ends = self.lock();
        let len = bytes.len().min(ends.cut);
        ends.to_device.extend(&bytes[..len]);
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
