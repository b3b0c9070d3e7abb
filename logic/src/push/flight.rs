//! Flight: groups that were looked up, on their way to their comets and back. Passes the turn of each
//! address on as soon as its connections have answered, and looks up again, once, what a comet did not
//! have.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use orrery_model::CometRef;
use orrery_model::message::{Delivered, DropReason};
use orrery_proto::delivery::{Deliver, Outcome, Receipt};
use seeded_bugs::Bug;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tracing::Instrument as _;

use crate::comets;
use crate::deliver::{Awaited, DeliverError};
use crate::limits::{RESOLVE_MAX, RETRY_WAIT_MAX, TURN_MAX};
use crate::push::engine::{Engine, Turn};
use crate::push::legs::{End, Journey};
use crate::push::look_up::{Cause, Found};
use crate::push::parcels::{Label, LegName, Parcel, Parcels};
use crate::push::ticket::{Freshness, Place, Spot};
use crate::registry::RegistryError;

/// A group in the air.
struct Flying {
    place: Place,
    journeys: Vec<Journey>,
    second: SecondLookUp,
    /// The turn of its place, until it is passed on.
    turn: Option<Turn>,
}

/// How far a group's only second look-up is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SecondLookUp {
    NotYet,
    UnderWay,
    Done,
}

/// What happened to a flight.
enum Step {
    /// A comet was given its parcels.
    Sent(Vec<(Label, Sent)>),
    /// A comet answered a parcel, or did not.
    Answered(Vec<LegName>, Option<Receipt>),
    /// A group was looked up again.
    Found(usize, Result<(Vec<Spot>, Freshness), RegistryError>),
}

/// What became of handing over a parcel.
enum Sent {
    Awaiting(Awaited),
    Ended(End),
}

/// Groups that travel together.
pub(super) struct Flight {
    engine: Arc<Engine>,
    groups: Vec<Flying>,
    steps: FuturesUnordered<BoxFuture<'static, Step>>,
    /// When the turns are over. From then on nothing is sent any more, because later pushes may be on
    /// their way.
    turn_end: Instant,
    turn_over: bool,
    /// What a comet did not have is looked up again, whoever else has not answered yet.
    hurry: bool,
}

impl Flight {
    pub(super) fn new(engine: Arc<Engine>, found: Vec<(Turn, Found)>) -> Self {
        let fly = |(turn, Found { group, spots, freshness }): (Turn, Found)| Flying {
            journeys: group
                .tickets
                .into_iter()
                .map(|ticket| Journey::new(ticket, &spots, freshness))
                .collect(),
            place: group.place,
            second: SecondLookUp::NotYet,
            turn: Some(turn),
        };
        Self {
            engine,
            groups: found.into_iter().map(fly).collect(),
            steps: FuturesUnordered::new(),
            turn_end: Instant::now() + TURN_MAX,
            turn_over: false,
            hurry: false,
        }
    }

    /// Flies until every ticket is answered and every turn passed on.
    pub(super) async fn run(mut self) {
        let all = self.groups.iter().enumerate().flat_map(|(group, flying)| {
            let legs = |(ticket, journey): (usize, &Journey)| {
                (0..journey.legs.len()).map(move |leg| LegName { group, ticket, leg })
            };
            flying.journeys.iter().enumerate().flat_map(legs).collect::<Vec<_>>()
        });
        let all = all.collect();
        self.send(all);
        self.settle();
        let turn = sleep_until(self.turn_end);
        let patience = sleep(RETRY_WAIT_MAX);
        tokio::pin!(turn, patience);
        while !self.steps.is_empty() {
            tokio::select! {
                biased;
                Some(step) = self.steps.next() => {
                    let mut steps = VecDeque::from([step]);
                    // What is ready together is settled together, so that turns pass on together.
                    while let Some(Some(step)) = self.steps.next().now_or_never() {
                        steps.push_back(step);
                    }
                    for step in steps {
                        self.take(step);
                    }
                    self.settle();
                }
                () = &mut patience, if !self.hurry => {
                    self.hurry = true;
                    self.settle();
                }
                () = &mut turn, if !self.turn_over => {
                    self.turn_over = true;
                    self.settle();
                }
            }
        }
    }

    /// Sends legs to their comets.
    fn send(&mut self, legs: Vec<LegName>) {
        let mut parcels = Parcels::default();
        for name in legs {
            let flying = &self.groups[name.group];
            let rate = |comet: &CometRef, all| self.engine.rate(comet, all);
            parcels.pack(name, &flying.place, &flying.journeys[name.ticket], rate);
        }
        for (comet, parcels) in parcels.unpack() {
            let hand_over = hand_over(self.engine.clone(), comet, parcels, self.turn_end);
            self.steps.push(hand_over.map(Step::Sent).boxed());
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Sent(parcels) => {
                for (label, sent) in parcels {
                    match sent {
                        Sent::Awaiting(awaited) => {
                            let answer = timeout_at(label.deadline, awaited);
                            let legs = label.legs;
                            label.span.record("targets", legs.len());
                            let step = |answer: Result<Result<Receipt, _>, _>| {
                                Step::Answered(legs, answer.ok().and_then(Result::ok))
                            };
                            self.steps.push(answer.map(step).instrument(label.span).boxed());
                        }
                        Sent::Ended(end) => label.legs.iter().for_each(|name| self.end(*name, end)),
                    }
                }
            }
            Step::Answered(legs, receipt) => self.answered(&legs, receipt),
            Step::Found(group, found) => {
                self.groups[group].second = SecondLookUp::Done;
                match found {
                    // Too late to send anything; what is known stays known.
                    Ok(_) if self.turn_over => {}
                    Ok((spots, _)) => self.send_again(group, &spots),
                    // Those connections were not there.
                    Err(error) => tracing::debug!(%error, "a second look-up failed"),
                }
            }
        }
    }

