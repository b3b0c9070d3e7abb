//! Fences: brings what the control shard decided about comets' lives into every data shard's log.

use std::sync::Arc;

use futures_util::future::join_all;
use orrery_model::command::{Command, ExpireComet};
use orrery_model::control::{ControlCommand, FenceEvent, shards_of};
use tokio::time::{Instant, sleep, timeout};

use crate::limits::{FENCES_PER_LOOK_MAX, LOOK_AGAIN, UPKEEP_PAUSE, UPKEEP_TIMEOUT};
use crate::metrics::ShardMetrics;
use crate::reports::Reports;
use crate::shard::{ControlShard, DataShard};

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

/// Writes the events, in order and all at once: they leave as few entries. One that comes before its
/// predecessor changes nothing, so what is left out or in doubt is simply looked at again.
async fn write(shard: &DataShard, events: &[FenceEvent], metrics: &ShardMetrics) -> bool {
    let deadline = Instant::now() + UPKEEP_TIMEOUT;
    let writes = events.iter().map(|event| {
        let expire = ExpireComet {
            comet: event.comet.clone(),
            fence: event.fence,
            position: event.position,
        };
        shard.write_in_turn(Command::ExpireComet(expire), deadline)
    });
    // Polled in this order, they enter the queue in this order.
    let written = join_all(writes).await;
    let taken = written
        .iter()
        .take_while(|written| written.as_ref().is_ok_and(|written| written.reply.is_ok()));
    let taken = taken.count();
    metrics.fences(taken);
    taken == events.len()
}

/// Lets the control shard forget the events that every data shard has applied, as its leader was told.
/// Runs until dropped.
pub(crate) async fn trim(control: Arc<ControlShard>, reports: Arc<Reports>) {
    loop {
        sleep(LOOK_AGAIN).await;
        if control.group().leading_term().is_none() {
            continue;
        }
        let Some(position) = due(&control, &reports) else { continue };
        let deadline = Instant::now() + UPKEEP_TIMEOUT;
        // Refused or in doubt, it is due again at the next look.
        let _ = control.write_in_turn(ControlCommand::Trim { position }, deadline).await;
    }
}

/// The position up to which events are kept although every data shard has them.
fn due(control: &ControlShard, reports: &Reports) -> Option<u64> {
    control.replica().control(|control, _| {
        let shards = shards_of(&control.found()?.table);
        let position = reports.applied_everywhere(&shards)?;
        let first = control.events_after(0, 1);
        first.first().is_some_and(|event| event.position <= position).then_some(position)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;
    use orrery_host::{Host, Task};
    use orrery_model::command::{Refusal, Reply, RouteName, Unbind};
    use orrery_model::control::{Advertise, Attach};
    use orrery_model::{Address, CometId, CometRef, Conn, Id, Incarnation, Seq, ShardId};

    use super::*;
    use crate::lone_node::node;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn events_reach_every_shard_and_are_forgotten_then() {
        let looks = async {
            let handle = node(4).await;
            let member = handle.member();
            for attempt in 1..=3 {
                let attach = Attach { attempt, ..attach(Id::new("comet-a").unwrap()) };
                let deadline = Instant::now() + UPKEEP_TIMEOUT;
                member.control.attach(attach, deadline).await.unwrap();
            }
            let control = member.shards.control().replica();
            let last = control.control(|control, _| control.last_position());
            assert_eq!(last, 3);
            let cursor =
                |shard: &Arc<DataShard>| shard.replica().registry(|registry, _| registry.cursor());
            while member.shards.data().iter().any(|shard| cursor(shard) != last)
                || !control.control(|control, _| control.events_after(0, 1).is_empty())
            {
                sleep(Duration::from_millis(5)).await;
            }
            drop(member);
            handle.stop().await;
        };
        timeout(Duration::from_secs(20), looks).await.expect("events are written and forgotten");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_crowded_shard_takes_every_event() {
        let looks = async {
            let handle = node(1).await;
            let shard = handle.member().shards.get(ShardId(1)).expect("the only one");
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
                // Refused while what the crowd left behind still waits.
                let reply = loop {
                    match unbind(&shard, life.clone()).await {
                        Some(reply) => break reply,
                        None => sleep(Duration::from_millis(5)).await,
                    }
                };
                assert_eq!(reply, Err(Refusal::Fenced { fence }), "event {position}");
            }
            drop(shard);
            handle.stop().await;
        };
        timeout(Duration::from_secs(60), looks).await.expect("events are written");
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
