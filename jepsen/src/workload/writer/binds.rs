//! Binds: connections get their places, address by address, and those whose bind has no answer are asked for
//! again or given up.

use judge::history::Op;
use orrery_model::command::{self, Command, Loser, Outcome, Refusal};
use orrery_model::{CometRef, Seq};
use rand::Rng as _;

use super::connection::Connection;
use super::write::{End, is_passing};
use super::{Writer, drawn};
use crate::recorder::Said;
use crate::workload::words;

/// Of so many connections that were refused a place, one asks for it once more, as a late copy would.
const REFUSED_AGAIN_ONE_IN: u32 = 4;

/// Of so many connections one counts as undecided as long as it lives, as with a comet that is slow to say so:
/// its shards then remember whoever leaves.
const UNDECIDED_ONE_IN: u32 = 16;

/// How a bind ended.
pub(super) enum Answer {
    Bound(Seq),
    Refused(Refusal),
    NotDone,
    Unknown,
}

impl Writer {
    /// Binds a new connection.
    pub(super) async fn connect(&mut self) {
        let user = self.bed.user(&mut self.chance);
        let second = drawn::second(&self.bed, &mut self.chance, &user);
        let policy = drawn::policy(self.bed.seed, &mut self.chance, &user);
        let platform = drawn::platform(&mut self.chance);
        let conn = self.numbers.take();
        self.advance(Connection::new(conn, user, second, policy, platform)).await;
    }

    /// Asks again for a connection whose bind has no answer.
    pub(super) async fn ask_again(&mut self) {
        if let Some(one) = self.doubtful.pop_front() {
            self.advance(one).await;
        }
    }

    /// Binds what is not bound of a connection, until something is in the way.
    pub(super) async fn advance(&mut self, mut one: Connection) {
        let Some(comet) = self.life.clone() else { return self.doubtful.push_back(one) };
        while let Some(bind) = one.next_bind(&comet, self.numbers.settled()) {
            one.asks(&bind);
            match self.bind(bind.clone()).await {
                Answer::Bound(seq) => one.bound(seq),
                // In its next life it is bound again.
                Answer::Refused(Refusal::Fenced { .. }) => return self.doubtful.push_back(one),
                Answer::Refused(refusal) if is_passing(&refusal) => {
                    return self.doubtful.push_back(one);
                }
                Answer::Refused(_) => {
                    let is_asked = self.chance.random_ratio(1, REFUSED_AGAIN_ONE_IN);
                    let late = is_asked.then_some(bind).into_iter().collect();
                    return self.leave(one, late);
                }
                Answer::Unknown if self.chance.random_bool(0.5) => {
                    return self.leave(one, vec![bind]);
                }
                Answer::NotDone | Answer::Unknown => return self.doubtful.push_back(one),
            }
        }
        if !self.chance.random_ratio(1, UNDECIDED_ONE_IN) {
            self.numbers.decide(one.conn);
        }
        let conn = one.conn;
        self.living.push(one);
        self.enter_lobby(conn).await;
    }

    /// Sends a bind of a living connection once more, as who did not hear the answer.
    pub(super) async fn bind_again(&mut self) {
        let Some(at) = self.any_living() else { return };
        let one = &self.living[at];
        let tie = &one.ties[self.chance.random_range(0..one.ties.len())];
        let (conn, mut bind) = (one.conn, tie.bind.clone());
        bind.settled = self.numbers.settled();
        if let Answer::Refused(Refusal::Gone | Refusal::Outranked) = self.bind(bind).await {
            self.close(conn);
        }
    }

    /// Carries out one bind; closes those of its losers that are the comet's own.
    pub(super) async fn bind(&mut self, bind: command::Bind) -> Answer {
        let (key, comet) = (words::key_of(&bind.address), bind.comet.clone());
        let asked = words::bind(&bind);
        self.process.invoke(Some(&key), Op::Bind(asked.clone()));
        match self.write(Command::Bind(bind)).await {
            End::Done(Outcome::Bound(bound), said) => {
                let losers = Some(bound.losers.iter().map(words::loser).collect());
                let seq = Some(bound.seq.0);
                self.process.ok(Op::Bind(judge::history::Bind { seq, losers, ..asked }), said);
                self.close_losers(&comet, &bound.losers);
                self.look(&key).await;
                Answer::Bound(bound.seq)
            }
            End::Done(other, said) => {
                self.process.ok(Op::Bind(asked), said);
                self.bed.recorder.harness_failure(format!("a bind was answered {other:?}"));
                Answer::NotDone
            }
            End::Refused(refusal, said) => {
                self.process.fail(words::refusal(&refusal), said);
                self.meet(&comet, &refusal);
                Answer::Refused(refusal)
            }
            End::NotDone(why) => {
                self.process.fail(why.as_str(), Said::default());
                Answer::NotDone
            }
            End::Unknown(why) => {
                self.process.info(why.as_str());
                Answer::Unknown
            }
        }
    }

    /// Connections of the comet's own that gave way are closed, on both of their addresses.
    fn close_losers(&mut self, comet: &CometRef, losers: &[Loser]) {
        for loser in losers.iter().filter(|loser| loser.comet == *comet) {
            if self.life.as_ref() == Some(comet) {
                self.close(loser.conn);
            }
        }
    }

    /// Takes note of a refusal that says that a life is over.
    pub(super) fn meet(&self, comet: &CometRef, refusal: &Refusal) {
        if matches!(refusal, Refusal::Fenced { .. }) {
            self.lives.ended(comet);
        }
    }
}
