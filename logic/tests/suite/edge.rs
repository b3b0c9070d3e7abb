//! The comets' sessions: leases, handshakes and writes go through, refusals are told, losers are closed.

use futures_util::StreamExt;
use orrery_host::grpc;
use orrery_logic::config::AuthMode;
use orrery_proto::common::{Address, CometRef, Message};
use orrery_proto::delivery::{CloseReason, Outcome};
use orrery_proto::edge::authenticate::Protocol;
use orrery_proto::edge::edge_client::EdgeClient;
use orrery_proto::edge::edge_response::Kind as Answer;
use orrery_proto::edge::{
    Audit, AuditRoutes, Audited, AuditedRoute, Authenticate, EdgeRequest, EdgeRequests,
    EdgeResponse, Received, edge_request::Kind as Ask,
};
use orrery_proto::registry as wire;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::support::{Bed, Comet, PATIENCE, eventually, route};

/// A session as a comet holds it.
struct Session {
    requests: mpsc::Sender<EdgeRequests>,
    responses: Streaming<orrery_proto::edge::EdgeResponses>,
    ready: Vec<EdgeResponse>,
}

impl Session {
    async fn open(bed: &Bed) -> Self {
        let address = bed.logic.edge_address.to_string();
        let mut client = EdgeClient::new(grpc::channel(bed.host.net.clone(), &address).unwrap());
        let (requests, stream) = mpsc::channel(16);
        let responses = client.session(ReceiverStream::new(stream)).await.unwrap().into_inner();
        Self { requests, responses, ready: Vec::new() }
    }

    async fn send(&self, requests: Vec<(u64, Ask)>) {
        let request = |(id, kind)| EdgeRequest { id, kind: Some(kind), ..EdgeRequest::default() };
        let requests = requests.into_iter().map(request).collect();
        self.requests.send(EdgeRequests { requests }).await.unwrap();
    }

    async fn next(&mut self) -> (u64, Answer) {
        while self.ready.is_empty() {
            let batch = timeout(PATIENCE, self.responses.next()).await.expect("an answer in time");
            self.ready = batch.expect("the session is open").unwrap().responses;
        }
        let response = self.ready.remove(0);
        (response.id, response.kind.expect("an answer has a kind"))
    }

    async fn ask(&mut self, kind: Ask) -> Answer {
        self.send(vec![(77, kind)]).await;
        let (id, answer) = self.next().await;
        assert_eq!(id, 77);
        answer
    }
}

fn comet() -> CometRef {
    CometRef { id: "a".into(), incarnation: 4 }
}

fn attach() -> Ask {
    Ask::Attach(wire::Attach {
        comet: "a".into(),
        instance: "i".into(),
        attempt: 1,
        advertise: Some(wire::Advertise::default()),
    })
}

fn hello(protocol: Protocol, credentials: &str) -> Ask {
    Ask::Authenticate(Authenticate {
        protocol: protocol.into(),
        credentials: credentials.to_owned().into(),
        remote: "127.0.0.1".into(),
        conn: 1,
    })
}

fn bind(user: &str) -> wire::Command {
    let address = Address { namespace: String::new(), kind: 1, id: user.into() };
    let bind = wire::Bind {
        address: Some(address),
        comet: Some(comet()),
        conn: 1,
        details: Some(orrery_proto::common::Details::default()),
        policy: Some(orrery_proto::common::Policy::default()),
        settled: 0,
        rank: None,
    };
    wire::Command { kind: Some(wire::command::Kind::Bind(bind)) }
}

#[tokio::test]
async fn a_comets_life_is_relayed() {
    let bed = Bed::new(&[]).await;
    let mut session = Session::open(&bed).await;
    let Answer::Attached(attached) = session.ask(attach()).await else { panic!() };
    assert_eq!((attached.incarnation, attached.lease_ms), (4, 10_000));
    assert_eq!((attached.keep_alive_ms, attached.rebind_per_second), (2_000, 500));
    let Answer::KeptAlive(kept) = session.ask(Ask::KeepAlive(comet())).await else { panic!() };
    assert!(kept.alive && !kept.superseded);
    bed.registry.set_ended();
    let Answer::KeptAlive(kept) = session.ask(Ask::KeepAlive(comet())).await else { panic!() };
    assert!(!kept.alive && !kept.superseded);
    bed.registry.set_superseded();
    let Answer::KeptAlive(kept) = session.ask(Ask::KeepAlive(comet())).await else { panic!() };
    assert!(!kept.alive && kept.superseded);
    let Answer::Failure(failure) = session.ask(attach()).await else { panic!() };
    assert!(failure.superseded);
    assert!(matches!(session.ask(Ask::Detach(comet())).await, Answer::Detached(_)));
    assert_eq!((bed.registry.kept_alive(), bed.registry.detached()), (3, 1));
}

