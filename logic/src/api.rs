//! Api: what backends can ask for, whatever way they ask. The gRPC service and its JSON twin are two
//! spellings of this.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use orrery_proto::push as wire;
use tokio::time::Instant;

use crate::config::Config;
use crate::directory::Directory;
use crate::error::ApiError;
use crate::line::Entry;
use crate::push::{Disconnected, PushReceipt, Pushes, check};

/// The calls of the push API. Each takes the time that its caller allows, where it said. Those that enter
/// the queues also take their place among the calls of their connection, where calls run side by side.
pub(crate) struct Api {
    config: Arc<Config>,
    pushes: Arc<Pushes>,
    directory: Directory,
}

impl Api {
    pub(crate) fn new(config: Arc<Config>, pushes: Arc<Pushes>, directory: Directory) -> Self {
        Self { config, pushes, directory }
    }

    pub(crate) async fn push(
        &self,
        request: wire::PushRequest,
        timeout: Option<Duration>,
        entry: Option<Arc<Entry>>,
    ) -> Result<PushReceipt, ApiError> {
        let push = check::push(request)?;
        let timeout = self.turn(entry.as_ref(), timeout).await;
        let pushed = self.pushes.push(push, timeout);
        drop(entry);
        pushed.await
    }

    /// Each item has its own result. Items for one address go in order, others at the same time.
    pub(crate) async fn push_many(
        &self,
        request: wire::PushManyRequest,
        timeout: Option<Duration>,
        entry: Option<Arc<Entry>>,
    ) -> Result<Vec<Result<PushReceipt, ApiError>>, ApiError> {
        check::items(request.items.len())?;
        let check = |(index, item): (usize, wire::PushRequest)| {
            check::push(item).map_err(|error| error.within(&format!("items[{index}]")))
        };
        let checked: Vec<_> = request.items.into_iter().enumerate().map(check).collect();
        let timeout = self.turn(entry.as_ref(), timeout).await;
        let begin = |push: Result<_, _>| push.map(|push| self.pushes.push(push, timeout));
        let begun: Vec<_> = checked.into_iter().map(begin).collect();
        drop(entry);
        let end = |push| async move {
            match push {
                Ok(push) => push.await,
                Err(error) => Err(error),
            }
        };
        Ok(join_all(begun.into_iter().map(end)).await)
    }

    pub(crate) async fn disconnect(
        &self,
        request: wire::DisconnectRequest,
        timeout: Option<Duration>,
        entry: Option<Arc<Entry>>,
    ) -> Result<Disconnected, ApiError> {
        let target = check::disconnect(request)?;
        let timeout = self.turn(entry.as_ref(), timeout).await;
        let disconnected = self.pushes.disconnect(target, timeout);
        drop(entry);
        disconnected.await
    }

    pub(crate) async fn list_connections(
        &self,
        request: wire::ListConnectionsRequest,
        timeout: Option<Duration>,
    ) -> Result<wire::ListConnectionsResponse, ApiError> {
        self.directory.connections(request, self.deadline(timeout)).await
    }

    pub(crate) async fn list_room_members(
        &self,
        request: wire::ListRoomMembersRequest,
        timeout: Option<Duration>,
    ) -> Result<wire::ListRoomMembersResponse, ApiError> {
        self.directory.members(request, self.deadline(timeout)).await
    }

    pub(crate) async fn count_room_members(
        &self,
        request: wire::CountRoomMembersRequest,
        timeout: Option<Duration>,
    ) -> Result<wire::CountRoomMembersResponse, ApiError> {
        self.directory.count(request, self.deadline(timeout)).await
    }

    /// Waits until a call may enter the queues. Returns the time that is left for it.
    async fn turn(&self, entry: Option<&Arc<Entry>>, timeout: Option<Duration>) -> Duration {
        let (begun, timeout) = (Instant::now(), self.config.push_timeout(timeout));
        if let Some(entry) = entry {
            entry.turn(timeout).await;
        }
        timeout.saturating_sub(begun.elapsed())
    }

    fn deadline(&self, timeout: Option<Duration>) -> Instant {
        Instant::now() + self.config.push_timeout(timeout)
    }
}
