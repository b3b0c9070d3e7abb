//! Keep: what the leader of a shard does next to bring the shard's members where they should be. Decides,
//! does nothing; one step at a time, each taken only when nothing of the one before is under way.

use std::collections::BTreeSet;
use std::time::Duration;

use orrery_model::NodeId;

use crate::limits::{FOLLOWS_CLOSELY_ENTRIES_MAX, HANDOVER_SILENCE_MAX, LIVE_SILENCE_MAX};
use crate::raft::members::Members;

/// Who should be the members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// The voters; the first one that can should lead.
    pub(crate) replicas: Vec<NodeId>,
    /// Who else should follow.
    pub(crate) learners: BTreeSet<NodeId>,
}

/// How a member follows its leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Following {
    /// How long ago it last answered; none: never.
    pub(crate) silence: Option<Duration>,
    /// How many entries it is behind.
    pub(crate) lag: u64,
    /// It may lead: it is not being drained, its disk has room.
    pub(crate) fit: bool,
}

impl Following {
    fn is_live(&self) -> bool {
        self.silence.is_some_and(|silence| silence <= LIVE_SILENCE_MAX)
    }

    fn is_close(&self) -> bool {
        self.lag <= FOLLOWS_CLOSELY_ENTRIES_MAX
    }

    /// It can take over at once: a handover to somebody who does not answer cannot be taken back.
    pub(crate) fn can_take_over(&self) -> bool {
        self.is_close() && self.silence.is_some_and(|silence| silence <= HANDOVER_SILENCE_MAX)
    }
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing: all is as it should be, or waits for somebody to come back.
    Rest,
    /// Something is under way.
    Wait,
    /// End the change of membership that is half done.
    Finish,
    /// Let a node follow.
    AddLearner(NodeId),
    /// Let exactly these vote, and forget the others.
    ChangeVoters(BTreeSet<NodeId>),
    /// Forget these, who only follow.
    RemoveLearners(BTreeSet<NodeId>),
    /// Let another voter lead. `must`: this node should not lead at all.
    HandOver { to: NodeId, must: bool },
}

/// The next step of the leader `me`, given how each member follows.
pub(crate) fn keep(
    me: NodeId,
    wanted: &Wanted,
    members: &Members,
    following: impl Fn(NodeId) -> Following,
) -> Step {
    if !members.committed {
        return Step::Wait;
    }
    if members.joint {
        return Step::Finish;
    }
    let voters = members.all_voters();
    // Who leads takes itself out only once somebody who stays leads.
    let target: BTreeSet<NodeId> = wanted.replicas.iter().copied().chain([me]).collect();
    let stays = wanted.replicas.contains(&me);
    if let Some(new) = target.iter().find(|node| !members.contains(**node)) {
        return Step::AddLearner(*new);
    }
    if voters != target {
        return change_voters(me, &voters, target, following);
    }
    if let Some(new) = wanted.learners.iter().find(|node| !members.contains(**node)) {
        return Step::AddLearner(*new);
    }
    let stale: BTreeSet<NodeId> = members.learners.difference(&wanted.learners).copied().collect();
    if !stale.is_empty() {
        return Step::RemoveLearners(stale);
    }
    match successor(me, wanted, &following) {
        Some(to) => Step::HandOver { to, must: !stays || !following(me).fit },
        // The placement cannot be reached before somebody takes over.
        None if !stays => Step::Wait,
        None => Step::Rest,
    }
}

fn change_voters(
    me: NodeId,
    voters: &BTreeSet<NodeId>,
    target: BTreeSet<NodeId>,
    following: impl Fn(NodeId) -> Following,
) -> Step {
    let is_me = |node: NodeId| node == me;
    // Whoever begins to vote must have what the others have, or the shard waits for it.
    let behind = |node: &&NodeId| {
        let node = **node;
        !voters.contains(&node) && !is_me(node) && {
            let follows = following(node);
            !follows.is_live() || !follows.is_close()
        }
    };
    if target.iter().any(|node| behind(&node)) {
        return Step::Wait;
    }
    let live = target.iter().filter(|node| is_me(**node) || following(**node).is_live()).count();
    // Begun without a quorum of those who are to vote, the change could neither end nor be undone.
    match live > target.len() / 2 {
        true => Step::ChangeVoters(target),
        false => Step::Wait,
    }
}

