//! Pushes to one address go in order, each against a look-up that began after it arrived, and nobody
//! waits for what has nothing to do with them.

use std::time::Duration;

use futures_util::future::join_all;
use orrery_host::Task;
use orrery_model::{Address, Id};
use orrery_proto::delivery;
use orrery_proto::push::{self as wire, Outcome};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::{Bed, Comet, PATIENCE, eventually, keys, outcomes, request, route, users};

fn user(id: &str) -> Address {
    Address::user(Id::new(id).unwrap())
}

fn key(id: &str) -> Address {
    Address::key(Id::new(id).unwrap())
}

fn numbered(target: wire::target::Target, number: usize) -> wire::PushRequest {
    wire::PushRequest { body: number.to_string().into(), ..request(target) }
}

fn bodies(comet: &Comet) -> Vec<String> {
    comet.bodies().into_iter().map(|(body, _)| body).collect()
}

#[tokio::test]
async fn two_thousand_pushes_to_one_key_arrive_in_the_order_they_were_issued() {
    let comet = Comet::start("a", 1).await;
    let bed = Bed::with(&[&comet], |config| config.push_timeout_ms = 30_000).await;
    bed.registry.bind(key("k"), vec![route(comet.life(), 1, 10)]);
    let (answered, mut answers) = mpsc::channel(2000);
    // A task for each, so that each has been sent before the next is.
    let push = |number| {
        let (mut client, answered) = (bed.push.clone(), answered.clone());
        bed.host.tasks.spawn("push", async move {
            let answer = client.push(numbered(keys(&["k"]), number)).await;
            answered.try_send(answer.unwrap().into_inner()).unwrap();
        })
    };
    let _pushes: Vec<Task> = (0..2000).map(push).collect();
    for _ in 0..2000 {
        let response = timeout(PATIENCE, answers.recv()).await.expect("an answer in time").unwrap();
        assert_eq!(outcomes(&response), [("k", 10, Outcome::Queued, "")]);
    }
    let expected: Vec<String> = (0..2000).map(|n| n.to_string()).collect();
    assert_eq!(bodies(&comet), expected);
    // Those that wait together share a look-up.
    assert!(bed.registry.look_ups(&key("k")) < 1000, "{}", bed.registry.look_ups(&key("k")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_items_of_one_call_keep_their_order_at_each_address() {
    let comet = Comet::start("a", 1).await;
    let bed = Bed::with(&[&comet], |config| config.push_timeout_ms = 30_000).await;
    for n in 0..10 {
        bed.registry.bind(user(&n.to_string()), vec![route(comet.life(), n, 10)]);
    }
    // Each item goes to two of ten users.
    let targets = |n: usize| [(n % 10).to_string(), ((n * 7 + 3) % 10).to_string()];
    let item = |n: usize| {
        let [a, b] = targets(n);
        numbered(users(&[&a, &b]), n)
    };
    let items = (0..1000).map(item).collect();
    let many = wire::PushManyRequest { items };
    let results = bed.push.clone().push_many(many).await.unwrap().into_inner().results;
    assert_eq!(results.len(), 1000);
    assert!(results.iter().all(|result| result.status.is_none()));
    let arrived = comet.bodies();
    for conn in 0..10 {
        let at_conn = arrived.iter().filter(|(_, c)| *c == conn);
        let at_conn: Vec<usize> = at_conn.map(|(body, _)| body.parse().unwrap()).collect();
        assert!(at_conn.is_sorted(), "conn {conn}: {at_conn:?}");
        let meant = (0..1000).flat_map(targets).filter(|id| *id == conn.to_string()).count();
        assert_eq!(at_conn.len(), meant);
    }
}

#[tokio::test]
async fn the_retry_of_a_push_goes_before_the_pushes_behind_it() {
    let comet = Comet::start("a", 1).await;
    let bed = Bed::new(&[&comet]).await;
    bed.registry.bind(key("k"), vec![route(comet.life(), 1, 10)]);
    comet.answer_next(1, delivery::Outcome::NotHere);
    bed.registry.hold(key("k"));
    let push = |number| {
        let mut client = bed.push.clone();
        async move { client.push(numbered(keys(&["k"]), number)).await.unwrap().into_inner() }
    };
    let first = push(0);
    let rest = async {
        eventually("the first is looked up", || bed.registry.look_ups(&key("k")) == 1).await;
        let rest = join_all((1..20).map(push));
        let release = async {
            let arrived = || bed.metric("orrery_logic_pushes_in_flight") == 20;
            eventually("all have arrived", arrived).await;
            bed.registry.release(&key("k"));
        };
        tokio::join!(rest, release).0
    };
    let (first, _) = tokio::join!(first, rest);
    assert_eq!(outcomes(&first), [("k", 10, Outcome::Queued, "")]);
    let mut expected = vec!["0".to_owned()];
    expected.extend((0..20).map(|n| n.to_string()));
    assert_eq!(bodies(&comet), expected);
}

#[tokio::test]
async fn a_retry_that_comes_after_its_turn_is_not_sent() {
    let (silent, well) = (Comet::start("a", 1).await, Comet::start("b", 2).await);
    silent.set_silent(true);
    let bed = Bed::new(&[&silent, &well]).await;
    bed.registry.bind(user("u"), vec![route(silent.life(), 1, 10), route(well.life(), 1, 11)]);
    well.answer_next(1, delivery::Outcome::NotHere);
    bed.registry.hold_once(user("u"), 2);
    let push = |number| {
        let mut client = bed.push.clone();
        async move { client.push(numbered(users(&["u"]), number)).await.unwrap().into_inner() }
    };
    let second = async {
        eventually("the first is looked up again", || bed.registry.look_ups(&user("u")) == 2).await;
        let release = async {
            eventually("the second arrives", || bodies(&well) == ["1", "2"]).await;
            bed.registry.release(&user("u"));
        };
        tokio::join!(push(2), release).0
    };
    let (first, _) = tokio::join!(push(1), second);
    let expected = [("u", 10, Outcome::Unknown, ""), ("u", 11, Outcome::Gone, "")];
    assert_eq!(outcomes(&first), expected);
    assert_eq!(bodies(&well), ["1", "2"]);
}

#[tokio::test]
async fn a_push_never_uses_a_look_up_that_began_before_it_arrived() {
    let comet = Comet::start("a", 1).await;
    let bed = Bed::new(&[&comet]).await;
    bed.registry.hold(key("k"));
    let push = |number| {
        let mut client = bed.push.clone();
        async move { client.push(numbered(keys(&["k"]), number)).await.unwrap().into_inner() }
    };
    let first = push(1);
    let second = async {
        eventually("the first is looked up", || bed.registry.look_ups(&key("k")) == 1).await;
        // The device connects now; what is under way does not know it.
        bed.registry.bind(key("k"), vec![route(comet.life(), 1, 10)]);
        let second = push(2);
        let release = async {
            let arrived = || bed.metric("orrery_logic_pushes_in_flight") == 2;
            eventually("the second arrived", arrived).await;
            bed.registry.release(&key("k"));
        };
        tokio::join!(second, release).0
    };
    let (first, second) = tokio::join!(first, second);
    assert!(first.addresses[0].offline);
    assert_eq!(outcomes(&second), [("k", 10, Outcome::Queued, "")]);
    assert_eq!(bed.registry.look_ups(&key("k")), 2);
}

#[tokio::test]
async fn a_look_up_that_takes_long_is_begun_anew_with_what_came_meanwhile() {
    let comet = Comet::start("a", 1).await;
    let bed = Bed::with(&[&comet], |config| config.push_timeout_ms = 20_000).await;
    bed.registry.bind(key("k"), vec![route(comet.life(), 1, 10)]);
    bed.registry.hold(key("k"));
    let push = |number, timeout: u64| {
        let mut client = bed.push.clone();
        let mut call = tonic::Request::new(numbered(keys(&["k"]), number));
        call.set_timeout(Duration::from_millis(timeout));
        async move { client.push(call).await }
    };
    let impatient = push(0, 600);
    let patient = join_all((1..5).map(|number| push(number, 15_000)));
    let release = async {
        eventually("a second look-up", || bed.registry.look_ups(&key("k")) >= 2).await;
        bed.registry.release(&key("k"));
    };
    let (impatient, patient, ()) = tokio::join!(impatient, patient, release);
    // Its time was over before anything was known: not sent, and said so.
    let status = impatient.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.get_error_details().error_info().unwrap().reason, "REGISTRY_UNAVAILABLE");
    for response in patient {
        assert_eq!(response.unwrap().into_inner().summary.unwrap().queued, 1);
    }
    assert_eq!(bodies(&comet), ["1", "2", "3", "4"]);
}

#[tokio::test]
async fn a_silent_comet_delays_the_next_push_to_its_user_a_little_and_no_other() {
    let (silent, well) = (Comet::start("a", 1).await, Comet::start("b", 2).await);
    silent.set_silent(true);
    let bed = Bed::with(&[&silent, &well], |config| config.push_timeout_ms = 10_000).await;
    bed.registry.bind(user("u"), vec![route(silent.life(), 1, 10), route(well.life(), 1, 11)]);
    bed.registry.bind(user("v"), vec![route(well.life(), 2, 12)]);
    let push = |id: &'static str, number| {
        let mut client = bed.push.clone();
        async move { client.push(numbered(users(&[id]), number)).await.unwrap().into_inner() }
    };
    let begun = Instant::now();
    let first = push("u", 1);
    let watch = async {
        eventually("the first arrives", || bodies(&well) == ["1"]).await;
        assert_eq!(outcomes(&push("v", 3).await), [("v", 12, Outcome::Queued, "")]);
        assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
        let second = push("u", 2);
        let arrives = eventually("the second arrives", || bodies(&well) == ["1", "3", "2"]);
        tokio::select! {
            () = arrives => {}
            _ = second => panic!("a silent comet never answers"),
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    };
    // The receipts of the two need not be waited for.
    tokio::select! {
        () = watch => {}
        _ = first => panic!("a silent comet never answers"),
    }
}

#[tokio::test]
async fn one_address_that_cannot_be_looked_up_does_not_hold_up_the_others_of_a_push() {
    let comet = Comet::start("a", 1).await;
    let bed = Bed::with(&[&comet], |config| config.push_timeout_ms = 3_000).await;
    bed.registry.bind(user("u"), vec![route(comet.life(), 1, 10)]);
    bed.registry.bind(user("v"), vec![route(comet.life(), 2, 11)]);
    bed.registry.hold(user("u"));
    let begun = Instant::now();
    let mut client = bed.push.clone();
    let push = client.push(request(users(&["u", "v"])));
    let watch = async {
        eventually("the other is delivered", || comet.bodies().len() == 1).await;
        begun.elapsed()
    };
    let (pushed, took) = tokio::join!(push, watch);
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert_eq!(pushed.unwrap_err().code(), Code::Unavailable);
    assert_eq!(comet.bodies(), [("hello".to_owned(), 2)]);
}
