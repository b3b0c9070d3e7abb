//! Goim: goim's HTTP API, as its clients and benchmark programs know it.
//!
//! Answers are goim's, byte for byte where a client can see it. Two of its faults are not kept: a push to
//! keys or mids that names none is refused with the same message, and a negative limit is a bad request.

mod answer;
mod lists;
mod pushing;
mod query;

use std::sync::Arc;

use axum::extract::Request;
use axum::http::Method;
use axum::response::Response;

use crate::comets::Comets;
use crate::config::Config;
use crate::goim::query::Query;
use crate::nodes::Nodes;
use crate::online::Online;
use crate::push::Pushes;

/// goim's HTTP API.
pub(crate) struct Goim {
    pub(crate) config: Arc<Config>,
    pub(crate) pushes: Arc<Pushes>,
    pub(crate) comets: Arc<Comets>,
    pub(crate) online: Online,
    pub(crate) nodes: Nodes,
}

/// One of goim's paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    PushKeys,
    PushMids,
    PushRoom,
    PushAll,
    OnlineTop,
    OnlineRoom,
    OnlineTotal,
    NodesWeighted,
    NodesInstances,
}

impl Endpoint {
    fn of(method: &Method, path: &str) -> Option<Self> {
        match (method.as_str(), path) {
            ("POST", "/goim/push/keys") => Some(Self::PushKeys),
            ("POST", "/goim/push/mids") => Some(Self::PushMids),
            ("POST", "/goim/push/room") => Some(Self::PushRoom),
            ("POST", "/goim/push/all") => Some(Self::PushAll),
            ("GET", "/goim/online/top") => Some(Self::OnlineTop),
            ("GET", "/goim/online/room") => Some(Self::OnlineRoom),
            ("GET", "/goim/online/total") => Some(Self::OnlineTotal),
            ("GET", "/goim/nodes/weighted") => Some(Self::NodesWeighted),
            ("GET", "/goim/nodes/instances") => Some(Self::NodesInstances),
            _ => None,
        }
    }
}

impl Goim {
    /// Answers a request to any path; what goim does not have is not found.
    pub(crate) async fn answer(&self, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let Some(endpoint) = Endpoint::of(&head.method, path) else {
            let shorter = path.strip_suffix('/').unwrap_or(path);
            return match Endpoint::of(&head.method, shorter) {
                Some(_) => answer::moved(&head.method, shorter, head.uri.query()),
                None => answer::not_found(),
            };
        };
        let query = Query::parse(head.uri.query().unwrap_or_default());
        let answered = match endpoint {
            Endpoint::PushKeys => self.push_keys(&query, body).await,
            Endpoint::PushMids => self.push_mids(&query, body).await,
            Endpoint::PushRoom => self.push_room(&query, body).await,
            Endpoint::PushAll => self.push_all(&query, body).await,
            Endpoint::OnlineTop => self.online_top(&query),
            Endpoint::OnlineRoom => self.online_room(&query),
            Endpoint::OnlineTotal => Ok(self.online_total()),
            Endpoint::NodesWeighted => Ok(self.nodes_weighted(&query)),
            Endpoint::NodesInstances => Ok(self.nodes_instances()),
        };
        answered.unwrap_or_else(answer::Refusal::into_response)
    }
}

/// Takes a text for the query of each of the paths, for fuzz targets.
pub(crate) fn read_as_each(text: &str) {
    let query = Query::parse(text);
    for name in ["operation", "keys", "mids", "type", "room", "rooms", "limit", "speed", "platform"]
    {
        let texts = query.texts(name);
        assert_eq!(query.text(name), texts.first().copied().unwrap_or_default());
        let _ = (query.int32(name), query.int64(name), query.int64s(name));
    }
}