/// Who should lead instead: the first wanted one that can, unless that is this node.
fn successor(
    me: NodeId,
    wanted: &Wanted,
    following: &impl Fn(NodeId) -> Following,
) -> Option<NodeId> {
    let can = |node: &NodeId| {
        let follows = following(*node);
        follows.fit && (*node == me || follows.can_take_over())
    };
    let first = wanted.replicas.iter().copied().find(can);
    let first = first.or_else(|| {
        // Nobody is fit. Whoever is not to hold a replica goes all the same.
        let stays = wanted.replicas.contains(&me);
        let others =
            || wanted.replicas.iter().copied().find(|node| following(*node).can_take_over());
        (!stays).then(others).flatten()
    });
    first.filter(|node| *node != me)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOSE: Following =
        Following { silence: Some(Duration::from_millis(50)), lag: 0, fit: true };
    const BEHIND: Following = Following { lag: 1_000_000, ..CLOSE };
    const DEAD: Following = Following { silence: Some(Duration::from_secs(60)), ..CLOSE };
    const UNFIT: Following = Following { fit: false, ..CLOSE };

    fn set(nodes: &[u64]) -> BTreeSet<NodeId> {
        nodes.iter().copied().map(NodeId).collect()
    }

    fn members(voters: &[u64], learners: &[u64]) -> Members {
        let mut members = Members::default();
        (members.voters, members.learners) = (vec![set(voters)], set(learners));
        (members.committed, members.log_index) = (true, 7);
        members
    }

    fn wanted(replicas: &[u64], learners: &[u64]) -> Wanted {
        let replicas = replicas.iter().copied().map(NodeId).collect();
        Wanted { replicas, learners: set(learners) }
    }

    /// Node 1 leads; those not named follow closely.
    fn step(wanted: &Wanted, members: &Members, following: &[(u64, Following)]) -> Step {
        let of = |node: NodeId| {
            following.iter().find(|(id, _)| *id == node.0).map_or(CLOSE, |(_, follows)| *follows)
        };
        keep(NodeId(1), wanted, members, of)
    }

    #[test]
    fn what_is_as_it_should_be_is_left_alone() {
        assert_eq!(step(&wanted(&[1, 2, 3], &[]), &members(&[1, 2, 3], &[]), &[]), Step::Rest);
    }

    #[test]
    fn a_new_replica_follows_then_votes() {
        let wanted = wanted(&[1, 2, 4], &[]);
        let learns = step(&wanted, &members(&[1, 2, 3], &[]), &[]);
        assert_eq!(learns, Step::AddLearner(NodeId(4)));
        let with = members(&[1, 2, 3], &[4]);
        assert_eq!(step(&wanted, &with, &[(4, BEHIND)]), Step::Wait);
        assert_eq!(step(&wanted, &with, &[(4, DEAD)]), Step::Wait);
        assert_eq!(step(&wanted, &with, &[]), Step::ChangeVoters(set(&[1, 2, 4])));
    }

    #[test]
    fn a_dead_replica_is_replaced() {
        let now = members(&[1, 2, 3], &[4]);
        let next = step(&wanted(&[1, 2, 4], &[]), &now, &[(3, DEAD)]);
        assert_eq!(next, Step::ChangeVoters(set(&[1, 2, 4])));
    }

    #[test]
    fn a_change_without_a_quorum_afterwards_is_not_begun() {
        let now = members(&[1, 2, 3, 4], &[]);
        let next = step(&wanted(&[1, 3, 4], &[]), &now, &[(3, DEAD), (4, DEAD)]);
        assert_eq!(next, Step::Wait);
    }

    #[test]
    fn a_change_left_half_done_is_ended_first() {
        let mut joint = members(&[1, 2, 3], &[]);
        joint.voters.push(set(&[1, 2, 4]));
        joint.joint = true;
        assert_eq!(step(&wanted(&[1, 2, 3], &[]), &joint, &[]), Step::Finish);
    }

    #[test]
    fn nothing_is_begun_while_a_change_is_not_committed() {
        let mut now = members(&[1, 2, 3], &[]);
        now.committed = false;
        assert_eq!(step(&wanted(&[1, 2, 4], &[]), &now, &[]), Step::Wait);
    }

    #[test]
    fn who_leads_and_is_not_wanted_hands_over_before_it_goes() {
        let wanted = wanted(&[4, 2, 3], &[]);
        let now = members(&[1, 2, 3], &[4]);
        assert_eq!(step(&wanted, &now, &[]), Step::ChangeVoters(set(&[1, 2, 3, 4])));
        let now = members(&[1, 2, 3, 4], &[]);
        let over = |to| Step::HandOver { to: NodeId(to), must: true };
        assert_eq!(step(&wanted, &now, &[]), over(4));
        assert_eq!(step(&wanted, &now, &[(4, DEAD), (2, BEHIND)]), over(3));
        assert_eq!(step(&wanted, &now, &[(4, UNFIT), (2, UNFIT), (3, UNFIT)]), over(4));
        assert_eq!(step(&wanted, &now, &[(4, DEAD), (2, DEAD), (3, DEAD)]), Step::Wait);
        let next = keep(NodeId(4), &wanted, &now, |_| CLOSE);
        assert_eq!(next, Step::ChangeVoters(set(&[2, 3, 4])));
    }

    #[test]
    fn the_first_that_can_leads() {
        let wanted = wanted(&[2, 1, 3], &[]);
        let now = members(&[1, 2, 3], &[]);
        let next = step(&wanted, &now, &[]);
        assert_eq!(next, Step::HandOver { to: NodeId(2), must: false });
        for cannot in [DEAD, BEHIND, UNFIT] {
            assert_eq!(step(&wanted, &now, &[(2, cannot)]), Step::Rest);
        }
    }

    #[test]
    fn who_is_drained_or_full_leads_nothing_that_another_can_lead() {
        let wanted = wanted(&[1, 2, 3], &[]);
        let now = members(&[1, 2, 3], &[]);
        let next = step(&wanted, &now, &[(1, UNFIT), (2, DEAD)]);
        assert_eq!(next, Step::HandOver { to: NodeId(3), must: true });
        let next = step(&wanted, &now, &[(1, UNFIT), (2, DEAD), (3, UNFIT)]);
        assert_eq!(next, Step::Rest);
    }

    #[test]
    fn learners_come_and_go_as_wanted() {
        let wanted = wanted(&[1, 2, 3], &[4, 5]);
        let next = step(&wanted, &members(&[1, 2, 3], &[4]), &[]);
        assert_eq!(next, Step::AddLearner(NodeId(5)));
        let next = step(&wanted, &members(&[1, 2, 3], &[4, 5, 6]), &[]);
        assert_eq!(next, Step::RemoveLearners(set(&[6])));
        assert_eq!(step(&wanted, &members(&[1, 2, 3], &[4, 5]), &[]), Step::Rest);
    }
}