    /// Sends what was missed to where a second look-up found it.
    fn send_again(&mut self, group: usize, spots: &[Spot]) {
        let mut legs = Vec::new();
        for (ticket, journey) in self.groups[group].journeys.iter_mut().enumerate() {
            if !journey.answered && journey.missed() {
                let travels = journey.again(spots);
                legs.extend(travels.into_iter().map(|leg| LegName { group, ticket, leg }));
            }
        }
        self.send(legs);
    }

    /// Writes a comet's answer to the legs it is about.
    fn answered(&mut self, legs: &[LegName], receipt: Option<Receipt>) {
        for (index, name) in legs.iter().enumerate() {
            let end = match &receipt {
                None if seeded_bugs::is(Bug::SentIsQueued) => End::Connection(Delivered::Queued),
                None => End::Unknown,
                Some(receipt) if receipt.wrong_incarnation => End::NotHere,
                Some(Receipt { tally: Some(tally), .. }) => End::Comet(*tally),
                Some(receipt) => {
                    let outcome = receipt.outcomes.get(index).copied().map(Outcome::try_from);
                    match outcome.and_then(Result::ok).map_or(Delivered::Unknown, Into::into) {
                        Delivered::NotHere => End::NotHere,
                        Delivered::Unknown => End::Unknown,
                        delivered => End::Connection(delivered),
                    }
                }
            };
            self.end(*name, end);
        }
    }

    fn end(&mut self, name: LegName, end: End) {
        self.groups[name.group].journeys[name.ticket].legs[name.leg].end = Some(end);
    }

    /// Answers the tickets that are done, looks up again what was missed, passes on the turns.
    fn settle(&mut self) {
        let mut released = Vec::new();
        for index in 0..self.groups.len() {
            let group = &mut self.groups[index];
            let may_wait = group.second != SecondLookUp::Done && !self.turn_over;
            let mut again = None;
            let mut under_way = false;
            for journey in group.journeys.iter_mut().filter(|journey| !journey.answered) {
                let waits = may_wait && journey.missed();
                if waits {
                    again = again.max(Some(journey.ticket.sending.deadline));
                }
                if journey.under_way() {
                    under_way = true;
                } else if !waits {
                    journey.answer();
                }
            }
            // With others still under way: when they are back, or have taken too long.
            if let Some(deadline) = again
                && group.second == SecondLookUp::NotYet
                && (!under_way || self.hurry)
            {
                group.second = SecondLookUp::UnderWay;
                self.engine.metrics.looked_up_again();
                let waits = |journey: &&Journey| !journey.answered && journey.missed();
                let waiting = group.journeys.iter().filter(waits).map(|journey| &journey.ticket);
                let cause = Cause::of(&group.place, waiting);
                let (engine, place) = (self.engine.clone(), group.place.clone());
                let step = look_up_again(engine, index, place, deadline, cause);
                self.steps.push(step.boxed());
            }
            if !under_way && again.is_none() || self.turn_over {
                released.extend(group.turn.take());
            }
        }
        self.engine.release(released);
    }
}

/// Gives a comet its parcels, all at once.
async fn hand_over(
    engine: Arc<Engine>,
    comet: CometRef,
    parcels: Vec<Parcel>,
    turn_end: Instant,
) -> Vec<(Label, Sent)> {
    let (deliveries, labels): (Vec<Deliver>, Vec<Label>) =
        parcels.into_iter().map(|parcel| (parcel.deliver, parcel.label)).unzip();
    let resolve = Instant::now() + RESOLVE_MAX;
    let latest = labels.iter().map(|label| label.deadline).max();
    let deadline = latest.map_or(resolve, |latest| latest.min(resolve));
    let end = match engine.comets.find(&comet, deadline).await {
        comets::Found::Ended => End::NotHere,
        comets::Found::Unknown => End::Unknown,
        comets::Found::Session(_) if Instant::now() >= turn_end => End::Unknown,
        comets::Found::Session(session) => match session.send(deliveries) {
            Ok(awaited) => {
                return labels.into_iter().zip(awaited.into_iter().map(Sent::Awaiting)).collect();
            }
            Err(DeliverError::Overloaded) => {
                End::Connection(Delivered::Dropped(DropReason::Overloaded))
            }
            Err(DeliverError::Lost) => End::Unknown,
        },
    };
    labels.into_iter().map(|label| (label, Sent::Ended(end))).collect()
}

async fn look_up_again(
    engine: Arc<Engine>,
    group: usize,
    place: Place,
    deadline: Instant,
    cause: Cause,
) -> Step {
    Step::Found(group, engine.look_up().place(&place, false, deadline, cause).await)
}
