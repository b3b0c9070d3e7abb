//! Session: one stream to one router node, from its opening to its break.

use std::sync::Arc;

use futures_util::stream;
use orrery_host::{Host, Task};
use orrery_proto::registry::Request;
use orrery_proto::registry::registry_client::RegistryClient;
use tokio::time::Instant;
use tonic::transport::Channel;
use tracing::debug;

use crate::outstanding::{NotTaken, Outstanding, Pending};

/// A stream to a node, opening or open. Dropping it breaks it.
pub(crate) struct Session {
    outstanding: Arc<Outstanding>,
    _task: Task,
}

impl Session {
    /// Begins a session; requests may be submitted at once.
    pub(crate) fn start(host: &Host, address: &str, client: RegistryClient<Channel>) -> Self {
        let outstanding = Outstanding::new();
        // Whatever ends the task, a cancel too, nobody is left waiting.
        let guard = CloseOnDrop(outstanding.clone());
        let address = address.to_owned();
        let task = host.tasks.spawn("registry session", async move {
            let why = run(&guard.0, client).await;
            debug!(node = address, why, "registry session ended");
            guard.0.close(why);
        });
        Self { outstanding, _task: task }
    }

    pub(crate) fn submit(&self, request: Request) -> Result<Pending, NotTaken> {
        self.outstanding.submit(request)
    }

    /// When it broke, once it has.
    pub(crate) fn closed_at(&self) -> Option<Instant> {
        self.outstanding.closed_at()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.outstanding.close("the client stopped");
    }
}

struct CloseOnDrop(Arc<Outstanding>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close("the session was stopped");
    }
}

/// Carries requests and answers until the stream breaks; says why it did.
async fn run(outstanding: &Arc<Outstanding>, mut client: RegistryClient<Channel>) -> &'static str {
    // Requests are packed only when the transport asks for the next message, so that they gather
    // exactly while it is busy.
    let requests = stream::unfold(outstanding.clone(), |outstanding| async move {
        let message = outstanding.next_message().await?;
        Some((message, outstanding))
    });
    let mut responses = match client.session(requests).await {
        Ok(responses) => responses.into_inner(),
        Err(status) => {
            debug!(%status, "registry session was not opened");
            return "the node cannot be reached";
        }
    };
    loop {
        match responses.message().await {
            Ok(Some(message)) => outstanding.answer(message.responses),
            Ok(None) => return "the node ended the session",
            Err(status) => {
                debug!(%status, "registry session broke");
                return "the session broke";
            }
        }
    }
}
