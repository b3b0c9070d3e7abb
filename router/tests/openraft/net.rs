//! Net: calls between cores of one process, some of which do not get through.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, pending};
use std::io;
use std::sync::Arc;

use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::impls::EmptyNode;
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;
use openraft::{AnyError, OptionalSend, RaftNetworkFactory, RaftNetworkV2};
use parking_lot::Mutex;

use crate::types::{Raft, Types, Vote};

/// Who can be called. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Net(Arc<Mutex<Wires>>);

#[derive(Default)]
struct Wires {
    cores: BTreeMap<u64, Raft>,
    cut: BTreeSet<(u64, u64)>,
}

impl Net {
    pub(crate) fn plug(&self, id: u64, core: Raft) {
        self.0.lock().cores.insert(id, core);
    }

    pub(crate) fn unplug(&self, id: u64) {
        self.0.lock().cores.remove(&id);
    }

    /// Nothing passes between two, in either direction, answers included.
    pub(crate) fn cut(&self, one: u64, other: u64) {
        self.0.lock().cut.extend([(one, other), (other, one)]);
    }

    pub(crate) fn heal(&self) {
        self.0.lock().cut.clear();
    }

    pub(crate) fn of(&self, id: u64) -> Caller {
        Caller { from: id, net: self.clone() }
    }
}

/// The net as one node sees it.
pub(crate) struct Caller {
    from: u64,
    net: Net,
}

impl RaftNetworkFactory<Types> for Caller {
    type Network = Connection;

    async fn new_client(&mut self, target: u64, _node: &EmptyNode) -> Connection {
        Connection { from: self.from, to: target, net: self.net.clone() }
    }
}

/// One node's way to another.
pub(crate) struct Connection {
    from: u64,
    to: u64,
    net: Net,
}

impl Connection {
    async fn call<T, E, F>(&self, ask: impl FnOnce(Raft) -> F) -> Result<T, RPCError<Types>>
    where
        E: std::error::Error,
        F: Future<Output = Result<T, E>>,
    {
        let core = self.callee()?;
        let answer = ask(core).await.map_err(|error| unreachable(error.to_string()))?;
        self.callee()?;
        Ok(answer)
    }

    fn callee(&self) -> Result<Raft, RPCError<Types>> {
        let wires = self.net.0.lock();
        let core = wires.cores.get(&self.to).filter(|_| !wires.cut.contains(&(self.from, self.to)));
        core.cloned().ok_or_else(|| unreachable("nobody there".to_owned()))
    }
}

fn unreachable(why: String) -> RPCError<Types> {
    RPCError::Unreachable(Unreachable::new(&AnyError::new(&io::Error::other(why))))
}

impl RaftNetworkV2<Types> for Connection {
    type SnapshotData = ();

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        _option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        self.call(|core| async move { core.append_entries(request).await }).await
    }

    async fn vote(
        &mut self,
        request: VoteRequest<Types>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.call(|core| async move { core.vote(request).await }).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<Types>,
        _option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.call(|core| async move { core.pre_vote(request).await }).await
    }

    async fn full_snapshot(
        &mut self,
        _vote: Vote,
        _snapshot: SnapshotOf<Types, ()>,
        _cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        // No core here has one.
        pending().await
    }
}
