//! Calls that share a connection and are not waited for enter in the order in which they began.

use std::convert::Infallible;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::join_all;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use orrery_host::Task;
use orrery_logic::limits::LINE_WAIT_MAX;
use orrery_model::{Address, Id};
use orrery_proto::push as wire;
use prost::Message;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;

use crate::support::{Bed, Comet, PATIENCE, eventually, keys, request, route};

type Body = StreamBody<UnboundedReceiverStream<Result<Frame<Bytes>, Infallible>>>;

/// A client that sends the heads of its calls in the order in which they are made, and each body when
/// it is told.
struct Client {
    sender: http2::SendRequest<Body>,
    _driver: Task,
}

/// A call whose body is not complete yet. Its drop ends the body where it is.
struct Upload(mpsc::UnboundedSender<Result<Frame<Bytes>, Infallible>>);

impl Upload {
    fn send(&self, bytes: Bytes) {
        self.0.send(Ok(Frame::data(bytes))).unwrap();
    }
}

impl Client {
    async fn new(bed: &Bed) -> Self {
        let address = bed.logic.grpc_address.to_string();
        let stream = bed.host.net.connect(&address).await.unwrap();
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let driver = bed.host.tasks.spawn("client", async move {
            let _ = connection.await;
        });
        Self { sender, _driver: driver }
    }

    /// Begins a call. The answer is the gRPC status.
    fn begin(&mut self) -> (Upload, impl Future<Output = String> + Send + use<>) {
        let (upload, body) = mpsc::unbounded_channel();
        let request = http::Request::post("http://test/orrery.push.v1.PushService/Push")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(StreamBody::new(UnboundedReceiverStream::new(body)));
        let answer = self.sender.send_request(request.unwrap());
        let status = async {
            let (head, body) = answer.await.expect("an answer").into_parts();
            let trailers = body.collect().await.expect("a whole answer").trailers().cloned();
            let status = head.headers.get("grpc-status").cloned();
            let status = status.or_else(|| trailers?.get("grpc-status").cloned());
            status.expect("a status").to_str().unwrap().to_owned()
        };
        (Upload(upload), status)
    }

    fn push(&mut self, number: usize) -> impl Future<Output = String> + Send + use<> {
        let (upload, status) = self.begin();
        upload.send(message(number));
        status
    }
}

/// A push as it is framed.
fn message(number: usize) -> Bytes {
    let push = wire::PushRequest { body: number.to_string().into(), ..request(keys(&["k"])) }
        .encode_to_vec();
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(push.len() as u32);
    framed.put_slice(&push);
    framed.freeze()
}

async fn bed() -> (Bed, Comet) {
    let comet = Comet::start("a", 1).await;
    let bed = Bed::with(&[&comet], |config| config.push_timeout_ms = 30_000).await;
    bed.registry.bind(Address::key(Id::new("k").unwrap()), vec![route(comet.life(), 1, 10)]);
    (bed, comet)
}

fn numbers(comet: &Comet) -> Vec<usize> {
    comet.bodies().iter().map(|(body, _)| body.parse().unwrap()).collect()
}

async fn in_time<T>(answer: impl Future<Output = T>) -> T {
    timeout(PATIENCE, answer).await.expect("an answer in time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_that_are_not_waited_for_arrive_in_the_order_they_were_issued() {
    let (bed, comet) = bed().await;
    let mut client = Client::new(&bed).await;
    let answers: Vec<_> = (0..500).map(|number| client.push(number)).collect();
    let statuses = in_time(join_all(answers)).await;
    assert!(statuses.iter().all(|status| status == "0"), "{statuses:?}");
    assert_eq!(numbers(&comet), (0..500).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_is_received_after_the_next_one_still_goes_before_it() {
    let (bed, comet) = bed().await;
    let mut client = Client::new(&bed).await;
    // Where this machine itself is slower than the limit, it says nothing, and is tried again.
    for attempt in (0..10).map(|attempt| attempt * 2) {
        let begun = Instant::now();
        let (late, first) = client.begin();
        let mut second = std::pin::pin!(client.push(attempt + 1));
        let overtaken = timeout(Duration::from_millis(100), &mut second).await;
        late.send(message(attempt));
        drop(late);
        assert_eq!(in_time(first).await, "0");
        let took = begun.elapsed();
        if overtaken.is_err() {
            in_time(second).await;
        }
        if took < LINE_WAIT_MAX / 2 {
            assert!(overtaken.is_err(), "it waits for the one before it");
            assert!(numbers(&comet).ends_with(&[attempt, attempt + 1]), "{:?}", numbers(&comet));
            return;
        }
    }
    panic!("this machine is too slow for this test");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_breaks_off_does_not_hold_up_those_behind_it() {
    let (bed, comet) = bed().await;
    let mut client = Client::new(&bed).await;
    let mut fastest = Duration::MAX;
    for number in 0..10 {
        let begun = Instant::now();
        let (broken, first) = client.begin();
        let second = client.push(number);
        // Half a message, and no more.
        broken.send(message(99).slice(..3));
        drop(broken);
        assert_ne!(in_time(first).await, "0");
        assert_eq!(in_time(second).await, "0");
        fastest = fastest.min(begun.elapsed());
    }
    assert!(fastest < LINE_WAIT_MAX / 2, "{fastest:?}");
    assert_eq!(numbers(&comet), (0..10).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_cancelled_does_not_hold_up_those_behind_it() {
    let (bed, comet) = bed().await;
    let mut client = Client::new(&bed).await;
    let mut fastest = Duration::MAX;
    for number in 0..10 {
        let begun = Instant::now();
        let (cancelled, first) = client.begin();
        let second = client.push(number);
        cancelled.send(message(99).slice(..3));
        drop(first);
        eventually("it is reset", || cancelled.0.is_closed()).await;
        assert_eq!(in_time(second).await, "0");
        fastest = fastest.min(begun.elapsed());
    }
    assert!(fastest < LINE_WAIT_MAX / 2, "{fastest:?}");
    assert_eq!(numbers(&comet), (0..10).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_stuck_holds_up_those_behind_it_once_and_for_a_bounded_time() {
    let (bed, comet) = bed().await;
    let mut client = Client::new(&bed).await;
    let begun = Instant::now();
    let (stuck, last) = client.begin();
    let mut fastest = Duration::MAX;
    for number in 0..10 {
        let begun = Instant::now();
        assert_eq!(in_time(client.push(number)).await, "0");
        fastest = fastest.min(begun.elapsed());
        if number == 0 {
            assert!(fastest >= LINE_WAIT_MAX / 2, "{fastest:?}");
        }
    }
    assert!(begun.elapsed() < LINE_WAIT_MAX * 5, "{:?}", begun.elapsed());
    assert!(fastest < LINE_WAIT_MAX / 2, "{fastest:?}");
    stuck.send(message(10));
    drop(stuck);
    assert_eq!(in_time(last).await, "0");
    assert_eq!(numbers(&comet), (0..=10).collect::<Vec<_>>());
}
