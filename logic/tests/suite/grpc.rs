//! The gRPC port beside the pushes: lists, many pushes at once, health, reflection, and its end.

use std::time::Duration;

use futures_util::StreamExt;
use orrery_host::grpc;
use orrery_model::{Address, Id};
use orrery_proto::common::{self, Details, Primary};
use orrery_proto::push::{self as wire};
use orrery_proto::registry::Member;
use tokio::time::{Instant, timeout};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::support::{Bed, Comet, PATIENCE, keys, request, route, users};

const SERVICE: &str = "orrery.push.v1.PushService";
const EDGE: &str = "orrery.edge.v1.Edge";

#[tokio::test]
async fn connections_are_listed_with_what_is_known_of_them() {
    let bed = Bed::new(&[]).await;
    let mut bound = route(("a", 3), 1, 10);
    bound.details = Some(Details {
        platform: "ios".into(),
        device: "phone".into(),
        labels: [("tier".to_owned(), "gold".to_owned())].into(),
        primary: Some(Primary {
            address: Some((&Address::user(Id::new("u").unwrap())).into()),
            seq: 9,
        }),
        ..Details::default()
    });
    bed.registry.bind(Address::key(Id::new("k").unwrap()), vec![bound]);
    let list = wire::ListConnectionsRequest { key: "k".into(), ..Default::default() };
    let connections = bed.push.clone().list_connections(list).await.unwrap().into_inner();
    let expected = wire::ConnectionInfo {
        seq: 10,
        comet: "a".into(),
        incarnation: 3,
        platform: "ios".into(),
        device: "phone".into(),
        labels: [("tier".to_owned(), "gold".to_owned())].into(),
        rooms: vec![],
        bound_at_ms: 5,
        user: "u".into(),
    };
    assert_eq!(connections.connections, [expected]);
    let list = wire::ListConnectionsRequest { user: "nobody".into(), ..Default::default() };
    let connections = bed.push.clone().list_connections(list).await.unwrap().into_inner();
    assert!(connections.connections.is_empty());
}

