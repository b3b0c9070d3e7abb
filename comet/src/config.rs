//! Configuration of a comet.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use orrery_comet_core::limits::{
    FRAGMENTS_MAX, FRAME_HEAD_BYTES_MAX, JSON_MESSAGE_BYTES_DEFAULT, JSON_MESSAGE_BYTES_MAX,
};
use orrery_model::message;
use orrery_tls::limits::CERTIFICATES_MAX;
use serde::{Deserialize, Serialize};

use crate::error::StartError;
use crate::limits::{COALESCE_MAX, DRAIN_SPREAD_MS_MAX, POLL_WAIT_MAX, READ_BYTES, WORKERS_MAX};

/// What a comet is told before it starts.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The comet's id in the cluster, 1 to 128 bytes, the same after each restart. Empty (default):
    /// host name and TCP port.
    pub id: String,
    /// Where goim's TCP protocol is spoken. Default `127.0.0.1:3101`.
    pub tcp_listen: SocketAddr,
    /// Where WebSocket is spoken. Default `127.0.0.1:3102`.
    pub websocket_listen: SocketAddr,
    /// Where logic delivers. Default `127.0.0.1:3109`.
    pub delivery_listen: SocketAddr,
    /// `host:port` under which logic reaches the delivery service. Default: the address listened on.
    pub delivery_advertise: Option<String>,
    /// `host:port` of the edge service of each logic, any number. Default `127.0.0.1:3118`.
    pub logic: Vec<String>,
    /// The same protocols over TLS.
    pub tls: Tls,
    /// What else the cluster and devices are told of this comet.
    pub advertise: Advertise,
    /// Threads that hold connections, at most 256. 0 (default): one for each processor.
    pub workers: usize,
    /// Most connections at once. Default 100 000: about half a gigabyte with the kernel's part.
    pub connections_max: usize,
    /// Most connections at once of one address, and of one network (/64) of IPv6, whose hosts choose their addresses
    /// freely. 0 (default): no more than of all. Proxies and the gateways of carriers put thousands of devices behind
    /// one address, and a comet cannot tell them from one that takes more than its share: who sets this knows what is
    /// in front of the comet.
    pub connections_per_address_max: usize,
    /// Most connections that are not authenticated yet; more are refused. Default 8192.
    pub handshakes_max: usize,
    /// Time from accept to successful authentication, in milliseconds. Default 5000, goim's own.
    pub handshake_ms: u64,
    /// Most frames that wait for one device; what comes on top is dropped. Default 1024: a second of
    /// a busy room.
    pub outbox_frames: usize,
    /// Most bytes that wait for one device. A single larger frame still passes an empty outbox.
    /// Default 1 MiB.
    pub outbox_bytes: usize,
    /// What becomes of a push that does not say so itself where as much waits for a device as may: `drop_newest` drops it
    /// (default), with `drop_oldest` the pushes that have waited longest make room, and `close` closes the connection
    /// with 4003.
    pub when_full: WhenFull,
    /// How long a push to a busy room or connection waits for others that are written with it, in milliseconds,
    /// at most 100; longer, up to that, where writing takes a worker more than a third of a processor. Who is idle is
    /// written to at once. 0: nothing waits. Default 10.
    pub coalesce_ms: u64,
    /// Frames a device may send per second over a longer time; above it the connection is closed.
    /// A part of a WebSocket message counts as one, and so do pings. Default 200.
    pub frames_per_second: u32,
    /// Frames a device may send at once after a quiet time. Default 2000: goim's clients pipeline.
    pub frames_burst: u32,
    /// Bytes a device may send per second over a longer time, those of TLS included; above it the connection is closed.
    /// Default 262 144: a message of 1 KiB in each frame that it may send, and some more.
    pub bytes_per_second: u32,
    /// Bytes a device may send at once after a quiet time, at least 16 KiB and a message of `orrery.json.v1` in as many
    /// frames as it may have (1400 more than its own bytes). Default 4 MiB: 2 KiB in each frame that it may send so.
    pub bytes_burst: u32,
    /// How long a long-poll waits for events, in milliseconds, at most 120 000; a request may ask for less. As long is
    /// a stream of events quiet at most. Default 25 000: proxies give up after 30 s at the earliest.
    pub poll_wait_ms: u64,
    /// Origins (`https://app.example`) whose pages may use long-poll and SSE, as browsers ask of a comet on another host
    /// or port; `*`: all of them. Default none.
    pub allow_origins: Vec<String>,
    /// Longest message a device may send on `orrery.json.v1`, in bytes, at most 64 KiB. Default 8192.
    pub json_message_bytes: usize,
    /// How long a room without members stays listed, in milliseconds. Default 30 000: people come
    /// back.
    pub room_linger_ms: u64,
    /// Within what time, about, all connections are compared with the registry's routes and the other way
    /// round, in milliseconds. Default 600 000: differences are rare, and each look costs a look-up.
    pub audit_ms: u64,
    /// How long logic may take to answer before a request is repeated, in milliseconds. Default 5000.
    pub edge_request_ms: u64,
    /// Devices sent elsewhere per second when the comet is drained or stopped. One that is stopped sends them faster
    /// where they would not all have gone in time. Default 1000: others have to take them.
    pub drain_per_second: u32,
    /// Over what time the devices that are sent elsewhere are spread on top, in milliseconds, at most 600 000: each is
    /// told its own pause, where its protocol has a word for it. Default 2000.
    pub drain_spread_ms: u64,
    /// How long stopping may take, in milliseconds. Default 8000.
    pub stop_ms: u64,
}

