//! Members and counts are gathered over all shards.

use orrery_model::{Address, Conn, Details, Route, Seq, ShardId};
use orrery_proto::registry::{Counted, Member, MembersPage, Request, request, response};
use orrery_router_client::{ClientError, MembersCursor};

use crate::scripted::{Act, cluster_with, comet, failed, id, soon, table, user, within};

/// The members of the room that a shard holds: (user, seq), in order.
fn held_by(shard: u32) -> Vec<(&'static str, u64)> {
    match shard {
        1 => vec![("a", 4), ("a", 9), ("b", 1)],
        3 => vec![],
        5 => vec![("a2", 7), ("c", 2)],
        other => panic!("no such shard: {other}"),
    }
}

fn member(user_id: &str, seq: u64) -> Member {
    let route = Route {
        seq: Seq(seq),
        comet: comet(),
        conn: Conn(seq),
        details: Details::default(),
        bound_at_ms: 0,
    };
    Member { address: Some(user(user_id).into()), seq, route: Some(route.into()) }
}

/// A shard that keeps the contract: members after the cursor, at most `limit`.
fn answer(request: &Request) -> Act {
    let held = held_by(request.shard);
    Act::Answer(match request.kind.as_ref().unwrap() {
        request::Kind::Count(_) => response::Kind::Counted(Counted { count: held.len() as u64 }),
        request::Kind::Members(members) => {
            let after = members.after.as_ref().map(|after| {
                assert!(after.route.is_none());
                (after.address.as_ref().unwrap().id.clone(), after.seq)
            });
            let mut rest: Vec<_> = held
                .into_iter()
                .filter(|(id, seq)| after.as_ref().is_none_or(|a| ((*id).to_owned(), *seq) > *a))
                .collect();
            let more = rest.len() > members.limit as usize;
            rest.truncate(members.limit as usize);
            let members = rest.into_iter().map(|(id, seq)| member(id, seq)).collect();
            response::Kind::Members(MembersPage { members, more, next: None })
        }
        other => panic!("not asked here: {other:?}"),
    })
}

fn room() -> Address {
    Address::room(id("live://1"))
}

const ALL: [(&str, u64); 5] = [("a", 4), ("a", 9), ("b", 1), ("a2", 7), ("c", 2)];

#[tokio::test]
async fn pages_of_any_size_tell_every_member_once_and_in_order() {
    let (nodes, client) = cluster_with(1, &table(1, &[5, 1, 3]), 2_000).await;
    nodes[0].on(answer);
    for limit in [1, 2, 3, 4, 5, 0] {
        let mut told = Vec::new();
        let mut from = None;
        loop {
            let page = client.members(room(), from, limit, soon()).await.unwrap();
            assert!(limit == 0 || page.members.len() <= limit);
            told.extend(
                page.members.into_iter().map(|m| (m.address.id.to_string(), m.route.seq.0)),
            );
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        let all = ALL.map(|(id, seq)| (id.to_owned(), seq));
        assert_eq!(told, all, "in pages of {limit}");
    }
}

#[tokio::test]
async fn a_cursor_names_the_shard_and_the_last_member_told() {
    let (nodes, client) = cluster_with(1, &table(1, &[1, 3, 5]), 2_000).await;
    nodes[0].on(answer);
    let page = client.members(room(), None, 2, soon()).await.unwrap();
    let after = Some((user("a"), Seq(9)));
    assert_eq!(page.next, Some(MembersCursor { shard: ShardId(1), after }));
    let page = client.members(room(), None, 3, soon()).await.unwrap();
    assert_eq!(page.next, Some(MembersCursor { shard: ShardId(3), after: None }));
    // A cursor of a shard that is no more goes on with the next one.
    let gone = MembersCursor { shard: ShardId(4), after: Some((user("zz"), Seq(1))) };
    let page = client.members(room(), Some(gone), 10, soon()).await.unwrap();
    assert_eq!(page.members.len(), 2);
    assert_eq!(page.next, None);
}

#[tokio::test]
async fn a_count_is_the_sum_over_all_shards() {
    let (nodes, client) = cluster_with(1, &table(1, &[1, 3, 5]), 2_000).await;
    nodes[0].on(answer);
    assert_eq!(client.count(room(), soon()).await, Ok(5));
    assert_eq!(nodes[0].seen().len(), 3);
}

#[tokio::test]
async fn one_shard_counts_its_part_at_an_index() {
    let (nodes, client) = cluster_with(1, &table(1, &[1, 3, 5]), 2_000).await;
    nodes[0].on(answer);
    let mut sum = 0;
    for shard in [1, 3, 5] {
        let (count, index) = client.count_in(&room(), ShardId(shard), soon()).await.unwrap();
        assert_eq!(count, held_by(shard).len() as u64, "of shard {shard}");
        assert!(index > 0);
        sum += count;
    }
    assert_eq!((sum, nodes[0].seen().len()), (5, 3));
    let error = client.count_in(&user("u"), ShardId(1), soon()).await.unwrap_err();
    assert!(matches!(error, ClientError::Invalid { .. }), "{error}");
}

#[tokio::test]
async fn a_count_without_one_shard_is_no_count() {
    let (nodes, client) = cluster_with(1, &table(1, &[1, 3, 5]), 2_000).await;
    nodes[0].on(|request| match request.shard {
        3 => failed(orrery_proto::registry::failure::Reason::Unavailable),
        _ => answer(request),
    });
    let error = client.count(room(), within(200)).await.unwrap_err();
    assert!(matches!(error, ClientError::Unavailable { .. }), "{error}");
    let error = client.members(room(), None, 10, within(200)).await.unwrap_err();
    assert!(matches!(error, ClientError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn only_rooms_have_members() {
    let (nodes, client) = cluster_with(1, &table(1, &[1]), 2_000).await;
    let error = client.count(user("u"), soon()).await.unwrap_err();
    assert!(matches!(error, ClientError::Invalid { .. }), "{error}");
    let error = client.members(user("u"), None, 10, soon()).await.unwrap_err();
    assert!(matches!(error, ClientError::Invalid { .. }), "{error}");
    assert!(nodes[0].seen().is_empty());
}

#[tokio::test]
async fn a_shard_that_promises_more_and_gives_none_is_not_asked_for_ever() {
    let (nodes, client) = cluster_with(1, &table(1, &[1]), 2_000).await;
    nodes[0].on(|_| {
        let page = MembersPage { members: Vec::new(), more: true, next: None };
        Act::Answer(response::Kind::Members(page))
    });
    assert!(client.members(room(), None, 10, soon()).await.is_err());
    assert_eq!(nodes[0].seen().len(), 1);
}
