//! `orrery ctl comet …`: sends the devices of comets elsewhere, and names the slow ones.

mod drain;
mod slow;

use orrery_host::grpc;
use orrery_model::control::Comet;
use orrery_proto::comet::comet_client::CometClient;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use super::args::CometVerb;
use super::context::Context;
use super::error::CtlError;
use super::fleet::Fleet;
use super::print::Output;

pub(super) async fn run(context: &Context, verb: CometVerb) -> Result<Output, CtlError> {
    let context = &context.with_all(&Fleet::look(context).await?);
    let comets = context.client.comets(context.soon()).await?;
    match verb {
        CometVerb::Drain { comet, undo: true, .. } => {
            drain::undo(context, find(&comets, &comet)?).await
        }
        CometVerb::Drain { comet, rate, watch, no_wait, .. } => {
            let wait = (!no_wait).then_some(watch);
            drain::begin(context, &comets, find(&comets, &comet)?, rate, wait).await
        }
        CometVerb::Slow { comet: None, limit, .. } => Ok(slow::run(context, &comets, limit).await),
        CometVerb::Slow { comet: Some(comet), limit, .. } => {
            let only = std::slice::from_ref(find(&comets, &comet)?);
            Ok(slow::run(context, only, limit).await)
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
}
