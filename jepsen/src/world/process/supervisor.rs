//! Supervisor: starts again what ended by itself, as a machine's own would, and writes down whether a
//! fault explains it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::progress::Progress;
use super::stations::Stations;
use crate::recorder::Recorder;

/// After how long a process that ended by itself is started again.
const RESTART: Duration = Duration::from_millis(500);

/// The longest pause before one that ends again and again is started once more.
const RESTART_MAX: Duration = Duration::from_secs(8);

/// A process that has run for so long is not one that ends again and again.
const STEADY: Duration = Duration::from_secs(10);

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// One that ended, and when it comes back.
struct Away {
    back: Instant,
    pause: Duration,
    started: Option<Instant>,
}

/// Watches until it is dropped.
pub(crate) async fn supervise(stations: Arc<Stations>, recorder: Recorder, progress: Progress) {
    let mut away: BTreeMap<String, Away> = BTreeMap::new();
    loop {
        sleep(LOOK).await;
        let now = Instant::now();
        stations.each(|station| {
            let name = station.name().to_owned();
            match station.ended() {
                Ok(None) => {}
                Ok(Some(status)) if station.held => {
                    progress.say(&format!("{name} ended: {status}"));
                }
                Ok(Some(status)) if station.retires => {
                    station.held = true;
                    progress.say(&format!("{name} was removed and ended: {status}"));
                }
                Ok(Some(status)) => {
                    let held = away.get(&name);
                    let steady = |one: &Away| one.started.is_none_or(|at| at + STEADY < now);
                    let pause = match held {
                        Some(one) if !steady(one) => (one.pause * 2).min(RESTART_MAX),
                        _ => RESTART,
                    };
                    away.insert(name.clone(), Away { back: now + pause, pause, started: None });
                    match station.excused() {
                        Some(why) => {
                            progress.say(&format!("{name} ended by itself: {why}"));
                            recorder.ended(&name, status.to_string(), Some(why.to_string()));
                        }
                        None => {
                            let said = station.last_lines();
                            let what = format!("{name} ended by itself ({status}): {said}");
                            progress.say(&format!("FOUND: {what}"));
                            recorder.ended(&name, format!("{status}: {said}"), None);
                            stations.find(what);
                        }
                    }
                }
                Err(error) => recorder.harness_failure(format!("look at {name}: {error}")),
            }
            let Some(one) = away.get_mut(&name) else { return };
            if one.started.is_none() && one.back <= now && !station.held && !station.runs() {
                one.started = Some(now);
                if let Err(error) = station.start() {
                    recorder.harness_failure(format!("start {name} again: {error:#}"));
                }
            }
        });
    }
}
