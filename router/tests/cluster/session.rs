//! Session: what one node alone answers, whoever leads.

use std::collections::BTreeMap;

use orrery_proto::registry as wire;
use orrery_proto::registry::failure::Reason;
use orrery_proto::registry::registry_client::RegistryClient;
use tokio::time::timeout;

use crate::cluster::{Cluster, PATIENCE};

/// A session with one node alone.
pub(crate) struct Session {
    requests: tokio::sync::mpsc::Sender<wire::SessionRequest>,
    answers: tonic::Streaming<wire::SessionResponse>,
    /// Of users by their numbers.
    answered: BTreeMap<u64, wire::response::Kind>,
}

impl Session {
    pub(crate) async fn open(cluster: &Cluster, id: u64) -> Result<Self, String> {
        let mut registry = RegistryClient::new(cluster.channel(id));
        let (requests, queue) = tokio::sync::mpsc::channel(16);
        let queue = futures_util::stream::unfold(queue, |mut queue| async {
            Some((queue.recv().await?, queue))
        });
        let answers = registry.session(queue).await.map_err(|status| status.to_string())?;
        Ok(Self { requests, answers: answers.into_inner(), answered: BTreeMap::new() })
    }

    /// Asks about users in one message.
    pub(crate) async fn ask(
        &self,
        shard: u32,
        timeout_ms: u32,
        kinds: impl IntoIterator<Item = (u64, wire::request::Kind)>,
    ) {
        let request = |(id, kind)| wire::Request {
            id,
            shard,
            epoch: 1,
            timeout_ms,
            kind: Some(kind),
            ..Default::default()
        };
        let requests = kinds.into_iter().map(request).collect();
        self.requests.send(wire::SessionRequest { requests }).await.unwrap();
    }

    /// Waits until there is the answer about a user.
    pub(crate) async fn answer(&mut self, number: u64) -> Result<wire::response::Kind, String> {
        loop {
            if let Some(answer) = self.answered.get(&number) {
                return Ok(answer.clone());
            }
            let message = timeout(PATIENCE, self.answers.message()).await;
            let message = message.map_err(|_| "no answer".to_owned())?;
            let message = message.map_err(|status| status.to_string())?;
            let responses = message.ok_or("the session is over")?.responses;
            self.answered.extend(responses.into_iter().map(|each| (each.id, each.kind.unwrap())));
        }
    }
}

/// Why a request was not answered otherwise.
pub(crate) fn reason(answer: &wire::response::Kind) -> Option<Reason> {
    match answer {
        wire::response::Kind::Failure(failure) => Some(failure.reason()),
        _ => None,
    }
}
