//! Proposals: a shard's writes on their way into its log. Commands wait in one bounded queue; a batcher
//! gathers what waits into one entry, stamps it with log time, and keeps a few entries under way.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use orrery_host::Clock;
use orrery_model::command::{Batch, Command, Reply};
use orrery_model::control::{ControlBatch, ControlCommand, ControlReply};
use orrery_model::limits::{BATCH_BYTES_MAX, COMMANDS_PER_BATCH_MAX};
use orrery_proto::registry as wire;
use prost::Message as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use crate::error::WriteError;
use crate::limits::{CLOCK_TICK, ENTRIES_IN_FLIGHT_MAX, PROPOSALS_WAITING_MAX};
use crate::log_clock::LogClock;
use crate::metrics::ShardMetrics;
use crate::raft::group::{Group, Proposed};
use crate::raft::types::{Payload, Replies};

/// Bytes that an entry has beside its commands: versions, stamps, ids, and the length of each command.
const ENTRY_OVERHEAD_BYTES: usize = 64;
const COMMAND_OVERHEAD_BYTES: usize = 8;

/// The two kinds of shards: what their logs hold and answer.
pub(crate) trait Kind: Send + Sync + 'static {
    /// A command.
    type Command: Send + 'static;
    /// Its reply.
    type Reply: Send + 'static;

    /// An entry of these commands.
    fn payload(elapsed_ms: u64, wall_ms: u64, commands: Vec<Self::Command>) -> Payload;
    /// The replies of such an entry.
    fn replies(replies: Replies) -> Option<Vec<Self::Reply>>;
    /// Encoded length of a command.
    fn bytes(command: &Self::Command) -> usize;
}

/// A data shard: routes.
pub(crate) struct Data;

/// The control shard: the cluster.
pub(crate) struct Control;

impl Kind for Data {
    type Command = Command;
    type Reply = Reply;

    fn payload(elapsed_ms: u64, wall_ms: u64, commands: Vec<Command>) -> Payload {
        Payload::Data(Arc::new(Batch { elapsed_ms, wall_ms, commands }))
    }

    fn replies(replies: Replies) -> Option<Vec<Reply>> {
        match replies {
            Replies::Data(replies) => Some(replies),
            _ => None,
        }
    }

    fn bytes(command: &Command) -> usize {
        wire::Command::from(command).encoded_len()
    }
}

impl Kind for Control {
    type Command = ControlCommand;
    type Reply = ControlReply;

    fn payload(elapsed_ms: u64, wall_ms: u64, commands: Vec<ControlCommand>) -> Payload {
        Payload::Control(Arc::new(ControlBatch { elapsed_ms, wall_ms, commands }))
    }

    fn replies(replies: Replies) -> Option<Vec<ControlReply>> {
        match replies {
            Replies::Control(replies) => Some(replies),
            _ => None,
        }
    }

    fn bytes(command: &ControlCommand) -> usize {
        wire::ControlCommand::from(command).encoded_len()
    }
}

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
}

struct Proposal<K: Kind> {
    command: K::Command,
    bytes: usize,
    answer: Answer<K::Reply>,
}

/// The near end of a shard's proposals.
pub(crate) struct Proposals<K: Kind> {
    queue: mpsc::Sender<Proposal<K>>,
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
        wall: Arc<dyn Clock>,
        metrics: ShardMetrics,
    ) -> (Self, Batcher<K>) {
        let (near, far) = mpsc::channel(PROPOSALS_WAITING_MAX);
        let batcher = Batcher {
            queue: far,
            waiting: VecDeque::new(),
            group,
            wall,
            clock: LogClock::default(),
            may_sweep: false,
            metrics: metrics.clone(),
        };
        (Self { queue: near, metrics }, batcher)
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
        let result = self.try_write(command, bytes, deadline).await;
        self.metrics.write(result.as_ref().err());
        result
    }

    /// Writes a command of the node's own: where the queue is full it waits for its turn instead of being
    /// refused, so that what the cluster decided gets in however many clients crowd the shard.
    ///
    /// # Errors
    /// See [`WriteError`]; past the deadline the outcome is unknown.
    pub(crate) async fn write_in_turn(
        &self,
        command: K::Command,
        deadline: Instant,
    ) -> Result<Written<K::Reply>, WriteError> {
        let result = self.wait_and_write(command, deadline).await;
        self.metrics.write(result.as_ref().err());
        result
    }

    async fn try_write(
        &self,
        command: K::Command,
        bytes: usize,
        deadline: Instant,
    ) -> Result<Written<K::Reply>, WriteError> {
        check_bytes(bytes)?;
        let (answer, answered) = oneshot::channel();
        self.queue.try_send(Proposal { command, bytes, answer }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => WriteError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })?;
        answer_of(answered, deadline).await
    }

    async fn wait_and_write(
        &self,
        command: K::Command,
        deadline: Instant,
    ) -> Result<Written<K::Reply>, WriteError> {
        let bytes = K::bytes(&command);
        check_bytes(bytes)?;
        let (answer, answered) = oneshot::channel();
        match timeout_at(deadline, self.queue.reserve()).await {
            Ok(Ok(place)) => place.send(Proposal { command, bytes, answer }),
            Ok(Err(_)) => return Err(stopping()),
            Err(_) => return Err(WriteError::Overloaded),
        }
        answer_of(answered, deadline).await
    }
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
            let room = under_way.len() < ENTRIES_IN_FLIGHT_MAX && self.waiting.is_empty();
            tokio::select! {
                // Outcomes first: they make room. Ticks before new work, or under load log time stops.
                biased;
                Some(written) = under_way.next(), if !under_way.is_empty() => {
                    self.may_sweep = written;
                }
                _ = ticks.tick() => {
                    self.elapsed_ms();
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
                let Some(NextEntry { commands, answers }) = self.next_entry(idle) else { break };
                let proposed = self.propose(commands).await;
                under_way.push(settle::<K>(proposed, answers));
            }
        }
    }

    /// The next entry, where there is something to write. An empty one only while nothing else is under
    /// way: it lets the state machine sweep one slice.
    fn next_entry(&mut self, idle: bool) -> Option<NextEntry<K>> {
        let (mut commands, mut answers) = (Vec::new(), Vec::new());
        let mut bytes = ENTRY_OVERHEAD_BYTES;
        while let Some(proposal) = self.waiting.front() {
            let more = proposal.bytes + COMMAND_OVERHEAD_BYTES;
            if commands.len() == COMMANDS_PER_BATCH_MAX || bytes + more > BATCH_BYTES_MAX {
                break;
            }
            let proposal = self.waiting.pop_front().expect("there is a front");
            // Whoever asked has given up: it knows nothing of the outcome, so none is as good as any.
            if !proposal.answer.is_closed() {
                bytes += more;
                commands.push(proposal.command);
                answers.push(proposal.answer);
            }
        }
        let sweep = || {
            let leads = || self.group.leading_term().is_some();
            idle && self.may_sweep && leads() && self.group.replica().sweep_due()
        };
        (!commands.is_empty() || sweep()).then_some(NextEntry { commands, answers })
    }

    async fn propose(&mut self, commands: Vec<K::Command>) -> Proposed {
        self.metrics.entry_commands.observe(commands.len() as f64);
        let elapsed_ms = self.elapsed_ms();
        self.group.propose(K::payload(elapsed_ms, self.wall.wall_ms(), commands)).await
    }

    fn elapsed_ms(&mut self) -> u64 {
        let (term, applied) = (self.group.leading_term(), self.group.replica().elapsed_ms());
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
