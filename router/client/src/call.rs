//! Call: asks one request until it is answered, the deadline passes, or asking again cannot help.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use orrery_host::trace;
use orrery_model::ShardId;
use orrery_model::cluster::Node;
use orrery_proto::registry::{Request, request, response};
use tokio::time::{Instant, sleep_until};
use tracing::Instrument as _;

use crate::ask::{Ask, Effect, Next, Verdict, judge, judge_lost, judge_not_taken};
use crate::backoff::Backoff;
use crate::client::Inner;
use crate::error::ClientError;
use crate::flights::{Flights, Landing, Purpose};
use crate::limits::{
    ATTEMPTS_MAX, HEDGE_PAUSE_MAX, HEDGE_PAUSE_MIN, PAUSE_MAX, PAUSE_MIN, REDIRECTS_MAX,
    REQUEST_BYTES_MAX,
};
use crate::outstanding::{NotTaken, Pending};
use crate::table::Table;

/// A request on its way through attempts.
pub(crate) struct Call<'a> {
    inner: &'a Inner,
    ask: &'a Ask,
    deadline: Instant,
    backoff: Backoff,
    redirects: u32,
    /// Counts the nodes tried without knowing the leader, to try another one each time.
    turn: usize,
    /// Some attempt may have taken effect.
    in_doubt: bool,
    /// How often the request itself was sent.
    sent: u32,
    last: Option<Cow<'static, str>>,
}

/// A request that was answered.
pub(crate) struct Answered {
    pub(crate) kind: response::Kind,
    /// The log index that the answer names.
    pub(crate) log_index: u64,
    /// How often it was sent.
    pub(crate) sent: u32,
}

/// One attempt: where, and how long it may take. Whoever else is asked is looked up in the newest table: while a
/// node is silent, nodes may come that the table did not name when the attempt began.
struct Attempt<'t> {
    /// Of the table that named the shard.
    epoch: u64,
    shard: ShardId,
    node: &'t Node,
    until: Instant,
}

impl<'a> Call<'a> {
    pub(crate) fn new(inner: &'a Inner, ask: &'a Ask, deadline: Instant) -> Self {
        Self {
            inner,
            ask,
            deadline,
            backoff: Backoff::new(PAUSE_MIN, PAUSE_MAX),
            redirects: 0,
            turn: 0,
            in_doubt: false,
            sent: 0,
            last: None,
        }
    }

    /// Asks until the end.
    pub(crate) async fn run(self) -> Result<Answered, ClientError> {
        let (metrics, effect) = (&self.inner.metrics, self.ask.effect);
        let result = self.ask_until_known().await;
        metrics.call(effect, &result);
        result
    }

    async fn ask_until_known(mut self) -> Result<Answered, ClientError> {
        let bytes = self.ask.kind.encoded_len();
        if bytes > REQUEST_BYTES_MAX {
            let detail = format!("{bytes} bytes are more than {REQUEST_BYTES_MAX}");
            return Err(ClientError::Invalid { detail });
        }
        for _ in 0..ATTEMPTS_MAX {
            if Instant::now() >= self.deadline {
                break;
            }
            let Some(table) = self.inner.tables.first(self.deadline).await else {
                self.last = Some("no slot table yet".into());
                break;
            };
            let shard = self.ask.target.shard(&table);
            let Some(node) = self.choose(&table, shard) else {
                self.last.get_or_insert("nobody is known to lead the shard".into());
                self.pause(shard).await;
                continue;
            };
            let until = self.deadline.min(Instant::now() + self.inner.config.attempt_timeout());
            let attempt = Attempt { epoch: table.slots.epoch, shard, node, until };
            let effect = self.ask.effect.word();
            let span = tracing::debug_span!("attempt", %shard, node = %node.id, effect);
            let verdict = self.attempt(&attempt).instrument(span).await;
            self.in_doubt |= verdict.in_doubt;
            self.last = Some(verdict.detail);
            match verdict.next {
                Next::Done(kind, log_index) => {
                    return Ok(Answered { kind, log_index, sent: self.sent });
                }
                Next::Stop(error) => return Err(self.doubt(error)),
                next => self.turn_to(next, &table, shard, node).await,
            }
        }
        Err(self.out_of_time())
    }

