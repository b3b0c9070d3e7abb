//! The routes of a comet's life are gathered over all shards.

use orrery_model::{Conn, Details, Route, Seq, ShardId};
use orrery_proto::registry::{Member, MembersPage, Request, request, response};
use orrery_router_client::limits::COMET_ROUTES_ASKS_MAX;
use orrery_router_client::{ClientError, MembersCursor};

use crate::scripted::{Act, cluster_with, comet, failed, soon, table, user, within};

/// What a shard looks at, in order: (user, seq, whether it is this comet's).
fn held_by(shard: u32) -> Vec<(String, u64, bool)> {
    let held = |id: &str, seq, ours| (id.to_owned(), seq, ours);
    match shard {
        1 => vec![held("a", 4, true), held("a", 9, false), held("b", 1, true)],
        2 => vec![],
        // More of others' routes than one call asks for.
        3 => (0..40).map(|n| held(&format!("m{n:02}"), n, false)).collect(),
        5 => vec![held("a2", 7, true), held("c", 2, true)],
        other => panic!("no such shard: {other}"),
    }
}

const ALL: [(&str, u64); 4] = [("a", 4), ("b", 1), ("a2", 7), ("c", 2)];

fn member(user_id: &str, seq: u64, with_route: bool) -> Member {
    let route = Route {
        seq: Seq(seq),
        comet: comet(),
        conn: Conn(seq),
        details: Details::default(),
        bound_at_ms: 0,
    };
    let route = with_route.then(|| route.into());
    Member { address: Some(user(user_id).into()), seq, route }
}

/// A shard that keeps the contract, and looks at two routes an answer.
fn answer(request: &Request) -> Act {
    let Some(request::Kind::CometRoutes(asked)) = &request.kind else {
        panic!("not asked here: {request:?}")
    };
    assert_eq!(asked.comet, Some((&comet()).into()));
    let after = asked.after.as_ref().map(|after| {
        assert!(after.route.is_none());
        (after.address.as_ref().unwrap().id.clone(), after.seq)
    });
    let held = held_by(request.shard);
    let begin = after.map_or(0, |(id, seq)| {
        1 + held.iter().position(|route| (route.0.as_str(), route.1) == (&id, seq)).unwrap()
    });
    let end = held.len().min(begin + 2.min(asked.limit as usize));
    let ours = held[begin..end].iter().filter(|route| route.2);
    let members = ours.map(|(id, seq, _)| member(id, *seq, true)).collect();
    let more = end < held.len();
    let next = more.then(|| member(&held[end - 1].0, held[end - 1].1, false));
    Act::Answer(response::Kind::Members(MembersPage { members, more, next }))
}

#[tokio::test]
async fn pages_of_any_size_tell_every_route_once_and_in_order() {
    let (nodes, client) = cluster_with(1, &table(1, &[5, 1, 3, 2]), 2_000).await;
    nodes[0].on(answer);
    for limit in [1, 2, 3, 0] {
        let mut told = Vec::new();
        let mut from = None;
        loop {
            let asked = nodes[0].seen().len();
            let page = client.comet_routes(comet(), from, limit, soon()).await.unwrap();
            assert!(limit == 0 || page.members.len() <= limit);
            assert!(nodes[0].seen().len() - asked <= COMET_ROUTES_ASKS_MAX, "a call is bounded");
            let name = |m: orrery_router_client::Member| (m.address.id.to_string(), m.route.seq.0);
            told.extend(page.members.into_iter().map(name));
            from = page.next;
            if from.is_none() {
                break;
            }
        }
        assert_eq!(told, ALL.map(|(id, seq)| (id.to_owned(), seq)), "in pages of {limit}");
    }
}

#[tokio::test]
async fn one_shard_tells_its_part_of_one_moment_and_whether_that_is_all() {
    let (nodes, client) = cluster_with(1, &table(1, &[1, 2, 5]), 2_000).await;
    nodes[0].on(answer);
    for (shard, told, more) in
        [(1, vec![("a", 4)], true), (2, vec![], false), (5, vec![("a2", 7), ("c", 2)], false)]
    {
        let found = client.comet_routes_in(&comet(), ShardId(shard), 0, soon()).await.unwrap();
        let name = |m: &orrery_router_client::Member| (m.address.id.to_string(), m.route.seq.0);
        let all: Vec<_> = found.members.iter().map(name).collect();
        let told: Vec<_> = told.iter().map(|(id, seq)| ((*id).to_owned(), *seq)).collect();
        assert_eq!((all, found.more), (told, more), "of shard {shard}");
    }
    assert_eq!(nodes[0].seen().len(), 3, "each was asked once");
}

#[tokio::test]
async fn a_cursor_of_a_shard_that_is_no_more_goes_on_with_the_next_one() {
    let (nodes, client) = cluster_with(1, &table(1, &[1, 2, 5]), 2_000).await;
    nodes[0].on(answer);
    let gone = MembersCursor { shard: ShardId(4), after: Some((user("zz"), Seq(1))) };
    let page = client.comet_routes(comet(), Some(gone), 10, soon()).await.unwrap();
    assert_eq!((page.members.len(), page.next), (2, None));
}

#[tokio::test]
async fn without_one_shard_there_is_no_page_of_it() {
    let (nodes, client) = cluster_with(1, &table(1, &[1, 2]), 2_000).await;
    nodes[0].on(|request| match request.shard {
        2 => failed(orrery_proto::registry::failure::Reason::Unavailable),
        _ => answer(request),
    });
    let error = client.comet_routes(comet(), None, 10, within(200)).await.unwrap_err();
    assert!(matches!(error, ClientError::Unavailable { .. }), "{error}");
}

#[tokio::test]
async fn a_shard_that_promises_more_and_does_not_say_from_where_is_not_asked_for_ever() {
    let (nodes, client) = cluster_with(1, &table(1, &[1]), 2_000).await;
    for next in [None, Some(member("a", 4, false))] {
        let page = MembersPage { members: Vec::new(), more: true, next: next.clone() };
        nodes[0].on(move |_| Act::Answer(response::Kind::Members(page.clone())));
        let asked = nodes[0].seen().len();
        let from = MembersCursor { shard: ShardId(1), after: Some((user("a"), Seq(4))) };
        assert!(client.comet_routes(comet(), Some(from), 10, soon()).await.is_err());
        assert_eq!(nodes[0].seen().len(), asked + 1);
    }
}
