//! Conductor: leads a run through its phases, in any world.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use judge::history::{self, FaultOutcome, NEMESIS, Op, Phase, PhaseName};
use orrery_model::ShardId;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::operator::Operator;
use crate::plan::{Fault, FaultKind, Plan};
use crate::recorder::Recorder;
use crate::survey::Survey;
use crate::workload::bed::Stage;
use crate::workload::final_reads;
use crate::world::{Installed, World};

/// How long the system may take until it serves at all.
const WARM_UP_TIMEOUT: Duration = Duration::from_secs(60);

/// Operations that must have ended ok before the first fault.
const WARM_UP_OK: usize = 30;

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Pause between two tries at what was left half done.
const MEND: Duration = Duration::from_millis(500);

/// How long a shard is waited for after everything was healed.
const SERVING_TIMEOUT: Duration = Duration::from_secs(40);

/// How long the work goes on once every shard serves again.
const AFTER_HEAL: Duration = Duration::from_secs(3);

/// How often all is read for the last time, where something changed meanwhile: the life of a comet that ended.
const FINAL_READS_MAX: u32 = 3;

/// How long processes may take to end what they began.
const END_TIMEOUT: Duration = Duration::from_secs(60);

/// Leads a run. The load is there already and works until `stage` says otherwise; `ended` becomes true once all
/// of it has ended, but for the comets, which stay alive until it is over.
///
/// # Errors
/// What the harness could not do, in words: it says nothing about the system.
pub async fn lead(
    plan: &Plan,
    world: &dyn World,
    operator: &Operator,
    recorder: &Recorder,
    stage: &watch::Sender<Stage>,
    mut ended: watch::Receiver<bool>,
) -> Result<(), String> {
    let survey = Survey::new(operator, recorder);
    let phases = async {
        tokio::select! {
            biased;
            worked = work(plan, world, recorder, stage, &mut ended) => worked?,
            () = survey.watch() => {}
        }
        begin(recorder, PhaseName::Final);
        for (node, name) in world.drained() {
            recorder.mark_of(node, Op::Drained(history::Drained { name }));
        }
        read_all(&survey, operator, recorder).await;
        stage.send_replace(Stage::Over);
        Ok(())
    };
    tokio::select! {
        biased;
        led = phases => led,
        never = mend(world) => match never {},
    }
}

/// Reads everything while the data shards stand still, as often as it takes.
async fn read_all(survey: &Survey<'_>, operator: &Operator, recorder: &Recorder) {
    let mut before = survey.rest().await;
    for _ in 0..FINAL_READS_MAX {
        final_reads::run(&operator.registry, recorder).await;
        let after = survey.rest().await;
        let stood_still = data_indexes(before) == data_indexes(after.clone());
        if stood_still {
            return;
        }
        before = after;
    }
}

/// The control shard may go on.
fn data_indexes(indexes: Option<BTreeMap<u32, u64>>) -> Option<BTreeMap<u32, u64>> {
    let mut indexes = indexes?;
    indexes.remove(&ShardId::CONTROL.0);
    Some(indexes)
}

/// Tries again and again what was left half done.
async fn mend(world: &dyn World) -> Infallible {
    loop {
        sleep(MEND).await;
        world.mend().await;
    }
}

/// Leads a run until all that was begun has ended.
async fn work(
    plan: &Plan,
    world: &dyn World,
    recorder: &Recorder,
    stage: &watch::Sender<Stage>,
    ended: &mut watch::Receiver<bool>,
) -> Result<(), String> {
    begin(recorder, PhaseName::WarmUp);
    let warm = Instant::now() + WARM_UP_TIMEOUT;
    recorder.watch_shards();
    while recorder.ok() < WARM_UP_OK || recorder.serving() < plan.swarm.shards as usize {
        if Instant::now() > warm {
            return Err(format!("the system did not serve within {WARM_UP_TIMEOUT:?}"));
        }
        sleep(LOOK).await;
    }
    begin(recorder, PhaseName::Main);
    let all_may_return = break_it(plan, world, recorder).await;
    begin(recorder, PhaseName::Heal);
    if let Some(away) = plan.away().filter(|_| all_may_return) {
        world.heal().await;
        announce(recorder, &away);
        let outcome = world.install(&away).await;
        mark(recorder, &away, outcome);
        recorder.healed();
        serve(plan, recorder).await;
        world.take_back(&away).await;
    }
    world.heal().await;
    recorder.healed();
    serve(plan, recorder).await;
    sleep(AFTER_HEAL).await;
    if let Some(quiet) = plan.quiet() {
        stage.send_replace(Stage::Quiet);
        sleep(quiet).await;
    }
    stage.send_replace(Stage::End);
    let all_ended = ended.wait_for(|ended| *ended);
    if tokio::time::timeout(END_TIMEOUT, all_ended).await.is_err() {
        return Err("the workload does not end".to_owned());
    }
    Ok(())
}

/// Waits until every shard serves, or has taken too long: what is slower than it should be is for the
/// checkers to say.
async fn serve(plan: &Plan, recorder: &Recorder) {
    let healed = Instant::now();
    while recorder.serving() < plan.swarm.shards as usize && healed.elapsed() < SERVING_TIMEOUT {
        sleep(LOOK).await;
    }
}

fn begin(recorder: &Recorder, name: PhaseName) {
    recorder.mark(NEMESIS, Op::Phase(Phase { name }));
}

/// Installs each fault at its time, and takes it back at the end of its own. Whether no router was lost for
/// good: as long as one is that still has a vote, the others need each other.
async fn break_it(plan: &Plan, world: &dyn World, recorder: &Recorder) -> bool {
    let mut all_may_return = true;
    let began = Instant::now();
    let at = |ms| began + Duration::from_millis(ms);
    let mut installed: BTreeMap<(u64, u32), &Fault> = BTreeMap::new();
    for fault in &plan.faults {
        take_back(world, recorder, &mut installed, began, Some(fault.at_ms)).await;
        sleep_until(at(fault.at_ms)).await;
        announce(recorder, fault);
        let outcome = world.install(fault).await;
        if fault.kind.stays() && !matches!(outcome, Installed::Skipped(_)) {
            installed.insert((fault.at_ms + fault.lasts_ms, fault.id), fault);
        }
        let is_skipped = matches!(outcome, Installed::Skipped(_));
        let loses = matches!(fault.kind, FaultKind::Wipe { .. } | FaultKind::Damage { .. });
        all_may_return &= is_skipped || !loses;
        mark(recorder, fault, outcome);
    }
    take_back(world, recorder, &mut installed, began, None).await;
    sleep_until(at(plan.swarm.main_ms)).await;
    all_may_return
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
    fault.kind.family().word()
}

/// A fault is about to be installed, which may take a while.
fn announce(recorder: &Recorder, fault: &Fault) {
    let name = serde_json::to_string(fault).unwrap_or_default();
    let fault = history::Fault { family: family(fault), name, ..history::Fault::default() };
    recorder.mark(NEMESIS, Op::Fault(fault));
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
