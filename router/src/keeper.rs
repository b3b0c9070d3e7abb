//! Keeper: carries out what `keep` decides for one shard, whenever this node leads it, and tells the
//! control shard what has become of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use orrery_host::Task;
use orrery_model::cluster::{NodeState, PLACED_VERSION_PROTOCOL, Placed};
use orrery_model::control::ControlCommand;
use orrery_model::{NodeId, ShardId};
use tokio::time::{Instant, sleep, timeout};

use crate::desk::Desk;
use crate::keep::{Following, Step, Wanted, keep};
use crate::kind::Kind;
use crate::limits::{
    HANDOVER_PATIENCE, HANDOVER_PAUSE, KEEPER_LOOK, KEEPER_STEP, LEAD_MIN, UPKEEP_TIMEOUT,
};
use crate::metrics::ShardMetrics;
use crate::raft::group::Group;
use crate::raft::members::{Members, MembersError, Replication};
use crate::shard::Shard;
use crate::surroundings::Surroundings;
use crate::view::View;

/// Keeps one shard's members where they should be.
pub(crate) struct Keeper<K: Kind> {
    shard: Arc<Shard<K>>,
    around: Surroundings,
    desk: Arc<Desk>,
    /// The term in which this node leads, and since when.
    leads: Option<(u64, Instant)>,
    handed_over: Option<Instant>,
    /// Tells the control shard where the replicas are.
    telling: Option<Task>,
    metrics: ShardMetrics,
}

impl<K: Kind> Keeper<K> {
    pub(crate) fn new(shard: Arc<Shard<K>>, around: Surroundings, desk: Arc<Desk>) -> Self {
        let metrics = around.metrics.shard(shard.id());
        Self { shard, around, desk, leads: None, handed_over: None, telling: None, metrics }
    }

    /// Runs until it is dropped.
    pub(crate) async fn run(mut self) {
        let (mut views, mut room) = (self.around.views.watch(), self.around.room.watch());
        loop {
            views.mark_unchanged();
            room.mark_unchanged();
            let pause = self.look().await;
            tokio::select! {
                biased;
                changed = views.changed() => if changed.is_err() { return },
                changed = room.changed() => if changed.is_err() { return },
                // What followers do and do not is told by nobody.
                () = sleep(pause) => {}
            }
        }
    }

    /// Takes the next step, and says when to look again.
    async fn look(&mut self) -> Duration {
        self.shard.replica().snapshots().suspend(self.around.room.is_full());
        let Some(since) = self.leads_since() else { return KEEPER_LOOK };
        let view = self.around.views.now();
        let group = self.shard.group().clone();
        let Some(wanted) = wanted(&view, group.shard()).filter(|_| view.learnt) else {
            return KEEPER_LOOK;
        };
        let members = group.members();
        self.tell(&view, &members);
        let replication = group.replication();
        let following = |node| self.following(&view, &replication, node);
        let step = keep(self.around.me(), &wanted, &members, following);
        match step {
            Step::Rest => KEEPER_LOOK,
            Step::Wait => KEEPER_STEP,
            Step::HandOver { to, must } => {
                let ripe = must || since.elapsed() >= LEAD_MIN;
                let rested = self.handed_over.is_none_or(|at| at.elapsed() >= HANDOVER_PAUSE);
                match ripe && rested {
                    true => self.hand_over(to).await,
                    false => KEEPER_LOOK,
                }
            }
            step => {
                self.change(&view, &members, step).await;
                KEEPER_STEP
            }
        }
    }

    fn leads_since(&mut self) -> Option<Instant> {
        let term = self.shard.group().leading_term();
        self.leads = term.map(|term| match self.leads {
            Some((held, since)) if held == term => (term, since),
            _ => {
                self.metrics.leadership();
                (term, Instant::now())
            }
        });
        self.leads.map(|(_, since)| since)
    }

