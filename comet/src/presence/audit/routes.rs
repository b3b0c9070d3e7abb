//! Routes without their connection: unbound, so that nobody is sent to where no device is.

use std::sync::Arc;

use orrery_model::command::RouteName;
use orrery_model::{Address, CometRef, Conn, Incarnation, Route};
use orrery_proto::edge::edge_request::Kind as Request;
use orrery_proto::edge::edge_response::Kind as Response;
use orrery_proto::edge::{AuditRoutes, AuditedRoutes};
use orrery_proto::registry::Member;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::NotCompared;
use super::round::Round;
use crate::limits::AUDIT_PAGE;
use crate::presence::Presence;
use crate::presence::goodbyes::Goodbye;

/// Where the walk over the registry's routes goes on.
#[derive(Debug, Clone, Default)]
struct Cursor {
    /// 0: the first one.
    shard: u32,
    after: Option<Member>,
}

/// Compares all routes of the comet's life with its connections again and again, for as long as it lives.
pub(in crate::presence) async fn run(presence: Arc<Presence>) {
    let mut round = Round::new(presence.audit);
    let mut walked = None;
    let mut cursor = Cursor::default();
    // What was found is gone before the next page is asked for, so nothing is found twice.
    let places = Arc::new(Semaphore::new(AUDIT_PAGE));
    loop {
        // Most connections have a user and a key.
        let pages = 2 * presence.metrics.connections() / AUDIT_PAGE as u64 + 1;
        sleep(round.pause(pages, &*presence.host.random)).await;
        let Ok(all) = places.acquire_many(AUDIT_PAGE as u32).await else { return };
        drop(all);
        let Some(incarnation) = presence.attached().await else { return };
        if walked.replace(incarnation) != Some(incarnation) {
            cursor = Cursor::default();
        }
        let Ok(next) = presence.walk(incarnation, cursor.clone(), &places).await else { continue };
        round.advance();
        if next.is_none() {
            round.begin_anew();
        }
        cursor = next.unwrap_or_default();
    }
}

impl Presence {
    /// Looks at one page and has its strays unbound; tells where to go on, if anywhere.
    async fn walk(
        &self,
        incarnation: Incarnation,
        Cursor { shard, after }: Cursor,
        places: &Arc<Semaphore>,
    ) -> Result<Option<Cursor>, NotCompared> {
        let comet = self.comet(incarnation);
        // A connection that begins from here on may have come and gone by the time of the answer.
        let next = self.state.lock().conns.next();
        let limit = AUDIT_PAGE as u32;
        let question = AuditRoutes { comet: Some((&comet).into()), shard, after, limit };
        let page = match self.edge.request(Request::AuditRoutes(question)).await {
            Ok(Response::AuditedRoutes(page)) => page,
            Ok(Response::Failure(failure)) => {
                tracing::debug!(detail = failure.detail, "routes were not compared");
                return Err(NotCompared);
            }
            Ok(_) => {
                tracing::warn!("logic answered an audit of routes with something else");
                return Err(NotCompared);
            }
            Err(_) => return Err(NotCompared),
        };
        let AuditedRoutes { routes, next_shard, next: after } = page;
        for member in routes.into_iter().take(AUDIT_PAGE) {
            match route(member, &comet) {
                Some((address, route)) => {
                    if self.is_stray(route.conn, next) {
                        self.disown(incarnation, address, &route, places).await;
                    }
                }
                None => tracing::warn!("logic told a route that is not one of this comet's life"),
            }
        }
        Ok((next_shard != 0).then_some(Cursor { shard: next_shard, after }))
    }

    /// Whether no connection has the number, nor had it a goodbye to say, nor could it have been given since
    /// `next` was.
    fn is_stray(&self, conn: Conn, next: Conn) -> bool {
        conn < next && !self.state.lock().conns.knows(conn)
    }

    /// Says goodbye for a connection that is not there.
    async fn disown(
        &self,
        incarnation: Incarnation,
        address: Address,
        route: &Route,
        places: &Arc<Semaphore>,
    ) {
        let Ok(permit) = places.clone().acquire_owned().await else { return };
        tracing::warn!(conn = %route.conn, %address, seq = %route.seq, "a route without connection");
        self.goodbye(Goodbye {
            conn: route.conn,
            incarnation,
            unbinds: vec![(address, RouteName::Seq(route.seq))],
            permit: Some(permit),
            stray: true,
        });
    }
}

/// The route of a member, if it belongs to this life of the comet.
fn route(member: Member, comet: &CometRef) -> Option<(Address, Route)> {
    let address = Address::try_from(member.address?).ok()?;
    let route = Route::try_from(member.route?).ok()?;
    (route.comet == *comet).then_some((address, route))
}
