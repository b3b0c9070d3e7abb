//! Listings: for which rooms this comet is listed in the registry, and which writes say so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use orrery_model::{Address, Version};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::lines::Lines;

/// A listing write to carry out: repeat it until its answer is known, then call [`Listings::written`] or
/// [`Listings::refused`]; or [`Listings::given_up`], if its incarnation has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListWrite {
    /// The room.
    pub(crate) room: Address,
    /// The comet's version of the listing; the registry ignores one that is not newer.
    pub(crate) version: Version,
    /// List the comet, or take it off.
    pub(crate) list: bool,
}

/// What the registry holds of a room, as far as this comet knows.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Unlisted,
    Listing(Version),
    Listed,
    Unlisting(Version),
}

#[derive(Debug)]
struct Entry {
    members: u64,
    idle_since: Option<Instant>,
    standing: Standing,
    waiters: Vec<oneshot::Sender<()>>,
}

/// The comet's rooms over all workers. A room is listed before its first member's join is answered
/// and let go some time after the last one left.
///
/// Versions come from one counter for all rooms, so that a room that is forgotten and comes back
/// still has a newer one.
#[derive(Debug, Default)]
pub(crate) struct Listings {
    rooms: BTreeMap<Address, Entry>,
    idle: BTreeSet<(Instant, Address)>,
    /// Writes that list the comet: somebody waits for them, so no removal does that they would have to wait for.
    to_list: Lines<ListWrite>,
    to_unlist: Lines<ListWrite>,
    version: Version,
}

impl Listings {
    /// A connection of this comet is in the room from now on.
    pub(crate) fn join(&mut self, room: &Address) {
        let entry = self.rooms.entry(room.clone()).or_insert_with(|| Entry {
            members: 0,
            idle_since: None,
            standing: Standing::Unlisted,
            waiters: Vec::new(),
        });
        entry.members += 1;
        if let Some(since) = entry.idle_since.take() {
            self.idle.remove(&(since, room.clone()));
        }
    }

    /// A connection of this comet is no longer in the room.
    pub(crate) fn leave(&mut self, room: &Address, now: Instant) {
        let Some(entry) = self.rooms.get_mut(room) else { return };
        entry.members = entry.members.saturating_sub(1);
        if entry.members == 0 && entry.idle_since.is_none() {
            entry.idle_since = Some(now);
            self.idle.insert((now, room.clone()));
        }
    }

    /// Nothing when the room is listed; else what tells when it is. The sender's end without a word
    /// means that the registry refused the room. Only for rooms that were joined.
    pub(crate) fn ensure(&mut self, room: &Address) -> Option<oneshot::Receiver<()>> {
        let entry = self.rooms.get_mut(room)?;
        match entry.standing {
            Standing::Listed => return None,
            Standing::Listing(_) => {}
            // A newer version wins over the removal under way, in whatever order they arrive.
            Standing::Unlisted | Standing::Unlisting(_) => {
                self.version = self.version.next();
                entry.standing = Standing::Listing(self.version);
                let write = ListWrite { room: room.clone(), version: self.version, list: true };
                self.to_list.push(room.slot(), write);
            }
        }
        let (told, wait) = oneshot::channel();
        // Those whose device went meanwhile would gather here while logic is away.
        entry.waiters.retain(|waiter| !waiter.is_closed());
        entry.waiters.push(told);
        Some(wait)
    }

    /// The next write to carry out. For each slot one that lists and one that does not are under way at a time;
    /// behind them, as a rule, waits at most one of either for each room.
    pub(crate) fn poll_write(&mut self) -> Option<ListWrite> {
        let (_, write) = self.to_list.poll().or_else(|| self.to_unlist.poll())?;
        Some(write)
    }

    /// A write is under way no more, and nothing came of it: [`Listings::restart`] has written down, or will,
    /// what is to be said in the next incarnation.
    pub(crate) fn given_up(&mut self, write: &ListWrite) {
        self.done(write);
    }

    fn done(&mut self, write: &ListWrite) {
        let lines = if write.list { &mut self.to_list } else { &mut self.to_unlist };
        lines.done(write.room.slot());
    }

    /// The registry acknowledged a write.
    pub(crate) fn written(&mut self, write: &ListWrite) {
        self.done(write);
        let Some(entry) = self.rooms.get_mut(&write.room) else { return };
        if entry.standing == Standing::Listing(write.version) {
            entry.standing = Standing::Listed;
            for waiter in entry.waiters.drain(..) {
                // A waiter that went does not need to know.
                let _ = waiter.send(());
            }
            // It may have emptied while it was being listed; `idle` has it then.
        } else if entry.standing == Standing::Unlisting(write.version) {
            entry.standing = Standing::Unlisted;
            if entry.members == 0 {
                self.forget(&write.room);
            }
        }
    }

    /// The registry refused a write for good.
    pub(crate) fn refused(&mut self, write: &ListWrite) {
        self.done(write);
        let Some(entry) = self.rooms.get_mut(&write.room) else { return };
        if matches!(entry.standing, Standing::Listing(v) | Standing::Unlisting(v) if v == write.version)
        {
            entry.standing = Standing::Unlisted;
            entry.waiters.clear();
            if entry.members == 0 {
                self.forget(&write.room);
            }
        }
    }

