//! Tests of the session to a comet, against comets that do as they are told.

use std::sync::atomic::AtomicUsize;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use orrery_host::{Listener, grpc};
use orrery_proto::common;
use orrery_proto::delivery::delivery_server::{Delivery, DeliveryServer};
use orrery_proto::delivery::{CensusPage, CensusRequest, ToConnections, deliver};
use tokio::sync::Mutex;
use tonic::Streaming;

use super::*;

/// What a comet does with a session: deliveries, and where it answers.
type Script = Box<dyn Fn(Streaming<Deliveries>, Answers) -> BoxFuture<'static, ()> + Send + Sync>;

type Answers = mpsc::Sender<Result<Receipts, tonic::Status>>;

/// A comet that does with each session as it is told.
struct Scripted(Script);

#[tonic::async_trait]
impl Delivery for Scripted {
    type SessionStream = ReceiverStream<Result<Receipts, tonic::Status>>;
    type CensusStream = ReceiverStream<Result<CensusPage, tonic::Status>>;

    async fn session(
        &self,
        request: tonic::Request<Streaming<Deliveries>>,
    ) -> Result<tonic::Response<Self::SessionStream>, tonic::Status> {
        let (answers, stream) = mpsc::channel(16);
        let session = (self.0)(request.into_inner(), answers);
        Host::system().tasks.spawn("scripted comet", session).detach();
        Ok(tonic::Response::new(ReceiverStream::new(stream)))
    }

    async fn census(
        &self,
        _: tonic::Request<CensusRequest>,
    ) -> Result<tonic::Response<Self::CensusStream>, tonic::Status> {
        Err(tonic::Status::unimplemented("nobody asks"))
    }
}

/// A comet that says how many deliveries were in each message, and answers one whenever it is told to.
fn counting(counted: mpsc::UnboundedSender<usize>, told: mpsc::UnboundedReceiver<()>) -> Scripted {
    let told = Arc::new(Mutex::new(told));
    Scripted(Box::new(move |mut deliveries, answers| {
        let (counted, told) = (counted.clone(), told.clone());
        async move {
            while let Ok(Some(batch)) = deliveries.message().await {
                let _ = counted.send(batch.deliveries.len());
                let (answers, told) = (answers.clone(), told.clone());
                let answer = async move {
                    told.lock().await.recv().await;
                    let receipt = |it: &Deliver| Receipt { id: it.id, ..Receipt::default() };
                    let receipts = batch.deliveries.iter().map(receipt).collect();
                    let _ = answers.send(Ok(Receipts { receipts, draining: None })).await;
                };
                Host::system().tasks.spawn("answer", answer).detach();
            }
        }
        .boxed()
    }))
}

/// A comet that says how long each delivery may wait for its answer.
fn timing(timeouts: mpsc::UnboundedSender<u32>) -> Scripted {
    Scripted(Box::new(move |mut deliveries, answers| {
        let timeouts = timeouts.clone();
        async move {
            // The session goes on as long as somebody could answer.
            let _answers = answers;
            while let Ok(Some(batch)) = deliveries.message().await {
                batch.deliveries.iter().for_each(|it| _ = timeouts.send(it.timeout_ms));
            }
        }
        .boxed()
    }))
}

/// What a talking comet does: says whether it takes devices, or nothing of it, or ends the session.
enum Word {
    Says(Option<bool>),
    Ends,
}

/// A comet that does what it is told, on one session after the other, and tells on which something was delivered.
fn talking(
    words: mpsc::UnboundedReceiver<Word>,
    delivered: mpsc::UnboundedSender<usize>,
) -> Scripted {
    let (words, sessions) = (Arc::new(Mutex::new(words)), AtomicUsize::new(0));
    Scripted(Box::new(move |mut deliveries, answers| {
        let (words, delivered) = (words.clone(), delivered.clone());
        let number = sessions.fetch_add(1, Ordering::Relaxed);
        async move {
            loop {
                let word = async { words.lock().await.recv().await };
                tokio::select! {
                    batch = deliveries.message() => match batch {
                        Ok(Some(_)) => _ = delivered.send(number),
                        _ => return,
                    },
                    word = word => match word {
                        Some(Word::Says(draining)) => {
                            let said = Receipts { receipts: Vec::new(), draining };
                            let _ = answers.send(Ok(said)).await;
                        }
                        Some(Word::Ends) | None => return,
                    },
                }
            }
        }
        .boxed()
    }))
}

/// Serves a comet; gives the way to it.
async fn serve(host: &Host, comet: Scripted) -> (Channel, Task) {
    let (listener, channel) = listen(host).await;
    (channel, serve_on(listener, host, comet))
}

/// Where a comet may be served, now or later.
async fn listen(host: &Host) -> (Box<dyn Listener>, Channel) {
    let listener = host.net.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, grpc::channel(host.net.clone(), &address).unwrap())
}

fn serve_on(listener: Box<dyn Listener>, host: &Host, comet: Scripted) -> Task {
    let server = tonic::transport::Server::builder()
        .add_service(DeliveryServer::new(comet))
        .serve_with_incoming(grpc::incoming(listener));
    host.tasks.spawn("server", async move { server.await.unwrap() })
}

