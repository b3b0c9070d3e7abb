//! Proposals: a shard's writes on their way into its log. Commands wait in one bounded queue; a batcher
//! gathers what waits into one entry, stamps it with log time, and keeps a few entries under way.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use orrery_host::{Clock, Trace, trace};
use orrery_model::limits::{BATCH_BYTES_MAX, COMMANDS_PER_BATCH_MAX};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use crate::error::WriteError;
use crate::kind::Kind;
use crate::limits::{CLOCK_TICK, ENTRIES_IN_FLIGHT_MAX, PROPOSALS_WAITING_MAX, TRACES_NAMED_MAX};
use crate::log_clock::LogClock;
use crate::metrics::ShardMetrics;
use crate::raft::group::{Group, Proposed};
use crate::room::Room;
use crate::surroundings::Surroundings;
use crate::view::Views;

/// Bytes that an entry has beside its commands: versions, stamps, ids, and the length of each command.
const ENTRY_OVERHEAD_BYTES: usize = 64;
const COMMAND_OVERHEAD_BYTES: usize = 8;

/// A write that was committed and applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Written<R> {
    /// What applying it answered.
    pub(crate) reply: R,
    /// Index of its entry.
    pub(crate) log_index: u64,
}

type Answer<R> = oneshot::Sender<Result<Written<R>, WriteError>>;

/// Commands of one entry, and who waits for the reply of each.
struct NextEntry<K: Kind> {
    commands: Vec<K::Command>,
    answers: Vec<Answer<K::Reply>>,
    causes: Causes,
}

/// What asked for the commands of an entry, as far as anybody follows that.
#[derive(Default)]
struct Causes {
    spans: Vec<tracing::Id>,
    traces: Vec<Trace>,
}

struct Proposal<K: Kind> {
    command: K::Command,
    bytes: usize,
    /// It must not be written in any other term.
    term: Option<u64>,
    /// What asked for it.
    cause: Span,
    trace: Option<Trace>,
    answer: Answer<K::Reply>,
}

/// The near end of a shard's proposals.
pub(crate) struct Proposals<K: Kind> {
    queue: mpsc::Sender<Proposal<K>>,
    group: Arc<Group>,
    views: Views,
    room: Room,
    metrics: ShardMetrics,
}

/// The far end: to be run by a task.
pub(crate) struct Batcher<K: Kind> {
    queue: mpsc::Receiver<Proposal<K>>,
    waiting: VecDeque<Proposal<K>>,
    group: Arc<Group>,
    wall: Arc<dyn Clock>,
    clock: LogClock,
    /// An empty entry may be written: since the last one that failed, time has passed.
    may_sweep: bool,
    metrics: ShardMetrics,
}

impl<K: Kind> Proposals<K> {
    pub(crate) fn new(
        group: Arc<Group>,
        around: &Surroundings,
        metrics: ShardMetrics,
    ) -> (Self, Batcher<K>) {
        let (near, far) = mpsc::channel(PROPOSALS_WAITING_MAX);
        let batcher = Batcher {
            queue: far,
            waiting: VecDeque::new(),
            group: group.clone(),
            wall: around.host.clock.clone(),
            clock: LogClock::default(),
            may_sweep: false,
            metrics: metrics.clone(),
        };
        let (views, room) = (around.views.clone(), around.room.clone());
        (Self { queue: near, group, views, room, metrics }, batcher)
    }

    /// Writes a command of `bytes` encoded bytes; waits for its reply until `deadline`.
    ///
    /// # Errors
    /// See [`WriteError`]; past the deadline the outcome is unknown.
    pub(crate) async fn write(
        &self,
        command: K::Command,
        bytes: usize,
        deadline: Instant,
    ) -> Result<Written<K::Reply>, WriteError> {
        let kind = K::word(&command);
        let result = self.try_write(command, bytes, deadline).await;
        self.metrics.write(kind, result.as_ref().err());
        result
    }

    /// Writes a command of the node's own: where the queue is full it waits for its turn instead of being
    /// refused, so that what the cluster decided gets in however many clients crowd the shard. With a
    /// `term` it is written in that one or never.
    ///
    /// # Errors
    /// See [`WriteError`]; past the deadline the outcome is unknown.
    pub(crate) async fn write_in_turn(
        &self,
        command: K::Command,
        term: Option<u64>,
        deadline: Instant,
    ) -> Result<Written<K::Reply>, WriteError> {
        let kind = K::word(&command);
        let result = self.wait_and_write(command, term, deadline).await;
        self.metrics.write(kind, result.as_ref().err());
        result
    }

