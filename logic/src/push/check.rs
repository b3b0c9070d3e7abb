//! Check: turns requests of the API into pushes, and says exactly what is wrong with those that cannot
//! be.

use orrery_model::limits::{PUSH_BODY_BYTES_MAX, PUSH_ITEMS_MAX, PUSH_TARGETS_MAX};
use orrery_model::message::{Message, WaitFor};
use orrery_model::{Address, Id, IdError, Kind, Seq};
use orrery_proto::push as wire;
use orrery_proto::push::target::Target as WireTarget;

use crate::error::ApiError;
use crate::push::{Push, Target};

/// Checks a push.
///
/// # Errors
/// [`ApiError`] with the field and what is wrong with it.
pub(crate) fn push(request: wire::PushRequest) -> Result<Push, ApiError> {
    let namespace = namespace(&request.namespace)?;
    let target = target(request.target, namespace)?;
    body(request.body.len())?;
    let wait_for = match orrery_proto::convert::wait_for(request.wait_for) {
        Ok(wait_for) => wait_for,
        Err(_) => {
            let what = format!("{} is not a level of waiting offered here", request.wait_for);
            return Err(ApiError::invalid("WAIT_FOR_UNKNOWN", "wait_for", what));
        }
    };
    match wire::Delivery::try_from(request.delivery) {
        Ok(wire::Delivery::Unspecified | wire::Delivery::Live) => {}
        Err(_) => {
            let what = format!("{} is not a kind of delivery offered here", request.delivery);
            return Err(ApiError::invalid("DELIVERY_UNKNOWN", "delivery", what));
        }
    }
    let when_full = match orrery_proto::convert::when_full(request.when_full) {
        Ok(when_full) => when_full,
        Err(_) => {
            let what = format!("{} is nothing to do here with a full outbox", request.when_full);
            return Err(ApiError::invalid("WHEN_FULL_UNKNOWN", "when_full", what));
        }
    };
    let message = Message { op: request.op, body: request.body };
    Ok(Push { target, message, wait_for, when_full, stale_ok: request.stale_ok })
}

/// Checks what is to be disconnected.
///
/// # Errors
/// [`ApiError`] with the field and what is wrong with it.
pub(crate) fn disconnect(request: wire::DisconnectRequest) -> Result<Target, ApiError> {
    let target = target(request.target, namespace(&request.namespace)?)?;
    match target {
        Target::Addresses(_) | Target::Connections(_) => Ok(target),
        Target::Room(_) | Target::Everybody { .. } => {
            let what = "only users, keys and connections can be disconnected";
            Err(ApiError::invalid("TARGET_NOT_ALLOWED", "target", what))
        }
    }
}

/// Checks a message of goim's API.
///
/// # Errors
/// [`ApiError`] with the parameter and what is wrong with it.
pub(crate) fn live(target: Target, op: i32, message: bytes::Bytes) -> Result<Push, ApiError> {
    body(message.len())?;
    count("targets", target.len())?;
    let message = Message { op, body: message };
    Ok(Push { target, message, wait_for: WaitFor::Queued, when_full: None, stale_ok: false })
}

/// Checks how many items a `PushMany` has.
///
/// # Errors
/// [`ApiError`] when there are too many.
pub(crate) fn items(count: usize) -> Result<(), ApiError> {
    if count > PUSH_ITEMS_MAX {
        let what = format!("{count} items are more than {PUSH_ITEMS_MAX}");
        return Err(ApiError::invalid("TOO_MANY_ITEMS", "items", what));
    }
    Ok(())
}

/// Checks an id.
///
/// # Errors
/// [`ApiError`] with the field and what is wrong with it.
pub(crate) fn id(field: &str, text: &str) -> Result<Id, ApiError> {
    Id::new(text).map_err(|error| {
        let reason = match error {
            IdError::Empty => "ID_EMPTY",
            IdError::TooLong { .. } => "ID_TOO_LONG",
        };
        ApiError::invalid(reason, field, error.to_string())
    })
}

/// Checks a namespace; the empty text is the default one.
///
/// # Errors
/// [`ApiError`] when it is not an id.
pub(crate) fn namespace(text: &str) -> Result<Option<Id>, ApiError> {
    if text.is_empty() { Ok(None) } else { id("namespace", text).map(Some) }
}

/// Checks a connection's owner: exactly one of user and key.
///
/// # Errors
/// [`ApiError`] when it is none or both, or not an id.
pub(crate) fn owner(
    namespace: Option<Id>,
    user: (&str, &str),
    key: (&str, &str),
) -> Result<Address, ApiError> {
    let (kind, (field, text)) = match (user.1.is_empty(), key.1.is_empty()) {
        (false, true) => (Kind::User, user),
        (true, false) => (Kind::Key, key),
        (true, true) => {
            return Err(ApiError::invalid("OWNER_MISSING", user.0, "either user or key is needed"));
        }
        (false, false) => {
            let what = "user and key exclude each other";
            return Err(ApiError::invalid("OWNER_AMBIGUOUS", key.0, what));
        }
    };
    Ok(Address { namespace, kind, id: id(field, text)? })
}

