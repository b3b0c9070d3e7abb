//! `orrery ctl comet …`: sends the devices of comets elsewhere, and names the slow ones.

use std::cmp::Reverse;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use orrery_host::grpc;
use orrery_model::control::Comet;
use orrery_model::limits::{DRAIN_NODE_BYTES_MAX, DRAIN_NODES_MAX};
use orrery_model::{Address, Kind};
use orrery_proto::comet::comet_client::CometClient;
use orrery_proto::comet::{
    DrainRequest, DrainStatus, SlowDevice, SlowRequest, StatusRequest, UndrainRequest,
};
use serde::Serialize;
use serde_json::json;
use tokio::time::{Instant, timeout_at};
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use super::args::CometVerb;
use super::context::Context;
use super::error::CtlError;
use super::fleet::Fleet;
use super::print::{Output, table};

/// Most comets that are asked at once whether they take devices.
const ASKED_MAX: usize = 16;

/// How often somebody who watches is told something.
const WATCH_PERIOD: Duration = Duration::from_secs(1);

pub(super) async fn run(context: &Context, verb: CometVerb) -> Result<Output, CtlError> {
    let context = &context.with_all(&Fleet::look(context).await?);
    let comets = context.client.comets(context.soon()).await?;
    match verb {
        CometVerb::Drain { comet, undo: true, .. } => {
            let mut comet = Known::new(context, find(&comets, &comet)?)?;
            let request = UndrainRequest { comet: comet.id.clone(), by: context.by.clone() };
            let told = timeout_at(context.soon(), comet.client.undrain(request)).await;
            let status = comet.answer(told)?;
            Ok(comet.done(&status, "open", "takes devices again"))
        }
        CometVerb::Drain { comet, rate, watch, no_wait, .. } => {
            let mut known = Known::new(context, find(&comets, &comet)?)?;
            let request = DrainRequest {
                comet: known.id.clone(),
                per_second: rate.unwrap_or(0),
                nodes: elsewhere(context, &comets, &comet).await,
                by: context.by.clone(),
            };
            let told = timeout_at(context.soon(), known.client.drain(request)).await;
            let status = known.answer(told)?;
            if no_wait {
                return Ok(known.done(&status, "draining", "sends its devices elsewhere"));
            }
            let status = emptied(context, &mut known, watch).await?;
            Ok(known.done(&status, "drained", "has no devices any more, and takes none"))
        }
        CometVerb::Slow { comet, limit, .. } => {
            let asked = match &comet {
                Some(id) => std::slice::from_ref(find(&comets, id)?),
                None => &comets[..],
            };
            let (rows, failure) = slow(context, asked, limit).await;
            Ok(match failure {
                Some(error) => shown(rows).failed(error),
                None => shown(rows),
            })
        }
    }
}

fn find<'a>(comets: &'a [Comet], id: &str) -> Result<&'a Comet, CtlError> {
    let found = comets.iter().find(|comet| comet.comet.id.as_str() == id);
    found.ok_or_else(|| CtlError::failed(format!("no comet lives under the id {id}")))
}

/// A living comet, and the way to it.
struct Known {
    id: String,
    delivery: String,
    client: CometClient<Channel>,
}

impl Known {
    fn new(context: &Context, comet: &Comet) -> Result<Self, CtlError> {
        let (id, delivery) = (comet.comet.id.to_string(), comet.advertise.delivery.clone());
        let channel = grpc::channel(context.host.net.clone(), &delivery);
        let channel = channel.map_err(|error| {
            CtlError::failed(format!("comet {id} cannot be reached at {delivery}: {error}"))
        })?;
        Ok(Self { id, delivery, client: CometClient::new(channel) })
    }

    /// Whether it says by then that it takes no devices.
    async fn is_drained(&mut self, until: Instant) -> bool {
        let request = StatusRequest { comet: self.id.clone() };
        let told = timeout_at(until, self.client.status(request)).await;
        self.answer(told).is_ok_and(|status| status.draining)
    }

