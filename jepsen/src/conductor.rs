//! Conductor: leads a run through its phases, in any world.

use std::collections::BTreeMap;
use std::time::Duration;

use judge::history::{self, FaultOutcome, NEMESIS, Op, Phase, PhaseName};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::plan::{Fault, Plan};
use crate::recorder::Recorder;
use crate::workload::bed::Stage;
use crate::world::{Installed, World};

/// How long the system may take until it serves at all.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(60);

/// Operations that must have ended ok before the first fault.
const WARM_UP_OK: usize = 30;

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// How long a shard is waited for after everything was healed. What is slower than it should be is for the
/// checkers to say.
const SERVING_TIMEOUT: Duration = Duration::from_secs(40);

/// How long the work goes on once every shard serves again.
const AFTER_HEAL: Duration = Duration::from_secs(3);

/// How long processes may take to end what they began.
const END_TIMEOUT: Duration = Duration::from_secs(60);

/// Leads a run. The load is there already and works until `stage` says otherwise; `ended` becomes true once all
/// of it has ended.
///
/// # Errors
/// What the harness could not do, in words: it says nothing about the system.
pub async fn lead(
    plan: &Plan,
    world: &dyn World,
    recorder: &Recorder,
    stage: &watch::Sender<Stage>,
    mut ended: watch::Receiver<bool>,
) -> Result<(), String> {
    begin(recorder, PhaseName::WarmUp);
    let warm = Instant::now() + WARM_UP_TIMEOUT;
    while recorder.ok() < WARM_UP_OK {
        if Instant::now() > warm {
            return Err(format!("the system did not serve within {WARM_UP_TIMEOUT:?}"));
        }
        sleep(LOOK).await;
    }
    begin(recorder, PhaseName::Main);
    break_it(plan, world, recorder).await;
    begin(recorder, PhaseName::Heal);
    world.heal().await;
    recorder.healed();
    let healed = Instant::now();
    while recorder.serving() < plan.swarm.shards as usize && healed.elapsed() < SERVING_TIMEOUT {
        sleep(LOOK).await;
    }
    sleep(AFTER_HEAL).await;
    stage.send_replace(Stage::End);
    let all_ended = ended.wait_for(|ended| *ended);
    if tokio::time::timeout(END_TIMEOUT, all_ended).await.is_err() {
        return Err("the workload does not end".to_owned());
    }
    begin(recorder, PhaseName::Final);
    Ok(())
}

fn begin(recorder: &Recorder, name: PhaseName) {
    recorder.mark(NEMESIS, Op::Phase(Phase { name }));
}

/// Installs each fault at its time, and takes it back at the end of its own.
async fn break_it(plan: &Plan, world: &dyn World, recorder: &Recorder) {
    let began = Instant::now();
    let at = |ms| began + Duration::from_millis(ms);
    let mut installed: BTreeMap<(u64, u32), &Fault> = BTreeMap::new();
    for fault in &plan.faults {
        take_back(world, recorder, &mut installed, began, Some(fault.at_ms)).await;
        sleep_until(at(fault.at_ms)).await;
        let outcome = world.install(fault).await;
        if fault.kind.stays() && !matches!(outcome, Installed::Skipped(_)) {
            installed.insert((fault.at_ms + fault.lasts_ms, fault.id), fault);
        }
        mark(recorder, fault, outcome);
    }
    take_back(world, recorder, &mut installed, began, None).await;
    sleep_until(at(plan.swarm.main_ms)).await;
}

/// Takes back what is over before a time, or everything when its time has come.
async fn take_back(
    world: &dyn World,
    recorder: &Recorder,
    installed: &mut BTreeMap<(u64, u32), &Fault>,
    began: Instant,
    before_ms: Option<u64>,
) {
    while let Some(first) = installed.first_entry() {
        let (until_ms, _) = *first.key();
        if before_ms.is_some_and(|before| until_ms > before) {
            return;
        }
        let fault = first.remove();
        sleep_until(began + Duration::from_millis(until_ms)).await;
        world.take_back(fault).await;
        let families = vec![family(fault)];
        recorder.mark(NEMESIS, Op::Heal(history::Heal { families }));
    }
}

fn family(fault: &Fault) -> String {
    format!("{:?}", fault.kind.family()).to_lowercase()
}

fn mark(recorder: &Recorder, fault: &Fault, outcome: Installed) {
    let (outcome, targets, reason) = match outcome {
        Installed::Yes { targets } => (FaultOutcome::Installed, targets, None),
        Installed::Skipped(reason) => (FaultOutcome::Skipped, Vec::new(), Some(reason)),
        Installed::Indeterminate(reason) => (FaultOutcome::Indeterminate, Vec::new(), Some(reason)),
    };
    let name = serde_json::to_string(fault).unwrap_or_default();
    let family = family(fault);
    let fault = history::Fault { family, name, targets, outcome: Some(outcome), reason };
    recorder.mark(NEMESIS, Op::Fault(fault));
}
