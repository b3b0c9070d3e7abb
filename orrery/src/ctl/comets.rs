//! `orrery ctl cluster comets`: the living comets.

use orrery_model::control::Comet;
use serde::Serialize;
use serde_json::json;

use super::context::Context;
use super::error::CtlError;
use super::fleet::Fleet;
use super::print::{Output, table};

#[derive(Debug, Serialize)]
struct CometRow {
    comet: String,
    incarnation: u64,
    instance: String,
    delivery: String,
    hostname: String,
    addresses: Vec<String>,
    region: String,
    zone: String,
    env: String,
    weight: u32,
    /// Milliseconds since the Unix epoch.
    attached_at_ms: u64,
}

impl From<Comet> for CometRow {
    fn from(comet: Comet) -> Self {
        let advertise = comet.advertise;
        Self {
            comet: comet.comet.id.to_string(),
            incarnation: comet.comet.incarnation.0,
            instance: comet.instance,
            delivery: advertise.delivery,
            hostname: advertise.hostname,
            addresses: advertise.addresses,
            region: advertise.region,
            zone: advertise.zone,
            env: advertise.env,
            weight: advertise.weight,
            attached_at_ms: comet.attached_at_ms,
        }
    }
}

pub(super) async fn run(context: &Context) -> Result<Output, CtlError> {
    let context = context.with_all(&Fleet::look(context).await?);
    let comets = context.client.comets(context.soon()).await?;
    let rows: Vec<CometRow> = comets.into_iter().map(CometRow::from).collect();
    let now_ms = context.host.clock.wall_ms();
    let cells: Vec<_> = rows
        .iter()
        .map(|row| {
            let attached_s = now_ms.saturating_sub(row.attached_at_ms) / 1000;
            [
                row.comet.clone(),
                row.incarnation.to_string(),
                row.delivery.clone(),
                row.hostname.clone(),
                format!("{attached_s} s ago"),
            ]
        })
        .collect();
    let head = ["COMET", "INCARNATION", "DELIVERY", "HOST", "ATTACHED"];
    Ok(Output::new(table(head, &cells), json!({ "comets": rows })))
}
