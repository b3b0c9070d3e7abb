//! Unbind: removes exactly one route, and remembers that it did while a delayed bind could raise it.

use orrery_model::command::{Outcome, Refusal, Reply, RouteName, Unbind};
use orrery_model::{Address, Conn};
use seeded_bugs::Bug;

use super::comets::Life;
use super::marks::Mark;
use super::route_texts::RouteKey;
use super::stored_route::StoredRoute;
use super::{Registry, check_routable};
use crate::limits::MARKS_PER_COMET_MAX;

impl Registry {
    pub(super) fn unbind(&mut self, unbind: &Unbind) -> Reply {
        check_routable(&unbind.address)?;
        let (slot, life) = self.admit(&unbind.address, &unbind.comet)?;
        self.settle(life, unbind.settled);
        let named = |route: &&StoredRoute| {
            let is_exact = match unbind.route {
                RouteName::Seq(seq) => route.seq == seq,
                RouteName::Conn(conn) => route.conn == conn,
            };
            route.life() == life && is_exact || seeded_bugs::is(Bug::ExactRemovalSkipped)
        };
        let found = self.visible_routes(slot, &unbind.address).find(named).map(|route| route.seq);
        let removed = match (found, unbind.route) {
            (Some(seq), _) => {
                let key = RouteKey { address: (&unbind.address).into(), seq };
                let route = self.remove_route(slot, key);
                self.mark(&unbind.address, &route, Mark::Unbound(route.seq));
                true
            }
            // A seq was given by a bind that took effect, whose removal left the mark: none is missing.
            (None, RouteName::Seq(seq)) => {
                self.comets.get(life.comet).marks.unbound(seq, &unbind.address)
            }
            (None, RouteName::Conn(conn)) => self.unbind_absent(&unbind.address, life, conn)?,
        };
        Ok(Outcome::Unbound { removed })
    }

    /// An unbind that found nothing: answers a repeat as before, and keeps the bind it may have overtaken
    /// from taking effect.
    fn unbind_absent(
        &mut self,
        address: &Address,
        life: Life,
        conn: Conn,
    ) -> Result<bool, Refusal> {
        let comet = self.comets.get(life.comet);
        if let Some(mark) = comet.marks.get(conn, address) {
            return Ok(matches!(mark, Mark::Unbound(_)));
        }
        if conn >= comet.settled {
            if comet.marks.len() >= MARKS_PER_COMET_MAX {
                return Err(Refusal::Unsettled);
            }
            self.comets.get_mut(life.comet).marks.insert(conn, address.clone(), Mark::Absent);
        }
        Ok(false)
    }
}
