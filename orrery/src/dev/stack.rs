//! Stack: what runs in the process. Filled while starting, so that whatever has started is ended in order.

use std::time::Duration;

use anyhow::Context;
use futures_util::future::{BoxFuture, FutureExt, select_all};
use orrery_daemon::admin::Admin;
use orrery_daemon::runtimes::Runtimes;
use orrery_daemon::shutdown::Step;
use orrery_host::Host;

use super::peer_ports;
use super::settings::Settings;
use crate::process::{Process, wait_ready};
use crate::service::{Running, Service};
use crate::{ctl, demo, start};

/// How long one service may take until it is ready: a large log has to be read first.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// Data shards of a cluster where nobody says how many: as many as a single node's.
const SHARDS: u32 = 4;

#[derive(Default)]
pub(super) struct Stack {
    routers: Vec<Running<orrery_router::Handle>>,
    logics: Vec<Running<orrery_logic::Handle>>,
    comets: Vec<Running<orrery_comet::Handle>>,
    admin: Option<Admin>,
}

impl Stack {
    /// Starts everything in the order in which it needs each other, and writes into the settings where each
    /// listens.
    pub(super) async fn start(
        &mut self,
        settings: &mut Settings,
        runtimes: &Runtimes,
        host: &Host,
    ) -> anyhow::Result<()> {
        let mut process = Process::default();
        self.start_routers(settings, runtimes, host, &mut process).await?;
        self.start_logics(settings, host, &mut process).await?;
        self.start_comets(settings, host, &mut process).await?;
        let (logic, comet) = self.firsts()?;
        let demo = demo::routes(host.clone(), comet.websocket_address(), logic.http_address);
        let admin = process.open(&settings.process, host, demo).await?;
        settings.process.admin.listen = admin.address();
        self.admin = Some(admin);
        for logic in &self.logics {
            wait_ready(logic, READY_TIMEOUT).await?;
        }
        for comet in &self.comets {
            wait_ready(comet, READY_TIMEOUT).await?;
        }
        Ok(())
    }

    async fn start_routers(
        &mut self,
        settings: &mut Settings,
        runtimes: &Runtimes,
        host: &Host,
        process: &mut Process,
    ) -> anyhow::Result<()> {
        let cluster = settings.is_cluster();
        if cluster {
            // All at once, so that the folders tell how many nodes there are even after a start that failed.
            for config in &settings.routers {
                let path = &config.store.path;
                let made = std::fs::create_dir_all(path);
                made.with_context(|| format!("cannot make the folder {}", path.display()))?;
            }
            peer_ports::take(&settings.process.store.path, &mut settings.routers);
        }
        for (config, number) in settings.routers.iter_mut().zip(1..) {
            let router = start::router(config, runtimes).await?;
            config.router.registry_listen = router.registry_address();
            config.router.peers_listen = router.peers_address();
            self.routers.push(if cluster { router.numbered(number) } else { router });
        }
        self.routers.iter().for_each(|router| process.show(router));
        let addresses: Vec<String> =
            self.routers.iter().map(|router| router.registry_address().to_string()).collect();
        if cluster {
            peer_ports::remember(&settings.process.store.path, &settings.routers)?;
            // Data that is there already says how many shards it has.
            let asked = settings.process.router.shards;
            ctl::bootstrap(&addresses, asked, SHARDS, READY_TIMEOUT, host.clone())
                .await
                .context("router: the nodes do not become a cluster")?;
        }
        for router in &self.routers {
            wait_ready(router, READY_TIMEOUT).await?;
        }
        settings.logics.iter_mut().for_each(|logic| logic.logic.routers.clone_from(&addresses));
        Ok(())
    }

    async fn start_logics(
        &mut self,
        settings: &mut Settings,
        host: &Host,
        process: &mut Process,
    ) -> anyhow::Result<()> {
        let several = settings.is_cluster();
        for (config, number) in settings.logics.iter_mut().zip(1..) {
            let logic = start::logic(config, host).await?;
            config.logic.http_listen = logic.http_address;
            config.logic.grpc_listen = logic.grpc_address;
            config.logic.edge_listen = logic.edge_address;
            self.logics.push(if several { logic.numbered(number) } else { logic });
        }
        self.logics.iter().for_each(|logic| process.show(logic));
        let edges: Vec<String> =
            self.logics.iter().map(|logic| logic.edge_address.to_string()).collect();
        settings.comets.iter_mut().for_each(|comet| comet.comet.logic.clone_from(&edges));
        Ok(())
    }

    async fn start_comets(
        &mut self,
        settings: &mut Settings,
        host: &Host,
        process: &mut Process,
    ) -> anyhow::Result<()> {
        let several = settings.is_cluster();
        for (config, number) in settings.comets.iter_mut().zip(1..) {
            let comet = start::comet(config, host).await?;
            config.comet.tcp_listen = comet.tcp_address();
            config.comet.websocket_listen = comet.websocket_address();
            config.comet.delivery_listen = comet.delivery_address();
            if let Some(address) = comet.tls_tcp_address() {
                config.comet.tls.tcp_listen = address;
            }
            if let Some(address) = comet.tls_websocket_address() {
                config.comet.tls.websocket_listen = address;
            }
            self.comets.push(if several { comet.numbered(number) } else { comet });
        }
        self.comets.iter().for_each(|comet| process.show(comet));
        Ok(())
    }

    fn firsts(&self) -> anyhow::Result<(&orrery_logic::Handle, &orrery_comet::Handle)> {
        let logic = self.logics.first().context("no logic runs")?;
        Ok((logic, self.comets.first().context("no comet runs")?))
    }

    /// Waits until something ends by itself, and says what and why.
    pub(super) async fn ended(&self) -> String {
        let ended = ended(&self.routers).chain(ended(&self.comets));
        let (reason, ..) = select_all(ended).await;
        reason
    }

    /// The admin port, and the end of everything else: comets first, routers last.
    pub(super) fn into_steps(self) -> (Option<Admin>, Vec<Step>) {
        let steps = self.comets.into_iter().map(Running::step);
        let steps = steps.chain(self.logics.into_iter().map(Running::step));
        (self.admin, steps.chain(self.routers.into_iter().map(Running::step)).collect())
    }
}

fn ended<S: Service>(services: &[Running<S>]) -> impl Iterator<Item = BoxFuture<'_, String>> {
    services.iter().map(|service| {
        let role = S::ROLE.word();
        async move { format!("{role} ended: {}", Service::ended(&**service).await) }.boxed()
    })
}
