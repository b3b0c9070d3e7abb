//! Admin: what every world asks of its cluster: who leads, another leader, none here, a snapshot, another node.

use std::time::Duration;

use orrery_model::cluster::{Node, NodeState, Placed, Placement};
use orrery_model::control::ControlCommand;
use orrery_model::{NodeId, ShardId};
use orrery_router_client::cluster::{Adoption, ClusterClient, ClusterError, Report};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use super::Installed;
use super::founding::describe;
use super::roster::Roster;

/// How long a change of the cluster may take.
const CHANGE: Duration = Duration::from_secs(5);

/// How long one try may take of what is unfinished.
const FINISH: Duration = Duration::from_secs(20);

/// Who a change is made for, as the nodes write it down.
const BY: &str = "jepsen";

/// A place for a router: the machine stays, the node on it may become another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seat {
    /// The machine's name.
    pub(crate) name: String,
    /// Where its registry listens.
    pub(crate) registry: String,
    /// The node on it.
    pub(crate) id: NodeId,
}

/// The cluster as those see it who operate it.
pub(crate) struct Admin {
    client: ClusterClient,
    cluster_id: String,
    /// How long one question to a router may take.
    patience: Duration,
    seats: Mutex<Vec<Seat>>,
    roster: Mutex<Roster>,
}

impl Admin {
    /// A cluster that the first `founders` of the seats have founded; the others are spares.
    pub(crate) fn new(
        client: ClusterClient,
        cluster_id: String,
        patience: Duration,
        seats: Vec<Seat>,
        founders: usize,
    ) -> Self {
        let mut members: Vec<String> = seats.iter().map(|seat| seat.name.clone()).collect();
        let spares = members.split_off(founders);
        let roster = Roster::new(members, spares).into();
        Self { client, cluster_id, patience, seats: seats.into(), roster }
    }

    /// The routers that are members now, by name.
    pub(crate) fn members(&self) -> Vec<String> {
        self.roster.lock().members().to_vec()
    }

    /// One of the members, counted around.
    pub(crate) fn member(&self, number: usize) -> Option<String> {
        let members = self.members();
        members.get(number.checked_rem(members.len())?).cloned()
    }

    /// The seat of a name.
    pub(crate) fn seat(&self, name: &str) -> Option<Seat> {
        self.seats.lock().iter().find(|seat| seat.name == name).cloned()
    }

    /// Gives a seat to a new node, blank, that may take another's place.
    pub(crate) fn offer(&self, name: &str, id: NodeId) {
        let mut seats = self.seats.lock();
        let Some(seat) = seats.iter_mut().find(|seat| seat.name == name) else { return };
        seat.id = id;
        self.roster.lock().offer(name);
    }

    /// Takes a spare, by name.
    pub(crate) fn take_spare(&self) -> Option<String> {
        self.roster.lock().take_spare()
    }

    /// Gives back a spare that was taken and not used.
    pub(crate) fn give_back(&self, name: &str) {
        self.roster.lock().give_back(name);
    }

    /// How a node says that it stands.
    pub(crate) async fn report(&self, name: &str) -> Option<Report> {
        let registry = self.seat(name)?.registry;
        self.client.report(&registry, Instant::now() + self.patience).await.ok()
    }

    /// Who leads a shard, as the routers say; with the highest term, should two of them think so.
    pub(crate) async fn leader(&self, shard: ShardId) -> Option<String> {
        let mut best: Option<(u64, String)> = None;
        for name in self.members() {
            let Some(report) = self.report(&name).await else { continue };
            let leads = report.leads().any(|led| led == shard);
            let term = report.replica(shard).map_or(0, |replica| replica.term);
            if leads && best.as_ref().is_none_or(|(held, _)| *held < term) {
                best = Some((term, name));
            }
        }
        best.map(|(_, name)| name)
    }

    /// Has a node take snapshots of all its shards and purge their logs.
    pub(crate) async fn snapshot(&self, name: &str) -> Installed {
        let Some(seat) = self.seat(name) else {
            return Installed::Skipped(format!("{name} is no router"));
        };
        let deadline = Instant::now() + CHANGE;
        match self.client.snapshot(&seat.registry, &[], deadline).await {
            Ok(_) => Installed::Yes { targets: vec![seat.name] },
            Err(error) => Installed::Skipped(error.to_string()),
        }
    }