    /// Lets go of rooms that have been empty for longer than `linger`.
    pub(crate) fn sweep(&mut self, now: Instant, linger: Duration) {
        while let Some((since, _)) = self.idle.first() {
            if now.duration_since(*since) < linger {
                return;
            }
            let Some((_, room)) = self.idle.pop_first() else { return };
            let Some(entry) = self.rooms.get_mut(&room) else { continue };
            entry.idle_since = None;
            match entry.standing {
                Standing::Listed => {
                    self.version = self.version.next();
                    entry.standing = Standing::Unlisting(self.version);
                    let slot = room.slot();
                    let write = ListWrite { room, version: self.version, list: false };
                    self.to_unlist.push(slot, write);
                }
                Standing::Unlisted => self.forget(&room),
                // Being listed for members that went meanwhile: look again later.
                Standing::Listing(_) => {
                    entry.idle_since = Some(now);
                    self.idle.insert((now, room));
                }
                Standing::Unlisting(_) => {}
            }
        }
    }

    /// A new incarnation is listed nowhere: lists the rooms that have members, forgets the others.
    pub(crate) fn restart(&mut self) {
        self.to_list.clear();
        self.to_unlist.clear();
        self.idle.clear();
        self.rooms.retain(|_, entry| entry.members > 0);
        for (room, entry) in &mut self.rooms {
            self.version = self.version.next();
            entry.standing = Standing::Listing(self.version);
            let write = ListWrite { room: room.clone(), version: self.version, list: true };
            self.to_list.push(room.slot(), write);
        }
    }

    /// Members on this comet.
    pub(crate) fn members(&self, room: &Address) -> u64 {
        self.rooms.get(room).map_or(0, |entry| entry.members)
    }

    /// All rooms with members on this comet, and how many.
    pub(crate) fn census(&self) -> Vec<(Address, u64)> {
        let occupied = self.rooms.iter().filter(|(_, entry)| entry.members > 0);
        occupied.map(|(room, entry)| (room.clone(), entry.members)).collect()
    }

    fn forget(&mut self, room: &Address) {
        if let Some(entry) = self.rooms.remove(room)
            && let Some(since) = entry.idle_since
        {
            self.idle.remove(&(since, room.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use orrery_model::Id;

    use super::*;

    const LINGER: Duration = Duration::from_secs(30);

    fn room() -> Address {
        Address::room(Id::new("live://1").unwrap())
    }

    /// Joins and lists the room.
    fn listed(listings: &mut Listings) {
        listings.join(&room());
        let mut wait = listings.ensure(&room()).unwrap();
        let write = listings.poll_write().unwrap();
        assert!(write.list && wait.try_recv().is_err());
        listings.written(&write);
        assert!(wait.try_recv().is_ok());
    }

    #[test]
    fn concurrent_joiners_share_one_listing() {
        let mut listings = Listings::default();
        listings.join(&room());
        let mut first = listings.ensure(&room()).unwrap();
        listings.join(&room());
        let mut second = listings.ensure(&room()).unwrap();
        let write = listings.poll_write().unwrap();
        assert_eq!(listings.poll_write(), None);
        listings.written(&write);
        assert!(first.try_recv().is_ok() && second.try_recv().is_ok());
        assert!(listings.ensure(&room()).is_none());
    }

    #[test]
    fn an_empty_room_is_let_go_only_after_a_while_and_only_if_still_empty() {
        let mut listings = Listings::default();
        let now = Instant::now();
        listed(&mut listings);
        listings.leave(&room(), now);
        listings.sweep(now + LINGER / 2, LINGER);
        assert_eq!(listings.poll_write(), None);

        listings.join(&room());
        listings.sweep(now + LINGER * 2, LINGER);
        assert_eq!(listings.poll_write(), None, "somebody came back");

        listings.leave(&room(), now + LINGER * 2);
        listings.sweep(now + LINGER * 3, LINGER);
        let write = listings.poll_write().unwrap();
        assert!(!write.list);
        listings.written(&write);
        assert!(listings.rooms.is_empty() && listings.idle.is_empty());
    }

    #[test]
    fn a_join_during_the_removal_lists_again_with_a_newer_version() {
        let mut listings = Listings::default();
        let now = Instant::now();
        listed(&mut listings);
        listings.leave(&room(), now);
        listings.sweep(now + LINGER, LINGER);
        let removal = listings.poll_write().unwrap();

        listings.join(&room());
        let mut wait = listings.ensure(&room()).unwrap();
        let listing = listings.poll_write().unwrap();
        assert!(listing.list && listing.version > removal.version);
        listings.written(&removal);
        assert!(wait.try_recv().is_err(), "the late removal says nothing of the newer listing");
        listings.written(&listing);
        assert!(wait.try_recv().is_ok());
    }

    #[test]
    fn a_new_incarnation_lists_occupied_rooms_again_and_keeps_the_waiters() {
        let mut listings = Listings::default();
        listings.join(&room());
        let mut wait = listings.ensure(&room()).unwrap();
        let old = listings.poll_write().unwrap();
        listings.restart();
        assert_eq!(listings.poll_write(), None, "the old one is still under way");
        listings.given_up(&old);
        assert!(wait.try_recv().is_err(), "what the old incarnation was told does not count");
        let new = listings.poll_write().unwrap();
        assert!(new.list && new.version > old.version);
        listings.written(&new);
        assert!(wait.try_recv().is_ok());
    }

    #[test]
    fn a_refused_listing_is_told_to_its_waiters() {
        let mut listings = Listings::default();
        listings.join(&room());
        let mut wait = listings.ensure(&room()).unwrap();
        let write = listings.poll_write().unwrap();
        listings.refused(&write);
        assert_eq!(wait.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert!(listings.ensure(&room()).is_some(), "the next joiner asks again");
    }
}
