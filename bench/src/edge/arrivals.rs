//! Arrivals: what came at each device, against what should have come.

use serde::Serialize;

/// What arrived at one device in a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Received {
    /// How many messages.
    pub messages: u64,
    /// The sum of their numbers: with the count it tells a message that came twice from one that was
    /// lost.
    pub numbers: u64,
}

/// What became of the messages of a run.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Arrivals {
    /// Messages that should have arrived.
    pub expected: u64,
    /// Messages that did.
    pub arrived: u64,
    /// Those that did not.
    pub lost: u64,
    /// Those that arrived more than once, or at the wrong device.
    pub surplus: u64,
    /// Devices with the right number of messages, but not the right ones.
    pub mixed_up: u64,
}

impl Arrivals {
    /// Compares what arrived at each device with what should have.
    pub fn judge(received: &[Received], expected: impl Fn(usize) -> Received) -> Self {
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
    pub fn are_complete(&self) -> bool {
        self.lost == 0 && self.surplus == 0 && self.mixed_up == 0
    }
}

/// What one of `devices` should get when each of `pushes` goes to the next device in turn.
pub fn in_turn(pushes: u64, devices: usize, index: usize) -> Received {
    let (devices, index) = (devices as u64, index as u64);
    let messages = (pushes + devices - 1 - index) / devices;
    let numbers = (0..messages).map(|nth| nth * devices + index).sum();
    Received { messages, numbers }
}

/// What everybody should get of `pushes` that go to everybody.
pub fn all_of_them(pushes: u64) -> Received {
    Received { messages: pushes, numbers: (0..pushes).sum() }
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
        let expected = all_of_them(3);
        assert_eq!(expected, received(3, 3));
        // Whole; the first lost; the last twice; one lost and another twice.
        let arrived = [expected, received(2, 3), received(4, 5), received(3, 4)];
        let judged = Arrivals::judge(&arrived, |_| expected);
        assert_eq!((judged.expected, judged.arrived), (12, 12));
        assert_eq!((judged.lost, judged.surplus, judged.mixed_up), (1, 1, 1));
        assert!(!judged.are_complete());
        assert!(Arrivals::judge(&[expected; 4], |_| expected).are_complete());
    }
}
