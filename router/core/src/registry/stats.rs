//! Stats: how much a shard holds, for metrics and people.

use super::Registry;

/// How much a shard holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Open slots.
    pub slots: u64,
    /// Visible routes.
    pub routes: u64,
    /// Comets on the listings of rooms, counted once in each room.
    pub listings: u64,
    /// Listings taken off but remembered.
    pub tombstones: u64,
    /// Removed or refused connections that are not settled.
    pub marks: u64,
    /// Comets ever heard of.
    pub comets: u64,
    /// Invisible routes and listings that wait to be swept.
    pub unswept: u64,
}

impl Registry {
    /// How much the shard holds. Takes a step for each comet.
    pub fn stats(&self) -> Stats {
        let mut stats = Stats {
            slots: self.slots.open_count() as u64,
            comets: self.comets.len() as u64,
            unswept: self.sweep.unswept(),
            ..Stats::default()
        };
        for comet in self.comets.iter() {
            let tombstones = comet.tombstones.len() as u64;
            stats.routes += comet.routes;
            stats.listings += comet.listings - tombstones;
            stats.tombstones += tombstones;
            stats.marks += comet.marks.len() as u64;
        }
        stats
    }
}
