//! Presence: what the cluster is told of this comet and its connections, and in which life.
//!
//! A connection holds a [`Registration`]; its drop is its goodbye. Each write is repeated through any
//! logic until its outcome is known, or until the incarnation that it names has ended.

mod audit;
mod conns;
mod goodbyes;
mod isolation;
mod lease;
mod lines;
mod listings;
mod profile;
mod rebind;
mod registration;
mod rooms;
mod write;

use std::sync::Arc;
use std::time::Duration;

use orrery_host::{Host, Task, Trace};
use orrery_model::control::Advertise;
use orrery_model::{Address, CometId, CometRef, Conn, Incarnation};
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, watch};
use tokio::time::Instant;
use tracing::Span;

use self::conns::Conns;
pub(crate) use self::conns::worker_of;
use self::goodbyes::{Goodbye, Goodbyes};
use self::lease::Lease;
use self::listings::Listings;
pub(crate) use self::profile::{Profile, first_rooms};
pub(crate) use self::registration::{BindError, Names, Registration};
use crate::edge::Edge;
use crate::mailbox::Workers;
use crate::metrics::Metrics;

/// How the comet stands with the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Attaching for the first time, or again after its incarnation ended.
    Attaching,
    /// It lives under this incarnation.
    Attached(Incarnation),
    /// Another instance runs under its id: it ends itself.
    Superseded,
    /// It said goodbye.
    Ended,
}

/// What the lock guards; never held across an await.
struct State {
    /// `None` while attaching.
    incarnation: Option<Incarnation>,
    conns: Conns,
    listings: Listings,
    goodbyes: Goodbyes,
}

/// The comet's place in the cluster, shared by all workers.
pub(crate) struct Presence {
    id: CometId,
    instance: String,
    advertise: Advertise,
    room_linger: Duration,
    /// Within what time all connections and routes are compared.
    audit: Duration,
    edge: Edge,
    host: Host,
    workers: Workers,
    metrics: Arc<Metrics>,
    state: Mutex<State>,
    /// What the last attach granted.
    lease: Mutex<Option<Lease>>,
    life: watch::Sender<Life>,
    /// Wakes the lease when an incarnation was found to have ended.
    ended: Notify,
    listings_wait: Notify,
    goodbyes_wait: Notify,
}

/// What a presence is made of.
pub(crate) struct Parts {
    pub(crate) id: CometId,
    pub(crate) advertise: Advertise,
    pub(crate) room_linger: Duration,
    pub(crate) audit: Duration,
    pub(crate) edge: Edge,
    pub(crate) host: Host,
    pub(crate) workers: Workers,
    pub(crate) metrics: Arc<Metrics>,
}

