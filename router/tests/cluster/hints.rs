//! What a node says of a shard that it does not hold.

use orrery_proto::registry as wire;
use orrery_proto::registry::failure::Reason;

use crate::cluster::Plan;
use crate::session::{Session, reason};
use crate::users::user;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_the_shard_names_who_should_lead_it() {
    let plan = Plan::new(4, 2).with(|plan| {
        plan.placements = vec![(0, vec![1, 2, 3]), (1, vec![2, 3, 4]), (2, vec![3, 4, 1])];
    });
    let cluster = plan.found().await;
    let mut session = Session::open(&cluster, 1).await.unwrap();
    let locate = |number| {
        let locate = wire::Locate { address: Some(user(number).into()), stale_ok: false };
        (number, wire::request::Kind::Locate(locate))
    };
    session.ask(1, 1_500, [locate(1)]).await;
    // Nobody knows of a shard that does not exist.
    session.ask(9, 1_500, [locate(2)]).await;
    for (number, leader) in [(1, 2), (2, 0)] {
        let answer = session.answer(number).await.unwrap();
        assert_eq!(reason(&answer), Some(Reason::NoShard), "{answer:?}");
        let wire::response::Kind::Failure(failure) = answer else { unreachable!() };
        assert_eq!(failure.leader, leader, "{failure:?}");
    }
}