    /// What it answered, or why that is none.
    fn answer<T, Late>(
        &self,
        told: Result<Result<Response<T>, Status>, Late>,
    ) -> Result<T, CtlError> {
        let Self { id, delivery, .. } = self;
        let Ok(told) = told else {
            let why = format!("comet {id} at {delivery} does not answer");
            return Err(CtlError::Unreachable(why));
        };
        told.map(Response::into_inner).map_err(|status| match status.code() {
            Code::FailedPrecondition | Code::InvalidArgument => {
                CtlError::failed(format!("refused: {}", status.message()))
            }
            Code::Unimplemented => {
                CtlError::failed(format!("comet {id} is of a build that does not know this yet"))
            }
            _ => CtlError::Unreachable(format!("comet {id} at {delivery}: {}", status.message())),
        })
    }

    fn done(&self, status: &DrainStatus, state: &str, what: &str) -> Output {
        let DrainStatus { per_second, connections, unbinding, .. } = status;
        let json = json!({
            "comet": self.id,
            "state": state,
            "per_second": per_second,
            "connections": connections,
            "unbinding": unbinding,
        });
        Output::new(format!("comet {} {what}\n", self.id), json)
    }
}

/// Addresses of other comets for the devices of this one. One that says that it takes none itself is left out; one that
/// does not say is not: devices try the next one where it is gone.
async fn elsewhere(context: &Context, comets: &[Comet], id: &str) -> Vec<String> {
    let until = context.soon();
    let at = comets.iter().position(|comet| comet.comet.id.as_str() == id).unwrap_or(0);
    let asked = stream::iter(behind(comets, at)).map(|comet| async move {
        let is_drained = match Known::new(context, comet) {
            Ok(mut known) => known.is_drained(until).await,
            Err(_) => false,
        };
        (!is_drained).then_some(&comet.advertise.addresses)
    });
    let mut asked = pin!(asked.buffered(ASKED_MAX));
    let mut nodes = Vec::new();
    // No more are asked than devices can be told of.
    while nodes.len() < DRAIN_NODES_MAX
        && let Some(addresses) = asked.next().await
    {
        let fits = |node: &&String| (1..=DRAIN_NODE_BYTES_MAX).contains(&node.len());
        nodes.extend(addresses.into_iter().flatten().filter(fits).cloned());
    }
    nodes.truncate(DRAIN_NODES_MAX);
    nodes
}

/// All others, those behind this one first: comets that are drained one after the other do not all name the same.
fn behind<T>(all: &[T], at: usize) -> impl Iterator<Item = &T> {
    all.iter().skip(at + 1).chain(all.iter().take(at))
}

/// Waits until nothing is left of the comet's devices, neither there nor in the registry.
async fn emptied(
    context: &Context,
    known: &mut Known,
    watch: bool,
) -> Result<DrainStatus, CtlError> {
    let mut said_at = None;
    loop {
        let request = StatusRequest { comet: known.id.clone() };
        let told = timeout_at(context.soon(), known.client.status(request)).await;
        let status = known.answer(told)?;
        let DrainStatus { draining, connections, handshakes, unbinding, .. } = status;
        if !draining {
            return Err(CtlError::failed(format!("comet {}: the drain was undone", known.id)));
        }
        let missing = format!(
            "comet {} still has {connections} devices, {handshakes} that shake hands and {unbinding} that went \
             and are not unbound yet",
            known.id,
        );
        if watch && said_at.is_none_or(|at: Instant| at.elapsed() >= WATCH_PERIOD) {
            said_at = Some(Instant::now());
            eprintln!("orrery: {missing}");
        }
        if connections + handshakes + unbinding == 0 {
            return Ok(status);
        }
        context.pause(missing).await?;
    }
}

/// A device that is slow, or was. The field names are what scripts rely on.
#[derive(Debug, Serialize)]
struct SlowRow {
    comet: String,
    namespace: String,
    user: Option<String>,
    key: Option<String>,
    conn: u64,
    protocol: String,
    frames: u64,
    bytes: u64,
    dropped: u32,
    still_seconds: u32,
}

impl SlowRow {
    /// The greater one is the worse one, as a comet has it too.
    fn rank(&self) -> (u32, u64, u64, u32) {
        (self.still_seconds, self.bytes, self.frames, self.dropped)
    }
}

