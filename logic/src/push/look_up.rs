//! Look-up: finds where the tickets of a group go. What arrives at the address while a look-up takes
//! long joins the group, and the look-up is begun anew: each push is complete only against one that
//! began after it arrived.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use orrery_host::{Trace, trace};
use orrery_model::Kind;
use tokio::time::{Instant, sleep, timeout};
use tracing::{Instrument as _, Span};

use crate::comets::Comets;
use crate::error::ApiError;
use crate::limits::{GATHER_MAX, LOOK_UP_MAX, LOOK_UP_PAUSE};
use crate::push::queues::{Group, Queues};
use crate::push::ticket::{Freshness, Place, Spot, Ticket};
use crate::registry::{Registry, RegistryError};

/// A group, and where it goes.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) group: Group,
    pub(super) spots: Vec<Spot>,
    pub(super) freshness: Freshness,
}

/// What a look-up is for: its span, and the trace it goes by.
pub(super) struct Cause {
    span: Span,
    trace: Option<Trace>,
}

impl Cause {
    /// Of a look-up for these tickets: a part of what the first one's push does, that the others wait for.
    pub(super) fn of<'a>(place: &Place, mut tickets: impl Iterator<Item = &'a Ticket>) -> Self {
        let none = Self { span: Span::none(), trace: None };
        let Some(first) = tickets.next().filter(|first| !first.sending.span.is_disabled()) else {
            return none;
        };
        let kind = match place {
            Place::Address(address) => address.kind.word(),
            Place::Everybody(_) => "everybody",
        };
        let span = tracing::debug_span!(parent: &first.sending.span, "look_up", kind);
        for ticket in tickets {
            span.follows_from(&ticket.sending.span);
        }
        Self { span, trace: first.sending.trace }
    }
}

/// What looks up.
pub(super) struct LookUp<'a> {
    pub(super) registry: &'a Registry,
    pub(super) comets: &'a Comets,
    pub(super) queues: &'a Queues,
}

impl LookUp<'_> {
    /// Looks a group up until it is found or every ticket's time is over; those are answered here.
    pub(super) async fn group(&self, mut group: Group) -> Found {
        let mut last: Option<RegistryError> = None;
        loop {
            self.queues.join(&mut group);
            expire(&mut group, last.as_ref());
            let Some(latest) = group.tickets.iter().map(|t| t.sending.deadline).max() else {
                return Found { group, spots: Vec::new(), freshness: Freshness::default() };
            };
            let deadline = latest.min(Instant::now() + LOOK_UP_MAX);
            let stale_ok = group.tickets.iter().all(|ticket| ticket.sending.stale_ok);
            let cause = Cause::of(&group.place, group.tickets.iter());
            match self.place(&group.place, stale_ok, deadline, cause).await {
                Ok((spots, freshness)) => {
                    expire(&mut group, None);
                    return Found { group, spots, freshness };
                }
                Err(error) if error.may_retry() => {
                    last = Some(error);
                    sleep(LOOK_UP_PAUSE).await;
                }
                Err(error) => {
                    let error = ApiError::Internal { what: error.to_string() };
                    for ticket in group.tickets.drain(..) {
                        ticket.answer(Err(error.clone()));
                    }
                }
            }
        }
    }

    /// Where a place's connections are now.
    pub(super) async fn place(
        &self,
        place: &Place,
        stale_ok: bool,
        deadline: Instant,
        Cause { span, trace }: Cause,
    ) -> Result<(Vec<Spot>, Freshness), RegistryError> {
        trace::within(trace, self.find(place, stale_ok, deadline)).instrument(span).await
    }

    async fn find(
        &self,
        place: &Place,
        stale_ok: bool,
        deadline: Instant,
    ) -> Result<(Vec<Spot>, Freshness), RegistryError> {
        let address = match place {
            Place::Everybody(_) => return self.everybody(deadline).await,
            Place::Address(address) => address.clone(),
        };
        let kind = address.kind;
        let located = self.registry.locate(address, stale_ok, deadline).await?;
        let spots = match kind {
            Kind::Room => located.comets.into_iter().map(Spot::whole).collect(),
            Kind::User | Kind::Key => {
                let spot = |route: orrery_model::Route| Spot {
                    comet: route.comet,
                    conn: route.conn,
                    seq: route.seq,
                };
                located.routes.into_iter().map(spot).collect()
            }
        };
        Ok((spots, Freshness { stale: stale_ok, incomplete: false }))
    }

    /// All comets. Where the control shard cannot answer, the last known ones, and the receipt says so.
    async fn everybody(&self, deadline: Instant) -> Result<(Vec<Spot>, Freshness), RegistryError> {
        let (comets, incomplete) = match self.comets.fresh(deadline).await {
            Ok(comets) => (comets, false),
            Err(_) if self.comets.is_known() => (self.comets.living(), true),
            Err(error) => return Err(error),
        };
        let spots = comets.iter().map(|living| Spot::whole(living.comet.comet.clone())).collect();
        Ok((spots, Freshness { stale: false, incomplete }))
    }
}

/// Takes the look-ups that are done: all of them, if the slowest is not much slower than the first.
pub(super) async fn gather<F: Future>(look_ups: &mut FuturesUnordered<F>) -> Vec<F::Output> {
    let mut found: Vec<F::Output> = look_ups.next().await.into_iter().collect();
    let rest = async {
        while let Some(next) = look_ups.next().await {
            found.push(next);
        }
    };
    // What is not there by then follows by itself.
    let _ = timeout(GATHER_MAX, rest).await;
    found
}

/// Answers the tickets whose time is over: they were not sent, and never will be.
fn expire(group: &mut Group, last: Option<&RegistryError>) {
    let now = Instant::now();
    group.tickets.retain(|ticket| {
        let expired = ticket.expired(now);
        if expired {
            ticket.answer(Err(ApiError::registry(last.unwrap_or(&RegistryError::Deadline))));
        }
        !expired
    });
}
