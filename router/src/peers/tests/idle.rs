//! What a cluster costs while nothing happens.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::world::{World, config, until};

/// User and system time of this process so far.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(") ").unwrap().1;
    let fields: Vec<&str> = fields.split(' ').collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

async fn measure(shards: u32) -> f64 {
    let world = World::founded(config(), 3, shards).await;
    until("all know their leaders", || {
        let knows =
            |shard: &_| [1, 2, 3].iter().all(|id| world.group(*id, *shard).leader().is_some());
        world.shards.iter().all(knows)
    })
    .await;
    sleep(Duration::from_secs(3)).await;
    let terms =
        || -> u64 { world.shards.iter().map(|shard| world.group(1, *shard).progress().term).sum() };
    let (term, begun, before) = (terms(), Instant::now(), cpu());
    sleep(Duration::from_secs(20)).await;
    let percent = (cpu() - before).as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0;
    println!("{shards} shards x 3: {percent:.1} % of a core, {} elections", terms() - term);
    percent
}

#[tokio::test]
#[ignore = "a measurement: needs a release build and a quiet machine"]
async fn sixteen_idle_shards_cost_less_than_5_percent_of_a_core() {
    assert!(measure(16).await < 5.0);
}

#[tokio::test]
#[ignore = "a measurement: needs a release build and a quiet machine"]
async fn sixty_four_idle_shards_cost_less_than_10_percent_of_a_core() {
    assert!(measure(64).await < 10.0);
}
