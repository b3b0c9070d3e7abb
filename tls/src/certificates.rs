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
    /// What is known of the files, so that those that stay the same are not judged again.
    seen: Mutex<Vec<Seen>>,
}

struct Pair {
    files: Files,
    current: ArcSwap<Certificate>,
}

struct Seen {
    /// What the pair was made of that is shown.
    shown: Contents,
    /// What was read since then, if that could not be used.
    refused: Option<Refused>,
}

#[derive(PartialEq)]
struct Refused {
    /// `None` where nothing could be read.
    contents: Option<Contents>,
    error: CertificateError,
}

impl Seen {
    /// A pair cannot be used; that is news unless it was already so.
    fn refuse(&mut self, contents: Option<Contents>, error: CertificateError) -> Look {
        let told = error.clone();
        match self.refused.replace(Refused { contents, error }) {
            Some(before) if self.refused.as_ref() == Some(&before) => Look::Unchanged,
            _ => Look::Refused(told),
        }
    }
}

/// What came of looking at a pair's files.
#[derive(Debug, PartialEq)]
pub enum Look {
    /// There is nothing new: the files are those of the pair that is shown, or were refused before.
    Unchanged,
    /// The new pair is shown from now on.
    Replaced,
    /// The new pair cannot be used, and the old one is kept. Told once for each new reason or new content.
    Refused(CertificateError),
}

/// What is wrong with a pair that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// It should have been replaced by now.
    #[error("the certificate {}", ends(*left_seconds))]
    Ends {
        /// In how many seconds it ends: zero or less when it has.
        left_seconds: i64,
    },
    /// Devices whose TLS is rustls refuse it, others take it.
    #[error(
        "the certificate is that of a CA (basicConstraints CA:TRUE), which some devices refuse to be shown"
    )]
    IsCa,
}

fn ends(left_seconds: i64) -> String {
    match left_seconds {
        ..0 => format!("expired {} s ago and was not replaced", left_seconds.unsigned_abs()),
        0.. => format!("ends in {left_seconds} s and was not replaced"),
    }
}

impl Certificates {
    /// Reads the pairs for the first time. Blocks. Who asks for a name is shown a pair for it, others any; of several
    /// (one with an ECDSA key and one with an RSA key) the first whose signature the device says it can check.
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
            seen.push(Seen { shown: contents, refused: None });
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
        if seen.shown == contents {
            seen.refused = None;
            return Look::Unchanged;
        }
        // A pair whose time had not come is judged again without having changed.
        if seen.refused.as_ref().is_some_and(|refused| {
            refused.contents.as_ref() == Some(&contents)
                && !matches!(refused.error, CertificateError::NotYetValid { .. })
        }) {
            return Look::Unchanged;
        }
        let judged = pair.files.parse(&contents, &self.provider);
        match judged.and_then(|new| new.check_time(now_seconds).map(|()| new)) {
            Ok(new) => {
                pair.current.store(Arc::new(new));
                *seen = Seen { shown: contents, refused: None };
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

    /// What is wrong with the pairs that are shown nevertheless.
    pub fn warnings(&self) -> Vec<(&Files, Warning)> {
        let now = self.now_seconds();
        let ends = |shown: &Certificate| {
            let life = shown.not_after.saturating_sub(shown.not_before);
            let left_seconds =
                i64::try_from(shown.not_after).ok()?.checked_sub(i64::try_from(now).ok()?)?;
            (left_seconds < i64::try_from(life / EXPIRY_WARNING_PART).ok()?)
                .then_some(Warning::Ends { left_seconds })
        };
        let of_one = |pair: &Pair| {
            let shown = pair.current.load();
            [shown.is_ca.then_some(Warning::IsCa), ends(&shown)]
        };
        let warnings = |pair| of_one(pair).into_iter().flatten().map(|what| (&pair.files, what));
        self.pairs.iter().flat_map(warnings).collect()
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
        if let [only] = &self.pairs[..] {
            return Some(only.current.load().key.clone());
        }
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let is_named = |one: &Certificate| name.as_ref().is_some_and(|name| one.is_for(name));
        let is_checkable =
            |one: &Certificate| one.key.key.choose_scheme(hello.signature_schemes()).is_some();
        let all = self.pairs.iter().map(|pair| pair.current.load());
        // The first of the best.
        let best = all.min_by_key(|one| (!is_named(one), !is_checkable(one)))?;
        Some(best.key.clone())
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.pairs.iter().map(|pair| &pair.files)).finish()
    }
}
