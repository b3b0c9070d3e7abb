//! Crowd: many devices, spread over a few worker threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use futures_util::FutureExt;
use orrery_host::{Host, Net, Task};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

use super::device::Guise;
use super::worker::{self, Ask, Entrance, Haul, Start};
use crate::clock::Clock;
use crate::edge::arrivals::Received;
use crate::edge::limits::{PATIENCE, READERS_MAX};
use crate::edge::progress;
use crate::latency::Latencies;

/// How often arrivals are looked at while waiting for the last of them.
const LOOK: Duration = Duration::from_millis(5);

/// Connected devices. Their connections close with its drop.
pub struct Crowd {
    readers: Vec<Reader>,
}

struct Reader {
    asks: mpsc::Sender<Ask>,
    arrived: Arc<AtomicU64>,
    _task: Task,
}

/// How a crowd connected.
#[derive(Debug)]
pub struct Connected {
    /// Each connect's time, from the socket to the welcome.
    pub latencies: Latencies,
    /// From the first connect to the last welcome.
    pub took: Duration,
}

impl Crowd {
    /// Connects and authenticates all of them, so many at a time.
    ///
    /// # Errors
    /// When one of them does not get in.
    pub async fn connect(
        host: &Host,
        net: &Arc<dyn Net>,
        clock: Clock,
        entrance: &Entrance,
        guises: Vec<Guise>,
    ) -> anyhow::Result<(Self, Connected)> {
        let (count, all) = (readers(), guises.len());
        let begun = Instant::now();
        let entered = Arc::new(AtomicU64::new(0));
        let mut readers = Vec::new();
        let mut outcomes = Vec::new();
        for share in shares(guises.into_iter().enumerate().collect(), count) {
            let (asks_tx, asks) = mpsc::channel(1);
            let (connected, outcome) = oneshot::channel();
            let arrived = Arc::new(AtomicU64::new(0));
            let concurrency = entrance.concurrency.div_ceil(count);
            let start = Start {
                net: net.clone(),
                entrance: Entrance { concurrency, ..entrance.clone() },
                guises: share,
                clock,
                connected,
                asks,
                entered: entered.clone(),
                arrived: arrived.clone(),
            };
            let start = Box::new(move || worker::run(start).boxed_local());
            let task = host.tasks.worker("bench-reader".to_owned(), start);
            readers.push(Reader { asks: asks_tx, arrived, _task: task });
            outcomes.push(outcome);
        }
        let mut latencies = Latencies::default();
        let connect = async {
            for outcome in outcomes {
                latencies.add(&outcome.await.context("a reader ended")??);
            }
            anyhow::Ok(())
        };
        let so_far = || format!("{} of {all} devices are in", entered.load(Ordering::Relaxed));
        progress::during(so_far, connect).await?;
        Ok((Self { readers }, Connected { latencies, took: begun.elapsed() }))
    }

    /// Counts only what belongs to this run from now on.
    ///
    /// # Errors
    /// When a thread of it ended.
    pub async fn begin(&self, run: u16) -> anyhow::Result<()> {
        for reader in &self.readers {
            let (begun_tx, begun) = oneshot::channel();
            reader.asks.send(Ask::Begin(run, begun_tx)).await.context("a reader ended")?;
            begun.await.context("a reader ended")?;
        }
        Ok(())
    }

    /// Messages of the run that arrived so far.
    pub fn arrived(&self) -> u64 {
        self.readers.iter().map(|reader| reader.arrived.load(Ordering::Relaxed)).sum()
    }

    /// Waits until so many messages arrived, or none did for a while.
    pub async fn await_arrivals(&self, expected: u64) {
        let mut last = (self.arrived(), Instant::now());
        while last.0 < expected && last.1.elapsed() < PATIENCE {
            sleep(LOOK).await;
            let arrived = self.arrived();
            if arrived != last.0 {
                last = (arrived, Instant::now());
            }
        }
    }