    /// What the leader of a shard says of the cluster, and who it is.
    async fn told(&self, shard: ShardId) -> Result<(String, Report), Installed> {
        let Some(leader) = self.leader(shard).await else {
            return Err(Installed::Skipped("nobody leads it".to_owned()));
        };
        let deadline = Instant::now() + CHANGE;
        let registry = self.seat(&leader).map(|seat| seat.registry).unwrap_or_default();
        match self.client.report(&registry, deadline).await {
            Ok(report) => Ok((leader, report)),
            Err(error) => Err(Installed::Skipped(error.to_string())),
        }
    }

    /// Whether a router may be lost for good: not while the replicas of another one are on their way, who still
    /// has votes.
    ///
    /// # Errors
    /// That the fault is skipped, and why.
    pub(crate) async fn may_lose_one(&self) -> Result<(), Installed> {
        if self.roster.lock().is_unfinished() {
            return Err(Installed::Skipped("another one is still to be replaced".to_owned()));
        }
        self.none_drained()?;
        let (_, report) = self.told(ShardId::CONTROL).await?;
        let is_going = report.nodes.iter().any(|(_, state)| *state == NodeState::Leaving);
        let is_settled = |(placement, placed): &(Placement, Option<Placed>)| {
            let sorted = |mut nodes: Vec<NodeId>| {
                nodes.sort_unstable();
                nodes
            };
            let voters = placed.as_ref().map(|placed| sorted(placed.voters.clone()));
            voters == Some(sorted(placement.replicas.clone()))
        };
        match !is_going && report.placements.iter().all(is_settled) {
            true => Ok(()),
            false => Err(Installed::Skipped("replicas are on their way".to_owned())),
        }
    }

    /// Whether routers may be replaced: not while a change of one's state may just be on its way, which would take
    /// back that it leaves.
    ///
    /// # Errors
    /// That the fault is skipped, and why.
    pub(crate) fn none_drained(&self) -> Result<(), Installed> {
        match self.roster.lock().drained().next() {
            None => Ok(()),
            Some(_) => Err(Installed::Skipped("a router is drained".to_owned())),
        }
    }

    /// Has a router lead nothing while another one can.
    pub(crate) async fn drain(&self, name: &str) -> Installed {
        let (_, report) = match self.told(ShardId::CONTROL).await {
            Ok(told) => told,
            Err(skipped) => return skipped,
        };
        let Some(seat) = self.seat(name) else {
            return Installed::Skipped(format!("{name} is no router"));
        };
        let is_active = report
            .nodes
            .iter()
            .any(|(node, state)| node.id == seat.id && *state == NodeState::Active);
        if !is_active || !self.roster.lock().drain(name) {
            return Installed::Skipped(format!("{name} may be on its way out"));
        }
        let drained = ControlCommand::SetNodeState { node: seat.id, state: NodeState::Draining };
        let changed = self.change(drained, vec![name.to_owned()]).await;
        if matches!(changed, Installed::Skipped(_)) {
            self.roster.lock().end_drain(name);
        }
        changed
    }

    /// Says that all are to lead again.
    pub(crate) fn lead_again(&self) {
        self.roster.lock().lead_again();
    }

    /// Tries once more to have those lead again that are to.
    async fn undrain(&self) {
        let again = self.roster.lock().to_lead_again();
        for name in again {
            let Some(seat) = self.seat(&name) else { continue };
            let active = ControlCommand::SetNodeState { node: seat.id, state: NodeState::Active };
            if let Installed::Yes { .. } = self.change(active, Vec::new()).await {
                self.roster.lock().end_drain(&name);
            }
        }
    }

    /// Has another replica preferred as a shard's leader.
    pub(crate) async fn move_leader(&self, shard: ShardId) -> Installed {
        let (leader, report) = match self.told(shard).await {
            Ok(told) => told,
            Err(skipped) => return skipped,
        };
        let held = report.placements.into_iter().map(|(placement, _)| placement);
        let Some(held) = held.into_iter().find(|placement| placement.shard == shard) else {
            return Installed::Skipped("it has no placement".to_owned());
        };
        let mut replicas = held.replicas;
        replicas.rotate_left(1);
        let placement = Placement { shard, version: held.version + 1, replicas };
        self.change(ControlCommand::Place(placement), vec![leader]).await
    }

