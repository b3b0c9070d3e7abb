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
