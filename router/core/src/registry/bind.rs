//! Bind: gives a connection a route and a seq, and decides who gives way to it.

use orrery_model::command::{Bind, Bound, Outcome, Refusal, Reply};
use orrery_model::limits::{
    LABEL_BYTES_MAX, LABELS_MAX, ROOMS_PER_CONNECTION_MAX, ROUTES_PER_ADDRESS_MAX,
};
use orrery_model::{Address, Details, Seq, Slot};
use seeded_bugs::Bug;

use super::comets::Life;
use super::marks::Mark;
use super::policy::{self, Rival};
use super::route_texts::RouteKey;
use super::stored_route::{StoredLoser, StoredRoute};
use super::{Registry, check_routable};
use crate::limits::{DETAIL_BYTES_MAX, MARKS_PER_COMET_MAX};

const NO_SUCH_RANK: &str = "a rank is a seq that was given";

impl Registry {
    pub(super) fn bind(&mut self, bind: &Bind, wall_ms: u64) -> Reply {
        check(bind)?;
        let (slot, life) = self.admit(&bind.address, &bind.comet)?;
        self.settle(life, bind.settled);

        let routes: Vec<_> = self.visible_routes(slot, &bind.address).collect();
        let mut known = routes.iter().filter(|_| !seeded_bugs::is(Bug::RepeatBindsAgain));
        if let Some(route) = known.find(|r| r.life() == life && r.conn == bind.conn) {
            let losers = route.losers(&self.comets);
            return Ok(Outcome::Bound(Bound { seq: route.seq, losers }));
        }
        self.check_undecided(bind, life)?;

        let seq = self.head.next_seq;
        // A secondary address's rank is a seq of the primary's, which nobody here can judge.
        if bind.details.primary.is_none() && bind.rank >= Some(seq) {
            return Err(Refusal::Invalid(NO_SUCH_RANK));
        }
        let rivals: Vec<_> = routes.iter().map(|route| Rival::from(*route)).collect();
        let newcomer = Rival::newcomer(seq, bind.rank, &bind.details);
        let decided = policy::decide(bind.policy, &rivals, &newcomer);
        let losing = decided.and_then(|losing| check_room(routes.len() - losing.len(), losing));
        let losing = match losing {
            Ok(losing) => losing,
            Err(refusal) => {
                // Its comet gives the connection up: a late copy of the bind must not take a place that has
                // become free, for it would outrank whoever comes next.
                let mark = match refusal {
                    Refusal::Outranked => Mark::Outranked,
                    _ => Mark::Absent,
                };
                let marks = &mut self.comets.get_mut(life.comet).marks;
                marks.insert(bind.conn, bind.address.clone(), mark);
                return Err(refusal);
            }
        };
        let losers = self.evict(slot, &bind.address, &losing);
        self.head.next_seq = seq.next();
        let route = StoredRoute::of_bind(bind, life, seq, wall_ms, losers);
        let losers = route.losers(&self.comets);
        self.add_route(slot, &bind.address, route, &bind.details);
        Ok(Outcome::Bound(Bound { seq, losers }))
    }

    /// Refuses a bind whose connection was removed or refused already, or is decided without it.
    fn check_undecided(&self, bind: &Bind, life: Life) -> Result<(), Refusal> {
        let comet = self.comets.get(life.comet);
        match comet.marks.get(bind.conn, &bind.address) {
            Some(Mark::Outranked) => Err(Refusal::Outranked),
            Some(Mark::Unbound(_) | Mark::Absent) => Err(Refusal::Gone),
            None if bind.conn < comet.settled => Err(Refusal::Gone),
            None if comet.marks.len() >= MARKS_PER_COMET_MAX => Err(Refusal::Unsettled),
            None => Ok(()),
        }
    }

    /// Removes the routes with these seqs, leaving their marks, and names them in the same order.
    fn evict(&mut self, slot: Slot, address: &Address, losing: &[Seq]) -> Vec<StoredLoser> {
        let evict = |seq: &Seq| {
            let route = self.remove_route(slot, RouteKey { address: address.into(), seq: *seq });
            self.mark(address, &route, Mark::Absent);
            StoredLoser::from(&route)
        };
        losing.iter().map(evict).collect()
    }

    /// Leaves a mark for a visible route that was just removed, unless its conn is settled.
    pub(super) fn mark(&mut self, address: &Address, route: &StoredRoute, mark: Mark) {
        let comet = route.life().comet;
        if route.conn >= self.comets.get(comet).settled {
            self.comets.get_mut(comet).marks.insert(route.conn, address.clone(), mark);
        }
    }

    /// Adds a visible route with its rooms. The slot must be open.
    pub(super) fn add_route(
        &mut self,
        slot: Slot,
        address: &Address,
        mut route: StoredRoute,
        details: &Details,
    ) {
        let (seq, life) = (route.seq, route.life());
        self.comets.get_mut(life.comet).routes += 1;
        let namespace = address.namespace.as_ref();
        let rooms = details.rooms.iter();
        let rooms = rooms.map(|room| self.join_room(slot, namespace, seq, life, room)).collect();
        route.put_rooms(rooms, details.rooms_version);
        let state = self.slots.get_mut(slot).expect("a bind was admitted to its slot");
        state.add_route(route);
    }

    /// The visible routes of an address in order of seq.
    pub(super) fn visible_routes<'a>(
        &'a self,
        slot: Slot,
        address: &'a Address,
    ) -> impl Iterator<Item = &'a StoredRoute> {
        let state = self.slots.get(slot).into_iter();
        let routes = state.flat_map(|state| state.routes_of(address.into()));
        routes.filter(|route| self.comets.is_visible(route.life()))
    }
}

/// Refuses a bind where so many routes would stay that there is no room for another.
fn check_room(staying: usize, losing: Vec<Seq>) -> Result<Vec<Seq>, Refusal> {
    if staying >= ROUTES_PER_ADDRESS_MAX {
        return Err(Refusal::Invalid("the address has too many routes"));
    }
    Ok(losing)
}

fn check(bind: &Bind) -> Result<(), Refusal> {
    check_routable(&bind.address)?;
    let details = &bind.details;
    if details.rooms.len() > ROOMS_PER_CONNECTION_MAX {
        return Err(Refusal::Invalid("too many rooms"));
    }
    if details.labels.len() > LABELS_MAX {
        return Err(Refusal::Invalid("too many labels"));
    }
    if details.labels.iter().any(|(name, value)| name.len() + value.len() > LABEL_BYTES_MAX) {
        return Err(Refusal::Invalid("a label is too long"));
    }
    if details.platform.len() > DETAIL_BYTES_MAX || details.device.len() > DETAIL_BYTES_MAX {
        return Err(Refusal::Invalid("platform or device is too long"));
    }
    if bind.rank == Some(Seq(0)) {
        return Err(Refusal::Invalid(NO_SUCH_RANK));
    }
    if let Some(primary) = &details.primary {
        if !details.rooms.is_empty() {
            return Err(Refusal::Invalid("rooms belong to the primary address"));
        }
        if primary.address == bind.address || primary.seq == Seq(0) {
            return Err(Refusal::Invalid("the primary's name cannot be right"));
        }
        check_routable(&primary.address)?;
    }
    Ok(())
}
