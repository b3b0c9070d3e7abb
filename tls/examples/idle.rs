//! Measures what idle TLS connections cost a server in memory, beside what they cost with other streams.
//!
//! `cargo run -p orrery-tls --example idle -- [connections=4000] [storm=32] [tls12]`. Each kind of stream gets a
//! server in a process of its own; this one makes the connections, `storm` at a time. On each a word is said and
//! answered, and then nothing more. Three figures a connection: the growth of the resident set since the first
//! hundred connections, what was asked of the allocator (the one that the binary uses; aws-lc allocates from
//! the system's), and what is resident after as many more connections have come and gone, a hundred at a time.

#![allow(clippy::unwrap_used, reason = "a measurement fails by panicking")]
#![allow(clippy::print_stdout, reason = "the figures are its answer")]
#![allow(clippy::disallowed_methods, reason = "a tool has the machine's sockets")]

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::{cell::RefCell, future::poll_fn};

use cap::Cap;
use futures_util::stream::{self, StreamExt};
use mimalloc::MiMalloc;
use orrery_host::Host;
use orrery_host::system::SystemClock;
use orrery_tls::{Acceptor, Certificates, Files, Speaks};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

#[global_allocator]
static ALLOCATOR: Cap<MiMalloc> = Cap::new(MiMalloc, usize::MAX);

/// Connections that are there before the first look.
const WARM: usize = 100;

const NAME: &str = "comet.test";

fn main() {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|arg| arg == "serve") {
        return serve(&args[1], Path::new(&args[2]));
    }
    let tls12 = args.iter().position(|arg| arg == "tls12");
    let version: &'static SupportedProtocolVersion = match tls12 {
        Some(at) => {
            args.remove(at);
            &rustls::version::TLS12
        }
        None => &rustls::version::TLS13,
    };
    let number = |name: &str, or: usize| {
        let of = |arg: &String| arg.strip_prefix(name)?.strip_prefix('=')?.parse().ok();
        args.iter().find_map(of).unwrap_or(or)
    };
    let (connections, storm) = (number("connections", 4000), number("storm", 32));
    println!("{connections} connections, {storm} at a time, {:?}", version.version);
    println!("a stream of ours is {} bytes of it", size_of::<orrery_tls::TlsStream>());
    println!("{:<14}{:>12}{:>14}{:>16}", "bytes each", "resident", "asked for", "after a churn");
    let folder = tempfile::tempdir().unwrap();
    let certified = rcgen_pair();
    std::fs::write(folder.path().join("cert.pem"), &certified.0).unwrap();
    std::fs::write(folder.path().join("key.pem"), &certified.1).unwrap();
    for kind in ["plain", "unbuffered", "tokio-rustls"] {
        let mut server = Server::start(kind, folder.path());
        let connector = (kind != "plain").then(|| connector(&certified.0, version));
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let _warm = runtime.block_on(connect(server.address, connector.as_ref(), WARM, storm));
        let before = server.memory();
        let held =
            runtime.block_on(connect(server.address, connector.as_ref(), connections, storm));
        let idle = server.memory();
        // As many come and go again, a few at a time: what is left in between the others shows.
        for _ in 0..connections / WARM {
            drop(runtime.block_on(connect(server.address, connector.as_ref(), WARM, storm)));
            server.wait_for(WARM + connections);
        }
        let churned = server.memory();
        let each = |now: u64, before: u64| (now as f64 - before as f64) / connections as f64;
        let resident = each(idle.0, before.0);
        let asked_for = each(idle.1, before.1);
        println!("{kind:<14}{resident:>12.0}{asked_for:>14.0}{:>16.0}", each(churned.0, before.0));
        drop(held);
    }
}

fn rcgen_pair() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![NAME.to_owned()]).unwrap().self_signed(&key);
    (certificate.unwrap().pem(), key.serialize_pem())
}

/// A server in a process of its own, which answers on its output what is asked on its input.
struct Server {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
    address: SocketAddr,
}