#[tokio::test]
async fn in_open_mode_a_device_is_who_it_claims_to_be() {
    let bed = Bed::new(&[]).await;
    let mut session = Session::open(&bed).await;
    let token =
        r#"{"mid":123, "room_id":"live://1000", "platform":"web", "accepts":[1000,1001,1002]}"#;
    let Answer::Identity(identity) = session.ask(hello(Protocol::Goim, token)).await else {
        panic!()
    };
    assert_eq!((identity.user.as_str(), identity.key.len()), ("123", 36));
    assert_eq!(identity.rooms, ["live://1000"]);
    assert_eq!(identity.accepts, [1000, 1001, 1002]);
    assert_eq!((identity.heartbeat_ms, identity.heartbeat_max_ms), (240_000, 480_000));

    let hello_json = r#"{"type":"hello","user":"alice","key":"k","rooms":["r"]}"#;
    let answer = session.ask(hello(Protocol::Json, hello_json)).await;
    let Answer::Identity(identity) = answer else { panic!() };
    assert_eq!((identity.user.as_str(), identity.key.as_str()), ("alice", "k"));
    assert!(identity.accepts_all);

    let Answer::Refused(refused) = session.ask(hello(Protocol::Goim, "[]")).await else { panic!() };
    assert_eq!(refused.reason, "bad_credentials");
    let long = "x".repeat(70_000);
    let Answer::Refused(refused) = session.ask(hello(Protocol::Goim, &long)).await else {
        panic!()
    };
    assert_eq!(refused.reason, "bad_credentials");
}

