//! Drain: has a comet send its devices to those comets that take any, or take devices again.

use std::pin::pin;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use orrery_model::control::Comet;
use orrery_model::limits::{DRAIN_NODE_BYTES_MAX, DRAIN_NODES_MAX};
use orrery_proto::comet::{DrainRequest, DrainStatus, StatusRequest, UndrainRequest};
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::Known;
use crate::ctl::context::Context;
use crate::ctl::error::CtlError;
use crate::ctl::print::Output;

/// Most comets that are asked at once whether they take devices.
const ASKED_MAX: usize = 16;

/// How often somebody who watches is told something.
const WATCH_PERIOD: Duration = Duration::from_secs(1);

/// Lets a comet take devices again.
pub(super) async fn undo(context: &Context, comet: &Comet) -> Result<Output, CtlError> {
    let mut known = Known::new(context, comet)?;
    let request = UndrainRequest { comet: known.id.clone(), by: context.by.clone() };
    let told = timeout_at(context.soon(), known.client.undrain(request)).await;
    let status = known.answer(told)?;
    Ok(known.done(&status, "open", "takes devices again"))
}

/// Begins to drain one of the comets, or changes its rate; waits for the end where `wait` says whether to watch it.
pub(super) async fn begin(
    context: &Context,
    comets: &[Comet],
    comet: &Comet,
    rate: Option<u32>,
    wait: Option<bool>,
) -> Result<Output, CtlError> {
    let mut known = Known::new(context, comet)?;
    let request = DrainRequest {
        comet: known.id.clone(),
        per_second: rate.unwrap_or(0),
        nodes: elsewhere(context, comets, &known.id).await,
        by: context.by.clone(),
    };
    let told = timeout_at(context.soon(), known.client.drain(request)).await;
    let status = known.answer(told)?;
    let Some(watch) = wait else {
        return Ok(known.done(&status, "draining", "sends its devices elsewhere"));
    };
    let status = emptied(context, &mut known, watch).await?;
    Ok(known.done(&status, "drained", "has no devices any more, and takes none"))
}

impl Known {
    /// Whether it says by then that it takes no devices.
    async fn is_drained(&mut self, until: Instant) -> bool {
        let request = StatusRequest { comet: self.id.clone() };
        let told = timeout_at(until, self.client.status(request)).await;
        self.answer(told).is_ok_and(|status| status.draining)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_behind_a_comet_are_named_before_those_in_front_of_it() {
        let behind = |at| behind(&["a", "b", "c", "d"], at).copied().collect::<String>();
        assert_eq!([0, 1, 2, 3].map(behind), ["bcd", "cda", "dab", "abc"]);
    }
}
