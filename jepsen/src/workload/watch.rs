//! Watch: which comets live, asked again and again, so that checkers know in which of its lives a comet was.

use std::time::Duration;

use judge::history::{Living, Op};
use rand::Rng as _;
use tokio::sync::watch;
use tokio::time::Instant;

use super::READ_TIMEOUT;
use super::bed::Bed;
use crate::recorder::Said;

/// Pause between two looks, about.
const LOOK: Duration = Duration::from_millis(300);

/// Looks until the work ends, and twice more. Says so once it has seen these comets alive.
pub async fn watch(bed: Bed, comets: Vec<String>, seen: watch::Sender<bool>) {
    let mut process = bed.recorder.process();
    let mut chance = bed.chance("watch");
    let mut bed = Bed { pace: LOOK, ..bed };
    let mut looks = 2;
    while looks > 0 {
        if !bed.asks() {
            looks -= 1;
        }
        process.invoke(None, Op::Comets(Living::default()));
        match bed.client.comets(false, Instant::now() + READ_TIMEOUT).await {
            Ok(living) => {
                let name = |comet: &orrery_model::control::Comet| {
                    (comet.comet.id.to_string(), comet.comet.incarnation.0)
                };
                let living: Vec<(String, u64)> = living.iter().map(name).collect();
                let is_seen = |comet: &String| living.iter().any(|(name, _)| name == comet);
                let all_seen = comets.iter().all(is_seen);
                process.ok(Op::Comets(Living { comets: Some(living) }), Said::default());
                if all_seen {
                    seen.send_replace(true);
                }
            }
            Err(error) => process.fail(error.to_string().as_str(), Said::default()),
        }
        match bed.asks() {
            true => bed.pause(&mut chance).await,
            // Devices that go now are seen once more.
            false => tokio::time::sleep(LOOK.mul_f64(chance.random_range(1.0..2.0))).await,
        }
    }
}