#[tokio::test]
async fn what_comes_while_a_message_is_unanswered_shares_the_next_one() {
    let host = Host::system();
    let (counted, mut messages) = mpsc::unbounded_channel();
    let (answer, answers) = mpsc::unbounded_channel();
    let (channel, _server) = serve(&host, counting(counted, answers)).await;
    let (window, metrics) = (Duration::from_secs(2), Metrics::new());
    let session = DeliverySession::gathering(window, "c".into(), channel, metrics, &host);
    let send = || session.send(vec![Deliver::default()]).unwrap().remove(0);

    let mut awaited = vec![send()];
    assert_eq!(messages.recv().await, Some(1), "who was idle is sent to at once");
    let began = Instant::now();
    for _ in 0..5 {
        awaited.push(send());
        // The session's task would send each by itself.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(messages.recv().now_or_never(), None);
    assert_eq!(messages.recv().await, Some(5));
    assert!(began.elapsed() > window / 2);
    let began = Instant::now();
    let urgent = Deliver { timeout_ms: 5, ..Deliver::default() };
    awaited.extend([send(), session.send(vec![urgent]).unwrap().remove(0)]);
    assert_eq!(messages.recv().await, Some(2));
    assert!(began.elapsed() < window / 2, "one of them has no time, and takes the other along");
    answer.send(()).unwrap();
    let began = Instant::now();
    awaited.push(send());
    (0..2).for_each(|_| answer.send(()).unwrap());
    assert_eq!(messages.recv().await, Some(1));
    assert!(began.elapsed() < window / 2, "nothing is unanswered, it has to wait for nothing");
    answer.send(()).unwrap();
    for awaited in awaited {
        awaited.await.unwrap();
    }
}

#[tokio::test]
async fn a_comet_that_takes_no_devices_is_known_to_until_it_says_otherwise_on_a_new_session() {
    let host = Host::system();
    let (say, words) = mpsc::unbounded_channel();
    let (counted, mut delivered) = mpsc::unbounded_channel();
    let (channel, _server) = serve(&host, talking(words, counted)).await;
    let session = DeliverySession::open("c".into(), channel, Metrics::new(), &host);
    let until = async |draining: bool| {
        let said = async {
            while session.is_draining() != draining {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), said).await.expect("it is known");
    };
    // Who says nothing of it on a new session takes devices again.
    for (otherwise, number) in [Some(false), None].into_iter().zip(1..) {
        say.send(Word::Says(Some(true))).ok().unwrap();
        until(true).await;
        say.send(Word::Says(None)).ok().unwrap();
        say.send(Word::Ends).ok().unwrap();
        let next = async {
            loop {
                let _awaited = session.send(vec![Deliver::default()]).unwrap();
                let received = tokio::time::timeout(RECONNECT_FIRST, delivered.recv()).await;
                if received == Ok(Some(number)) {
                    return;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), next).await.expect("a new session");
        assert!(session.is_draining(), "it has said nothing yet");
        say.send(Word::Says(otherwise)).ok().unwrap();
        until(false).await;
    }
    // One of an earlier version says nothing at all.
    say.send(Word::Says(Some(true))).ok().unwrap();
    until(true).await;
    say.send(Word::Ends).ok().unwrap();
    until(false).await;
}

#[tokio::test]
async fn what_waited_for_a_comet_has_so_much_less_time_there() {
    let host = Host::system();
    let (told, mut timeouts) = mpsc::unbounded_channel();
    let (listener, channel) = listen(&host).await;
    let session = DeliverySession::open("c".into(), channel, Metrics::new(), &host);
    let within = |timeout_ms| Deliver { timeout_ms, ..Deliver::default() };
    let _awaited = session.send(vec![within(60_000), within(50), within(0)]).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let _server = serve_on(listener, &host, timing(told));
    let mut timeout = async || {
        let told = tokio::time::timeout(Duration::from_secs(10), timeouts.recv()).await;
        told.expect("it is delivered").unwrap()
    };
    let left = timeout().await;
    assert!((1..=60_000 - 200).contains(&left), "{left}");
    assert_eq!(timeout().await, 1, "none is left, and 0 would have no end");
    assert_eq!(timeout().await, 0);
}

#[tokio::test]
async fn what_waits_for_a_comet_that_hangs_is_bounded_in_bytes() {
    let host = Host::system();
    // It takes connections and never says a word.
    let (_listener, channel) = listen(&host).await;
    let session = DeliverySession::open("c".into(), channel, Metrics::new(), &host);
    let body = bytes::Bytes::from(vec![0; 1 << 20]);
    let delivery = || {
        let message = Some(common::Message { op: 1, body: body.clone() });
        let to = ToConnections { message, targets: Vec::new() };
        Deliver { kind: Some(deliver::Kind::ToConnections(to)), ..Deliver::default() }
    };
    let taken = (0..DELIVERIES_WAITING_MAX).find(|_| session.send(vec![delivery()]).is_err());
    assert_eq!(taken, Some((DELIVERIES_WAITING_BYTES_MAX >> 20) - 1));
    let small = Deliver::default();
    assert!(session.send(vec![small]).is_ok(), "a small one still finds room");
}
