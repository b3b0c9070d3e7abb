//! Accepts: the operations a device wants to receive.

use crate::limits::ACCEPTS_MAX;

/// Whom a push was for, as far as the filter cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// A user, a key, a connection or everybody: filtered.
    Addressed,
    /// A room: never filtered, as with goim.
    Room,
}

/// The operations a connection accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accepts {
    /// Every one: what `orrery.json.v1` starts with.
    All,
    /// Exactly these, sorted.
    Only(Box<[i32]>),
}

impl Default for Accepts {
    /// None at all: goim's meaning of an absent list.
    fn default() -> Self {
        Self::Only(Box::default())
    }
}

impl Accepts {
    /// Exactly these, of which the first [`ACCEPTS_MAX`] distinct ones count.
    pub fn only(ops: impl IntoIterator<Item = i32>) -> Self {
        let mut ops: Vec<i32> = ops.into_iter().collect();
        ops.sort_unstable();
        ops.dedup();
        ops.truncate(ACCEPTS_MAX);
        Self::Only(ops.into())
    }

    /// Whether a push with this operation goes to the device.
    pub fn admits(&self, audience: Audience, op: i32) -> bool {
        match self {
            Self::Only(ops) if audience == Audience::Addressed => ops.binary_search(&op).is_ok(),
            Self::Only(_) | Self::All => true,
        }
    }

    /// Accepts these too. Changes nothing when the set would become larger than [`ACCEPTS_MAX`]; then,
    /// and only then, the answer is false.
    pub fn insert(&mut self, more: &[i32]) -> bool {
        let Self::Only(ops) = self else { return true };
        let mut all = [ops, more].concat();
        all.sort_unstable();
        all.dedup();
        let fits = all.len() <= ACCEPTS_MAX;
        if fits {
            *ops = all.into();
        }
        fits
    }

    /// Accepts these no longer. A connection that accepts everything goes on doing so.
    pub fn remove(&mut self, fewer: &[i32]) {
        if let Self::Only(ops) = self {
            let mut fewer = fewer.to_vec();
            fewer.sort_unstable();
            *ops = ops.iter().copied().filter(|op| fewer.binary_search(op).is_err()).collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_not_filtered_and_the_rest_is() {
        let accepts = Accepts::only([1000, 1002]);
        assert!(accepts.admits(Audience::Addressed, 1000));
        assert!(!accepts.admits(Audience::Addressed, 1001));
        assert!(accepts.admits(Audience::Room, 1001));
        assert!(!Accepts::default().admits(Audience::Addressed, 0));
        assert!(Accepts::default().admits(Audience::Room, 0));
        assert!(Accepts::All.admits(Audience::Addressed, i32::MIN));
    }

    #[test]
    fn operations_come_and_go() {
        let mut accepts = Accepts::only([3, 1, 3]);
        assert!(accepts.insert(&[2, 1]));
        assert_eq!(accepts, Accepts::only([1, 2, 3]));
        accepts.remove(&[3, 1, 9]);
        assert_eq!(accepts, Accepts::only([2]));
    }

    #[test]
    fn a_set_does_not_grow_beyond_its_limit() {
        let mut accepts = Accepts::only(0..ACCEPTS_MAX as i32);
        let before = accepts.clone();
        assert!(!accepts.insert(&[-1]));
        assert_eq!(accepts, before);
        assert!(accepts.insert(&[0]));
    }
}
