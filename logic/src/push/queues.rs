//! Queues: who may send to an address now, and who waits. One ticket holder at a time has the turn of
//! an address; all that wait there get the next turn together.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;

use crate::limits::GROUP_MAX;
use crate::push::ticket::{Place, Ticket};

/// Tickets that have the turn of their place together, in order of their pushes.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) place: Place,
    pub(super) tickets: Vec<Ticket>,
}

/// The queues of all places. How much waits in them together is bounded where pushes are admitted.
#[derive(Debug, Default)]
pub(super) struct Queues(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    last_number: u64,
    /// A place has an entry while somebody has its turn.
    waiting: HashMap<Place, VecDeque<Ticket>>,
}

impl Queues {
    /// Puts all tickets of one push into their queues at once, so that two pushes meet in the same
    /// order everywhere. Returns those that have the turn now.
    pub(super) fn enter(&self, tickets: impl Iterator<Item = (Place, Ticket)>) -> Vec<Group> {
        let mut inner = self.0.lock();
        inner.last_number += 1;
        let number = inner.last_number;
        let mut groups: Vec<Group> = Vec::new();
        let mut mine: HashMap<Place, usize> = HashMap::new();
        for (place, mut ticket) in tickets {
            ticket.number = number;
            if let Some(group) = mine.get(&place) {
                groups[*group].tickets.push(ticket);
            } else if let Some(waiting) = inner.waiting.get_mut(&place) {
                waiting.push_back(ticket);
            } else {
                inner.waiting.insert(place.clone(), VecDeque::new());
                mine.insert(place.clone(), groups.len());
                groups.push(Group { place, tickets: vec![ticket] });
            }
        }
        groups
    }

    /// Adds what waits at the group's place to the group, which has the turn there.
    pub(super) fn join(&self, group: &mut Group) {
        let mut inner = self.0.lock();
        if let Some(waiting) = inner.waiting.get_mut(&group.place) {
            let count = waiting.len().min(GROUP_MAX.saturating_sub(group.tickets.len()));
            group.tickets.extend(waiting.drain(..count));
        }
    }

    /// Passes the turn of places on. Returns those that have it now.
    pub(super) fn release(&self, places: impl IntoIterator<Item = Place>) -> Vec<Group> {
        let mut inner = self.0.lock();
        let mut groups = Vec::new();
        for place in places {
            let Some(waiting) = inner.waiting.get_mut(&place) else { continue };
            if waiting.is_empty() {
                inner.waiting.remove(&place);
            } else {
                let count = waiting.len().min(GROUP_MAX);
                groups.push(Group { tickets: waiting.drain(..count).collect(), place });
            }
        }
        groups
    }
}

#[cfg(test)]
impl Queues {
    /// Whether somebody has the turn of a place.
    pub(super) fn is_busy(&self, place: &Place) -> bool {
        self.0.lock().waiting.contains_key(place)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use orrery_model::{Address, Id};
    use orrery_proto::delivery::CloseReason;
    use tokio::sync::mpsc;
    use tokio::time::Instant;

    use super::*;
    use crate::push::ticket::{Sending, What};

    fn tickets(users: &[&str]) -> Vec<(Place, Ticket)> {
        let sending = Arc::new(Sending {
            what: What::Close(CloseReason::Kicked),
            wait_written: false,
            when_full: None,
            stale_ok: false,
            deadline: Instant::now() + Duration::from_secs(1),
            span: tracing::Span::none(),
            trace: None,
            _admission: Vec::new(),
        });
        let (answers, _) = mpsc::channel(users.len());
        let ticket = |(index, user): (usize, &&str)| {
            let place = Place::Address(Address::user(Id::new(user).unwrap()));
            let (sending, answers) = (sending.clone(), answers.clone());
            (place, Ticket { number: 0, index, only: None, sending, answers })
        };
        users.iter().enumerate().map(ticket).collect()
    }

    fn show(groups: &[Group]) -> Vec<(String, Vec<u64>)> {
        let name = |place: &Place| match place {
            Place::Address(address) => address.id.to_string(),
            Place::Everybody(_) => "*".to_owned(),
        };
        let numbers = |group: &Group| group.tickets.iter().map(|t| t.number).collect();
        groups.iter().map(|group| (name(&group.place), numbers(group))).collect()
    }

    #[tokio::test]
    async fn a_busy_address_lets_the_others_of_a_push_go_first() {
        let queues = Queues::default();
        let first = queues.enter(tickets(&["a"]).into_iter());
        assert_eq!(show(&first), [("a".into(), vec![1])]);
        let second = queues.enter(tickets(&["a", "b"]).into_iter());
        assert_eq!(show(&second), [("b".into(), vec![2])]);
        let third = queues.enter(tickets(&["b", "a"]).into_iter());
        assert!(third.is_empty());

        let next = queues.release([first[0].place.clone(), second[0].place.clone()]);
        assert_eq!(show(&next), [("a".into(), vec![2, 3]), ("b".into(), vec![3])]);
        assert!(queues.release(next.into_iter().map(|g| g.place)).is_empty());
        assert_eq!(show(&queues.enter(tickets(&["a"]).into_iter())), [("a".into(), vec![4])]);
    }

    #[tokio::test]
    async fn an_id_named_twice_is_one_group_with_two_tickets() {
        let queues = Queues::default();
        let groups = queues.enter(tickets(&["a", "a"]).into_iter());
        assert_eq!(show(&groups), [("a".into(), vec![1, 1])]);
    }

    #[tokio::test]
    async fn whoever_has_the_turn_takes_in_what_came_meanwhile_up_to_a_limit() {
        let queues = Queues::default();
        let mut group = queues.enter(tickets(&["a"]).into_iter()).remove(0);
        for _ in 0..GROUP_MAX + 10 {
            assert!(queues.enter(tickets(&["a"]).into_iter()).is_empty());
        }
        queues.join(&mut group);
        assert_eq!(group.tickets.len(), GROUP_MAX);
        let next = queues.release([group.place]);
        assert_eq!(next[0].tickets.len(), 11);
        assert_eq!(next[0].tickets[0].number, GROUP_MAX as u64 + 1);
    }
}
