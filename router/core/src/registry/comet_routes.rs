//! Comet routes: what the shard holds of one comet's life, in pages, for the comet to compare with its
//! connections.

use orrery_model::{Address, CometRef, Seq};

use super::Registry;
use super::members::{Member, first_slot, page_limit};
use super::pages::Place;
use super::route_texts::RouteKey;
use crate::limits::COMET_ROUTES_SCAN_MAX;

/// A page of one comet's routes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CometRoutesPage {
    /// The routes with their addresses, in order of (slot, hash of the address, address, seq).
    pub members: Vec<Member>,
    /// Where to go on: the `after` of the next call. `None` when nothing follows.
    pub next: Option<(Address, Seq)>,
}

impl Registry {
    /// A page of the visible routes of one comet's life, those up to and including `after` left out. A
    /// call looks at no more than `scan_max` routes of whatever comet, so a page may be short, or empty,
    /// although more follow: the walk is over when `next` is `None`. It meets each route that stays
    /// exactly once. A `limit` of 0, or above [`orrery_model::limits::PAGE_SIZE_MAX`], is that maximum;
    /// so it is with `scan_max` and [`COMET_ROUTES_SCAN_MAX`].
    pub fn comet_routes(
        &self,
        comet: &CometRef,
        after: Option<(&Address, Seq)>,
        limit: usize,
        scan_max: usize,
    ) -> CometRoutesPage {
        let mut page = CometRoutesPage::default();
        let Some(life) = self.comets.find(comet).filter(|life| self.comets.is_visible(*life))
        else {
            return page;
        };
        let limit = page_limit(limit);
        let scan_max = if scan_max == 0 { usize::MAX } else { scan_max };
        let mut left = scan_max.min(COMET_ROUTES_SCAN_MAX);
        let first = after.map_or_else(first_slot, |(address, _)| address.slot());
        let mut last = None;
        for (slot, state) in self.slots.from(first) {
            let start = match after {
                Some((address, seq)) if slot == first => {
                    state.after_route(RouteKey { address: address.into(), seq })
                }
                _ => Place::START,
            };
            for route in state.routes.from(start) {
                if left == 0 || page.members.len() == limit {
                    page.next = last.map(|key: RouteKey<'_>| (key.address.to_address(), key.seq));
                    return page;
                }
                left -= 1;
                last = Some(route.key());
                if route.life() == life {
                    let (address, route) = (route.address(), route.to_route(&self.comets));
                    page.members.push(Member { address, route });
                }
            }
        }
        page
    }
}
