//! Goim: pushes through goim's HTTP paths, of goim itself or of a logic that has them too.

use anyhow::Context;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tokio::time::timeout;

use super::api::Whom;
use crate::edge::client::device::OP;
use crate::edge::limits::{ANSWER_BYTES_MAX, PUSH_TIMEOUT, PUSHES_IN_FLIGHT_MAX};

/// A client of goim's logic, with as many connections as pushes are under way.
#[derive(Clone)]
pub struct Goim {
    client: Client<HttpConnector, Full<Bytes>>,
    /// `host:port`.
    address: String,
}

/// goim's answer to a push.
#[derive(Debug, Deserialize)]
struct Answer {
    code: i64,
    #[serde(default)]
    message: String,
}

impl Goim {
    /// Connects when it first pushes.
    ///
    /// # Errors
    /// When the address is no `host:port`.
    pub fn new(address: &str) -> anyhow::Result<Self> {
        let _: hyper::http::uri::Authority =
            address.parse().with_context(|| format!("{address} is no host and port"))?;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(PUSHES_IN_FLIGHT_MAX)
            .build(connector);
        Ok(Self { client, address: address.to_owned() })
    }

    /// Pushes, and waits until it is taken.
    ///
    /// # Errors
    /// When it is not, in words.
    pub async fn push(&self, whom: &Whom, body: Bytes) -> Result<(), String> {
        let uri = format!("http://{}{}", self.address, path(whom)?);
        let request = Request::builder().method(Method::POST).uri(uri).body(Full::new(body));
        let request = request.map_err(|error| error.to_string())?;
        let exchange = async {
            let answer = self.client.request(request).await.map_err(|error| error.to_string())?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX);
            let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
            judge(status.as_u16(), &body)
        };
        timeout(PUSH_TIMEOUT, exchange).await.map_err(|_| "no answer in time".to_owned())?
    }
}

fn judge(status: u16, body: &[u8]) -> Result<(), String> {
    match serde_json::from_slice(body) {
        Ok(Answer { code: 0, .. }) if status == 200 => Ok(()),
        Ok(Answer { code, message }) => Err(format!("code {code} with status {status}: {message}")),
        Err(_) => Err(format!("status {status} and no answer of goim's")),
    }
}

fn path(whom: &Whom) -> Result<String, String> {
    let text = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    Ok(match whom {
        Whom::User(user) => format!("/goim/push/mids?operation={OP}&mids={user}"),
        Whom::Room(room) => {
            let (kind, name) =
                room.split_once("://").ok_or("goim pushes only to rooms named type://name")?;
            format!("/goim/push/room?operation={OP}&type={}&room={}", text(kind), text(name))
        }
        Whom::Everybody => format!("/goim/push/all?operation={OP}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_goims() {
        let of = |whom| path(&whom).unwrap();
        assert_eq!(of(Whom::User(7)), "/goim/push/mids?operation=1000&mids=7");
        let room = Whom::Room("live://a b&c".to_owned());
        assert_eq!(of(room), "/goim/push/room?operation=1000&type=live&room=a%20b%26c");
        assert_eq!(of(Whom::Everybody), "/goim/push/all?operation=1000");
        assert!(path(&Whom::Room("lobby".to_owned())).is_err());
    }

    #[test]
    fn only_code_0_with_status_200_is_taken() {
        assert_eq!(judge(200, br#"{"code":0,"message":""}"#), Ok(()));
        assert!(judge(200, br#"{"code":-500,"message":"x"}"#).unwrap_err().contains("-500"));
        assert!(judge(400, br#"{"code":-400,"message":"x"}"#).is_err());
        assert!(judge(404, b"404 page not found").unwrap_err().contains("404"));
    }
}
