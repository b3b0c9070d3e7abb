//! Bind: gives a connection a route and a seq, and decides who gives way to it.

use orrery_model::command::{Bind, Bound, Outcome, Refusal, Reply};
use orrery_model::limits::{
    LABEL_BYTES_MAX, LABELS_MAX, ROOMS_PER_CONNECTION_MAX, ROUTES_PER_ADDRESS_MAX,
};
use orrery_model::{Address, Details, Seq};

use super::comets::Life;
use super::marks::Mark;
use super::policy::{self, Rival};
use super::stored_route::{StoredLoser, StoredRoute};
use super::{Registry, check_routable};
use crate::limits::{DETAIL_BYTES_MAX, MARKS_PER_COMET_MAX};

impl Registry {
    pub(super) fn bind(&mut self, bind: &Bind, wall_ms: u64) -> Reply {
        check(bind)?;
        let life = self.admit(&bind.address, &bind.comet)?;
        self.settle(life, bind.settled);
        self.sweep_routes_of(&bind.address);

        let routes = self.routes_of(&bind.address);
        if let Some(route) = routes.iter().find(|r| r.life == life && r.conn == bind.conn) {
            let losers = route.losers(&bind.address, &self.comets);
            return Ok(Outcome::Bound(Bound { seq: route.seq, losers }));
        }
        self.check_not_gone(bind, life)?;

        let rivals: Vec<_> = routes.iter().map(Rival::from).collect();
        let losing = policy::decide(bind.policy, &rivals, &Rival::from(&bind.details))?;
        if routes.len() - losing.len() >= ROUTES_PER_ADDRESS_MAX {
            return Err(Refusal::Invalid("the address has too many routes"));
        }
        let losers = self.evict(&bind.address, &losing);
        let seq = self.head.next_seq;
        self.head.next_seq = seq.next();
        let mut route = StoredRoute::of_bind(bind, life, seq, wall_ms);
        route.put_losers(losers);
        let losers = route.losers(&bind.address, &self.comets);
        self.add_route(&bind.address, route, &bind.details);
        Ok(Outcome::Bound(Bound { seq, losers }))
    }

    /// Refuses a bind whose connection was removed already, or is decided without it.
    fn check_not_gone(&self, bind: &Bind, life: Life) -> Result<(), Refusal> {
        let comet = self.comets.get(life.comet);
        if bind.conn < comet.settled || comet.marks.get(bind.conn, &bind.address).is_some() {
            return Err(Refusal::Gone);
        }
        if comet.marks.len() >= MARKS_PER_COMET_MAX {
            return Err(Refusal::Invalid("the comet has too many removed connections not settled"));
        }
        Ok(())
    }

    /// Removes the routes at these indices (in ascending order), leaving their marks, and names them in
    /// order of seq.
    fn evict(&mut self, address: &Address, losing: &[usize]) -> Vec<StoredLoser> {
        let mut losers: Vec<_> = losing
            .iter()
            .rev()
            .map(|index| {
                let route = self.remove_route(address, *index);
                self.mark(address, &route, Mark::Absent);
                StoredLoser::from(&route)
            })
            .collect();
        losers.reverse();
        losers
    }

    /// Leaves a mark for a visible route that was just removed, unless its conn is settled.
    pub(super) fn mark(&mut self, address: &Address, route: &StoredRoute, mark: Mark) {
        if route.conn >= self.comets.get(route.life.comet).settled {
            let comet = self.comets.get_mut(route.life.comet);
            comet.marks.insert(route.conn, address.clone(), mark);
        }
    }

    /// Adds a visible route with its rooms. The slot must be open.
    pub(super) fn add_route(
        &mut self,
        address: &Address,
        mut route: StoredRoute,
        details: &Details,
    ) {
        self.comets.get_mut(route.life.comet).routes += 1;
        let address = self.held(address);
        let (seq, life) = (route.seq, route.life);
        let rooms = details.rooms.iter().map(|room| self.join_room(&address, seq, life, room));
        let rooms = rooms.collect();
        route.put_rooms(rooms);
        let slot = self.slots.get_mut(address.slot()).expect("a bind was admitted to its slot");
        slot.push_route(&address, route);
    }

    /// The address as its routes already hold it, so that all that is kept of it shares one text.
    pub(super) fn held(&self, address: &Address) -> Address {
        let slot = self.slots.get(address.slot());
        let held = slot.and_then(|slot| slot.routes.get_key_value(address));
        held.map_or(address, |(held, _)| held).clone()
    }

    /// The routes held at an address; those not visible among them only where a sweep is under way.
    pub(super) fn routes_of(&self, address: &Address) -> &[StoredRoute] {
        self.slots.get(address.slot()).map_or(&[], |slot| slot.routes_of(address))
    }
}

impl<'a> From<&'a StoredRoute> for Rival<'a> {
    fn from(route: &'a StoredRoute) -> Self {
        Self { seq: Some(route.seq), platform: route.platform(), primary: route.primary.as_deref() }
    }
}

impl<'a> From<&'a Details> for Rival<'a> {
    fn from(details: &'a Details) -> Self {
        Self { seq: None, platform: &details.platform, primary: details.primary.as_ref() }
    }
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
