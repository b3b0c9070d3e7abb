//! What the three services have in common for the process around them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;
use orrery_daemon::admin::{Health, Outcome};
use orrery_daemon::shutdown::Step;
use prometheus_client::registry::Registry;

use crate::config::Role;
use crate::process::Hurry;

/// How long one service may take to stop: against a hang only, each has a shorter time of its own.
const STOP_TIMEOUT: Duration = Duration::from_secs(60);

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
        Step::new(S::ROLE.word(), STOP_TIMEOUT, async move {
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
        self.ended().await;
        "another instance runs under its id".to_owned()
    }

    fn hurry(&self) -> Option<Hurry> {
        let hurry = self.hurry();
        Some(Box::new(move || hurry.hurry()))
    }

    fn stop(self) -> BoxFuture<'static, ()> {
        Box::pin(self.stop())
    }
}
