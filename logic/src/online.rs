//! Online: counts the comets' connections and rooms every few seconds, for answers that may be that old.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use orrery_model::{CometId, CometRef};
use orrery_proto::delivery::CensusRequest;
use orrery_proto::delivery::delivery_client::DeliveryClient;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tonic::Status;
use tonic::transport::Channel;

use crate::comets::{Comets, Living};
use crate::limits::{CENSUS_PAGE_BYTES_MAX, CENSUS_TIMEOUT};
use crate::metrics::Metrics;

/// The last census. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Online {
    census: Arc<ArcSwap<Census>>,
    changed: watch::Sender<u64>,
}

/// Who was connected where, when the comets were last asked.
#[derive(Debug, Default)]
pub(crate) struct Census {
    /// Counts the censuses; 0 is none yet.
    pub(crate) number: u64,
    comets: BTreeMap<CometId, Arc<Counted>>,
    rooms: HashMap<String, u32>,
}

/// What one comet said.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    /// Its connections.
    pub(crate) connections: u64,
    /// Distinct remote addresses.
    pub(crate) ips: u64,
    /// Its rooms with their members there.
    pub(crate) rooms: Vec<(String, u32)>,
}

impl Census {
    fn of(number: u64, comets: BTreeMap<CometId, Arc<Counted>>) -> Self {
        let mut rooms: HashMap<String, u32> = HashMap::new();
        for (room, count) in comets.values().flat_map(|counted| &counted.rooms) {
            let total = rooms.entry(room.clone()).or_default();
            *total = total.saturating_add(*count);
        }
        Self { number, comets, rooms }
    }

    /// Connections of a comet; 0 where it was not counted.
    pub(crate) fn connections_of(&self, comet: &CometId) -> u64 {
        self.comets.get(comet).map_or(0, |counted| counted.connections)
    }

    /// What a comet said.
    pub(crate) fn comet(&self, comet: &CometId) -> Option<&Arc<Counted>> {
        self.comets.get(comet)
    }

    /// Connections and distinct remote addresses of all comets; an address on two of them counts twice.
    pub(crate) fn total(&self) -> (u64, u64) {
        let sum = |of: fn(&Counted) -> u64| {
            self.comets.values().fold(0, |sum: u64, counted| sum.saturating_add(of(counted)))
        };
        (sum(|c| c.connections), sum(|c| c.ips))
    }

    /// Members of a room.
    pub(crate) fn room(&self, room: &str) -> u32 {
        self.rooms.get(room).copied().unwrap_or(0)
    }

    /// All rooms with their members.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = (&str, u32)> {
        self.rooms.iter().map(|(room, count)| (room.as_str(), *count))
    }
}

impl Online {
    pub(crate) fn new() -> Self {
        Self { census: Arc::default(), changed: watch::Sender::new(0) }
    }

    /// The last census.
    pub(crate) fn census(&self) -> Arc<Census> {
        self.census.load_full()
    }

    /// Tells the number of each census once it is there.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// A comet's part of a number for the whole cluster: as its part of the connections, or an equal one
    /// where nothing was counted. At least 1.
    pub(crate) fn share(&self, comet: &CometId, all: u32, comets: usize) -> u32 {
        let census = self.census();
        let (total, _) = census.total();
        let (part, whole) = match (census.comet(comet), total) {
            (Some(counted), 1..) => (counted.connections, total),
            _ => (1, comets.max(1) as u64),
        };
        let share = u128::from(all) * u128::from(part) / u128::from(whole);
        u32::try_from(share).unwrap_or(u32::MAX).max(1)
    }

    /// Counts again and again, and at once when a comet came or went.
    pub(crate) async fn run(self, every: Duration, comets: Arc<Comets>, metrics: Metrics) {
        let mut ticks = interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut changes = comets.changes();
        loop {
            tokio::select! {
                biased;
                Ok(()) = changes.changed() => {}
                _ = ticks.tick() => {}
            }
            self.count(&comets.living(), &metrics).await;
        }
    }

    async fn count(&self, living: &[Arc<Living>], metrics: &Metrics) {
        let last = self.census();
        let ask = |living: &Arc<Living>| {
            let comet = living.comet.comet.clone();
            let channel = living.session.as_ref().map(|session| session.channel());
            let before = last.comets.get(&comet.id).cloned();
            async move {
                let counted = ask(&comet, channel?).await;
                metrics.counted(counted.is_some());
                // A comet that does not answer most likely still has what it had.
                Some((comet.id, counted.map(Arc::new).or(before)?))
            }
        };
        let comets = join_all(living.iter().map(ask)).await.into_iter().flatten().collect();
        let number = last.number + 1;
        self.census.store(Arc::new(Census::of(number, comets)));
        self.changed.send_replace(number);
    }
}

/// Asks one comet for its census.
async fn ask(comet: &CometRef, channel: Channel) -> Option<Counted> {
    match timeout(CENSUS_TIMEOUT, pages(channel)).await {
        Ok(Ok(counted)) => Some(counted),
        Ok(Err(status)) => {
            tracing::debug!(%comet, %status, "a comet did not tell its census");
            None
        }
        Err(_) => {
            tracing::debug!(%comet, "a comet did not tell its census in time");
            None
        }
    }
}

async fn pages(channel: Channel) -> Result<Counted, Status> {
    let mut client = DeliveryClient::new(channel).max_decoding_message_size(CENSUS_PAGE_BYTES_MAX);
    let mut pages = client.census(CensusRequest {}).await?.into_inner();
    let mut counted = Counted::default();
    while let Some(page) = pages.message().await? {
        // Only the first page says these; all others say 0.
        counted.connections += page.connections;
        counted.ips += page.ips;
        counted.rooms.extend(page.rooms.into_iter().map(|room| (room.room, room.count)));
    }
    Ok(counted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comet(id: &str) -> CometId {
        CometId::new(id).unwrap()
    }

    type Said<'a> = (&'a str, u64, &'a [(&'a str, u32)]);

    fn online(comets: &[Said<'_>]) -> Online {
        let counted = |(id, connections, rooms): &Said<'_>| {
            let rooms = rooms.iter().map(|(room, count)| ((*room).to_owned(), *count)).collect();
            let counted = Counted { connections: *connections, ips: 1, rooms };
            (comet(id), Arc::new(counted))
        };
        let online = Online::new();
        online.census.store(Arc::new(Census::of(1, comets.iter().map(counted).collect())));
        online
    }

    #[test]
    fn a_room_is_the_sum_over_its_comets() {
        let rooms: (&[_], &[_]) = (&[("live://1", 2), ("live://2", 1)], &[("live://1", 3)]);
        let online = online(&[("a", 3, rooms.0), ("b", 4, rooms.1)]);
        let census = online.census();
        assert_eq!((census.room("live://1"), census.room("live://2")), (5, 1));
        assert_eq!(census.room("live://3"), 0);
        assert_eq!(census.total(), (7, 2));
    }

    #[test]
    fn a_rate_is_shared_by_connections_and_reaches_everybody() {
        let online = online(&[("a", 90, &[]), ("b", 10, &[]), ("c", 0, &[])]);
        let share = |id| online.share(&comet(id), 1000, 3);
        assert_eq!((share("a"), share("b"), share("c")), (900, 100, 1));
        assert_eq!(Online::new().share(&comet("a"), 1000, 4), 250);
        assert_eq!(Online::new().share(&comet("a"), 2, 4), 1);
        assert_eq!(online.share(&comet("unknown"), 900, 3), 300);
    }
}
