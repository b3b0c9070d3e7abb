//! Ticket: a push's place in the queue of one address.

use std::sync::Arc;

use orrery_host::Trace;
use orrery_model::message::WhenFull;
use orrery_model::{Address, CometRef, Conn, Id, Seq};
use orrery_proto::{common, delivery};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;
use tracing::Span;

use crate::error::ApiError;
use crate::push::legs::Leg;

/// Where a ticket waits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// In the queue of an address.
    Address(Address),
    /// In the queue of a namespace's broadcasts.
    Everybody(Option<Id>),
}

/// What all tickets of one push have in common.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) what: What,
    pub(super) wait_written: bool,
    pub(super) when_full: Option<WhenFull>,
    pub(super) stale_ok: bool,
    pub(super) deadline: Instant,
    /// The span of the push, and its trace where anybody follows it.
    pub(super) span: Span,
    pub(super) trace: Option<Trace>,
    /// Its share of what may be in flight, given back with the last ticket.
    pub(super) _admission: Vec<OwnedSemaphorePermit>,
}

/// What a comet is told to do.
#[derive(Debug)]
pub(super) enum What {
    /// Give a message to connections.
    Message(common::Message),
    /// Give a message to the members of a room.
    ToRoom(common::Message),
    /// Give a message to everybody.
    ToAll {
        message: common::Message,
        /// Connections per second over the whole cluster; 0 is no limit.
        rate: u32,
    },
    /// Close connections.
    Close(delivery::CloseReason),
}

impl What {
    /// Whether it goes to comets as a whole, not to connections.
    pub(super) fn is_for_comets(&self) -> bool {
        matches!(self, Self::ToRoom(_) | Self::ToAll { .. })
    }
}

/// A push's place in one queue.
#[derive(Debug)]
pub(super) struct Ticket {
    /// The push's number: pushes leave for a comet in this order. Given on entering the queues.
    pub(super) number: u64,
    /// Which of the push's addresses this is.
    pub(super) index: usize,
    /// The one connection it is for; all of the address's where absent.
    pub(super) only: Option<Seq>,
    pub(super) sending: Arc<Sending>,
    pub(super) answers: mpsc::Sender<Answer>,
}

/// What became of a ticket.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) index: usize,
    pub(super) told: Result<Told, ApiError>,
}

/// A ticket that was looked up.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// One for each connection (or comet, of a room); none: nobody is there.
    pub(super) legs: Vec<Leg>,
    pub(super) freshness: Freshness,
}

/// How good a look-up was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Freshness {
    /// It was allowed to be stale.
    pub(super) stale: bool,
    /// The list of comets could not be confirmed.
    pub(super) incomplete: bool,
}

/// Where something can be delivered: a connection, or (of rooms and broadcasts) a comet as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) comet: CometRef,
    pub(super) conn: Conn,
    pub(super) seq: Seq,
}

impl Spot {
    /// A comet as a whole.
    pub(super) fn whole(comet: CometRef) -> Self {
        Self { comet, conn: Conn(0), seq: Seq(0) }
    }
}

impl Ticket {
    pub(super) fn expired(&self, now: Instant) -> bool {
        self.sending.deadline <= now
    }

    /// Ends the ticket.
    pub(super) fn answer(&self, told: Result<Told, ApiError>) {
        // There is a place for each of the push's tickets; a caller that left wants no answer.
        let _ = self.answers.try_send(Answer { index: self.index, told });
    }
}