    /// Gives a shard one replica more, or one fewer. Where no node has room for one more, `spare` is taken in.
    pub(crate) async fn resize(
        &self,
        shard: ShardId,
        more: bool,
        spare: impl FnOnce() -> Option<String>,
    ) -> Installed {
        let skipped = |why: &str| Installed::Skipped(why.to_owned());
        let (leader, report) = match self.told(shard).await {
            Ok(told) => told,
            Err(skipped) => return skipped,
        };
        let held = report.placements.iter().find(|(placement, _)| placement.shard == shard);
        let Some((held, Some(placed))) = held else { return skipped("it has no placement") };
        let mut voters = placed.voters.clone();
        let mut replicas = held.replicas.clone();
        voters.sort_unstable();
        replicas.sort_unstable();
        if voters != replicas {
            return skipped("it is just being moved");
        }
        let mut replicas = held.replicas.clone();
        if more {
            let is_free = |(node, state): &&(Node, NodeState)| {
                *state == NodeState::Active && !replicas.contains(&node.id)
            };
            let free = report.nodes.iter().find(is_free).map(|(node, _)| node.id);
            let taken = match free {
                Some(free) => Some(free),
                None => match spare() {
                    Some(spare) => match self.begin_to_take_in(&spare).await {
                        Ok(node) => Some(node),
                        Err(installed) => return installed,
                    },
                    None => None,
                },
            };
            let Some(taken) = taken else { return skipped("no node has room for it") };
            replicas.push(taken);
        } else if replicas.len() > report.replicas_founded as usize {
            replicas.pop();
        } else {
            return skipped("it has as few as it was founded with");
        }
        let placement = Placement { shard, version: held.version + 1, replicas };
        self.change(ControlCommand::Place(placement), vec![leader]).await
    }

    /// Makes a spare one of the cluster, which is finished later where nobody knows whether it is done.
    async fn begin_to_take_in(&self, spare: &str) -> Result<NodeId, Installed> {
        // Before: whoever waits for this may give up in the middle of it.
        let Some(_taking_in) = TakingIn::begin(&self.roster, spare) else {
            return Err(Installed::Skipped(format!("{spare} is just being taken in")));
        };
        let taken = self.take_in(spare).await;
        let mut roster = self.roster.lock();
        if !matches!(taken, Err(Installed::Indeterminate(_))) {
            roster.end_taking_in(spare);
        }
        if let Err(Installed::Skipped(_)) = &taken {
            roster.give_back(spare);
        }
        drop(roster);
        taken
    }

    /// Makes a spare one of the cluster. It may be repeated.
    async fn take_in(&self, spare: &str) -> Result<NodeId, Installed> {
        let Some(seat) = self.seat(spare) else {
            return Err(Installed::Skipped(format!("{spare} is no router")));
        };
        let node = describe(&self.client, &seat.registry).await;
        let (id, targets) = (node.id, vec![seat.name.clone()]);
        match self.change(ControlCommand::AddNode(node.clone()), targets).await {
            Installed::Yes { .. } => {}
            other => return Err(other),
        }
        if let Err(error) = self.adopt(&seat.registry, node).await {
            return Err(Installed::Indeterminate(error.to_string()));
        }
        self.roster.lock().join(spare);
        Ok(id)
    }

    async fn change(&self, command: ControlCommand, targets: Vec<String>) -> Installed {
        match self.client.change(&command, BY, Instant::now() + CHANGE).await {
            Ok(_) => Installed::Yes { targets },
            Err(error @ ClusterError::Unknown { .. }) => {
                Installed::Indeterminate(error.to_string())
            }
            Err(error) => Installed::Skipped(error.to_string()),
        }
    }

    /// Puts a spare that was taken, and runs, in a router's place.
    pub(crate) async fn replace(&self, old: &str, spare: &str) -> Installed {
        let (Some(gone), Some(new)) = (self.seat(old), self.seat(spare)) else {
            return Installed::Skipped(format!("{old} or {spare} is no router"));
        };
        if let Err(skipped) = self.none_drained() {
            return skipped;
        }
        let node = describe(&self.client, &new.registry).await;
        let targets = vec![gone.name.clone(), new.name.clone()];
        let added = self.change(ControlCommand::AddNode(node.clone()), targets.clone()).await;
        if !matches!(added, Installed::Yes { .. }) {
            return added;
        }
        if let Err(error) = self.adopt(&new.registry, node).await {
            return Installed::Indeterminate(error.to_string());
        }
        self.roster.lock().take_place(&gone.name, &new.name);
        let (node, state) = (gone.id, NodeState::Leaving);
        self.change(ControlCommand::SetNodeState { node, state }, targets).await
    }

    /// Says that a spare is still to take a router's place: nobody knows whether it has, or it has to.
    pub(crate) fn leave_unfinished(&self, old: &str, spare: &str) {
        self.roster.lock().leave_unfinished(old, spare);
    }

    /// Says that a router is gone for good and that nobody takes its place yet.
    pub(crate) fn lose(&self, name: &str) {
        self.roster.lock().lose(name);
    }

