//! Connections without their route: closed, so that their devices connect anew.

use std::sync::Arc;

use orrery_model::{Address, Conn, Incarnation, Seq};
use orrery_proto::edge::edge_request::Kind as Request;
use orrery_proto::edge::edge_response::Kind as Response;
use orrery_proto::edge::{Audit, Audited, AuditedRoute};
use tokio::time::sleep;

use super::NotCompared;
use super::round::Round;
use crate::limits::AUDIT_PAGE;
use crate::presence::{Names, Presence};

/// Compares all connections with the registry again and again, for as long as the comet lives.
pub(in crate::presence) async fn run(presence: Arc<Presence>) {
    let mut round = Round::new(presence.audit);
    let (mut worker, mut slot) = (0, 0);
    loop {
        let pages = presence.metrics.connections() / AUDIT_PAGE as u64 + presence.workers() as u64;
        sleep(round.pause(pages, &*presence.host.random)).await;
        let Some(incarnation) = presence.attached().await else { return };
        let roll = presence.workers.call_roll(worker, slot, incarnation).await;
        if presence.compare(incarnation, &roll.called).await.is_err() {
            continue;
        }
        round.advance();
        slot = roll.next.unwrap_or_else(|| {
            worker = (worker + 1) % presence.workers();
            0
        });
        if (worker, slot) == (0, 0) {
            round.begin_anew();
        }
    }
}

impl Presence {
    /// Asks which of these connections lack a route, and closes them.
    async fn compare(
        &self,
        incarnation: Incarnation,
        called: &[(Conn, Arc<Names>)],
    ) -> Result<(), NotCompared> {
        if called.is_empty() {
            return Ok(());
        }
        let routes = called.iter().flat_map(|(_, names)| names.iter());
        let routes =
            routes.map(|(address, seq)| AuditedRoute { address: Some(address.into()), seq: seq.0 });
        let comet = Some((&self.comet(incarnation)).into());
        let question = Request::Audit(Audit { comet, routes: routes.collect() });
        let Audited { missing } = match self.edge.request(question).await {
            Ok(Response::Audited(audited)) => audited,
            Ok(Response::Failure(failure)) => {
                tracing::debug!(detail = failure.detail, "connections were not compared");
                return Err(NotCompared);
            }
            Ok(_) => {
                tracing::warn!("logic answered an audit with something else");
                return Err(NotCompared);
            }
            Err(_) => return Err(NotCompared),
        };
        // The end of a life takes all of its routes, and its connections are to be bound again. Life after
        // the look says that it was not that.
        if !missing.is_empty() && !self.is_alive(incarnation).await {
            return Err(NotCompared);
        }
        self.metrics.audited_connections.inc_by(called.len() as u64);
        for route in missing {
            let Some((conn, address, seq)) = asked_about(route, called) else {
                tracing::warn!("logic misses a route that it was not asked about");
                continue;
            };
            tracing::warn!(%conn, %address, %seq, "a connection has lost its route");
            self.workers.lost(conn, address, seq).await;
        }
        Ok(())
    }
}

fn asked_about(route: AuditedRoute, called: &[(Conn, Arc<Names>)]) -> Option<(Conn, Address, Seq)> {
    let address = Address::try_from(route.address?).ok()?;
    let seq = Seq(route.seq);
    let (conn, _) = called.iter().find(|(_, names)| names.has(&address, seq))?;
    Some((*conn, address, seq))
}
