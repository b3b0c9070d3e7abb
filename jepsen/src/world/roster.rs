//! Roster: which routers are members and which wait to be, and what of that is half done. Each by its machine's name.

use std::collections::BTreeMap;

/// What whoever operates a cluster must not forget. A router is a member or a spare or neither, and either once.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    /// Routers that are members now.
    members: Vec<String>,
    /// Routers that wait for a node to replace; the last one is taken first.
    spares: Vec<String>,
    /// Routers that are to go and the spares that are to take their places, where that is not done yet.
    unfinished: Vec<(String, String)>,
    /// Spares that may be members and do not know it, and whether somebody just tries to take them in.
    half_taken_in: BTreeMap<String, bool>,
    /// Routers that are gone for good and whose places nobody is about to take.
    lost: Vec<String>,
    /// Routers that lead nothing, or may do so, and whether they are to lead again.
    drained: BTreeMap<String, bool>,
}

impl Roster {
    /// A cluster of these members; of the spares the first one is taken first.
    pub(crate) fn new(members: Vec<String>, mut spares: Vec<String>) -> Self {
        spares.reverse();
        Self { members, spares, ..Self::default() }
    }

    /// The routers that are members now.
    pub(crate) fn members(&self) -> &[String] {
        &self.members
    }

    /// A router has become a member.
    pub(crate) fn join(&mut self, name: &str) {
        self.spares.retain(|spare| spare != name);
        if !self.members.iter().any(|member| member == name) {
            self.members.push(name.to_owned());
        }
    }

    /// A router has become a member in another one's place.
    pub(crate) fn take_place(&mut self, gone: &str, new: &str) {
        self.members.retain(|member| member != gone);
        self.join(new);
    }

    /// Takes a spare.
    pub(crate) fn take_spare(&mut self) -> Option<String> {
        self.spares.pop()
    }

    /// Gives back a spare that was taken and not used: it is the next one.
    pub(crate) fn give_back(&mut self, name: &str) {
        if self.is_free(name) {
            self.spares.push(name.to_owned());
        }
    }

    /// Offers a router as the last of the spares.
    pub(crate) fn offer(&mut self, name: &str) {
        if self.is_free(name) {
            self.spares.insert(0, name.to_owned());
        }
    }

    fn is_free(&self, name: &str) -> bool {
        !self.members.iter().chain(&self.spares).any(|held| held == name)
    }

    /// Somebody begins to take a spare in; false if somebody else just does.
    pub(crate) fn begin_to_take_in(&mut self, name: &str) -> bool {
        let tried = self.half_taken_in.entry(name.to_owned()).or_default();
        !std::mem::replace(tried, true)
    }

    /// Whoever tried to take a spare in does so no more.
    pub(crate) fn stop_taking_in(&mut self, name: &str) {
        if let Some(tried) = self.half_taken_in.get_mut(name) {
            *tried = false;
        }
    }

    /// It is known whether a spare was taken in.
    pub(crate) fn end_taking_in(&mut self, name: &str) {
        self.half_taken_in.remove(name);
    }

    /// The spares that are half taken in, and that nobody tries to take in.
    pub(crate) fn half_taken_in(&self) -> Vec<String> {
        let left = self.half_taken_in.iter().filter(|(_, tried)| !**tried);
        left.map(|(name, _)| name.clone()).collect()
    }

    /// A spare is still to take a router's place: nobody knows whether it has, or it has to.
    pub(crate) fn leave_unfinished(&mut self, old: &str, spare: &str) {
        self.unfinished.push((old.to_owned(), spare.to_owned()));
    }

    /// The routers that are to go and the spares that are to take their places.
    pub(crate) fn unfinished(&self) -> Vec<(String, String)> {
        self.unfinished.clone()
    }

    /// A router's place was taken.
    pub(crate) fn finish(&mut self, old: &str) {
        self.unfinished.retain(|(name, _)| name != old);
    }

    /// Whether a place is still to be taken, or a spare half taken in.
    pub(crate) fn is_unfinished(&self) -> bool {
        !self.unfinished.is_empty() || !self.half_taken_in.is_empty()
    }

