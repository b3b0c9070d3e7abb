//! API: the ways in which a backend pushes: our gRPC, or goim's HTTP.

use bytes::Bytes;
use orrery_host::Host;
use orrery_proto::push::push_service_client::PushServiceClient;
use orrery_proto::push::{Broadcast, PushRequest, Summary, Target, Users, target};
use tonic::transport::Channel;

use super::goim::Goim;
use crate::edge::client::device::OP;
use crate::edge::limits::PUSH_CONNECTIONS;

/// Whom a push is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whom {
    /// A user.
    User(u64),
    /// A room, named `type://name` as goim has it.
    Room(String),
    /// Everybody.
    Everybody,
}

/// The kind of API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ApiKind {
    /// `orrery.push.v1`, with receipts.
    Grpc,
    /// goim's HTTP paths; answers say only that a push was taken.
    Goim,
}

/// What receipts said, in connections (or addresses, of `offline`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Told {
    /// In the outbox, or given to the kernel.
    pub queued: u64,
    /// Lost on the way.
    pub dropped: u64,
    /// No answer in time.
    pub unknown: u64,
    /// Just left.
    pub gone: u64,
    /// Does not accept the operation.
    pub filtered: u64,
    /// Addresses without a connection.
    pub offline: u64,
}

/// A connection to a logic.
#[derive(Clone)]
pub enum Api {
    /// `orrery.push.v1`, over a few connections in turn.
    Grpc(Vec<PushServiceClient<Channel>>),
    /// goim's HTTP paths.
    Goim(Box<Goim>),
}

impl Api {
    /// Connects when it first pushes.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(host: &Host, kind: ApiKind, address: &str) -> anyhow::Result<Self> {
        let client = |_| {
            let channel = orrery_host::grpc::channel(host.net.clone(), address)?;
            Ok(PushServiceClient::new(channel))
        };
        Ok(match kind {
            ApiKind::Grpc => {
                let clients = (0..PUSH_CONNECTIONS).map(client).collect::<anyhow::Result<_>>()?;
                Self::Grpc(clients)
            }
            ApiKind::Goim => Self::Goim(Box::new(Goim::new(address)?)),
        })
    }

    /// Makes the push of a number, and waits for its answer.
    ///
    /// # Errors
    /// When it is refused, or nobody answers; in words.
    pub fn push(
        &self,
        number: u64,
        whom: Whom,
        body: Bytes,
    ) -> impl Future<Output = Result<Told, String>> + use<> {
        let mut api = self.clone();
        async move {
            match &mut api {
                Self::Grpc(clients) => {
                    let nth = usize::try_from(number).unwrap_or(0) % clients.len();
                    let target = Some(whom.target());
                    let request = PushRequest { target, op: OP, body, ..PushRequest::default() };
                    let answer = clients[nth].push(request).await;
                    let answer = answer.map_err(|status| status.to_string())?.into_inner();
                    Ok(Told::of(&answer.summary.unwrap_or_default()))
                }
                Self::Goim(goim) => goim.push(&whom, body).await.map(|()| Told::default()),
            }
        }
    }
}

impl Whom {
    fn target(self) -> Target {
        let target = match self {
            Self::User(user) => target::Target::Users(Users { ids: vec![user.to_string()] }),
            Self::Room(room) => target::Target::Room(room),
            Self::Everybody => target::Target::Broadcast(Broadcast::default()),
        };
        Target { target: Some(target) }
    }
}

impl Told {
    fn of(summary: &Summary) -> Self {
        Self {
            queued: u64::from(summary.queued) + u64::from(summary.written),
            dropped: summary.dropped.into(),
            unknown: u64::from(summary.unknown) + u64::from(summary.comets_unknown),
            gone: summary.gone.into(),
            filtered: summary.filtered.into(),
            offline: summary.offline.into(),
        }
    }

    /// Adds another's.
    pub fn add(&mut self, other: &Self) {
        self.queued += other.queued;
        self.dropped += other.dropped;
        self.unknown += other.unknown;
        self.gone += other.gone;
        self.filtered += other.filtered;
        self.offline += other.offline;
    }

    /// Where receipts say that a message did not get there.
    pub fn not_delivered(&self) -> u64 {
        self.dropped + self.unknown + self.gone + self.filtered + self.offline
    }
}
