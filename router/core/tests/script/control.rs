//! The stage of the control shard's scripts.

use std::collections::BTreeSet;

use orrery_model::cluster::{
    Counters, FIRST_INSTANCE, Node, NodeState, PLACED_VERSION_PROTOCOL, PROTOCOL, Placed, Placement,
};
use orrery_model::control::{
    Advertise, Attach, ControlBatch, ControlCommand, ControlOutcome, ControlReply, Found,
};
use orrery_model::record::ControlRecord;
use orrery_model::{Incarnation, NodeId, Seq, ShardId, ring};
use orrery_router_core::control::Control;
use orrery_router_core::{placement, plan};

use super::words::{self, Words};

#[derive(Default)]
pub(crate) struct Stage {
    control: Control,
    wall_ms: u64,
    log_index: u64,
}

impl super::Stage for Stage {
    fn run(&mut self, words: &mut Words<'_>) -> String {
        match words.next() {
            "wall" => {
                self.wall_ms = words.need("ms");
                "noted".to_owned()
            }
            "comets" => {
                let comets = self.control.comets();
                let shown = comets.map(|c| {
                    format!(
                        "{} {} attempt={} at={}",
                        c.comet, c.instance, c.attempt, c.attached_at_ms
                    )
                });
                all(shown.collect())
            }
            "events" => {
                let after = words.number_or("after", 0);
                let limit = words.number_or("limit", u64::MAX) as usize;
                let events = self.control.events_after(after, limit).into_iter();
                let shown = events.map(|e| format!("{} {} fence={}", e.position, e.comet, e.fence));
                all(shown.collect())
            }
            "last_position" => self.control.last_position().to_string(),
            "standing" => format!("{:?}", self.control.standing(&words.comet())).to_lowercase(),
            "found?" => self.control.found().map_or("no".into(), |found| found.cluster_id.clone()),
            "restore" => self.restore(),
            "restore_of_one_node_build" => self.restore_of_one_node_build(),
            "nodes" => all(self.control.nodes().map(show_node).collect()),
            "placements" => {
                all(self.control.placements().map(|p| self.show_placement(p)).collect())
            }
            "protocol" => self.control.protocol().to_string(),
            "held_by" => {
                let node = node_id(words.next());
                self.control
                    .held_by(node)
                    .map_or("nothing".into(), |shard| format!("shard {shard}"))
            }
            "may_propose" => {
                let verb = words.next();
                match self.control.proposable(&command(verb, words)) {
                    true => "yes".to_owned(),
                    false => "not yet".to_owned(),
                }
            }
            "leader" => {
                let shard = ShardId(words.need("shard") as u32);
                plan::preferred_leader(&self.control, shard)
                    .map_or("none".into(), |node| format!("node {node}"))
            }
            "plan" => all(self.plan(words).iter().map(show_command).collect()),
            "keep" => {
                self.keep();
                "all placed".to_owned()
            }
            "follow" => self.follow(words),
            verb => show(&self.apply(command(verb, words))),
        }
    }
}

impl Stage {
    fn apply(&mut self, command: ControlCommand) -> ControlReply {
        let wall_ms = self.wall_ms;
        let batch = ControlBatch { elapsed_ms: 0, wall_ms, commands: vec![command] };
        self.control.apply(&batch).remove(0)
    }

    /// Goes on with the control shard that the snapshot's records make.
    fn restore(&mut self) -> String {
        let snapshot = self.control.snapshot();
        let restored = Control::restore(snapshot.records()).unwrap();
        assert_eq!(restored.digest(), self.control.digest());
        assert!(restored.snapshot().records().eq(snapshot.records()));
        self.control = restored;
        "restored alike".to_owned()
    }

