//! Instances: which processes ran under a comet's id, one after the other. Who was superseded gets no life any
//! more, and nobody is called superseded without a reason.

use std::collections::BTreeMap;

use crate::history::{Attach, History, Op, Operation, Refusal};
use crate::verdict::Violation;

/// Attaches of one comet.
type Attaches<'h, 'a> = Vec<(&'h Operation<'a>, &'a Attach)>;

/// Judges what every attach was answered.
pub(super) fn check(history: &History<'_>, violations: &mut Vec<Violation>) {
    let mut comets: BTreeMap<&str, Attaches<'_, '_>> = BTreeMap::new();
    for operation in &history.operations {
        if let Op::Attach(attach) = operation.op() {
            comets.entry(&attach.comet).or_default().push((operation, attach));
        }
    }
    for attaches in comets.values() {
        for (operation, attach) in attaches {
            let violation = match operation.refusal() {
                Some(Refusal::Superseded) => without_reason(attaches, operation, attach),
                _ if operation.is_ok() => after_its_end(attaches, operation, attach),
                _ => None,
            };
            violations.extend(violation);
        }
    }
}

/// An instance is superseded by another one, an attempt by a later one too.
fn without_reason(
    attaches: &Attaches<'_, '_>,
    operation: &Operation<'_>,
    attach: &Attach,
) -> Option<Violation> {
    let told = operation.told_by();
    let explains = |(other, of): &(&Operation<'_>, &Attach)| {
        let later = of.instance != attach.instance || of.attempt > attach.attempt;
        later && other.may_have_happened() && other.began() < told
    };
    (!attaches.iter().any(explains)).then(|| {
        let Attach { comet, instance, .. } = attach;
        let text = format!("{instance} of {comet} was superseded, but by nobody");
        Violation::new([operation.began(), told], text)
    })
}

/// An instance that had a life before another one's was given gets none after that.
fn after_its_end(
    attaches: &Attaches<'_, '_>,
    operation: &Operation<'_>,
    attach: &Attach,
) -> Option<Violation> {
    let given = attaches.iter().filter(|(other, _)| other.is_ok());
    let mine = given.clone().filter(|(_, of)| of.instance == attach.instance);
    let first = mine.filter_map(|(_, of)| of.incarnation).min()?;
    let mut others = given.filter(|(other, of)| {
        of.instance != attach.instance
            && of.incarnation > Some(first)
            && other.told_by() < operation.began()
    });
    others.next().map(|(other, of)| {
        let text = format!(
            "{} of {} got a life, although {} had superseded it",
            attach.instance, attach.comet, of.instance
        );
        Violation::new([other.told_by(), operation.told_by()], text)
    })
}
