//! Comets: those that live, as the control shard lists them, each with its delivery session.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use orrery_host::{Host, Task, grpc};
use orrery_model::control::Comet;
use orrery_model::{CometId, CometRef};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, timeout_at};

use crate::deliver::DeliverySession;
use crate::limits::LOOK_UP_MAX;
use crate::metrics::Metrics;
use crate::registry::{Registry, RegistryError};

/// Requests for a fresh list that wait while one is fetched. All waiting ones share the next fetch;
/// where the queue is full, callers wait for a place in it.
const REFRESHES_WAITING_MAX: usize = 1024;

/// A comet that lives.
pub(crate) struct Living {
    /// What the control shard says of it.
    pub(crate) comet: Comet,
    /// How to deliver to it; absent where the address it advertises cannot be one.
    pub(crate) session: Option<Arc<DeliverySession>>,
}

impl Living {
    /// Whether it takes no more devices, as far as it has told this logic.
    pub(crate) fn is_draining(&self) -> bool {
        self.session.as_ref().is_some_and(|session| session.is_draining())
    }
}

/// Where to deliver to a comet in one of its lives.
pub(crate) enum Found {
    /// Here.
    Session(Arc<DeliverySession>),
    /// That life has ended: nothing is delivered there any more.
    Ended,
    /// Nobody can say.
    Unknown,
}

/// The living comets. The list is refreshed regularly, and when a route names a comet not on it.
pub(crate) struct Comets {
    list: Arc<ArcSwap<List>>,
    refreshes: mpsc::Sender<Refresh>,
    changes: watch::Receiver<()>,
    _task: Task,
}

/// The list is `None` until the control shard has answered for the first time.
type List = Option<BTreeMap<CometId, Arc<Living>>>;

/// A wait for a list fetched from now on.
type Refresh = oneshot::Sender<Result<(), RegistryError>>;

impl Comets {
    pub(crate) fn start(
        every: Duration,
        registry: Registry,
        metrics: Metrics,
        host: &Host,
    ) -> Arc<Self> {
        let list = Arc::new(ArcSwap::from_pointee(None));
        let (refreshes, waiting) = mpsc::channel(REFRESHES_WAITING_MAX);
        let (changed, changes) = watch::channel(());
        let (known, host_of_sessions) = (list.clone(), host.clone());
        let refresher =
            Refresher { list: known, registry, metrics, host: host_of_sessions, waiting, changed };
        let task = host.tasks.spawn("comets", refresher.run(every));
        Arc::new(Self { list, refreshes, changes, _task: task })
    }

    /// Whether the control shard has ever answered.
    pub(crate) fn is_known(&self) -> bool {
        self.list.load().is_some()
    }

    /// Tells when a comet came, went, or began a new life.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changes.clone()
    }

    /// Those on the last list, in order of their ids.
    pub(crate) fn living(&self) -> Vec<Arc<Living>> {
        self.list.load().iter().flat_map(BTreeMap::values).cloned().collect()
    }

    /// Those on a list fetched after this call began.
    pub(crate) async fn fresh(&self, deadline: Instant) -> Result<Vec<Arc<Living>>, RegistryError> {
        let (done, fetched) = oneshot::channel();
        let fetch = async {
            self.refreshes.send(done).await.ok()?;
            fetched.await.ok()
        };
        match timeout_at(deadline, fetch).await {
            Ok(Some(result)) => result.map(|()| self.living()),
            Ok(None) | Err(_) => Err(RegistryError::Deadline),
        }
    }

    /// Where to deliver to a comet in the life that a route names.
    pub(crate) async fn find(&self, comet: &CometRef, deadline: Instant) -> Found {
        if let Some(found) = self.look(comet) {
            return found;
        }
        match self.fresh(deadline).await {
            // A fresh list without it, and the route is older than the list: its life is over.
            Ok(_) => self.look(comet).unwrap_or(Found::Ended),
            Err(_) => Found::Unknown,
        }
    }

    /// What the last list says, if it is not older than the route.
    fn look(&self, comet: &CometRef) -> Option<Found> {
        let list = self.list.load();
        let living = list.as_ref().as_ref()?.get(&comet.id)?;
        match living.comet.comet.incarnation.cmp(&comet.incarnation) {
            std::cmp::Ordering::Less => None,
            std::cmp::Ordering::Equal => {
                Some(living.session.clone().map_or(Found::Unknown, Found::Session))
            }
            std::cmp::Ordering::Greater => Some(Found::Ended),
        }
    }
}

/// The task that fetches.
struct Refresher {
    list: Arc<ArcSwap<List>>,
    registry: Registry,
    metrics: Metrics,
    host: Host,
    waiting: mpsc::Receiver<Refresh>,
    changed: watch::Sender<()>,
}

impl Refresher {
    async fn run(mut self, every: Duration) {
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut waiting = Vec::new();
            tokio::select! {
                biased;
                // Those who wait have a deadline; the tick has none.
                first = self.waiting.recv() => match first {
                    Some(first) => waiting.push(first),
                    None => return,
                },
                _ = ticks.tick() => {}
            }
            while let Ok(next) = self.waiting.try_recv() {
                waiting.push(next);
            }
            let fetched = self.registry.comets(false, Instant::now() + LOOK_UP_MAX).await;
            let result = match fetched {
                Ok(comets) => {
                    self.take(comets);
                    Ok(())
                }
                Err(error) => {
                    tracing::debug!(%error, "the list of comets could not be fetched");
                    Err(error)
                }
            };
            for done in waiting {
                // Whoever waited may have given up meanwhile.
                let _ = done.send(result.clone());
            }
        }
    }

    /// Makes a list the current one. Sessions stay open where the address stayed the same, also into
    /// a comet's next life: what waits in one is fenced by the incarnation it names.
    fn take(&self, comets: Vec<Comet>) {
        let old = self.list.load_full();
        let living = |comet: Comet| {
            let before = old.as_ref().as_ref().and_then(|list| list.get(&comet.comet.id));
            let same = before.filter(|b| b.comet.advertise.delivery == comet.advertise.delivery);
            let session = match same {
                Some(before) => before.session.clone(),
                None => self.open(&comet),
            };
            (comet.comet.id.clone(), Arc::new(Living { comet, session }))
        };
        let list: BTreeMap<_, _> = comets.into_iter().map(living).collect();
        let lives = |list: &BTreeMap<CometId, Arc<Living>>| -> Vec<CometRef> {
            list.values().map(|living| living.comet.comet.clone()).collect()
        };
        let changed = old.as_ref().as_ref().map(lives) != Some(lives(&list));
        self.list.store(Arc::new(Some(list)));
        if changed {
            self.changed.send_replace(());
        }
    }

    fn open(&self, comet: &Comet) -> Option<Arc<DeliverySession>> {
        let address = &comet.advertise.delivery;
        match grpc::channel(self.host.net.clone(), address) {
            Ok(channel) => {
                tracing::info!(comet = %comet.comet, %address, "opening a delivery session");
                let id = comet.comet.id.to_string();
                let session = DeliverySession::open(id, channel, self.metrics.clone(), &self.host);
                Some(Arc::new(session))
            }
            Err(error) => {
                tracing::warn!(comet = %comet.comet, %address, %error, "comet cannot be reached");
                None
            }
        }
    }
}
