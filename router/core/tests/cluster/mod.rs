//! A cluster for the planner: the control state, which nodes are live and which unfit, and shard leaders that
//! bring their members to where the placement says, in the stages in which Raft would. What they tell of it may
//! come late, in any order, or never.

use std::collections::{BTreeMap, BTreeSet};

use orrery_model::cluster::{Counters, Node, NodeState, PROTOCOL, Placed, Placement};
use orrery_model::control::{ControlBatch, ControlCommand, ControlReply, Found};
use orrery_model::limits::SLOTS;
use orrery_model::{NodeId, ShardId, SlotTable};
use orrery_router_core::control::Control;
use orrery_router_core::limits::SHARDS_MOVING_MAX;
use orrery_router_core::{placement, plan};
use proptest::prelude::*;

/// What happens to a cluster. Numbers choose among its nodes or shards.
#[derive(Debug, Clone)]
pub(crate) enum Happening {
    Joins,
    Leaves(usize),
    Drains(usize),
    IsActive(usize),
    Dies(usize),
    Revives(usize),
    /// Its disk falls below the reserve.
    IsUnfit(usize),
    IsFit(usize),
    /// The plan is made and proposed.
    Plan,
    /// One shard's leader does its next step.
    Keep(usize),
    /// One shard's leader says where its members are and which placement it knows.
    Tells(usize),
    /// Something that was said arrives.
    Arrives(usize),
}

pub(crate) fn happening() -> impl Strategy<Value = Happening> {
    let any = 0..64_usize;
    prop_oneof![
        2 => Just(Happening::Joins),
        2 => any.clone().prop_map(Happening::Leaves),
        1 => any.clone().prop_map(Happening::Drains),
        1 => any.clone().prop_map(Happening::IsActive),
        1 => any.clone().prop_map(Happening::Dies),
        1 => any.clone().prop_map(Happening::Revives),
        1 => any.clone().prop_map(Happening::IsUnfit),
        1 => any.clone().prop_map(Happening::IsFit),
        6 => Just(Happening::Plan),
        6 => any.clone().prop_map(Happening::Keep),
        4 => any.clone().prop_map(Happening::Tells),
        4 => any.prop_map(Happening::Arrives),
    ]
}

/// Nodes come and go while leaders do much and are seldom heard.
pub(crate) fn unheard_of() -> impl Strategy<Value = Happening> {
    let any = 0..64_usize;
    prop_oneof![
        3 => any.clone().prop_map(Happening::Leaves),
        3 => any.clone().prop_map(Happening::IsActive),
        8 => Just(Happening::Plan),
        12 => any.clone().prop_map(Happening::Keep),
        2 => any.clone().prop_map(Happening::Tells),
        2 => any.prop_map(Happening::Arrives),
    ]
}

/// Who really are the members of a shard, whatever the control shard knows of it.
#[derive(Debug, Clone)]
struct Members {
    /// All that vote, in both halves of a change that is under way.
    voters: BTreeSet<NodeId>,
    learners: BTreeSet<NodeId>,
    /// Who votes when the change under way is done.
    becoming: Option<BTreeSet<NodeId>>,
    log_index: u64,
}

pub(crate) struct Cluster {
    pub(crate) control: Control,
    pub(crate) live: BTreeSet<NodeId>,
    unfit: BTreeSet<NodeId>,
    /// Replicas of each shard at first.
    pub(crate) replicas: usize,
    members: BTreeMap<ShardId, Members>,
    /// Said and not heard yet.
    under_way: Vec<Placed>,
    log_index: u64,
    nodes: u64,
    steps: usize,
}

