//! Slow: the devices that take what is pushed to them worst, of one comet or of several.

use std::cmp::Reverse;

use futures_util::future::join_all;
use orrery_model::control::Comet;
use orrery_model::{Address, Kind};
use orrery_proto::comet::{SlowDevice, SlowRequest};
use serde::Serialize;
use serde_json::json;
use tokio::time::timeout_at;

use super::Known;
use crate::ctl::context::Context;
use crate::ctl::error::CtlError;
use crate::ctl::print::{Output, table};

/// Lists the slowest devices of these comets, and those comets that do not say.
pub(super) async fn run(context: &Context, comets: &[Comet], limit: u32) -> Output {
    let (rows, failure) = slowest(context, comets, limit).await;
    match failure {
        Some(error) => shown(rows).failed(error),
        None => shown(rows),
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
async fn slowest(
    context: &Context,
    comets: &[Comet],
    limit: u32,
) -> (Vec<SlowRow>, Option<CtlError>) {
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
    use std::time::Duration;

    use orrery_host::Host;
    use orrery_model::control::Advertise;
    use orrery_model::{CometRef, Id, Incarnation};
    use tokio::time::Instant;

    use super::*;

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
        let (_, failure) = slowest(&context, &comets, 20).await;
        let failure = failure.unwrap();
        assert_eq!(failure.code(), 3);
        let text = failure.to_string();
        assert!(text.contains("comet a cannot be reached"), "{text}");
        assert!(text.contains("comet b at 127.0.0.1:1"), "{text}");
    }
}
