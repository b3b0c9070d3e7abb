//! Memory: about how many bytes a batch of commands takes while it is held decoded, for those who hold
//! some of them up to a limit. What the allocator adds is not counted.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::size_of;

use crate::address::Address;
use crate::cluster::{Counters, Node, Placed, Placement};
use crate::command::{
    Batch, Bind, Command, ExpireComet, ListRoom, Open, RouteName, SetRooms, Unbind,
};
use crate::control::{Advertise, Attach, ControlBatch, ControlCommand, Found};
use crate::id::{CometRef, Id, Incarnation, NodeId, Seq, ShardId};
use crate::route::{Details, Primary};
use crate::slot::{Slot, SlotTable};

impl Batch {
    /// About how many bytes of memory it takes, itself included.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.commands.heap_bytes()
    }
}

impl ControlBatch {
    /// About how many bytes of memory it takes, itself included.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.commands.heap_bytes()
    }
}

/// What takes memory besides its own size.
trait Heap {
    /// How much that is.
    fn heap_bytes(&self) -> usize;
}

impl Heap for Command {
    fn heap_bytes(&self) -> usize {
        match self {
            Self::Bind(bind) => bind.heap_bytes(),
            Self::Unbind(Unbind { address, comet, route, settled: _ }) => {
                let (RouteName::Seq(_) | RouteName::Conn(_)) = route;
                address.heap_bytes() + comet.heap_bytes()
            }
            Self::SetRooms(SetRooms { address, comet, seq: _, rooms, version: _ }) => {
                address.heap_bytes() + comet.heap_bytes() + rooms.heap_bytes()
            }
            Self::BindRoom(list) | Self::UnbindRoom(list) => {
                let ListRoom { room, comet, version: _ } = list;
                room.heap_bytes() + comet.heap_bytes()
            }
            Self::ExpireComet(ExpireComet { comet, fence: _, position: _ }) => comet.heap_bytes(),
            Self::Open(Open { slots, epoch: _, next_seq: _, floor: _ }) => slots.heap_bytes(),
        }
    }
}

impl Heap for Bind {
    fn heap_bytes(&self) -> usize {
        let Self { address, comet, conn: _, details, policy: _, settled: _, rank: _ } = self;
        let Details { platform, device, labels, rooms, rooms_version: _, primary } = details;
        let primary = primary.as_ref().map_or(0, |Primary { address, .. }| address.heap_bytes());
        address.heap_bytes()
            + comet.heap_bytes()
            + platform.heap_bytes()
            + device.heap_bytes()
            + labels.heap_bytes()
            + rooms.heap_bytes()
            + primary
    }
}

impl Heap for ControlCommand {
    fn heap_bytes(&self) -> usize {
        match self {
            Self::Found(found) => found.heap_bytes(),
            Self::Attach(attach) => attach.heap_bytes(),
            Self::Expire(comet) => comet.heap_bytes(),
            Self::Trim { position: _ } | Self::SetNodeState { node: _, state: _ } => 0,
            Self::AddNode(node) | Self::UpdateNode(node) => node.heap_bytes(),
            Self::Place(placement) => placement.heap_bytes(),
            Self::Placed(Placed { shard: _, log_index: _, voters, learners, version: _ }) => {
                voters.heap_bytes() + learners.heap_bytes()
            }
        }
    }
}

impl Heap for Found {
    fn heap_bytes(&self) -> usize {
        let Self { cluster_id, nodes, table, placements, counters } = self;
        let Counters { first_incarnation: _, first_seqs } = counters;
        cluster_id.heap_bytes()
            + nodes.heap_bytes()
            + table.heap_bytes()
            + placements.heap_bytes()
            + first_seqs.heap_bytes()
    }
}

impl Heap for Attach {
    fn heap_bytes(&self) -> usize {
        let Self { comet, instance, attempt: _, advertise } = self;
        let Advertise { delivery, hostname, addresses, region, zone, env, weight: _ } = advertise;
        let texts = [instance, delivery, hostname, region, zone, env];
        let texts: usize = texts.into_iter().map(Heap::heap_bytes).sum();
        comet.heap_bytes() + texts + addresses.heap_bytes()
    }
}

impl Heap for Node {
    fn heap_bytes(&self) -> usize {
        let Self { id: _, registry, peers, instance, protocol: _ } = self;
        registry.heap_bytes() + peers.heap_bytes() + instance.heap_bytes()
    }
}

impl Heap for Placement {
    fn heap_bytes(&self) -> usize {
        let Self { shard: _, version: _, replicas } = self;
        replicas.heap_bytes()
    }
}

impl Heap for Address {
    fn heap_bytes(&self) -> usize {
        let Self { namespace, kind: _, id } = self;
        namespace.as_ref().map_or(0, Heap::heap_bytes) + id.heap_bytes()
    }
}

impl Heap for CometRef {
    fn heap_bytes(&self) -> usize {
        let Self { id, incarnation: Incarnation(_) } = self;
        id.heap_bytes()
    }
}

impl Heap for Id {
    /// Taken for not shared: those of a batch that was decoded are not.
    fn heap_bytes(&self) -> usize {
        // Beside the text are the counts of who holds it.
        (2 * size_of::<usize>() + self.as_str().len()).next_multiple_of(align_of::<usize>())
    }
}

impl Heap for SlotTable {
    fn heap_bytes(&self) -> usize {
        size_of_val(self.owners())
    }
}

impl Heap for String {
    fn heap_bytes(&self) -> usize {
        self.capacity()
    }
}

impl<T: Heap> Heap for Vec<T> {
    fn heap_bytes(&self) -> usize {
        let elements: usize = self.iter().map(Heap::heap_bytes).sum();
        self.capacity() * size_of::<T>() + elements
    }
}

impl<T: Heap> Heap for BTreeSet<T> {
    fn heap_bytes(&self) -> usize {
        let elements: usize = self.iter().map(Heap::heap_bytes).sum();
        tree_bytes(self.len(), size_of::<T>()) + elements
    }
}

impl<K: Heap, V: Heap> Heap for BTreeMap<K, V> {
    fn heap_bytes(&self) -> usize {
        let elements: usize =
            self.iter().map(|(key, value)| key.heap_bytes() + value.heap_bytes()).sum();
        tree_bytes(self.len(), size_of::<K>() + size_of::<V>()) + elements
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {
        $(impl Heap for $number {
            fn heap_bytes(&self) -> usize {
                0
            }
        })*
    };
}

numbers!(NodeId, Seq, ShardId, Slot);

/// Nodes of the standard library's trees have room for so many elements, and one child more.
const TREE_NODE_ELEMENTS: usize = 11;

/// A tree that was built from all its elements at once, as those of a decoded batch are: its leaves are
/// full, and one element stands between two of them.
fn tree_bytes(elements: usize, element_bytes: usize) -> usize {
    if elements == 0 {
        return 0;
    }
    let leaf_bytes = TREE_NODE_ELEMENTS * element_bytes + 2 * size_of::<usize>();
    let children_bytes = (TREE_NODE_ELEMENTS + 1) * size_of::<usize>();
    let leaves = (elements + 1).div_ceil(TREE_NODE_ELEMENTS + 1);
    let inner = match leaves {
        1 => 0,
        leaves => leaves.div_ceil(TREE_NODE_ELEMENTS + 1),
    };
    leaves * leaf_bytes + inner * (leaf_bytes + children_bytes)
}
