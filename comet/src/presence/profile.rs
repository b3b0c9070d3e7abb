//! Profile: who a device is, as logic decided at its authentication.

use std::collections::{BTreeMap, BTreeSet};

use orrery_model::limits::ROOMS_PER_CONNECTION_MAX;
use orrery_model::{Address, Id, IdError, Kind, Policy};
use orrery_proto::convert::WireError;
use orrery_proto::edge::Identity;

/// Logic named an identity that cannot be bound.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProfileError {
    /// One of its ids is not an id.
    #[error("{field}: {source}")]
    Id { field: &'static str, source: IdError },
    /// More rooms than one connection may be in.
    #[error("{0} rooms are more than {ROOMS_PER_CONNECTION_MAX}")]
    Rooms(usize),
    /// Its policy is malformed.
    #[error(transparent)]
    Policy(#[from] WireError),
}

/// What is bound of a connection, but for its rooms, which change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Profile {
    /// The user, or the key where there is no user.
    pub(crate) primary: Address,
    /// The key, where there is a user.
    pub(crate) secondary: Option<Address>,
    /// Who may stay at the primary address.
    pub(crate) policy: Policy,
    pub(crate) platform: Box<str>,
    pub(crate) device: Box<str>,
    pub(crate) labels: BTreeMap<String, String>,
}

impl Profile {
    /// The address of a room in the connection's namespace.
    pub(crate) fn room(&self, id: &Id) -> Address {
        Address { namespace: self.primary.namespace.clone(), kind: Kind::Room, id: id.clone() }
    }
}

impl TryFrom<&Identity> for Profile {
    type Error = ProfileError;

    fn try_from(identity: &Identity) -> Result<Self, ProfileError> {
        let namespace = match identity.namespace.as_str() {
            "" => None,
            text => Some(id(text, "namespace")?),
        };
        let address = |kind, id| Address { namespace: namespace.clone(), kind, id };
        let key = address(Kind::Key, id(&identity.key, "key")?);
        let user_policy = identity.user_policy.map(Policy::try_from).transpose()?;
        let (primary, secondary, policy) = match identity.user.as_str() {
            "" => (key, None, Policy::ONE_NEWEST),
            user => {
                let user = address(Kind::User, id(user, "user")?);
                (user, Some(key), user_policy.unwrap_or_default())
            }
        };
        Ok(Self {
            primary,
            secondary,
            policy,
            platform: identity.platform.as_str().into(),
            device: identity.device.as_str().into(),
            labels: identity.labels.clone().into_iter().collect(),
        })
    }
}

/// The rooms in which a device starts.
///
/// # Errors
/// [`ProfileError`]: logic named what cannot be a room, or too many.
pub(crate) fn first_rooms(identity: &Identity) -> Result<BTreeSet<Id>, ProfileError> {
    if identity.rooms.len() > ROOMS_PER_CONNECTION_MAX {
        return Err(ProfileError::Rooms(identity.rooms.len()));
    }
    let rooms = identity.rooms.iter().map(|room| id(room, "room"));
    rooms.collect()
}

fn id(text: &str, field: &'static str) -> Result<Id, ProfileError> {
    Id::new(text).map_err(|source| ProfileError::Id { field, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_without_user_is_bound_by_its_key_alone() {
        let identity = Identity { key: "k".to_owned(), ..Identity::default() };
        let profile = Profile::try_from(&identity).unwrap();
        assert_eq!(profile.primary, Address::key(Id::new("k").unwrap()));
        assert_eq!(profile.secondary, None);
        assert_eq!(profile.policy, Policy::ONE_NEWEST);
    }

    #[test]
    fn a_device_with_a_user_is_bound_by_user_first_and_key_second() {
        let identity =
            Identity { user: "7".to_owned(), key: "k".to_owned(), ..Identity::default() };
        let profile = Profile::try_from(&identity).unwrap();
        assert_eq!(profile.primary, Address::user(Id::new("7").unwrap()));
        assert_eq!(profile.secondary, Some(Address::key(Id::new("k").unwrap())));
        assert_eq!(profile.policy, Policy::default());
    }

    #[test]
    fn an_identity_without_key_or_with_too_many_rooms_is_refused() {
        assert!(Profile::try_from(&Identity::default()).is_err());
        let rooms = (0..=ROOMS_PER_CONNECTION_MAX).map(|n| n.to_string()).collect();
        let identity = Identity { key: "k".to_owned(), rooms, ..Identity::default() };
        assert_eq!(first_rooms(&identity), Err(ProfileError::Rooms(ROOMS_PER_CONNECTION_MAX + 1)));
    }
}
