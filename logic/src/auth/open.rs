//! Open: every device is whoever it claims to be. For development, and for goim's own clients.

use std::sync::Arc;

use orrery_comet_core::Token;
use orrery_comet_core::json::{ClientMessage, Hello};
use orrery_comet_core::limits::{ACCEPTS_MAX, NAME_BYTES_MAX};
use orrery_host::Random;
use orrery_model::{Id, Policy};
use orrery_proto::edge::authenticate::Protocol;
use orrery_proto::edge::{Authenticate, Identity};

use crate::auth::Refusal;
use crate::config::Config;

/// Believes every device.
pub(crate) struct Open {
    random: Arc<dyn Random>,
    heartbeat_ms: u32,
    heartbeat_max_ms: u32,
}

impl Open {
    pub(super) fn new(config: &Config, random: Arc<dyn Random>) -> Self {
        let (heartbeat_ms, heartbeat_max_ms) = (config.heartbeat_ms, config.heartbeat_max_ms());
        Self { random, heartbeat_ms, heartbeat_max_ms }
    }

    /// Takes a device's word.
    pub(super) fn identify(&self, request: &Authenticate) -> Result<Identity, Refusal> {
        match request.protocol() {
            Protocol::Goim => self.goim(&request.credentials),
            Protocol::Json => self.json(&request.credentials),
            Protocol::Unspecified => {
                let detail = format!("protocol {} is not known here", request.protocol);
                Err(Refusal { reason: "unknown_protocol", detail })
            }
        }
    }

    /// goim's token. A `mid` above 0 is the user, as decimal text.
    fn goim(&self, credentials: &[u8]) -> Result<Identity, Refusal> {
        let token =
            Token::parse(credentials).map_err(|error| Refusal::unreadable(error.to_string()))?;
        if token.platform.len() > NAME_BYTES_MAX {
            return Err(Refusal::unreadable("the platform is too long"));
        }
        if token.accepts.len() > ACCEPTS_MAX {
            return Err(Refusal::unreadable("too many operations in accepts"));
        }
        Ok(Identity {
            user: if token.mid > 0 { token.mid.to_string() } else { String::new() },
            key: self.key(optional("key", &token.key)?),
            rooms: optional("room_id", &token.room_id)?.iter().map(Id::to_string).collect(),
            platform: token.platform,
            accepts: token.accepts,
            accepts_all: false,
            ..self.anybody()
        })
    }

    /// The hello of the JSON protocol.
    fn json(&self, credentials: &[u8]) -> Result<Identity, Refusal> {
        let hello = match ClientMessage::parse(credentials) {
            Ok(ClientMessage::Hello(hello)) => hello,
            Ok(_) => return Err(Refusal::unreadable("the first message must be a hello")),
            Err(bad) => return Err(Refusal::unreadable(bad.detail)),
        };
        let Hello { user, key, rooms, platform, device, labels, accepts, .. } = hello;
        Ok(Identity {
            user: user.as_ref().map(Id::to_string).unwrap_or_default(),
            key: self.key(key),
            rooms: rooms.iter().map(Id::to_string).collect(),
            platform,
            device,
            labels: labels.into_iter().collect(),
            accepts_all: accepts.is_none(),
            accepts: accepts.unwrap_or_default(),
            ..self.anybody()
        })
    }

    fn key(&self, key: Option<Id>) -> String {
        key.map_or_else(|| self.random.uuid(), |key| key.to_string())
    }

    fn anybody(&self) -> Identity {
        Identity {
            user_policy: Some(Policy::default().into()),
            heartbeat_ms: self.heartbeat_ms,
            heartbeat_max_ms: self.heartbeat_max_ms,
            ..Identity::default()
        }
    }
}

/// An id that may be empty.
fn optional(field: &str, text: &str) -> Result<Option<Id>, Refusal> {
    if text.is_empty() {
        return Ok(None);
    }
    Id::new(text).map(Some).map_err(|error| Refusal::unreadable(format!("{field}: {error}")))
}

#[cfg(test)]
mod tests {
    use orrery_host::system::SystemRandom;

    use super::*;

    fn open() -> Open {
        Open::new(&Config::default(), Arc::new(SystemRandom))
    }

    fn ask(protocol: Protocol, credentials: &str) -> Result<Identity, Refusal> {
        let credentials = credentials.to_owned().into();
        open().identify(&Authenticate {
            protocol: protocol.into(),
            credentials,
            ..Authenticate::default()
        })
    }

    #[test]
    fn a_goim_token_names_user_key_room_and_operations() {
        let token =
            r#"{"mid":123, "room_id":"live://1000", "platform":"web", "accepts":[1000,1001]}"#;
        let identity = ask(Protocol::Goim, token).unwrap();
        assert_eq!(identity.user, "123");
        assert_eq!(identity.key.len(), 36);
        assert_eq!(identity.rooms, ["live://1000"]);
        assert_eq!((identity.platform.as_str(), identity.accepts), ("web", vec![1000, 1001]));
        assert!(!identity.accepts_all);
        assert_eq!((identity.heartbeat_ms, identity.heartbeat_max_ms), (240_000, 480_000));
    }

    #[test]
    fn without_a_positive_mid_there_is_only_a_key() {
        for token in ["null", r#"{"mid":0,"key":"k"}"#, r#"{"mid":-5,"key":"k"}"#] {
            let identity = ask(Protocol::Goim, token).unwrap();
            assert_eq!(identity.user, "", "{token}");
            assert!(identity.rooms.is_empty() && identity.accepts.is_empty(), "{token}");
            assert!(identity.key == "k" || identity.key.len() == 36, "{token}");
        }
    }

    #[test]
    fn a_token_that_cannot_be_is_refused_with_a_word() {
        let long = format!(r#"{{"key":"{}"}}"#, "k".repeat(129));
        let room = format!(r#"{{"room_id":"{}"}}"#, "r".repeat(10_000));
        for token in ["", "x", r#"{"mid":"1"}"#, r#"{"mid":1.5}"#, &long, &room] {
            assert_eq!(
                ask(Protocol::Goim, token).unwrap_err().reason,
                "bad_credentials",
                "{token}"
            );
        }
        assert_eq!(ask(Protocol::Unspecified, "{}").unwrap_err().reason, "unknown_protocol");
    }

    #[test]
    fn a_hello_accepts_everything_unless_it_says_otherwise() {
        let hello = r#"{"type":"hello","user":"alice","rooms":["a","b"],"device":"d"}"#;
        let identity = ask(Protocol::Json, hello).unwrap();
        assert_eq!((identity.user.as_str(), identity.device.as_str()), ("alice", "d"));
        assert_eq!(identity.rooms, ["a", "b"]);
        assert!(identity.accepts_all);
        let identity = ask(Protocol::Json, r#"{"type":"hello","key":"k","accepts":[1]}"#).unwrap();
        assert!(!identity.accepts_all);
        assert_eq!((identity.key.as_str(), identity.accepts), ("k", vec![1]));
        for hello in ["", r#"{"type":"ping"}"#, r#"{"type":"hello","user":5}"#] {
            assert_eq!(
                ask(Protocol::Json, hello).unwrap_err().reason,
                "bad_credentials",
                "{hello}"
            );
        }
    }
}
