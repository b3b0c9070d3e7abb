//! Looks: what all nodes said of the cluster and of themselves when they were asked at once.

use std::collections::BTreeMap;

use super::standings::ONE_LOOK;
use crate::history::{Event, History, Op, Standing};

/// The words of the nodes at one look, each with the event that told it.
pub(crate) type Look<'a> = BTreeMap<u64, (&'a Event, &'a Standing)>;

/// All looks of a history: each node was asked after all words of the look before were written down. Where the words
/// do not say of which look they are, that goes by their time.
pub(crate) fn looks<'a>(history: &History<'a>) -> Vec<Look<'a>> {
    let mut looks: Vec<Look<'a>> = Vec::new();
    let mut last: Option<(u64, Option<u64>)> = None;
    for event in history.events {
        let (Some(node), Op::Standing(standing)) = (event.node, &event.op) else { continue };
        let goes_on = last.is_some_and(|(began, number)| match (number, standing.look) {
            (None, None) => event.time <= began + ONE_LOOK,
            (before, now) => before == now,
        });
        match looks.last_mut().filter(|look| goes_on && !look.contains_key(&node)) {
            Some(look) => _ = look.insert(node, (event, standing)),
            None => {
                looks.push(Look::from([(node, (event, standing))]));
                last = Some((event.time, standing.look));
            }
        }
    }
    looks
}
