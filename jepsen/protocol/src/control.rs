//! Control: the control shard, which ends the lives of comets and begins new ones.

use crate::bounds::{COMETS, CometId, EVENTS_MAX, Life};

/// One fence to be written into every shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FenceEvent {
    /// Which comet.
    pub comet: CometId,
    /// The first life of it still allowed.
    pub fence: Life,
}

/// The control shard's state machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Control {
    living: [Option<Life>; COMETS],
    last: [Life; COMETS],
    events: [Option<FenceEvent>; EVENTS_MAX],
}

impl Control {
    /// Every comet lives its first life, and every shard knows.
    pub(crate) fn new() -> Self {
        Self {
            living: [Some(Life::FIRST); COMETS],
            last: [Life::FIRST; COMETS],
            events: [None; EVENTS_MAX],
        }
    }

    /// The life that a comet lives; none once it has expired.
    pub fn living(&self, comet: CometId) -> Option<Life> {
        self.living[usize::from(comet.0)]
    }

    /// How many fence events there are: the position of the last one.
    pub fn position(&self) -> usize {
        self.events.iter().flatten().count()
    }

    /// The event after a position.
    pub fn event_after(&self, position: u8) -> Option<FenceEvent> {
        self.events.get(usize::from(position)).copied().flatten()
    }

    /// Ends the life that a comet lives.
    pub(crate) fn expire(&mut self, comet: CometId) {
        let place = usize::from(comet.0);
        if let Some(life) = self.living[place].take() {
            self.fence(comet, life.next());
        }
    }

    /// Gives a comet a new life and ends all its lower ones in the same entry.
    pub(crate) fn attach(&mut self, comet: CometId) -> Life {
        let place = usize::from(comet.0);
        let life = self.last[place].next();
        (self.last[place], self.living[place]) = (life, Some(life));
        self.fence(comet, life);
        life
    }

    fn fence(&mut self, comet: CometId, fence: Life) {
        let known = self.events.iter().flatten().any(|it| it.comet == comet && it.fence >= fence);
        if !known {
            let position = self.position();
            self.events[position] = Some(FenceEvent { comet, fence });
        }
    }
}
