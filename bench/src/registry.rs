//! Registry: Orrery's, loaded the way logic does it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use orrery_host::{Host, Task};
use orrery_model::command::{Bind, Command, Outcome};
use orrery_model::control::{Advertise, Attach};
use orrery_model::{Address, CometRef, Conn, Details, Id, Policy, SlotTable};
use orrery_router_client::{Client, ClientError, Config, Pulse};
use tokio::time::{Instant, interval};

use crate::limits::CALL_TIMEOUT;
use crate::target::{Failure, Target};

/// Orrery's registry, with a comet of its own that lives as long as this does.
pub struct Registry {
    client: Client,
    comet: CometRef,
    _keep_alive: Task,
}

impl Registry {
    /// Attaches a comet under a fresh id through some of the router nodes (`host:port`).
    ///
    /// # Errors
    /// When the registry does not answer.
    pub async fn attach(host: &Host, routers: Vec<String>) -> anyhow::Result<Self> {
        let client = Client::new(Config { nodes: routers, ..Config::default() }, host.clone());
        let instance = host.random.uuid();
        let id = Id::new(format!("bench-{}", &instance[..8])).context("a comet's id")?;
        let attach =
            Attach { comet: id.clone(), instance, attempt: 1, advertise: Advertise::default() };
        let attached = client.attach(attach, deadline()).await.context("attach a comet")?;
        let comet = CometRef { id, incarnation: attached.incarnation };
        let period = Duration::from_millis(u64::from(attached.keep_alive_ms.max(1)));
        let keep_alive = keep_alive(client.clone(), comet.clone(), period);
        let keep_alive = host.tasks.spawn("bench keep-alive", keep_alive);
        Ok(Self { client, comet, _keep_alive: keep_alive })
    }

    /// The client it speaks through.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The slot table that its client uses.
    ///
    /// # Errors
    /// When it has none yet.
    pub fn table(&self) -> anyhow::Result<Arc<SlotTable>> {
        let table = self.client.table().context("the client has no slot table")?;
        Ok(Arc::new(table.slots.clone()))
    }

    /// The user with a number.
    pub fn user(&self, n: u64) -> Address {
        let id = Id::new(format!("{}-{n}", self.comet.id)).expect("it is short and not empty");
        Address::user(id)
    }

    /// Binds a user to the connection of the same number, and says which seq that got.
    ///
    /// # Errors
    /// [`Failure`], by the client's endings; what the registry refused is `refused`.
    pub async fn bind(&self, user: Address, conn: u64) -> Result<u64, Failure> {
        let bind = Bind {
            address: user,
            comet: self.comet.clone(),
            conn: Conn(conn),
            details: Details { platform: "android".to_owned(), ..Details::default() },
            policy: Policy::ONE_NEWEST,
            // Nothing is unbound here, so there are no marks to let go of.
            settled: Conn(0),
            rank: None,
        };
        let written = self.client.write(Command::Bind(bind), deadline()).await;
        match written.map_err(failure)?.reply {
            Ok(Outcome::Bound(bound)) => Ok(bound.seq.0),
            Ok(other) => Err(Failure::new("odd", format!("{other:?}"))),
            Err(refusal) => Err(Failure::new("refused", refusal)),
        }
    }

    /// The (conn, seq) of a user's routes.
    ///
    /// # Errors
    /// [`Failure`], by the client's endings.
    pub async fn locate(&self, user: Address) -> Result<Vec<(u64, u64)>, Failure> {
        let located = self.client.locate(user, false, deadline()).await.map_err(failure)?;
        Ok(located.routes.iter().map(|route| (route.conn.0, route.seq.0)).collect())
    }

    /// Ends the comet's life, and with it all routes it has.
    ///
    /// # Errors
    /// When the registry does not answer.
    pub async fn detach(&self) -> anyhow::Result<()> {
        self.client.detach(self.comet.clone(), deadline()).await.context("detach the comet")
    }
}

impl Target for Registry {
    async fn write(&self, _caller: usize, n: u64) -> Result<(), Failure> {
        // Conns begin at 1.
        self.bind(self.user(n), n + 1).await.map(|_| ())
    }

    async fn read(&self, _caller: usize, n: u64) -> Result<(), Failure> {
        match self.locate(self.user(n)).await?.as_slice() {
            [(conn, _)] if *conn == n + 1 => Ok(()),
            routes => Err(Failure::new("odd", format!("user {n} has the routes {routes:?}"))),
        }
    }
}

async fn keep_alive(client: Client, comet: CometRef, period: Duration) {
    let mut beats = interval(period);
    loop {
        beats.tick().await;
        match client.keep_alive(comet.clone(), Instant::now() + period).await {
            Ok(Pulse::Alive) => {}
            // Writes will be refused from here on, which their figures say.
            Ok(Pulse::Ended | Pulse::Superseded) => return,
            // The next one may get through.
            Err(_) => {}
        }
    }
}

fn deadline() -> Instant {
    Instant::now() + CALL_TIMEOUT
}

fn failure(error: ClientError) -> Failure {
    let kind = match &error {
        ClientError::Unavailable { .. } => "unavailable",
        ClientError::Unknown { .. } => "unknown",
        ClientError::Overloaded { .. } => "overloaded",
        ClientError::Invalid { .. } => "invalid",
        ClientError::Deadline => "deadline",
        ClientError::Superseded { .. } => "superseded",
    };
    Failure::new(kind, error)
}
