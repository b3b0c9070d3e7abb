//! Node: one router node as the client reaches it, over one connection.

use orrery_host::{Host, grpc};
use orrery_model::limits::INTERNAL_MESSAGE_BYTES_MAX;
use orrery_proto::cluster::cluster_client::ClusterClient;
use orrery_proto::registry::Request;
use orrery_proto::registry::registry_client::RegistryClient;
use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::transport::Channel;

use crate::limits::RECONNECT_PAUSE;
use crate::outstanding::{NotTaken, Pending};
use crate::session::Session;

/// A router node: a connection that is made when first used, and the session on it.
pub(crate) struct Node {
    address: String,
    channel: Channel,
    client: RegistryClient<Channel>,
    session: Mutex<Option<Session>>,
    host: Host,
}

impl Node {
    pub(crate) fn new(address: &str, host: &Host) -> Result<Self, tonic::transport::Error> {
        let channel = grpc::channel(host.net.clone(), address)?;
        let client = RegistryClient::new(channel.clone())
            .max_decoding_message_size(INTERNAL_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(INTERNAL_MESSAGE_BYTES_MAX);
        Ok(Self {
            address: address.to_owned(),
            channel,
            client,
            session: Mutex::default(),
            host: host.clone(),
        })
    }

    /// For unary calls.
    pub(crate) fn client(&self) -> RegistryClient<Channel> {
        self.client.clone()
    }

    /// For calls on the node as a part of its cluster.
    pub(crate) fn cluster(&self) -> ClusterClient<Channel> {
        ClusterClient::new(self.channel.clone())
            .max_decoding_message_size(INTERNAL_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(INTERNAL_MESSAGE_BYTES_MAX)
    }

    /// Puts a request on the session, beginning a new one if there is none and none broke just now.
    pub(crate) fn submit(&self, request: Request) -> Result<Pending, NotTaken> {
        let mut session = self.session.lock();
        match session.as_ref().map(Session::closed_at) {
            Some(Some(closed_at)) if Instant::now() < closed_at + RECONNECT_PAUSE => {
                return Err(NotTaken::Closed);
            }
            Some(None) => {}
            None | Some(Some(_)) => {
                *session = Some(Session::start(&self.host, &self.address, self.client()));
            }
        }
        session.as_ref().map_or(Err(NotTaken::Closed), |session| session.submit(request))
    }
}
