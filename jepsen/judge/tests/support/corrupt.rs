//! One wrong answer in a history that was right.

use orrery_judge::history::{Event, Kind, Op};

use crate::generate::Numbers;

/// Makes one answer wrong, if the one that is chosen can be.
pub(crate) fn corrupt(events: &mut [Event], numbers: &mut Numbers) {
    let at = numbers.below(events.len() as u64) as usize;
    let all: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.op {
            Op::Locate(locate) => locate.routes.clone(),
            _ => None,
        })
        .flatten()
        .collect();
    let event = &mut events[at];
    match &mut event.op {
        Op::Locate(locate) => {
            let Some(routes) = &mut locate.routes else { return };
            if numbers.below(2) == 0 || all.is_empty() {
                routes.pop();
            } else {
                routes.push(all[numbers.below(all.len() as u64) as usize].clone());
            }
        }
        Op::Bind(bind) if event.kind == Kind::Ok => match numbers.below(3) {
            0 => bind.seq = bind.seq.map(|seq| seq.saturating_sub(1 + numbers.below(3))),
            1 => bind.losers = Some(Vec::new()),
            _ => event.log_index = event.log_index.map(|index| index - numbers.below(3)),
        },
        Op::Unbind(unbind) if event.kind == Kind::Ok => {
            unbind.removed = unbind.removed.map(|removed| !removed);
        }
        _ => {}
    }
}