    /// The remembered leader, else one node after the other; `None` while somebody else asks around.
    fn choose<'t>(&mut self, table: &'t Table, shard: ShardId) -> Option<&'t Node> {
        if let Some(leader) = self.inner.leaders.of(shard) {
            match table.node(leader) {
                Some(node) => return Some(node),
                // It left the cluster, and whoever is named next takes its place.
                None => self.inner.leaders.forget(shard, leader),
            }
        }
        if self.ask.any_replica || self.inner.leaders.may_scout(shard) {
            return self.next_node(table, shard);
        }
        None
    }

    /// Another node each time. Different shards begin at different nodes: their leaders are spread.
    fn next_node<'t>(&mut self, table: &'t Table, shard: ShardId) -> Option<&'t Node> {
        if self.turn >= table.nodes.len() {
            // Nobody knows a leader: maybe others do that the table does not name.
            self.inner.tables.hurry();
        }
        let place = usize::try_from(shard.0).unwrap_or(0).wrapping_add(self.turn);
        self.turn = self.turn.wrapping_add(1);
        table.nodes.get(place.checked_rem(table.nodes.len())?)
    }

    /// Asks a node, and others as well when it does not answer soon.
    async fn attempt(&mut self, attempt: &Attempt<'_>) -> Verdict {
        let mut flights = Flights::default();
        let first = self.submit(attempt, attempt.node, self.ask.kind.clone());
        match first {
            Ok(pending) => {
                self.sent += 1;
                flights.add(attempt.node.id, Purpose::Answer, pending);
            }
            Err(why) => return self.judged(judge_not_taken(why)),
        }
        let mut wake = Instant::now() + self.inner.config.hedge();
        loop {
            match flights.next(wake.min(attempt.until)).await {
                Some(landing) => {
                    if let Some(verdict) = self.land(attempt, &mut flights, landing) {
                        return verdict;
                    }
                }
                None if Instant::now() >= attempt.until => {
                    let sent = flights.give_up();
                    return self.judged(Verdict {
                        next: Next::Elsewhere,
                        in_doubt: sent,
                        detail: "no answer in time".into(),
                        outcome: "silent",
                    });
                }
                None => {
                    self.hedge(attempt, &mut flights);
                    wake = Instant::now() + self.draw(HEDGE_PAUSE_MIN, HEDGE_PAUSE_MAX);
                }
            }
        }
    }

    /// Judges an ask that ended. The attempt's verdict, unless others are still under way.
    fn land(
        &mut self,
        attempt: &Attempt<'_>,
        flights: &mut Flights,
        Landing { node, purpose, result }: Landing,
    ) -> Option<Verdict> {
        let mut verdict = self.judged(match result {
            Ok(answer) => judge(answer),
            Err(lost) => judge_lost(lost),
        });
        let mut named = None;
        match (&verdict.next, purpose) {
            (Next::Done(..), Purpose::Answer) => {
                if !self.ask.any_replica {
                    self.inner.leaders.remember(attempt.shard, node);
                }
                return Some(verdict);
            }
            (Next::Done(..), Purpose::Probe) => {
                self.inner.leaders.remember(attempt.shard, node);
                named = Some(node);
                // What it found is not what was asked for.
                verdict.next = Next::Found;
            }
            (Next::Stop(ClientError::Invalid { .. }), Purpose::Answer) => {
                // Whoever else was asked may be of a build that takes it.
                verdict.in_doubt |= std::mem::take(flights).give_up();
                return Some(verdict);
            }
            (Next::Redirect(leader), _) => named = Some(*leader),
            // It judged by its own log, so it most likely leads.
            (Next::Refresh(_), Purpose::Answer) if !self.ask.any_replica => {
                self.inner.leaders.hear(attempt.shard, node, node);
            }
            _ => {}
        }
        if purpose == Purpose::Probe {
            verdict.in_doubt = false;
            if let Next::Stop(_) = verdict.next {
                verdict.next = Next::Elsewhere;
            }
        }
        if flights.is_empty() {
            return Some(verdict);
        }
        self.in_doubt |= verdict.in_doubt;
        let leader = named.filter(|leader| !flights.awaits(*leader))?;
        let table = self.inner.tables.newest()?;
        let Some(leader) = table.node(leader) else {
            // A node we have not heard of leads. It is named again when the table has grown.
            self.inner.tables.hurry();
            return None;
        };
        if self.inner.leaders.hear(attempt.shard, node, leader.id) {
            self.inner.metrics.redirect();
            self.in_doubt |= flights.make_room();
            self.ask_too(attempt, flights, leader, Purpose::Answer);
        }
        None
    }

    /// Asks another node while the first one is silent: whoever is known to lead by now; for a read that
    /// any replica may answer, the next one; else one caller of the shard asks who leads.
    fn hedge(&mut self, attempt: &Attempt<'_>, flights: &mut Flights) {
        // One that is silent too must not keep the others from being asked.
        self.in_doubt |= flights.make_room();
        let Some(table) = self.inner.tables.newest() else { return };
        let leader = self.inner.leaders.of(attempt.shard).filter(|leader| !flights.awaits(*leader));
        if let Some(leader) = leader.and_then(|leader| table.node(leader)) {
            return self.ask_too(attempt, flights, leader, Purpose::Answer);
        }
        if !self.ask.any_replica && !self.inner.leaders.may_scout(attempt.shard) {
            return;
        }
        for _ in 0..table.nodes.len() {
            let Some(node) = self.next_node(&table, attempt.shard) else { return };
            if !flights.asks(node.id) {
                let purpose = match self.ask.effect {
                    Effect::Read => Purpose::Answer,
                    Effect::Write => Purpose::Probe,
                };
                return self.ask_too(attempt, flights, node, purpose);
            }
        }
    }

    fn ask_too(
        &mut self,
        attempt: &Attempt<'_>,
        flights: &mut Flights,
        node: &Node,
        purpose: Purpose,
    ) {
        let (kind, label) = match (purpose, self.ask.effect) {
            (Purpose::Probe, _) => (self.ask.probe(), "probe"),
            (Purpose::Answer, Effect::Read) => (self.ask.kind.clone(), "read"),
            (Purpose::Answer, Effect::Write) => (self.ask.kind.clone(), "write"),
        };
        self.inner.metrics.hedge(label);
        // A node that takes nothing is one less to hope for.
        if let Ok(pending) = self.submit(attempt, node, kind) {
            self.sent += u32::from(purpose == Purpose::Answer);
            flights.add(node.id, purpose, pending);
        }
    }

    fn submit(
        &self,
        attempt: &Attempt<'_>,
        node: &Node,
        kind: request::Kind,
    ) -> Result<Pending, NotTaken> {
        let budget_ms = (attempt.until - Instant::now()).as_millis().max(1);
        let request = Request {
            id: 0,
            shard: attempt.shard.0,
            epoch: attempt.epoch,
            timeout_ms: u32::try_from(budget_ms).unwrap_or(u32::MAX),
            kind: Some(kind),
            traceparent: trace::current().map(|trace| trace.to_string()).unwrap_or_default(),
        };
        match self.inner.nodes.at(&node.registry) {
            Some(node) => node.submit(request),
            None => Err(NotTaken::Closed),
        }
    }

    fn judged(&self, verdict: Verdict) -> Verdict {
        self.inner.metrics.attempt(verdict.outcome);
        verdict
    }

    /// Prepares the next attempt after one that began at `asked`.
    async fn turn_to(&mut self, next: Next, table: &Arc<Table>, shard: ShardId, asked: &Node) {
        let leaders = &self.inner.leaders;
        match next {
            Next::Redirect(leader) if leader == asked.id => {
                leaders.forget(shard, asked.id);
                self.pause(shard).await;
            }
            Next::Redirect(leader) if table.node(leader).is_none() => {
                // A node we have not heard of leads: the table has grown.
                leaders.forget(shard, asked.id);
                self.inner.tables.hurry();
                self.pause(shard).await;
            }
            Next::Redirect(leader) => {
                leaders.hear(shard, asked.id, leader);
                self.inner.metrics.redirect();
                self.redirects += 1;
                if leaders.of(shard).is_none() || self.redirects > REDIRECTS_MAX {
                    self.pause(shard).await;
                }
            }
            Next::Found => self.inner.metrics.redirect(),
            Next::Refresh(epoch) if epoch > table.slots.epoch => {
                let patience = Instant::now() + self.inner.config.attempt_timeout();
                self.inner.tables.at_least(epoch, self.deadline.min(patience)).await;
            }
            Next::Refresh(_) => {
                // The shard is the older one: it learns of its slots in a moment.
                let pause = self.backoff.pause(&*self.inner.host.random);
                sleep_until(self.deadline.min(Instant::now() + pause)).await;
            }
            Next::Done(..) | Next::Stop(_) | Next::Elsewhere => {
                self.redirects = 0;
                leaders.forget(shard, asked.id);
                self.pause(shard).await;
            }
        }
    }

    /// Waits a little, or until somebody else learns who leads.
    async fn pause(&mut self, shard: ShardId) {
        let pause = self.backoff.pause(&*self.inner.host.random);
        self.inner.leaders.learned(shard, self.deadline.min(Instant::now() + pause)).await;
    }

    fn draw(&self, min: Duration, max: Duration) -> Duration {
        let spread = u64::try_from((max - min).as_micros()).unwrap_or(u64::MAX);
        min + Duration::from_micros(self.inner.host.random.below(spread + 1))
    }

    fn doubt(&self, error: ClientError) -> ClientError {
        error.after(self.in_doubt && self.ask.effect == Effect::Write)
    }

    fn out_of_time(mut self) -> ClientError {
        match self.last.take() {
            Some(detail) => self.doubt(ClientError::Unavailable { detail: detail.into_owned() }),
            None => ClientError::Deadline,
        }
    }
}
