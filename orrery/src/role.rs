//! `orrery router|comet|logic`: one role, as a process of its own.

use axum::Router;
use orrery_daemon::runtimes::Runtimes;
use orrery_daemon::shutdown::Signals;
use orrery_daemon::telemetry;
use orrery_host::Host;

use crate::cli::RoleOptions;
use crate::config::{self, Config, Role};
use crate::process::{self, Process};
use crate::service::{Running, Service};
use crate::{descriptors, start};

/// Runs a role until it is told to end.
///
/// # Errors
/// When the configuration is refused, the role cannot start, or it ended by itself.
pub(crate) fn run(role: Role, options: &RoleOptions) -> anyhow::Result<()> {
    let config = config::load(&options.sources, &Config::default())?;
    config::refuse_exposure(&config, role)?;
    config::check_role(&config, role)?;
    telemetry::start(&config.telemetry)?;
    descriptors::raise();
    let runtimes = Runtimes::start()?;
    let outcome = runtimes.block_on(async {
        let mut signals = Signals::catch()?;
        let host = Host::system();
        match role {
            Role::Router => {
                let router = start::router(&config, &runtimes).await?;
                serve(router, &config, &host, &mut signals).await
            }
            Role::Logic => {
                serve(start::logic(&config, &host).await?, &config, &host, &mut signals).await
            }
            Role::Comet => {
                serve(start::comet(&config, &host).await?, &config, &host, &mut signals).await
            }
        }
    });
    runtimes.stop();
    outcome
}

async fn serve<S: Service>(
    service: Running<S>,
    config: &Config,
    host: &Host,
    signals: &mut Signals,
) -> anyhow::Result<()> {
    let mut process = Process::default();
    process.show(&service);
    let admin = match process.open(config, host, Router::new()).await {
        Ok(admin) => admin,
        Err(error) => {
            process::end(signals, None, vec![service.step()], None).await?;
            return Err(error);
        }
    };
    tracing::info!(role = S::ROLE.word(), admin = %admin.address(), "started");
    let ended = tokio::select! {
        signal = signals.next() => {
            tracing::info!(signal, "ending");
            None
        }
        reason = service.ended() => Some(reason),
    };
    let hurry = service.hurry();
    process::end(signals, Some(admin), vec![service.step()], hurry).await?;
    match ended {
        Some(reason) => Err(anyhow::anyhow!("{} ended: {reason}", S::ROLE.word())),
        None => Ok(()),
    }
}
