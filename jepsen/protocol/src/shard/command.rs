//! Command: what each entry of a shard's log does.

use super::{Granted, Refusal, Route, Rules, Shard};
use crate::bounds::{CometId, ConnectionId, Life, Seq};
use crate::control::FenceEvent;
use crate::copies::{Bind, RouteName};
use crate::mutation::Mutation;

impl Shard {
    /// Gives a connection a route.
    pub(crate) fn bind(
        &mut self,
        connection: ConnectionId,
        life: Life,
        bind: Bind,
        rules: Rules,
    ) -> Result<Granted, Refusal> {
        self.admit(connection.comet(), life, rules)?;
        if let Some(route) = self.route(connection, life) {
            if rules.mutation != Some(Mutation::BindNotIdempotent) {
                return Ok(route.into());
            }
            self.remove(connection, life);
        }
        let settled = connection.conn() < self.settled(connection.comet())
            && rules.mutation != Some(Mutation::SettledIgnored);
        if settled || self.is_marked(connection) {
            return Err(Refusal::Gone);
        }
        let seq = self.next_seq;
        let losers = self.decide(connection.comet(), bind, seq, rules);
        let Ok(over) = losers else {
            if rules.refusal_is_final {
                self.mark(connection);
            }
            return Err(Refusal::Outranked);
        };
        self.next_seq = Seq(seq.0 + 1);
        let over = over.filter(|_| bind.rank.is_some());
        let Bind { rank, primary, age } = bind;
        let route = Route { seq, rank, primary, age, over };
        *self.route_mut(connection, life) = Some(route);
        Ok(route.into())
    }

    /// Removes whoever gives way to a newcomer, unless that is the newcomer itself. Gives the newest of
    /// them.
    fn decide(
        &mut self,
        comet: CometId,
        bind: Bind,
        seq: Seq,
        rules: Rules,
    ) -> Result<Option<Seq>, Refusal> {
        let Rules { address, policy, mutation, .. } = rules;
        if !policy.is_one(address) {
            return Ok(None);
        }
        let is_rival = |rival: ConnectionId| {
            mutation != Some(Mutation::PolicyPerComet) || rival.comet() == comet
        };
        let before = *self;
        let (mut outranked, mut over) = (false, None);
        for (connection, life, route) in before.routes().filter(|it| is_rival(it.0)) {
            let yields = policy.yields(&route, &bind, seq, address, mutation);
            outranked |= !yields;
            if yields || mutation == Some(Mutation::BothLose) {
                over = over.max(Some(route.seq));
                self.remove(connection, life);
                self.evicted[usize::from(connection.0)] = true;
                if mutation != Some(Mutation::EvictionLeavesNoMark) {
                    self.mark(connection);
                }
            }
        }
        if outranked { Err(Refusal::Outranked) } else { Ok(over) }
    }

    /// Removes exactly one route, and remembers that it did while a delayed bind could raise it.
    pub(crate) fn unbind(
        &mut self,
        connection: ConnectionId,
        life: Life,
        name: RouteName,
        rules: Rules,
    ) -> Result<(), Refusal> {
        self.admit(connection.comet(), life, rules)?;
        if rules.mutation == Some(Mutation::ExactRemovalSkipped) {
            connection.comet().connections().for_each(|it| self.remove(it, life));
            self.mark(connection);
            return Ok(());
        }
        let is_named = |route: &Route| match name {
            RouteName::Seq(seq) => route.seq == seq,
            RouteName::Conn => true,
        };
        if self.route(connection, life).as_ref().is_some_and(is_named) {
            self.remove(connection, life);
            if rules.mutation != Some(Mutation::UnbindLeavesNoMark) {
                self.mark(connection);
            }
        } else if name == RouteName::Conn && rules.mutation != Some(Mutation::AbsenceLeavesNoMark) {
            self.mark(connection);
        }
        Ok(())
    }

    /// Takes a comet's word that every conn below `settled` is decided.
    pub(crate) fn settle(
        &mut self,
        comet: CometId,
        life: Life,
        settled: u8,
        rules: Rules,
    ) -> Result<(), Refusal> {
        self.admit(comet, life, rules)?;
        let held = &mut self.settled[usize::from(comet.0)];
        *held = settled.max(*held);
        let below = comet.connections().filter(|connection| connection.conn() < settled);
        below.for_each(|connection| self.marks[usize::from(connection.0)] = false);
        Ok(())
    }

    /// Carries out the fence event after the cursor.
    pub(crate) fn expire(&mut self, event: FenceEvent, rules: Rules) {
        self.cursor += 1;
        if rules.mutation != Some(Mutation::FenceEventSkipped) {
            self.raise(event.comet, event.fence);
        }
    }

    /// Judges whether a comet may write, and raises its fence if its life is newer.
    fn admit(&mut self, comet: CometId, life: Life, rules: Rules) -> Result<(), Refusal> {
        if life < self.fence(comet) && rules.mutation != Some(Mutation::FenceNotChecked) {
            return Err(Refusal::Fenced);
        }
        if rules.mutation != Some(Mutation::FenceNotRaised) {
            self.raise(comet, life);
        }
        Ok(())
    }
}
