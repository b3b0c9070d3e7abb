//! Engine: carries tickets from their queues through look-ups and flights to their answers.

use std::sync::Arc;

use futures_util::stream::FuturesUnordered;
use orrery_host::{Host, Trace, trace};
use orrery_model::CometRef;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::comets::Comets;
use crate::metrics::Metrics;
use crate::online::Online;
use crate::push::flight::Flight;
use crate::push::look_up::{LookUp, gather};
use crate::push::queues::{Group, Queues};
use crate::push::ticket::{Place, Ticket};
use crate::registry::Registry;

/// What moves pushes. Its tasks end by the deadlines of the pushes they carry, or when it is stopped.
pub(crate) struct Engine {
    pub(super) registry: Registry,
    pub(super) comets: Arc<Comets>,
    pub(super) metrics: Metrics,
    online: Online,
    queues: Queues,
    host: Host,
    stopped: CancellationToken,
}

impl Engine {
    pub(crate) fn new(
        registry: Registry,
        comets: Arc<Comets>,
        online: Online,
        metrics: Metrics,
        host: Host,
    ) -> Arc<Self> {
        let queues = Queues::default();
        let stopped = CancellationToken::new();
        Arc::new(Self { registry, comets, metrics, online, queues, host, stopped })
    }

    /// Ends what is under way; those who wait are told that nothing is known.
    pub(crate) fn stop(&self) {
        self.stopped.cancel();
    }

    /// The trace of a push: its caller's where that follows it, else one that begins here.
    pub(super) fn trace(&self, span: &Span) -> Option<Trace> {
        Trace::of(span, trace::current(), &*self.host.random)
    }

    /// Queues the tickets of one push. Never waits.
    pub(super) fn send(self: &Arc<Self>, tickets: impl Iterator<Item = (Place, Ticket)>) {
        let groups = self.queues.enter(tickets);
        self.begin(groups);
    }

    /// Passes turns on, together, to those who wait at their places.
    pub(super) fn release(self: &Arc<Self>, turns: Vec<Turn>) {
        self.pass_on(turns.into_iter().filter_map(Turn::place));
    }

    fn pass_on(self: &Arc<Self>, places: impl Iterator<Item = Place>) {
        let mut groups = self.queues.release(places);
        // Once stopped nobody's turn comes any more: what waits ends here.
        while self.stopped.is_cancelled() && !groups.is_empty() {
            groups = self.queues.release(groups.into_iter().map(|group| group.place));
        }
        self.begin(groups);
    }

    pub(super) fn look_up(&self) -> LookUp<'_> {
        LookUp { registry: &self.registry, comets: &self.comets, queues: &self.queues }
    }

    /// A comet's part of a rate for the whole cluster: as its part of the connections. At least 1, so
    /// that everybody is reached; 0 stays 0, which is no limit.
    pub(super) fn rate(&self, comet: &CometRef, all: u32) -> u32 {
        if all == 0 { 0 } else { self.online.share(&comet.id, all, self.comets.living().len()) }
    }

    fn begin(self: &Arc<Self>, groups: Vec<Group>) {
        if groups.is_empty() {
            return;
        }
        let turn = |group: Group| {
            let turn = Turn { engine: self.clone(), place: Some(group.place.clone()) };
            (turn, group)
        };
        let groups: Vec<_> = groups.into_iter().map(turn).collect();
        // Once stopped nothing is carried any more.
        if !self.stopped.is_cancelled() {
            self.spawn(self.clone().carry(groups));
        }
    }

    async fn carry(self: Arc<Self>, groups: Vec<(Turn, Group)>) {
        let look_up = self.look_up();
        let look_up = |(turn, group)| async { (turn, look_up.group(group).await) };
        let mut look_ups: FuturesUnordered<_> = groups.into_iter().map(look_up).collect();
        loop {
            let flight = Flight::new(self.clone(), gather(&mut look_ups).await);
            if look_ups.is_empty() {
                return flight.run().await;
            }
            self.spawn(flight.run());
        }
    }

    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let stopped = self.stopped.clone();
        let work = async move {
            // Whether it ended by itself does not matter any more.
            let _ = stopped.run_until_cancelled(work).await;
        };
        // Bounded by the deadlines of its tickets; cancelled by `stop`.
        self.host.tasks.spawn("push", work).detach();
    }
}

/// The turn of a place. Its drop passes it on, so that a task that panics leaves no address busy.
pub(super) struct Turn {
    engine: Arc<Engine>,
    place: Option<Place>,
}

impl Turn {
    /// The place, to be passed on by the caller.
    fn place(mut self) -> Option<Place> {
        self.place.take()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.engine.pass_on(std::iter::once(place));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use orrery_model::{Address, Id};
    use orrery_proto::delivery::CloseReason;
    use tokio::sync::mpsc;
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::push::ticket::{Answer, Sending, What};

    fn engine() -> Arc<Engine> {
        let (host, metrics) = (Host::system(), Metrics::new());
        let registry = Registry::new(&[], metrics.clone(), host.clone());
        let hour = Duration::from_secs(3600);
        let comets = Comets::start(hour, registry.clone(), metrics.clone(), &host);
        Engine::new(registry, comets, Online::new(), metrics, host)
    }

    fn ticket(answers: &mpsc::Sender<Answer>) -> (Place, Ticket) {
        let sending = Sending {
            what: What::Close(CloseReason::Kicked),
            wait_written: false,
            when_full: None,
            stale_ok: false,
            deadline: Instant::now() + Duration::from_millis(200),
            span: Span::none(),
            trace: None,
            _admission: Vec::new(),
        };
        let (sending, answers) = (Arc::new(sending), answers.clone());
        let ticket = Ticket { number: 0, index: 0, only: None, sending, answers };
        (Place::Address(Address::user(Id::new("u").unwrap())), ticket)
    }

    /// Takes the turn of an address into a task that does this with it, while a ticket waits behind.
    async fn behind(
        engine: &Arc<Engine>,
        task: impl FnOnce(Turn) + Send + 'static,
    ) -> Option<Answer> {
        let (answers, mut answered) = mpsc::channel(1);
        let (first, _) = mpsc::channel(1);
        let groups = engine.queues.enter(std::iter::once(ticket(&first)));
        let place = groups.into_iter().next().map(|group| group.place);
        let turn = Turn { engine: engine.clone(), place };
        engine.send(std::iter::once(ticket(&answers)));
        drop(answers);
        engine.spawn(async move { task(turn) });
        timeout(Duration::from_secs(10), answered.recv()).await.expect("its turn comes")
    }

    #[tokio::test]
    async fn a_task_that_panics_leaves_no_address_busy() {
        let engine = engine();
        let answer = behind(&engine, |_turn| panic!("a panic on purpose")).await;
        // There is no registry to ask, which is found out only by asking.
        assert!(answer.expect("an answer").told.is_err());
        // The address is idle again.
        let (answers, _) = mpsc::channel(1);
        let place = ticket(&answers).0;
        let idle = async {
            while engine.queues.is_busy(&place) {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), idle).await.expect("the turn is passed on");
    }

    #[tokio::test]
    async fn what_waits_when_the_engine_stops_ends_at_once() {
        let engine = engine();
        let stopped = engine.clone();
        let answer = behind(&engine, move |turn| {
            stopped.stop();
            drop(turn);
        });
        assert!(answer.await.is_none(), "it ends without an answer");
    }
}
