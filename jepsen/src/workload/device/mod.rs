//! Device: connects to a comet as a person's device does, gives signs of life, joins and leaves rooms, goes in
//! one way or another, and comes back, to the same comet or another one. What it receives it writes down.

mod connection;
mod going;

use std::collections::BTreeSet;
use std::time::Duration;

use judge::history::{Connect, Op};
use orrery_sdk::{self as sdk, ConnectError, Options, Transport};
use rand::Rng as _;
use rand::rngs::SmallRng;
use tokio::time::{Instant, sleep};

use self::connection::Connection;
use super::bed::{Bed, Stage};
use super::edge::{Door, Edge};
use crate::recorder::{Process, Said};

/// The operation that every device accepts.
pub const OP: i32 = 1000;

/// How long a device waits until it is connected.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(7);

/// How long a device waits for an answer before it gives its connection up.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Pause before a device that could not connect tries again: the first, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Most signs of life that a device gives before it goes: some come for a moment, some stay.
const STAYS_MAX: [u32; 4] = [2, 8, 20, 60];

/// One device.
pub struct Device {
    bed: Bed,
    edge: Edge,
    process: Process,
    chance: SmallRng,
    user: String,
    key: String,
    name: String,
    /// It stays connected while nothing else happens.
    is_loyal: bool,
    /// Connections that it does not read any more, and when they end.
    silent: Vec<(Instant, sdk::Device)>,
}

impl Device {
    /// A device by its number.
    pub fn new(bed: Bed, edge: Edge, number: usize) -> Self {
        let name = format!("device-{number}");
        let (process, chance) = (bed.recorder.process(), bed.chance(&name));
        let (user, key) = (edge.user_of(number), edge.key_of(number));
        let is_loyal = !number.is_multiple_of(2);
        Self { bed, edge, process, chance, user, key, name, is_loyal, silent: Vec::new() }
    }

    /// Comes and goes until it is told to end.
    pub async fn run(mut self) {
        let mut backoff = BACKOFF.0;
        while self.bed.works() {
            let pause = match self.connect().await {
                Some(connection) => {
                    backoff = BACKOFF.0;
                    self.live(connection).await;
                    backoff
                }
                None => {
                    backoff = (backoff * 2).min(BACKOFF.1);
                    backoff
                }
            };
            self.pause(pause).await;
            let now = Instant::now();
            self.silent.retain(|(until, _)| *until > now);
        }
        // The last ones end when their comets close them.
        let last = self.silent.iter().map(|(until, _)| *until).max();
        tokio::time::sleep_until(last.unwrap_or_else(Instant::now)).await;
    }

    async fn connect(&mut self) -> Option<Connection> {
        let door = self.edge.doors[self.chance.random_range(0..self.edge.doors.len())].clone();
        let transport = match self.chance.random_range(0..3) {
            0 => Transport::Tcp,
            1 => Transport::WebSocket,
            _ => Transport::Json,
        };
        let rooms_max = if transport == Transport::Json { 2 } else { 1 };
        let rooms = self.chance.random_range(0..=rooms_max);
        let rooms: BTreeSet<String> =
            (0..rooms).map(|_| self.edge.hall(&mut self.chance)).collect();
        let conn = self.edge.next_conn();
        let op = Op::Connect(Connect {
            user: self.user.clone(),
            conn,
            second: Some(self.key.clone()),
            comet: Some(door.comet.clone()),
            rooms: rooms.iter().cloned().collect(),
        });
        self.process.invoke(None, op.clone());
        let options = self.options(&door, transport, &rooms);
        match sdk::Device::connect(&self.bed.host.net, options).await {
            Ok(device) => {
                if let Some(seq) = device.welcome().seq {
                    self.edge.named(&self.user, seq, conn);
                }
                self.process.ok(op, Said::default());
                Some(Connection { device, transport, conn, rooms })
            }
            Err(error @ ConnectError::Timeout) => {
                // The comet may have bound it; the device has hung up.
                self.process.info(error.to_string().as_str());
                self.left(conn);
                None
            }
            Err(error) => {
                if matches!(error, ConnectError::NotInGoim(_) | ConnectError::BadOptions(_)) {
                    let text = format!("{} cannot connect: {error}", self.name);
                    self.bed.recorder.harness_failure(text);
                }
                self.process.fail(error.to_string().as_str(), Said::default());
                None
            }
        }
    }

    fn options(&mut self, door: &Door, transport: Transport, rooms: &BTreeSet<String>) -> Options {
        let address = match transport {
            Transport::Tcp => &door.tcp,
            Transport::WebSocket | Transport::Json | Transport::Poll | Transport::Sse => {
                &door.websocket
            }
        };
        let platform = ["web", "ios", "android"][self.chance.random_range(0..3)];
        let options = Options::new(transport, address.clone());
        let mut options = options.user(&self.user).key(&self.key).platform(platform);
        options.rooms = rooms.iter().cloned().collect();
        options.connect_timeout = CONNECT_TIMEOUT;
        options.answer_timeout = ANSWER_TIMEOUT;
        // goim's protocol cannot say that it accepts everything.
        match transport {
            Transport::Tcp | Transport::WebSocket => options.accepts([OP]),
            Transport::Json | Transport::Poll | Transport::Sse => options,
        }
    }

    /// Is connected until it goes, or its connection does.
    async fn live(&mut self, mut connection: Connection) {
        let stay_max = STAYS_MAX[self.chance.random_range(0..STAYS_MAX.len())];
        let mut stay = self.chance.random_range(1..=stay_max);
        loop {
            let lost = match self.stays(stay) {
                true => self.act(&mut connection).await.is_err(),
                // What was pushed before it goes has time to arrive, and is known to have had it.
                false => {
                    let _ = self.heartbeat(&mut connection).await;
                    return self.go(connection).await;
                }
            };
            if lost || self.listen(&mut connection).await.is_err() {
                return self.left(connection.conn);
            }
            stay = stay.saturating_sub(1);
        }
    }

    /// Whether it stays, who wanted to for so many more signs of life.
    fn stays(&self, stay: u32) -> bool {
        match *self.bed.stage.borrow() {
            Stage::Work => stay > 0,
            Stage::Quiet => self.is_loyal,
            Stage::End | Stage::Over => false,
        }
    }

    /// Waits about so long. Ends early when work does.
    async fn pause(&mut self, about: Duration) {
        let pause = about.mul_f64(self.chance.random_range(0.5..1.5));
        tokio::select! {
            biased;
            _ = self.bed.stage.wait_for(|stage| *stage >= Stage::Quiet) => {}
            () = sleep(pause) => {}
        }
    }
}
