//! World: certificates, clients, and streams that are hard to deal with.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use orrery_host::{Clock, LocalStream, Stream};
use orrery_tls::{Acceptor, Certificates, Files, Refusal, Speaks, TlsStream};
use rcgen::{CertificateParams, IsCa, KeyPair, date_time_ymd};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream as ClientStream;

/// The name the certificates are for.
pub(crate) const NAME: &str = "comet.test";

/// 2026-01-01, when everything here happens.
pub(crate) const NOW_SECONDS: u64 = 1_767_225_600;

pub(crate) const TLS12: &SupportedProtocolVersion = &rustls::version::TLS12;
pub(crate) const TLS13: &SupportedProtocolVersion = &rustls::version::TLS13;

/// A clock that is set.
pub(crate) struct SetClock(AtomicU64);

impl SetClock {
    pub(crate) fn at(seconds: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(seconds)))
    }

    pub(crate) fn set(&self, seconds: u64) {
        self.0.store(seconds, Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn wall_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed) * 1000
    }
}

/// A certificate that signed itself, and its key, both in PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// A pair that is valid from the first day of one year to that of another.
pub(crate) fn pair(name: &str, from_year: i32, to_year: i32) -> Pair {
    pair_of(&KeyPair::generate().unwrap(), IsCa::NoCa, name, from_year, to_year)
}

/// The same with this key.
pub(crate) fn pair_of(
    key: &KeyPair,
    is_ca: IsCa,
    name: &str,
    from_year: i32,
    to_year: i32,
) -> Pair {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(from_year, 1, 1);
    params.not_after = date_time_ymd(to_year, 1, 1);
    params.is_ca = is_ca;
    let certificate = params.self_signed(key).unwrap().pem();
    Pair { certificate, key: key.serialize_pem() }
}

/// Files of pairs in a folder.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn files(&self, name: &str) -> Files {
        Files {
            certificates: self.path().join(format!("{name}.pem")),
            key: self.path().join(format!("{name}.key")),
        }
    }

    pub(crate) fn write(&self, name: &str, certificate: &str, key: &str) -> Files {
        let files = self.files(name);
        std::fs::write(&files.certificates, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
        files
    }
}

/// An acceptor, with what its clients trust.
pub(crate) struct Server {
    pub(crate) acceptor: Acceptor,
    pub(crate) certificates: Arc<Certificates>,
    pub(crate) folder: Folder,
    pub(crate) pair: Pair,
    pub(crate) clock: Arc<SetClock>,
}

impl Server {
    pub(crate) fn new(speaks: Speaks) -> Self {
        let folder = Folder::new();
        let pair = pair(NAME, 2020, 2060);
        let files = folder.write("comet", &pair.certificate, &pair.key);
        let clock = SetClock::at(NOW_SECONDS);
        let certificates = Arc::new(Certificates::load(vec![files], clock.clone()).unwrap());
        let acceptor = Acceptor::new(certificates.clone(), speaks).unwrap();
        Self { acceptor, certificates, folder, pair, clock }
    }

    pub(crate) fn client(&self, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
        client(&self.pair.certificate, version, &[])
    }

    /// Connects, over a stream with these manners.
    pub(crate) async fn connect(
        &self,
        client: &Arc<ClientConfig>,
        manners: Manners,
    ) -> (ClientStream<DuplexStream>, Box<TlsStream>) {
        let (client, server) = self.try_connect(client, manners).await;
        (client.unwrap(), server.unwrap())
    }

    pub(crate) async fn try_connect(
        &self,
        client: &Arc<ClientConfig>,
        manners: Manners,
    ) -> (io::Result<ClientStream<DuplexStream>>, Result<Box<TlsStream>, Refusal>) {
        let (near, far) = duplex(manners.pipe);
        let name = ServerName::try_from(NAME).unwrap();
        let connector = TlsConnector::from(client.clone());
        tokio::join!(connector.connect(name, far), self.acceptor.accept(manners.over(near)))
    }
}

/// A client that trusts one certificate.
pub(crate) fn client(
    trusted: &str,
    version: &'static SupportedProtocolVersion,
    protocols: &[&str],
) -> Arc<ClientConfig> {
    client_with(default_provider(), trusted, version, protocols)
}

/// The same, that can do what the provider can.
pub(crate) fn client_with(
    provider: CryptoProvider,
    trusted: &str,
    version: &'static SupportedProtocolVersion,
    protocols: &[&str],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// How a stream treats who reads and writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manners {
    /// Most bytes of one read.
    pub(crate) read: usize,
    /// Most bytes of one write.
    pub(crate) write: usize,
    /// Whether every second attempt has to be repeated.
    pub(crate) coy: bool,
    /// Bytes that fit between both ends.
    pub(crate) pipe: usize,
}

impl Manners {
    pub(crate) const GOOD: Self =
        Self { read: usize::MAX, write: usize::MAX, coy: false, pipe: 1 << 20 };

    pub(crate) fn over(self, stream: DuplexStream) -> Box<dyn Stream> {
        Box::new(LocalStream(Mannered { stream, manners: self, turn: false }))
    }
}

struct Mannered {
    stream: DuplexStream,
    manners: Manners,
    turn: bool,
}

impl Mannered {
    /// Whether to have somebody come again.
    fn puts_off(&mut self, cx: &Context<'_>) -> bool {
        self.turn = !self.turn;
        let puts_off = self.manners.coy && self.turn;
        if puts_off {
            cx.waker().wake_by_ref();
        }
        puts_off
    }
}

impl AsyncRead for Mannered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.puts_off(cx) {
            return Poll::Pending;
        }
        let read = self.manners.read;
        let mut part = buf.take(read);
        let polled = Pin::new(&mut self.stream).poll_read(cx, &mut part);
        let len = part.filled().len();
        buf.advance(len);
        polled
    }
}

impl AsyncWrite for Mannered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.puts_off(cx) {
            return Poll::Pending;
        }
        let len = bytes.len().min(self.manners.write);
        Pin::new(&mut self.stream).poll_write(cx, &bytes[..len])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
