//! Planner: while this node leads the control shard, proposes where replicas and leaders should be next.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use orrery_model::NodeId;
use orrery_router_core::plan::plan;
use tokio::time::{Instant, sleep, timeout};

use crate::limits::{
    LIVE_SILENCE_MAX, PLANNER_LEADS_MIN, PLANNER_LOOK, PLANNER_PAUSE, UPKEEP_TIMEOUT,
};
use crate::raft::members::Replication;
use crate::reports::Reports;
use crate::shard::ControlShard;

/// Plans for as long as this node leads the control shard. Runs until it is dropped.
pub(crate) async fn run(control: Arc<ControlShard>, reports: Arc<Reports>) {
    let mut leads: Option<(u64, Instant)> = None;
    let mut applied = control.replica().watch_applied();
    loop {
        sleep(PLANNER_PAUSE).await;
        // Sooner where something was told, such as that a step is done.
        if let Ok(Err(_)) = timeout(PLANNER_LOOK, applied.changed()).await {
            return;
        }
        let term = control.group().leading_term();
        leads = term.map(|term| match leads {
            Some((held, since)) if held == term => (term, since),
            _ => (term, Instant::now()),
        });
        // A new leader has not heard of everybody yet and would take them for dead.
        if leads.is_none_or(|(_, since)| since.elapsed() < PLANNER_LEADS_MIN) {
            continue;
        }
        let (live, unfit) = (live(&control, &reports), reports.unfit(Instant::now()));
        for step in control.replica().control(|control, _| plan(control, &live, &unfit)) {
            tracing::info!(?step, "the cluster's plan goes on");
            let deadline = Instant::now() + UPKEEP_TIMEOUT;
            match control.write_in_turn(step, deadline).await.map(|written| written.reply) {
                Ok(Ok(_)) => {}
                // Made from what is no longer so; the next plan is another.
                Ok(Err(refusal)) => tracing::debug!(%refusal, "a step of the plan was refused"),
                Err(error) => tracing::debug!(%error, "a step of the plan is in doubt"),
            }
        }
    }
}

/// The nodes that answer: every node follows the control shard, so its leader hears of all of them.
fn live(control: &ControlShard, reports: &Reports) -> BTreeSet<NodeId> {
    let answers = |(node, replica): (NodeId, Replication)| {
        let silence = replica.heard_ms.map(Duration::from_millis);
        silence.is_some_and(|silence| silence <= LIVE_SILENCE_MAX).then_some(node)
    };
    let mut live = reports.live(Instant::now());
    live.extend(control.group().replication().into_iter().filter_map(answers));
    live
}
