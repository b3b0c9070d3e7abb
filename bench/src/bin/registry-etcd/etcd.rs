//! Etcd: a registry of routes on etcd, as one would build it.

use std::sync::Arc;

use anyhow::{Context, ensure};
use orrery_bench::limits::CALL_TIMEOUT;
use orrery_bench::target::{Failure, Target};
use orrery_host::Host;
use tokio::time::timeout;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use crate::connections::Way;

/// Generated from `proto/etcd.proto`.
#[allow(missing_docs, unreachable_pub, dead_code, rust_2018_idioms, clippy::all)]
mod wire {
    tonic::include_proto!("etcdserverpb");
}

use wire::compare::{CompareResult, CompareTarget, TargetUnion};
use wire::kv_client::KvClient;
use wire::lease_client::LeaseClient;
use wire::maintenance_client::MaintenanceClient;
use wire::request_op::Request as Op;

/// How long the comet's lease lasts: longer than any benchmark, so that keeping it alive costs nothing.
/// Nobody ends it: to remove a hundred thousand keys at once stops etcd for minutes, which is not what
/// is measured here.
const LEASE_S: i64 = 3600;

/// What the runs of a benchmark share: the members, the comet's lease, the names of routes.
pub(crate) struct Session {
    endpoints: Vec<String>,
    leader: usize,
    version: String,
    /// 0 where routes have no lease.
    lease: i64,
    /// Before each key, so that runs do not meet.
    run: String,
}

impl Session {
    /// Finds the leader and takes a lease.
    ///
    /// # Errors
    /// When a member does not answer or does not know the leader.
    pub(crate) async fn open(endpoints: &[String], with_lease: bool) -> anyhow::Result<Self> {
        let mut found = None;
        for (index, endpoint) in endpoints.iter().enumerate() {
            let mut client = MaintenanceClient::new(channel(endpoint)?);
            let status = client.status(wire::StatusRequest {}).await;
            let status = status.with_context(|| format!("ask {endpoint}"))?.into_inner();
            let header = status.header.unwrap_or_default();
            if header.member_id == status.leader {
                found = Some((index, status.version));
            }
        }
        let (leader, version) = found.context("no member is the leader: name all of them")?;
        let endpoints = endpoints.to_vec();
        let lease = if with_lease { grant(&endpoints[leader]).await? } else { 0 };
        let run = Host::system().random.uuid()[..8].to_owned();
        Ok(Self { endpoints, leader, version, lease, run })
    }

    /// What the leader says it is.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    fn key(&self, n: u64) -> Vec<u8> {
        format!("route/user/bench-{}-{n}", self.run).into_bytes()
    }

    /// What the other side's bind carries too: comet, incarnation, conn, platform.
    fn value(&self, n: u64) -> Vec<u8> {
        format!("bench-{} 1 {} android", self.run, n + 1).into_bytes()
    }
}

async fn grant(endpoint: &str) -> anyhow::Result<i64> {
    let mut client = LeaseClient::new(channel(endpoint)?);
    let request = wire::LeaseGrantRequest { ttl: LEASE_S, id: 0 };
    let granted = client.lease_grant(request).await.context("take a lease")?.into_inner();
    ensure!(granted.error.is_empty(), "no lease: {}", granted.error);
    Ok(granted.id)
}

fn channel(endpoint: &str) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{endpoint}"))?;
    Ok(endpoint.tcp_nodelay(true).connect_lazy())
}

/// Etcd, spoken to in one way.
pub(crate) struct Etcd {
    session: Arc<Session>,
    clients: Vec<KvClient<Channel>>,
}

impl Etcd {
    /// Connects when it is first spoken to.
    ///
    /// # Errors
    /// When an address is none.
    pub(crate) fn new(session: Arc<Session>, way: Way) -> anyhow::Result<Self> {
        let members = way.members(session.endpoints.len(), session.leader);
        let client = |member: usize| Ok(KvClient::new(channel(&session.endpoints[member])?));
        let clients = members.into_iter().map(client).collect::<anyhow::Result<_>>()?;
        Ok(Self { session, clients })
    }

    fn client(&self, caller: usize) -> KvClient<Channel> {
        self.clients[caller % self.clients.len()].clone()
    }
}

impl Target for Etcd {
    async fn write(&self, caller: usize, n: u64) -> Result<(), Failure> {
        let bind = bind(self.session.key(n), self.session.value(n), self.session.lease);
        let mut client = self.client(caller);
        let answer = in_time(client.txn(bind)).await?;
        let revision = answer.header.as_ref().map_or(0, |header| header.revision);
        match answer.succeeded && revision > 0 {
            true => Ok(()),
            false => Err(Failure::new("odd", format!("user {n} is bound already"))),
        }
    }

    async fn read(&self, caller: usize, n: u64) -> Result<(), Failure> {
        let mut client = self.client(caller);
        let answer = in_time(client.range(look_up(self.session.key(n)))).await?;
        match answer.kvs.as_slice() {
            [found] if found.create_revision > 0 => Ok(()),
            found => Err(Failure::new("odd", format!("user {n} has {} routes", found.len()))),
        }
    }
}

/// Puts a route where there is none, or tells of the one that is there.
fn bind(key: Vec<u8>, value: Vec<u8>, lease: i64) -> wire::TxnRequest {
    let absent = wire::Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Create.into(),
        key: key.clone().into(),
        target_union: Some(TargetUnion::CreateRevision(0)),
    };
    let put = wire::PutRequest { key: key.clone().into(), value: value.into(), lease };
    let op = |request| wire::RequestOp { request: Some(request) };
    wire::TxnRequest {
        compare: vec![absent],
        success: vec![op(Op::RequestPut(put))],
        failure: vec![op(Op::RequestRange(look_up(key)))],
    }
}

/// Linearizable.
fn look_up(key: Vec<u8>) -> wire::RangeRequest {
    wire::RangeRequest { key: key.into(), limit: 0, serializable: false }
}

async fn in_time<T>(
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Failure> {
    match timeout(CALL_TIMEOUT, call).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(Failure::new(kind(&status), status.message())),
        Err(_) => Err(Failure::new("unknown", "no answer in time")),
    }
}

/// The same words as for Orrery's client where they mean the same.
fn kind(status: &Status) -> &'static str {
    match status.code() {
        tonic::Code::Unavailable => "unavailable",
        tonic::Code::ResourceExhausted => "overloaded",
        tonic::Code::InvalidArgument | tonic::Code::NotFound => "refused",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn a_bind_is_encoded_as_etcd_expects_it() {
        // By the field numbers of etcd's rpc.proto: compare 1 {target 2 = CREATE, key 3,
        // create_revision 5}, success 2 {request_put 2 {key 1, value 2, lease 3}}, failure 3
        // {request_range 1 {key 1}}.
        let encoded = bind(b"k".to_vec(), b"v".to_vec(), 7).encode_to_vec();
        let compare = [0x0a, 7, 0x10, 1, 0x1a, 1, b'k', 0x28, 0];
        let success = [0x12, 10, 0x12, 8, 0x0a, 1, b'k', 0x12, 1, b'v', 0x18, 7];
        let failure = [0x1a, 5, 0x0a, 3, 0x0a, 1, b'k'];
        assert_eq!(encoded, [compare.as_slice(), &success, &failure].concat());
    }

    #[test]
    fn a_look_up_is_linearizable() {
        // A serializable one would carry field 7.
        assert_eq!(look_up(b"k".to_vec()).encode_to_vec(), [0x0a, 1, b'k']);
    }
}
