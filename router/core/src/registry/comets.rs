//! Comets: each comet's fence, and what the shard keeps for its current life.

use std::collections::BTreeMap;
use std::sync::Arc;

use orrery_model::{CometId, CometRef, Conn, Incarnation};

use super::marks::Marks;
use super::tombstones::Tombstones;

/// The lowest incarnation the control shard ever gives.
const FIRST_INCARNATION: Incarnation = Incarnation(1);

/// A comet's place in this replica's table. It stands for the comet's id wherever many copies of it
/// would lie in memory; it never leaves the replica, and nothing observable depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CometNumber(u32);

/// A comet in one of its lives, as routes and listings hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Life {
    pub(super) comet: CometNumber,
    pub(super) incarnation: Incarnation,
}

/// One comet. A write of an incarnation above the fence raises it, so whatever is visible of a comet
/// belongs to exactly the life at its fence, and all fields but `id` and `fence` speak of that life.
#[derive(Debug, Clone)]
pub(super) struct Comet {
    pub(super) id: CometId,
    /// The lowest incarnation still allowed.
    pub(super) fence: Incarnation,
    /// Every conn below is decided.
    pub(super) settled: Conn,
    pub(super) marks: Marks,
    pub(super) tombstones: Tombstones,
    /// Routes held here.
    pub(super) routes: u64,
    /// Listings held here, tombstones included.
    pub(super) listings: u64,
}

impl Comet {
    fn new(id: CometId, fence: Incarnation) -> Self {
        Self {
            id,
            fence,
            settled: Conn(0),
            marks: Marks::default(),
            tombstones: Tombstones::default(),
            routes: 0,
            listings: 0,
        }
    }
}

/// All comets the shard has heard of.
#[derive(Debug, Clone)]
pub(super) struct Comets {
    comets: Vec<Arc<Comet>>,
    numbers: Arc<BTreeMap<CometId, CometNumber>>,
    /// The fence of a comet not heard of. None is lower.
    floor: Incarnation,
}

impl Comets {
    /// No comet yet, and none allowed below `floor`.
    pub(super) fn new(floor: Incarnation) -> Self {
        let floor = floor.max(FIRST_INCARNATION);
        Self { comets: Vec::new(), numbers: Arc::default(), floor }
    }

    pub(super) fn len(&self) -> usize {
        self.comets.len()
    }

    pub(super) fn get(&self, number: CometNumber) -> &Comet {
        &self.comets[number.0 as usize]
    }

    pub(super) fn get_mut(&mut self, number: CometNumber) -> &mut Comet {
        Arc::make_mut(&mut self.comets[number.0 as usize])
    }

    /// The comet's fence, also where it was never heard of.
    pub(super) fn fence(&self, id: &CometId) -> Incarnation {
        self.numbers.get(id).map_or(self.floor, |number| self.get(*number).fence)
    }

    /// The life as routes hold it; none of a comet never heard of.
    pub(super) fn find(&self, comet: &CometRef) -> Option<Life> {
        let number = self.numbers.get(&comet.id)?;
        Some(Life { comet: *number, incarnation: comet.incarnation })
    }

    /// The comet's number, given now where it was never heard of.
    pub(super) fn number(&mut self, id: &CometId) -> CometNumber {
        if let Some(number) = self.numbers.get(id) {
            return *number;
        }
        let number = u32::try_from(self.comets.len()).expect("a cluster has under 2^32 comets");
        let number = CometNumber(number);
        self.comets.push(Arc::new(Comet::new(id.clone(), self.floor)));
        Arc::make_mut(&mut self.numbers).insert(id.clone(), number);
        number
    }

    /// Raises the comet's fence to `fence` and returns how many routes and listings that made invisible.
    /// A fence that is not above the present one changes nothing.
    pub(super) fn raise_fence(&mut self, number: CometNumber, fence: Incarnation) -> u64 {
        let held = self.get(number);
        if fence <= held.fence {
            return 0;
        }
        let bodies = held.routes + held.listings;
        let id = held.id.clone();
        self.comets[number.0 as usize] = Arc::new(Comet::new(id, fence));
        bodies
    }

    /// Raises the fences of all comets to `floor`, those not heard of among them, and returns how many
    /// routes and listings that made invisible.
    pub(super) fn raise_floor(&mut self, floor: Incarnation) -> u64 {
        self.floor = self.floor.max(floor);
        let numbers: Vec<_> = self.numbers.values().copied().collect();
        numbers.into_iter().map(|number| self.raise_fence(number, floor)).sum()
    }

    pub(super) fn is_visible(&self, life: Life) -> bool {
        life.incarnation >= self.get(life.comet).fence
    }

    /// The life under its public name.
    pub(super) fn name(&self, life: Life) -> CometRef {
        CometRef { id: self.get(life.comet).id.clone(), incarnation: life.incarnation }
    }

    /// All comets in order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Comet> {
        self.numbers.values().map(|number| self.get(*number))
    }
}
