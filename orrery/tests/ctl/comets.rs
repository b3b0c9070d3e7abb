//! A comet as a test needs one: it attaches and binds.

use orrery_host::Host;
use orrery_model::command::{Bind, Command, Outcome};
use orrery_model::control::{Advertise, Attach};
use orrery_model::{Address, CometRef, Conn, Details, Id, Policy, Seq};
use orrery_router_client::{Client, Config};
use tokio::time::Instant;

use crate::support::DEADLINE;

pub(crate) fn client(routers: &str) -> Client {
    let nodes = routers.split(',').map(str::to_owned).collect();
    Client::new(Config { nodes, ..Config::default() }, Host::system())
}

pub(crate) fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

pub(crate) async fn attach(client: &Client, attempt: u64) -> CometRef {
    let attach = Attach {
        comet: id("comet-1"),
        instance: "i".to_owned(),
        attempt,
        advertise: Advertise { delivery: "127.0.0.1:9".to_owned(), ..Advertise::default() },
    };
    let attached = client.attach(attach, Instant::now() + DEADLINE).await.unwrap();
    CometRef { id: id("comet-1"), incarnation: attached.incarnation }
}

pub(crate) fn bind_command(comet: &CometRef, user: &str, conn: u64) -> Command {
    Command::Bind(Bind {
        address: Address::user(id(user)),
        comet: comet.clone(),
        conn: Conn(conn),
        details: Details::default(),
        policy: Policy::default(),
        settled: Conn(1),
        rank: None,
    })
}

pub(crate) async fn bind(client: &Client, comet: &CometRef, user: &str, conn: u64) -> Seq {
    let bind = bind_command(comet, user, conn);
    let written = client.write(bind, Instant::now() + DEADLINE).await.unwrap();
    match written.reply.unwrap() {
        Outcome::Bound(bound) => bound.seq,
        other => panic!("not bound: {other:?}"),
    }
}
