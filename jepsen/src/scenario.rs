//! Scenarios on real processes that have a name.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use judge::history::{self, Event, FaultOutcome, NEMESIS, Op, Phase, PhaseName};
use machine::Ledger;
use orrery_host::Host;
use orrery_router_client::Client;
use rand::Rng as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::plan::stream::stream;
use crate::recorder::Recorder;
use crate::workload::bed::{Bed, Stage};
use crate::workload::crowd::{self, Crowd, Share};
use crate::workload::final_reads;
use crate::world::lone_router::RouterProcess;

/// Comets that write.
const WRITERS: usize = 4;

/// Processes that read.
const READERS: usize = 2;

/// Users that all share: few, so that operations on the same address meet.
const USERS: usize = 8;

/// Pause between two operations of a process.
const PACE: Duration = Duration::from_millis(10);

/// How long the first operations may take.
const WARM_UP: Duration = Duration::from_secs(20);

/// Kills the router `rounds` times at random moments under load and restarts it each time on the same
/// data.
///
/// # Errors
/// When the harness itself fails (a process does not start, a folder cannot be written): this is no
/// verdict on the system.
pub async fn kill(
    binary: &Path,
    folder: &Path,
    ledger: Arc<Ledger>,
    rounds: u32,
    seed: u64,
) -> anyhow::Result<Vec<Event>> {
    let mut chance = stream(seed, "kills");
    let recorder = Recorder::begin();
    let mut router = RouterProcess::prepare(binary, folder, ledger)?;
    if let Some(said) = router.start().await? {
        bail!("the router ended while starting: {said}");
    }
    let host = Host::system();
    let share = Share::all(vec![router.registry().to_string()], WRITERS, READERS);
    let client = Client::new(share.ways(), host.clone());
    let (stage_tx, stage) = watch::channel(Stage::Work);
    let bed = Bed {
        seed,
        host,
        client,
        recorder: recorder.clone(),
        stage,
        pace: PACE,
        users: USERS,
        done: Arc::default(),
    };
    let mut crowd = Crowd::begin(&bed, &share);
    recorder.mark(NEMESIS, Op::Phase(Phase { name: PhaseName::WarmUp }));
    more(&recorder, 0).await?;
    recorder.mark(NEMESIS, Op::Phase(Phase { name: PhaseName::Main }));
    for round in 0..rounds {
        sleep(Duration::from_millis(chance.random_range(300..1500))).await;
        if let Some(status) = router.kill()? {
            recorder.ended("router-1", status.to_string(), None);
        }
        let fault = history::Fault {
            family: "kill".to_owned(),
            name: format!("round {round}"),
            targets: vec!["router-1".to_owned()],
            outcome: Some(FaultOutcome::Installed),
            reason: None,
        };
        recorder.mark(NEMESIS, Op::Fault(fault));
        if let Some(said) = router.start().await? {
            // It came up before, so nothing but the kill is between: what it says of itself is the verdict.
            recorder.ended("router-1", said, None);
            return Ok(recorder.events());
        }
        let families = vec!["kill".to_owned()];
        recorder.mark(NEMESIS, Op::Heal(history::Heal { families }));
        more(&recorder, recorder.ok()).await?;
    }
    recorder.mark(NEMESIS, Op::Phase(Phase { name: PhaseName::Heal }));
    recorder.healed();
    more(&recorder, recorder.ok()).await?;
    stage_tx.send_replace(Stage::End);
    crowd.ended().await;
    recorder.mark(NEMESIS, Op::Phase(Phase { name: PhaseName::Final }));
    final_reads::run(&bed.client, &recorder).await;
    stage_tx.send_replace(Stage::Over);
    crowd::all(&mut crowd.comets).await;
    Ok(recorder.events())
}

/// Waits until some operations more have ended ok.
async fn more(recorder: &Recorder, before: usize) -> anyhow::Result<()> {
    const MORE: usize = 30;
    let deadline = Instant::now() + WARM_UP;
    while recorder.ok() < before + MORE {
        if Instant::now() > deadline {
            bail!("the router did not serve within {WARM_UP:?}");
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
