//! What the three services have in common for the process around them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use orrery_daemon::admin::{Health, Outcome};
use orrery_daemon::shutdown::Step;
use prometheus_client::registry::Registry;

use crate::config::Role;
use crate::process::Hurry;

/// How long a service may take to stop that has a shorter time of its own: against a hang only.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

/// How much longer than configured a service may take to stop: against a hang only, too.
const STOP_SLACK: Duration = Duration::from_secs(10);

/// A running service.
pub(crate) trait Service: Sized + Send + Sync + 'static {
    /// Its role.
    const ROLE: Role;

    /// Whether it can do its work, and why not.
    fn ready(&self) -> Result<(), String>;

    /// The parts behind its readiness, where it has some.
    fn parts(&self) -> Vec<Outcome> {
        Vec::new()
    }

    /// Adds its metrics.
    fn register(&self, registry: &mut Registry);

    /// Waits until it has ended by itself, and says why.
    fn ended(&self) -> impl Future<Output = String> + Send;

    /// What hurries its end, where something can.
    fn hurry(&self) -> Option<Hurry> {
        None
    }

    /// After what time its stop is given up.
    fn stop_max(&self) -> Duration {
        STOP_TIMEOUT
    }

    /// Ends it in order.
    fn stop(self) -> BoxFuture<'static, ()>;
}

/// A running service that health checks may look at.
pub(crate) struct Running<S> {
    service: Arc<S>,
    /// Its number, where several of its role run in the process.
    instance: Option<usize>,
}

impl<S: Service> Running<S> {
    pub(crate) fn new(service: S) -> Self {
        Self { service: Arc::new(service), instance: None }
    }

    /// Gives it its number among those of its role in this process.
    pub(crate) fn numbered(self, instance: usize) -> Self {
        Self { instance: Some(instance), ..self }
    }

    /// Adds its readiness to the checks.
    pub(crate) fn check(&self, health: Health) -> Health {
        let name = match self.instance {
            Some(instance) => format!("{}-{instance}", S::ROLE.word()),
            None => S::ROLE.word().to_owned(),
        };
        let (ready, parts): (Weak<S>, Weak<S>) =
            (Arc::downgrade(&self.service), Arc::downgrade(&self.service));
        let health = health.check(name, move || match ready.upgrade() {
            Some(service) => service.ready(),
            None => Err("stopping".to_owned()),
        });
        health.details(move || parts.upgrade().map(|service| service.parts()).unwrap_or_default())
    }

    /// Adds its metrics, with its number as a label where it has one.
    pub(crate) fn show(&self, registry: &mut Registry) {
        match self.instance {
            Some(instance) => {
                let label = ("instance".into(), instance.to_string().into());
                self.service.register(registry.sub_registry_with_label(label));
            }
            None => self.service.register(registry),
        }
    }

    /// Its end, for the orderly end of the process.
    pub(crate) fn step(self) -> Step {
        let within = self.service.stop_max();
        Step::new(S::ROLE.word(), within, async move {
            let mut shared = self.service;
            let service = loop {
                match Arc::try_unwrap(shared) {
                    Ok(service) => break service,
                    // A health check looks at it for an instant.
                    Err(still) => shared = still,
                }
                tokio::task::yield_now().await;
            };
            service.stop().await;
        })
    }
}

impl<S> std::ops::Deref for Running<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.service
    }
}

impl Service for orrery_router::Handle {
    const ROLE: Role = Role::Router;

    fn ready(&self) -> Result<(), String> {
        self.ready()
    }

    fn parts(&self) -> Vec<Outcome> {
        self.ready_report()
    }

    fn register(&self, registry: &mut Registry) {
        self.register(registry);
    }

    async fn ended(&self) -> String {
        self.failed().await
    }

    fn stop(self) -> BoxFuture<'static, ()> {
        Box::pin(self.stop())
    }
}

impl Service for orrery_logic::Handle {
    const ROLE: Role = Role::Logic;

    fn ready(&self) -> Result<(), String> {
        self.ready()
    }

    fn register(&self, registry: &mut Registry) {
        self.register(registry);
    }

    async fn ended(&self) -> String {
        // It keeps no state that could fail it.
        std::future::pending().await
    }

    fn stop(self) -> BoxFuture<'static, ()> {
        Box::pin(self.stop())
    }
}

impl Service for orrery_comet::Handle {
    const ROLE: Role = Role::Comet;

    fn ready(&self) -> Result<(), String> {
        self.ready()
    }

    fn register(&self, registry: &mut Registry) {
        self.register(registry);
    }

    async fn ended(&self) -> String {
        self.ended().await.to_string()
    }

    fn hurry(&self) -> Option<Hurry> {
        Some(Box::new(self.hurry()))
    }

    fn stop_max(&self) -> Duration {
        self.stop_max().saturating_add(STOP_SLACK)
    }

    fn stop(self) -> BoxFuture<'static, ()> {
        Box::pin(self.stop())
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use orrery_daemon::shutdown;
    use orrery_host::Host;

    use super::*;

    /// A service that does not end.
    struct Endless(Duration);

    impl Service for Endless {
        const ROLE: Role = Role::Logic;

        fn ready(&self) -> Result<(), String> {
            Ok(())
        }

        fn register(&self, _: &mut Registry) {}

        async fn ended(&self) -> String {
            std::future::pending().await
        }

        fn stop_max(&self) -> Duration {
            self.0
        }

        fn stop(self) -> BoxFuture<'static, ()> {
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test]
    async fn a_stop_is_given_up_when_the_service_says_so() {
        let step = Running::new(Endless(Duration::from_millis(1))).step();
        let late = tokio::time::timeout(STOP_TIMEOUT / 6, shutdown::in_order(vec![step])).await;
        assert_eq!(late, Ok(vec!["logic"]));
    }

    #[tokio::test]
    async fn a_comet_has_the_time_to_stop_that_is_configured() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let config = orrery_comet::Config {
            id: "comet-1".to_owned(),
            tcp_listen: any,
            websocket_listen: any,
            delivery_listen: any,
            stop_ms: 600_000,
            ..orrery_comet::Config::default()
        };
        let comet = orrery_comet::start(config, Host::system()).await.unwrap();
        assert!(Service::stop_max(&comet) > Duration::from_secs(600));
    }
}