/// The slowest devices of these comets. What one of them does not say hides nothing of the others.
async fn slow(context: &Context, comets: &[Comet], limit: u32) -> (Vec<SlowRow>, Option<CtlError>) {
    let asked = comets.iter().map(|comet| slow_of(context, comet, limit));
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for answer in join_all(asked).await {
        match answer {
            Ok(told) => rows.extend(told),
            Err(error) => failures.push(error),
        }
    }
    rows.sort_by_key(|row| Reverse(row.rank()));
    rows.truncate(limit as usize);
    (rows, CtlError::of_all(failures))
}

async fn slow_of(context: &Context, comet: &Comet, limit: u32) -> Result<Vec<SlowRow>, CtlError> {
    let mut known = Known::new(context, comet)?;
    let request = SlowRequest { comet: known.id.clone(), limit };
    let told = timeout_at(context.soon(), known.client.slow(request)).await;
    let told = known.answer(told)?;
    Ok(told.devices.into_iter().map(|device| row(&known.id, device)).collect())
}

fn row(comet: &str, device: SlowDevice) -> SlowRow {
    let SlowDevice { primary, secondary, conn, protocol, frames, bytes, .. } = device;
    let addresses: Vec<Address> = [primary, secondary]
        .into_iter()
        .flatten()
        .filter_map(|address| Address::try_from(address).ok())
        .collect();
    let id = |kind: Kind| {
        addresses.iter().find(|address| address.kind == kind).map(|address| address.id.to_string())
    };
    let namespace = addresses.first().and_then(|address| address.namespace.as_ref());
    SlowRow {
        comet: comet.to_owned(),
        namespace: namespace.map(ToString::to_string).unwrap_or_default(),
        user: id(Kind::User),
        key: id(Kind::Key),
        conn,
        protocol,
        frames,
        bytes,
        dropped: device.dropped,
        still_seconds: device.still_seconds,
    }
}

fn shown(rows: Vec<SlowRow>) -> Output {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let cells: Vec<_> = rows
        .iter()
        .map(|row| {
            [
                row.comet.clone(),
                text(&row.user),
                text(&row.key),
                row.conn.to_string(),
                row.protocol.clone(),
                row.frames.to_string(),
                row.bytes.to_string(),
                row.dropped.to_string(),
                row.still_seconds.to_string(),
            ]
        })
        .collect();
    let head =
        ["COMET", "USER", "KEY", "CONN", "PROTOCOL", "FRAMES", "BYTES", "DROPPED", "STILL_S"];
    Output::new(table(head, &cells), json!({ "devices": rows }))
}

#[cfg(test)]
mod tests {
    use orrery_host::Host;
    use orrery_model::control::Advertise;
    use orrery_model::{CometRef, Id, Incarnation};

    use super::*;

    #[test]
    fn those_behind_a_comet_are_named_before_those_in_front_of_it() {
        let behind = |at| behind(&["a", "b", "c", "d"], at).copied().collect::<String>();
        assert_eq!([0, 1, 2, 3].map(behind), ["bcd", "cda", "dab", "abc"]);
    }

    #[tokio::test]
    async fn a_comet_with_an_address_that_makes_no_sense_hides_nothing_of_the_others() {
        let comet = |id: &str, delivery: &str| Comet {
            comet: CometRef { id: Id::new(id).unwrap(), incarnation: Incarnation(1) },
            instance: String::new(),
            attempt: 1,
            advertise: Advertise { delivery: delivery.to_owned(), ..Advertise::default() },
            attached_at_ms: 0,
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        let context = Context::of(&["127.0.0.1:1".to_owned()], deadline, Host::system());
        // Nobody listens at the second one.
        let comets = [comet("a", "no address"), comet("b", "127.0.0.1:1")];
        let (_, failure) = slow(&context, &comets, 20).await;
        let failure = failure.unwrap();
        assert_eq!(failure.code(), 3);
        let text = failure.to_string();
        assert!(text.contains("comet a cannot be reached"), "{text}");
        assert!(text.contains("comet b at 127.0.0.1:1"), "{text}");
    }
}