/// What becomes of a push at a connection whose outbox is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// It is dropped.
    DropNewest,
    /// Those that have waited longest make room.
    DropOldest,
    /// It is dropped, and the connection closed.
    Close,
}

impl From<WhenFull> for message::WhenFull {
    fn from(when_full: WhenFull) -> Self {
        match when_full {
            WhenFull::DropNewest => Self::DropNewest,
            WhenFull::DropOldest => Self::DropOldest,
            WhenFull::Close => Self::Close,
        }
    }
}

/// Where devices are served over TLS, and with which certificates. Nowhere while there are none.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Files of certificates in PEM, each a chain that begins with the comet's own; at most 64. A device is shown one
    /// for the name it asks for, else any; of several the first whose kind of key it knows. They are looked at every
    /// 5 s, and what is new and good is shown from then on. Default none.
    pub certificates: Vec<PathBuf>,
    /// Files of their keys in PEM, in the same order. They should be ECDSA keys, which are the cheapest to sign with:
    /// each new device costs a signature. Default none.
    pub keys: Vec<PathBuf>,
    /// Where goim's TCP protocol is spoken over TLS. Default `127.0.0.1:3104`.
    pub tcp_listen: SocketAddr,
    /// Where WebSocket is spoken over TLS. Default `127.0.0.1:3103`.
    pub websocket_listen: SocketAddr,
}

/// What the cluster and devices are told of a comet, besides where to deliver.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Advertise {
    /// Host name, shown by goim's instance list. Default `localhost`.
    pub hostname: String,
    /// Public addresses that devices are told, most preferred first. Default none.
    pub addresses: Vec<String>,
    /// Region, as goim's discovery knew it. Default empty.
    pub region: String,
    /// Zone, as goim's discovery knew it. Default empty.
    pub zone: String,
    /// Environment, as goim's discovery knew it. Default empty.
    pub env: String,
    /// Weight in node advice. Default 1.
    pub weight: u32,
}

impl Default for Config {
    fn default() -> Self {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            id: String::new(),
            tcp_listen: local(3101),
            websocket_listen: local(3102),
            delivery_listen: local(3109),
            delivery_advertise: None,
            logic: vec!["127.0.0.1:3118".to_owned()],
            tls: Tls::default(),
            advertise: Advertise::default(),
            workers: 0,
            connections_max: 100_000,
            connections_per_address_max: 0,
            handshakes_max: 8192,
            handshake_ms: 5000,
            outbox_frames: 1024,
            outbox_bytes: 1 << 20,
            when_full: WhenFull::DropNewest,
            coalesce_ms: 10,
            frames_per_second: 200,
            frames_burst: 2000,
            bytes_per_second: 256 << 10,
            bytes_burst: 4 << 20,
            poll_wait_ms: 25_000,
            allow_origins: Vec::new(),
            json_message_bytes: JSON_MESSAGE_BYTES_DEFAULT,
            room_linger_ms: 30_000,
            audit_ms: 600_000,
            edge_request_ms: 5000,
            drain_per_second: 1000,
            drain_spread_ms: 2000,
            stop_ms: 8000,
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            certificates: Vec::new(),
            keys: Vec::new(),
            tcp_listen: local(3104),
            websocket_listen: local(3103),
        }
    }
}

