//! Stored: what may be on a disk, and the messages between processes, most of which are stored, too.

use orrery_fuzz::certificate::{Pair, SOUND, pem};
use orrery_proto::delivery::deliver::Kind;
use orrery_proto::delivery::{Close, Deliver, Deliveries, Receipt, Receipts};
use orrery_proto::push::PushRequest;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

use super::{Inputs, byte, changed, one_of, sentence};

/// The stored messages that `orrery-proto` keeps as samples, and the messages in them.
pub(super) fn messages() -> Vec<Vec<u8>> {
    let samples = [
        include_str!("../../../../proto/tests/golden/batch.hex"),
        include_str!("../../../../proto/tests/golden/control_batch.hex"),
        include_str!("../../../../proto/tests/golden/control_records.hex"),
        include_str!("../../../../proto/tests/golden/shard_records.hex"),
    ];
    let unhex = |line: &str| -> Vec<u8> {
        let (_, digits) = line.split_once(' ').expect("a name and digits");
        let digit = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("digits");
        (0..digits.len()).step_by(2).map(digit).collect()
    };
    // Replies are not stored.
    let mut all = vec![vec![0x0a, 2, 8, 7], vec![0x12, 2, 8, 1], vec![0x1a, 0], vec![0x22, 0]];
    all.extend(deliveries());
    let mut unopened: Vec<Vec<u8>> = samples.iter().flat_map(|s| s.lines().map(unhex)).collect();
    while let Some(message) = unopened.pop() {
        unopened.extend(fields(&message));
        all.push(message);
    }
    all.sort();
    all.dedup();
    all
}

/// What logic asks of a comet and is answered, and what it is asked itself: one for each number.
fn deliveries() -> Vec<Vec<u8>> {
    let of_number = |number: i32| {
        let kind = Some(Kind::Close(Close { targets: Vec::new(), reason: number }));
        let deliver = Deliver { id: 1, when_full: number, kind, ..Deliver::default() };
        let outcomes = vec![number, number + 1];
        let receipts = vec![Receipt { id: 1, outcomes, ..Receipt::default() }];
        let push = PushRequest { wait_for: number, when_full: number, ..PushRequest::default() };
        [
            Deliveries { deliveries: vec![deliver] }.encode_to_vec(),
            Receipts { receipts, draining: None }.encode_to_vec(),
            push.encode_to_vec(),
        ]
    };
    (-1..12).flat_map(of_number).collect()
}

/// What stands behind a length in a protobuf message of small tags: texts, and messages.
fn fields(mut message: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while let Some((tag, rest)) = message.split_first() {
        let Some(end) = rest.iter().position(|byte| *byte < 0x80) else { break };
        let number = rest[..=end].iter().rev().fold(0, |n, b| n << 7 | usize::from(b & 0x7f));
        let len = if tag & 7 == 2 { number } else { 0 };
        let Some((field, behind)) = rest[end + 1..].split_at_checked(len) else { break };
        found.extend((len > 1).then(|| field.to_vec()));
        message = behind;
    }
    found
}

/// The header of a data directory behind its first word and without its checksum, which the target adds.
pub(super) fn header() -> Inputs {
    changed(one_of(&[
        &b"\0\0\0\x01\0\0\0\0\0\0\0\x03\0\0\0\x04orrery-test"[..],
        b"\0\0\0\x02\0\0\0\0\0\0\0\x01\0\0\0\0\x05first",
        b"\0\0\0\x02\0\0\0\0\0\0\0\x01\x01\0\0\0\x05first\0\0\0\x02\0\0\0\x05scenethe plan",
    ]))
}

pub(super) fn ends() -> Inputs {
    let entry = (0..3_u8, vec(byte(), 16)).prop_map(|(queue, bytes)| [vec![queue], bytes].concat());
    let ends = vec(entry, 0..4).prop_map(|entries| [b"ORRYENDS".to_vec(), entries.concat()]);
    changed(ends.prop_map(|parts| parts.concat()).boxed())
}

pub(super) fn catalogue() -> Inputs {
    vec(byte(), 20).prop_map(|bytes| [vec![1], bytes].concat()).boxed()
}

/// A snapshot behind the target's head of it, but for the checksum of the whole.
pub(super) fn snapshot() -> Inputs {
    let sound = (vec(byte(), 0..9), vec(vec(byte(), 0..20), 0..4)).prop_map(|(meta, records)| {
        let mut file = b"ORRYSNAP\0\0\0\x01\0\0\0\x07".to_vec();
        let head = file.len();
        file.extend((meta.len() as u32).to_be_bytes());
        file.extend(meta);
        file.extend(crc32fast::hash(&file).to_be_bytes());
        for record in &records {
            file.extend((record.len() as u32).to_be_bytes());
            file.extend(crc32fast::hash(record).to_be_bytes());
            file.extend(record);
        }
        file.extend([0xff; 4]);
        file.extend((records.len() as u64).to_be_bytes());
        file.split_off(head)
    });
    changed(sound.boxed())
}

/// A log record of a shard, behind that shard's number.
pub(super) fn record() -> Inputs {
    let parts = (0..3_u32, 0..9_u64, vec(byte(), 0..20));
    let framed = |(shard, index, entry): (u32, u64, Vec<u8>)| {
        let frame =
            orrery_router_store::record::encode(orrery_model::ShardId(shard), index, &entry);
        [shard.to_be_bytes().to_vec(), frame].concat()
    };
    parts.prop_map(framed).boxed()
}

/// The files of a pair, or what becomes another byte in them, by the first byte.
pub(super) fn certificate() -> Inputs {
    let Pair { certificate, key } = &*SOUND;
    let items = [
        pem("CERTIFICATE", certificate),
        pem("PRIVATE KEY", key),
        pem("EC PRIVATE KEY", key),
        pem("CERTIFICATE", b"0\x80"),
        b"-----BEGIN CERTIFICATE-----\n".to_vec(),
        b"-----END PRIVATE KEY-----".to_vec(),
        b"\n".to_vec(),
        vec![0],
    ];
    let file = |item: &[u8]| changed(one_of(&[item]));
    let both = (file(&items[0]), file(&items[1])).prop_map(|(chain, key)| [chain, vec![0], key]);
    let files = prop_oneof![both.prop_map(|both| both.concat()), sentence(one_of(&items))];
    let change = (0..512_u16, any::<u8>(), byte()).prop_map(|(at, any, small)| {
        let [high, low] = at.to_be_bytes();
        vec![high, low, if at % 2 == 0 { any } else { small }]
    });
    let changes = vec(change, 0..4).prop_map(|changes| changes.concat());
    let after = |kind: u8, rest: Inputs| rest.prop_map(move |rest| [vec![kind], rest].concat());
    prop_oneof![
        after(0, files.boxed()),
        after(1, changes.clone().boxed()),
        after(2, changes.boxed())
    ]
    .boxed()
}