impl Cluster {
    pub(crate) fn found(nodes: u64, shards: u32, replicas: usize) -> Self {
        let ids: Vec<_> = (1..=nodes).map(NodeId).collect();
        let owners = (0..SLOTS as u32).map(|slot| ShardId(1 + slot % shards)).collect();
        let all: Vec<_> = (0..=shards).map(ShardId).collect();
        let found = Found {
            cluster_id: "test".to_owned(),
            nodes: ids.iter().map(|id| node(*id)).collect(),
            table: SlotTable::new(1, owners).unwrap(),
            placements: placement::propose(&ids, &all, replicas),
            counters: Counters::default(),
        };
        let replicas = found.placements[0].replicas.len();
        let live = ids.into_iter().collect();
        let control = Control::new();
        let first = |p: &Placement| Members {
            voters: p.replicas.iter().copied().collect(),
            learners: BTreeSet::new(),
            becoming: None,
            log_index: 1,
        };
        let members = found.placements.iter().map(|p| (p.shard, first(p))).collect();
        let (unfit, under_way) = (BTreeSet::new(), Vec::new());
        let log_index = 1;
        let mut cluster =
            Self { control, live, unfit, replicas, members, under_way, log_index, nodes, steps: 0 };
        cluster.apply(ControlCommand::Found(found)).unwrap();
        cluster
    }

    pub(crate) fn happens(&mut self, happening: &Happening) {
        let nth = |n: usize| NodeId(n as u64 % self.nodes + 1);
        match *happening {
            Happening::Joins => drop(self.join()),
            Happening::Leaves(n) => self.set_state(nth(n), NodeState::Leaving),
            Happening::Drains(n) => self.set_state(nth(n), NodeState::Draining),
            Happening::IsActive(n) => self.set_state(nth(n), NodeState::Active),
            Happening::Dies(n) => drop(self.live.remove(&nth(n))),
            Happening::Revives(n) => drop(self.live.insert(nth(n))),
            Happening::IsUnfit(n) => drop(self.unfit.insert(nth(n))),
            Happening::IsFit(n) => drop(self.unfit.remove(&nth(n))),
            Happening::Plan => drop(self.plan()),
            Happening::Keep(n) => drop(self.keep(self.nth_shard(n))),
            Happening::Tells(n) => self.under_way.extend(self.told_by(self.nth_shard(n))),
            Happening::Arrives(_) if self.under_way.is_empty() => {}
            Happening::Arrives(n) => {
                let placed = self.under_way.swap_remove(n % self.under_way.len());
                self.apply(ControlCommand::Placed(placed)).unwrap();
            }
        }
        self.check_removed();
    }

    fn nth_shard(&self, n: usize) -> ShardId {
        let shards: Vec<_> = self.control.shards().collect();
        shards[n % shards.len()]
    }

    /// Nobody who was removed is needed for anything.
    fn check_removed(&self) {
        for (shard, members) in &self.members {
            let needed = |id: &NodeId| match *shard {
                ShardId::CONTROL => members.voters.contains(id),
                _ => members.voters.contains(id) || members.learners.contains(id),
            };
            let removed = self.control.nodes().filter(|(_, state)| *state == NodeState::Removed);
            let held = removed.map(|(node, _)| node.id).find(needed);
            assert_eq!(held, None, "removed, and a member of shard {shard}: {:?}", self.shown());
        }
    }

    fn join(&mut self) -> NodeId {
        self.nodes += 1;
        let id = NodeId(self.nodes);
        self.live.insert(id);
        self.apply(ControlCommand::AddNode(node(id))).unwrap();
        id
    }

    /// An operator's wish, which the state may refuse.
    fn set_state(&mut self, node: NodeId, state: NodeState) {
        let _ = self.apply(ControlCommand::SetNodeState { node, state });
    }

    pub(crate) fn replace(&mut self, old: NodeId) -> NodeId {
        self.nodes += 1;
        let new = NodeId(self.nodes);
        self.live.insert(new);
        for command in plan::replace(old, node(new)) {
            self.apply(command).unwrap();
        }
        new
    }

    pub(crate) fn held(&self, node: NodeId) -> usize {
        self.control.placements().filter(|p| p.replicas.contains(&node)).count()
    }

    pub(crate) fn revive_all(&mut self) {
        self.live = (1..=self.nodes).map(NodeId).collect();
        self.unfit.clear();
    }

    pub(crate) fn activate_all(&mut self) {
        let draining = self.control.nodes().filter(|(_, state)| *state == NodeState::Draining);
        let draining: Vec<_> = draining.map(|(node, _)| node.id).collect();
        draining.into_iter().for_each(|id| self.set_state(id, NodeState::Active));
    }

