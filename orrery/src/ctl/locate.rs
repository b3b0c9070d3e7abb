//! `orrery ctl locate`: where an address is, from the registry.

use orrery_model::{Address, Id, Route};
use orrery_router_client::{Client, Config};
use serde::Serialize;
use serde_json::json;

use super::args::LocateOptions;
use super::context::Context;
use super::error::CtlError;
use super::founding::no_cluster;
use super::print::{Output, table};

#[derive(Debug, Serialize)]
struct RouteRow {
    seq: u64,
    comet: String,
    incarnation: u64,
    conn: u64,
    platform: String,
    device: String,
    rooms: Vec<String>,
    /// Milliseconds since the Unix epoch.
    bound_at_ms: u64,
}

impl From<Route> for RouteRow {
    fn from(route: Route) -> Self {
        Self {
            seq: route.seq.0,
            comet: route.comet.id.to_string(),
            incarnation: route.comet.incarnation.0,
            conn: route.conn.0,
            platform: route.details.platform.to_string(),
            device: route.details.device.to_string(),
            rooms: route.details.rooms.iter().map(ToString::to_string).collect(),
            bound_at_ms: route.bound_at_ms,
        }
    }
}

pub(super) async fn run(context: &Context, options: LocateOptions) -> Result<Output, CtlError> {
    let address = address(&options)?;
    let config = Config { nodes: context.routers.clone(), ..Config::default() };
    let client = Client::new(config, context.host.clone());
    let slot = address.slot();
    let located = match client.locate(address, false, context.soon()).await {
        Ok(located) => located,
        Err(error) => {
            let error = CtlError::from(error);
            let unanswered = matches!(error, CtlError::Unreachable(_));
            let why = if unanswered { no_cluster(context).await } else { None };
            return Err(why.unwrap_or(error));
        }
    };
    let shard = client.table().map(|table| table.slots.owner(slot).0);
    let comets: Vec<_> = located.comets.iter().map(ToString::to_string).collect();
    let rows: Vec<RouteRow> = located.routes.into_iter().map(RouteRow::from).collect();
    let text = match (options.room, rows.as_slice(), comets.as_slice()) {
        (false, [], _) => format!("{} is not connected\n", options.id),
        (true, _, []) => format!("no comet holds members of {}\n", options.id),
        (true, _, comets) => {
            let cells: Vec<_> = comets.iter().map(|comet| [comet.clone()]).collect();
            table(["COMET"], &cells)
        }
        (false, rows, _) => route_table(rows),
    };
    let json = json!({
        "id": options.id,
        "slot": slot.number(),
        "shard": shard,
        "log_index": located.log_index,
        "routes": rows,
        "comets": comets,
    });
    Ok(Output::new(text, json))
}

fn address(options: &LocateOptions) -> Result<Address, CtlError> {
    let id = |text: &str| Id::new(text).map_err(|error| CtlError::Usage(error.to_string()));
    let mut address = match (options.key, options.room) {
        (true, _) => Address::key(id(&options.id)?),
        (_, true) => Address::room(id(&options.id)?),
        _ => Address::user(id(&options.id)?),
    };
    if let Some(namespace) = options.namespace.as_deref().filter(|text| !text.is_empty()) {
        address.namespace = Some(id(namespace)?);
    }
    Ok(address)
}

fn route_table(rows: &[RouteRow]) -> String {
    let cells: Vec<_> = rows
        .iter()
        .map(|row| {
            [
                row.seq.to_string(),
                format!("{}#{}", row.comet, row.incarnation),
                row.conn.to_string(),
                row.platform.clone(),
                row.device.clone(),
                row.rooms.join(" "),
            ]
        })
        .collect();
    table(["SEQ", "COMET", "CONN", "PLATFORM", "DEVICE", "ROOMS"], &cells)
}
