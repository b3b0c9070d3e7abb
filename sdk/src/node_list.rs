//! Node list: the comets that a device may connect to, best first.

use std::time::Duration;

use serde::Deserialize;

use crate::backoff::Pacing;
use crate::options::Transport;

/// Comets for one transport, best first. A device stays with one while it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeList {
    addresses: Vec<String>,
    at: usize,
}

/// Why a list is none.
#[derive(Debug, thiserror::Error)]
pub enum NodeListError {
    /// It names no comet. May be asked again: one may come.
    #[error("no comet is named")]
    Empty,
    /// The answer is not goim's. Asking again cannot help.
    #[error("unreadable node list: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// The logic refused. May be asked again.
    #[error("refused with code {code}: {message}")]
    Refused {
        /// goim's code.
        code: i64,
        /// For people.
        message: String,
    },
    /// The answer has no port for this transport. Asking again cannot help.
    #[error("the answer names no port for {transport:?}{}", if *tls { " over TLS" } else { "" })]
    NoPort {
        /// What was to be spoken.
        transport: Transport,
        /// Whether within TLS.
        tls: bool,
    },
}

/// What goim's `/goim/nodes/weighted` advises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advice {
    /// Where to connect.
    pub nodes: NodeList,
    /// How often to give a sign of life; none where the answer does not say.
    pub heartbeat: Option<Duration>,
    /// How to pace reconnects; none where the answer does not say.
    pub pacing: Option<Pacing>,
}

impl NodeList {
    /// A list of `host:port`.
    ///
    /// # Errors
    /// [`NodeListError::Empty`].
    pub fn new<T: Into<String>>(
        addresses: impl IntoIterator<Item = T>,
    ) -> Result<Self, NodeListError> {
        let addresses: Vec<String> = addresses.into_iter().map(Into::into).collect();
        if addresses.is_empty() {
            return Err(NodeListError::Empty);
        }
        Ok(Self { addresses, at: 0 })
    }

    /// The same list, beginning with its nth comet (counted around): where everybody has the same list,
    /// not everybody should begin with the same.
    #[must_use]
    pub fn beginning_with(mut self, nth: usize) -> Self {
        self.at = nth % self.addresses.len();
        self
    }

    /// Where to connect now.
    pub fn current(&self) -> &str {
        &self.addresses[self.at]
    }

    /// Goes on to the next one: the current one did not answer, or goes away.
    pub fn advance(&mut self) {
        self.at = (self.at + 1) % self.addresses.len();
    }

    /// Goes on to another one of those that a comet named which goes away: the first of them that is in the list, else
    /// the nth of the others in the list (counted around), which is to be drawn: where everybody has the same list, not
    /// everybody should go to the same. One without a port is meant with that of the current one.
    pub fn advance_to(&mut self, named: &[String], nth: usize) {
        let port = self.current().rsplit_once(':').map_or("", |(_, port)| port).to_owned();
        let find = |node: &String| {
            let with_port = if has_port(node) { node.clone() } else { join(node, &port) };
            let at = self.addresses.iter().position(|address| *address == with_port)?;
            (at != self.at).then_some(at)
        };
        match named.iter().find_map(find) {
            Some(at) => self.at = at,
            None => {
                let len = self.addresses.len();
                self.at = (self.at + 1 + nth % (len - 1).max(1)) % len;
            }
        }
    }

    /// All of them.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }
}

impl Advice {
    /// Reads the answer of `/goim/nodes/weighted`. A node without a port gets the answer's own for the
    /// transport, and with `tls` that for the transport within TLS, as [`TlsNet`](crate::TlsNet) needs it: goim names
    /// one for WebSocket (`wss_port`) and none for TCP. Whether the port that a node brings is for TLS nobody says.
    ///
    /// # Errors
    /// [`NodeListError`].
    pub fn parse(answer: &[u8], transport: Transport, tls: bool) -> Result<Self, NodeListError> {
        let Answer { code, message, data } = serde_json::from_slice(answer)?;
        let data = match (code, data) {
            (0, Some(data)) => data,
            (0, None) => return Err(NodeListError::Empty),
            _ => return Err(NodeListError::Refused { code, message }),
        };
        let port = match (transport, tls) {
            (Transport::Tcp, false) => data.tcp_port,
            (Transport::Tcp, true) => 0,
            (_, false) => data.ws_port,
            (_, true) => data.wss_port,
        };
        let address = |node: String| match (has_port(&node), port) {
            (true, _) => Ok(node),
            (false, 0) => Err(NodeListError::NoPort { transport, tls }),
            (false, port) => Ok(join(&node, &port.to_string())),
        };
        let addresses = data.nodes.into_iter().map(address).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            nodes: NodeList::new(addresses)?,
            heartbeat: (data.heartbeat > 0).then(|| Duration::from_secs(data.heartbeat)),
            pacing: data.backoff.map(|backoff| Pacing {
                base: Duration::from_secs(backoff.base_delay),
                cap: Duration::from_secs(backoff.max_delay),
            }),
        })
    }
}

