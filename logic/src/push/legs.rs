//! Legs: the parts of a ticket, one for each connection (or comet) it goes to, and how each ended.

use orrery_model::message::Delivered;
use orrery_proto::delivery::Tally;

use crate::push::ticket::{Freshness, Spot, Ticket, Told};

/// One way of a ticket.
#[derive(Debug, Clone)]
pub(super) struct Leg {
    pub(super) spot: Spot,
    /// How it ended; absent while it is under way.
    pub(super) end: Option<End>,
}

/// How a leg ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum End {
    /// What became of the message at a connection.
    Connection(Delivered),
    /// What became of it at the connections of a comet.
    Comet(Tally),
    /// It was delivered to nobody there: the connection, or the comet's life, is not there any more.
    NotHere,
    /// No answer in time.
    Unknown,
}

/// A ticket with its legs.
#[derive(Debug)]
pub(super) struct Journey {
    pub(super) ticket: Ticket,
    pub(super) legs: Vec<Leg>,
    pub(super) freshness: Freshness,
    pub(super) answered: bool,
    /// Comets that missed it and were not found again: nobody is there.
    unlisted: Vec<Spot>,
}

impl Journey {
    /// A ticket on its way to the spots that a look-up found.
    pub(super) fn new(ticket: Ticket, spots: &[Spot], freshness: Freshness) -> Self {
        let (legs, unlisted) = (Vec::new(), Vec::new());
        let mut journey = Self { ticket, legs, freshness, answered: false, unlisted };
        journey.legs =
            journey.meant(spots).map(|spot| Leg { spot: spot.clone(), end: None }).collect();
        journey
    }

    /// The spots that this ticket is for.
    fn meant<'a>(&self, spots: &'a [Spot]) -> impl Iterator<Item = &'a Spot> + use<'a> {
        let only = self.ticket.only;
        spots.iter().filter(move |spot| only.is_none_or(|seq| spot.seq == seq))
    }

    pub(super) fn under_way(&self) -> bool {
        self.legs.iter().any(|leg| leg.end.is_none())
    }

    pub(super) fn missed(&self) -> bool {
        self.legs.iter().any(|leg| leg.end == Some(End::NotHere))
    }

    /// Takes a second look-up: goes to every spot that did not answer and is not in doubt. Returns the
    /// indices of the legs to travel.
    pub(super) fn again(&mut self, spots: &[Spot]) -> Vec<usize> {
        let meant: Vec<Spot> = self.meant(spots).cloned().collect();
        if self.ticket.sending.what.is_for_comets() {
            let missed = self.legs.iter().filter(|leg| leg.end == Some(End::NotHere));
            let unlisted = missed.map(|leg| &leg.spot).filter(|spot| !meant.contains(spot));
            self.unlisted = unlisted.cloned().collect();
        }
        let mut travels = Vec::new();
        for spot in meant {
            match self.legs.iter().position(|leg| leg.spot == spot) {
                Some(index) if self.legs[index].end == Some(End::NotHere) => {
                    self.legs[index].end = None;
                    travels.push(index);
                }
                Some(_) => {}
                None => {
                    travels.push(self.legs.len());
                    self.legs.push(Leg { spot, end: None });
                }
            }
        }
        travels
    }

    /// Ends the ticket with what became of its legs.
    pub(super) fn answer(&mut self) {
        if !self.answered {
            self.answered = true;
            let mut legs = std::mem::take(&mut self.legs);
            // A comet that is not listed any more has no members to have missed it.
            legs.retain(|leg| !self.unlisted.contains(&leg.spot));
            let told = Told { legs, freshness: self.freshness };
            self.ticket.answer(Ok(told));
        }
    }
}