    /// A router is gone for good, and nobody is about to take its place.
    pub(crate) fn lose(&mut self, name: &str) {
        self.lost.push(name.to_owned());
    }

    /// Somebody takes a lost router's place, or may have done so.
    pub(crate) fn make_up_for(&mut self, name: &str) {
        self.lost.retain(|lost| lost != name);
    }

    /// The routers that are lost.
    pub(crate) fn lost(&self) -> Vec<String> {
        self.lost.clone()
    }

    /// Says before it is done that a router is drained. Not while one may be on its way out, which being led again
    /// would take back, nor while it may just be told to lead again.
    pub(crate) fn drain(&mut self, name: &str) -> bool {
        let may = !self.is_unfinished() && self.lost.is_empty() && !self.drained.contains_key(name);
        if may {
            self.drained.insert(name.to_owned(), false);
        }
        may
    }

    /// All that are drained are to lead again.
    pub(crate) fn lead_again(&mut self) {
        self.drained.values_mut().for_each(|again| *again = true);
    }

    /// Those that are to lead again.
    pub(crate) fn to_lead_again(&self) -> Vec<String> {
        let again = self.drained.iter().filter(|(_, again)| **again);
        again.map(|(name, _)| name.clone()).collect()
    }

    /// A router is drained no more.
    pub(crate) fn end_drain(&mut self, name: &str) {
        self.drained.remove(name);
    }

    /// Those that are drained, or may be.
    pub(crate) fn drained(&self) -> impl Iterator<Item = &str> {
        self.drained.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roster() -> Roster {
        let names =
            |range: std::ops::Range<usize>| range.map(|at| format!("router-{at}")).collect();
        Roster::new(names(1..4), names(4..6))
    }

    #[test]
    fn a_spare_that_was_taken_in_twice_is_a_member_once_and_no_spare() {
        let mut roster = roster();
        assert_eq!(roster.take_spare().as_deref(), Some("router-4"));
        roster.join("router-4");
        roster.join("router-4");
        roster.give_back("router-4");
        roster.offer("router-4");
        assert_eq!(roster.members(), ["router-1", "router-2", "router-3", "router-4"]);
        assert_eq!(roster.take_spare().as_deref(), Some("router-5"));
        assert_eq!(roster.take_spare(), None);
        // What was not known the first time is done once more.
        roster.take_place("router-1", "router-5");
        roster.take_place("router-1", "router-5");
        assert_eq!(roster.members(), ["router-2", "router-3", "router-4", "router-5"]);
        roster.give_back("router-1");
        roster.give_back("router-1");
        assert_eq!((roster.take_spare().as_deref(), roster.take_spare()), (Some("router-1"), None));
    }

    #[test]
    fn only_one_at_a_time_takes_a_spare_in_and_another_one_goes_on_with_it() {
        let mut roster = roster();
        assert!(roster.begin_to_take_in("router-4"));
        assert!(!roster.begin_to_take_in("router-4"));
        assert!(roster.half_taken_in().is_empty() && roster.is_unfinished());
        roster.stop_taking_in("router-4");
        assert_eq!(roster.half_taken_in(), ["router-4"]);
        assert!(roster.begin_to_take_in("router-4"));
        roster.end_taking_in("router-4");
        roster.stop_taking_in("router-4");
        assert!(!roster.is_unfinished());
    }

    #[test]
    fn nobody_is_drained_while_a_place_is_to_be_taken_or_who_is_just_to_lead_again() {
        let mut roster = roster();
        roster.lose("router-1");
        assert!(!roster.drain("router-1") && !roster.drain("router-2"));
        roster.make_up_for("router-1");
        roster.leave_unfinished("router-1", "router-4");
        assert!(!roster.drain("router-2"));
        roster.finish("router-1");
        assert!(roster.drain("router-2"));
        roster.lead_again();
        assert!(!roster.drain("router-2"));
        assert_eq!(roster.to_lead_again(), ["router-2"]);
        roster.end_drain("router-2");
        assert!(roster.drain("router-2") && roster.to_lead_again().is_empty());
        assert_eq!(roster.drained().collect::<Vec<_>>(), ["router-2"]);
    }
}
