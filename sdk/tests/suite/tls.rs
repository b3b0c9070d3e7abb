//! What a device within TLS promises: the same as without, with comets that it trusts.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use orrery_comet_core::{Dialect, Encoded};
use orrery_host::{Host, Listener, LocalStream, Net, Stream, Task};
use orrery_model::message::Message;
use orrery_sdk::{
    Client, ClientEvent, ConnectError, Device, Event, NodeList, Pacing, TlsNet, Transport,
    TrustError,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use tokio::io::copy_bidirectional;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::peer::{ALL, Mood, Order, Peer};
use crate::script::{Act, Script, chunks, events, expect, message, welcome};

/// Bytes on their way in one direction of a connection.
const PIPE_BYTES: usize = 64 * 1024;

/// What a comet shows, and its certificate in PEM.
struct Shown {
    acceptor: TlsAcceptor,
    certificate: String,
}

impl Shown {
    /// A certificate that signed itself.
    fn new(name: &str, is_ca: IsCa) -> Self {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = is_ca;
        let keys = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&keys).unwrap();
        let key = PrivateKeyDer::from_pem_slice(keys.serialize_pem().as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Self { acceptor: TlsAcceptor::from(Arc::new(config)), certificate: certificate.pem() }
    }

    /// The net of comets that show it.
    fn front(&self, net: &Arc<dyn Net>) -> Arc<dyn Net> {
        let (net, acceptor) = (net.clone(), self.acceptor.clone());
        Arc::new(Front { net, acceptor, serving: Mutex::default() })
    }
}

/// TLS in front of comets that know nothing of it. What is said to them within TLS reaches them without.
struct Front {
    net: Arc<dyn Net>,
    acceptor: TlsAcceptor,
    serving: Mutex<Vec<Task>>,
}

impl Net for Front {
    fn listen(&self, _: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        unreachable!("devices only connect")
    }

    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        let (device, front) = tokio::io::duplex(PIPE_BYTES);
        let (connecting, acceptor) = (self.net.connect(address), self.acceptor.clone());
        let serving = Host::system().tasks.spawn("front", async move {
            // Who does not trust it goes no further.
            let Ok(mut secured) = acceptor.accept(front).await else { return };
            let Ok(mut comet) = connecting.await else { return };
            let _ = copy_bidirectional(&mut secured, &mut comet).await;
        });
        self.serving.lock().unwrap().push(serving);
        let device: Box<dyn Stream> = Box::new(LocalStream(device));
        async { Ok(device) }.boxed()
    }
}

/// The net of devices that trust these certificates.
fn trusting(net: Arc<dyn Net>, certificates: &str) -> Arc<dyn Net> {
    Arc::new(TlsNet::trusting(net, certificates.as_bytes()).unwrap())
}

fn push(transport: Transport, body: &'static [u8]) -> Bytes {
    Encoded::new(Message { op: 9, body: body.into() }).bytes(match transport {
        Transport::Tcp => Dialect::Tcp,
        Transport::WebSocket => Dialect::WebSocket,
        _ => Dialect::Json,
    })
}

async fn next(client: &mut Client) -> ClientEvent {
    timeout(Duration::from_secs(10), client.next()).await.expect("an event in time")
}

