//! Lease: attaches the comet to the cluster, keeps it alive there, and attaches again when it was ended.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use orrery_model::Incarnation;
use orrery_model::control::Attach;
use orrery_model::message::CloseReason;
use orrery_proto::edge::edge_request::Kind as Request;
use orrery_proto::edge::edge_response::Kind as Response;
use orrery_proto::edge::{Attached, KeptAlive};
use tokio::time::{Instant, sleep, timeout_at};

use super::{Life, Presence, rebind};
use crate::limits::{REBIND_PER_SECOND, REPEAT_PAUSE, REPEAT_PAUSE_MAX};

/// What an attach granted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lease {
    pub(super) incarnation: Incarnation,
    pub(super) duration: Duration,
    pub(super) keep_alive: Duration,
    pub(super) rebind_per_second: u32,
}

impl From<Attached> for Lease {
    fn from(attached: Attached) -> Self {
        let duration = Duration::from_millis(attached.lease_ms.max(1).into());
        let keep_alive = match attached.keep_alive_ms {
            0 => duration / 5,
            ms => Duration::from_millis(ms.into()),
        };
        let rebind_per_second = match attached.rebind_per_second {
            0 => REBIND_PER_SECOND,
            n => n,
        };
        let incarnation = Incarnation(attached.incarnation);
        Self { incarnation, duration, keep_alive, rebind_per_second }
    }
}

/// Keeps the comet in the cluster until another instance takes its place.
pub(super) async fn run(presence: Arc<Presence>) {
    let mut rebinding = None;
    for attempt in 1.. {
        if presence.is_over() {
            return;
        }
        let ControlFlow::Continue(lease) = attach(&presence, attempt).await else { break };
        tracing::info!(incarnation = %lease.incarnation, attempt, "attached");
        *presence.lease.lock() = Some(lease);
        let living = presence.enter(lease.incarnation);
        // The last one's work is void; dropping it ends it.
        rebinding.take();
        if !living.is_empty() {
            let task = rebind::run(presence.clone(), living, lease.rebind_per_second);
            rebinding = Some(presence.host.tasks.spawn("rebind", task));
        }
        if keep_alive(&presence, lease).await.is_break() {
            break;
        }
    }
    tracing::error!("another instance runs under this comet's id; this one ends");
    presence.end(Life::Superseded);
    presence.workers.close_all(CloseReason::Drain).await;
}

/// Attaches; breaks when another instance runs under the comet's id.
async fn attach(presence: &Presence, attempt: u64) -> ControlFlow<(), Lease> {
    let attach = Attach {
        comet: presence.id.clone(),
        instance: presence.instance.clone(),
        attempt,
        advertise: presence.advertise.clone(),
    };
    let mut pause = REPEAT_PAUSE;
    loop {
        match presence.edge.request(Request::Attach((&attach).into())).await {
            Ok(Response::Attached(attached)) => return ControlFlow::Continue(attached.into()),
            Ok(Response::Failure(failure)) if failure.superseded => return ControlFlow::Break(()),
            Ok(Response::Failure(failure)) => {
                tracing::warn!(detail = failure.detail, "not attached yet");
                pause = pause.max(Duration::from_millis(failure.retry_after_ms.into()));
            }
            Ok(_) => tracing::warn!("logic answered an attach with something else"),
            Err(_) => {}
        }
        sleep(pause.min(REPEAT_PAUSE_MAX) + presence.jitter(pause)).await;
        pause = (pause * 2).min(REPEAT_PAUSE_MAX);
    }
}

/// Keeps an incarnation alive until it ends; breaks when another instance took its place.
async fn keep_alive(presence: &Presence, lease: Lease) -> ControlFlow<()> {
    loop {
        tokio::select! {
            biased;
            // A write was refused as fenced.
            () = presence.ended.notified() => {}
            () = sleep(lease.keep_alive) => {}
        }
        if presence.incarnation() != Some(lease.incarnation) {
            return ControlFlow::Continue(());
        }
        match presence.keep_alive(lease.incarnation).await {
            Some(KeptAlive { superseded: true, .. }) => return ControlFlow::Break(()),
            Some(KeptAlive { alive: false, .. }) => {
                presence.lost(lease.incarnation);
                return ControlFlow::Continue(());
            }
            Some(KeptAlive { alive: true, .. }) | None => {}
        }
    }
}

impl Presence {
    /// Begins the lease of an incarnation anew, if it has not ended; nothing where nobody answered.
    async fn keep_alive(&self, incarnation: Incarnation) -> Option<KeptAlive> {
        let comet = self.comet(incarnation);
        match self.edge.request(Request::KeepAlive((&comet).into())).await {
            Ok(Response::KeptAlive(kept)) => Some(kept),
            Ok(_) | Err(_) => None,
        }
    }

    /// Whether an incarnation is known to live at some moment after this call began.
    pub(super) async fn is_alive(&self, incarnation: Incarnation) -> bool {
        let kept = self.keep_alive(incarnation).await;
        kept.is_some_and(|kept| kept.alive && !kept.superseded)
    }

