//! Call: asks one request until it is answered, the deadline passes, or asking again cannot help.

use std::sync::Arc;

use orrery_model::{NodeId, ShardId};
use orrery_proto::registry::{Request, response};
use tokio::time::{Instant, sleep_until};

use crate::ask::{Ask, Effect, Next, Verdict, judge, judge_lost, judge_not_taken};
use crate::backoff::Backoff;
use crate::client::Inner;
use crate::error::ClientError;
use crate::limits::{ATTEMPTS_MAX, PAUSE_MAX, PAUSE_MIN, REDIRECTS_MAX, REQUEST_BYTES_MAX};
use crate::outstanding::NotTaken;
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
    last: Option<String>,
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
            last: None,
        }
    }

    /// Asks until the end; gives the answer and the log index it names.
    pub(crate) async fn run(mut self) -> Result<(response::Kind, u64), ClientError> {
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
                self.last = Some("no slot table yet".to_owned());
                break;
            };
            let shard = self.ask.target.shard(&table);
            let Some((id, address)) = self.choose(&table, shard) else { break };
            let verdict = self.attempt(&table, shard, address).await;
            self.in_doubt |= verdict.in_doubt;
            self.last = Some(verdict.detail);
            match verdict.next {
                Next::Done(kind, log_index) => {
                    if !self.ask.any_replica {
                        self.inner.leaders.remember(shard, id);
                    }
                    return Ok((kind, log_index));
                }
                Next::Stop(error) => return Err(self.doubt(error)),
                next => self.turn_to(next, &table, shard, id).await,
            }
        }
        Err(self.out_of_time())
    }

    /// The remembered leader, else one node after the other.
    fn choose<'t>(&mut self, table: &'t Table, shard: ShardId) -> Option<(NodeId, &'t str)> {
        let leader = self.inner.leaders.of(shard).and_then(|leader| table.node(leader));
        let node = leader.or_else(|| {
            // Different shards begin at different nodes: their leaders are spread over them.
            let place = usize::try_from(shard.0).unwrap_or(0).wrapping_add(self.turn);
            self.turn = self.turn.wrapping_add(1);
            table.nodes.get(place.checked_rem(table.nodes.len())?)
        })?;
        Some((node.id, &node.registry))
    }

    async fn attempt(&self, table: &Table, shard: ShardId, address: &str) -> Verdict {
        let now = Instant::now();
        let until = self.deadline.min(now + self.inner.config.attempt_timeout());
        let budget_ms = (until - now).as_millis().max(1);
        let request = Request {
            id: 0,
            shard: shard.0,
            epoch: table.slots.epoch,
            timeout_ms: u32::try_from(budget_ms).unwrap_or(u32::MAX),
            kind: Some(self.ask.kind.clone()),
        };
        let taken = match self.inner.nodes.at(address) {
            Some(node) => node.submit(request),
            None => Err(NotTaken::Closed),
        };
        match taken {
            Err(why) => judge_not_taken(why),
            Ok(pending) => match pending.wait(until).await {
                Ok(answer) => judge(answer),
                Err(lost) => judge_lost(lost),
            },
        }
    }

    /// Prepares the next attempt after one by `asked`.
    async fn turn_to(&mut self, next: Next, table: &Arc<Table>, shard: ShardId, asked: NodeId) {
        match next {
            Next::Redirect(leader) if leader != asked && table.node(leader).is_some() => {
                self.inner.leaders.remember(shard, leader);
                self.redirects += 1;
                if self.redirects > REDIRECTS_MAX {
                    self.pause().await;
                }
            }
            Next::Redirect(leader) if leader != asked => {
                // A node we have not heard of leads: the table has grown.
                self.inner.leaders.forget(shard, asked);
                self.inner.tables.hurry();
                self.pause().await;
            }
            Next::Refresh(epoch) if epoch > table.slots.epoch => {
                let patience = Instant::now() + self.inner.config.attempt_timeout();
                self.inner.tables.at_least(epoch, self.deadline.min(patience)).await;
            }
            Next::Refresh(_) => {
                // The shard is the older one: it learns of its slots in a moment.
                self.pause().await;
            }
            _ => {
                self.redirects = 0;
                self.inner.leaders.forget(shard, asked);
                self.pause().await;
            }
        }
    }

    async fn pause(&mut self) {
        let pause = self.backoff.pause(&*self.inner.host.random);
        sleep_until(self.deadline.min(Instant::now() + pause)).await;
    }

    fn doubt(&self, error: ClientError) -> ClientError {
        error.after(self.in_doubt && self.ask.effect == Effect::Write)
    }

    fn out_of_time(mut self) -> ClientError {
        match self.last.take() {
            Some(detail) => self.doubt(ClientError::Unavailable { detail }),
            None => ClientError::Deadline,
        }
    }
}
