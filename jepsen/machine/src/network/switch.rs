//! Switch: gives packets from one TUN device to another, as the wires between them decide.
//!
//! One thread a device reads and gives on what need not wait; one thread gives on the rest when it is due.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::setpriority_process;

use super::agenda::Agenda;
use super::chance::Chance;
use super::link::{Counters, Link};
use super::wire::{Fate, Wire};
use crate::MachineError;
use crate::limits::{MTU_BYTES, NICE};

/// The threads that carry packets; dropping it stops them and closes the devices.
#[derive(Debug)]
pub(crate) struct Switch {
    fabric: Arc<Fabric>,
    /// Closed to wake the readers.
    stop: Option<UnixStream>,
    /// The other end, of which each reader has a copy.
    stopped: UnixStream,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the threads share.
#[derive(Debug)]
struct Fabric {
    seed: u64,
    began: Instant,
    /// By the last part of the address.
    ports: [OnceLock<Port>; 256],
    waiting: Mutex<Agenda<Parcel>>,
    changed: Condvar,
    stray: AtomicU64,
    stopping: AtomicBool,
}

#[derive(Debug)]
struct Port {
    name: String,
    device: File,
    /// From here to others, by the last part of the address.
    wires: Box<[OnceLock<Mutex<Wire>>]>,
}

/// A packet that waits.
#[derive(Debug)]
struct Parcel {
    from: u8,
    to: u8,
    twice: bool,
    in_line: bool,
    packet: Box<[u8]>,
}

impl Switch {
    pub(crate) fn new(seed: u64) -> Result<Self, MachineError> {
        let (stop, stopped) = UnixStream::pair().map_err(MachineError::kernel("make a pipe"))?;
        let fabric = Arc::new(Fabric {
            seed,
            began: Instant::now(),
            ports: [const { OnceLock::new() }; 256],
            waiting: Mutex::new(Agenda::new()),
            changed: Condvar::new(),
            stray: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        });
        let giver = {
            let fabric = fabric.clone();
            start("switch giver", move || fabric.give_when_due())?
        };
        Ok(Self { fabric, stop: Some(stop), stopped, threads: Mutex::new(vec![giver]) })
    }