    fn following(
        &self,
        view: &View,
        replication: &BTreeMap<NodeId, Replication>,
        node: NodeId,
    ) -> Following {
        let state = view.member(node).map(|(_, state)| state);
        let fit = state == Some(NodeState::Active) && !self.desk.is_unfit(node);
        let replica = replication.get(&node);
        Following {
            silence: replica.and_then(|replica| replica.heard_ms).map(Duration::from_millis),
            lag: replica.map_or(u64::MAX, |replica| replica.lag),
            fit,
        }
    }

    async fn change(&self, view: &View, members: &Members, step: Step) {
        let group = self.shard.group();
        let shard = group.shard();
        tracing::info!(%shard, ?step, "the shard's members change");
        let changed = timeout(UPKEEP_TIMEOUT, take(group, view, members, step)).await;
        match changed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::info!(%shard, %error, "the members were not changed"),
            // It goes on by itself; the next look tells how far it came.
            Err(_) => tracing::warn!(%shard, "a change of members takes long"),
        }
    }

    async fn hand_over(&mut self, to: NodeId) -> Duration {
        // One at a time on this node; the next look finds out who still wants to.
        let Ok(_turn) = self.around.handovers.clone().try_acquire_owned() else {
            return KEEPER_STEP;
        };
        let group = self.shard.group();
        let shard = group.shard();
        match group.transfer_leader(to).await {
            Ok(()) => {
                self.handed_over = Some(Instant::now());
                self.metrics.handover();
                let me = self.around.me();
                let leader = group.wait_leader(HANDOVER_PATIENCE, |leader| leader != me).await;
                tracing::info!(%shard, %to, ?leader, "leadership handed over");
            }
            Err(error) => tracing::debug!(%shard, %to, %error, "leadership not handed over"),
        }
        KEEPER_LOOK
    }

    /// Tells the control shard where the replicas are, unless it knows. What the shard needs next does not wait
    /// for that: the control shard may be without its quorum.
    fn tell(&mut self, view: &View, members: &Members) {
        if self.telling.as_ref().is_some_and(|telling| !telling.is_finished()) {
            return;
        }
        if !members.committed || members.joint || members.voters.iter().all(BTreeSet::is_empty) {
            return;
        }
        let shard = self.shard.id();
        // A node of the build before would not know what to do with it.
        let version = (view.protocol >= PLACED_VERSION_PROTOCOL)
            .then(|| view.placements.get(&shard).map(|placement| placement.version))
            .flatten();
        let placed = Placed {
            shard,
            log_index: members.log_index,
            voters: members.all_voters().into_iter().collect(),
            learners: members.learners.iter().copied().collect(),
            version,
        };
        let known = view.placed.get(&shard);
        if known.is_some_and(|known| known.age() >= placed.age()) {
            return;
        }
        let deadline = Instant::now() + UPKEEP_TIMEOUT;
        let desk = self.desk.clone();
        let telling = async move {
            // Told again at a later look, should it be lost.
            if let Err(error) = desk.write(ControlCommand::Placed(placed), deadline).await {
                tracing::debug!(%shard, %error, "the shard's members are not told yet");
            }
        };
        self.telling = Some(self.around.host.tasks.spawn("shard-telling", telling));
    }
}

/// What the cluster wants of a shard's members.
fn wanted(view: &View, shard: ShardId) -> Option<Wanted> {
    let replicas = view.placements.get(&shard)?.replicas.clone();
    let learners = match shard {
        // Every node knows the cluster.
        ShardId::CONTROL => view.members().map(|node| node.id).collect::<BTreeSet<_>>(),
        _ => BTreeSet::new(),
    };
    let votes = |node: &NodeId| replicas.contains(node);
    Some(Wanted { learners: learners.into_iter().filter(|node| !votes(node)).collect(), replicas })
}

