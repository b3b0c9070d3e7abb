//! Tables: keeps the newest slot table any router node will give, in one task.

use std::sync::Arc;
use std::time::Duration;

use orrery_host::{Host, Task};
use orrery_proto::registry::GetTableRequest;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, info, warn};

use crate::backoff::Backoff;
use crate::limits::{TABLE_HURRY_PAUSE, TABLE_PAUSE_MAX, TABLE_PAUSE_MIN, TABLE_TIMEOUT};
use crate::metrics::Metrics;
use crate::nodes::Nodes;
use crate::table::Table;

type Newest = Option<Arc<Table>>;

/// The newest table known, and the task that fetches it.
pub(crate) struct Tables {
    newest: watch::Receiver<Newest>,
    /// The lowest epoch that would help somebody.
    wanted: watch::Sender<u64>,
    hurried: Mutex<Option<Instant>>,
    _task: Task,
}

impl Tables {
    /// Begins to fetch the table, and again each `refresh` without a reason.
    pub(crate) fn start(
        host: &Host,
        nodes: Arc<Nodes>,
        refresh: Duration,
        metrics: Metrics,
    ) -> Self {
        let (publish, newest) = watch::channel(None);
        let (wanted, wishes) = watch::channel(0);
        let fetcher = Fetcher { nodes, publish, wishes, host: host.clone(), refresh, metrics };
        let task = host.tasks.spawn("slot table", fetcher.run());
        Self { newest, wanted, hurried: Mutex::new(None), _task: task }
    }

    pub(crate) fn newest(&self) -> Newest {
        self.newest.borrow().clone()
    }

    /// The newest table, waiting for the first one.
    pub(crate) async fn first(&self, until: Instant) -> Newest {
        if let Some(table) = self.newest() {
            return Some(table);
        }
        let mut newest = self.newest.clone();
        let found = timeout_at(until, newest.wait_for(Option::is_some)).await;
        found.ok().and_then(Result::ok).and_then(|table| table.clone())
    }

    /// Asks for the table again, whatever its epoch: somebody spoke of a node that it does not name, or
    /// nobody that it names knows a leader.
    pub(crate) fn hurry(&self) {
        let now = Instant::now();
        let mut hurried = self.hurried.lock();
        if hurried.is_none_or(|at| now >= at + TABLE_HURRY_PAUSE) {
            *hurried = Some(now);
            self.wanted.send_modify(|_| {});
        }
    }

    /// Asks for a table of at least this epoch and waits for it.
    pub(crate) async fn at_least(&self, epoch: u64, until: Instant) {
        self.wanted.send_if_modified(|wanted| {
            let higher = epoch > *wanted;
            *wanted = epoch.max(*wanted);
            higher
        });
        let mut newest = self.newest.clone();
        let reached =
            newest.wait_for(|newest| newest.as_ref().is_some_and(|t| t.slots.epoch >= epoch));
        // Out of time: the caller asks again with what there is and finds out.
        let _ = timeout_at(until, reached).await;
    }
}

struct Fetcher {
    nodes: Arc<Nodes>,
    publish: watch::Sender<Newest>,
    wishes: watch::Receiver<u64>,
    host: Host,
    refresh: Duration,
    metrics: Metrics,
}

impl Fetcher {
    async fn run(mut self) {
        loop {
            let mut backoff = Backoff::new(TABLE_PAUSE_MIN, TABLE_PAUSE_MAX);
            while !self.round().await {
                tokio::time::sleep(backoff.pause(&*self.host.random)).await;
            }
            tokio::time::sleep(TABLE_PAUSE_MIN).await;
            tokio::select! {
                biased;
                // Somebody met a shard that knows of a newer table.
                wish = self.wishes.changed() => if wish.is_err() { return },
                // Nobody did, but nodes may have come and gone.
                () = tokio::time::sleep(self.refresh) => {}
            }
        }
    }

    /// Asks node after node until one has what is wanted; returns whether one had.
    async fn round(&mut self) -> bool {
        let wanted = *self.wishes.borrow_and_update();
        let known = self.publish.borrow().clone();
        let mut addresses = self.nodes.addresses(known.as_deref());
        if !addresses.is_empty() {
            // Starts anywhere, so that no node is everybody's first.
            let start = self.host.random.below(addresses.len() as u64);
            addresses.rotate_left(usize::try_from(start).unwrap_or(0));
        }
        for address in addresses {
            match self.fetch(&address).await {
                Ok(table) => {
                    let epoch = table.slots.epoch;
                    if self.take(table) && epoch >= wanted {
                        self.metrics.refresh("ok");
                        return true;
                    }
                }
                Err(why) => debug!(node = address, why, "no slot table from this node"),
            }
        }
        self.metrics.refresh("none");
        false
    }

    async fn fetch(&self, address: &str) -> Result<Table, String> {
        let node = self.nodes.at(address).ok_or("not an address")?;
        let mut client = node.client();
        let answer = timeout(TABLE_TIMEOUT, client.get_table(GetTableRequest {})).await;
        let answer = answer.map_err(|_| "no answer in time")?.map_err(|s| s.to_string())?;
        Table::from_wire(answer.into_inner()).map_err(|error| error.to_string())
    }

    /// Publishes a table unless it is older or another cluster's; returns whether it may be used.
    fn take(&self, table: Table) -> bool {
        let known = self.publish.borrow().clone();
        if let Some(known) = &known {
            if known.cluster_id != table.cluster_id {
                warn!(
                    known = known.cluster_id,
                    other = table.cluster_id,
                    "node of another cluster"
                );
                return false;
            }
            if table.is_older_than(known) {
                return false;
            }
            if table.agrees_with(known) {
                // Known to be so for longer now.
                self.publish.send_replace(Some(Arc::new(table)));
                return true;
            }
        }
        info!(epoch = table.slots.epoch, nodes = table.nodes.len(), "slot table learned");
        self.nodes.retain(&table);
        self.publish.send_replace(Some(Arc::new(table)));
        true
    }
}
