//! Connecting: a connection on its way, into the rooms that are wanted by the time it is there.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use orrery_host::Net;

use crate::device::Device;
use crate::error::{ConnectError, RequestError};
use crate::options::{Options, Transport};

pub(super) struct Connecting {
    transport: Transport,
    /// The rooms that the device will be in.
    rooms: Vec<String>,
    device: BoxFuture<'static, Result<Device, ConnectError>>,
}

impl Connecting {
    /// Begins to connect.
    pub(super) fn new(net: Arc<dyn Net>, options: Options) -> Self {
        let (transport, rooms) = (options.transport, options.rooms.clone());
        let device = async move { Device::connect(&net, options).await }.boxed();
        Self { transport, rooms, device }
    }

    /// Waits for the device, and for it to be in these rooms. Cancel-safe.
    ///
    /// # Errors
    /// [`ConnectError`]. What is refused now is told as if it had been in the hello.
    pub(super) async fn connected(&mut self, wanted: &[String]) -> Result<Device, ConnectError> {
        loop {
            let device = (&mut self.device).await?;
            if self.rooms == wanted {
                return Ok(device);
            }
            // Whoever gave up on it has joined and left rooms since.
            let left = without(&self.rooms, wanted);
            let joined = without(wanted, &self.rooms);
            self.rooms = wanted.to_vec();
            self.device = go_over(device, self.transport, left, joined).boxed();
        }
    }
}

/// Leaves rooms and joins others.
async fn go_over(
    mut device: Device,
    transport: Transport,
    left: Vec<String>,
    joined: Vec<String>,
) -> Result<Device, ConnectError> {
    let (left, joined) = (texts(&left), texts(&joined));
    let error = match change_rooms(&mut device, transport, &left, &joined).await {
        // Its end is the next event, behind what was pushed before.
        Ok(()) | Err(RequestError::Closed) => return Ok(device),
        Err(RequestError::Refused { code, message }) => ConnectError::Refused { code, message },
        Err(RequestError::BadRequest(why)) => ConnectError::BadOptions(why),
        Err(RequestError::NotInProtocol(what)) => ConnectError::NotInGoim(what),
        Err(RequestError::Timeout | RequestError::EventsWaiting) => ConnectError::Timeout,
    };
    device.close().await;
    Err(error)
}

async fn change_rooms(
    device: &mut Device,
    transport: Transport,
    left: &[&str],
    joined: &[&str],
) -> Result<(), RequestError> {
    if !transport.is_json() {
        // It is in one room at most, and leaves it for another.
        return match (left, joined) {
            ([], []) => Ok(()),
            _ => device.change_room(joined.first().copied()).await,
        };
    }
    // There may be room for the one only without the other.
    if !left.is_empty() {
        device.leave(left).await?;
    }
    if !joined.is_empty() {
        device.join(joined).await?;
    }
    Ok(())
}

/// Those that are not among the others.
fn without(rooms: &[String], others: &[String]) -> Vec<String> {
    rooms.iter().filter(|room| !others.contains(room)).cloned().collect()
}

fn texts(rooms: &[String]) -> Vec<&str> {
    rooms.iter().map(String::as_str).collect()
}