async fn take(
    group: &Group,
    view: &View,
    members: &Members,
    step: Step,
) -> Result<(), MembersError> {
    // Who no longer votes for the control shard goes on following it.
    let retain = group.shard() == ShardId::CONTROL;
    match step {
        Step::Rest | Step::Wait | Step::HandOver { .. } => Ok(()),
        Step::Finish => group.finish_change(members, retain).await,
        Step::AddLearner(node) => {
            let Some((known, _)) = view.member(node) else {
                return Err(MembersError::Refused(format!("node {node} is not known")));
            };
            group.add_learner(members, node, &known.peers).await
        }
        Step::ChangeVoters(voters) => group.change_voters(members, voters, retain).await,
        Step::RemoveLearners(nodes) => match nodes.into_iter().next() {
            // One a step: each is a change of its own.
            Some(node) => group.remove_learner(members, node).await,
            None => Ok(()),
        },
    }
}

/// Hands every leadership of a node that stops to the closest of those who follow, all at once.
pub(crate) async fn hand_over_all(groups: &[Arc<Group>], view: &View, me: NodeId) {
    let handovers =
        groups.iter().filter(|group| group.leading_term().is_some()).map(|group| async {
            let Some(to) = closest(group, view, me) else { return };
            match group.transfer_leader(to).await {
                Ok(()) => {
                    group.wait_leader(HANDOVER_PATIENCE, |leader| leader != me).await;
                }
                Err(error) => {
                    tracing::info!(shard = %group.shard(), %error, "leadership not handed over");
                }
            }
        });
    futures_util::future::join_all(handovers).await;
}

/// The voter that is least behind, among those that answered lately; rather one that is not being drained.
fn closest(group: &Group, view: &View, me: NodeId) -> Option<NodeId> {
    let members = group.members();
    let candidates = group.replication().into_iter().filter(|(node, replica)| {
        let silence = replica.heard_ms.map(Duration::from_millis);
        let following = Following { silence, lag: replica.lag, fit: true };
        *node != me && members.votes(*node) && following.can_take_over()
    });
    let drained = |node: NodeId| {
        let state = view.member(node).map(|(_, state)| state);
        state.is_some_and(|state| state != NodeState::Active)
    };
    candidates.min_by_key(|(node, replica)| (drained(*node), replica.lag)).map(|(node, _)| node)
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::lone_node::node;
    use crate::peers::Me;
    use crate::reports::Reports;
    use crate::view::Views;

    const SHARD: ShardId = ShardId(1);

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_the_control_shard_is_not_told_yet_holds_nothing_up() {
        let handle = node(1).await;
        let member = handle.member();
        let mut view = (*member.around.views.now()).clone();
        view.placed.remove(&SHARD);
        let around = Surroundings { views: Views::fixed(view), ..member.around.clone() };
        // What it is told waits, as where its leader has lost the quorum.
        let group = member.shards.control().group().clone();
        let (control, _waits) = Shard::idle(group, &around, around.metrics.shard(ShardId::CONTROL));
        let me = Me {
            cluster_id: member.identity.cluster_id.clone(),
            node: member.identity.node,
            instance: member.identity.instance.clone(),
            protocol: around.node.protocol,
            instance_of: crate::peers::InstanceOf::default(),
        };
        let desk = Desk::new(Arc::new(control), around.clone(), me, Arc::new(Reports::default()));
        let shard = member.shards.get(SHARD).expect("it is there");
        let mut keeper = Keeper::new(shard, around, Arc::new(desk));

        let begun = Instant::now();
        let pause = timeout(UPKEEP_TIMEOUT, keeper.look()).await.expect("it does not wait");
        assert!(begun.elapsed() < UPKEEP_TIMEOUT / 2, "it took {:?}", begun.elapsed());
        assert_eq!(pause, KEEPER_LOOK);
        assert!(!keeper.telling.as_ref().expect("it is being told").is_finished());
        drop(keeper);
        drop(member);
        handle.stop().await;
    }
}
