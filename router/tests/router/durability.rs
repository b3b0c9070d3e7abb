//! What was acknowledged stays, whatever becomes of the process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use orrery_model::Address;
use orrery_proto::registry as wire;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::gated_disk::GatedDisk;
use crate::node::{Node, PATIENCE, bind_command, directory, model, user};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_finds_everything_and_seqs_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let node = Node::start(self::directory(directory.path())).await;
    let mut highest = BTreeMap::new();
    for number in 0..32 {
        let user = user(format!("user-{number}"));
        let bound = node.bind(&user, "comet-a", number).await;
        highest.insert(user, bound.seq);
    }
    node.stop().await;

    let node = Node::start(self::directory(directory.path())).await;
    for (conn, (user, seq)) in (100..).zip(&highest) {
        assert_eq!(node.locate(user).await, [*seq]);
        let again = node.bind(user, "comet-a", conn).await;
        assert!(again.seq > *seq, "{user} was given {} after {seq}", again.seq);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_node_loses_nothing_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let mut expected: BTreeMap<Address, Vec<u64>> = BTreeMap::new();
    for life in 0..3 {
        let node = Node::start(self::directory(directory.path())).await;
        for (user, seqs) in &expected {
            assert_eq!(&node.locate(user).await, seqs, "life {life}");
        }
        for number in 0..20 {
            let user = user(format!("user-{number}"));
            let bound = node.bind(&user, "comet-a", life * 100 + number).await;
            expected.entry(user).or_default().push(bound.seq);
        }
        node.kill();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_loses_nothing_acknowledged_and_no_seq_comes_back() {
    let disk = model();
    let gated = Arc::new(GatedDisk::new(Arc::new(disk.clone())));
    let mut acknowledged: BTreeSet<(Address, u64)> = BTreeSet::new();
    let mut highest: BTreeMap<Address, u64> = BTreeMap::new();
    for life in 0..4_u64 {
        let node = Node::start(gated.clone()).await;
        for (user, seq) in &acknowledged {
            assert!(node.locate(user).await.contains(seq), "{user} lost {seq} in life {life}");
        }
        let binds: Vec<_> = (0..400)
            .map(|number| (user(format!("user-{}", number % 40)), life * 1000 + number))
            .collect();
        let requests = |binds: &[(Address, u64)]| {
            let request = |(user, conn): &(Address, u64)| {
                (node.shard_of(user), Some(bind_command(user, "comet-a", 1, *conn)))
            };
            binds.iter().map(request).collect()
        };
        let mut answers = node.caller.send_all(requests(&binds[..200]));
        for answer in answers.drain(..100).zip(&binds) {
            note(answer, &mut acknowledged, &mut highest).await;
        }
        // From here on nothing reaches the disk any more; the power goes once all is under way.
        gated.shut();
        answers.extend(node.caller.send_all(requests(&binds[200..])));
        node.locate(&user("user-0")).await;
        disk.crash(|unsynced| unsynced / 2);
        gated.release();
        for answer in answers.into_iter().zip(&binds[100..]) {
            note(answer, &mut acknowledged, &mut highest).await;
        }
        node.kill();
    }
    assert!(acknowledged.len() >= 4 * 100, "only {} were acknowledged", acknowledged.len());
}

/// Notes a bind that was acknowledged. An answer that never came says nothing; so does an unknown one.
async fn note(
    (answer, (user, _)): (oneshot::Receiver<wire::Response>, &(Address, u64)),
    acknowledged: &mut BTreeSet<(Address, u64)>,
    highest: &mut BTreeMap<Address, u64>,
) {
    let answer = timeout(PATIENCE, answer).await.expect("each is answered, or the session ends");
    let Ok(wire::Response { kind: Some(wire::response::Kind::Reply(reply)), .. }) = answer else {
        return;
    };
    let Some(wire::reply::Reply::Bound(bound)) = reply.reply else { panic!("{reply:?}") };
    let before = highest.entry(user.clone()).or_default();
    assert!(bound.seq > *before, "{user} was given {} after {before}", bound.seq);
    *before = bound.seq;
    acknowledged.insert((user.clone(), bound.seq));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_stays_connected_does_not_keep_a_dead_node_alive() {
    let directory = tempfile::tempdir().unwrap();
    for end in ["kill", "stop"] {
        let node = Node::start(self::directory(directory.path())).await;
        let (client, alice) = (node.client.clone(), user("alice"));
        node.bind(&alice, "comet-a", 1).await;
        let Node { handle, caller, .. } = node;
        match end {
            "kill" => drop(handle),
            _ => handle.stop().await,
        }
        // The directory is free although the connection is not closed.
        let node = Node::start(self::directory(directory.path())).await;
        assert_eq!(node.locate(&alice).await.len(), 1, "after {end}");
        drop((client, caller));
        node.stop().await;
    }
}
