//! Rules of the disk as a whole: blank until it is adopted, then a member's for good.

use bytes::Bytes;
use orrery_model::NodeId;

use super::{NewPlace, SHARD, identity, open, write};
use crate::error::StoreError;
use crate::opened::{Blank, Disk, Opened};
use crate::store::{Identity, Write};

/// However often it is looked at.
pub fn a_new_disk_is_blank_until_it_is_adopted(new_place: NewPlace<'_>) {
    let place = new_place();
    for _ in 0..2 {
        let disk = place.disk();
        for _ in 0..2 {
            assert_eq!(blank(&*disk), own_blank());
        }
    }
    let disk = place.disk();
    assert_eq!(blank(&*disk), own_blank());
    let store = disk.adopt(identity()).expect("a blank disk is adopted");
    assert_eq!(store.identity(), &identity());
    write(&*store, vec![Write::Vote("given".into())]);
    let error = disk.open().expect_err("the store is in use");
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
}

/// It opens as a member from then on, with its identity to the last byte.
pub fn a_member_stays_what_it_is(new_place: NewPlace<'_>) {
    let place = new_place();
    let founding = Bytes::from((0..100_000).map(|at| (at % 251) as u8).collect::<Vec<_>>());
    let identity = Identity { founding, ..identity() };
    let store = place.disk().adopt(identity.clone()).expect("a blank disk is adopted");
    write(&*store, vec![Write::Vote("given".into())]);
    drop(store);
    for _ in 0..2 {
        let Opened::Member(store) = place.disk().open().expect("a sound disk opens") else {
            panic!("a member became blank");
        };
        assert_eq!(store.identity(), &identity);
        assert_eq!(store.vote(SHARD).expect("readable"), Some("given".into()));
    }
}

/// As when the one who adopts asks twice, because the first answer was lost.
pub fn adopting_again_gives_the_store_that_is_open(new_place: NewPlace<'_>) {
    let place = new_place();
    let disk = place.disk();
    let store = disk.adopt(identity()).expect("a blank disk is adopted");
    let again = disk.adopt(identity()).expect("it is the same");
    write(&*again, vec![Write::Vote("given".into())]);
    assert_eq!(store.vote(SHARD).expect("readable"), Some("given".into()));
    drop(store);
    write(&*again, vec![Write::Vote("again".into())]);
    drop(again);
    let store = disk.adopt(identity()).expect("it is the same");
    assert_eq!(store.vote(SHARD).expect("readable"), Some("again".into()));
    drop((disk, store));
    assert_eq!(open(&*place).vote(SHARD).expect("readable"), Some("again".into()));
}

/// Whatever of it differs, and whether the store is open or not.
pub fn another_identity_is_refused_and_changes_nothing(new_place: NewPlace<'_>) {
    let place = new_place();
    let others = [
        Identity { cluster_id: "other".into(), ..identity() },
        Identity { node: NodeId(8), ..identity() },
        Identity { instance: "eighth".into(), ..identity() },
        Identity { shards: 8, ..identity() },
        Identity { founding: "another plan".into(), ..identity() },
        Identity { founding: Bytes::new(), ..identity() },
    ];
    write(&*open(&*place), vec![Write::Vote("given".into())]);
    for other in others {
        let disk = place.disk();
        assert_foreign(&*disk, &other);
        let store = disk.adopt(identity()).expect("its own identity is taken");
        assert_foreign(&*disk, &other);
        assert_eq!(store.identity(), &identity());
        assert_eq!(store.vote(SHARD).expect("readable"), Some("given".into()));
    }
}

/// A plan made for the disk that was lost is not for the one in its place.
pub fn a_blank_disk_is_adopted_only_as_its_own_instance(new_place: NewPlace<'_>) {
    let place = new_place();
    let disk = place.disk();
    for _ in 0..2 {
        assert_foreign(&*disk, &Identity { instance: "eighth".into(), ..identity() });
        assert_foreign(&*disk, &Identity { node: NodeId(8), ..identity() });
        assert_eq!(blank(&*disk), own_blank());
    }
    disk.adopt(identity()).expect("a blank disk is adopted");
}

/// More than nothing, and no more than there is.
pub fn space_is_known(new_place: NewPlace<'_>) {
    let place = new_place();
    let space = open(&*place).space().expect("a sound disk says it");
    assert!(space.total_bytes > 0 && space.free_bytes <= space.total_bytes, "{space:?}");
}

fn own_blank() -> Blank {
    Blank { node: identity().node, instance: identity().instance }
}

fn blank(disk: &dyn Disk) -> Blank {
    match disk.open().expect("a sound disk opens") {
        Opened::Blank(blank) => blank,
        member => panic!("it is no member yet: {member:?}"),
    }
}

fn assert_foreign(disk: &dyn Disk, identity: &Identity) {
    let error = disk.adopt(identity.clone()).expect_err("it is another's");
    let StoreError::Foreign { found, expected, .. } = &error else { panic!("{error}") };
    assert_ne!(found, expected);
}
