//! Target: the system that is measured. One of its own for the time, or one that runs already.

use std::fs;
use std::sync::Arc;

use anyhow::{Context, bail};
use orrery_host::{Host, Net};
use orrery_sdk::{TlsNet, Transport};

use super::stack::{Addresses, Stack};
use crate::clock::Clock;
use crate::edge::client::net::ClientNet;
use crate::edge::options::TargetOptions;
use crate::edge::progress;
use crate::edge::push::api::ApiKind;
use crate::latency::Latency;
use crate::resources::Resources;

/// Where to connect and to push.
pub struct Target {
    /// Each comet's `host:port` for the transport of the load.
    pub comets: Vec<String>,
    /// Where devices' sockets come from.
    pub net: Arc<dyn Net>,
    /// The logic's `host:port` for the API of the load; none where nobody said one.
    push: Option<String>,
    /// Processes of comets, where they are not its own.
    others: Vec<u32>,
    own: Option<Stack>,
}

impl Target {
    /// Takes the one that the options name, or starts one.
    ///
    /// # Errors
    /// When it does not start, or the options name a process that is not there.
    pub async fn open(host: &Host, clock: Clock, options: &TargetOptions) -> anyhow::Result<Self> {
        if !options.target_comet.is_empty() {
            if Resources::of_all(&options.target_pid).is_none() {
                bail!("no process here has the id {:?}", options.target_pid);
            }
            let trusted = match (&options.target_ca, options.tls) {
                (Some(file), _) => Some(fs::read(file).context(file.display().to_string())?),
                (None, true) => bail!("--target-ca says which certificates to trust"),
                (None, false) => None,
            };
            return Ok(Self {
                comets: options.target_comet.clone(),
                net: net(trusted.as_deref())?,
                push: options.target_push.clone(),
                others: options.target_pid.clone(),
                own: None,
            });
        }
        progress::say("starting a system");
        let comets = options.comets.into();
        let (stack, addresses) =
            Stack::roles(host, clock, comets, options.tls, &options.set).await?;
        Self::of(stack, addresses, options.transport, options.push_api)
    }

    /// Starts `orrery dev` for the time.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn dev(clock: Clock) -> anyhow::Result<Self> {
        let (stack, addresses) = Stack::dev(clock).await?;
        Self::of(stack, addresses, Transport::Tcp, ApiKind::Grpc)
    }

    /// Takes one that runs already, and of whose processes nothing is known.
    pub fn elsewhere(comet: String, push: String) -> Self {
        let net = Arc::new(ClientNet::default());
        Self { comets: vec![comet], net, push: Some(push), others: Vec::new(), own: None }
    }

    fn of(
        stack: Stack,
        addresses: Addresses,
        transport: Transport,
        api: ApiKind,
    ) -> anyhow::Result<Self> {
        let net = net(addresses.trusted.as_deref().map(str::as_bytes))?;
        let comets = match transport {
            Transport::Tcp => addresses.tcp,
            Transport::WebSocket | Transport::Json | Transport::Poll | Transport::Sse => {
                addresses.websocket
            }
        };
        let push = match api {
            ApiKind::Grpc => addresses.grpc,
            ApiKind::Goim => addresses.http,
        };
        Ok(Self { comets, net, push: Some(push), others: Vec::new(), own: Some(stack) })
    }

    /// Where to push.
    ///
    /// # Errors
    /// When nobody said where.
    pub fn push(&self) -> anyhow::Result<&str> {
        self.push.as_deref().context("this load pushes: --target-push says where")
    }

    /// What the comets' processes have used so far; none where they are not known.
    pub fn comet_resources(&self) -> Option<Resources> {
        of_all(&self.comet_pids())
    }

    /// The comets' processes; empty where they are not known, or do other things too.
    pub fn comet_pids(&self) -> Vec<u32> {
        self.own.as_ref().map_or_else(|| self.others.clone(), Stack::comet_pids)
    }

    /// What all its processes have used so far; none where they are not known.
    pub fn resources(&self) -> Option<Resources> {
        of_all(&self.own.as_ref()?.pids())
    }

    /// How long a sync takes where its data is, where that is known.
    pub fn sync(&self) -> Option<Latency> {
        self.own.as_ref().map(|own| own.sync)
    }

    /// Whether it was started for the load.
    pub fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Ends it in order, if it is its own.
    ///
    /// # Errors
    /// When it does not end, or says that something went wrong.
    pub async fn close(self) -> anyhow::Result<()> {
        match self.own {
            Some(own) => own.close().await,
            None => Ok(()),
        }
    }
}

/// The devices' sockets, within TLS where there is somebody to trust.
fn net(trusted: Option<&[u8]>) -> anyhow::Result<Arc<dyn Net>> {
    let plain = Arc::new(ClientNet::default());
    Ok(match trusted {
        Some(trusted) => Arc::new(TlsNet::trusting(plain, trusted)?),
        None => plain,
    })
}

fn of_all(pids: &[u32]) -> Option<Resources> {
    if pids.is_empty() { None } else { Resources::of_all(pids) }
}
