//! Audit: compares what a comet holds with what the registry has of it, for the comet to act on.

use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use orrery_model::{Address, CometRef, Seq, ShardId};
use orrery_proto::edge::edge_response::Kind;
use orrery_proto::edge::{Audit, AuditRoutes, Audited, AuditedRoute, AuditedRoutes};
use orrery_proto::registry::Member;
use orrery_router_client::MembersCursor;
use tokio::time::Instant;

use crate::edge::desk::Desk;
use crate::limits::{AUDIT_LOOK_UPS_MAX, AUDIT_ROUTES_MAX, AUDIT_TIMEOUT};
use crate::registry::{Registry, RegistryError};

/// Why nothing could be compared.
#[derive(Debug, thiserror::Error)]
enum AuditError {
    /// The question cannot be understood, or asks too much. Asking it again cannot help.
    #[error("{0}")]
    Malformed(String),
    /// The registry did not answer; the same may be asked again.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl Desk {
    /// Which of these connections have no route. One look-up that fails fails it all: what is not known
    /// must not be taken for missing, nor for looked at.
    pub(super) async fn audit(&self, audit: Audit) -> Kind {
        match missing(&self.registry, audit).await {
            Ok(missing) => Kind::Audited(Audited { missing }),
            Err(error) => Self::failure(error.to_string()),
        }
    }

    /// A page of the routes of the comet's life.
    pub(super) async fn audit_routes(&self, audit: AuditRoutes) -> Kind {
        match routes(&self.registry, audit).await {
            Ok(page) => Kind::AuditedRoutes(page),
            Err(error) => Self::failure(error.to_string()),
        }
    }
}

async fn missing(registry: &Registry, audit: Audit) -> Result<Vec<AuditedRoute>, AuditError> {
    if audit.routes.len() > AUDIT_ROUTES_MAX {
        let detail = format!("{} routes are more than {AUDIT_ROUTES_MAX}", audit.routes.len());
        return Err(AuditError::Malformed(detail));
    }
    let comet = comet(audit.comet)?;
    let mut asked: BTreeMap<Address, Vec<Seq>> = BTreeMap::new();
    for route in audit.routes {
        asked.entry(address(route.address)?).or_default().push(Seq(route.seq));
    }
    let deadline = Instant::now() + AUDIT_TIMEOUT;
    let look_up = |(address, seqs): (Address, Vec<Seq>)| {
        let comet = &comet;
        async move {
            let located = registry.locate(address.clone(), false, deadline).await?;
            let is_there = |seq: &Seq| {
                located.routes.iter().any(|route| route.seq == *seq && route.comet == *comet)
            };
            let missing = seqs
                .into_iter()
                .filter(|seq| !is_there(seq))
                .map(|seq| AuditedRoute { address: Some((&address).into()), seq: seq.0 });
            Ok::<_, AuditError>(missing.collect::<Vec<_>>())
        }
    };
    let look_ups = stream::iter(asked).map(look_up).buffer_unordered(AUDIT_LOOK_UPS_MAX);
    let missing: Vec<_> = look_ups.try_collect().await?;
    Ok(missing.concat())
}

async fn routes(registry: &Registry, audit: AuditRoutes) -> Result<AuditedRoutes, AuditError> {
    let comet = comet(audit.comet)?;
    let after = match audit.after {
        Some(after) => Some((address(after.address)?, Seq(after.seq))),
        None => None,
    };
    let from = (audit.shard != 0).then_some(MembersCursor { shard: ShardId(audit.shard), after });
    let limit = usize::try_from(audit.limit).unwrap_or(usize::MAX).min(AUDIT_ROUTES_MAX);
    let deadline = Instant::now() + AUDIT_TIMEOUT;
    let page = registry.comet_routes(comet, from, limit, deadline).await?;
    let routes = page.members.iter().map(|member| Member {
        address: Some((&member.address).into()),
        seq: member.route.seq.0,
        route: Some((&member.route).into()),
    });
    let routes = routes.collect();
    Ok(match page.next {
        None => AuditedRoutes { routes, next_shard: 0, next: None },
        Some(MembersCursor { shard, after }) => {
            let next = after.map(|(address, seq)| Member {
                address: Some((&address).into()),
                seq: seq.0,
                route: None,
            });
            AuditedRoutes { routes, next_shard: shard.0, next }
        }
    })
}

fn comet(wire: Option<orrery_proto::common::CometRef>) -> Result<CometRef, AuditError> {
    let wire = wire.ok_or_else(|| AuditError::Malformed("the comet is missing".to_owned()))?;
    CometRef::try_from(wire).map_err(|error| AuditError::Malformed(error.to_string()))
}

fn address(wire: Option<orrery_proto::common::Address>) -> Result<Address, AuditError> {
    let wire = wire.ok_or_else(|| AuditError::Malformed("the address is missing".to_owned()))?;
    Address::try_from(wire).map_err(|error| AuditError::Malformed(error.to_string()))
}
