//! Exchange: one request and its answer, and the pieces of one that is a stream.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming as Body;
use tokio::time::{Instant, sleep, timeout};

use super::link::{self, Answer, Door, Link, drive, within};
use super::retry::Retry;

/// What came of asking for events.
pub(super) enum Received {
    Answer(Option<Link>, Answer),
    /// More of a stream.
    Stream(Link, Body, Option<Bytes>),
    Ended(Link),
    Failed(String),
}

/// Why something was not said, or nobody knows whether it was.
pub(super) enum Unsaid {
    Answered(Answer),
    Failed(String),
}

/// Asks for something, over a connection that is there or another one. Silence for too long is a failure.
pub(super) async fn fetch(
    door: &Door,
    link: Option<Link>,
    method: &'static str,
    target: &str,
    last_event_id: &str,
    body: String,
    silence_max: Duration,
) -> Received {
    let asked = async {
        let mut link = door.link(link).await?;
        let response = link.ask(door, method, target, last_event_id, body).await?;
        Ok::<_, String>((link, response))
    };
    let (mut link, response) = match within(silence_max, asked).await.flatten() {
        Ok(asked) => asked,
        Err(error) => return Received::Failed(error),
    };
    if link::is_stream(&response) {
        return Received::Stream(link, response.into_body(), None);
    }
    match link.collect(response, silence_max).await {
        Ok(answer) => Received::Answer(answer.keeps.then_some(link), answer),
        Err(error) => Received::Failed(error),
    }
}

/// Reads the next piece of a stream.
pub(super) async fn read(mut link: Link, mut body: Body, silence_max: Duration) -> Received {
    match within(silence_max, drive(&mut link.connection, body.frame())).await {
        Ok(Some(Ok(frame))) => Received::Stream(link, body, frame.into_data().ok()),
        Ok(Some(Err(error))) => Received::Failed(error.to_string()),
        Ok(None) => {
            link.rest();
            Received::Ended(link)
        }
        Err(silence) => Received::Failed(silence),
    }
}

/// Says something. A comet for which it is too much has not carried it out: it is said again, after a pause.
pub(super) async fn send(
    door: &Door,
    mut link: Option<Link>,
    target: &str,
    text: &str,
    limit: Duration,
    mut retry: Option<Retry>,
) -> Result<Link, Unsaid> {
    loop {
        let asked = async {
            let mut link = door.link(link.take()).await?;
            let response = link.ask(door, "POST", target, "", text.to_owned()).await?;
            let answer = link.collect(response, limit).await?;
            Ok::<_, String>((link, answer))
        };
        let asked = timeout(limit, asked).await;
        let asked =
            asked.unwrap_or_else(|_| Err("what was said was not answered in time".to_owned()));
        let (said, answer) = asked.map_err(Unsaid::Failed)?;
        match (answer.status, &mut retry) {
            (204, _) => return Ok(said),
            (429, Some(retry)) => {
                if !retry.failed(Instant::now()) {
                    return Err(Unsaid::Answered(answer));
                }
                link = answer.keeps.then_some(said);
                sleep(retry.pause(answer.retry_after)).await;
            }
            _ => return Err(Unsaid::Answered(answer)),
        }
    }
}
