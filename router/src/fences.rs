//! Fences: brings what the control shard decided about comets' lives into every data shard's log.

use std::sync::Arc;

use orrery_model::ShardId;
use orrery_model::command::{Command, ExpireComet};
use orrery_model::control::{ControlCommand, FenceEvent, shards_of};
use tokio::time::{Instant, sleep, timeout};

use crate::limits::{FENCES_PER_LOOK_MAX, LOOK_AGAIN, UPKEEP_PAUSE, UPKEEP_TIMEOUT};
use crate::metrics::ShardMetrics;
use crate::shard::{ControlShard, DataShard};
use crate::shards::Shards;

/// Writes the fence events after the shard's cursor into its log for as long as this node leads it.
/// Runs until it is dropped.
pub(crate) async fn distribute(
    shard: Arc<DataShard>,
    control: Arc<ControlShard>,
    metrics: ShardMetrics,
) {
    let mut decided = control.replica().watch_applied();
    loop {
        decided.mark_unchanged();
        let events = match shard.group().leading_term() {
            Some(_) => events_after_cursor(&shard, &control),
            None => Vec::new(),
        };
        if events.is_empty() {
            // Woken by the next entry of the control shard; or looks again, having become leader.
            let _ = timeout(LOOK_AGAIN, decided.changed()).await;
        } else if !write(&shard, &events, &metrics).await {
            sleep(UPKEEP_PAUSE).await;
        }
    }
}

fn events_after_cursor(shard: &DataShard, control: &ControlShard) -> Vec<FenceEvent> {
    let cursor = shard.replica().registry(|registry, _| registry.cursor());
    control.replica().control(|control, _| control.events_after(cursor, FENCES_PER_LOOK_MAX))
}

/// Writes the events one after the other, up to the first that is not known to be applied: the cursor
/// passes over whatever it has not met, so an event must never get into the log before an earlier one. An
/// event written twice changes nothing, so what is left in doubt is simply looked at again.
async fn write(shard: &DataShard, events: &[FenceEvent], metrics: &ShardMetrics) -> bool {
    for event in events {
        let expire = ExpireComet {
            comet: event.comet.clone(),
            fence: event.fence,
            position: event.position,
        };
        let deadline = Instant::now() + UPKEEP_TIMEOUT;
        let written = shard.write_in_turn(Command::ExpireComet(expire), deadline).await;
        if !written.is_ok_and(|written| written.reply.is_ok()) {
            return false;
        }
        metrics.fences(1);
    }
    true
}

/// Lets the control shard forget the events that every data shard has applied. Runs until dropped.
pub(crate) async fn trim(shards: Arc<Shards>) {
    loop {
        sleep(LOOK_AGAIN).await;
        let control = shards.control();
        if control.group().leading_term().is_none() {
            continue;
        }
        let Some(position) = applied_everywhere(&shards) else { continue };
        let due = control.replica().control(|control, _| {
            control.events_after(0, 1).first().is_some_and(|event| event.position <= position)
        });
        if due {
            let deadline = Instant::now() + UPKEEP_TIMEOUT;
            // Refused or in doubt, it is due again at the next look.
            let _ = control.write_in_turn(ControlCommand::Trim { position }, deadline).await;
        }
    }
}

