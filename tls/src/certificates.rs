//! Certificates: what a server shows, by the name it is asked for, replaced while connections live.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use orrery_host::Clock;
use parking_lot::Mutex;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::certificate::{Certificate, CertificateError, Contents, Files, LoadError};
use crate::limits::{CERTIFICATES_MAX, EXPIRY_WARNING_PART};

/// The pairs of a server. Cheap to look up; whoever shakes hands gets the newest, whoever is connected keeps what
/// he was shown.
pub struct Certificates {
    pairs: Vec<Pair>,
    clock: Arc<dyn Clock>,
    provider: Arc<CryptoProvider>,
    /// What was read last, so that files that stay the same are not judged again.
    seen: Mutex<Vec<Seen>>,
}

struct Pair {
    files: Files,
    current: ArcSwap<Certificate>,
}

struct Seen {
    contents: Option<Contents>,
    refused: Option<CertificateError>,
}

impl Seen {
    /// A pair cannot be used; that is news unless it was already so.
    fn refuse(&mut self, contents: Option<Contents>, error: CertificateError) -> Look {
        let known = self.contents == contents && self.refused.as_ref() == Some(&error);
        self.contents = contents;
        if known {
            return Look::Unchanged;
        }
        let told = error.clone();
        self.refused = Some(error);
        Look::Refused(told)
    }
}

/// What came of looking at a pair's files.
#[derive(Debug, PartialEq)]
pub enum Look {
    /// There is nothing new.
    Unchanged,
    /// The new pair is shown from now on.
    Replaced,
    /// The new pair cannot be used, and the old one is kept. Told once for each new reason or new content.
    Refused(CertificateError),
}

impl Certificates {
    /// Reads the pairs for the first time. Blocks. The first is shown to who asks for no name, or for one that is in
    /// none of them.
    ///
    /// A pair whose time is over, or has not come, is refused like one that does not parse: no device would accept
    /// it, and whoever starts a server is there to see why. One that ends later goes on being shown, since nobody is
    /// there; [`expires_at`](Self::expires_at) and [`warnings`](Self::warnings) tell.
    ///
    /// # Errors
    /// [`LoadError`], of the first pair that cannot be used.
    pub fn load(files: Vec<Files>, clock: Arc<dyn Clock>) -> Result<Self, LoadError> {
        if !(1..=CERTIFICATES_MAX).contains(&files.len()) {
            return Err(LoadError::Count(files.len()));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let now_seconds = clock.wall_ms() / 1000;
        let read = |files: &Files| {
            let contents = files.read()?;
            let certificate = files.parse(&contents, &provider)?;
            certificate.check_time(now_seconds)?;
            Ok((contents, certificate))
        };
        let mut pairs = Vec::new();
        let mut seen = Vec::new();
        for files in files {
            let (contents, certificate) = match read(&files) {
                Ok(read) => read,
                Err(source) => return Err(LoadError::Pair { files, source }),
            };
            pairs.push(Pair { files, current: ArcSwap::from_pointee(certificate) });
            seen.push(Seen { contents: Some(contents), refused: None });
        }
        Ok(Self { pairs, clock, provider, seen: Mutex::new(seen) })
    }

    /// Reads all files again, and shows from now on what can be used of it. Blocks. Each pair is judged alone: one
    /// that cannot be used (it does not parse, key and certificate are not each other's, its time is over or has not
    /// come) leaves the old one where it is.
    pub fn reload(&self) -> Vec<(&Files, Look)> {
        let now = self.now_seconds();
        let mut seen = self.seen.lock();
        let look = |(pair, seen): (&_, &mut _)| self.look(pair, seen, now);
        let looks: Vec<_> = self.pairs.iter().zip(&mut *seen).map(look).collect();
        self.pairs.iter().map(|pair| &pair.files).zip(looks).collect()
    }

    fn look(&self, pair: &Pair, seen: &mut Seen, now_seconds: u64) -> Look {
        let contents = match pair.files.read() {
            Ok(contents) => contents,
            Err(error) => return seen.refuse(None, error),
        };
        let changed = seen.contents.as_ref() != Some(&contents);
        // A pair whose time had not come is judged again without having changed.
        let too_early = matches!(seen.refused, Some(CertificateError::NotYetValid { .. }));
        if !changed && !too_early {
            return Look::Unchanged;
        }
        let judged = pair.files.parse(&contents, &self.provider);
        match judged.and_then(|new| new.check_time(now_seconds).map(|()| new)) {
            Ok(new) => {
                pair.current.store(Arc::new(new));
                *seen = Seen { contents: Some(contents), refused: None };
                Look::Replaced
            }
            Err(error) => seen.refuse(Some(contents), error),
        }
    }

    /// When the first of the certificates shown ends, in seconds since 1970: for a metric. A moment in the past is that
    /// of a certificate that has expired and was not replaced.
    pub fn expires_at(&self) -> u64 {
        let ends = self.pairs.iter().map(|pair| pair.current.load().not_after);
        ends.min().expect("there is at least one pair")
    }

    /// The pairs that should have been replaced by now, and in how many seconds each ends: zero or less when it has.
    pub fn warnings(&self) -> Vec<(&Files, i64)> {
        let now = self.now_seconds();
        let left = |pair: &Pair| {
            let shown = pair.current.load();
            let life = shown.not_after.saturating_sub(shown.not_before);
            let left =
                i64::try_from(shown.not_after).ok()?.checked_sub(i64::try_from(now).ok()?)?;
            (left < i64::try_from(life / EXPIRY_WARNING_PART).ok()?).then_some(left)
        };
        self.pairs.iter().filter_map(|pair| Some((&pair.files, left(pair)?))).collect()
    }

    pub(crate) fn provider(&self) -> Arc<CryptoProvider> {
        self.provider.clone()
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    fn now_seconds(&self) -> u64 {
        self.clock.wall_ms() / 1000
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let (first, others) = self.pairs.split_first()?;
        let asked_for = hello.server_name().filter(|_| !others.is_empty());
        let named = asked_for.and_then(|name| {
            let name = ServerName::try_from(name).ok()?;
            self.pairs.iter().find(|pair| pair.current.load().is_for(&name))
        });
        Some(named.unwrap_or(first).current.load().key.clone())
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.pairs.iter().map(|pair| &pair.files)).finish()
    }
}
