//! A caller: one session with a node, by the generated client and nothing else.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::stream;
use orrery_host::{Host, Task};
use orrery_model::ShardId;
use orrery_proto::registry as wire;
use orrery_proto::registry::registry_client::RegistryClient;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tonic::transport::Channel;

use crate::node::PATIENCE;

type Unanswered = Arc<Mutex<HashMap<u64, oneshot::Sender<wire::Response>>>>;

pub(crate) struct Caller {
    requests: mpsc::UnboundedSender<wire::SessionRequest>,
    unanswered: Unanswered,
    next_id: AtomicU64,
    _reader: Task,
}

impl Caller {
    pub(crate) async fn open(client: &mut RegistryClient<Channel>, host: &Host) -> Self {
        let (requests, queue) = mpsc::unbounded_channel();
        let queue = stream::unfold(queue, |mut queue| async { Some((queue.recv().await?, queue)) });
        let mut responses = client.session(queue).await.unwrap().into_inner();
        let unanswered = Unanswered::default();
        let waiting = unanswered.clone();
        let reader = host.tasks.spawn("caller", async move {
            while let Ok(Some(message)) = responses.message().await {
                for response in message.responses {
                    let waiting = waiting.lock().remove(&response.id);
                    let waiting = waiting.expect("each request is answered once");
                    let _ = waiting.send(response);
                }
            }
            // Nobody is answered any more.
            waiting.lock().clear();
        });
        Self { requests, unanswered, next_id: AtomicU64::new(1), _reader: reader }
    }

    /// Sends requests in one message; their answers, or none where the session broke.
    pub(crate) fn send_all(
        &self,
        requests: Vec<(ShardId, Option<wire::request::Kind>)>,
    ) -> Vec<oneshot::Receiver<wire::Response>> {
        let mut answers = Vec::new();
        let requests = requests
            .into_iter()
            .map(|(shard, kind)| {
                let id = self.next_id.fetch_add(1, Ordering::Relaxed);
                let (answered, answer) = oneshot::channel();
                self.unanswered.lock().insert(id, answered);
                answers.push(answer);
                wire::Request {
                    id,
                    shard: shard.0,
                    epoch: 1,
                    timeout_ms: 0,
                    kind,
                    ..Default::default()
                }
            })
            .collect();
        if self.requests.send(wire::SessionRequest { requests }).is_err() {
            self.unanswered.lock().clear();
        }
        answers
    }

    /// Waits until the node has ended the session.
    pub(crate) async fn ended(&self) {
        self.requests.closed().await;
    }

    pub(crate) async fn send(
        &self,
        shard: ShardId,
        kind: Option<wire::request::Kind>,
    ) -> wire::Response {
        let answer = self.send_all(vec![(shard, kind)]).remove(0);
        let answer = timeout(PATIENCE, answer).await.expect("each request is answered");
        answer.expect("the session holds")
    }

    pub(crate) async fn ask(
        &self,
        shard: ShardId,
        kind: Option<wire::request::Kind>,
    ) -> wire::response::Kind {
        self.send(shard, kind).await.kind.expect("an answer has a kind")
    }
}