    async fn try_write(
        &self,
        mut command: K::Command,
        bytes: usize,
        deadline: Instant,
    ) -> Result<Written<K::Reply>, WriteError> {
        check_bytes(bytes)?;
        self.admit(&mut command)?;
        // A node that does not lead says so instead, and who does.
        if self.room.is_full() && self.group.leading_term().is_some() {
            return Err(WriteError::DiskFull);
        }
        let (answer, answered) = oneshot::channel();
        let proposal = proposal(command, bytes, None, answer);
        self.queue.try_send(proposal).map_err(|error| match error {
            // It may be full because nothing gets through, which another node can help.
            mpsc::error::TrySendError::Full(_) => {
                self.group.refuses().unwrap_or(WriteError::Overloaded)
            }
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })?;
        answer_of(answered, deadline).await
    }

    /// Keeps out what a replica might not understand: it could never apply the log again.
    fn admit(&self, command: &mut K::Command) -> Result<(), WriteError> {
        if K::protocol(command) <= 1 {
            return Ok(());
        }
        let speaks = self.views.now().protocol;
        K::adapt(command, speaks);
        match K::protocol(command) {
            needs if needs > speaks => Err(WriteError::Unavailable(format!(
                "it needs protocol {needs} and not every node speaks more than {speaks} yet"
            ))),
            _ => Ok(()),
        }
    }

    async fn wait_and_write(
        &self,
        mut command: K::Command,
        term: Option<u64>,
        deadline: Instant,
    ) -> Result<Written<K::Reply>, WriteError> {
        let bytes = K::bytes(&command);
        check_bytes(bytes)?;
        self.admit(&mut command)?;
        let (answer, answered) = oneshot::channel();
        match timeout_at(deadline, self.queue.reserve()).await {
            Ok(Ok(place)) => {
                place.send(proposal(command, bytes, term, answer));
            }
            Ok(Err(_)) => return Err(stopping()),
            Err(_) => return Err(WriteError::Overloaded),
        }
        answer_of(answered, deadline).await
    }
}

/// A proposal of whoever asks just now.
fn proposal<K: Kind>(
    command: K::Command,
    bytes: usize,
    term: Option<u64>,
    answer: Answer<K::Reply>,
) -> Proposal<K> {
    Proposal { command, bytes, term, cause: Span::current(), trace: trace::current(), answer }
}

fn check_bytes(bytes: usize) -> Result<(), WriteError> {
    match bytes + COMMAND_OVERHEAD_BYTES + ENTRY_OVERHEAD_BYTES > BATCH_BYTES_MAX {
        true => Err(WriteError::TooLarge { bytes }),
        false => Ok(()),
    }
}

fn stopping() -> WriteError {
    WriteError::Unavailable("the node is stopping".to_owned())
}

async fn answer_of<R>(
    answered: oneshot::Receiver<Result<Written<R>, WriteError>>,
    deadline: Instant,
) -> Result<Written<R>, WriteError> {
    match timeout_at(deadline, answered).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(WriteError::Unknown("the node is stopping".to_owned())),
        Err(_) => Err(WriteError::Unknown("not committed in time".to_owned())),
    }
}

