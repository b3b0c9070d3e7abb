//! Where addresses are, compared with committed vectors: an address that moved between builds could
//! not be found any more, so no build may move one.
//!
//! `ORRERY_WRITE_VECTORS=1` writes the file anew.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::PathBuf;

use orrery_model::{Address, Id, Kind, ShardId, SlotTable, ring};

/// Namespaces and ids, each taken as user, key and room.
fn names() -> Vec<(&'static str, String)> {
    vec![
        ("", "1".to_owned()),
        ("", "42".to_owned()),
        ("", "9223372036854775807".to_owned()),
        ("", "live://1000".to_owned()),
        ("", "A".to_owned()),
        ("", "a b\tc".to_owned()),
        ("", "Ωmega-é-名前-🦀".to_owned()),
        ("", "x".repeat(128)),
        ("", "é".repeat(64)),
        ("shop", "42".to_owned()),
        // The boundary between namespace and id is part of what is hashed.
        ("sh", "op42".to_owned()),
        ("ns-é", "chat://名前".to_owned()),
        ("name", "y".repeat(128)),
        (NAMESPACE_LONGEST, "7".to_owned()),
    ]
}

const NAMESPACE_LONGEST: &str = "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\
                                 nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn";

fn table(shards: u32) -> SlotTable {
    let shards: Vec<_> = (1..=shards).map(ShardId).collect();
    ring::propose(1, &shards).unwrap()
}

fn vectors() -> String {
    let (four, sixteen) = (table(4), table(16));
    let mut text = String::from("# kind, namespace, id (escaped), slot, owner of 4, owner of 16\n");
    for (namespace, id) in names() {
        for kind in [Kind::User, Kind::Key, Kind::Room] {
            let address = Address {
                namespace: (!namespace.is_empty()).then(|| Id::new(namespace).unwrap()),
                kind,
                id: Id::new(&id).unwrap(),
            };
            let slot = address.slot();
            let (of_four, of_sixteen) = (four.owner(slot), sixteen.owner(slot));
            let word = kind.word();
            writeln!(text, "{word} {namespace:?} {id:?} {slot} {of_four} {of_sixteen}").unwrap();
        }
    }
    text
}

/// Every owner of every slot, as one line a table: no slot may change hands either.
fn owners() -> String {
    let mut text = String::from("# owner of each slot, in order, as <owner>*<slots in a row>\n");
    for shards in [1, 4, 16] {
        write!(text, "{shards}:").unwrap();
        for run in table(shards).owners().chunk_by(|a, b| a == b) {
            write!(text, " {}*{}", run[0], run.len()).unwrap();
        }
        text.push('\n');
    }
    text
}

#[track_caller]
fn same_as_committed(file: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(file);
    if std::env::var_os("ORRERY_WRITE_VECTORS").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    for (line, (built, committed)) in text.lines().zip(committed.lines()).enumerate() {
        assert_eq!(built, committed, "{file} line {}: placement has changed", line + 1);
    }
    assert_eq!(text.lines().count(), committed.lines().count(), "{file} is complete");
}

#[test]
fn addresses_stay_in_their_slots_and_shards() {
    same_as_committed("placement.txt", &vectors());
}

#[test]
fn slots_stay_with_their_owners() {
    same_as_committed("owners.txt", &owners());
}

#[test]
fn namespace_kind_and_id_each_decide_the_slot() {
    let slots: std::collections::BTreeSet<_> = vectors()
        .lines()
        .skip(1)
        .map(|line| line.split(' ').rev().nth(2).unwrap().to_owned())
        .collect();
    // 42 addresses into 4096 slots: a kind or namespace left out would make them collide in rows.
    assert!(slots.len() > 36, "{} slots of 42 addresses", slots.len());
}
