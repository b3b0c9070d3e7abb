//! Lanes: what each process did over the time of the run.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use judge::history::{Kind, Op};

use crate::chart::Chart;
use crate::figures::count;
use crate::limits::LANES_MAX;
use crate::markup::put;
use crate::survey::times;

/// Height of a lane.
const LANE: f64 = 10.0;

/// What a process did in a bucket.
#[derive(Default, Clone, Copy, PartialEq)]
struct Did {
    ok: bool,
    fail: bool,
    info: bool,
}

#[derive(Default)]
struct Lane<'a> {
    /// The comet as which it writes or renews its lease, or else what it does.
    name: &'a str,
    did: Vec<Did>,
    /// Operations that took longer than a bucket.
    long: Vec<(u64, u64)>,
}

/// Draws a lane for each process, or for those that did most where they are many.
pub(super) fn draw(chart: &mut Chart<'_, '_>) {
    let (survey, axis) = (chart.survey, chart.survey.axis);
    let mut busy: BTreeMap<i64, usize> = BTreeMap::new();
    for operation in &survey.operations {
        *busy.entry(operation.invoke.process).or_default() += 1;
    }
    let all = busy.len();
    let mut busy: Vec<(i64, usize)> = busy.into_iter().collect();
    busy.sort_by_key(|(process, operations)| (Reverse(*operations), *process));
    busy.truncate(LANES_MAX);
    let mut lanes: BTreeMap<i64, Lane<'_>> =
        busy.into_iter().map(|(process, _)| (process, Lane::default())).collect();
    for operation in &survey.operations {
        let Some(lane) = lanes.get_mut(&operation.invoke.process) else { continue };
        lane.did.resize(axis.buckets(), Did::default());
        if lane.name.is_empty() {
            let op = &operation.invoke.op;
            lane.name = match op {
                Op::Attach(attach) => &attach.comet,
                Op::KeepAlive(life) | Op::Detach(life) => &life.comet,
                op => op.writer().map_or(op.name(), |(comet, _)| comet),
            };
        }
        let (began, ended) = times(operation);
        let ended = ended.unwrap_or(axis.end);
        let did = &mut lane.did[axis.place(ended)];
        match operation.kind() {
            Kind::Ok => did.ok = true,
            Kind::Fail => did.fail = true,
            Kind::Info | Kind::Invoke => did.info = true,
        }
        if ended.saturating_sub(began) > axis.bucket {
            lane.long.push((began, ended));
        }
    }
    if lanes.is_empty() {
        return;
    }
    let which = match all == lanes.len() {
        true => "processes".to_owned(),
        false => format!("the {} busiest of {} processes", lanes.len(), count(all)),
    };
    chart.heading(&format!("{which}: ▬ ok, ◆ fail, ✕ info, ─ waiting"));
    for (process, lane) in &lanes {
        chart.name(&format!("{process} {}", lane.name), LANE);
        draw_lane(chart, lane);
        chart.y += LANE + 3.0;
    }
    chart.below(0.0);
}

fn draw_lane(chart: &mut Chart<'_, '_>, lane: &Lane<'_>) {
    let (axis, middle) = (chart.survey.axis, chart.y + LANE / 2.0);
    let (mut long, mut ok, mut fail, mut info) =
        (String::new(), String::new(), String::new(), String::new());
    for (began, ended) in &lane.long {
        put!(long, "M{:.1} {middle:.1}H{:.1}", axis.x(*began), axis.x(*ended));
    }
    let mut place = 0;
    while place < lane.did.len() {
        let run = lane.did[place..].iter().take_while(|did| did.ok).count();
        if run > 0 {
            let (from, to) = (axis.x(axis.begins(place)), axis.x(axis.begins(place + run)));
            put!(ok, "M{from:.1} {middle:.1}H{to:.1}");
        }
        place += run.max(1);
    }
    for (place, did) in lane.did.iter().enumerate() {
        let x = axis.middle(place);
        if did.fail {
            put!(fail, "M{x:.1} {:.1}l3 3-3 3-3-3Z", middle - 3.0);
        }
        if did.info {
            put!(info, "M{:.1} {:.1}l7 7m0-7l-7 7", x - 3.5, middle - 3.5);
        }
    }
    for (class, path) in
        [("lane long", long), ("lane ok", ok), ("lane fail", fail), ("lane info", info)]
    {
        if !path.is_empty() {
            put!(chart.body, "<path class=\"{class}\" d=\"{path}\"/>");
        }
    }
}