    /// Carries what comes from this device, and gives to it what is for this host.
    pub(crate) fn attach(&self, host: u8, name: &str, device: File) -> Result<(), MachineError> {
        let reader = device.try_clone().map_err(MachineError::kernel("copy a descriptor"))?;
        let stopped =
            self.stopped.try_clone().map_err(MachineError::kernel("copy a descriptor"))?;
        let wires = (0..256).map(|_| OnceLock::new()).collect();
        let port = Port { name: name.to_owned(), device, wires };
        assert!(self.fabric.ports[usize::from(host)].set(port).is_ok(), "a host is attached once");
        let fabric = self.fabric.clone();
        let thread = start(&format!("switch {name}"), move || {
            fabric.read(host, &reader, &stopped);
        })?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    /// Both hosts have been attached.
    pub(crate) fn set(&self, from: u8, to: u8, link: Link) {
        if let Some(wire) = self.fabric.wire(from, to) {
            lock(wire).set(link);
        }
    }

    pub(crate) fn clear(&self) {
        for wire in self.fabric.wires() {
            lock(wire).set(Link::default());
        }
    }

    pub(crate) fn counters(&self) -> Counters {
        let stray = self.fabric.stray.load(Ordering::Relaxed);
        let wires: Counters = self.fabric.wires().map(|wire| lock(wire).counters()).sum();
        wires + Counters { stray, ..Counters::default() }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.fabric.stopping.store(true, Ordering::Relaxed);
        self.stop = None;
        // Whoever looked at the flag before it was set waits by the time the lock is free.
        drop(lock(&self.fabric.waiting));
        self.fabric.changed.notify_all();
        let threads = self.threads.get_mut().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Fabric {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn port(&self, host: u8) -> Option<&Port> {
        self.ports[usize::from(host)].get()
    }

    /// The wire between two hosts that have been attached.
    fn wire(&self, from: u8, to: u8) -> Option<&Mutex<Wire>> {
        let (port, target) = (self.port(from)?, self.port(to)?);
        let new = || Mutex::new(Wire::new(Chance::new(self.seed, &[&port.name, &target.name])));
        Some(port.wires[usize::from(to)].get_or_init(new))
    }

    fn wires(&self) -> impl Iterator<Item = &Mutex<Wire>> {
        let ports = self.ports.iter().filter_map(OnceLock::get);
        ports.flat_map(|port| port.wires.iter().filter_map(OnceLock::get))
    }

    /// A reader's life: until the switch is dropped or the device is gone.
    fn read(&self, host: u8, mut device: &File, stopped: &UnixStream) {
        // A packet that is longer than the device's largest cannot come.
        let mut buffer = [0; MTU_BYTES + 1];
        while !self.stopping.load(Ordering::Relaxed) {
            match device.read(&mut buffer) {
                Ok(bytes) => self.handle_packet(host, &buffer[..bytes]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let mut ends =
                        [PollFd::new(device, PollFlags::IN), PollFd::new(stopped, PollFlags::IN)];
                    // An interrupted one is tried again by the loop.
                    let _ = poll(&mut ends, None);
                    if ends[0].revents().intersects(PollFlags::ERR | PollFlags::NVAL)
                        && !ends[0].revents().contains(PollFlags::IN)
                    {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    fn handle_packet(&self, from: u8, packet: &[u8]) {
        let Some(wire) = target(packet).and_then(|to| Some((to, self.wire(from, to)?))) else {
            self.stray.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let (to, wire) = wire;
        // The lock is held until the packet is given on or kept: nothing of this wire comes in between.
        let mut wire = lock(wire);
        match wire.handle_packet(packet.len(), self.now()) {
            Fate::Dropped => {}
            Fate::Now { twice } => self.give(to, packet, twice),
            Fate::Later { at, twice, in_line } => {
                let parcel = Parcel { from, to, twice, in_line, packet: packet.into() };
                if lock(&self.waiting).add(at, parcel) {
                    self.changed.notify_one();
                }
            }
        }
    }

    fn give(&self, to: u8, packet: &[u8], twice: bool) {
        let Some(port) = self.port(to) else { return };
        for _ in 0..=usize::from(twice) {
            // A device that is down, or whose namespace is gone, takes nothing.
            if (&port.device).write(packet).is_err() {
                self.stray.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// The giver's life: until the switch is dropped.
    fn give_when_due(&self) {
        let mut waiting = lock(&self.waiting);
        while !self.stopping.load(Ordering::Relaxed) {
            let now = self.now();
            if let Some(parcel) = waiting.take_due(now) {
                drop(waiting);
                self.handle_due(&parcel);
                waiting = lock(&self.waiting);
                continue;
            }
            waiting = match waiting.next() {
                Some(at) => {
                    let waited = self.changed.wait_timeout(waiting, at.saturating_sub(now));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn handle_due(&self, parcel: &Parcel) {
        let Some(wire) = self.wire(parcel.from, parcel.to) else { return };
        let mut wire = lock(wire);
        if wire.handle_due(parcel.packet.len(), parcel.in_line) {
            self.give(parcel.to, &parcel.packet, parcel.twice);
        }
    }
}

/// Whom an IPv4 packet is for, by the last part of its address: all addresses are of one /24.
fn target(packet: &[u8]) -> Option<u8> {
    const HEADER_BYTES_MIN: usize = 20;
    if packet.len() < HEADER_BYTES_MIN || packet[0] >> 4 != 4 {
        return None;
    }
    let address = Ipv4Addr::new(packet[16], packet[17], packet[18], packet[19]);
    (address.octets()[0] == 10).then_some(packet[19])
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, MachineError> {
    let work = move || {
        // Load is no reason for a network to be slow. Zero is the calling thread; who may not must do without.
        let _ = setpriority_process(None, NICE);
        work();
    };
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work);
    thread.map_err(MachineError::kernel("start a thread"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ipv4_of_the_run_has_a_target() {
        let mut packet = [0; 20];
        packet[0] = 0x45;
        packet[16..].copy_from_slice(&[10, 1, 2, 7]);
        assert_eq!(target(&packet), Some(7));
        assert_eq!(target(&packet[..19]), None);
        assert_eq!(target(&[]), None);
        packet[16] = 224;
        assert_eq!(target(&packet), None);
        packet[16] = 10;
        packet[0] = 0x60;
        assert_eq!(target(&packet), None);
    }
}