    /// Says that somebody takes a lost router's place, or may have done so.
    pub(crate) fn make_up_for(&self, name: &str) {
        self.roster.lock().make_up_for(name);
    }

    /// The routers that are gone for good and whose places nobody takes yet.
    pub(crate) fn lost(&self) -> Vec<String> {
        self.roster.lock().lost()
    }

    /// The routers that the cluster was not told to let lead again, or may not have been: their nodes and names.
    pub(crate) fn drained(&self) -> Vec<(u64, String)> {
        let drained: Vec<String> = self.roster.lock().drained().map(str::to_owned).collect();
        drained.into_iter().filter_map(|name| Some((self.seat(&name)?.id.0, name))).collect()
    }

    /// Tries once more what is unfinished. The routers whose places were taken now.
    pub(crate) async fn finish(&self) -> Vec<String> {
        self.undrain().await;
        let mut gone = Vec::new();
        let unfinished = self.roster.lock().unfinished();
        for (old, spare) in unfinished {
            let replaced = timeout(FINISH, self.replace(&old, &spare)).await;
            if matches!(replaced, Ok(Installed::Yes { .. })) {
                self.roster.lock().finish(&old);
                gone.push(old);
            }
        }
        let half_taken_in = self.roster.lock().half_taken_in();
        for spare in half_taken_in {
            let Some(_taking_in) = TakingIn::begin(&self.roster, &spare) else { continue };
            if matches!(timeout(FINISH, self.take_in(&spare)).await, Ok(Ok(_))) {
                self.roster.lock().end_taking_in(&spare);
            }
        }
        gone
    }

    /// Makes a node whose disk was lost one of the cluster under its old id, as if nothing had happened. The
    /// others must not take it for what it was. Whether it believes that it is one of them.
    pub(crate) async fn bring_back(&self, name: &str) -> bool {
        let Some(seat) = self.seat(name) else { return false };
        let back = async {
            let node = describe(&self.client, &seat.registry).await;
            self.adopt(&seat.registry, node).await.is_ok()
        };
        timeout(CHANGE, back).await.unwrap_or(false)
    }

    async fn adopt(&self, registry: &str, node: Node) -> Result<(), ClusterError> {
        let adoption = Adoption {
            cluster_id: self.cluster_id.clone(),
            node: node.id,
            instance: node.instance,
            shards: self.shards().await,
            founding: None,
        };
        self.client.adopt(registry, &adoption, BY, Instant::now() + CHANGE).await
    }

    async fn shards(&self) -> u32 {
        let table = self.client.table(Instant::now() + CHANGE).await;
        table.map_or(0, |table| table.shards.len().try_into().unwrap_or(0))
    }
}

/// Somebody takes a spare in, and nobody else does meanwhile. Who gives up in the middle leaves it to the others.
struct TakingIn<'a> {
    roster: &'a Mutex<Roster>,
    spare: &'a str,
}

impl<'a> TakingIn<'a> {
    /// Begins, unless somebody else just does.
    fn begin(roster: &'a Mutex<Roster>, spare: &'a str) -> Option<Self> {
        let begins = roster.lock().begin_to_take_in(spare);
        begins.then_some(Self { roster, spare })
    }
}

impl Drop for TakingIn<'_> {
    fn drop(&mut self) {
        self.roster.lock().stop_taking_in(self.spare);
    }
}

#[cfg(test)]
mod tests {
    use orrery_host::Host;
    use orrery_router_client::Config;

    use super::*;

    /// A founder and a spare; nobody answers.
    fn admin() -> Admin {
        // The port of `discard`, where nobody listens.
        let registry = "127.0.0.1:9".to_owned();
        let config = Config { nodes: vec![registry.clone()], ..Config::default() };
        let client = ClusterClient::new(&config, Host::system());
        let seat = |id| {
            let name = format!("router-{id}");
            Seat { name, registry: registry.clone(), id: NodeId(id) }
        };
        Admin::new(client, "c".to_owned(), CHANGE, vec![seat(1), seat(2)], 1)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_just_being_done_is_not_done_a_second_time_and_what_was_given_up_is() {
        let admin = admin();
        let spare = admin.take_spare().unwrap();
        let tries = |took: Duration| took >= FINISH;
        let mut taking = Box::pin(admin.begin_to_take_in(&spare));
        assert!(timeout(CHANGE, &mut taking).await.is_err(), "nobody answers");
        let began = Instant::now();
        admin.finish().await;
        assert!(!tries(began.elapsed()), "it was tried a second time");
        drop(taking);
        let began = Instant::now();
        admin.finish().await;
        assert!(tries(began.elapsed()), "nobody goes on with it");
    }
}