impl Presence {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let Parts { id, advertise, room_linger, audit, edge, host, workers, metrics } = parts;
        Arc::new(Self {
            id,
            instance: host.random.uuid(),
            advertise,
            room_linger,
            audit,
            edge,
            host,
            workers,
            metrics,
            state: Mutex::new(State {
                incarnation: None,
                conns: Conns::new(),
                listings: Listings::default(),
                goodbyes: Goodbyes::default(),
            }),
            lease: Mutex::new(None),
            life: watch::Sender::new(Life::Attaching),
            ended: Notify::new(),
            listings_wait: Notify::new(),
            goodbyes_wait: Notify::new(),
        })
    }

    /// Starts what keeps the comet in the cluster; it ends with the returned owners.
    pub(crate) fn run(self: &Arc<Self>) -> Vec<Task> {
        let tasks = &self.host.tasks;
        vec![
            tasks.spawn("lease", lease::run(self.clone())),
            tasks.spawn("listings", rooms::run(self.clone())),
            tasks.spawn("goodbyes", goodbyes::run(self.clone())),
            tasks.spawn("isolation", isolation::run(self.clone())),
            tasks.spawn("audit of connections", audit::connections(self.clone())),
            tasks.spawn("audit of routes", audit::routes(self.clone())),
        ]
    }

    /// Registers a new connection of a worker. The permit is given back when nothing of the
    /// connection is left in the registry.
    pub(crate) fn begin(
        self: &Arc<Self>,
        worker: usize,
        permit: OwnedSemaphorePermit,
    ) -> Registration {
        let conn = self.state.lock().conns.begin(worker);
        Registration::new(self.clone(), conn, permit)
    }

    /// The incarnation the comet lives under now.
    pub(crate) fn incarnation(&self) -> Option<Incarnation> {
        self.state.lock().incarnation
    }

    /// Its id in the cluster.
    pub(crate) fn id(&self) -> &CometId {
        &self.id
    }

    /// How many connections live, or still have a goodbye to say.
    pub(crate) fn living(&self) -> usize {
        self.state.lock().conns.living()
    }

    /// The trace of what is begun here, where anybody follows its span.
    pub(crate) fn trace(&self, span: &Span) -> Option<Trace> {
        Trace::of(span, None, &*self.host.random)
    }

    /// Over how many workers its connections are spread.
    pub(crate) fn workers(&self) -> usize {
        self.workers.count()
    }

    /// How the comet stands with the cluster, and what tells of changes.
    pub(crate) fn life(&self) -> watch::Receiver<Life> {
        self.life.subscribe()
    }

    /// Members of a room on this comet.
    pub(crate) fn members(&self, room: &Address) -> u64 {
        self.state.lock().listings.members(room)
    }

    /// All rooms with members on this comet, and how many.
    pub(crate) fn census(&self) -> Vec<(Address, u64)> {
        self.state.lock().listings.census()
    }

    /// Says the comet's own goodbye once nothing of its connections is left in the registry, or when half of the time
    /// until the deadline is over: the end of the incarnation takes with it what is left.
    pub(crate) async fn leave(&self, deadline: Instant) {
        let now = Instant::now();
        let goodbyes_at = now + deadline.saturating_duration_since(now) / 2;
        let farewell = async {
            while self.incarnation().is_some() && self.living() > 0 {
                // Goodbyes end one by one in batches; a coarse look is enough for a shutdown.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tokio::time::timeout_at(goodbyes_at, farewell).await;
        // Ended before it is detached: whoever learns of the detach must not attach again.
        if let Some(incarnation) = self.end(Life::Ended) {
            self.detach(incarnation, deadline).await;
        }
    }

    /// Ends the comet's part in the cluster for good; gives the incarnation it lived under.
    fn end(&self, life: Life) -> Option<Incarnation> {
        let mut state = self.state.lock();
        self.life.send_replace(life);
        state.incarnation.take()
    }

    /// Whether the comet's part in the cluster is over for good.
    fn is_over(&self) -> bool {
        matches!(*self.life.borrow(), Life::Superseded | Life::Ended)
    }

    fn comet(&self, incarnation: Incarnation) -> CometRef {
        CometRef { id: self.id.clone(), incarnation }
    }

    /// Waits for a living incarnation; `None` when there will be none.
    async fn attached(&self) -> Option<Incarnation> {
        let mut life = self.life.subscribe();
        let known = life.wait_for(|life| *life != Life::Attaching).await.ok()?;
        match *known {
            Life::Attached(incarnation) => Some(incarnation),
            Life::Attaching | Life::Superseded | Life::Ended => None,
        }
    }

    /// Takes up a new incarnation: everything known to the registry of the older ones is gone. Does
    /// nothing once the comet's part in the cluster is over.
    fn enter(&self, incarnation: Incarnation) -> Vec<Conn> {
        let living = {
            let mut state = self.state.lock();
            if self.is_over() {
                return Vec::new();
            }
            for goodbye in state.goodbyes.clear() {
                state.conns.end(goodbye.conn);
            }
            state.incarnation = Some(incarnation);
            // Told under the lock, so that the two never disagree for long.
            self.life.send_replace(Life::Attached(incarnation));
            state.listings.restart();
            state.conns.restart()
        };
        self.listings_wait.notify_one();
        living
    }

    /// An incarnation was found to have ended.
    fn lost(&self, incarnation: Incarnation) {
        let mut state = self.state.lock();
        if state.incarnation == Some(incarnation) {
            state.incarnation = None;
            self.life.send_replace(Life::Attaching);
            drop(state);
            tracing::warn!(%incarnation, "this life of the comet has ended; attaching again");
            self.metrics.lives_lost.inc();
            self.ended.notify_one();
        }
    }

    /// All binds of a connection in an incarnation have their answers. False where that incarnation has
    /// ended meanwhile: then they are worth nothing.
    fn decide(&self, conn: Conn, incarnation: Incarnation) -> bool {
        let mut state = self.state.lock();
        let lives = state.incarnation == Some(incarnation);
        if lives {
            state.conns.decide(conn);
        }
        lives
    }

    /// Queues a connection's goodbye, unless there is nothing (any more) to say goodbye to.
    fn goodbye(&self, goodbye: Goodbye) {
        let mut state = self.state.lock();
        if goodbye.unbinds.is_empty() || state.incarnation != Some(goodbye.incarnation) {
            state.conns.end(goodbye.conn);
        } else {
            state.goodbyes.push(goodbye);
            drop(state);
            self.goodbyes_wait.notify_one();
        }
    }
}
