//! `orrery dev`: router, logic and comet in one process, for trying and developing.
//!
//! They start in the order in which they need each other and end the other way round.

mod banner;
mod settings;

use std::time::Duration;

use orrery_daemon::admin::Admin;
use orrery_daemon::runtimes::{self, Runtimes};
use orrery_daemon::shutdown::{Signals, Step};
use orrery_daemon::telemetry;
use orrery_host::Host;
use tokio::time::Instant;

use crate::cli::DevOptions;
use crate::config::Config;
use crate::process::{self, Process, wait_ready};
use crate::service::{Running, Service};
use crate::{demo, descriptors, start};

/// How long one service may take until it is ready: a large log has to be read first.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// How many pools of threads share the cores: services, Raft and the comet's workers pass each push from
/// one to the next. With a thread a core in each, small machines spend their time switching among them.
const POOLS_SHARING: usize = 2;

/// Runs everything until told to end.
///
/// # Errors
/// When the configuration is refused, something cannot start, or something ended by itself.
pub(crate) fn run(options: DevOptions) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut config = settings::settle(&options)?;
    let threads = (runtimes::cores()? / POOLS_SHARING).max(1);
    if config.comet.workers == 0 {
        config.comet.workers = threads;
    }
    telemetry::start(&config.telemetry)?;
    descriptors::raise();
    let runtimes = Runtimes::with_threads(threads)?;
    let outcome = runtimes.block_on(async {
        let mut signals = Signals::catch()?;
        let mut stack = Stack::default();
        let served = tokio::select! {
            served = serve(&mut stack, config, &runtimes, begun, options.json) => served,
            signal = signals.next() => {
                tracing::info!(signal, "ending");
                Ok(())
            }
        };
        let (admin, steps) = stack.into_steps();
        served.and(process::end(&mut signals, admin, steps).await)
    });
    runtimes.stop();
    outcome
}

/// What runs. Filled while starting, so that whatever has started is ended in order.
#[derive(Default)]
struct Stack {
    router: Option<Running<orrery_router::Handle>>,
    logic: Option<Running<orrery_logic::Handle>>,
    comet: Option<Running<orrery_comet::Handle>>,
    admin: Option<Admin>,
}

impl Stack {
    fn into_steps(self) -> (Option<Admin>, Vec<Step>) {
        let comet = self.comet.map(Running::step);
        let logic = self.logic.map(Running::step);
        let router = self.router.map(Running::step);
        (self.admin, [comet, logic, router].into_iter().flatten().collect())
    }
}

/// Starts everything, says so, and goes on until something ends by itself.
async fn serve(
    stack: &mut Stack,
    mut config: Config,
    runtimes: &Runtimes,
    begun: Instant,
    json: bool,
) -> anyhow::Result<()> {
    let host = Host::system();
    let mut process = Process::default();

    let router = stack.router.insert(start::router(&config, runtimes).await?);
    process.show(router);
    wait_ready(router, READY_TIMEOUT).await?;
    config.router.registry_listen = router.registry_address();
    config.logic.routers = vec![router.registry_address().to_string()];

    let logic = stack.logic.insert(start::logic(&config, &host).await?);
    process.show(logic);
    config.logic.http_address = logic.http_address;
    config.logic.grpc_address = logic.grpc_address;
    config.logic.edge_address = logic.edge_address;
    config.comet.logic = vec![logic.edge_address.to_string()];

    let comet = stack.comet.insert(start::comet(&config, &host).await?);
    process.show(comet);
    config.comet.tcp = comet.tcp_address();
    config.comet.websocket = comet.websocket_address();
    config.comet.delivery = comet.delivery_address();

    let demo = demo::routes(host.clone(), comet.websocket_address(), logic.http_address);
    let admin = stack.admin.insert(process.open(&config, &host, demo).await?);
    config.admin.listen = admin.address();
    wait_ready(logic, READY_TIMEOUT).await?;
    wait_ready(comet, READY_TIMEOUT).await?;
    banner::print(&config, begun.elapsed(), json)?;

    let reason = tokio::select! {
        reason = Service::ended(&**router) => format!("router ended: {reason}"),
        reason = Service::ended(&**comet) => format!("comet ended: {reason}"),
    };
    anyhow::bail!(reason)
}
