//! Server: starts a comet and stops it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use orrery_host::{Host, Listener, Task};
use orrery_model::Id;
use orrery_model::control;
use orrery_model::message::CloseReason;
use prometheus_client::registry::Registry;
use tokio::time::{Instant, timeout_at};

use crate::admission::Admission;
use crate::comet::Comet;
use crate::config::{Config, Tls};
use crate::crew::Crew;
use crate::delivery;
use crate::drain::{self, Drain, Elsewhere, Wish};
use crate::edge::Edge;
use crate::error::{Ended, StartError};
use crate::http::Sessions;
use crate::limits::{DELIVERY_FAREWELL, DETACH_SHARE, FAREWELL_SHARE, WORKERS_END_SHARE};
use crate::listen::{Door, Secured};
use crate::mailbox::{Transport, Workers};
use crate::metrics::Metrics;
use crate::presence::{Life, Parts, Presence};
use crate::totals::Totals;

/// A running comet. Its drop ends it at once; [`Handle::stop`] ends it in order.
pub struct Handle {
    tcp_address: SocketAddr,
    websocket_address: SocketAddr,
    /// Where both are spoken over TLS, in the same order.
    tls_addresses: Option<[SocketAddr; 2]>,
    comet: Arc<Comet>,
    delivery: delivery::Server,
    /// Sends devices elsewhere, when that is wished.
    draining: Task,
    listeners: Vec<(Transport, Task)>,
    /// Has certificates replaced.
    _certificates: Option<Task>,
    crew: Crew,
    presence: Vec<Task>,
    edge: Task,
}

/// Starts a comet. It accepts devices at once; they are authenticated as soon as it is attached.
///
/// # Errors
/// [`StartError`] when the configuration makes no sense, a certificate cannot be used, or a port cannot be listened
/// on.
pub async fn start(config: Config, host: Host) -> Result<Handle, StartError> {
    config.check()?;
    let secured = Secured::load(&config.tls, &host).await?;
    let doors = doors(&config, secured.as_ref(), &host).await?;
    let (tcp_address, websocket_address) = (doors[0].address(), doors[1].address());
    let tls_addresses = match &doors[2..] {
        [tcp, websocket] => Some([tcp.address(), websocket.address()]),
        _ => None,
    };
    let (delivering, delivery_address) = listen(&host, config.delivery_listen).await?;

    let metrics = Arc::new(Metrics::default());
    let totals = Arc::new(Totals::default());
    let (edge, edge_task) = Edge::start(&config, &host, totals.clone(), metrics.clone())?;
    let (workers, mailboxes) = Workers::new(config.workers());
    let presence = Presence::new(Parts {
        id: id(&config, tcp_address)?,
        advertise: advertise(&config, delivery_address),
        room_linger: config.room_linger(),
        audit: config.audit(),
        edge: edge.clone(),
        host: host.clone(),
        workers: workers.clone(),
        metrics: metrics.clone(),
    });
    let admission = Admission::new(&config, metrics.clone());
    let sessions = Sessions::new(config.connections_max, host.random.clone());
    let comet = Arc::new(Comet {
        began: Instant::now(),
        config,
        edge,
        presence: presence.clone(),
        totals,
        metrics,
        admission,
        sessions,
        workers,
        drain: Drain::new(),
        random: host.random.clone(),
        tasks: host.tasks.clone(),
    });

    let crew = Crew::start(&comet, mailboxes);
    let delivery = delivery::Server::start(comet.clone(), &host, delivering, delivery_address);
    let draining = host.tasks.spawn("drain", drain::run(comet.clone()));
    let opened = |door: Door| {
        let transport = door.transport();
        (transport, host.tasks.spawn("accept", door.accept(comet.clone())))
    };
    let listeners = doors.into_iter().map(opened).collect();
    let certificates = secured.map(|secured| secured.watch(&host, comet.metrics.clone()));
    tracing::info!(%tcp_address, %websocket_address, %delivery_address, "comet started");
    if let Some([tcp_address, websocket_address]) = tls_addresses {
        tracing::info!(%tcp_address, %websocket_address, "over tls too");
    }
    Ok(Handle {
        tcp_address,
        websocket_address,
        tls_addresses,
        presence: presence.run(),
        comet,
        delivery,
        draining,
        listeners,
        _certificates: certificates,
        crew,
        edge: edge_task,
    })
}

impl Handle {
    /// Where goim's TCP protocol is spoken.
    pub fn tcp_address(&self) -> SocketAddr {
        self.tcp_address
    }

    /// Where WebSocket is spoken.
    pub fn websocket_address(&self) -> SocketAddr {
        self.websocket_address
    }

    /// Where goim's TCP protocol is spoken over TLS, if it is.
    pub fn tls_tcp_address(&self) -> Option<SocketAddr> {
        self.tls_addresses.map(|[tcp, _]| tcp)
    }

    /// Where WebSocket is spoken over TLS, if it is.
    pub fn tls_websocket_address(&self) -> Option<SocketAddr> {
        self.tls_addresses.map(|[_, websocket]| websocket)
    }

    /// Where logic delivers.
    pub fn delivery_address(&self) -> SocketAddr {
        self.delivery.address()
    }

