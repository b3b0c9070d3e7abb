//! Worker: a thread that holds devices and reads what arrives at them.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use futures_util::{StreamExt, stream};
use orrery_bench::clock::Clock;
use orrery_bench::latency::Latencies;
use orrery_host::Host;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::device::{Device, Guise, OP};
use super::limits::{CONNECT_TIMEOUT, HEARTBEAT, READ_BYTES};
use super::stamp::Stamp;

/// What arrived at one device in a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Received {
    /// How many messages.
    pub(super) messages: u64,
    /// The sum of their numbers: with the count it tells a message that came twice from one that was
    /// lost.
    pub(super) numbers: u64,
}

/// What arrived at all devices of a worker in a run.
#[derive(Debug, Default)]
pub(super) struct Haul {
    /// One a device, in order.
    pub(super) received: Vec<Received>,
    /// From due to arrived.
    pub(super) latencies: Latencies,
    /// Devices whose connection broke.
    pub(super) broken: u64,
}

/// What a worker is asked.
pub(super) enum Ask {
    /// Count what belongs to this run from now on.
    Begin(u64, oneshot::Sender<()>),
    /// Hand over what was counted.
    Haul(oneshot::Sender<Haul>),
}

/// What a worker is given.
pub(super) struct Start {
    pub(super) comet: String,
    pub(super) guises: Vec<Guise>,
    /// Connects under way at once.
    pub(super) concurrency: usize,
    pub(super) clock: Clock,
    /// How long each connect took, or why one failed.
    pub(super) connected: oneshot::Sender<anyhow::Result<Latencies>>,
    pub(super) asks: mpsc::Receiver<Ask>,
    /// Messages of the run so far; only this worker adds to it.
    pub(super) arrived: Arc<AtomicU64>,
}

/// What a worker's devices share.
struct Shared {
    clock: Clock,
    run: Cell<u64>,
    scratch: RefCell<Box<[u8]>>,
    received: RefCell<Vec<Received>>,
    latencies: RefCell<Latencies>,
    arrived: Arc<AtomicU64>,
}

/// Connects its devices and serves them until nobody asks any more.
pub(super) async fn run(start: Start) {
    let Start { comet, guises, concurrency, clock, connected, mut asks, arrived } = start;
    let shared = Rc::new(Shared {
        clock,
        run: Cell::new(0),
        scratch: RefCell::new(vec![0; READ_BYTES].into()),
        received: RefCell::new(vec![Received::default(); guises.len()]),
        latencies: RefCell::default(),
        arrived,
    });
    let mut devices = JoinSet::new();
    let outcome = connect(&shared, &comet, guises, concurrency, &mut devices).await;
    let failed = outcome.is_err();
    // Whoever started it and does not wait any more also asks for nothing.
    let _ = connected.send(outcome);
    if failed {
        return;
    }
    let mut broken = 0;
    loop {
        tokio::select! {
            biased;
            ask = asks.recv() => match ask {
                Some(Ask::Begin(run, begun)) => {
                    shared.begin(run);
                    let _ = begun.send(());
                }
                Some(Ask::Haul(answer)) => {
                    let received = shared.received.borrow().clone();
                    let latencies = shared.latencies.borrow().clone();
                    let _ = answer.send(Haul { received, latencies, broken });
                }
                None => return,
            },
            Some(_) = devices.join_next() => broken += 1,
        }
    }
}

async fn connect(
    shared: &Rc<Shared>,
    comet: &str,
    guises: Vec<Guise>,
    concurrency: usize,
    devices: &mut JoinSet<()>,
) -> anyhow::Result<Latencies> {
    let host = Host::system();
    let mut latencies = Latencies::default();
    let connect = |(index, guise): (usize, Guise)| {
        let net = host.net.clone();
        async move {
            let begun_ns = shared.clock.now_ns();
            let device = timeout(CONNECT_TIMEOUT, Device::connect(&*net, comet, &guise)).await;
            let took_ns = shared.clock.now_ns() - begun_ns;
            let device = device.context("a device was not welcomed in time")??;
            anyhow::Ok((index, device, took_ns))
        }
    };
    let guises = stream::iter(guises.into_iter().enumerate());
    let mut connecting = std::pin::pin!(guises.map(connect).buffer_unordered(concurrency));
    while let Some(connected) = connecting.next().await {
        let (index, device, took_ns) = connected?;
        latencies.record(took_ns);
        devices.spawn_local(serve(shared.clone(), index, device));
    }
    Ok(latencies)
}

/// Reads one device until its connection breaks.
async fn serve(shared: Rc<Shared>, index: usize, mut device: Device) {
    let heartbeat_ns = HEARTBEAT.as_nanos() as u64;
    let mut beat_due_ns = shared.clock.now_ns() + heartbeat_ns;
    while let Ok(true) = poll_fn(|cx| shared.poll(&mut device, index, cx)).await {
        let now_ns = shared.clock.now_ns();
        // Whoever is worth keeping alive gets messages, so that no timer is needed.
        if now_ns >= beat_due_ns {
            beat_due_ns = now_ns + heartbeat_ns;
            if device.heartbeat().await.is_err() {
                return;
            }
        }
    }
}

impl Shared {
    fn begin(&self, run: u64) {
        self.run.set(run);
        self.received.borrow_mut().fill(Received::default());
        *self.latencies.borrow_mut() = Latencies::default();
        self.arrived.store(0, Ordering::Relaxed);
    }

    fn poll(
        &self,
        device: &mut Device,
        index: usize,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<anyhow::Result<bool>> {
        let mut scratch = self.scratch.borrow_mut();
        let mut latencies = self.latencies.borrow_mut();
        let mut received = Received::default();
        // One look at the clock for all that was read together.
        let mut now_ns = None;
        let polled = device.poll_frames(cx, &mut scratch, |_, op, body| {
            let Some(stamp) = Stamp::read(body) else { return };
            if op == OP && stamp.run == self.run.get() {
                let now_ns = *now_ns.get_or_insert_with(|| self.clock.now_ns());
                received.messages += 1;
                received.numbers = received.numbers.wrapping_add(stamp.number);
                latencies.record(now_ns.saturating_sub(stamp.due_ns));
            }
        });
        if received.messages > 0 {
            let all = &mut self.received.borrow_mut()[index];
            all.messages += received.messages;
            all.numbers = all.numbers.wrapping_add(received.numbers);
            self.arrived.fetch_add(received.messages, Ordering::Relaxed);
        }
        polled
    }
}
