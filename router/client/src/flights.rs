//! Flights: the asks of one call that are under way at the same time, each at another node.

use std::future::poll_fn;
use std::task::Poll;

use orrery_model::NodeId;
use tokio::time::{Instant, timeout_at};

use crate::limits::FLIGHTS_MAX;
use crate::outstanding::{Answer, Lost, Pending};

/// What an ask is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The request itself: its answer is the call's.
    Answer,
    /// To learn who leads.
    Probe,
}

/// An ask that ended, with an answer or without.
pub(crate) struct Landing {
    pub(crate) node: NodeId,
    pub(crate) purpose: Purpose,
    pub(crate) result: Result<Answer, Lost>,
}

/// The asks under way, in the order in which they began.
#[derive(Default)]
pub(crate) struct Flights(Vec<(NodeId, Purpose, Pending)>);

impl Flights {
    pub(crate) fn add(&mut self, node: NodeId, purpose: Purpose, pending: Pending) {
        self.0.push((node, purpose, pending));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= FLIGHTS_MAX
    }

    /// Whether the node was asked for the answer and has not given it.
    pub(crate) fn awaits(&self, node: NodeId) -> bool {
        self.0.iter().any(|(at, purpose, _)| *at == node && *purpose == Purpose::Answer)
    }

    /// Whether anything asked of the node is under way.
    pub(crate) fn asks(&self, node: NodeId) -> bool {
        self.0.iter().any(|(at, ..)| *at == node)
    }

    /// The next ask that ends; `None` when none did until then.
    pub(crate) async fn next(&mut self, until: Instant) -> Option<Landing> {
        let flights = &mut self.0;
        let landing = poll_fn(|cx| {
            for (place, (.., pending)) in flights.iter_mut().enumerate() {
                if let Poll::Ready(result) = pending.poll(cx) {
                    let (node, purpose, _) = flights.remove(place);
                    return Poll::Ready(Landing { node, purpose, result });
                }
            }
            Poll::Pending
        });
        timeout_at(until, landing).await.ok()
    }

    /// Where there are as many as there may be, takes the oldest back of those that were added to the first
    /// one. Returns whether one for the answer may have reached its node.
    pub(crate) fn make_room(&mut self) -> bool {
        if !self.is_full() {
            return false;
        }
        let (_, purpose, pending) = self.0.remove(1);
        pending.give_up() && purpose == Purpose::Answer
    }

    /// Takes all asks back; returns whether one for the answer may have reached its node.
    pub(crate) fn give_up(self) -> bool {
        let sent = |(_, purpose, pending): (NodeId, Purpose, Pending)| {
            pending.give_up() && purpose == Purpose::Answer
        };
        self.0.into_iter().map(sent).fold(false, |any, sent| any | sent)
    }
}