    /// Whether devices can connect.
    ///
    /// # Errors
    /// Why they cannot, for people.
    pub fn ready(&self) -> Result<(), String> {
        if self.comet.drain.is_on() {
            return Err("draining: devices are sent elsewhere".to_owned());
        }
        match *self.comet.presence.life().borrow() {
            Life::Attached(_) => {}
            Life::Attaching => return Err("not attached to the cluster".to_owned()),
            Life::Superseded => {
                return Err("another instance runs under this comet's id".to_owned());
            }
            Life::Ended => return Err("stopping".to_owned()),
        }
        match self.crew.first_ended() {
            Some(worker) => Err(Ended::Worker(worker).to_string()),
            None => Ok(()),
        }
    }

    /// Waits until the comet has ended by itself, and says why. What is left of it is still to be stopped.
    pub async fn ended(&self) -> Ended {
        let mut life = self.comet.presence.life();
        tokio::select! {
            biased;
            // First: the workers of a comet that was superseded are told to end. The sender lives as long as this handle.
            _ = life.wait_for(|life| matches!(life, Life::Superseded | Life::Ended)) => Ended::Superseded,
            worker = self.crew.ended() => Ended::Worker(worker),
        }
    }

    /// Registers the comet's metrics.
    pub fn register(&self, registry: &mut Registry) {
        self.comet.metrics.register(registry);
    }

    /// What hurries [`Handle::stop`]: the devices that are left are sent away at once. It changes nothing before that
    /// has begun.
    pub fn hurry(&self) -> impl Fn() + Clone + Send + use<> + 'static {
        let comet = self.comet.clone();
        move || comet.drain.hurry()
    }

    /// How long [`Handle::stop`] may take, as it is configured.
    pub fn stop_max(&self) -> Duration {
        self.comet.config.stop()
    }

    /// Stops in order: takes no more devices, sends those it has elsewhere at the configured pace, has the registry
    /// acknowledge that they are gone, and leaves the cluster. Takes no longer than configured: where there are too many
    /// for that, the pace is faster.
    pub async fn stop(self) {
        let comet = &self.comet;
        let now = Instant::now();
        let deadline = now + comet.config.stop();
        let before = |moment: Instant, time| moment.checked_sub(time).unwrap_or(now).max(now);
        let goodbyes_at = before(deadline, DETACH_SHARE);
        let until = before(goodbyes_at, FAREWELL_SHARE);
        let workers_end_at = before(goodbyes_at, WORKERS_END_SHARE);
        let per_second = comet.config.drain_per_second;
        let spread = comet.config.drain_spread();
        let elsewhere = Arc::new(Elsewhere { spread, nodes: Vec::new() });
        let last = Wish { per_second, until: Some(until), elsewhere, last: true };
        // Refused only where this was said before.
        let _ = comet.drain.begin(last);
        let mut listeners = self.listeners;
        // Devices over HTTP come for what is left to be said on connections of their own.
        listeners.retain(|(transport, _)| *transport == Transport::WebSocket);
        let in_order = async {
            comet.emptied().await;
            let _ = timeout_at(workers_end_at, comet.last_words_taken()).await;
            drop(listeners);
            // Those that were still shaking hands.
            comet.workers.close_all(CloseReason::Drain).await;
            self.crew.join().await;
        };
        if timeout_at(goodbyes_at, in_order).await.is_err() {
            let devices = comet.metrics.connections();
            tracing::warn!(devices, "time was up before the workers had ended");
        }
        drop(self.draining);
        self.comet.presence.leave(before(deadline, DELIVERY_FAREWELL)).await;
        drop(self.presence);
        self.delivery.stop().await;
        // Waited for: it must not live to call the end of logic's session a loss.
        self.edge.cancel();
        self.edge.join().await;
    }
}

/// The doors for TCP and WebSocket, then both over TLS where it is configured.
async fn doors(
    config: &Config,
    secured: Option<&Secured>,
    host: &Host,
) -> Result<Vec<Door>, StartError> {
    let mut doors = vec![
        Door::open(host, config.tcp_listen, Transport::Tcp, None).await?,
        Door::open(host, config.websocket_listen, Transport::WebSocket, None).await?,
    ];
    if let Some(Secured { tcp, websocket, .. }) = secured {
        let Tls { tcp_listen, websocket_listen, .. } = config.tls;
        for (address, transport, tls) in
            [(tcp_listen, Transport::Tcp, tcp), (websocket_listen, Transport::WebSocket, websocket)]
        {
            doors.push(Door::open(host, address, transport, Some(tls.clone())).await?);
        }
    }
    Ok(doors)
}

async fn listen(
    host: &Host,
    address: SocketAddr,
) -> Result<(Box<dyn Listener>, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = host.net.listen(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// The configured id, or host name and port.
fn id(config: &Config, tcp: SocketAddr) -> Result<Id, StartError> {
    let id = match config.id.as_str() {
        "" => format!("{}:{}", config.advertise.hostname, tcp.port()),
        id => id.to_owned(),
    };
    Id::new(id).map_err(StartError::Id)
}

fn advertise(config: &Config, delivery: SocketAddr) -> control::Advertise {
    let advertise = config.advertise.clone();
    control::Advertise {
        delivery: config.delivery_advertise.clone().unwrap_or_else(|| delivery.to_string()),
        hostname: advertise.hostname,
        addresses: advertise.addresses,
        region: advertise.region,
        zone: advertise.zone,
        env: advertise.env,
        weight: advertise.weight,
    }
}
