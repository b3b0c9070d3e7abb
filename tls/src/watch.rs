//! Watch: looks at the files of certificates again and again, as those expect who have them renewed by a program.

use std::sync::Arc;

use orrery_host::Host;
use tokio::time::{Instant, sleep};

use crate::certificate::Files;
use crate::certificates::{Certificates, Look, Warning};
use crate::limits::{EXPIRY_WARNING_PERIOD, LOOK_PERIOD};

/// Replaces certificates soon after their files have changed, and warns of what is wrong with those shown. Whatever a look has
/// found is logged, and told to `found`, where it can be counted. Runs until it is dropped; the task of a server.
pub async fn watch(
    certificates: Arc<Certificates>,
    host: Host,
    found: Arc<dyn Fn(&Look) + Send + Sync>,
) {
    let mut warned = None;
    loop {
        if warned.is_none_or(|at: Instant| at.elapsed() >= EXPIRY_WARNING_PERIOD) {
            warned = warn(&certificates).then(Instant::now);
        }
        sleep(LOOK_PERIOD).await;
        let looked_at = certificates.clone();
        let found = found.clone();
        let look = Box::new(move || {
            let looks = looked_at.reload();
            tell(&looks);
            looks.iter().for_each(|(_, look)| found(look));
        });
        host.tasks.blocking("tls.certificates", look).await;
    }
}

fn tell(looks: &[(&Files, Look)]) {
    for (files, look) in looks {
        let certificates = files.certificates.display();
        match look {
            Look::Unchanged => {}
            Look::Replaced => tracing::info!(%certificates, "a new certificate is shown"),
            Look::Refused(error) => {
                tracing::warn!(%certificates, %error, "a new certificate is refused, the old one is kept");
            }
        }
    }
}

/// Says what is wrong with the certificates that are shown. Returns whether there was anything.
fn warn(certificates: &Certificates) -> bool {
    let warnings = certificates.warnings();
    for (files, warning) in &warnings {
        let certificates = files.certificates.display();
        match warning {
            Warning::Ends { left_seconds: ..0 } => tracing::error!(%certificates, "{warning}"),
            Warning::Ends { .. } | Warning::IsCa => tracing::warn!(%certificates, "{warning}"),
        }
    }
    !warnings.is_empty()
}