impl Default for Advertise {
    fn default() -> Self {
        Self {
            hostname: "localhost".to_owned(),
            addresses: Vec::new(),
            region: String::new(),
            zone: String::new(),
            env: String::new(),
            weight: 1,
        }
    }
}

impl Config {
    /// Refuses values that no comet could run with.
    ///
    /// # Errors
    /// [`StartError::Config`] naming the key.
    pub fn check(&self) -> Result<(), StartError> {
        let positive = [
            ("connections_max", self.connections_max as u64),
            ("handshakes_max", self.handshakes_max as u64),
            ("handshake_ms", self.handshake_ms),
            ("outbox_frames", self.outbox_frames as u64),
            ("outbox_bytes", self.outbox_bytes as u64),
            ("frames_per_second", self.frames_per_second.into()),
            ("frames_burst", self.frames_burst.into()),
            ("bytes_per_second", self.bytes_per_second.into()),
            ("audit_ms", self.audit_ms),
            ("edge_request_ms", self.edge_request_ms),
            ("json_message_bytes", self.json_message_bytes as u64),
            ("poll_wait_ms", self.poll_wait_ms),
            ("drain_per_second", self.drain_per_second.into()),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err(StartError::Config { key, what: "must be at least 1" });
        }
        if self.workers > WORKERS_MAX {
            return Err(StartError::Config { key: "workers", what: "must be at most 256" });
        }
        if self.coalesce() > COALESCE_MAX {
            return Err(StartError::Config { key: "coalesce_ms", what: "must be at most 100" });
        }
        if self.poll_wait() > POLL_WAIT_MAX {
            let what = "must be at most 120000";
            return Err(StartError::Config { key: "poll_wait_ms", what });
        }
        if self.drain_spread_ms > DRAIN_SPREAD_MS_MAX {
            return Err(StartError::Config {
                key: "drain_spread_ms",
                what: "must be at most 600000",
            });
        }
        if self.json_message_bytes > JSON_MESSAGE_BYTES_MAX {
            let what = "must be at most 65536";
            return Err(StartError::Config { key: "json_message_bytes", what });
        }
        // A message in as many frames as it may have.
        let message = self.json_message_bytes + FRAME_HEAD_BYTES_MAX * FRAGMENTS_MAX as usize;
        if (self.bytes_burst as usize) < READ_BYTES.max(message) {
            let what = "must be at least 16384, and 1400 more than json_message_bytes";
            return Err(StartError::Config { key: "bytes_burst", what });
        }
        if self.delivery_advertise.as_deref() == Some("") {
            let what = "must not be empty; without it the address listened on is told";
            return Err(StartError::Config { key: "delivery_advertise", what });
        }
        if self.logic.is_empty() {
            return Err(StartError::Config { key: "logic", what: "needs at least one address" });
        }
        if self.tls.certificates.len() > CERTIFICATES_MAX {
            return Err(StartError::Config { key: "tls.certificates", what: "must be at most 64" });
        }
        if self.tls.keys.len() != self.tls.certificates.len() {
            let what = "must be one for each of tls.certificates";
            return Err(StartError::Config { key: "tls.keys", what });
        }
        Ok(())
    }

    /// Whether devices are served over TLS.
    pub fn has_tls(&self) -> bool {
        !self.tls.certificates.is_empty()
    }

    pub(crate) fn coalesce(&self) -> Duration {
        Duration::from_millis(self.coalesce_ms)
    }

    pub(crate) fn poll_wait(&self) -> Duration {
        Duration::from_millis(self.poll_wait_ms)
    }

    pub(crate) fn handshake(&self) -> Duration {
        Duration::from_millis(self.handshake_ms)
    }

    pub(crate) fn room_linger(&self) -> Duration {
        Duration::from_millis(self.room_linger_ms)
    }

    pub(crate) fn audit(&self) -> Duration {
        Duration::from_millis(self.audit_ms)
    }

    pub(crate) fn edge_request(&self) -> Duration {
        Duration::from_millis(self.edge_request_ms)
    }

    pub(crate) fn drain_spread(&self) -> Duration {
        Duration::from_millis(self.drain_spread_ms)
    }

    pub(crate) fn stop(&self) -> Duration {
        Duration::from_millis(self.stop_ms)
    }

    /// The number of workers to start.
    pub(crate) fn workers(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, |n| n.get().min(WORKERS_MAX)),
            n => n,
        }
    }
}
