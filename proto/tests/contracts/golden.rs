//! What is stored keeps its bytes: one sample of everything durable, compared with committed bytes in
//! both directions. A difference is a change of the disk format: it needs a new version, not a new file.
//!
//! `ORRERY_WRITE_GOLDEN=1` writes the files anew.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;

use bytes::Bytes;
use orrery_model::cluster::{Counters, FIRST_INSTANCE, NodeState, Placed, Placement};
use orrery_model::command::{
    Batch, Bind, Command, ExpireComet, ListRoom, Loser, Open, RouteName, SetRooms, Unbind,
};
use orrery_model::control::{
    Advertise, Attach, Comet, ControlBatch, ControlCommand, FenceEvent, Found, Node,
};
use orrery_model::record::{ControlRecord, ShardHead, ShardRecord};
use orrery_model::{
    Address, CometRef, Conn, Details, Id, Incarnation, Keep, Kind, NodeId, Policy, Primary, Route,
    Scope, Seq, ShardId, Slot, SlotTable, Version,
};
use orrery_proto::storage::{self, entry::Payload};
use orrery_proto::{registry, storage as wire};
use prost::Message;

/// Named samples as bytes, in order.
type Samples = Vec<(&'static str, Vec<u8>)>;

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |c: u8| char::from(c).to_digit(16).unwrap() as u8;
    text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// The committed samples, after comparing them with what this build encodes.
#[track_caller]
fn committed(file: &str, samples: &Samples) -> BTreeMap<String, Vec<u8>> {
    let path = path(file);
    let text: String =
        samples.iter().map(|(name, bytes)| format!("{name} {}\n", hex(bytes))).collect();
    if std::env::var_os("ORRERY_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    let found: Vec<_> = found.lines().map(|line| line.split_once(' ').unwrap()).collect();
    for ((name, bytes), (found_name, found_hex)) in samples.iter().zip(&found) {
        assert_eq!(name, found_name, "{file}");
        assert_eq!(hex(bytes), *found_hex, "the stored form of {name} ({file}) has changed");
    }
    assert_eq!(found.len(), samples.len(), "{file} has as many samples as this test");
    found.iter().map(|(name, hex)| ((*name).to_owned(), unhex(hex))).collect()
}

fn decoded<M: TryFrom<W, Error: Debug>, W: Message + Default>(bytes: &[u8]) -> M {
    M::try_from(W::decode(bytes).unwrap()).unwrap()
}

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn comet() -> CometRef {
    CometRef { id: id("comet-1:3109"), incarnation: Incarnation(7) }
}

fn user() -> Address {
    Address { namespace: Some(id("shop")), kind: Kind::User, id: id("mid-42") }
}

fn details() -> Details {
    Details {
        platform: "android".to_owned(),
        device: "d-9".to_owned(),
        labels: BTreeMap::from([
            ("app".to_owned(), "reader".to_owned()),
            ("beta".to_owned(), String::new()),
        ]),
        rooms: [id("live://1000"), id("chat://é")].into(),
        rooms_version: Version(3),
        primary: None,
    }
}

fn loser() -> Loser {
    Loser { address: user(), comet: comet(), conn: Conn(11), seq: Seq(900) }
}

fn slot(number: u32) -> Slot {
    Slot::new(number).unwrap()
}

fn list() -> ListRoom {
    ListRoom { room: Address::room(id("live://1000")), comet: comet(), version: Version(5) }
}

fn batch() -> Batch {
    let bind = Bind {
        address: user(),
        comet: comet(),
        conn: Conn(12),
        details: details(),
        policy: Policy { scope: Scope::PerAddress { n: 3 }, keep: Keep::Oldest },
        settled: Conn(10),
        rank: None,
    };
    let secondary = Bind {
        address: Address::key(id("key-1")),
        comet: comet(),
        conn: Conn(12),
        details: Details {
            primary: Some(Primary { address: user(), seq: Seq(901) }),
            ..Details::default()
        },
        policy: Policy::ONE_NEWEST,
        settled: Conn(10),
        rank: None,
    };
    let platform = Bind {
        policy: Policy { scope: Scope::PerPlatform, keep: Keep::Newest },
        details: Details::default(),
        ..bind.clone()
    };
    let unbind = |route| {
        Command::Unbind(Unbind { address: user(), comet: comet(), route, settled: Conn(12) })
    };
    let set_rooms = SetRooms {
        address: user(),
        comet: comet(),
        seq: Seq(901),
        rooms: [id("a"), id("b")].into(),
        version: Version(4),
    };
    let expire = ExpireComet { comet: comet().id, fence: Incarnation(8), position: 77 };
    Batch {
        elapsed_ms: 123_456,
        wall_ms: 1_700_000_000_000,
        commands: vec![
            Command::Bind(bind),
            Command::Bind(secondary),
            Command::Bind(platform),
            unbind(RouteName::Seq(Seq(901))),
            unbind(RouteName::Conn(Conn(12))),
            Command::SetRooms(set_rooms),
            Command::BindRoom(list()),
            Command::UnbindRoom(ListRoom { version: Version(6), ..list() }),
            Command::ExpireComet(expire),
            Command::Open(open()),
        ],
    }
}

fn open() -> Open {
    Open::new(vec![slot(0), slot(1), slot(4095)], 1)
}

fn shard_head() -> ShardHead {
    ShardHead {
        shard: ShardId(2),
        next_seq: Seq(902),
        elapsed_ms: 123_456,
        cursor: 77,
        epoch: 1,
        floor: Incarnation(0),
    }
}

fn route() -> Route {
    Route {
        seq: Seq(901),
        comet: comet(),
        conn: Conn(12),
        details: details(),
        bound_at_ms: 1_700_000_000_000,
    }
}

fn found() -> Found {
    let owners = (0..4096).map(|slot| ShardId(slot / 1024 + 1)).collect();
    let node = |id: u64| Node {
        id: NodeId(id),
        registry: format!("router-{id}:3121"),
        peers: format!("router-{id}:3120"),
        instance: FIRST_INSTANCE.to_owned(),
        protocol: 1,
    };
    Found {
        cluster_id: "0d9f9a35-6f4e-4d0c-9d3a-3a8f6a2f7c11".to_owned(),
        nodes: vec![node(1), node(2), node(3)],
        table: SlotTable::new(1, owners).unwrap(),
        placements: Vec::new(),
        counters: Counters::default(),
    }
}

fn advertise() -> Advertise {
    Advertise {
        delivery: "10.0.0.1:3109".to_owned(),
        hostname: "edge-1".to_owned(),
        addresses: vec!["ws://edge-1:3102/sub".to_owned(), "edge-1:3101".to_owned()],
        region: "sh".to_owned(),
        zone: "sh001".to_owned(),
        env: "dev".to_owned(),
        weight: 10,
    }
}

fn control_batch() -> ControlBatch {
    let attach = Attach {
        comet: comet().id,
        instance: "i-1".to_owned(),
        attempt: 2,
        advertise: advertise(),
    };
    ControlBatch {
        elapsed_ms: 5_000,
        wall_ms: 1_700_000_000_001,
        commands: vec![
            ControlCommand::Found(found()),
            ControlCommand::Attach(attach),
            ControlCommand::Expire(comet()),
            ControlCommand::Trim { position: 76 },
        ],
    }
}

fn node() -> Node {
    Node {
        id: NodeId(4),
        registry: "router-4:3121".to_owned(),
        peers: "router-4:3120".to_owned(),
        instance: "6f1c0d2b9a3e4f58".to_owned(),
        protocol: 2,
    }
}

fn placement(shard: u32, version: u64, replicas: [u64; 3]) -> Placement {
    Placement { shard: ShardId(shard), version, replicas: replicas.map(NodeId).to_vec() }
}

fn placed() -> Placed {
    let nodes = |numbers: &[u64]| numbers.iter().copied().map(NodeId).collect();
    Placed {
        shard: ShardId(2),
        log_index: 70_001,
        voters: nodes(&[1, 2, 3]),
        learners: nodes(&[4]),
        version: None,
    }
}

/// A cluster that was made from a backup.
fn found_again() -> Found {
    let placements = (0..=4).map(|shard| placement(shard, 1, [3, 1, 2])).collect();
    let counters = Counters {
        first_incarnation: Incarnation((1 << 40) + 8),
        first_seqs: [(ShardId(2), Seq((1 << 40) + 902)), (ShardId(3), Seq(1 << 40))].into(),
    };
    let mut found = Found { placements, counters, ..found() };
    found.nodes[0] = Node { id: NodeId(1), ..node() };
    found
}

/// The commands that a cluster of several nodes added.
fn cluster_batch() -> ControlBatch {
    let state = |state| ControlCommand::SetNodeState { node: NodeId(4), state };
    ControlBatch {
        elapsed_ms: 6_000,
        wall_ms: 1_700_000_000_003,
        commands: vec![
            ControlCommand::Found(found_again()),
            ControlCommand::AddNode(node()),
            ControlCommand::UpdateNode(Node { protocol: 3, ..node() }),
            state(NodeState::Active),
            state(NodeState::Draining),
            state(NodeState::Leaving),
            state(NodeState::Removed),
            ControlCommand::Place(placement(2, 7, [1, 2, 4])),
            ControlCommand::Placed(placed()),
        ],
    }
}

#[test]
fn a_batch_of_every_command_keeps_its_bytes() {
    let model = batch();
    let samples = vec![("batch", registry::Batch::from(&model).encode_to_vec())];
    let found = committed("batch.hex", &samples);
    assert_eq!(decoded::<Batch, registry::Batch>(&found["batch"]), model);
}

#[test]
fn a_control_batch_of_every_command_keeps_its_bytes() {
    let model = control_batch();
    let samples = vec![("control_batch", registry::ControlBatch::from(&model).encode_to_vec())];
    let found = committed("control_batch.hex", &samples);
    assert_eq!(decoded::<ControlBatch, registry::ControlBatch>(&found["control_batch"]), model);
}

#[test]
fn what_a_cluster_of_several_nodes_added_keeps_its_bytes() {
    let rank = |rank| match batch().commands.swap_remove(0) {
        Command::Bind(bind) => Command::Bind(Bind { rank: Some(Seq(rank)), ..bind }),
        other => panic!("{other:?} is no bind"),
    };
    let open = Open { next_seq: Seq((1 << 40) + 902), floor: Incarnation(1 << 40), ..open() };
    let commands = vec![rank(0), rank(899), Command::Open(open)];
    let data = Batch { commands, ..batch() };
    let control = cluster_batch();
    let head = ShardHead { floor: Incarnation(1 << 40), ..shard_head() };
    let ranked = ShardRecord::Route {
        address: user(),
        route: route(),
        losers: vec![loser()],
        rank: Some(Seq(899)),
    };
    let samples = vec![
        ("batch", registry::Batch::from(&data).encode_to_vec()),
        ("control_batch", registry::ControlBatch::from(&control).encode_to_vec()),
        ("shard_head", wire::ShardRecord::from(ShardRecord::Head(head)).encode_to_vec()),
        ("ranked_route", wire::ShardRecord::from(ranked.clone()).encode_to_vec()),
    ];
    let found = committed("cluster.hex", &samples);
    assert_eq!(decoded::<Batch, registry::Batch>(&found["batch"]), data);
    assert_eq!(decoded::<ControlBatch, registry::ControlBatch>(&found["control_batch"]), control);
    let stored = decoded::<ShardRecord, wire::ShardRecord>(&found["shard_head"]);
    assert_eq!(stored, ShardRecord::Head(head));
    assert_eq!(decoded::<ShardRecord, wire::ShardRecord>(&found["ranked_route"]), ranked);
}

fn membership() -> storage::Membership {
    let member = |node| storage::Member { node, peers: format!("router-{node}:3120") };
    storage::Membership {
        sets: vec![
            storage::VoterSet { nodes: vec![1, 2, 3] },
            storage::VoterSet { nodes: vec![2, 3, 4] },
        ],
        members: (1..=5).map(member).collect(),
    }
}

#[test]
fn log_entries_keep_their_bytes() {
    let small = Batch { commands: vec![Command::BindRoom(list())], ..batch() };
    let tick = ControlBatch { commands: Vec::new(), ..control_batch() };
    let payloads = [
        ("blank", Payload::Blank(storage::Blank {})),
        ("batch", Payload::Batch(small.into())),
        ("control", Payload::Control(tick.into())),
        ("membership", Payload::Membership(membership())),
    ];
    let entry = |payload: Payload| storage::Entry {
        version: 1,
        id: Some(storage::LogId { term: 3, index: 4_000 }),
        payload: Some(payload),
    };
    let entries: Vec<_> =
        payloads.into_iter().map(|(name, payload)| (name, entry(payload))).collect();
    let samples = entries.iter().map(|(name, e)| (*name, e.encode_to_vec())).collect();
    let found = committed("entries.hex", &samples);
    for (name, entry) in entries {
        assert_eq!(storage::Entry::decode(Bytes::from(found[name].clone())).unwrap(), entry);
    }
}

#[test]
fn votes_snapshot_metas_and_what_was_left_keep_their_bytes() {
    let vote = storage::Vote { version: 1, term: 9, node: Some(2), committed: true };
    let nobody = storage::Vote { version: 1, term: 10, node: None, committed: false };
    let at = Some(storage::LogId { term: 2, index: 17 });
    let meta = storage::SnapshotMeta {
        version: 1,
        shard: 3,
        last: Some(storage::LogId { term: 9, index: 70_000 }),
        membership: Some(storage::StoredMembership { at, membership: Some(membership()) }),
        id: "9-70000".to_owned(),
    };
    let last = meta.last;
    let left = storage::Left { version: 1, last, returned: true };
    let samples = vec![
        ("vote", vote.encode_to_vec()),
        ("vote_for_nobody", nobody.encode_to_vec()),
        ("snapshot_meta", meta.encode_to_vec()),
        ("left", left.encode_to_vec()),
    ];
    let found = committed("raft.hex", &samples);
    assert_eq!(storage::Vote::decode(&*found["vote"]).unwrap(), vote);
    assert_eq!(storage::Vote::decode(&*found["vote_for_nobody"]).unwrap(), nobody);
    assert_eq!(storage::SnapshotMeta::decode(&*found["snapshot_meta"]).unwrap(), meta);
    assert_eq!(storage::Left::decode(&*found["left"]).unwrap(), left);
}

#[test]
fn records_of_a_data_shard_keep_their_bytes() {
    let (room, comet_id) = (list().room, comet().id);
    let mark = |removed, seq, outranked| ShardRecord::Mark {
        address: user(),
        comet: comet(),
        conn: Conn(11),
        removed,
        seq,
        outranked,
    };
    let records = [
        ("head", ShardRecord::Head(shard_head())),
        ("slot", ShardRecord::Slot(slot(4095))),
        (
            "route",
            ShardRecord::Route {
                address: user(),
                route: route(),
                losers: vec![loser()],
                rank: None,
            },
        ),
        (
            "listing",
            ShardRecord::Listing { room, comet: comet(), version: Version(5), listed: true },
        ),
        ("fence", ShardRecord::Fence { comet: comet_id, fence: Incarnation(8) }),
        ("mark", mark(true, Some(Seq(900)), false)),
        ("mark_without_route", mark(false, None, false)),
        ("mark_of_a_refusal", mark(false, None, true)),
        ("settled", ShardRecord::Settled { comet: comet(), settled: Conn(10) }),
    ];
    let encode = |record: &ShardRecord| wire::ShardRecord::from(record).encode_to_vec();
    let samples = records.iter().map(|(name, record)| (*name, encode(record))).collect();
    let found = committed("shard_records.hex", &samples);
    for (name, record) in records {
        assert_eq!(decoded::<ShardRecord, wire::ShardRecord>(&found[name]), record);
    }
}

#[test]
fn records_of_the_control_shard_keep_their_bytes() {
    let living = Comet {
        comet: comet(),
        instance: "i-1".to_owned(),
        attempt: 2,
        advertise: advertise(),
        attached_at_ms: 1_700_000_000_002,
    };
    let event = FenceEvent { position: 77, comet: comet().id, fence: Incarnation(7) };
    let head = ControlRecord::Head {
        next_incarnation: Incarnation(8),
        next_position: 78,
        elapsed_ms: 5_000,
    };
    let records = [
        ("head", head),
        ("found", ControlRecord::Found(found())),
        ("comet", ControlRecord::Comet(living)),
        ("event", ControlRecord::Event(event)),
        ("fence", ControlRecord::Fence { comet: comet().id, fence: Incarnation(7) }),
    ];
    check_control_records("control_records.hex", &records);
}

#[test]
fn records_that_a_cluster_of_several_nodes_added_keep_their_bytes() {
    let answered = ControlRecord::Answered {
        comet: comet(),
        instance: "i-1".to_owned(),
        attempt: 2,
        position: 77,
    };
    let records = [
        ("answered", answered),
        ("found_again", ControlRecord::Found(found_again())),
        ("node", ControlRecord::Node { node: node(), state: NodeState::Leaving }),
        ("placement", ControlRecord::Placement(placement(2, 7, [1, 2, 4]))),
        ("placed", ControlRecord::Placed(placed())),
        ("placed_for", ControlRecord::Placed(Placed { version: Some(7), ..placed() })),
    ];
    check_control_records("cluster_records.hex", &records);
}

#[track_caller]
fn check_control_records(file: &str, records: &[(&'static str, ControlRecord)]) {
    let encode = |record: &ControlRecord| wire::ControlRecord::from(record).encode_to_vec();
    let samples = records.iter().map(|(name, record)| (*name, encode(record))).collect();
    let found = committed(file, &samples);
    for (name, record) in records {
        assert_eq!(decoded::<ControlRecord, wire::ControlRecord>(&found[*name]), *record);
    }
}
