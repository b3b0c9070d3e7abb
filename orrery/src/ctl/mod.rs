//! `orrery ctl`: operates a cluster, over the service that each router node and each comet offers.

mod args;
mod backup;
mod bootstrap;
mod cluster;
mod comet;
mod comets;
mod context;
mod digests;
mod error;
mod fleet;
mod founding;
mod leader;
mod locate;
mod node;
mod print;
mod replicas;
mod rows;
mod snapshot;

use std::process::ExitCode;
use std::time::Duration;

use orrery_host::Host;
use tokio::time::Instant;

pub(crate) use args::CtlOptions;
use args::{BackupVerb, Noun};
use context::Context;
use error::CtlError;
use print::Output;

/// What ctl does is wait for others: one thread for the command and one for its connections.
const THREADS: usize = 2;

/// Makes the nodes at these registry addresses a cluster of `shards` data shards, else of `default`; or finds
/// that they are one already.
///
/// # Errors
/// When they are not, and it cannot be done in time.
pub(crate) async fn bootstrap(
    nodes: &[String],
    shards: Option<u32>,
    default: u32,
    within: Duration,
    host: Host,
) -> anyhow::Result<()> {
    let context = Context::of(nodes, Instant::now() + within, host);
    bootstrap::bootstrap(&context, nodes, shards, None, default).await?;
    Ok(())
}

/// Runs a command to its end.
pub(crate) fn run(options: CtlOptions) -> ExitCode {
    let json = options.shared.json;
    run_to_end(options).unwrap_or_else(Output::failure).end(json)
}

fn run_to_end(options: CtlOptions) -> Result<Output, CtlError> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    let outcome = runtime.block_on(async {
        let context = Context::new(&options.shared, Host::system());
        match options.noun {
            Noun::Cluster(verb) => cluster::run(&context, verb).await,
            Noun::Node(verb) => node::run(&context, verb).await,
            Noun::Leader(verb) => leader::run(&context, verb).await,
            Noun::Comet(verb) => comet::run(&context, verb).await,
            Noun::Locate(options) => locate::run(&context, options).await,
            Noun::Snapshot(options) => snapshot::run(&context, options).await,
            Noun::Backup(BackupVerb::Create { dir }) => backup::create(&context, &dir).await,
            Noun::Backup(BackupVerb::Verify { dir }) => backup::verify(&dir),
            Noun::Backup(BackupVerb::Restore(options)) => backup::restore(&context, &options).await,
        }
    });
    runtime.shutdown_background();
    outcome
}