impl Server {
    fn start(kind: &str, folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["serve", kind])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let mut address = String::new();
        answers.read_line(&mut address).unwrap();
        Self { child, answers, address: address.trim().parse().unwrap() }
    }

    fn ask(&mut self) -> [u64; 3] {
        self.child.stdin.as_mut().unwrap().write_all(b"?\n").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        let figures: Vec<u64> =
            answer.split_whitespace().map(|figure| figure.parse().unwrap()).collect();
        figures.try_into().unwrap()
    }

    /// Bytes that are resident, and bytes asked of the allocator.
    fn memory(&mut self) -> (u64, u64) {
        let [resident, asked_for, _] = self.ask();
        (resident, asked_for)
    }

    /// Waits until so many connections are left.
    fn wait_for(&mut self, connections: usize) {
        while self.ask()[2] != connections as u64 {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn connector(trusted: &str, version: &'static SupportedProtocolVersion) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    TlsConnector::from(Arc::new(config))
}

enum Connection {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Makes connections on which one word was answered.
async fn connect(
    address: SocketAddr,
    connector: Option<&TlsConnector>,
    connections: usize,
    storm: usize,
) -> Vec<Connection> {
    let one = |_| async move {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut connection = match connector {
            None => Connection::Plain(stream),
            Some(connector) => {
                let name = ServerName::try_from(NAME).unwrap();
                Connection::Tls(Box::new(connector.connect(name, stream).await.unwrap()))
            }
        };
        match &mut connection {
            Connection::Plain(stream) => converse(stream).await,
            Connection::Tls(stream) => converse(stream).await,
        }
        connection
    };
    stream::iter(0..connections).map(one).buffer_unordered(storm).collect().await
}

async fn converse(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    stream.write_all(b"ping").await.unwrap();
    stream.flush().await.unwrap();
    stream.read_exact(&mut [0; 4]).await.unwrap();
}

/// A server of one thread, whose connections share a buffer for what they read, as a comet's do.
fn serve(kind: &str, folder: &Path) {
    let files = Files { certificates: folder.join("cert.pem"), key: folder.join("key.pem") };
    let acceptor = TlsAcceptor::from(Arc::new(
        ServerConfig::builder_with_provider(
            Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
        )
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            CertificateDer::pem_file_iter(&files.certificates)
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap(),
            PrivateKeyDer::from_pem_file(&files.key).unwrap(),
        )
        .unwrap(),
    ));
    let certificates = Certificates::load(vec![files], Arc::new(SystemClock)).unwrap();
    let ours = Acceptor::new(Arc::new(certificates), Speaks::Unnamed).unwrap();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let scratch = Rc::new(RefCell::new(vec![0; 16 * 1024]));
    LocalSet::new().block_on(&runtime, async {
        let living = Rc::new(());
        let answering = living.clone();
        let (asked, mut questions) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in std::io::stdin().lines() {
                let _ = (line.unwrap(), asked.send(()));
            }
        });
        spawn_local(async move {
            while questions.recv().await.is_some() {
                // One for this task, one for who accepts.
                let connections = Rc::strong_count(&answering) - 2;
                println!("{} {} {connections}", resident_bytes(), ALLOCATOR.allocated());
            }
        });
        let address = "127.0.0.1:0".parse().unwrap();
        if kind == "tokio-rustls" {
            let listener = TcpListener::bind::<SocketAddr>(address).await.unwrap();
            println!("{}", listener.local_addr().unwrap());
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, scratch) = (acceptor.clone(), scratch.clone());
                let living = living.clone();
                spawn_local(async move {
                    let stream = Box::pin(acceptor.accept(stream)).await.unwrap();
                    answer(Box::new(stream), &scratch).await;
                    drop(living);
                });
            }
        }
        let listener = Host::system().net.listen(address).await.unwrap();
        println!("{}", listener.local_addr().unwrap());
        let plain = kind == "plain";
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, scratch) = (ours.clone(), scratch.clone());
            let living = living.clone();
            spawn_local(async move {
                match plain {
                    true => answer(stream, &scratch).await,
                    false => {
                        let stream = Box::pin(acceptor.accept(stream)).await.unwrap();
                        drop(acceptor);
                        answer(stream, &scratch).await;
                    }
                }
                drop(living);
            });
        }
    });
}

/// Answers each word, until there are no more.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, scratch: &RefCell<Vec<u8>>) {
    while let Ok(1..) = poll_fn(|cx| {
        let mut scratch = scratch.borrow_mut();
        let mut bytes = ReadBuf::new(&mut scratch);
        Pin::new(&mut stream).poll_read(cx, &mut bytes).map_ok(|()| bytes.filled().len())
    })
    .await
    {
        if stream.write_all(b"pong").await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}