impl<K: Kind> Batcher<K> {
    /// Runs until the near end is dropped.
    pub(crate) async fn run(mut self) {
        let mut under_way = FuturesUnordered::new();
        let mut ticks = interval(CLOCK_TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut received = Vec::with_capacity(COMMANDS_PER_BATCH_MAX);
        loop {
            let full = under_way.len() == ENTRIES_IN_FLIGHT_MAX;
            // Nobody is asked about an entry while as many are under way, and without a leader or its quorum
            // none of these ends.
            let stuck = full.then(|| self.group.refuses()).flatten();
            if let Some(error) = &stuck {
                self.refuse(error);
            }
            let room = self.waiting.is_empty() && (!full || stuck.is_some());
            tokio::select! {
                // Outcomes first: they make room. Ticks before new work, or under load log time stops.
                biased;
                Some(written) = under_way.next(), if !under_way.is_empty() => {
                    self.may_sweep = written;
                }
                _ = ticks.tick() => {
                    self.elapsed_ms(self.group.leading_term());
                    self.may_sweep = true;
                }
                count = self.queue.recv_many(&mut received, COMMANDS_PER_BATCH_MAX), if room => {
                    if count == 0 {
                        return;
                    }
                    self.waiting.extend(received.drain(..));
                }
            }
            while under_way.len() < ENTRIES_IN_FLIGHT_MAX {
                let idle = under_way.is_empty();
                let term = self.group.leading_term();
                let Some(NextEntry { commands, answers, causes }) = self.next_entry(idle, term)
                else {
                    break;
                };
                let span = self.span(commands.len(), term, causes);
                let proposed = self.propose(commands, term).instrument(span.clone()).await;
                under_way.push(settle::<K>(proposed, answers).instrument(span));
            }
        }
    }

    /// Answers those who wait that nothing was done.
    fn refuse(&mut self, error: &WriteError) {
        for proposal in self.waiting.drain(..) {
            let _ = proposal.answer.send(Err(error.clone()));
        }
    }

    /// The next entry, where there is something to write. An empty one only while nothing else is under
    /// way: it lets the state machine sweep one slice.
    fn next_entry(&mut self, idle: bool, term: Option<u64>) -> Option<NextEntry<K>> {
        let (mut commands, mut answers, mut causes) = (Vec::new(), Vec::new(), Causes::default());
        let mut bytes = ENTRY_OVERHEAD_BYTES;
        while let Some(proposal) = self.waiting.front() {
            let more = proposal.bytes + COMMAND_OVERHEAD_BYTES;
            if commands.len() == COMMANDS_PER_BATCH_MAX || bytes + more > BATCH_BYTES_MAX {
                break;
            }
            let proposal = self.waiting.pop_front().expect("there is a front");
            if proposal.term.is_some() && proposal.term != term {
                let leader = self.group.leader();
                let _ = proposal.answer.send(Err(WriteError::NotLeader { leader }));
                continue;
            }
            // Whoever asked has given up: it knows nothing of the outcome, so none is as good as any.
            if !proposal.answer.is_closed() {
                bytes += more;
                causes.spans.extend(proposal.cause.id());
                causes.traces.extend(proposal.trace);
                commands.push(proposal.command);
                answers.push(proposal.answer);
            }
        }
        let sweep = || idle && self.may_sweep && term.is_some() && self.group.replica().sweep_due();
        (!commands.is_empty() || sweep()).then_some(NextEntry { commands, answers, causes })
    }

    /// The span of an entry, from here until it is applied; follows from all that it was asked for by.
    fn span(&self, commands: usize, term: Option<u64>, causes: Causes) -> Span {
        let shard = self.group.shard();
        let span =
            tracing::debug_span!("entry", %shard, commands, term, index = Empty, traces = Empty);
        for cause in causes.spans {
            span.follows_from(cause);
        }
        if !causes.traces.is_empty() {
            let traces = causes.traces.iter().take(TRACES_NAMED_MAX);
            let traces: Vec<_> = traces.map(|trace| trace.id().to_string()).collect();
            span.record("traces", traces.join(" "));
        }
        span
    }

    /// Hands an entry to the core. Its stamp is of this term, and so is what was judged for it: in another
    /// one it is not written.
    async fn propose(&mut self, commands: Vec<K::Command>, term: Option<u64>) -> Proposed {
        self.metrics.entry_commands.observe(commands.len() as f64);
        let elapsed_ms = self.elapsed_ms(term);
        let payload = K::payload(elapsed_ms, self.wall.wall_ms(), commands);
        self.group.propose(payload, term).await
    }

    fn elapsed_ms(&mut self, term: Option<u64>) -> u64 {
        let applied = self.group.replica().elapsed_ms();
        self.clock.elapsed_ms(Instant::now(), term, applied)
    }
}

/// Waits for an entry's outcome and answers each of its commands. Says whether it was written.
async fn settle<K: Kind>(proposed: Proposed, answers: Vec<Answer<K::Reply>>) -> bool {
    let outcome = proposed.outcome().await.and_then(|(log_index, replies)| {
        let replies = K::replies(replies).filter(|replies| replies.len() == answers.len());
        let unanswered = || WriteError::Unknown("the state machine gave no replies".to_owned());
        Ok((log_index, replies.ok_or_else(unanswered)?))
    });
    let written = outcome.is_ok();
    if let Ok((log_index, _)) = &outcome {
        Span::current().record("index", *log_index);
    }
    // Who does not wait any more needs no answer.
    match outcome {
        Ok((log_index, replies)) => {
            for (answer, reply) in answers.into_iter().zip(replies) {
                let _ = answer.send(Ok(Written { reply, log_index }));
            }
        }
        Err(error) => {
            for answer in answers {
                let _ = answer.send(Err(error.clone()));
            }
        }
    }
    written
}