    /// What arrived in the run, one device after the other in the order in which they were given.
    ///
    /// # Errors
    /// When a thread of it ended.
    pub async fn haul(&self) -> anyhow::Result<Haul> {
        let mut hauls = Vec::new();
        for reader in &self.readers {
            let (haul_tx, haul) = oneshot::channel();
            reader.asks.send(Ask::Haul(haul_tx)).await.context("a reader ended")?;
            hauls.push(haul.await.context("a reader ended")?);
        }
        let mut all = Haul::default();
        for haul in &hauls {
            all.latencies.add(&haul.latencies);
            all.broken += haul.broken;
        }
        let received = hauls.into_iter().map(|haul| haul.received).collect();
        all.received = unshare(received);
        Ok(all)
    }
}

/// Threads that hold devices on this machine.
pub(crate) fn readers() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores / 2).clamp(1, READERS_MAX)
}

/// Deals things out in turn.
pub(crate) fn shares<T>(things: Vec<T>, count: usize) -> Vec<Vec<T>> {
    let mut shares: Vec<Vec<T>> = (0..count).map(|_| Vec::new()).collect();
    for (index, thing) in things.into_iter().enumerate() {
        shares[index % count].push(thing);
    }
    shares
}

/// Puts what was dealt out in order again.
fn unshare(shares: Vec<Vec<Received>>) -> Vec<Received> {
    let len = shares.iter().map(Vec::len).sum();
    let count = shares.len();
    (0..len).map(|index| shares[index % count][index / count]).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use orrery_comet_core::frame::{Carrier, Header};
    use orrery_comet_core::limits::{CLIENT_PACKET_BYTES_MAX, HEADER_BYTES};
    use orrery_comet_core::{Frame, Token, ops};
    use orrery_host::Listener;
    use orrery_sdk::Transport;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::edge::client::device::OP;
    use crate::edge::client::net::ClientNet;
    use crate::edge::client::stamp::Stamp;

    /// Lets one device in, then sends it what the test says.
    async fn comet(listener: Box<dyn Listener>, mut says: mpsc::Receiver<Stamp>) {
        let (mut device, _) = listener.accept().await.unwrap();
        let mut header = [0; HEADER_BYTES];
        device.read_exact(&mut header).await.unwrap();
        let header = Header::parse(&header);
        let length = header.body_len(Carrier::Stream, CLIENT_PACKET_BYTES_MAX).unwrap();
        let mut token = vec![0; length];
        device.read_exact(&mut token).await.unwrap();
        let token = Token::parse(&token).unwrap();
        assert_eq!((token.mid, token.accepts.as_slice()), (7, [OP].as_slice()));
        let frame = |op, seq, body| Frame { version: 1, op, seq, body }.encode();
        device.write_all(&frame(ops::AUTH_REPLY, header.seq, Bytes::new())).await.unwrap();
        while let Some(stamp) = says.recv().await {
            device.write_all(&frame(OP, 0, stamp.body(100))).await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_arrives_is_counted_for_its_own_run_only() {
        let (host, clock) = (Host::system(), Clock::start());
        let listener = host.net.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let entrance = Entrance {
            transport: Transport::Tcp,
            comets: vec![listener.local_addr().unwrap().to_string()],
            introduced: true,
            proving_life: false,
            concurrency: 1,
        };
        let (say, says) = mpsc::channel(8);
        let _comet = host.tasks.spawn("comet", comet(listener, says));
        let guise = Guise { user: 7, room: None };
        let net: Arc<dyn Net> = Arc::new(ClientNet::default());
        let (crowd, connected) =
            Crowd::connect(&host, &net, clock, &entrance, vec![guise]).await.unwrap();
        assert_eq!(connected.latencies.summary().count, 1);

        crowd.begin(2).await.unwrap();
        let stamp = |run, number| Stamp { run, number, due_ns: clock.now_ns() };
        for (run, number) in [(1, 100), (2, 3), (1, 100), (2, 4)] {
            say.send(stamp(run, number)).await.unwrap();
        }
        crowd.await_arrivals(2).await;
        let haul = crowd.haul().await.unwrap();
        assert_eq!(haul.received, [Received { messages: 2, numbers: 7 }]);
        assert_eq!((haul.latencies.summary().count, haul.broken), (2, 0));
    }

    #[test]
    fn what_was_dealt_out_comes_back_in_order() {
        let received: Vec<Received> =
            (0..7).map(|messages| Received { messages, numbers: 0 }).collect();
        for count in 1..4 {
            assert_eq!(unshare(shares(received.clone(), count)), received, "{count} shares");
        }
    }
}
