//! Slots: the slots that are open in a shard, each shared with snapshots until it is written.

use std::sync::Arc;

use orrery_model::Slot;
use orrery_model::limits::SLOTS;

use super::slot_state::SlotState;

#[derive(Debug, Clone)]
pub(super) struct Slots {
    /// Indexed by slot number; `None` is not open here.
    states: Vec<Option<Arc<SlotState>>>,
    open: usize,
}

impl Default for Slots {
    fn default() -> Self {
        Self { states: vec![None; SLOTS], open: 0 }
    }
}

impl Slots {
    /// How many are open.
    pub(super) fn open_count(&self) -> usize {
        self.open
    }

    /// Opens a slot; nothing happens where it is open already.
    pub(super) fn open(&mut self, slot: Slot) {
        let state = &mut self.states[usize::from(slot.number())];
        if state.is_none() {
            *state = Some(Arc::default());
            self.open += 1;
        }
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&SlotState> {
        self.states[usize::from(slot.number())].as_deref()
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut SlotState> {
        self.states[usize::from(slot.number())].as_mut().map(Arc::make_mut)
    }

    /// The open slots from `first` on, in order.
    pub(super) fn from(&self, first: Slot) -> impl Iterator<Item = (Slot, &SlotState)> {
        let slots = Slot::all().skip(usize::from(first.number()));
        slots.filter_map(|slot| self.get(slot).map(|state| (slot, state)))
    }

    /// All open slots in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Slot, &SlotState)> {
        Slot::all().filter_map(|slot| self.get(slot).map(|state| (slot, state)))
    }
}