    /// Tells the cluster that this comet is gone, once nothing depends on the answer but speed.
    pub(super) async fn detach(&self, incarnation: Incarnation, deadline: Instant) {
        let comet = self.comet(incarnation);
        let detach = async {
            while !matches!(
                self.edge.request(Request::Detach((&comet).into())).await,
                Ok(Response::Detached(_))
            ) {
                sleep(REPEAT_PAUSE).await;
            }
        };
        if timeout_at(deadline, detach).await.is_err() {
            tracing::warn!("nobody acknowledged the detach; the lease will run out instead");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

    use futures_util::StreamExt;
    use futures_util::future::join_all;
    use futures_util::stream::BoxStream;
    use orrery_host::Host;
    use orrery_model::Id;
    use orrery_model::control::Advertise;
    use orrery_proto::edge::edge_server::{Edge as Service, EdgeServer};
    use orrery_proto::edge::{EdgeRequest, EdgeRequests, EdgeResponse, EdgeResponses, Identity};
    use tokio::sync::Semaphore;
    use tokio::time::{MissedTickBehavior, interval};
    use tonic::{Status, Streaming};

    use super::*;
    use crate::config::Config;
    use crate::edge::Edge;
    use crate::limits::EDGE_UNANSWERED_MAX;
    use crate::mailbox::Workers;
    use crate::presence::{Parts, Profile};

    const TICK: Duration = Duration::from_millis(50);
    const LEASE_TICKS: u32 = 20;

    /// A logic whose data shards never answer, while the control shard does.
    #[derive(Clone, Default)]
    struct HalfMute {
        writes: Arc<AtomicUsize>,
        /// Ticks since the last keep-alive.
        silence: Arc<AtomicU32>,
    }

    impl HalfMute {
        fn answer(&self, request: EdgeRequest) -> Option<EdgeResponse> {
            let kind = match request.kind? {
                Request::Attach(_) => Response::Attached(Attached {
                    incarnation: 1,
                    lease_ms: LEASE_TICKS * TICK.as_millis() as u32,
                    keep_alive_ms: 2 * TICK.as_millis() as u32,
                    rebind_per_second: 0,
                }),
                Request::KeepAlive(_) => {
                    self.silence.store(0, Ordering::Relaxed);
                    Response::KeptAlive(KeptAlive { alive: true, superseded: false })
                }
                Request::Write(_) => {
                    self.writes.fetch_add(1, Ordering::Relaxed);
                    return None;
                }
                other => panic!("nobody asks {other:?}"),
            };
            Some(EdgeResponse { id: request.id, kind: Some(kind) })
        }
    }

    #[tonic::async_trait]
    impl Service for HalfMute {
        type SessionStream = BoxStream<'static, Result<EdgeResponses, Status>>;

        async fn session(
            &self,
            request: tonic::Request<Streaming<EdgeRequests>>,
        ) -> Result<tonic::Response<Self::SessionStream>, Status> {
            let logic = self.clone();
            let answers = request.into_inner().filter_map(move |batch| {
                let requests = batch.map(|batch| batch.requests).unwrap_or_default();
                let responses: Vec<_> =
                    requests.into_iter().filter_map(|request| logic.answer(request)).collect();
                let answered = (!responses.is_empty()).then_some(Ok(EdgeResponses { responses }));
                std::future::ready(answered)
            });
            Ok(tonic::Response::new(answers.boxed()))
        }
    }

    #[tokio::test]
    async fn writes_that_nobody_answers_do_not_cost_the_comet_its_life() {
        const CONNECTS: usize = 9000;
        const _: () = assert!(CONNECTS > EDGE_UNANSWERED_MAX);
        let (host, logic) = (Host::system(), HalfMute::default());
        let listener = host.net.listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let service = EdgeServer::new(logic.clone());
        let _server = host.tasks.spawn("logic", async move {
            let server = tonic::transport::Server::builder().add_service(service);
            server.serve_with_incoming(orrery_host::grpc::incoming(listener)).await.unwrap();
        });
        // Longer than the test: what is not answered keeps its place.
        let config = Config { logic: vec![address], edge_request_ms: 600_000, ..Config::default() };
        let (edge, _edge) = Edge::start(&config, &host, Arc::default(), Arc::default()).unwrap();
        let presence = Presence::new(Parts {
            id: Id::new("c").unwrap(),
            advertise: Advertise::default(),
            room_linger: Duration::ZERO,
            audit: Duration::from_secs(600),
            edge,
            host: host.clone(),
            workers: Workers::new(1).0,
            metrics: Arc::default(),
        });
        let _tasks = presence.run();
        let incarnation = presence.attached().await.unwrap();

        let places = Arc::new(Semaphore::new(CONNECTS));
        let connects = (0..CONNECTS).map(|n| {
            let place = places.clone().try_acquire_owned().unwrap();
            let mut registration = presence.begin(0, place);
            let identity = Identity { key: n.to_string(), ..Identity::default() };
            registration.identify(Arc::new(Profile::try_from(&identity).unwrap()), [].into());
            async move { registration.bind().await }
        });
        let three_leases = async {
            // The lease's clock stands still where this process does.
            let mut ticks = interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut clogged = 0;
            for tick in 0..600 {
                ticks.tick().await;
                let silence = logic.silence.fetch_add(1, Ordering::Relaxed);
                assert!(silence < LEASE_TICKS, "the lease ran out at tick {tick}");
                let is_clogged = logic.writes.load(Ordering::Relaxed) >= EDGE_UNANSWERED_MAX;
                clogged += u32::from(is_clogged);
                if clogged == 3 * LEASE_TICKS {
                    return;
                }
            }
            panic!("{} writes are not so many as may wait", logic.writes.load(Ordering::Relaxed));
        };
        tokio::select! {
            bound = join_all(connects) => panic!("nobody answers binds, but {:?}", bound.first()),
            () = three_leases => {}
        }
        assert_eq!(presence.incarnation(), Some(incarnation));
        assert_eq!(presence.metrics.lives_lost.get(), 0);
    }
}