    /// Plans and keeps until nothing is left to do, within a bound.
    pub(crate) fn come_to_rest(&mut self) {
        let shards: Vec<_> = self.control.shards().collect();
        // Each replica moves off a leaving node once and once more to be evened out, each shard grows and
        // is handed over a few times, each node is removed.
        let most = self.steps + shards.len() * (2 * self.replicas + 4) + self.nodes as usize;
        loop {
            while shards.iter().any(|shard| self.keep(*shard)) {}
            let told: Vec<_> = shards.iter().filter_map(|shard| self.told_by(*shard)).collect();
            for placed in std::mem::take(&mut self.under_way).into_iter().chain(told) {
                self.apply(ControlCommand::Placed(placed)).unwrap();
            }
            if self.plan() == 0 {
                return;
            }
            self.check_removed();
            assert!(self.steps <= most, "the steps do not end: {:?}", self.shown());
        }
    }

    /// Makes the plan and proposes it; how many steps it had.
    fn plan(&mut self) -> usize {
        let steps = plan::plan(&self.control, &self.live, &self.unfit);
        self.steps += steps.len();
        let moving_before = self.moving();
        let is_move = |step: &ControlCommand| match step {
            ControlCommand::Place(next) => !self.is_handover(next),
            _ => false,
        };
        let is_moving = moving_before > 0 || steps.iter().any(is_move);
        let mut placed = BTreeSet::new();
        for step in &steps {
            if let ControlCommand::Place(next) = step {
                assert!(placed.insert(next.shard), "two steps at once for shard {}", next.shard);
                self.check_step(next);
                assert!(!(is_moving && self.is_handover(next)), "{next:?} while replicas move");
            }
            let reply = self.apply(step.clone());
            assert!(reply.is_ok(), "{step:?}: {reply:?}");
        }
        assert!(self.moving() <= SHARDS_MOVING_MAX.max(moving_before), "{steps:?}");
        steps.len()
    }

    /// A step changes one replica at most, for one that is live and fit, and never touches a shard under way
    /// unless its newcomer is lost.
    fn check_step(&self, next: &Placement) {
        let held = self.control.placement(next.shard).unwrap();
        let set = |p: &Placement| p.replicas.iter().copied().collect::<BTreeSet<_>>();
        let (before, after) = (set(held), set(next));
        let come: Vec<_> = after.difference(&before).collect();
        let gone: Vec<_> = before.difference(&after).collect();
        assert!(come.len() <= 1 && gone.len() <= 1, "{held:?} to {next:?}");
        assert!(come.iter().all(|id| self.live.contains(id)), "{next:?} on a dead node");
        // But for the one that it was on before, and goes back to.
        let voters = self.voters(next.shard);
        let is_fit = |id: &&NodeId| !self.unfit.contains(id) || voters.contains(id);
        assert!(come.iter().all(is_fit), "{next:?} on an unfit node");
        assert!(held.replicas != next.replicas, "{next:?} changes nothing");
        if !self.is_settled(held) {
            let is_lost = |id: &&NodeId| {
                let leaves = self.control.node(**id).unwrap().1 == NodeState::Leaving;
                !voters.contains(id) && (leaves || !self.live.contains(id))
            };
            assert!(gone.iter().any(is_lost), "{held:?} to {next:?} at {voters:?}");
        }
    }

    fn is_handover(&self, next: &Placement) -> bool {
        let held = &self.control.placement(next.shard).unwrap().replicas;
        held.iter().all(|id| next.replicas.contains(id)) && held.len() == next.replicas.len()
    }

    /// As far as the control shard knows.
    fn voters(&self, shard: ShardId) -> BTreeSet<NodeId> {
        let first = || self.control.first_replicas(shard).unwrap();
        let placed = self.control.placed(shard);
        placed.map_or_else(first, |placed| placed.voters.clone()).into_iter().collect()
    }

    /// As far as the control shard knows.
    fn is_settled(&self, placement: &Placement) -> bool {
        let placed = self.control.placed(placement.shard);
        let is_answered = placed.is_some_and(|placed| placed.version == Some(placement.version));
        is_answered && self.is_there(placement)
    }

