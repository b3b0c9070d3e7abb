//! Goodbyes: connections leave their addresses, each repeated until that is known; and then late copies of
//! their binds come, which must never take effect.

use std::collections::VecDeque;

use judge::history::{self, Op};
use orrery_model::Conn;
use orrery_model::command::{Bind, Command, Outcome, RouteName, Unbind};
use rand::Rng as _;

use super::connection::Connection;
use super::write::{End, is_passing};
use super::{Writer, drawn};
use crate::recorder::Said;
use crate::workload::words;

/// Of so many acknowledged unbinds one is said twice.
const TWICE_ONE_IN: u32 = 8;

/// Binds of removed connections that are kept, to be sent late.
const OLD_MAX: usize = 32;

/// A connection that leaves.
#[derive(Debug)]
pub(super) struct Leaving {
    conn: Conn,
    /// Key of each address that it may be bound at, and its name there.
    unbinds: VecDeque<(String, RouteName)>,
    /// Binds to send once more when all is unbound, before the connection counts as decided.
    late: Vec<Bind>,
    /// All its binds.
    binds: Vec<Bind>,
}

impl Writer {
    /// Closes a connection, if the comet has it.
    pub(super) fn close(&mut self, conn: Conn) {
        let is = |one: &Connection| one.conn == conn;
        let living = self.living.iter().position(is).map(|at| self.living.swap_remove(at));
        let doubtful = self.doubtful.iter().position(is);
        let doubtful = doubtful.and_then(|at| self.doubtful.remove(at));
        for one in living.into_iter().chain(doubtful) {
            self.leave(one, Vec::new());
        }
    }

    /// Closes any of the living connections.
    pub(super) fn close_one(&mut self) {
        if let Some(at) = self.any_living() {
            let one = self.living.swap_remove(at);
            self.leave(one, Vec::new());
        }
    }

    /// A connection begins to leave.
    pub(super) fn leave(&mut self, one: Connection, late: Vec<Bind>) {
        let mut unbinds = VecDeque::new();
        for tie in &one.ties {
            let names = tie.names();
            unbinds.push_back((tie.key(), names[self.chance.random_range(0..names.len())]));
        }
        if self.chance.random_bool(0.5) {
            // A comet may wait with its word that the connection is decided until it has left.
            self.numbers.doubt(one.conn);
        }
        let binds = one.ties.into_iter().map(|tie| tie.bind).collect();
        self.leaving.push_back(Leaving { conn: one.conn, unbinds, late, binds });
    }

    /// Says the first goodbye that waits.
    pub(super) async fn goodbye(&mut self) {
        let Some(mut leaving) = self.leaving.pop_front() else { return };
        let Some((key, name)) = leaving.unbinds.front().cloned() else {
            return self.left(leaving).await;
        };
        if !self.unbind(&key, leaving.conn, name).await {
            return self.leaving.push_back(leaving);
        }
        if !self.chance.random_ratio(1, TWICE_ONE_IN) {
            leaving.unbinds.pop_front();
        }
        match leaving.unbinds.is_empty() {
            true => self.left(leaving).await,
            false => self.leaving.push_front(leaving),
        }
    }

    /// Nothing is left of a connection.
    async fn left(&mut self, leaving: Leaving) {
        for late in leaving.late {
            self.bind(late).await;
        }
        self.numbers.decide(leaving.conn);
        self.old.extend(leaving.binds);
        let more = self.old.len().saturating_sub(OLD_MAX);
        self.old.drain(..more);
    }

    /// Sends a copy of the bind of a connection that left, maybe in a life that has ended.
    pub(super) async fn bind_late(&mut self) {
        if !self.old.is_empty() {
            let late = self.old[self.chance.random_range(0..self.old.len())].clone();
            self.bind(late).await;
        }
    }

    /// Says goodbye for a connection that never was: by its number, with a bind that was overtaken; or by the
    /// name of a route that is another comet's.
    pub(super) fn leave_unbound(&mut self) {
        let Some(comet) = self.life.clone() else { return };
        let conn = self.numbers.take();
        if let Some((key, seq)) = self.foreign.take() {
            let unbinds = VecDeque::from([(key, RouteName::Seq(seq))]);
            let leaving = Leaving { conn, unbinds, late: Vec::new(), binds: Vec::new() };
            return self.leaving.push_back(leaving);
        }
        let user = self.bed.user(&mut self.chance);
        let policy = drawn::policy(self.bed.seed, &mut self.chance, &user);
        let platform = drawn::platform(&mut self.chance);
        let one = Connection::new(conn, user.clone(), None, policy, platform);
        let late = one.next_bind(&comet, self.numbers.settled()).into_iter().collect();
        let unbinds = VecDeque::from([(user, RouteName::Conn(conn))]);
        self.leaving.push_back(Leaving { conn, unbinds, late, binds: Vec::new() });
    }

    /// Carries out one unbind; whether it need not be asked for again.
    async fn unbind(&mut self, key: &str, conn: Conn, route: RouteName) -> bool {
        let Some(comet) = self.life.clone() else { return true };
        let settled = self.numbers.settled();
        let asked = history::Unbind {
            comet: comet.id.to_string(),
            incarnation: comet.incarnation.0,
            conn: conn.0,
            settled: Some(settled.0),
            removed: None,
        };
        let unbind = Unbind { address: words::address(key), comet: comet.clone(), route, settled };
        self.process.invoke(Some(key), Op::Unbind(asked.clone()));
        match self.write(Command::Unbind(unbind)).await {
            End::Done(Outcome::Unbound { removed }, said) => {
                let removed = Some(removed);
                self.process.ok(Op::Unbind(history::Unbind { removed, ..asked }), said);
                self.look(key).await;
                true
            }
            End::Done(other, said) => {
                self.process.ok(Op::Unbind(asked), said);
                self.bed.recorder.harness_failure(format!("an unbind was answered {other:?}"));
                true
            }
            End::Refused(refusal, said) => {
                self.process.fail(words::refusal(&refusal), said);
                self.meet(&comet, &refusal);
                !is_passing(&refusal)
            }
            End::NotDone(why) => {
                self.process.fail(why.as_str(), Said::default());
                false
            }
            End::Unknown(why) => {
                self.process.info(why.as_str());
                false
            }
        }
    }
}
