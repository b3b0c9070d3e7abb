//! The driver against a router node in this process.
// What tests share may unwrap as tests do.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::time::Duration;

use orrery_bench::clock::Clock;
use orrery_bench::closed_loop::{Load, populate};
use orrery_bench::measure::{Figures, measure};
use orrery_bench::registry::Registry;
use orrery_bench::target::{Op, Target};
use orrery_host::Host;
use orrery_model::NodeId;
use orrery_router::{Config, Handle};
use orrery_router_store::model::ModelDisk;
use tokio::time::{sleep, timeout};

/// No condition of a test takes longer than this unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(20);

async fn router(host: &Host) -> Handle {
    let any = ([127, 0, 0, 1], 0).into();
    let config =
        Config { found_alone: true, registry_listen: any, peers_listen: any, ..Config::default() };
    let disk = Arc::new(ModelDisk::blank(NodeId(1), "first"));
    let router = orrery_router::start(config, host.clone(), disk).await.unwrap();
    let ready = async {
        while router.ready().is_err() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, ready).await.expect("the router gets ready");
    router
}

async fn load(host: &Host, registry: &Arc<Registry>, op: Op) -> Figures {
    let users = Arc::new(populate(registry, 100).await.unwrap());
    let ms = Duration::from_millis;
    let load = Load { op, callers: 8, warm_up: ms(50), lasting: ms(300) };
    measure(host, Clock::start(), registry, &users, load, &[std::process::id()]).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn binds_and_look_ups_are_measured_and_none_fails() {
    let host = Host::system();
    let router = router(&host).await;
    let routers = vec![router.registry_address().to_string()];
    for op in Op::ALL {
        // A registry's users are its own: each load has fresh ones.
        let registry = Arc::new(Registry::attach(&host, routers.clone()).await.unwrap());
        let figures = load(&host, &registry, op).await;
        assert_eq!(figures.failures.len(), 0, "{:?}", figures.first_failure);
        assert!(figures.per_second > 0.0 && figures.latency.count > 0, "{figures:?}");
        assert!(figures.latency.p50_ms <= figures.latency.max_ms, "{figures:?}");
        assert!(figures.server_rss_mib.is_some_and(|mib| mib > 0.0), "{figures:?}");
        registry.detach().await.unwrap();
    }
    timeout(PATIENCE, router.stop()).await.expect("stopping is bounded in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_of_a_user_who_is_not_bound_is_a_failure() {
    let host = Host::system();
    let router = router(&host).await;
    let routers = vec![router.registry_address().to_string()];
    let registry = Registry::attach(&host, routers).await.unwrap();
    registry.write(0, 1).await.unwrap();
    registry.read(0, 1).await.unwrap();
    assert_eq!(registry.read(0, 2).await.unwrap_err().kind, "odd");
    // The same connection again is the same bind; another one has the next seq and takes its place.
    let user = || registry.user(1);
    let first = registry.bind(user(), 2).await.unwrap();
    assert!(registry.bind(user(), 3).await.unwrap() > first);
    assert_eq!(registry.read(0, 1).await.unwrap_err().kind, "odd");
    timeout(PATIENCE, router.stop()).await.expect("stopping is bounded in time");
}