#[tokio::test]
async fn a_device_within_tls_speaks_each_protocol() {
    let shown = Shown::new("127.0.0.1", IsCa::NoCa);
    for transport in ALL {
        let peer = Peer::start(transport, Mood::Kind, None).await;
        let net = trusting(shown.front(&peer.host.net), &shown.certificate);
        let mut device = Device::connect(&net, peer.options(transport)).await.unwrap();
        device.heartbeat().await.unwrap();
        let answer = timeout(Duration::from_secs(10), device.next()).await.expect("an answer");
        assert!(matches!(answer, Event::HeartbeatReply { .. }), "{answer:?} over {transport:?}");
        // More than one record of TLS holds.
        let body: &[u8] = &[b'x'; 100_000];
        peer.order(Order::Write(push(transport, body))).await;
        assert_eq!(device.next().await, Event::Message { op: 9, body: body.into() });
        peer.order(Order::Hang).await;
        let end = timeout(Duration::from_secs(10), device.next()).await.expect("the end");
        assert!(matches!(end, Event::Closed { .. }), "{end:?} over {transport:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_over_http_does_so_within_tls() {
    let shown = Shown::new("comet", IsCa::NoCa);
    let stream = chunks(&[&format!("id: 2\ndata: {}\n\n", message("one"))]);
    for (transport, said) in
        [(Transport::Poll, events("2", &message("one"))), (Transport::Sse, stream)]
    {
        let script = Script::start(vec![welcome(), ("GET /sub/", Act::Say(said))]).await;
        let net = trusting(shown.front(&script.net), &shown.certificate);
        let mut device = Device::connect(&net, script.options(transport)).await.unwrap();
        expect(&mut device, "one").await;
    }
}

#[tokio::test]
async fn a_comet_that_cannot_be_trusted_is_told_nothing() {
    let trusted = Shown::new("127.0.0.1", IsCa::NoCa);
    // It claims to be the same.
    let stranger = Shown::new("127.0.0.1", IsCa::NoCa);
    let misnamed = Shown::new("comet.test", IsCa::NoCa);
    let ca = Shown::new("127.0.0.1", IsCa::Ca(BasicConstraints::Unconstrained));
    let certificates = [&trusted, &misnamed, &ca].map(|shown| shown.certificate.as_str()).concat();
    for (shown, why) in
        [(&stranger, "BadSignature"), (&misnamed, "not valid for name"), (&ca, "CaUsedAsEndEntity")]
    {
        for transport in ALL {
            let mut peer = Peer::start(transport, Mood::Kind, None).await;
            let net = trusting(shown.front(&peer.host.net), &certificates);
            let error = Device::connect(&net, peer.options(transport)).await.err().unwrap();
            let ConnectError::Unreachable { source, .. } = &error else { panic!("{error}") };
            assert!(source.to_string().contains(why), "{source}");
            assert!(error.may_retry(), "its certificate may be replaced");
            assert!(peer.actions.try_recv().is_err(), "it was not spoken to");
        }
    }
}

#[tokio::test]
async fn who_is_trusted_is_looked_at_first() {
    let trusting = |pem: &str| TlsNet::trusting(Host::system().net, pem.as_bytes()).err().unwrap();
    assert!(matches!(trusting(""), TrustError::Empty));
    let key = KeyPair::generate().unwrap().serialize_pem();
    assert!(matches!(trusting(&key), TrustError::Empty), "a key is no certificate");
    let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    assert!(matches!(trusting(cut), TrustError::Pem(_)));
    let hollow = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(trusting(hollow), TrustError::Certificate(_)));
}

#[tokio::test]
async fn a_client_within_tls_comes_back_within_tls() {
    let pacing = Pacing { base: Duration::from_millis(20), cap: Duration::from_millis(50) };
    let shown = Shown::new("127.0.0.1", IsCa::NoCa);
    for transport in ALL {
        let first = Peer::start(transport, Mood::Kind, None).await;
        let second = Peer::start(transport, Mood::Kind, None).await;
        let nodes = [&first, &second].map(|peer| peer.address.clone());
        let net = trusting(shown.front(&first.host.net), &shown.certificate);
        let nodes = NodeList::new(nodes).unwrap();
        let mut client = Client::new(net, first.options(transport), nodes, pacing, 7);
        let mut connected = Vec::new();
        while connected.len() < 2 {
            match next(&mut client).await {
                ClientEvent::Connected { address, .. } => {
                    connected.push(address);
                    if connected.len() == 1 {
                        first.order(Order::Hang).await;
                    }
                }
                ClientEvent::Ended { reason } => panic!("{reason} over {transport:?}"),
                _ => {}
            }
        }
        assert_eq!(connected, [first.address.clone(), second.address.clone()]);
        assert!(matches!(next(&mut client).await, ClientEvent::Gap { .. }));
        let body: &[u8] = b"back";
        second.order(Order::Write(push(transport, body))).await;
        let came = next(&mut client).await;
        assert!(
            matches!(&came, ClientEvent::Device(Event::Message { body: came, .. }) if came == body),
            "{came:?} over {transport:?}"
        );
    }
}
