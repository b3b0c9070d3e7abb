//! Scenarios: a workload, faults and checkers as one run.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use orrery_host::Host;
use orrery_router_client::{Client, Config};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::watch;

use crate::history::{Event, NEMESIS, Op, Phase, Recorder};
use crate::workload::binds::{self, Process};
use crate::world::process::RouterProcess;

/// Concurrent logical processes.
const PROCESSES: i64 = 6;

/// The process number of the final reads.
const READER: i64 = 1000;

/// How long a final read may take: longer than a restart.
const FINAL_READ: Duration = Duration::from_secs(20);

/// Kills the router `rounds` times at random moments under load and restarts it each time on the same
/// data.
///
/// # Errors
/// When the harness itself fails (a process does not start, a folder cannot be written): this is no
/// verdict on the system.
pub async fn kill(
    binary: &Path,
    folder: &Path,
    rounds: u32,
    seed: u64,
) -> anyhow::Result<Vec<Event>> {
    let mut random = StdRng::seed_from_u64(seed);
    let recorder = Arc::new(Recorder::new());
    let mut router = RouterProcess::prepare(binary, folder)?;
    router.start().await?;
    let config = Config { nodes: vec![router.registry().to_string()], ..Config::default() };
    let client = Client::new(config, Host::system());
    let (stop_tx, stop) = watch::channel(false);
    let mut processes = tokio::task::JoinSet::new();
    for number in 0..PROCESSES {
        let process = Process::start(number, seed, client.clone(), recorder.clone()).await;
        let process = process.with_context(|| format!("start process {number}"))?;
        processes.spawn(process.run(stop.clone()));
    }
    for round in 0..rounds {
        let pause = Duration::from_millis(random.random_range(300..1500));
        tokio::time::sleep(pause).await;
        let fault = Op::Fault { value: format!("kill -9, round {round}") };
        recorder.record(NEMESIS, Phase::Invoke, fault.clone(), None);
        router.kill().await?;
        router.start().await?;
        recorder.record(NEMESIS, Phase::Ok, fault, None);
        read_all(&client, &recorder).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    stop_tx.send_replace(true);
    while let Some(ended) = processes.join_next().await {
        ended.context("a workload process panicked")?;
    }
    read_all(&client, &recorder).await;
    Ok(recorder.events())
}

async fn read_all(client: &Client, recorder: &Recorder) {
    for key in binds::users() {
        binds::locate(client, recorder, READER, &key, FINAL_READ).await;
    }
}
