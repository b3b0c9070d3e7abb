//! TLS: the certificates that devices are shown, and what is made of them for the doors.

use std::path::PathBuf;
use std::sync::Arc;

use orrery_host::{Clock, Host, Task};
use orrery_tls::{Acceptor, Certificates, Files, Look, Speaks, watch};
use tokio::sync::oneshot;

use crate::config::Tls;
use crate::error::StartError;
use crate::metrics::Metrics;

/// What the doors need that speak TLS.
pub(crate) struct Secured {
    certificates: Arc<Certificates>,
    /// For goim's TCP protocol.
    pub(crate) tcp: Acceptor,
    /// For WebSocket.
    pub(crate) websocket: Acceptor,
}

impl Secured {
    /// Reads the certificates. `None` where none are configured.
    ///
    /// # Errors
    /// [`StartError::Certificates`] and [`StartError::Tls`].
    pub(crate) async fn load(config: &Tls, host: &Host) -> Result<Option<Self>, StartError> {
        if config.certificates.is_empty() {
            return Ok(None);
        }
        let files = files(config);
        let clock = host.clock.clone();
        let (loaded_tx, loaded) = oneshot::channel();
        let load = Box::new(move || {
            // Whoever started the comet may have stopped waiting.
            let _ = loaded_tx.send(Certificates::load(files, clock));
        });
        host.tasks.blocking("tls.certificates", load).await;
        let certificates = Arc::new(loaded.await.expect("the work is done")?);
        let acceptor = |speaks| Acceptor::new(certificates.clone(), speaks);
        let (tcp, websocket) = (acceptor(Speaks::Unnamed)?, acceptor(Speaks::Http)?);
        Ok(Some(Self { certificates, tcp, websocket }))
    }

    /// Has the certificates replaced as their files are, for as long as the task is owned.
    pub(crate) fn watch(&self, host: &Host, metrics: Arc<Metrics>) -> Task {
        let certificates = self.certificates.clone();
        metrics.certificates_end_at(certificates.expires_at());
        let clock = host.clock.clone();
        metrics.certificates_looked_at(clock.wall_ms() / 1000);
        let found = move |look: &Look| {
            metrics.certificates_looked_at(clock.wall_ms() / 1000);
            match look {
                Look::Unchanged => {}
                Look::Replaced => {
                    metrics.tls_certificates_replaced.inc();
                    metrics.certificates_end_at(certificates.expires_at());
                }
                Look::Refused(_) => {
                    metrics.tls_certificates_refused.inc();
                }
            }
        };
        let watching = watch(self.certificates.clone(), host.clone(), Arc::new(found));
        host.tasks.spawn("tls_certificates", watching)
    }
}

impl Tls {
    /// Reads the files as a start does, and blocks meanwhile. Returns what is wrong with what would be shown
    /// nevertheless: for people, one line each.
    ///
    /// # Errors
    /// [`StartError::Certificates`], for which a start would fail.
    pub fn check_files(&self, clock: Arc<dyn Clock>) -> Result<Vec<String>, StartError> {
        if self.certificates.is_empty() {
            return Ok(Vec::new());
        }
        let certificates = Certificates::load(files(self), clock)?;
        let line =
            |(files, warning): (&Files, _)| format!("{}: {warning}", files.certificates.display());
        Ok(certificates.warnings().into_iter().map(line).collect())
    }
}

fn files(config: &Tls) -> Vec<Files> {
    let pairs = config.certificates.iter().zip(&config.keys);
    let files = |(certificates, key): (&PathBuf, &PathBuf)| Files {
        certificates: certificates.clone(),
        key: key.clone(),
    };
    pairs.map(files).collect()
}
