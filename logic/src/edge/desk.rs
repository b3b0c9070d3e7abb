//! Desk: answers one request of a comet.

use std::sync::Arc;

use orrery_model::CometRef;
use orrery_model::command::{Command, Outcome, Refusal, Reply};
use orrery_model::control::Attach;
use orrery_proto::common;
use orrery_proto::edge::{
    Attached, Authenticate, Detached, EdgeFailure, KeptAlive, Received, edge_request,
    edge_response::Kind,
};
use orrery_proto::registry as wire;
use orrery_router_client::Pulse;

use crate::auth::Auth;
use crate::limits::{EDGE_RETRY_AFTER_MS, EDGE_WRITE_TIMEOUT};
use crate::losers::Losers;
use crate::metrics::Metrics;
use crate::registry::{Registry, RegistryError};

/// What answers the requests of all comets.
pub(crate) struct Desk {
    pub(crate) auth: Auth,
    pub(crate) registry: Registry,
    pub(crate) losers: Arc<Losers>,
    pub(crate) metrics: Metrics,
}

impl Desk {
    /// Answers a request, whatever happens.
    pub(super) async fn answer(&self, request: edge_request::Kind) -> Option<Kind> {
        let word = Self::word(&request);
        let kind = match request {
            edge_request::Kind::Attach(attach) => self.attach(attach).await,
            edge_request::Kind::KeepAlive(comet) => self.keep_alive(comet).await,
            edge_request::Kind::Detach(comet) => self.detach(comet).await,
            edge_request::Kind::Authenticate(device) => self.identify(device).await,
            edge_request::Kind::Write(command) => self.write(command).await,
            edge_request::Kind::Audit(audit) => self.audit(audit).await,
            edge_request::Kind::AuditRoutes(audit) => self.audit_routes(audit).await,
            // Messages of devices are not answered.
            edge_request::Kind::Received(_) => return None,
        };
        let result = match &kind {
            Kind::Failure(_) => "failed",
            Kind::Refused(_) => "refused",
            Kind::Reply(wire::Reply { reply: Some(wire::reply::Reply::Refusal(_)) }) => "refused",
            _ => "ok",
        };
        self.metrics.edge_request(word, result);
        Some(kind)
    }

    /// A request's word in metrics and spans.
    pub(super) fn word(request: &edge_request::Kind) -> &'static str {
        match request {
            edge_request::Kind::Attach(_) => "attach",
            edge_request::Kind::KeepAlive(_) => "keep_alive",
            edge_request::Kind::Detach(_) => "detach",
            edge_request::Kind::Authenticate(_) => "authenticate",
            edge_request::Kind::Write(_) => "write",
            edge_request::Kind::Received(_) => "received",
            edge_request::Kind::Audit(_) => "audit",
            edge_request::Kind::AuditRoutes(_) => "audit_routes",
        }
    }

    /// Takes a message of a device. The hook to the backend goes here.
    pub(super) fn received(&self, received: &Received) {
        self.metrics.received();
        let op = received.message.as_ref().map(|message| message.op);
        tracing::trace!(?op, seq = received.seq, "a device sent a message");
    }

    /// A request that was not carried out, or nobody knows.
    pub(super) fn failure(detail: impl Into<String>) -> Kind {
        Kind::Failure(EdgeFailure {
            superseded: false,
            detail: detail.into(),
            retry_after_ms: EDGE_RETRY_AFTER_MS,
        })
    }

    async fn attach(&self, attach: wire::Attach) -> Kind {
        let attach = match Attach::try_from(attach) {
            Ok(attach) => attach,
            Err(error) => {
                tracing::warn!(%error, "a comet's attach cannot be read");
                return Self::failure(error.to_string());
            }
        };
        let comet = attach.comet.clone();
        match self.registry.attach(attach, EDGE_WRITE_TIMEOUT).await {
            Ok(attached) => {
                tracing::info!(%comet, incarnation = %attached.incarnation, "comet attached");
                Kind::Attached(Attached {
                    incarnation: attached.incarnation.0,
                    lease_ms: attached.lease_ms,
                    keep_alive_ms: attached.keep_alive_ms,
                    rebind_per_second: attached.rebind_per_second,
                })
            }
            Err(RegistryError::Superseded { detail }) => {
                tracing::warn!(%comet, %detail, "comet is superseded");
                Kind::Failure(EdgeFailure { superseded: true, detail, retry_after_ms: 0 })
            }
            Err(error) => Self::failure(error.to_string()),
        }
    }

    async fn keep_alive(&self, comet: common::CometRef) -> Kind {
        let pulse = match CometRef::try_from(comet) {
            Ok(comet) => self.registry.keep_alive(comet, EDGE_WRITE_TIMEOUT).await,
            Err(error) => return Self::failure(error.to_string()),
        };
        match pulse {
            Ok(pulse) => Kind::KeptAlive(KeptAlive {
                alive: pulse == Pulse::Alive,
                superseded: pulse == Pulse::Superseded,
            }),
            Err(error) => Self::failure(error.to_string()),
        }
    }

    async fn detach(&self, comet: common::CometRef) -> Kind {
        let comet = match CometRef::try_from(comet) {
            Ok(comet) => comet,
            Err(error) => return Self::failure(error.to_string()),
        };
        match self.registry.detach(comet.clone(), EDGE_WRITE_TIMEOUT).await {
            Ok(()) => {
                tracing::info!(%comet, "comet detached");
                Kind::Detached(Detached {})
            }
            Err(error) => Self::failure(error.to_string()),
        }
    }

    async fn identify(&self, request: Authenticate) -> Kind {
        match self.auth.identify(request).await {
            Ok(identity) => Kind::Identity(identity),
            Err(refusal) => Kind::Refused(refusal.into()),
        }
    }

    /// Relays a write of a comet; what is not a comet's to write is refused.
    async fn write(&self, command: wire::Command) -> Kind {
        let invalid = |detail: String| {
            let reason = wire::refusal::Reason::Invalid.into();
            let refusal = wire::Refusal { reason, detail, ..wire::Refusal::default() };
            Kind::Reply(wire::Reply { reply: Some(wire::reply::Reply::Refusal(refusal)) })
        };
        let command = match Command::try_from(command) {
            Ok(command) => command,
            Err(error) => return invalid(error.to_string()),
        };
        match &command {
            Command::Bind(_)
            | Command::Unbind(_)
            | Command::SetRooms(_)
            | Command::BindRoom(_)
            | Command::UnbindRoom(_) => {}
            Command::ExpireComet(_) | Command::Open(_) => {
                let refused = Reply::Err(Refusal::Invalid("not a command of comets"));
                return Kind::Reply(refused.into());
            }
        }
        match self.registry.write(command, EDGE_WRITE_TIMEOUT).await {
            Ok(reply) => {
                let wire = wire::Reply::from(&reply);
                if let Ok(Outcome::Bound(bound)) = reply {
                    self.losers.close(bound.losers);
                }
                Kind::Reply(wire)
            }
            Err(RegistryError::Invalid { detail }) => invalid(detail),
            Err(error) => Self::failure(error.to_string()),
        }
    }
}
