//! Locate: where an address is now.

use orrery_model::{Address, CometRef, Kind, Route};

use super::Registry;
use super::slot_state::Standing;

/// Where an address is now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Located {
    /// Of a user or key: its routes in order of seq.
    pub routes: Vec<Route>,
    /// Of a room: the comets that hold members of it, in order of their ids.
    pub comets: Vec<CometRef>,
}

/// The address's slot is not open here: refresh the slot table and ask its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("slot is not owned here at table epoch {epoch}")]
pub struct WrongShard {
    /// The newest table epoch this shard has heard of.
    pub epoch: u64,
}

impl Registry {
    /// Where an address is now; empty where it is nowhere.
    ///
    /// # Errors
    /// [`WrongShard`] when this shard does not own the address's slot; ask its owner.
    pub fn locate(&self, address: &Address) -> Result<Located, WrongShard> {
        let slot = self.slots.get(address.slot()).ok_or(WrongShard { epoch: self.head.epoch })?;
        let mut located = Located::default();
        match address.kind {
            Kind::User | Kind::Key => {
                let routes = slot.routes_of(address.into());
                let visible = routes.filter(|route| self.comets.is_visible(route.life()));
                located.routes.extend(visible.map(|route| route.to_route(&self.comets)));
            }
            Kind::Room => {
                let listings = slot.listings_of(address);
                let listed = listings.filter(|listing| {
                    listing.standing == Standing::Listed && self.comets.is_visible(listing.life)
                });
                located.comets.extend(listed.map(|listing| self.comets.name(listing.life)));
            }
        }
        Ok(located)
    }
}