fn target(target: Option<wire::Target>, namespace: Option<Id>) -> Result<Target, ApiError> {
    let address = |kind, field: String, text: &str| {
        Ok(Address { namespace: namespace.clone(), kind, id: id(&field, text)? })
    };
    let each = |kind, field: &str, ids: Vec<String>| {
        count(field, ids.len())?;
        let one =
            |(index, text): (usize, &String)| address(kind, format!("{field}[{index}]"), text);
        ids.iter().enumerate().map(one).collect::<Result<_, ApiError>>().map(Target::Addresses)
    };
    match target.and_then(|target| target.target) {
        None => Err(ApiError::invalid("TARGET_MISSING", "target", "a push needs a target")),
        Some(WireTarget::Users(users)) => each(Kind::User, "target.users.ids", users.ids),
        Some(WireTarget::Keys(keys)) => each(Kind::Key, "target.keys.ids", keys.ids),
        Some(WireTarget::Connections(connections)) => {
            connections_of(connections.connections, namespace)
        }
        Some(WireTarget::Room(room)) => {
            Ok(Target::Room(address(Kind::Room, "target.room".to_owned(), &room)?))
        }
        Some(WireTarget::Broadcast(all)) => Ok(Target::Everybody { namespace, rate: all.rate }),
    }
}

fn connections_of(
    connections: Vec<wire::Connection>,
    namespace: Option<Id>,
) -> Result<Target, ApiError> {
    let list = "target.connections.connections";
    count(list, connections.len())?;
    let one = |(index, connection): (usize, wire::Connection)| {
        let (user, key) = (format!("{list}[{index}].user"), format!("{list}[{index}].key"));
        let (user, key) = ((&*user, &*connection.user), (&*key, &*connection.key));
        Ok((owner(namespace.clone(), user, key)?, Seq(connection.seq)))
    };
    let named = connections.into_iter().enumerate().map(one).collect::<Result<_, ApiError>>()?;
    Ok(Target::Connections(named))
}

fn count(field: &str, count: usize) -> Result<(), ApiError> {
    match count {
        0 => Err(ApiError::invalid("TARGETS_MISSING", field, "a push needs at least one target")),
        count if count > PUSH_TARGETS_MAX => {
            let what = format!("{count} targets are more than {PUSH_TARGETS_MAX}");
            Err(ApiError::invalid("TOO_MANY_TARGETS", field, what))
        }
        _ => Ok(()),
    }
}

fn body(bytes: usize) -> Result<(), ApiError> {
    if bytes > PUSH_BODY_BYTES_MAX {
        let what = format!("a body of {bytes} bytes is longer than {PUSH_BODY_BYTES_MAX}");
        return Err(ApiError::invalid("BODY_TOO_LARGE", "body", what));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(target: WireTarget) -> wire::PushRequest {
        let target = Some(wire::Target { target: Some(target) });
        wire::PushRequest { target, ..wire::PushRequest::default() }
    }

    fn users(ids: Vec<String>) -> wire::PushRequest {
        to(WireTarget::Users(wire::Users { ids }))
    }

    fn refusal(request: wire::PushRequest) -> (&'static str, String) {
        match push(request) {
            Err(ApiError::Invalid { reason, field, .. }) => (reason, field),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_rule_has_its_reason_and_names_the_field() {
        let connection = |user: &str, key: &str| {
            let connection = wire::Connection { user: user.into(), key: key.into(), seq: 1 };
            to(WireTarget::Connections(wire::Connections { connections: vec![connection] }))
        };
        let many = (0..=PUSH_TARGETS_MAX).map(|n| n.to_string()).collect();
        let ok = || users(vec!["1".into()]);
        let cases = [
            (wire::PushRequest::default(), "TARGET_MISSING", "target"),
            (users(vec![]), "TARGETS_MISSING", "target.users.ids"),
            (users(many), "TOO_MANY_TARGETS", "target.users.ids"),
            (users(vec!["a".into(), "x".repeat(10_240)]), "ID_TOO_LONG", "target.users.ids[1]"),
            (users(vec![String::new()]), "ID_EMPTY", "target.users.ids[0]"),
            (to(WireTarget::Room(String::new())), "ID_EMPTY", "target.room"),
            (connection("", ""), "OWNER_MISSING", "target.connections.connections[0].user"),
            (connection("a", "b"), "OWNER_AMBIGUOUS", "target.connections.connections[0].key"),
            (wire::PushRequest { delivery: 2, ..ok() }, "DELIVERY_UNKNOWN", "delivery"),
            (wire::PushRequest { wait_for: 3, ..ok() }, "WAIT_FOR_UNKNOWN", "wait_for"),
            (wire::PushRequest { when_full: 4, ..ok() }, "WHEN_FULL_UNKNOWN", "when_full"),
            (wire::PushRequest { namespace: "n".repeat(129), ..ok() }, "ID_TOO_LONG", "namespace"),
            (
                wire::PushRequest { body: vec![0; PUSH_BODY_BYTES_MAX + 1].into(), ..ok() },
                "BODY_TOO_LARGE",
                "body",
            ),
        ];
        for (request, reason, field) in cases {
            assert_eq!(refusal(request), (reason, field.to_owned()));
        }
    }

    #[test]
    fn the_largest_push_is_taken() {
        let ids = (0..PUSH_TARGETS_MAX).map(|n| format!("{n:0>128}")).collect();
        let body = vec![0; PUSH_BODY_BYTES_MAX].into();
        let taken =
            push(wire::PushRequest { body, delivery: 1, wait_for: 2, ..users(ids) }).unwrap();
        assert_eq!(taken.target.len(), PUSH_TARGETS_MAX);
        assert_eq!(taken.wait_for, WaitFor::Written);
    }

    #[test]
    fn rooms_and_everybody_cannot_be_disconnected() {
        let target = Some(wire::Target { target: Some(WireTarget::Room("live://1".into())) });
        let refused = disconnect(wire::DisconnectRequest { target, namespace: String::new() });
        assert_eq!(refused.unwrap_err().reason(), "TARGET_NOT_ALLOWED");
    }
}