    /// Goes on from a snapshot in which there is nothing of nodes and placements.
    fn restore_of_one_node_build(&mut self) -> String {
        let is_known = |record: &ControlRecord| {
            !matches!(
                record,
                ControlRecord::Node { .. } | ControlRecord::Placement(_) | ControlRecord::Placed(_)
            )
        };
        let records: Vec<_> = self.control.snapshot().records().filter(is_known).collect();
        self.control = Control::restore(records).unwrap();
        "restored".to_owned()
    }

    fn plan(&self, words: &mut Words<'_>) -> Vec<ControlCommand> {
        let (live, unfit) = (node_set(words.get("live")), node_set(words.get("unfit")));
        plan::plan(&self.control, &live, &unfit)
    }

    /// The leaders of all shards bring their members to where the placements say, and report it.
    fn keep(&mut self) {
        let placements: Vec<_> = self.control.placements().cloned().collect();
        for Placement { shard, version, replicas: voters } in placements {
            self.log_index += 1;
            let learners = Vec::new();
            let is_said = self.control.protocol() >= PLACED_VERSION_PROTOCOL;
            let version = is_said.then_some(version);
            let placed = Placed { shard, log_index: self.log_index, voters, learners, version };
            self.apply(ControlCommand::Placed(placed)).unwrap();
        }
    }

    /// Plans, carries out and keeps until nothing is left to do.
    fn follow(&mut self, words: &mut Words<'_>) -> String {
        let (live, unfit) = (node_set(words.get("live")), node_set(words.get("unfit")));
        let mut shown = Vec::new();
        loop {
            self.keep();
            let steps = plan::plan(&self.control, &live, &unfit);
            if steps.is_empty() {
                return all(shown);
            }
            assert!(shown.len() < 100, "the plans do not end");
            for step in steps {
                shown.push(show_command(&step));
                self.apply(step).unwrap();
            }
        }
    }

    fn show_placement(&self, placement: &Placement) -> String {
        let shown = show_place(placement);
        match self.control.placed(placement.shard) {
            None => shown,
            Some(placed) => format!("{shown}, {}", show_placed(placed)),
        }
    }
}

fn command(verb: &str, words: &mut Words<'_>) -> ControlCommand {
    match verb {
        "found" => ControlCommand::Found(found(words)),
        "attach" => ControlCommand::Attach(Attach {
            comet: words::id(words.next()),
            instance: words.get("instance").unwrap_or("").to_owned(),
            attempt: words.number_or("attempt", 1),
            advertise: Advertise::default(),
        }),
        "expire" => ControlCommand::Expire(words.comet()),
        "trim" => ControlCommand::Trim { position: words.need("position") },
        "add" => ControlCommand::AddNode(node(words)),
        "update" => ControlCommand::UpdateNode(node(words)),
        "set" => {
            ControlCommand::SetNodeState { node: node_id(words.next()), state: state(words.next()) }
        }
        "place" => ControlCommand::Place(Placement {
            shard: ShardId(words.need("shard") as u32),
            version: words.need("version"),
            replicas: nodes(words.get("on").unwrap_or("")),
        }),
        "placed" => ControlCommand::Placed(Placed {
            shard: ShardId(words.need("shard") as u32),
            log_index: words.need("index"),
            voters: nodes(words.get("voters").unwrap_or("")),
            learners: nodes(words.get("learners").unwrap_or("")),
            version: words.number("version"),
        }),
        other => words.fail(&format!("no command {other}")),
    }
}

