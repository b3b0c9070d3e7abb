//! Parts: the measurements, one file each.

pub(super) mod connects;
pub(super) mod quiet_room;
pub(super) mod room;
pub(super) mod users;

use std::cell::Cell;
use std::time::Duration;

use anyhow::bail;
use orrery_bench::clock::Clock;
use orrery_bench::resources::Resources;
use orrery_host::Host;
use serde::Serialize;

use super::crowd::{Connected, Crowd};
use super::device::Guise;
use super::limits::CONNECT_CONCURRENCY;
use super::pusher::{Pusher, Pushes, Told};
use super::target::Target;
use super::worker::Received;

/// What all parts need.
pub(super) struct Bench {
    pub(super) host: Host,
    pub(super) clock: Clock,
    pub(super) target: Target,
    pub(super) pusher: Pusher,
    /// How long what lasts a time lasts.
    pub(super) lasting: Duration,
    pub(super) runs: Cell<u64>,
}

/// What both sides had used at a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Used {
    server: Option<Resources>,
    client: Option<Resources>,
}

/// Processor time of the two sides during a measurement, in seconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Cpu {
    /// The system's; none where it is not our own process.
    pub(super) server_s: Option<f64>,
    /// The client's.
    pub(super) client_s: Option<f64>,
}

/// What became of the messages of a run.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Arrivals {
    /// Messages that should have arrived.
    pub(super) expected: u64,
    /// Messages that did.
    pub(super) arrived: u64,
    /// Those that did not.
    pub(super) lost: u64,
    /// Those that arrived more than once, or at the wrong device.
    pub(super) surplus: u64,
    /// Devices with the right number of messages, but not the right ones.
    pub(super) mixed_up: u64,
}

impl Bench {
    /// Connects devices.
    pub(super) async fn crowd(&self, guises: Vec<Guise>) -> anyhow::Result<(Crowd, Connected)> {
        Crowd::connect(&self.host, self.clock, &self.target.comet, guises, CONNECT_CONCURRENCY)
            .await
    }

    /// A number that no other run has.
    pub(super) fn run(&self) -> u64 {
        self.runs.set(self.runs.get() + 1);
        self.runs.get()
    }

    /// What both sides have used so far.
    pub(super) fn used(&self) -> Used {
        Used { server: self.target.resources(), client: Resources::own() }
    }

    /// What both sides have used since.
    pub(super) fn cpu_since(&self, earlier: Used) -> Cpu {
        let now = self.used();
        let spent = |now: Option<Resources>, earlier: Option<Resources>| {
            Some(now?.since(&earlier?).cpu_s())
        };
        Cpu {
            server_s: spent(now.server, earlier.server),
            client_s: spent(now.client, earlier.client),
        }
    }
}

impl Arrivals {
    /// Compares what arrived at each device with what should have.
    pub(super) fn judge(received: &[Received], expected: impl Fn(usize) -> Received) -> Self {
        let mut judged = Self { expected: 0, arrived: 0, lost: 0, surplus: 0, mixed_up: 0 };
        for (index, received) in received.iter().enumerate() {
            let expected = expected(index);
            judged.expected += expected.messages;
            judged.arrived += received.messages;
            judged.lost += expected.messages.saturating_sub(received.messages);
            judged.surplus += received.messages.saturating_sub(expected.messages);
            let right_numbers = expected.numbers == received.numbers;
            judged.mixed_up += u64::from(expected.messages == received.messages && !right_numbers);
        }
        judged
    }

    /// Whether each device got exactly what was for it.
    pub(super) fn are_complete(&self) -> bool {
        self.lost == 0 && self.surplus == 0 && self.mixed_up == 0
    }
}

/// What one of `devices` should get when each of `pushes` goes to the next device in turn.
pub(super) fn in_turn(pushes: u64, devices: usize, index: usize) -> Received {
    let (devices, index) = (devices as u64, index as u64);
    let messages = (pushes + devices - 1 - index) / devices;
    let numbers = (0..messages).map(|nth| nth * devices + index).sum();
    Received { messages, numbers }
}

/// Refuses figures of pushes that the system did not take.
fn all_taken(pushes: &Pushes) -> anyhow::Result<()> {
    match &pushes.first_failure {
        Some(status) => {
            bail!("{} of {} pushes failed, first: {status}", pushes.failed, pushes.calls)
        }
        None => Ok(()),
    }
}

/// Receipts that say that a message did not get there.
fn not_delivered(told: &Told) -> u64 {
    told.dropped + told.unknown + told.gone + told.filtered + told.offline
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushes_in_turn_add_up() {
        for (pushes, devices) in [(0, 3), (1, 3), (7, 3), (9, 3), (1000, 7)] {
            let all: Vec<_> = (0..devices).map(|index| in_turn(pushes, devices, index)).collect();
            assert_eq!(all.iter().map(|r| r.messages).sum::<u64>(), pushes);
            assert_eq!(all.iter().map(|r| r.numbers).sum::<u64>(), (0..pushes).sum::<u64>());
        }
        assert_eq!(in_turn(7, 3, 0), Received { messages: 3, numbers: 3 + 6 });
    }

    #[test]
    fn what_is_lost_is_not_made_up_for_by_what_came_twice() {
        let received = |messages, numbers| Received { messages, numbers };
        let expected = [received(2, 3), received(2, 3), received(2, 3), received(2, 3)];
        let arrived = [received(2, 3), received(1, 1), received(3, 5), received(2, 4)];
        let judged = Arrivals::judge(&arrived, |index| expected[index]);
        assert_eq!((judged.expected, judged.arrived), (8, 8));
        assert_eq!((judged.lost, judged.surplus, judged.mixed_up), (1, 1, 1));
        assert!(!judged.are_complete());
        assert!(Arrivals::judge(&expected, |index| expected[index]).are_complete());
    }
}
