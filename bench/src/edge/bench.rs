//! Bench: what every measurement of an edge works with.

use std::cell::Cell;
use std::sync::Arc;

use orrery_host::{Host, Net};
use orrery_sdk::Transport;

use super::client::crowd::{Connected, Crowd};
use super::client::device::Guise;
use super::client::worker::Entrance;
use super::limits::CONNECT_CONCURRENCY;
use super::push::api::ApiKind;
use super::push::pusher::{Load, Pusher};
use super::server::target::Target;
use super::server::usage::{Cpu, Usage};
use crate::clock::Clock;
use crate::machine::Machine;

/// What every measurement works with.
pub struct Bench {
    /// The client's own world but for its devices' sockets.
    pub host: Host,
    /// Where devices' sockets come from.
    pub net: Arc<dyn Net>,
    /// The client's clock.
    pub clock: Clock,
    /// What is measured.
    pub target: Target,
    /// How devices speak to it.
    pub transport: Transport,
    api: ApiKind,
    runs: Cell<u16>,
}

impl Bench {
    /// Nothing has been measured yet.
    pub fn new(
        host: Host,
        clock: Clock,
        target: Target,
        transport: Transport,
        api: ApiKind,
    ) -> Self {
        let net = target.net.clone();
        Self { host, net, clock, target, transport, api, runs: Cell::new(0) }
    }

    /// A backend.
    ///
    /// # Errors
    /// When nobody said where to push, or the address is none.
    pub fn pusher(&self) -> anyhow::Result<Pusher> {
        Pusher::new(&self.host, self.clock, self.api, self.target.push()?)
    }

    /// How devices come in.
    pub fn entrance(&self) -> Entrance {
        Entrance {
            transport: self.transport,
            comets: self.target.comets.clone(),
            introduced: true,
            proving_life: false,
            concurrency: CONNECT_CONCURRENCY,
        }
    }

    /// Connects devices, each of another user from the first on, all in this room.
    ///
    /// # Errors
    /// When one does not get in.
    pub async fn crowd(
        &self,
        first_user: u64,
        count: usize,
        room: Option<&str>,
    ) -> anyhow::Result<(Crowd, Connected)> {
        let room = room.map(str::to_owned);
        let guise = |nth| Guise { user: first_user + nth, room: room.clone() };
        let guises = (0..count as u64).map(guise).collect();
        Crowd::connect(&self.host, &self.net, self.clock, &self.entrance(), guises).await
    }

    /// A run whose number no other one has had for long.
    pub fn run(&self, bytes: usize) -> Load {
        self.runs.set(self.runs.get().wrapping_add(1));
        Load { run: self.runs.get(), bytes }
    }

    /// What everybody has used so far.
    pub fn usage(&self) -> Usage {
        Usage::look(self.clock, &self.target)
    }

    /// What everybody has used since.
    pub fn cpu_since(&self, earlier: &Usage) -> Cpu {
        self.usage().since(earlier)
    }

    /// The machine, with the disk of the system's data.
    pub fn machine(&self) -> Machine {
        Machine { sync: self.target.sync(), ..Machine::look() }
    }
}
