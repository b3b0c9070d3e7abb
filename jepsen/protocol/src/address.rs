//! Address: the two addresses that all connections share, each in a shard of its own.

use std::ops::{Index, IndexMut};

/// Where a connection can be found. The user is the primary address, the key the secondary one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// The primary address.
    User,
    /// The secondary address.
    Key,
}

impl Address {
    /// Both, in the order in which they are bound.
    pub const ALL: [Self; 2] = [Self::User, Self::Key];
}

/// One of something for each address, or for the shard that owns it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct PerAddress<T>(pub [T; 2]);

impl<T> Index<Address> for PerAddress<T> {
    type Output = T;

    fn index(&self, address: Address) -> &T {
        &self.0[address as usize]
    }
}

impl<T> IndexMut<Address> for PerAddress<T> {
    fn index_mut(&mut self, address: Address) -> &mut T {
        &mut self.0[address as usize]
    }
}