#[tokio::test]
async fn members_are_paged_without_loss_or_repeat_and_counted() {
    let bed = Bed::new(&[]).await;
    let member = |n: u64| {
        let id = Id::new(format!("m{n:03}")).unwrap();
        let address = if n.is_multiple_of(3) { Address::key(id) } else { Address::user(id) };
        Member { address: Some(address.into()), seq: n, route: Some(route(("a", 1), n, n)) }
    };
    bed.registry.set_members((0..25).map(member).collect());
    let mut client = bed.push.clone();
    let mut seqs = Vec::new();
    let mut token = String::new();
    let mut pages = 0;
    loop {
        let page = wire::ListRoomMembersRequest {
            room: "live://1".into(),
            namespace: String::new(),
            page_size: 10,
            page_token: token,
        };
        let page = client.list_room_members(page).await.unwrap().into_inner();
        assert!(page.members.len() <= 10);
        pages += 1;
        for member in page.members {
            let connection = member.connection.unwrap();
            let (id, by_key) =
                (format!("m{:03}", connection.seq), connection.seq.is_multiple_of(3));
            let expected = if by_key { ("", id.as_str()) } else { (id.as_str(), "") };
            assert_eq!((member.user.as_str(), member.key.as_str()), expected);
            seqs.push(connection.seq);
        }
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    seqs.sort_unstable();
    assert_eq!(seqs, (0..25).collect::<Vec<_>>());
    assert!(pages >= 3);
    let count = wire::CountRoomMembersRequest { room: "live://1".into(), ..Default::default() };
    assert_eq!(client.count_room_members(count).await.unwrap().into_inner().count, 25);
}

#[tokio::test]
async fn each_of_many_pushes_has_its_own_result() {
    let comet = Comet::start("a", 1).await;
    let bed = Bed::new(&[&comet]).await;
    bed.registry.bind(Address::user(Id::new("u").unwrap()), vec![route(comet.life(), 1, 10)]);
    let items = vec![request(users(&["u"])), request(keys(&[""])), request(users(&["nobody"]))];
    let many = wire::PushManyRequest { items };
    let results = bed.push.clone().push_many(many).await.unwrap().into_inner().results;
    let summary = |n: usize| results[n].response.as_ref().unwrap().summary.unwrap();
    assert_eq!((summary(0).queued, summary(2).offline), (1, 1));
    let status = results[1].status.as_ref().unwrap();
    assert_eq!(status.code, Code::InvalidArgument as i32);
    assert!(status.message.contains("items[1].target.keys.ids[0]"), "{}", status.message);
    assert_eq!(status.details[0].type_url, "type.googleapis.com/google.rpc.ErrorInfo");
    assert!(results[1].response.is_none() && results[0].status.is_none());
    assert!(bed.push.clone().push_many(wire::PushManyRequest::default()).await.is_ok());
}

#[tokio::test]
async fn health_is_told_for_each_service_and_follows_the_end() {
    let bed = Bed::new(&[]).await;
    let address = bed.logic.grpc_address.to_string();
    let client =
        |address: &str| HealthClient::new(grpc::channel(bed.host.net.clone(), address).unwrap());
    let mut health = client(&address);
    let mut edge = client(&bed.logic.edge_address.to_string());
    for service in ["", SERVICE, EDGE] {
        let health = if service == EDGE { &mut edge } else { &mut health };
        let request = HealthCheckRequest { service: service.into() };
        let mut watch = health.watch(request.clone()).await.unwrap().into_inner();
        let serving = async {
            while watch.next().await.unwrap().unwrap().status() != ServingStatus::Serving {}
        };
        timeout(PATIENCE, serving).await.expect("it serves in time");
        assert_eq!(
            health.check(request).await.unwrap().into_inner().status(),
            ServingStatus::Serving
        );
    }
    let unknown = HealthCheckRequest { service: "other".into() };
    assert_eq!(health.check(unknown).await.unwrap_err().code(), Code::NotFound);

    let mut watches = Vec::new();
    for (health, service) in [(&mut health, SERVICE), (&mut edge, EDGE)] {
        let request = HealthCheckRequest { service: service.into() };
        let mut watch = health.watch(request).await.unwrap().into_inner();
        assert_eq!(watch.next().await.unwrap().unwrap().status(), ServingStatus::Serving);
        watches.push(watch);
    }
    let begun = Instant::now();
    let told = async {
        for watch in &mut watches {
            let told = watch.next().await.unwrap().unwrap().status();
            assert_eq!(told, ServingStatus::NotServing);
        }
    };
    tokio::join!(bed.logic.stop(), told);
    // The watch was never closed by its client, and did not keep the service.
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    assert!(bed.host.net.connect(&address).await.is_err());
}

#[tokio::test]
async fn a_logic_without_registry_is_up_but_not_ready() {
    let bed = Bed::new(&[]).await;
    assert_eq!(bed.logic.ready(), Ok(()));
    let any = "127.0.0.1:0".parse().unwrap();
    let config = orrery_logic::Config {
        http_listen: any,
        grpc_listen: any,
        edge_listen: any,
        routers: vec!["127.0.0.1:1".into()],
        ..Default::default()
    };
    let logic = orrery_logic::start(config.clone(), bed.host.clone()).await.unwrap();
    assert!(logic.ready().unwrap_err().contains("slot table"));
    let taken = orrery_logic::Config { http_listen: logic.http_address, ..config };
    let error = orrery_logic::start(taken, bed.host.clone()).await.err().expect("a port is taken");
    assert!(error.to_string().contains(&logic.http_address.to_string()), "{error}");
    logic.stop().await;
}

#[tokio::test]
async fn reflection_lists_the_services() {
    let bed = Bed::new(&[]).await;
    let channel = grpc::channel(bed.host.net.clone(), &bed.logic.grpc_address.to_string()).unwrap();
    let ask =
        |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
    let asks = vec![
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol(SERVICE.into())),
        ask(MessageRequest::FileContainingSymbol("grpc.health.v1.Health".into())),
    ];
    let mut client = ServerReflectionClient::new(channel);
    let answers = client.server_reflection_info(tokio_stream::iter(asks)).await.unwrap();
    let answers: Vec<_> = answers.into_inner().map(|a| a.unwrap().message_response).collect().await;
    let Some(MessageResponse::ListServicesResponse(list)) = &answers[0] else { panic!() };
    let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(names.contains(&SERVICE) && names.contains(&"grpc.health.v1.Health"), "{names:?}");
    for answer in &answers[1..] {
        assert!(matches!(answer, Some(MessageResponse::FileDescriptorResponse(_))), "{answer:?}");
    }
}

#[tokio::test]
async fn namespaces_are_worlds_of_their_own() {
    let comet = Comet::start("a", 1).await;
    let bed = Bed::new(&[&comet]).await;
    let id = |text: &str| Id::new(text).unwrap();
    let address =
        Address { namespace: Some(id("blue")), kind: orrery_model::Kind::User, id: id("u") };
    bed.registry.bind(address, vec![route(comet.life(), 1, 10)]);
    let blue = wire::PushRequest { namespace: "blue".into(), ..request(users(&["u"])) };
    let receipt = bed.push.clone().push(blue).await.unwrap().into_inner();
    assert_eq!(receipt.summary.unwrap().queued, 1);
    assert_eq!(bed.push(users(&["u"])).await.summary.unwrap().offline, 1);
    let received = comet.received();
    let Some(orrery_proto::delivery::deliver::Kind::ToConnections(to)) = &received[0].kind else {
        panic!()
    };
    let expected = common::Address { namespace: "blue".into(), kind: 1, id: "u".into() };
    assert_eq!(to.targets[0].address, Some(expected));
}
