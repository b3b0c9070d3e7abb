//! Auth: who a device is, and whether it may come in. JWT and a call to the backend join here as further
//! kinds.

mod open;

use orrery_host::Host;
use orrery_proto::edge::{Authenticate, Identity, Refused};

use crate::config::{AuthMode, Config};
use crate::limits::CREDENTIALS_BYTES_MAX;
use open::Open;

/// The configured way to authenticate devices.
pub(crate) enum Auth {
    /// Nobody comes in.
    Closed,
    /// Everybody is whoever they claim to be.
    Open(Open),
}

/// Why a device may not come in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub(crate) struct Refusal {
    /// A stable word.
    pub(crate) reason: &'static str,
    /// For a person to read.
    pub(crate) detail: String,
}

impl Refusal {
    /// The credentials cannot be read.
    fn unreadable(detail: impl Into<String>) -> Self {
        Self { reason: "bad_credentials", detail: detail.into() }
    }
}

impl Auth {
    pub(crate) fn new(config: &Config, host: &Host) -> Self {
        match config.auth {
            AuthMode::Closed => Self::Closed,
            AuthMode::Open => Self::Open(Open::new(config, host.random.clone())),
        }
    }

    /// Says who a device is.
    ///
    /// # Errors
    /// [`Refusal`]; the same credentials are refused again.
    pub(crate) async fn identify(&self, request: Authenticate) -> Result<Identity, Refusal> {
        if request.credentials.len() > CREDENTIALS_BYTES_MAX {
            let bytes = request.credentials.len();
            return Err(Refusal::unreadable(format!(
                "credentials of {bytes} bytes are longer than {CREDENTIALS_BYTES_MAX}"
            )));
        }
        match self {
            Self::Closed => {
                let detail = "no way to authenticate devices is configured (auth = \"closed\")";
                Err(Refusal { reason: "auth_closed", detail: detail.to_owned() })
            }
            Self::Open(open) => open.identify(&request),
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self { reason: refusal.reason.to_owned(), detail: refusal.detail }
    }
}
