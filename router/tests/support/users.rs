//! Users of a cluster under test: bound, written and looked up through the client that logic uses.

use std::time::Duration;

use orrery_model::command::{Bind, Command, Reply};
use orrery_model::{Address, CometRef, Conn, Details, Id, Incarnation, Policy};
use orrery_router_client::{Client, ClientError};
use tokio::time::Instant;

use crate::cluster::PATIENCE;

pub(crate) fn user(number: u64) -> Address {
    Address::user(Id::new(format!("user-{number}")).unwrap())
}

pub(crate) fn comet(incarnation: u64) -> CometRef {
    CometRef { id: Id::new("comet-a").unwrap(), incarnation: Incarnation(incarnation) }
}

pub(crate) fn bind_in(comet: CometRef, number: u64, conn: u64) -> Command {
    Command::Bind(Bind {
        address: user(number),
        comet,
        conn: Conn(conn),
        details: Details::default(),
        policy: Policy::default(),
        settled: Conn(0),
        rank: None,
    })
}

pub(crate) fn bind(number: u64) -> Command {
    bind_in(comet(1), number, number)
}

/// Binds users and says whether all were.
pub(crate) async fn bind_all(client: &Client, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        let reply = write(client, bind(number), PATIENCE).await.unwrap();
        assert!(reply.is_ok(), "user {number}: {reply:?}");
    }
}

pub(crate) async fn write(
    client: &Client,
    command: Command,
    patience: Duration,
) -> Result<Reply, ClientError> {
    client.write(command, Instant::now() + patience).await.map(|written| written.reply)
}

/// How many routes a user has.
pub(crate) async fn routes(
    client: &Client,
    number: u64,
    patience: Duration,
) -> Result<usize, ClientError> {
    let located = client.locate(user(number), false, Instant::now() + patience).await?;
    Ok(located.routes.len())
}

/// Checks that users are where they were bound.
pub(crate) async fn located_all(client: &Client, numbers: impl IntoIterator<Item = u64>) {
    for number in numbers {
        assert_eq!(routes(client, number, PATIENCE).await, Ok(1), "user {number}");
    }
}
