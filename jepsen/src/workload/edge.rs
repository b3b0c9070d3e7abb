//! Edge: the devices and backends of a run, whatever world it is in.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use rand::Rng as _;
use rand::rngs::SmallRng;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::backend::Backend;
use super::bed::Bed;
use super::device::Device;
use super::watch as sightings;
use crate::plan;

/// The first of the devices' users.
const FIRST_USER: usize = 9_000;

/// Pause between two looks at users who should be offline.
const LOOK: Duration = Duration::from_secs(1);

/// Where devices reach a comet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// The comet's id, under which routes name it.
    pub comet: String,
    /// `host:port` of goim's TCP protocol.
    pub tcp: String,
    /// `host:port` of the WebSockets.
    pub websocket: String,
}

/// What devices and backends have in common.
#[derive(Debug, Clone)]
pub struct Edge {
    /// The comets.
    pub doors: Arc<Vec<Door>>,
    /// `host:port` of the push service of each logic.
    pub logics: Arc<Vec<String>>,
    /// How many there are and how they behave.
    pub plan: plan::Edge,
    /// Devices for each comet.
    pub devices: usize,
    known: Arc<Known>,
}

/// What devices know and backends need to read a receipt.
#[derive(Debug, Default)]
struct Known {
    conns: AtomicU64,
    /// (user, seq) → the connection's number in the history, where its protocol told the device.
    seqs: Mutex<BTreeMap<(String, u64), u64>>,
}

impl Edge {
    /// The edge of a run.
    pub fn new(doors: Vec<Door>, logics: Vec<String>, plan: plan::Edge, devices: usize) -> Self {
        let (doors, logics) = (Arc::new(doors), Arc::new(logics));
        Self { doors, logics, plan, devices, known: Arc::default() }
    }

    /// Starts every device and every backend. Without devices there is nobody to push to.
    pub fn enter(&self, bed: &Bed, processes: &mut JoinSet<()>) {
        if self.devices == 0 {
            return;
        }
        let (seen, all_seen) = watch::channel(false);
        for number in 0..self.devices * self.doors.len() {
            let device = Device::new(bed.clone(), self.clone(), number);
            let mut all_seen = all_seen.clone();
            processes.spawn(async move {
                // What becomes of a device is judged by the life in which its comet was seen before.
                let _ = all_seen.wait_for(|seen| *seen).await;
                device.run().await;
            });
        }
        for number in 1..=self.plan.backends {
            processes.spawn(Backend::new(bed.clone(), self.clone(), number).run());
        }
        let watcher = Backend::new(bed.clone(), self.clone(), self.plan.backends + 1);
        let users = self.users();
        let with_devices = users.len().min(self.devices * self.doors.len());
        processes.spawn(watcher.watch(users[..with_devices].to_vec()));
        let comets = self.doors.iter().map(|door| door.comet.clone()).collect();
        processes.spawn(sightings::watch(bed.clone(), comets, seen));
    }

    /// Once every device has left: asks about each user until nobody is shown any more, or until nobody may
    /// be shown any more.
    pub async fn last_look(&self, bed: &Bed, lease: Duration) {
        let mut backend = Backend::new(bed.clone(), self.clone(), 0);
        let patience = self.plan.silence() + lease * 2 + LOOK * 3;
        let until = Instant::now() + patience;
        let mut shown = if self.devices == 0 { Vec::new() } else { self.users() };
        while !shown.is_empty() {
            let is_last = Instant::now() > until;
            let mut still = Vec::new();
            for user in shown {
                if backend.online(&user).await != Some(0) {
                    still.push(user);
                }
            }
            shown = still;
            if is_last {
                return;
            }
            sleep(LOOK).await;
        }
    }

    /// Every user that devices have: a number, for goim's protocol has no others.
    pub fn users(&self) -> Vec<String> {
        (0..self.plan.users.max(1)).map(user).collect()
    }

    /// The user of a device.
    pub(super) fn user_of(&self, device: usize) -> String {
        user(device % self.plan.users.max(1))
    }

    /// The key of a device, the same in all of its connections.
    pub(super) fn key_of(&self, device: usize) -> String {
        format!("key-{device}")
    }

    /// Any of the devices.
    pub(super) fn device(&self, chance: &mut SmallRng) -> usize {
        chance.random_range(0..(self.devices * self.doors.len()).max(1))
    }

    /// Any of the devices' rooms.
    pub(super) fn hall(&self, chance: &mut SmallRng) -> String {
        format!("hall-{}", chance.random_range(0..self.plan.halls.max(1)))
    }

    /// A number for a new connection.
    pub(super) fn next_conn(&self) -> u64 {
        self.known.conns.fetch_add(1, Ordering::Relaxed)
    }

    /// A device was told its seq.
    pub(super) fn named(&self, user: &str, seq: u64, conn: u64) {
        self.known.seqs.lock().insert((user.to_owned(), seq), conn);
    }

    /// The connection that has a seq of a user, as far as that is known.
    pub(super) fn conn_of(&self, user: &str, seq: u64) -> Option<u64> {
        self.known.seqs.lock().get(&(user.to_owned(), seq)).copied()
    }
}

fn user(number: usize) -> String {
    format!("{}", FIRST_USER + number)
}