/// Without `nodes=`, a cluster as the build for a single node founded it.
fn found(words: &mut Words<'_>) -> Found {
    let cluster_id = words.next_if_any().unwrap_or("").to_owned();
    let data: Vec<_> = (1..=words.number_or("shards", 2) as u32).map(ShardId).collect();
    let protocol = words.number_or("protocol", PROTOCOL.into()) as u32;
    let ids = words.get("nodes").map(nodes);
    let founders = match &ids {
        Some(ids) => ids.iter().map(|id| Node { protocol, ..plain_node(*id) }).collect(),
        None => {
            let instance = FIRST_INSTANCE.to_owned();
            vec![Node { instance, protocol: 1, ..plain_node(NodeId(1)) }]
        }
    };
    let all: Vec<_> = [ShardId::CONTROL].into_iter().chain(data.iter().copied()).collect();
    let mut placements = match words.number("replicas") {
        Some(replicas) => placement::propose(&ids.unwrap_or_default(), &all, replicas as usize),
        None => Vec::new(),
    };
    for (shard, replicas) in words.all("place") {
        let shard = ShardId(shard.parse().unwrap());
        placements.push(Placement { shard, version: 1, replicas: nodes(&replicas) });
    }
    let first_seqs = words.all("first_seq").into_iter();
    let first_seq = |(shard, seq): (String, String)| {
        (ShardId(shard.parse().unwrap()), Seq(seq.parse().unwrap()))
    };
    Found {
        cluster_id,
        nodes: founders,
        table: ring::propose(1, &data).unwrap(),
        placements,
        counters: Counters {
            first_incarnation: Incarnation(words.number_or("first_incarnation", 0)),
            first_seqs: first_seqs.map(first_seq).collect(),
        },
    }
}

fn node(words: &mut Words<'_>) -> Node {
    let plain = plain_node(node_id(words.next()));
    Node {
        registry: words.get("at").map_or(plain.registry, str::to_owned),
        instance: words.get("instance").map_or(plain.instance, str::to_owned),
        protocol: words.number_or("protocol", PROTOCOL.into()) as u32,
        ..plain
    }
}

fn plain_node(id: NodeId) -> Node {
    Node {
        id,
        registry: format!("n{id}:3121"),
        peers: format!("n{id}:3120"),
        instance: format!("disk-{id}"),
        protocol: PROTOCOL,
    }
}

fn node_id(text: &str) -> NodeId {
    NodeId(text.parse().unwrap())
}

fn nodes(text: &str) -> Vec<NodeId> {
    text.split(',').filter(|id| !id.is_empty()).map(node_id).collect()
}

fn node_set(text: Option<&str>) -> BTreeSet<NodeId> {
    nodes(text.unwrap_or("")).into_iter().collect()
}

fn state(word: &str) -> NodeState {
    NodeState::ALL.into_iter().find(|state| state.word() == word).expect("a state's word")
}

fn show(reply: &ControlReply) -> String {
    match reply {
        Ok(ControlOutcome::Done) => "done".to_owned(),
        Ok(ControlOutcome::Attached { incarnation, position }) => {
            format!("attached incarnation={incarnation} position={position}")
        }
        Err(refusal) => format!("refused: {refusal}"),
    }
}

fn show_node((node, state): (&Node, NodeState)) -> String {
    let Node { id, registry, instance, protocol, .. } = node;
    format!("{id} {state} {instance} at={registry} protocol={protocol}")
}

fn show_place(placement: &Placement) -> String {
    let Placement { shard, version, replicas } = placement;
    format!("shard {shard} version={version} on={}", numbers(replicas))
}

fn show_placed(placed: &Placed) -> String {
    let learners = match placed.learners.as_slice() {
        [] => String::new(),
        learners => format!(" learners={}", numbers(learners)),
    };
    let version = placed.version.map_or(String::new(), |version| format!(" answers={version}"));
    format!("index={} voters={}{learners}{version}", placed.log_index, numbers(&placed.voters))
}

fn show_command(command: &ControlCommand) -> String {
    match command {
        ControlCommand::Place(placement) => format!("place {}", show_place(placement)),
        ControlCommand::SetNodeState { node, state } => format!("set {node} {state}"),
        other => format!("{other:?}"),
    }
}

fn numbers(nodes: &[NodeId]) -> String {
    nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn all(shown: Vec<String>) -> String {
    if shown.is_empty() { "none".to_owned() } else { shown.join("\n") }
}
