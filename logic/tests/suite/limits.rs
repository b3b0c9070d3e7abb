//! Bad input and too much of it: each is refused with its reason, and says when to come back.

use orrery_model::{Address, Id};
use orrery_proto::push::target::Target;
use orrery_proto::push::{self as wire};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::support::http::is_documented;
use crate::support::{Bed, Comet, eventually, keys, request, room, users};

/// Code, reason, and the field that is wrong.
fn refusal(status: &Status) -> (Code, String, String) {
    let details = status.get_error_details();
    let info = details.error_info().expect("every error has an ErrorInfo");
    assert_eq!(info.domain, "orrery");
    is_documented(&info.reason);
    let field = details.bad_request().map(|bad| bad.field_violations[0].field.clone());
    let retry = details.retry_info().and_then(|retry| retry.retry_delay);
    let may_retry = matches!(status.code(), Code::Unavailable | Code::ResourceExhausted);
    assert_eq!(retry.is_some(), may_retry, "{status:?}");
    (status.code(), info.reason.clone(), field.unwrap_or_default())
}

async fn refused(bed: &Bed, push: wire::PushRequest) -> (Code, String, String) {
    refusal(&bed.push.clone().push(push).await.expect_err("it is refused"))
}

#[tokio::test]
async fn each_bad_push_is_refused_with_its_reason_and_field() {
    let bed = Bed::new(&[]).await;
    let long = "x".repeat(10_240);
    let many: Vec<String> = (0..1001).map(|n| n.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let ok = || request(users(&["u"]));
    let body = vec![0; (1 << 20) + 1].into();
    let cases = [
        (wire::PushRequest { target: None, ..ok() }, "TARGET_MISSING", "target"),
        (request(users(&[])), "TARGETS_MISSING", "target.users.ids"),
        (request(users(&many)), "TOO_MANY_TARGETS", "target.users.ids"),
        (request(users(&["u", &long])), "ID_TOO_LONG", "target.users.ids[1]"),
        (request(keys(&[""])), "ID_EMPTY", "target.keys.ids[0]"),
        (request(room(&long)), "ID_TOO_LONG", "target.room"),
        (wire::PushRequest { body, ..ok() }, "BODY_TOO_LARGE", "body"),
        (wire::PushRequest { delivery: 2, ..ok() }, "DELIVERY_UNKNOWN", "delivery"),
        (wire::PushRequest { wait_for: 9, ..ok() }, "WAIT_FOR_UNKNOWN", "wait_for"),
        (wire::PushRequest { when_full: 9, ..ok() }, "WHEN_FULL_UNKNOWN", "when_full"),
        (wire::PushRequest { namespace: long.clone(), ..ok() }, "ID_TOO_LONG", "namespace"),
    ];
    for (push, reason, field) in cases {
        let expected = (Code::InvalidArgument, reason.to_owned(), field.to_owned());
        assert_eq!(refused(&bed, push).await, expected);
    }
    // What is larger than any request is not even read.
    let huge = wire::PushRequest { body: vec![0; 5 << 20].into(), ..ok() };
    assert_eq!(bed.push.clone().push(huge).await.unwrap_err().code(), Code::OutOfRange);
    assert_eq!(bed.push(users(&["u"])).await.summary.unwrap().offline, 1);
}

#[tokio::test]
async fn the_other_calls_refuse_as_clearly() {
    let bed = Bed::new(&[]).await;
    let mut client = bed.push.clone();
    let invalid =
        |reason: &str, field: &str| (Code::InvalidArgument, reason.to_owned(), field.to_owned());

    let list = |user: &str, key: &str| wire::ListConnectionsRequest {
        user: user.into(),
        key: key.into(),
        namespace: String::new(),
    };
    let status = client.list_connections(list("", "")).await.unwrap_err();
    assert_eq!(refusal(&status), invalid("OWNER_MISSING", "user"));
    let status = client.list_connections(list("u", "k")).await.unwrap_err();
    assert_eq!(refusal(&status), invalid("OWNER_AMBIGUOUS", "key"));
    let status = client.list_connections(list("", &"k".repeat(129))).await.unwrap_err();
    assert_eq!(refusal(&status), invalid("ID_TOO_LONG", "key"));

    let page = |page_size, page_token: &str| wire::ListRoomMembersRequest {
        room: "live://1".into(),
        namespace: String::new(),
        page_size,
        page_token: page_token.into(),
    };
    let status = client.list_room_members(page(-1, "")).await.unwrap_err();
    assert_eq!(refusal(&status), invalid("BAD_PAGE_SIZE", "page_size"));
    for token in ["x", "%%%", &"A".repeat(100), &"A".repeat(100_000)] {
        let status = client.list_room_members(page(1, token)).await.unwrap_err();
        assert_eq!(refusal(&status), invalid("BAD_PAGE_TOKEN", "page_token"));
    }
    let count = wire::CountRoomMembersRequest::default();
    let status = client.count_room_members(count).await.unwrap_err();
    assert_eq!(refusal(&status), invalid("ID_EMPTY", "room"));

    for target in [room("live://1"), Target::Broadcast(wire::Broadcast::default())] {
        let target = Some(wire::Target { target: Some(target) });
        let request = wire::DisconnectRequest { target, namespace: String::new() };
        let status = client.disconnect(request).await.unwrap_err();
        assert_eq!(refusal(&status), invalid("TARGET_NOT_ALLOWED", "target"));
    }
    let items = (0..1001).map(|_| request(users(&["u"]))).collect();
    let status = client.push_many(wire::PushManyRequest { items }).await.unwrap_err();
    assert_eq!(refusal(&status), invalid("TOO_MANY_ITEMS", "items"));
}

#[tokio::test]
async fn too_much_in_flight_is_refused_until_there_is_room_again() {
    let comet = Comet::start("a", 1).await;
    let bed = Bed::with(&[&comet], |config| {
        config.addresses_in_flight_max = 3;
        config.body_bytes_in_flight_max = 10;
        config.push_timeout_ms = 10_000;
    })
    .await;
    let user = Address::user(Id::new("u").unwrap());
    bed.registry.hold(user.clone());
    let (mut client, held) = (bed.push.clone(), request(users(&["u"])));
    let held = client.push(held);
    let others = async {
        eventually("the first is under way", || bed.registry.look_ups(&user) == 1).await;
        let full = refused(&bed, request(users(&["a", "b", "c"]))).await;
        assert_eq!((full.0, full.1.as_str()), (Code::ResourceExhausted, "ADDRESSES_IN_FLIGHT"));
        let heavy = wire::PushRequest { body: "123456".into(), ..request(users(&["a"])) };
        let heavy = refused(&bed, heavy).await;
        assert_eq!((heavy.0, heavy.1.as_str()), (Code::ResourceExhausted, "BODY_BYTES_IN_FLIGHT"));
        assert_eq!(bed.push(users(&["a", "b"])).await.summary.unwrap().offline, 2);
        bed.registry.release(&user);
    };
    let (pushed, ()) = tokio::join!(held, others);
    assert_eq!(pushed.unwrap().into_inner().summary.unwrap().offline, 1);
    assert_eq!(bed.push(users(&["a", "b", "c"])).await.summary.unwrap().offline, 3);
}

#[tokio::test]
async fn without_the_registry_nothing_is_answered_from_old_knowledge() {
    let bed = Bed::with(&[], |config| config.push_timeout_ms = 300).await;
    bed.registry.set_unavailable(true);
    for target in [users(&["u"]), keys(&["k"]), room("live://1")] {
        let (code, reason, _) = refused(&bed, request(target)).await;
        assert_eq!((code, reason.as_str()), (Code::Unavailable, "REGISTRY_UNAVAILABLE"));
    }
    let list = wire::ListConnectionsRequest { user: "u".into(), ..Default::default() };
    let status = bed.push.clone().list_connections(list).await.unwrap_err();
    assert_eq!(refusal(&status).1, "REGISTRY_UNAVAILABLE");
    bed.registry.set_unavailable(false);
    assert_eq!(bed.push(users(&["u"])).await.summary.unwrap().offline, 1);
}
