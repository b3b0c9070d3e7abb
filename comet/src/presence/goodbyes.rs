//! Goodbyes: the connections that went, each repeated until the registry acknowledged it.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use orrery_model::command::{Command, Outcome, RouteName, Unbind};
use orrery_model::{Address, Conn, Incarnation, Slot};
use seeded_bugs::Bug;
use tokio::sync::OwnedSemaphorePermit;

use super::Presence;
use super::lines::Lines;
use super::write::WriteError;

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

/// A goodbye's part at one address. Whoever drops the last one has said it all.
#[derive(Debug)]
struct Part {
    address: Address,
    route: RouteName,
    goodbye: Arc<Goodbye>,
}

/// Goodbyes that wait: of no more connections than there may be, and a page of the audit.
#[derive(Debug, Default)]
pub(super) struct Goodbyes(Lines<Part>);

impl Goodbyes {
    pub(super) fn push(&mut self, mut goodbye: Goodbye) {
        let unbinds = std::mem::take(&mut goodbye.unbinds);
        let goodbye = Arc::new(goodbye);
        for (address, route) in unbinds {
            self.0.push(address.slot(), Part { address, route, goodbye: goodbye.clone() });
        }
    }

    /// Forgets what waits: its incarnation ended, and the routes with it. Gives back the goodbyes of which
    /// nothing is under way.
    pub(super) fn clear(&mut self) -> Vec<Goodbye> {
        self.0.clear().into_iter().filter_map(|part| Arc::into_inner(part.goodbye)).collect()
    }
}

/// Says goodbyes for as long as the comet lives.
pub(super) async fn run(presence: Arc<Presence>) {
    let mut under_way = FuturesUnordered::new();
    loop {
        loop {
            let Some((slot, part)) = presence.state.lock().goodbyes.0.poll() else { break };
            under_way.push(say(&presence, slot, part));
        }
        tokio::select! {
            Some(()) = under_way.next() => {}
            () = presence.goodbyes_wait.notified() => {}
        }
    }
}

async fn say(presence: &Presence, slot: Slot, part: Part) {
    let Part { address, route, goodbye } = part;
    let comet = presence.comet(goodbye.incarnation);
    let unbind = |settled| {
        let (address, comet) = (address.clone(), comet.clone());
        Command::Unbind(Unbind { address, comet, route, settled })
    };
    let written = match seeded_bugs::is(Bug::GoodbyeLost) {
        true => Err(WriteError::Fenced),
        false => presence.write(goodbye.incarnation, unbind).await,
    };
    match written {
        Ok(Outcome::Unbound { removed: true }) if goodbye.stray => {
            presence.metrics.audit_stray_routes.inc();
        }
        Ok(_) | Err(WriteError::Fenced) => {}
        Err(WriteError::Refused(refusal)) => {
            tracing::error!(conn = %goodbye.conn, %refusal, "the registry refused a goodbye");
        }
    }
    let mut state = presence.state.lock();
    state.goodbyes.0.done(slot);
    let Some(goodbye) = Arc::into_inner(goodbye) else { return };
    state.conns.end(goodbye.conn);
    drop(state);
    if !goodbye.stray {
        presence.metrics.goodbyes.inc();
    }
    drop(goodbye.permit);
}
