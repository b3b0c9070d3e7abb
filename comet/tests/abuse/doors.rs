//! Doors: a comet with all four of them, ways in, and how much memory the process has.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use orrery_comet::Config;
use orrery_host::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Mutex, MutexGuard};

use crate::support::device::{Device, Transport};
use crate::support::json::JsonDevice;
use crate::support::tls::{Files, Pair, connect, stream};
use crate::support::{Stage, soon};

/// How a device comes in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) transport: Transport,
    /// Whether within TLS.
    pub(crate) secured: bool,
}

pub(crate) const WAYS: [Way; 4] = [
    Way { transport: Transport::Tcp, secured: false },
    Way { transport: Transport::WebSocket, secured: false },
    Way { transport: Transport::Tcp, secured: true },
    Way { transport: Transport::WebSocket, secured: true },
];

static ALONE: Mutex<()> = Mutex::const_new(());

/// A comet that serves TLS too, alone in the process.
pub(crate) struct Doors {
    pub(crate) stage: Stage,
    pair: Pair,
    _files: Files,
    _alone: MutexGuard<'static, ()>,
}

impl Doors {
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let alone = ALONE.lock().await;
        let pair = Pair::until(2060);
        let files = Files::of(&pair);
        let stage = Stage::with(|config| {
            config.tls = files.config();
            change(config);
        })
        .await;
        Self { stage, pair, _files: files, _alone: alone }
    }

    pub(crate) fn address(&self, way: Way) -> SocketAddr {
        let comet = &self.stage.comet;
        match (way.transport, way.secured) {
            (Transport::Tcp, false) => comet.tcp_address(),
            (Transport::WebSocket, false) => comet.websocket_address(),
            (Transport::Tcp, true) => comet.tls_tcp_address().unwrap(),
            (Transport::WebSocket, true) => comet.tls_websocket_address().unwrap(),
        }
    }

    /// A connection on which nothing was said.
    pub(crate) async fn silent(&self, way: Way) -> Box<dyn Stream> {
        self.try_silent(way).await.unwrap()
    }

    /// The same where it may be refused: a reset may come before the kernel says that it is connected.
    pub(crate) async fn try_silent(&self, way: Way) -> io::Result<Box<dyn Stream>> {
        self.stage.host.net.connect(&self.address(way).to_string()).await
    }

    /// One within TLS, where that is the way.
    pub(crate) async fn open(&self, way: Way) -> Box<dyn Stream> {
        match way.secured {
            true => stream(&self.stage.host, self.address(way), &self.pair).await,
            false => self.silent(way).await,
        }
    }

    pub(crate) async fn device(&self, way: Way, token: &str) -> Device {
        let mut device = Device::over(self.open(way).await, way.transport).await;
        device.authenticate(token).await;
        device
    }

    pub(crate) async fn json(&self, secured: bool) -> JsonDevice {
        let way = Way { transport: Transport::WebSocket, secured };
        let mut device = JsonDevice::over(self.open(way).await).await;
        device.hello(serde_json::json!({"type": "hello"})).await;
        device
    }

    /// Whether a device gets in with its token.
    pub(crate) async fn lets_in(&self, way: Way) -> bool {
        let address = self.address(way);
        let stream = match way.secured {
            true => match connect(&self.stage.host, address, &self.pair, &[]).await {
                Ok(stream) => Box::new(orrery_host::LocalStream(stream)) as Box<dyn Stream>,
                Err(_) => return false,
            },
            false => match self.stage.host.net.connect(&address.to_string()).await {
                Ok(stream) => stream,
                Err(_) => return false,
            },
        };
        assert_eq!(way.transport, Transport::Tcp, "a WebSocket is refused before it is one");
        Device::over(stream, way.transport).await.try_authenticate("{}").await
    }

    /// Waits until so many connections are not authenticated yet.
    pub(crate) async fn until_handshakes(&self, count: u64) {
        soon("so many handshakes", async {
            while self.handshakes() != count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }

    pub(crate) fn handshakes(&self) -> u64 {
        self.stage.measured("handshakes").unwrap()
    }

    pub(crate) fn refused(&self, limit: &str) -> u64 {
        self.stage.counted_for("handshakes_refused", "limit", limit)
    }

    pub(crate) fn floods(&self, limit: &str) -> u64 {
        self.stage.counted_for("floods", "limit", limit)
    }
}

/// All that comes until the end, and whether that is a reset.
pub(crate) async fn rest(stream: &mut Box<dyn Stream>) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    let read = soon("the end", stream.read_to_end(&mut bytes)).await;
    (bytes, read.is_err())
}

/// Sends a piece again and again, reading what comes back, until the comet ends it; gives the bytes it took.
pub(crate) async fn pour(stream: Box<dyn Stream>, piece: &[u8], times: usize) -> usize {
    let (mut reading, mut writing) = tokio::io::split(stream);
    let write = async {
        for sent in 0..times {
            if writing.write_all(piece).await.is_err() {
                return sent * piece.len();
            }
        }
        times * piece.len()
    };
    let read = async {
        let mut bytes = [0; 16 * 1024];
        while let Ok(1..) = reading.read(&mut bytes).await {}
    };
    soon("the end of a flood", async { tokio::join!(write, read).0 }).await
}

/// A device's stream, from here on byte by byte.
pub(crate) fn into_stream(device: Device) -> Box<dyn Stream> {
    match device {
        Device::Tcp { stream, .. } => stream,
        Device::WebSocket(socket, _) => socket.into_inner(),
    }
}

/// A WebSocket frame whose mask is zero, with a payload below 64 KiB.
pub(crate) fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).unwrap();
    let head = match len {
        0..126 => vec![first, 0x80 | len as u8],
        _ => [&[first, 0xfe][..], &len.to_be_bytes()].concat(),
    };
    [&head, &[0; 4][..], payload].concat()
}

/// Memory of this process that is in use, in bytes.
pub(crate) fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: usize = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1024
}

/// Holds that no more memory was taken since.
pub(crate) fn check_growth(before: usize, most: usize, what: &str) {
    let grown = resident().saturating_sub(before);

    assert!(grown <= most, "{what} took {grown} bytes, more than {most}");
}
