//! Connection: what a device says and hears while it is connected.

use std::collections::BTreeSet;
use std::time::Duration;

use judge::history::{Deliver, Joined, Named, Op};
use orrery_sdk::{self as sdk, Event, RequestError, Transport};
use rand::Rng as _;
use tokio::time::{Instant, timeout_at};

use super::{ANSWER_TIMEOUT, Device};
use crate::recorder::{Process, Said};
use crate::workload::bed::Stage;

/// Of so many things that a device does one is a change of its rooms, where its protocol tells the outcome.
const CHANGE_ONE_IN: u32 = 4;

/// A connection of a device.
pub(super) struct Connection {
    pub(super) device: sdk::Device,
    pub(super) transport: Transport,
    pub(super) conn: u64,
    pub(super) rooms: BTreeSet<String>,
}

/// A connection that is no more. Why is in the history.
pub(super) struct Lost;

impl Device {
    /// Gives a sign of life, or changes a room.
    pub(super) async fn act(&mut self, connection: &mut Connection) -> Result<(), Lost> {
        let changes = connection.transport == Transport::Json;
        if !changes || !self.chance.random_ratio(1, CHANGE_ONE_IN) {
            return self.heartbeat(connection).await;
        }
        let room = self.edge.hall(&mut self.chance);
        let (conn, joins) = (connection.conn, !connection.rooms.contains(&room));
        let joined = Joined { conn, room: room.clone() };
        let op = if joins { Op::Join(joined) } else { Op::Leave(joined) };
        self.process.invoke(None, op.clone());
        let asked = [room.as_str()];
        let answered = match joins {
            true => connection.device.join(&asked).await,
            false => connection.device.leave(&asked).await,
        };
        match answered {
            Ok(()) => {
                self.process.ok(op, Said::default());
                match joins {
                    true => connection.rooms.insert(room),
                    false => connection.rooms.remove(&room),
                };
                Ok(())
            }
            Err(error @ RequestError::Refused { .. }) => {
                self.process.fail(error.to_string().as_str(), Said::default());
                Ok(())
            }
            Err(error) => {
                self.process.info(error.to_string().as_str());
                Err(Lost)
            }
        }
    }

    /// Gives a sign of life and waits for the answer.
    pub(super) async fn heartbeat(&mut self, connection: &mut Connection) -> Result<(), Lost> {
        let op = Op::Heartbeat(Named { user: self.user.clone(), conn: connection.conn });
        self.process.invoke(None, op.clone());
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let (process, user) = (&self.process, &self.user);
        let answered = timeout_at(deadline, async {
            if connection.device.heartbeat().await.is_err() {
                return Err("the connection is closed".to_owned());
            }
            loop {
                match connection.device.next().await {
                    Event::HeartbeatReply { .. } => return Ok(()),
                    event => take(process, user, connection.conn, event)?,
                }
            }
        });
        match answered.await {
            Ok(Ok(())) => {
                self.process.ok(op, Said::default());
                Ok(())
            }
            Ok(Err(why)) => {
                self.process.fail(why.as_str(), Said::default());
                Err(Lost)
            }
            Err(_) => {
                self.process.info("no answer in time");
                Err(Lost)
            }
        }
    }

    /// Takes what comes until it is time to do something again.
    pub(super) async fn listen(&mut self, connection: &mut Connection) -> Result<(), Lost> {
        let period = u64::from(self.edge.plan.heartbeat_ms);
        let pause = Duration::from_millis(self.chance.random_range(period / 8..period * 3 / 4));
        let until = Instant::now() + pause;
        let mut stage = self.bed.stage.clone();
        let (process, user) = (&self.process, &self.user);
        loop {
            tokio::select! {
                biased;
                event = connection.device.next() => {
                    take(process, user, connection.conn, event).map_err(|_| Lost)?;
                }
                _ = stage.wait_for(|stage| *stage >= Stage::End) => return Ok(()),
                () = tokio::time::sleep_until(until) => return Ok(()),
            }
        }
    }
}

/// Writes down what a device received; an error is the end of its connection, in its comet's word or the
/// network's.
fn take(process: &Process, user: &str, conn: u64, event: Event) -> Result<(), String> {
    match event {
        Event::Message { body, .. } => {
            let message = String::from_utf8_lossy(&body).into_owned();
            let deliver = Deliver { message, to: user.to_owned(), conn };
            process.recorder().mark(process.number(), Op::Deliver(deliver));
            Ok(())
        }
        Event::Closed { code, reason } => Err(format!("closed: {code:?} {reason}")),
        Event::HeartbeatReply { .. } | Event::Frame(_) | Event::Json(_) => Ok(()),
    }
}
