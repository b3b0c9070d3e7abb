//! Traces: what a device or a backend began is found again in logic, in the router and in the log.
//!
//! A program of its own: a place in the code that is first come by in a thread where nobody listens may stay
//! silent for the others, so here all threads listen.

// Tests stand outside the system: the real network and threads are theirs to use, and a panic is how
// they fail.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

#[allow(dead_code, reason = "shared with tests that use all of it")]
#[path = "../conformance/bytes.rs"]
mod bytes;
#[allow(dead_code, reason = "shared with tests that use all of it")]
#[path = "../conformance/certificates.rs"]
mod certificates;
#[allow(dead_code, reason = "shared with tests that use all of it")]
#[path = "../conformance/device.rs"]
mod device;
#[allow(dead_code, reason = "shared with tests that use all of it")]
#[path = "../conformance/http.rs"]
mod http;
#[path = "../support/patience.rs"]
mod patience;
#[path = "../support/reply.rs"]
mod reply;
mod spans;
#[allow(dead_code, reason = "shared with tests that use all of it")]
#[path = "../conformance/stack.rs"]
mod stack;
#[allow(dead_code, reason = "shared with tests that use all of it")]
#[path = "../conformance/web.rs"]
mod web;
#[allow(dead_code, reason = "shared with tests that use all of it")]
#[path = "../conformance/wire.rs"]
mod wire;

use orrery_host::{Host, grpc};
use orrery_proto::push::push_service_client::PushServiceClient;
use orrery_proto::push::target::Target as PushTarget;
use orrery_proto::push::{DisconnectRequest, Keys, PushRequest, Target, Users};
use serde_json::{Value, json};

use crate::device::Who;
use crate::patience::{soon, until};
use crate::spans::{Span, Spans};
use crate::stack::{Plan, Stack};
use crate::wire::Transport;

/// A caller's trace, and the header that hands it over.
fn callers(digit: char) -> (String, String) {
    let trace = digit.to_string().repeat(32);
    (trace.clone(), format!("00-{trace}-00f067aa0ba902b7-01"))
}

fn names(spans: &[Span], field: &str) -> Vec<String> {
    spans.iter().map(|span| span.field(field).to_owned()).collect()
}

/// Entries of the log that say they are due to a trace.
fn entries(spans: &Spans, trace: &str) -> Vec<Span> {
    let mut entries = spans.named("entry");
    entries.retain(|entry| entry.field("traces").split(' ').any(|named| named == trace));
    entries
}

/// A push over HTTP with more headers.
async fn push_v1(stack: &Stack, headers: &str, push: &Value) {
    let (mut http, body) = (stack.http().await, push.to_string());
    let answer = http.request_with(headers, "POST", "/v1/push", body.as_bytes()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connect_leads_from_its_comet_to_the_entries_of_its_binds() {
    let (spans, _turn) = Spans::follow().await;
    let stack = Plan::new().start().await;
    let _first = stack.device(Transport::Tcp, &Who::user(71, "k1")).await;
    let _second = stack.device(Transport::Json, &Who::user(72, "k2")).await;

    let traces = names(&spans.named("connect"), "trace");
    assert_eq!(traces.len(), 2);
    assert_ne!(traces[0], traces[1]);
    for trace in &traces {
        assert_eq!(trace.len(), 32, "{traces:?}");
        let asked = names(&spans.of("edge_request", trace), "request");
        assert_eq!(asked, ["authenticate", "write", "write"]);
        // The user's bind, then the key's.
        until("both entries tell where they are", async || {
            let entries = entries(&spans, trace);
            entries.len() == 2 && entries.iter().all(|entry| !entry.field("index").is_empty())
        })
        .await;
        let requests = spans.of("request", trace);
        assert_eq!(requests.len(), 2, "{requests:?}");
        for (request, entry) in requests.iter().zip(entries(&spans, trace)) {
            assert_eq!(request.within, ["requests"]);
            assert_eq!(request.field("shard"), entry.field("shard"));
            assert_eq!(request.field("index"), entry.field("index"));
            entry.field("term").parse::<u64>().expect("an entry is of a term");
        }
    }
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_leads_from_its_callers_trace_to_the_registry_and_the_comets() {
    let (spans, _turn) = Spans::follow().await;
    let stack = Plan::new().start().await;
    let mut device = stack.device(Transport::Json, &Who::user(73, "k3")).await;

    let (by_grpc, header) = callers('a');
    let channel = grpc::channel(Host::system().net, &stack.logic.grpc_address.to_string()).unwrap();
    let mut client = PushServiceClient::new(channel);
    let users = PushTarget::Users(Users { ids: vec!["73".to_owned()] });
    let mut push = tonic::Request::new(PushRequest {
        target: Some(Target { target: Some(users) }),
        op: 1000,
        body: "hello".into(),
        ..PushRequest::default()
    });
    push.metadata_mut().insert("traceparent", header.parse().unwrap());
    client.push(push).await.unwrap();
    assert_eq!(device.json().await["data"], "hello");

    let (by_http, header) = callers('b');
    let push = json!({"target": {"keys": {"ids": ["k3"]}}, "op": 1000, "body": "again"});
    push_v1(&stack, &format!("traceparent: {header}\r\n"), &push).await;
    assert_eq!(device.json().await["data"], "again");

    for (trace, kind) in [(&by_grpc, "users"), (&by_http, "keys")] {
        let pushes = spans.of("push", trace);
        assert_eq!(names(&pushes, "kind"), [kind], "{pushes:?}");
        assert_eq!(pushes[0].field("targets"), "1");
        // The look-up, in the router.
        assert_eq!(spans.of("request", trace).len(), 1);
        until("the look-up tells its index", async || {
            !spans.of("request", trace)[0].field("index").is_empty()
        })
        .await;
        assert!(entries(&spans, trace).is_empty(), "a push writes nothing");
    }
    let below = |name: &str| spans.named(name).iter().filter(|it| it.within == ["push"]).count();
    assert_eq!((below("look_up"), below("delivery")), (2, 2));
    let attempts = spans.named("attempt");
    assert!(attempts.iter().any(|attempt| attempt.within == ["look_up", "push"]), "{attempts:?}");

    let (kick, header) = callers('c');
    let keys = PushTarget::Keys(Keys { ids: vec!["k3".to_owned()] });
    let target = Some(Target { target: Some(keys) });
    let mut disconnect =
        tonic::Request::new(DisconnectRequest { target, ..DisconnectRequest::default() });
    disconnect.metadata_mut().insert("traceparent", header.parse().unwrap());
    client.disconnect(disconnect).await.unwrap();
    assert_eq!((spans.of("disconnect", &kick).len(), spans.of("request", &kick).len()), (1, 1));
    stack.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_without_a_trace_or_with_nonsense_for_one_gets_its_own() {
    let (spans, _turn) = Spans::follow().await;
    let stack = Plan::new().start().await;
    let push = json!({"target": {"users": {"ids": ["nobody-1"]}}, "op": 1, "body": "secret"});
    for headers in ["", "traceparent: nonsense\r\n", "traceparent: 00-0-0-0\r\n"] {
        push_v1(&stack, headers, &push).await;
    }
    let pushes = spans.named("push");
    let mut traces = names(&pushes, "trace");
    traces.sort();
    traces.dedup();
    assert_eq!(traces.len(), 3, "{pushes:?}");
    assert!(traces.iter().all(|trace| trace.len() == 32), "{pushes:?}");
    assert!(!format!("{pushes:?}").contains("secret"));
    stack.stop().await;
}