    /// The last that was heard are the members that the placement wants, be it that it was said of another.
    fn is_there(&self, placement: &Placement) -> bool {
        let replicas: BTreeSet<_> = placement.replicas.iter().copied().collect();
        let placed = self.control.placed(placement.shard);
        // Of the control shard every node has a replica, so some always only follow.
        let is_control = placement.shard == ShardId::CONTROL;
        placed.is_some_and(|placed| is_control || placed.learners.is_empty())
            && self.voters(placement.shard) == replicas
    }

    /// Shards whose replicas move, as far as the control shard knows, and can go on.
    fn moving(&self) -> usize {
        let can_go_on = |placement: &&Placement| {
            let voters = self.voters(placement.shard);
            let is_there = |id: &NodeId| self.live.contains(id) || voters.contains(id);
            self.has_majority(&voters) && placement.replicas.iter().all(is_there)
        };
        let placements = self.control.placements().filter(|p| !self.is_there(p));
        placements.filter(can_go_on).count()
    }

    fn has_majority(&self, nodes: &BTreeSet<NodeId>) -> bool {
        nodes.intersection(&self.live).count() > nodes.len() / 2
    }

    /// One step of a shard's leader towards its placement; false where there is none.
    fn keep(&mut self, shard: ShardId) -> bool {
        let placement = self.control.placement(shard).unwrap();
        let replicas: BTreeSet<_> = placement.replicas.iter().copied().collect();
        let Some(next) = self.next_members(&self.members[&shard], &replicas) else { return false };
        self.log_index += 1;
        self.members.insert(shard, Members { log_index: self.log_index, ..next });
        true
    }

    /// The members after a shard's next change: newcomers follow first, then both sides vote, then the new
    /// ones do. None without a majority of each side.
    fn next_members(&self, members: &Members, replicas: &BTreeSet<NodeId>) -> Option<Members> {
        let Members { voters, learners, becoming, .. } = members;
        if !self.has_majority(voters) {
            return None;
        }
        // What was begun is ended first, for whatever placement that was.
        if let Some(becoming) = becoming {
            let (voters, becoming) = (becoming.clone(), None);
            let next = Members { voters, becoming, ..members.clone() };
            return self.has_majority(&next.voters).then_some(next);
        }
        let newcomers: BTreeSet<_> = replicas.difference(voters).copied().collect();
        if *learners != newcomers {
            return Some(Members { learners: newcomers, ..members.clone() });
        }
        let caught_up = newcomers.is_subset(&self.live);
        let begins = voters != replicas && caught_up && self.has_majority(replicas);
        begins.then(|| Members {
            voters: voters.union(replicas).copied().collect(),
            learners: BTreeSet::new(),
            becoming: Some(replicas.clone()),
            ..*members
        })
    }

    /// What a shard's leader says, if it has one and nothing is under way.
    fn told_by(&self, shard: ShardId) -> Option<Placed> {
        let Members { voters, learners, becoming, log_index } = &self.members[&shard];
        let placed = Placed {
            shard,
            log_index: *log_index,
            voters: voters.iter().copied().collect(),
            learners: learners.iter().copied().collect(),
            version: Some(self.control.placement(shard).unwrap().version),
        };
        (self.has_majority(voters) && becoming.is_none()).then_some(placed)
    }

    fn apply(&mut self, command: ControlCommand) -> ControlReply {
        let batch = ControlBatch { commands: vec![command], ..ControlBatch::default() };
        self.control.apply(&batch).remove(0)
    }

    fn shown(&self) -> Vec<String> {
        let nodes = self.control.nodes().map(|(node, state)| format!("{}={state}", node.id));
        let shards = self.control.placements().map(|p| format!("{}:{:?}", p.shard, p.replicas));
        nodes.chain(shards).collect()
    }
}

fn node(id: NodeId) -> Node {
    Node {
        id,
        registry: format!("n{id}:3121"),
        peers: format!("n{id}:3120"),
        instance: format!("i{id}"),
        protocol: PROTOCOL,
    }
}
