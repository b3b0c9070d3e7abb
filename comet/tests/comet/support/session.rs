//! Session: a logic's stream of deliveries.

use std::net::SocketAddr;

use bytes::Bytes;
use orrery_host::Host;
use orrery_model::Address;
use orrery_proto::common::{Message, WhenFull};
use orrery_proto::delivery::deliver::Kind;
use orrery_proto::delivery::delivery_client::DeliveryClient;
use orrery_proto::delivery::{
    CensusPage, CensusRequest, Close, CloseReason, Deliver, Deliveries, Outcome, Receipt, Receipts,
    Target, ToAll, ToConnections, ToRoom,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

use super::registry::Route;
use super::soon;

pub(crate) struct Session {
    client: DeliveryClient<Channel>,
    deliveries: mpsc::Sender<Deliveries>,
    receipts: Streaming<Receipts>,
    arrived: Vec<Receipt>,
    /// What the comet last said of that.
    draining: Option<bool>,
    next_id: u64,
    /// Under which every delivery goes.
    pub(crate) incarnation: u64,
    pub(crate) wait_written: bool,
    pub(crate) timeout_ms: u32,
    pub(crate) when_full: WhenFull,
}

pub(crate) fn message(op: i32, body: &[u8]) -> Option<Message> {
    Some(Message { op, body: Bytes::copy_from_slice(body) })
}

pub(crate) fn target(route: &Route) -> Target {
    Target { address: Some((&route.address).into()), conn: route.conn, seq: route.seq }
}

impl Session {
    pub(crate) async fn open(host: &Host, address: SocketAddr) -> Self {
        let channel = orrery_host::grpc::channel(host.net.clone(), &address.to_string()).unwrap();
        let mut client = DeliveryClient::new(channel);
        let (deliveries, outbound) = mpsc::channel(64);
        let opening = client.session(ReceiverStream::new(outbound));
        let receipts = soon("the session", opening).await.unwrap().into_inner();
        Self {
            client,
            deliveries,
            receipts,
            arrived: Vec::new(),
            draining: None,
            next_id: 0,
            incarnation: 1,
            wait_written: false,
            timeout_ms: 0,
            when_full: WhenFull::Unspecified,
        }
    }

    /// Sends a delivery; gives its id.
    pub(crate) async fn send(&mut self, kind: Kind) -> u64 {
        self.send_batch([kind]).await
    }

    /// Sends deliveries in one message; gives the last one's id.
    pub(crate) async fn send_batch(&mut self, kinds: impl IntoIterator<Item = Kind>) -> u64 {
        let deliver = |kind| {
            self.next_id += 1;
            Deliver {
                id: self.next_id,
                incarnation: self.incarnation,
                kind: Some(kind),
                wait_written: self.wait_written,
                timeout_ms: self.timeout_ms,
                when_full: self.when_full.into(),
            }
        };
        let deliveries = kinds.into_iter().map(deliver).collect();
        self.deliveries.send(Deliveries { deliveries }).await.unwrap();
        self.next_id
    }

    /// Waits for the receipt of a delivery.
    pub(crate) async fn receipt(&mut self, id: u64) -> Receipt {
        loop {
            if let Some(at) = self.arrived.iter().position(|receipt| receipt.id == id) {
                return self.arrived.swap_remove(at);
            }
            let batch = soon("a receipt", self.receipts.message()).await.unwrap();
            let batch = batch.expect("the session goes on");
            self.draining = batch.draining.or(self.draining);
            self.arrived.extend(batch.receipts);
        }
    }

    /// Waits until the comet says whether it takes devices.
    pub(crate) async fn told_draining(&mut self) -> bool {
        loop {
            if let Some(draining) = self.draining.take() {
                return draining;
            }
            let batch = soon("a word", self.receipts.message()).await.unwrap();
            let batch = batch.expect("the session goes on");
            self.draining = batch.draining;
            self.arrived.extend(batch.receipts);
        }
    }

    /// Delivers and waits for the receipt.
    pub(crate) async fn deliver(&mut self, kind: Kind) -> Receipt {
        let id = self.send(kind).await;
        self.receipt(id).await
    }

    /// Pushes to routes; gives the outcome of each.
    pub(crate) async fn push(&mut self, op: i32, body: &[u8], routes: &[&Route]) -> Vec<Outcome> {
        let targets = routes.iter().map(|route| target(route)).collect();
        let receipt = self.deliver(to_connections(op, body, targets)).await;
        assert!(!receipt.wrong_incarnation);
        receipt.outcomes.into_iter().map(|outcome| Outcome::try_from(outcome).unwrap()).collect()
    }

    /// Closes a route's connection.
    pub(crate) async fn close(&mut self, route: &Route, reason: CloseReason) -> Receipt {
        let close = Close { targets: vec![target(route)], reason: reason.into() };
        self.deliver(Kind::Close(close)).await
    }

    pub(crate) async fn census(&mut self) -> CensusPage {
        let pages = self.client.census(CensusRequest {}).await.unwrap();
        pages.into_inner().message().await.unwrap().expect("there is one page")
    }
}

pub(crate) fn to_connections(op: i32, body: &[u8], targets: Vec<Target>) -> Kind {
    Kind::ToConnections(ToConnections { message: message(op, body), targets })
}

pub(crate) fn to_room(op: i32, body: &[u8], room: &Address) -> Kind {
    Kind::ToRoom(ToRoom { message: message(op, body), room: Some(room.into()) })
}

pub(crate) fn to_all(op: i32, body: &[u8], rate: u32) -> Kind {
    Kind::ToAll(ToAll { message: message(op, body), namespace: String::new(), rate })
}