#[tokio::test]
async fn in_closed_mode_everybody_is_refused_and_told_why() {
    let bed = Bed::with(&[], |config| config.auth = AuthMode::Closed).await;
    assert_eq!(orrery_logic::Config::default().auth, AuthMode::Closed);
    let mut session = Session::open(&bed).await;
    for (protocol, credentials) in
        [(Protocol::Goim, r#"{"mid":1}"#), (Protocol::Json, r#"{"type":"hello"}"#)]
    {
        let Answer::Refused(refused) = session.ask(hello(protocol, credentials)).await else {
            panic!()
        };
        assert_eq!(refused.reason, "auth_closed");
        assert!(refused.detail.contains("auth"), "{}", refused.detail);
    }
}

#[tokio::test]
async fn writes_are_relayed_and_what_is_not_a_comets_to_write_is_refused() {
    let bed = Bed::new(&[]).await;
    let mut session = Session::open(&bed).await;
    let Answer::Reply(reply) = session.ask(Ask::Write(bind("u"))).await else { panic!() };
    let Some(wire::reply::Reply::Bound(bound)) = reply.reply else { panic!() };
    assert_eq!(bound.seq, 1);
    assert_eq!(bed.registry.writes(), [bind("u")]);

    let expire = wire::ExpireComet { comet: "a".into(), fence: 9, position: 1 };
    let open = wire::Open { slots: vec![1], epoch: 1, ..Default::default() };
    let mut bind_of_nobody = bind("u");
    if let Some(wire::command::Kind::Bind(bind)) = &mut bind_of_nobody.kind {
        bind.address = None;
    }
    for command in [
        wire::Command { kind: Some(wire::command::Kind::ExpireComet(expire)) },
        wire::Command { kind: Some(wire::command::Kind::Open(open)) },
        wire::Command { kind: None },
        bind_of_nobody,
        bind(&"x".repeat(10_240)),
    ] {
        let Answer::Reply(reply) = session.ask(Ask::Write(command)).await else { panic!() };
        let Some(wire::reply::Reply::Refusal(refusal)) = reply.reply else { panic!() };
        assert_eq!(refusal.reason(), wire::refusal::Reason::Invalid);
        assert!(!refusal.detail.is_empty());
    }
    assert_eq!(bed.registry.writes().len(), 1);

    let refusal = wire::Refusal { reason: 2, fence: 7, ..wire::Refusal::default() };
    bed.registry.set_reply(wire::reply::Reply::Refusal(refusal.clone()));
    let Answer::Reply(reply) = session.ask(Ask::Write(bind("u"))).await else { panic!() };
    assert_eq!(reply.reply, Some(wire::reply::Reply::Refusal(refusal)));
}

#[tokio::test]
async fn a_slow_write_holds_up_neither_leases_nor_handshakes() {
    let bed = Bed::new(&[]).await;
    let mut session = Session::open(&bed).await;
    bed.registry.fail_writes(wire::failure::Reason::Unavailable);
    session
        .send(vec![
            (1, Ask::Write(bind("u"))),
            (2, Ask::KeepAlive(comet())),
            (3, hello(Protocol::Goim, "{}")),
        ])
        .await;
    let mut quick = vec![session.next().await.0, session.next().await.0];
    quick.sort_unstable();
    assert_eq!(quick, [2, 3]);
    // The write ends too, as a failure that the comet repeats.
    let (id, Answer::Failure(failure)) = session.next().await else { panic!() };
    assert_eq!(id, 1);
    assert!(!failure.superseded && failure.retry_after_ms > 0);
}

#[tokio::test]
async fn losers_of_a_bind_are_closed_where_they_are() {
    let (a, b) = (Comet::start("a", 4).await, Comet::start("b", 2).await);
    let bed = Bed::new(&[&a, &b]).await;
    // What is in doubt is tried again.
    a.answer_next(1, Outcome::Unknown);
    let loser = |comet: (&str, u64), conn| wire::Loser {
        address: Some(Address { namespace: String::new(), kind: 1, id: "u".into() }),
        comet: Some(CometRef { id: comet.0.into(), incarnation: comet.1 }),
        conn,
        seq: conn + 100,
    };
    let losers = vec![loser(a.life(), 1), loser(b.life(), 2), loser(b.life(), 3)];
    bed.registry.set_reply(wire::reply::Reply::Bound(wire::Bound { seq: 200, losers }));
    let mut session = Session::open(&bed).await;
    assert!(matches!(session.ask(Ask::Write(bind("u"))).await, Answer::Reply(_)));
    let replaced = i32::from(CloseReason::Replaced);
    eventually("both comets are told", || a.closes().len() == 2 && !b.closes().is_empty()).await;
    assert_eq!(a.closes(), [(vec![1], replaced), (vec![1], replaced)]);
    assert_eq!(b.closes(), [(vec![2, 3], replaced)]);
}

fn user(id: &str) -> orrery_model::Address {
    orrery_model::Address::user(orrery_model::Id::new(id).unwrap())
}

fn audited(address: &orrery_model::Address, seq: u64) -> AuditedRoute {
    AuditedRoute { address: Some(address.into()), seq }
}

#[tokio::test]
async fn an_audit_names_the_routes_that_are_not_there_or_are_somebody_elses() {
    let bed = Bed::new(&[]).await;
    let mut session = Session::open(&bed).await;
    bed.registry.bind(user("u"), vec![route(("a", 4), 1, 11), route(("a", 4), 2, 12)]);
    bed.registry.bind(user("v"), vec![route(("b", 4), 3, 13)]);
    bed.registry.bind(user("w"), vec![route(("a", 3), 4, 14)]);
    let routes = [
        audited(&user("u"), 11),
        audited(&user("u"), 12),
        audited(&user("u"), 10),
        audited(&user("v"), 13),
        audited(&user("w"), 14),
        audited(&user("nobody"), 15),
    ];
    let audit = Ask::Audit(Audit { comet: Some(comet()), routes: routes.to_vec() });
    let Answer::Audited(Audited { mut missing }) = session.ask(audit).await else { panic!() };
    missing.sort_by_key(|route| route.seq);
    assert_eq!(missing, [&routes[2], &routes[3], &routes[4], &routes[5]].map(Clone::clone));
    assert_eq!(bed.registry.look_ups(&user("u")), 1, "an address is looked up once");
}

#[tokio::test]
async fn an_audit_that_cannot_look_everything_up_or_makes_no_sense_fails() {
    let bed = Bed::new(&[]).await;
    let mut session = Session::open(&bed).await;
    let many = vec![audited(&user("u"), 1); 10_000];
    for (comet, routes) in [
        (None, vec![audited(&user("u"), 1)]),
        (Some(comet()), vec![AuditedRoute { address: None, seq: 1 }]),
        (Some(comet()), many),
    ] {
        let answer = session.ask(Ask::Audit(Audit { comet, routes })).await;
        assert!(matches!(answer, Answer::Failure(_)), "{answer:?}");
    }
    let answer = session.ask(Ask::AuditRoutes(AuditRoutes::default())).await;
    assert!(matches!(answer, Answer::Failure(_)), "{answer:?}");
    assert_eq!(bed.registry.look_ups(&user("u")), 0);

    bed.registry.set_unavailable(true);
    let routes = vec![audited(&user("u"), 1)];
    let answer = session.ask(Ask::Audit(Audit { comet: Some(comet()), routes })).await;
    let Answer::Failure(failure) = answer else { panic!("{answer:?}") };
    assert!(failure.retry_after_ms > 0);
}

#[tokio::test]
async fn the_routes_of_a_comets_life_are_told_in_pages() {
    let bed = Bed::new(&[]).await;
    let mut session = Session::open(&bed).await;
    for number in 0..40 {
        let mine = route(("a", 4), number, 100 + number);
        let others = [route(("b", 4), number, 200 + number), route(("a", 3), number, 300 + number)];
        bed.registry.bind(user(&format!("{number:02}")), [&others[..], &[mine]].concat());
    }
    let mut found = Vec::new();
    let (mut shard, mut after, mut pages) = (0, None, 0);
    loop {
        let ask = AuditRoutes { comet: Some(comet()), shard, after, limit: 3 };
        let answer = session.ask(Ask::AuditRoutes(ask)).await;
        let Answer::AuditedRoutes(page) = answer else { panic!("{answer:?}") };
        pages += 1;
        assert!(page.routes.len() <= 3);
        found.extend(page.routes);
        if page.next_shard == 0 {
            break;
        }
        (shard, after) = (page.next_shard, page.next);
    }
    let seqs: Vec<u64> = found.iter().map(|member| member.seq).collect();
    assert_eq!(seqs, (100..140).collect::<Vec<_>>());
    let route = found[7].route.as_ref().unwrap();
    assert_eq!((route.conn, route.comet.as_ref()), (7, Some(&comet())));
    assert!(pages >= 14, "{pages}");
}

#[tokio::test]
async fn room_totals_are_told_to_the_comet_that_reported_the_rooms() {
    let (a, b) = (Comet::start("a", 4).await, Comet::start("b", 2).await);
    a.set_census(3, 1, &[("live://1", 2), ("live://2", 1)]);
    b.set_census(9, 1, &[("live://1", 5), ("live://3", 4)]);
    let bed = Bed::with(&[&a, &b], |config| config.census_ms = 50).await;
    let mut session = Session::open(&bed).await;
    assert!(matches!(session.ask(Ask::KeepAlive(comet())).await, Answer::KeptAlive(_)));
    loop {
        let (id, Answer::RoomTotals(totals)) = session.next().await else { panic!() };
        assert_eq!(id, 0);
        let mut totals: Vec<_> = totals.totals.into_iter().map(|t| (t.room, t.count)).collect();
        totals.sort();
        // A census may have come before both comets were reached.
        if totals == [("live://1".to_owned(), 7), ("live://2".to_owned(), 1)] {
            break;
        }
    }
}

#[tokio::test]
async fn messages_of_devices_are_counted_and_a_request_of_an_unknown_kind_fails() {
    let bed = Bed::new(&[]).await;
    let mut session = Session::open(&bed).await;
    let received = |op| {
        let message = Some(Message { op, body: "hi".into() });
        Ask::Received(Received { address: None, seq: 1, message })
    };
    session.send(vec![(0, received(4)), (0, received(5))]).await;
    let requests = vec![EdgeRequest { id: 9, ..EdgeRequest::default() }];
    session.requests.send(EdgeRequests { requests }).await.unwrap();
    let (id, answer) = session.next().await;
    assert!(matches!((id, answer), (9, Answer::Failure(_))));
    assert_eq!(bed.metric("orrery_logic_received_total"), 2);
}

#[tokio::test]
async fn thousands_of_requests_of_one_comet_are_each_answered_once() {
    let bed = Bed::new(&[]).await;
    let mut session = Session::open(&bed).await;
    for batch in 0..20_u64 {
        let asks = (0..500).map(|n| (1 + batch * 500 + n, Ask::Write(bind("u")))).collect();
        session.send(asks).await;
    }
    let mut answered = std::collections::BTreeMap::new();
    let mut overloaded = 0;
    while answered.len() < 10_000 {
        let (id, answer) = session.next().await;
        overloaded += usize::from(matches!(answer, Answer::Failure(_)));
        assert!(answered.insert(id, ()).is_none(), "{id} was answered twice");
    }
    // What was not relayed was refused at once, and everything else reached the registry: more than once
    // where an answer took so long that it was asked for again.
    assert!(bed.registry.writes().len() >= 10_000 - overloaded);
}

#[tokio::test]
async fn a_session_ends_with_the_logic() {
    let bed = Bed::new(&[]).await;
    let mut session = Session::open(&bed).await;
    assert!(matches!(session.ask(Ask::KeepAlive(comet())).await, Answer::KeptAlive(_)));
    bed.logic.stop().await;
    let end = timeout(PATIENCE, session.responses.next()).await.expect("the session ends in time");
    assert!(end.is_none_or(|last| last.is_err()));
}
