//! Digests: what this node's replicas hold, each as one number, made away from those who serve.

use std::sync::Arc;

use orrery_host::Tasks;
use orrery_model::ShardId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::blocking::blocking;
use crate::limits::DIGESTS_AT_ONCE_MAX;
use crate::raft::digest::ShardDigest;
use crate::raft::group::Group;

/// Why there are no digests. Asking again may help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DigestError {
    /// The node belongs to no cluster now.
    #[error("{}", crate::cluster::NotMember)]
    NotMember,
    #[error("this node has no replica of shard {0}")]
    NoShard(ShardId),
    /// Others are being made: later.
    #[error("this node is making digests already")]
    Busy,
    #[error("{0}")]
    Failed(String),
}

/// Makes digests for one request at a time. Clones are the same.
#[derive(Clone)]
pub(crate) struct Digests(Arc<Semaphore>);

impl Digests {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(DIGESTS_AT_ONCE_MAX)))
    }

    /// The digests of these shards, or of all where none is named. Each state is captured when its turn
    /// comes, so no more than one is held on to. Ends early when it is dropped.
    ///
    /// # Errors
    /// See [`DigestError`].
    pub(crate) async fn of(
        &self,
        groups: &[Arc<Group>],
        shards: &[ShardId],
        tasks: &Arc<dyn Tasks>,
    ) -> Result<Vec<ShardDigest>, DigestError> {
        let missing = shards.iter().find(|shard| groups.iter().all(|held| held.shard() != **shard));
        if let Some(missing) = missing {
            return Err(DigestError::NoShard(*missing));
        }
        let mut permit = self.0.clone().try_acquire_owned().map_err(|_| DigestError::Busy)?;
        let mut digests = Vec::new();
        let asked = |group: &&Arc<Group>| shards.is_empty() || shards.contains(&group.shard());
        for group in groups.iter().filter(asked) {
            let digest;
            (digest, permit) = one(group, permit, tasks).await?;
            digests.extend(digest);
        }
        Ok(digests)
    }
}

/// The permit goes with the work: whoever asked may be gone before it is done.
async fn one(
    group: &Group,
    permit: OwnedSemaphorePermit,
    tasks: &Arc<dyn Tasks>,
) -> Result<(Option<ShardDigest>, OwnedSemaphorePermit), DigestError> {
    let state = group.replica().undigested();
    let made = blocking(tasks, "digest", move || Ok((state.digest(), permit))).await;
    made.map_err(|error| DigestError::Failed(error.to_string()))
}
