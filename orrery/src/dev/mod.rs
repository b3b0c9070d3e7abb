//! `orrery dev`: router, logic and comet in one process, for trying and developing; with `--nodes` a cluster
//! of routers, and two each of the others.
//!
//! They start in the order in which they need each other and end the other way round.

mod banner;
mod peer_ports;
mod settings;
mod stack;

use orrery_daemon::runtimes::{self, Runtimes};
use orrery_daemon::shutdown::Signals;
use orrery_daemon::telemetry;
use orrery_host::Host;
use tokio::time::Instant;

use crate::cli::DevOptions;
use crate::{descriptors, process};
use settings::Settings;
use stack::Stack;

/// How many pools of threads share the cores: services, Raft and the comet's workers pass each push from
/// one to the next. With a thread a core in each, small machines spend their time switching among them.
const POOLS_SHARING: usize = 2;

/// Runs everything until told to end.
///
/// # Errors
/// When the configuration is refused, something cannot start, or something ended by itself.
pub(crate) fn run(options: DevOptions) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut settings = settings::settle(&options)?;
    let threads = (runtimes::cores()? / POOLS_SHARING).max(1);
    for config in settings.comets.iter_mut().filter(|config| config.comet.workers == 0) {
        config.comet.workers = threads;
    }
    telemetry::start(&settings.process.telemetry)?;
    descriptors::raise();
    let runtimes = Runtimes::with_threads(threads)?;
    let outcome = runtimes.block_on(async {
        let mut signals = Signals::catch()?;
        let mut stack = Stack::default();
        let served = tokio::select! {
            served = serve(&mut stack, settings, &runtimes, begun, options.json) => served,
            signal = signals.next() => {
                tracing::info!(signal, "ending");
                Ok(())
            }
        };
        let (admin, steps) = stack.into_steps();
        served.and(process::end(&mut signals, admin, steps, None).await)
    });
    runtimes.stop();
    outcome
}

/// Starts everything, says so, and goes on until something ends by itself.
async fn serve(
    stack: &mut Stack,
    mut settings: Settings,
    runtimes: &Runtimes,
    begun: Instant,
    json: bool,
) -> anyhow::Result<()> {
    stack.start(&mut settings, runtimes, &Host::system()).await?;
    banner::print(&settings, begun.elapsed(), json)?;
    anyhow::bail!(stack.ended().await)
}
