//! Pushes: admits a push, sends its tickets, and writes its receipt.

use std::sync::Arc;
use std::time::Duration;

use orrery_model::message::{Message, WaitFor};
use orrery_model::{Address, Seq};
use orrery_proto::{common, delivery};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::config::Config;
use crate::error::ApiError;
use crate::limits::COLLECT_GRACE;
use crate::metrics::Metrics;
use crate::push::ticket::{Answer, Place, Sending, Ticket, Told, What};
use crate::push::{Disconnected, Engine, Push, PushReceipt, Target};
use crate::registry::RegistryError;

/// The use case behind every API.
pub(crate) struct Pushes {
    engine: Arc<Engine>,
    metrics: Metrics,
    addresses: Arc<Semaphore>,
    body_bytes: Arc<Semaphore>,
}

impl Pushes {
    pub(crate) fn new(config: &Config, engine: Arc<Engine>, metrics: Metrics) -> Self {
        let permits =
            |max: u32| Arc::new(Semaphore::new((max as usize).clamp(1, Semaphore::MAX_PERMITS)));
        let addresses = permits(config.addresses_in_flight_max);
        let body_bytes = permits(config.body_bytes_in_flight_max);
        Self { engine, metrics, addresses, body_bytes }
    }

    /// Carries out a push: complete against look-ups that begin from now on.
    ///
    /// # Errors
    /// [`ApiError::Exhausted`] when too much is in flight, [`ApiError::Unavailable`] when not every
    /// address could be looked up in time. Then some of the addresses may have received the message.
    ///
    /// The push is in its queues when this returns: pushes to one address go in the order of these
    /// calls, whenever their futures are polled.
    pub(crate) fn push(
        &self,
        push: Push,
        timeout: Duration,
    ) -> impl Future<Output = Result<PushReceipt, ApiError>> + Send + use<> {
        let begun = Instant::now();
        let Push { target, message, wait_for, when_full, stale_ok } = push;
        let wait_written = wait_for == WaitFor::Written;
        let (kind, targets, bytes) = (target.word(), target.len(), message.body.len());
        let span =
            tracing::debug_span!("push", kind, targets, bytes, ?wait_for, stale_ok, trace = Empty);
        let trace = self.engine.trace(&span);
        let sent = self.admit(targets, bytes).map(|admission| {
            let sending = Sending {
                what: what(&target, &message),
                wait_written,
                when_full,
                stale_ok,
                deadline: begun + timeout,
                span: span.clone(),
                trace,
                _admission: admission,
            };
            self.send(sending, &target)
        });
        let metrics = self.metrics.clone();
        let in_flight = metrics.push_in_flight();
        let receipt = async move {
            let _in_flight = in_flight;
            let result = match sent {
                Ok(answers) => answers.collect().await,
                Err(error) => Err(error),
            };
            let result = result.map(|told| receipt(&target, &told, wait_written));
            let counted = result.as_ref().map(|receipt| &receipt.summary).map_err(ApiError::reason);
            metrics.pushed(target.word(), begun.elapsed(), counted);
            result
        };
        receipt.instrument(span)
    }

    /// Closes connections.
    ///
    /// # Errors
    /// As [`Pushes::push`], and like that it is in its queues when this returns.
    pub(crate) fn disconnect(
        &self,
        target: Target,
        timeout: Duration,
    ) -> impl Future<Output = Result<Disconnected, ApiError>> + Send + use<> {
        let (kind, targets) = (target.word(), target.len());
        let span = tracing::debug_span!("disconnect", kind, targets, trace = Empty);
        let trace = self.engine.trace(&span);
        let sent = self.admit(targets, 0).map(|admission| {
            let sending = Sending {
                what: What::Close(delivery::CloseReason::Kicked),
                wait_written: false,
                when_full: None,
                stale_ok: false,
                deadline: Instant::now() + timeout,
                span: span.clone(),
                trace,
                _admission: admission,
            };
            self.send(sending, &target)
        });
        let told = async move {
            let mut disconnected = Disconnected::default();
            for told in sent?.collect().await? {
                disconnected.address(&told.legs);
            }
            Ok(disconnected)
        };
        told.instrument(span)
    }