/// The answer's own words. goim leaves out what is zero.
#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
    data: Option<Data>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Data {
    tcp_port: u16,
    ws_port: u16,
    wss_port: u16,
    heartbeat: u64,
    nodes: Vec<String>,
    backoff: Option<Delays>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Delays {
    max_delay: u64,
    base_delay: u64,
}

/// Whether a node comes with its own port. An IPv6 address without brackets has none.
fn has_port(node: &str) -> bool {
    match node.rsplit_once(':') {
        Some((host, port)) => {
            (!host.contains(':') || host.ends_with(']')) && port.parse::<u16>().is_ok()
        }
        None => false,
    }
}

fn join(node: &str, port: &str) -> String {
    match node.contains(':') && !node.starts_with('[') {
        true => format!("[{node}]:{port}"),
        false => format!("{node}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As seen from goim.
    const SEEN: &str = r#"{"code":0,"message":"","data":{"domain":"conn.goim.io","tcp_port":3101,
        "ws_port":3102,"wss_port":3103,"heartbeat":240,"nodes":["127.0.0.1","10.0.0.2"],
        "backoff":{"max_delay":300,"base_delay":3,"factor":1.8,"jitter":0.3},"heartbeat_max":2}}"#;

    #[test]
    fn goims_answer_gives_addresses_for_the_transport_and_its_pacing() {
        let advice = Advice::parse(SEEN.as_bytes(), Transport::Tcp, false).unwrap();
        assert_eq!(advice.nodes.addresses(), ["127.0.0.1:3101", "10.0.0.2:3101"]);
        assert_eq!(advice.heartbeat, Some(Duration::from_secs(240)));
        let pacing = Pacing { base: Duration::from_secs(3), cap: Duration::from_secs(300) };
        assert_eq!(advice.pacing, Some(pacing));
        for transport in [Transport::WebSocket, Transport::Json] {
            let advice = Advice::parse(SEEN.as_bytes(), transport, false).unwrap();
            assert_eq!(advice.nodes.current(), "127.0.0.1:3102");
        }
    }

    #[test]
    fn within_tls_there_is_a_port_for_websocket_and_none_for_tcp() {
        for transport in [Transport::WebSocket, Transport::Json] {
            let advice = Advice::parse(SEEN.as_bytes(), transport, true).unwrap();
            assert_eq!(advice.nodes.addresses(), ["127.0.0.1:3103", "10.0.0.2:3103"]);
        }
        let plain = SEEN.replace("wss_port", "other_port");
        for (text, transport, told) in [
            (SEEN, Transport::Tcp, "the answer names no port for Tcp over TLS"),
            (&plain, Transport::Json, "the answer names no port for Json over TLS"),
        ] {
            let refused = Advice::parse(text.as_bytes(), transport, true).unwrap_err();
            assert_eq!(refused.to_string(), told);
        }
        let own = r#"{"data":{"ws_port":3102,"wss_port":3103,"nodes":["h:443","h"]}}"#;
        let advice = Advice::parse(own.as_bytes(), Transport::Json, true).unwrap();
        assert_eq!(advice.nodes.addresses(), ["h:443", "h:3103"]);
    }

    #[test]
    fn what_goim_leaves_out_is_not_made_up() {
        let text = r#"{"code":0,"message":"","data":{"domain":"a","ws_port":3102,"nodes":["a"]}}"#;
        let advice = Advice::parse(text.as_bytes(), Transport::Json, false).unwrap();
        assert_eq!((advice.heartbeat, advice.pacing), (None, None));
        let refused = Advice::parse(text.as_bytes(), Transport::Tcp, false).unwrap_err();
        assert_eq!(refused.to_string(), "the answer names no port for Tcp");
    }

    #[test]
    fn an_answer_that_is_no_list_says_why() {
        let parse = |text: &str| Advice::parse(text.as_bytes(), Transport::Tcp, false);
        let refused = parse(r#"{"code":-500,"message":"no"}"#);
        assert!(matches!(refused, Err(NodeListError::Refused { code: -500, .. })), "{refused:?}");
        for text in [r#"{"code":0,"message":""}"#, r#"{"code":0,"data":{"tcp_port":1,"nodes":[]}}"#]
        {
            assert!(matches!(parse(text), Err(NodeListError::Empty)), "{text}");
        }
        assert!(matches!(parse("404 page not found"), Err(NodeListError::Unreadable(_))));
    }

    #[test]
    fn ports_of_their_own_are_kept_and_addresses_of_either_kind_get_one() {
        let text =
            r#"{"code":0,"data":{"tcp_port":9,"nodes":["h:1","h","::1","[::1]:7","1.2.3.4:5"]}}"#;
        let advice = Advice::parse(text.as_bytes(), Transport::Tcp, false).unwrap();
        assert_eq!(advice.nodes.addresses(), ["h:1", "h:9", "[::1]:9", "[::1]:7", "1.2.3.4:5"]);
    }

    #[test]
    fn whoever_is_sent_away_goes_to_a_named_one_that_it_knows_and_never_back() {
        let list = NodeList::new(["a:1", "b:1", "c:1", "[::1]:1"]).unwrap();
        for (named, nth, then) in [
            (&["x:1", "c", "b:1"][..], 0, "c:1"),
            (&["a", "c:1"], 7, "c:1"),
            (&["::1"], 1, "[::1]:1"),
            (&["c:2"], 0, "b:1"),
            (&["a:1"], 1, "c:1"),
            (&[], 2, "[::1]:1"),
            (&[], 3, "b:1"),
        ] {
            let mut list = list.clone();
            let named: Vec<_> = named.iter().map(|&node| node.to_owned()).collect();
            list.advance_to(&named, nth);
            assert_eq!(list.current(), then, "{named:?}, {nth}");
        }
        let mut only = NodeList::new(["a:1"]).unwrap();
        only.advance_to(&[], 3);
        assert_eq!(only.current(), "a:1");
    }

    #[test]
    fn a_list_is_gone_through_in_turn_from_anywhere() {
        let mut list = NodeList::new(["a:1", "b:1", "c:1"]).unwrap().beginning_with(4);
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(list.current().to_owned());
            list.advance();
        }
        assert_eq!(seen, ["b:1", "c:1", "a:1", "b:1"]);
        assert!(matches!(NodeList::new(Vec::<String>::new()), Err(NodeListError::Empty)));
    }
}
