//! Worker: a thread that holds devices and reads what arrives at them.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use anyhow::Context as _;
use futures_util::{StreamExt, stream};
use orrery_host::Net;
use orrery_sdk::Transport;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::device::{Device, Guise, OP};
use super::reader::Heard;
use super::session::{Session, is_over_http};
use super::stamp::Stamp;
use crate::clock::Clock;
use crate::edge::arrivals::Received;
use crate::edge::limits::{CONNECT_TIMEOUT, HEARTBEAT, READ_BYTES};
use crate::latency::Latencies;

/// How the devices of a crowd connect.
#[derive(Debug, Clone)]
pub struct Entrance {
    /// Protocol and transport.
    pub transport: Transport,
    /// The comets' `host:port`; devices are spread over them in turn.
    pub comets: Vec<String>,
    /// Whether they introduce themselves and wait for a welcome.
    pub introduced: bool,
    /// Whether each gives one sign of life, and waits for the answer, before it counts as connected. Not over HTTP,
    /// where whoever asks for events gives one.
    pub proving_life: bool,
    /// Connects under way at once.
    pub concurrency: usize,
}

/// What arrived at all devices of a worker in a run.
#[derive(Debug, Default)]
pub struct Haul {
    /// One a device, in order.
    pub received: Vec<Received>,
    /// From due to arrived.
    pub latencies: Latencies,
    /// Devices whose connection broke.
    pub broken: u64,
}

/// What a worker is asked.
pub(super) enum Ask {
    /// Count what belongs to this run from now on.
    Begin(u16, oneshot::Sender<()>),
    /// Hand over what was counted.
    Haul(oneshot::Sender<Haul>),
}

/// What a worker is given.
pub(super) struct Start {
    pub(super) net: Arc<dyn Net>,
    pub(super) entrance: Entrance,
    /// Its devices, each with its number in the crowd.
    pub(super) guises: Vec<(usize, Guise)>,
    pub(super) clock: Clock,
    /// How long each connect took, or why one failed.
    pub(super) connected: oneshot::Sender<anyhow::Result<Latencies>>,
    pub(super) asks: mpsc::Receiver<Ask>,
    /// Devices that are in so far; only this worker adds to it.
    pub(super) entered: Arc<AtomicU64>,
    /// Messages of the run so far; only this worker adds to it.
    pub(super) arrived: Arc<AtomicU64>,
}

/// What a worker's devices share.
struct Shared {
    clock: Clock,
    run: Cell<u16>,
    scratch: RefCell<Box<[u8]>>,
    received: RefCell<Vec<Received>>,
    latencies: RefCell<Latencies>,
    arrived: Arc<AtomicU64>,
}

/// Connects its devices and serves them until nobody asks any more.
pub(super) async fn run(start: Start) {
    let Start { net, entrance, guises, clock, connected, mut asks, entered, arrived } = start;
    let shared = Rc::new(Shared {
        clock,
        run: Cell::new(0),
        scratch: RefCell::new(vec![0; READ_BYTES].into()),
        received: RefCell::new(vec![Received::default(); guises.len()]),
        latencies: RefCell::default(),
        arrived,
    });
    let mut devices = JoinSet::new();
    let outcome = connect(&shared, &net, &entrance, guises, &entered, &mut devices).await;
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
            // Whoever asks is waiting, and what arrived before the question is counted already.
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
    net: &Arc<dyn Net>,
    entrance: &Entrance,
    guises: Vec<(usize, Guise)>,
    entered: &AtomicU64,
    devices: &mut JoinSet<()>,
) -> anyhow::Result<Latencies> {
    let mut latencies = Latencies::default();
    let connect = |(index, (number, guise)): (usize, (usize, Guise))| async move {
        let begun_ns = shared.clock.now_ns();
        let device = timeout(CONNECT_TIMEOUT, enter(net, entrance, number, &guise)).await;
        let took_ns = shared.clock.now_ns() - begun_ns;
        let device = device.context("a device was not welcomed in time")??;
        anyhow::Ok((index, device, took_ns))
    };
    let guises = stream::iter(guises.into_iter().enumerate());
    let mut connecting = std::pin::pin!(guises.map(connect).buffer_unordered(entrance.concurrency));
    while let Some(connected) = connecting.next().await {
        let (index, device, took_ns) = connected?;
        latencies.record(took_ns);
        entered.fetch_add(1, Ordering::Relaxed);
        match device {
            Entered::Socket(device) => devices.spawn_local(serve(shared.clone(), index, device)),
            Entered::Session(session) => {
                devices.spawn_local(listen(shared.clone(), index, session))
            }
        };
    }
    Ok(latencies)
}

/// A device that is in.
enum Entered {
    Socket(Device),
    Session(Box<Session>),
}

async fn enter(
    net: &Arc<dyn Net>,
    entrance: &Entrance,
    number: usize,
    guise: &Guise,
) -> anyhow::Result<Entered> {
    let (transport, comet) = (entrance.transport, &entrance.comets[number % entrance.comets.len()]);
    if !entrance.introduced {
        return Ok(Entered::Socket(Device::bare(&**net, transport, comet).await?));
    }
    if is_over_http(transport) {
        let session = Session::connect(net, transport, comet, guise).await?;
        return Ok(Entered::Session(Box::new(session)));
    }
    let mut device = Device::connect(&**net, transport, comet, guise).await?;
    if entrance.proving_life {
        device.prove_life().await?;
    }
    Ok(Entered::Socket(device))
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

/// Takes what one session gets until it is over. Asking for more is its sign of life.
async fn listen(shared: Rc<Shared>, index: usize, mut session: Box<Session>) {
    while let Some(body) = session.next().await {
        shared.count(index, &body);
    }
}

impl Shared {
    fn begin(&self, run: u16) {
        self.run.set(run);
        self.received.borrow_mut().fill(Received::default());
        *self.latencies.borrow_mut() = Latencies::default();
        self.arrived.store(0, Ordering::Relaxed);
    }

    /// Counts a message that came by itself.
    fn count(&self, index: usize, body: &[u8]) {
        let Some(stamp) = Stamp::read(body).filter(|stamp| stamp.run == self.run.get()) else {
            return;
        };
        self.latencies.borrow_mut().record(self.clock.now_ns().saturating_sub(stamp.due_ns));
        let received = &mut self.received.borrow_mut()[index];
        received.messages += 1;
        received.numbers = received.numbers.wrapping_add(stamp.number);
        self.arrived.fetch_add(1, Ordering::Relaxed);
    }

    fn poll(
        &self,
        device: &mut Device,
        index: usize,
        cx: &mut Context<'_>,
    ) -> Poll<anyhow::Result<bool>> {
        let mut scratch = self.scratch.borrow_mut();
        let mut latencies = self.latencies.borrow_mut();
        let mut received = Received::default();
        // One look at the clock for all that was read together.
        let mut now_ns = None;
        let polled = device.poll_heard(cx, &mut scratch, |heard| {
            let Heard::Push { op: OP, body } = heard else { return };
            let Some(stamp) = Stamp::read(body) else { return };
            if stamp.run == self.run.get() {
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