    /// Takes a push's share of what may be in flight.
    fn admit(&self, addresses: usize, bytes: usize) -> Result<Vec<OwnedSemaphorePermit>, ApiError> {
        let take = |from: &Arc<Semaphore>, count: usize, reason, what: &str| {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            let what = || ApiError::Exhausted { reason, what: what.to_owned() };
            from.clone().try_acquire_many_owned(count).map_err(|_| what())
        };
        let full = "too many pushes are in flight";
        let heavy = "the pushes in flight are too large together";
        Ok(vec![
            take(&self.addresses, addresses, "ADDRESSES_IN_FLIGHT", full)?,
            take(&self.body_bytes, bytes, "BODY_BYTES_IN_FLIGHT", heavy)?,
        ])
    }

    /// Sends a ticket for each address.
    fn send(&self, sending: Sending, target: &Target) -> Answers {
        let places = places(target);
        let deadline = sending.deadline + COLLECT_GRACE;
        let sending = Arc::new(sending);
        let count = places.len();
        let (answers, answered) = mpsc::channel(count.max(1));
        let tickets = places.into_iter().enumerate().map(|(index, (place, only))| {
            let (sending, answers) = (sending.clone(), answers.clone());
            (place, Ticket { number: 0, index, only, sending, answers })
        });
        self.engine.send(tickets);
        Answers { answered, count, deadline }
    }
}

/// The answers to a push's tickets, as they come.
struct Answers {
    answered: mpsc::Receiver<Answer>,
    count: usize,
    deadline: Instant,
}

impl Answers {
    /// Waits for all of them; returns them in the order of the addresses.
    async fn collect(mut self) -> Result<Vec<Told>, ApiError> {
        let mut told: Vec<Option<Told>> = Vec::new();
        told.resize_with(self.count, || None);
        loop {
            match timeout_at(self.deadline, self.answered.recv()).await {
                Ok(Some(Answer { index, told: Ok(answer) })) => told[index] = Some(answer),
                Ok(Some(Answer { told: Err(error), .. })) => return Err(error),
                // All tickets are gone: answered, or stopped with the service.
                Ok(None) => break,
                Err(_) => return Err(ApiError::registry(&RegistryError::Deadline)),
            }
        }
        let stopping = || ApiError::Unavailable {
            reason: "STOPPING",
            what: "this node stops before the push was answered".to_owned(),
        };
        told.into_iter().collect::<Option<Vec<_>>>().ok_or_else(stopping)
    }
}

/// What the comets of a target are told to do.
fn what(target: &Target, message: &Message) -> What {
    let message = common::Message::from(message);
    match target {
        Target::Addresses(_) | Target::Connections(_) => What::Message(message),
        Target::Room(_) => What::ToRoom(message),
        Target::Everybody { rate, .. } => What::ToAll { message, rate: *rate },
    }
}

/// Where a target's tickets wait, and the one connection each is for.
fn places(target: &Target) -> Vec<(Place, Option<Seq>)> {
    match target {
        Target::Addresses(addresses) => {
            addresses.iter().map(|address| (Place::Address(address.clone()), None)).collect()
        }
        Target::Connections(connections) => {
            let place =
                |(address, seq): &(Address, Seq)| (Place::Address(address.clone()), Some(*seq));
            connections.iter().map(place).collect()
        }
        Target::Room(room) => vec![(Place::Address(room.clone()), None)],
        Target::Everybody { namespace, .. } => vec![(Place::Everybody(namespace.clone()), None)],
    }
}

fn receipt(target: &Target, told: &[Told], wait_written: bool) -> PushReceipt {
    let mut receipt = PushReceipt {
        stale: told.iter().any(|told| told.freshness.stale),
        incomplete: told.iter().any(|told| told.freshness.incomplete),
        ..PushReceipt::default()
    };
    match target {
        Target::Addresses(addresses) => {
            for (address, told) in addresses.iter().zip(told) {
                receipt.address(address.id.as_str(), &told.legs, wait_written);
            }
        }
        Target::Connections(connections) => {
            for ((address, _), told) in connections.iter().zip(told) {
                receipt.address(address.id.as_str(), &told.legs, wait_written);
            }
        }
        Target::Room(_) => {
            for told in told {
                receipt.summary.offline += u32::from(told.legs.is_empty());
                receipt.comets(&told.legs, wait_written);
            }
        }
        Target::Everybody { .. } => {
            for told in told {
                receipt.comets(&told.legs, wait_written);
            }
        }
    }
    receipt
}
