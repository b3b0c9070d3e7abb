//! Hello: how a device of `orrery.json.v1` introduces itself.

use std::collections::{BTreeMap, BTreeSet};

use orrery_model::Id;
use orrery_model::limits::{LABEL_BYTES_MAX, LABELS_MAX};
use serde::{Deserialize, Serialize};

use super::ids;
use super::request_id::RequestId;
use crate::limits::{ACCEPTS_MAX, NAME_BYTES_MAX};

/// Who a device says it is and what it wants. Logic decides whether to believe it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hello {
    /// Echoed in the welcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<RequestId>,
    /// The user; absent: reachable by key only.
    #[serde(with = "ids::optional", skip_serializing_if = "Option::is_none")]
    pub user: Option<Id>,
    /// Proof of the user's identity, where the installation asks for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The connection's key; absent: one is drawn and told in the welcome.
    #[serde(with = "ids::optional", skip_serializing_if = "Option::is_none")]
    pub key: Option<Id>,
    /// Rooms to be in from the start.
    #[serde(with = "ids::rooms", skip_serializing_if = "BTreeSet::is_empty")]
    pub rooms: BTreeSet<Id>,
    /// Platform, as policies compare it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub platform: String,
    /// Device, for people to know it by.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub device: String,
    /// Free labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Operations to accept; absent: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepts: Option<Vec<i32>>,
}

impl Hello {
    /// Checks the limits that the types do not.
    pub(super) fn check(&self) -> Result<(), String> {
        for (name, text) in [("platform", &self.platform), ("device", &self.device)] {
            if text.len() > NAME_BYTES_MAX {
                return Err(format!("`{name}` is longer than {NAME_BYTES_MAX} bytes"));
            }
        }
        if self.labels.len() > LABELS_MAX {
            return Err(format!("`labels` has more than {LABELS_MAX} entries"));
        }
        if self.labels.iter().any(|(name, value)| name.len() + value.len() > LABEL_BYTES_MAX) {
            return Err(format!("an entry of `labels` is longer than {LABEL_BYTES_MAX} bytes"));
        }
        if self.accepts.as_ref().is_some_and(|ops| ops.len() > ACCEPTS_MAX) {
            return Err(format!("`accepts` has more than {ACCEPTS_MAX} entries"));
        }
        Ok(())
    }
}