/// The position that all data shards of the cluster have passed; none unless this node sees them all.
fn applied_everywhere(shards: &Shards) -> Option<u64> {
    let table = shards
        .control()
        .replica()
        .control(|control, _| control.found().map(|found| shards_of(&found.table)));
    let cursor = |shard: ShardId| {
        let shard = shards.get(shard)?;
        Some(shard.replica().registry(|registry, _| registry.cursor()))
    };
    table?.into_iter().map(cursor).collect::<Option<Vec<_>>>()?.into_iter().min()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;
    use orrery_host::{Host, Task};
    use orrery_model::command::{Refusal, Reply, RouteName, Unbind};
    use orrery_model::control::{Advertise, Attach};
    use orrery_model::{Address, CometId, CometRef, Conn, Id, Incarnation, NodeId, Seq};
    use orrery_router_store::Identity;
    use orrery_router_store::model::ModelDisk;

    use super::*;
    use crate::Config;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn events_reach_every_shard_and_are_forgotten_then() {
        let identity = Identity { cluster_id: "test".to_owned(), node: NodeId(1), shards: 4 };
        let store = Arc::new(ModelDisk::new(identity).open().unwrap());
        let config = Config { registry_listen: ([127, 0, 0, 1], 0).into(), ..Config::default() };
        let handle = crate::start(config, Host::system(), store).await.unwrap();
        let looks = async {
            while handle.ready().is_err() {
                sleep(Duration::from_millis(5)).await;
            }
            for attempt in 1..=3 {
                let attach = Attach { attempt, ..attach(Id::new("comet-a").unwrap()) };
                let deadline = Instant::now() + UPKEEP_TIMEOUT;
                handle.serving().control.attach(attach, deadline).await.unwrap();
            }
            let shards = &handle.serving().shards;
            let control = shards.control().replica();
            let last = control.control(|control, _| control.last_position());
            assert_eq!(last, 3);
            while applied_everywhere(shards) != Some(last)
                || !control.control(|control, _| control.events_after(0, 1).is_empty())
            {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(Duration::from_secs(20), looks).await.expect("events are written and forgotten");
        handle.stop().await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_crowded_shard_takes_every_event() {
        let identity = Identity { cluster_id: "test".to_owned(), node: NodeId(1), shards: 1 };
        let store = Arc::new(ModelDisk::new(identity).open().unwrap());
        let listen = ([127, 0, 0, 1], 0).into();
        let config = Config { registry_listen: listen, shards: 1, ..Config::default() };
        let handle = crate::start(config, Host::system(), store).await.unwrap();
        let looks = async {
            while handle.ready().is_err() {
                sleep(Duration::from_millis(5)).await;
            }
            let shard = handle.serving().shards.get(ShardId(1)).expect("the only one").clone();
            let metrics = crate::metrics::Metrics::default().shard(shard.id());
            let crowd: Vec<_> = (0..8).map(|number| crowd(shard.clone(), number)).collect();
            let fence = Incarnation(2);
            let comet = |position| Id::new(format!("comet-{position}")).unwrap();
            let cursor = || shard.replica().registry(|registry, _| registry.cursor());
            while cursor() < 256 {
                let event = |position| FenceEvent { position, comet: comet(position), fence };
                let after = cursor() + 1;
                let events: Vec<_> = (after..after + 64).map(event).collect();
                write(&shard, &events, &metrics).await;
            }
            drop(crowd);
            for position in 1..=256 {
                let life = CometRef { id: comet(position), incarnation: Incarnation(1) };
                let reply = unbind(&shard, life).await.expect("nobody else writes any more");
                assert_eq!(reply, Err(Refusal::Fenced { fence }), "event {position}");
            }
        };
        timeout(Duration::from_secs(60), looks).await.expect("events are written");
        handle.stop().await;
    }

    fn attach(comet: CometId) -> Attach {
        let advertise = Advertise { delivery: "127.0.0.1:3109".to_owned(), ..Advertise::default() };
        Attach { comet, instance: "one".to_owned(), attempt: 1, advertise }
    }

    /// Writes as much as the shard takes, and more, until it is dropped.
    fn crowd(shard: Arc<DataShard>, number: u64) -> Task {
        Host::system().tasks.spawn("crowd", async move {
            let comet = CometRef {
                id: Id::new(format!("crowd-{number}")).unwrap(),
                incarnation: Incarnation(1),
            };
            loop {
                join_all((0..512).map(|_| unbind(&shard, comet.clone()))).await;
                // Refused at once, it would keep the thread from everybody else.
                tokio::task::yield_now().await;
            }
        })
    }

    async fn unbind(shard: &DataShard, comet: CometRef) -> Option<Reply> {
        let unbind = Unbind {
            address: Address::user(Id::new("nobody").unwrap()),
            comet,
            route: RouteName::Seq(Seq(1)),
            settled: Conn(0),
        };
        let deadline = Instant::now() + UPKEEP_TIMEOUT;
        Some(shard.write(Command::Unbind(unbind), deadline).await.ok()?.reply)
    }
}
