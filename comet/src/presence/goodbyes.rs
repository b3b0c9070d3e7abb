//! Goodbyes: the queue of connections that went, each repeated until the registry acknowledged it.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use orrery_model::command::{Command, Outcome, RouteName, Unbind};
use orrery_model::{Address, Conn, Incarnation};
use tokio::sync::OwnedSemaphorePermit;

use super::Presence;
use super::write::WriteError;
use crate::limits::GOODBYES_IN_FLIGHT;

/// What is left to remove of one connection.
#[derive(Debug)]
pub(super) struct Goodbye {
    pub(super) conn: Conn,
    pub(super) incarnation: Incarnation,
    /// Each address for which a bind was begun, and what names the route there.
    pub(super) unbinds: Vec<(Address, RouteName)>,
    /// Keeps the place of the connection taken, or one of the audit's, which is what bounds this queue.
    pub(super) permit: Option<OwnedSemaphorePermit>,
    /// The audit found the route, and no connection that it could belong to.
    pub(super) stray: bool,
}

/// Goodbyes that wait: no more than there may be connections, and a page of the audit.
#[derive(Debug, Default)]
pub(super) struct Goodbyes(VecDeque<Goodbye>);

impl Goodbyes {
    pub(super) fn push(&mut self, goodbye: Goodbye) {
        self.0.push_back(goodbye);
    }

    pub(super) fn pop(&mut self) -> Option<Goodbye> {
        self.0.pop_front()
    }

    /// All of them: their incarnation ended, and their routes with it.
    pub(super) fn clear(&mut self) -> Vec<Goodbye> {
        std::mem::take(&mut self.0).into()
    }
}

/// Says goodbyes for as long as the comet lives.
pub(super) async fn run(presence: Arc<Presence>) {
    let mut under_way = FuturesUnordered::new();
    loop {
        while under_way.len() < GOODBYES_IN_FLIGHT {
            let Some(goodbye) = presence.state.lock().goodbyes.pop() else { break };
            under_way.push(say(&presence, goodbye));
        }
        tokio::select! {
            Some(()) = under_way.next() => {}
            () = presence.goodbyes_wait.notified() => {}
        }
    }
}

async fn say(presence: &Presence, goodbye: Goodbye) {
    let comet = presence.comet(goodbye.incarnation);
    let unbind = |address: &Address, route: RouteName| {
        let (address, comet) = (address.clone(), comet.clone());
        presence.write(goodbye.incarnation, move |settled| {
            let (address, comet) = (address.clone(), comet.clone());
            Command::Unbind(Unbind { address, comet, route, settled })
        })
    };
    let unbinds = goodbye.unbinds.iter().map(|(address, route)| unbind(address, *route));
    for outcome in join_all(unbinds).await {
        match outcome {
            Ok(Outcome::Unbound { removed: true }) if goodbye.stray => {
                presence.metrics.audit_stray_routes.inc();
            }
            Ok(_) | Err(WriteError::Fenced) => {}
            Err(WriteError::Refused(refusal)) => {
                tracing::error!(conn = %goodbye.conn, %refusal, "the registry refused a goodbye");
            }
        }
    }
    presence.state.lock().conns.end(goodbye.conn);
    if !goodbye.stray {
        presence.metrics.goodbyes.inc();
    }
    drop(goodbye.permit);
}
