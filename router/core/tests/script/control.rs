//! The stage of the control shard's scripts.

use orrery_model::control::{
    Advertise, Attach, ControlBatch, ControlCommand, ControlOutcome, ControlReply, Found, Node,
};
use orrery_model::{NodeId, ShardId, ring};
use orrery_router_core::control::Control;

use super::words::{self, Words};

#[derive(Default)]
pub(crate) struct Stage {
    control: Control,
    wall_ms: u64,
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
            verb => {
                let command = command(verb, words);
                let batch =
                    ControlBatch { elapsed_ms: 0, wall_ms: self.wall_ms, commands: vec![command] };
                show(&self.control.apply(&batch).remove(0))
            }
        }
    }
}

impl Stage {
    /// Goes on with the control shard that the snapshot's records make.
    fn restore(&mut self) -> String {
        let snapshot = self.control.snapshot();
        let restored = Control::restore(snapshot.records()).unwrap();
        assert_eq!(restored.digest(), self.control.digest());
        assert!(restored.snapshot().records().eq(snapshot.records()));
        self.control = restored;
        "restored alike".to_owned()
    }
}

fn command(verb: &str, words: &mut Words<'_>) -> ControlCommand {
    match verb {
        "found" => {
            let shards: Vec<_> = (1..=words.number_or("shards", 2) as u32).map(ShardId).collect();
            ControlCommand::Found(Found {
                cluster_id: words.next_if_any().unwrap_or("").to_owned(),
                nodes: vec![Node {
                    id: NodeId(1),
                    registry: "127.0.0.1:3121".into(),
                    peers: "127.0.0.1:3120".into(),
                }],
                table: ring::propose(1, &shards).unwrap(),
            })
        }
        "attach" => ControlCommand::Attach(Attach {
            comet: words::id(words.next()),
            instance: words.get("instance").unwrap_or("").to_owned(),
            attempt: words.number_or("attempt", 1),
            advertise: Advertise::default(),
        }),
        "expire" => ControlCommand::Expire(words.comet()),
        "trim" => ControlCommand::Trim { position: words.need("position") },
        other => words.fail(&format!("no command {other}")),
    }
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

fn all(shown: Vec<String>) -> String {
    if shown.is_empty() { "none".to_owned() } else { shown.join("\n") }
}
