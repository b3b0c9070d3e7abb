//! Certificate: one chain with its key, read from two files and checked before anybody is served with it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use x509_cert::certificate::{CertificateInner, Raw, TbsCertificateInner};
use x509_cert::der::Decode;
use x509_cert::ext::pkix::BasicConstraints;

use crate::limits::{CERTIFICATES_MAX, FILE_BYTES_MAX};

/// Where a pair is, both in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The chain: the server's own certificate first.
    pub certificates: PathBuf,
    /// The key of the first certificate.
    pub key: PathBuf,
}

/// Why a pair cannot be used. It may be tried again once the files have changed; after
/// [`NotYetValid`](CertificateError::NotYetValid) with the same files, when its time has come.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },
    /// A file is too long for what it should be.
    #[error("{} has more than {FILE_BYTES_MAX} bytes", path.display())]
    TooLong {
        /// Which file.
        path: PathBuf,
    },
    /// A file is not what it should be.
    #[error("{} is not PEM as expected: {source}", path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        source: Arc<pem::Error>,
    },
    /// The first certificate is not one.
    #[error("the certificate cannot be understood: {0}")]
    Certificate(x509_cert::der::Error),
    /// The key does not belong to the certificate.
    #[error("the key is not that of the certificate")]
    Mismatch,
    /// The key, or the certificate's, is of a kind that cannot be used.
    #[error("the pair cannot be used: {0}")]
    Unusable(rustls::Error),
    /// Its time is over.
    #[error("the certificate expired {ago_seconds} s ago")]
    Expired {
        /// For how long it has been.
        ago_seconds: u64,
    },
    /// Its time has not come.
    #[error("the certificate is valid only in {in_seconds} s")]
    NotYetValid {
        /// When it will be.
        in_seconds: u64,
    },
}

/// Why a server cannot start with its pairs. Another try helps as for the [`CertificateError`] in it.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// None was given, or too many.
    #[error("{0} pairs of certificate and key; there must be 1 to {CERTIFICATES_MAX}")]
    Count(usize),
    /// One cannot be used.
    #[error("certificate {} with key {}: {source}", files.certificates.display(), files.key.display())]
    Pair {
        /// Which one.
        files: Files,
        /// Why.
        source: CertificateError,
    },
}

impl PartialEq for CertificateError {
    /// Equal to who reads it: how long ago something was does not make it another error.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Expired { .. }, Self::Expired { .. })
            | (Self::NotYetValid { .. }, Self::NotYetValid { .. }) => true,
            _ => self.to_string() == other.to_string(),
        }
    }
}

/// The bytes of both files, to tell whether they have changed.
#[derive(PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) certificates: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

/// A pair that parses and belongs together.
pub(crate) struct Certificate {
    pub(crate) key: Arc<CertifiedKey>,
    /// From when, and until when it is valid, in seconds since 1970.
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
    /// Whether it says that it may sign others.
    pub(crate) is_ca: bool,
}

impl Files {
    /// Reads both files. Blocks.
    ///
    /// # Errors
    /// [`CertificateError::Read`] and [`CertificateError::TooLong`].
    pub(crate) fn read(&self) -> Result<Contents, CertificateError> {
        Ok(Contents { certificates: read(&self.certificates)?, key: read(&self.key)? })
    }

    /// Makes a pair of what was read from these files.
    ///
    /// # Errors
    /// All but those of time.
    pub(crate) fn parse(
        &self,
        contents: &Contents,
        provider: &CryptoProvider,
    ) -> Result<Certificate, CertificateError> {
        let bad = |path: &Path, source| CertificateError::Pem {
            path: path.to_owned(),
            source: Arc::new(source),
        };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&contents.certificates)
            .collect::<Result<_, _>>()
            .map_err(|source| bad(&self.certificates, source))?;
        let Some(own) = chain.first() else {
            return Err(bad(&self.certificates, pem::Error::NoItemsFound));
        };
        let key = PrivateKeyDer::from_pem_slice(&contents.key)
            .map_err(|source| bad(&self.key, source))?;
        // Certificates that break the rules about serial numbers and the like are in use.
        let own = CertificateInner::<Raw>::from_der(own)
            .map_err(CertificateError::Certificate)?
            .tbs_certificate;
        let key = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => CertificateError::Mismatch,
            error => CertificateError::Unusable(error),
        })?;
        Ok(Certificate {
            key: Arc::new(key),
            not_before: own.validity.not_before.to_unix_duration().as_secs(),
            not_after: own.validity.not_after.to_unix_duration().as_secs(),
            is_ca: is_ca(&own),
        })
    }
}

impl Certificate {
    /// Whether it is valid now.
    ///
    /// # Errors
    /// [`CertificateError::Expired`] and [`CertificateError::NotYetValid`].
    pub(crate) fn check_time(&self, now_seconds: u64) -> Result<(), CertificateError> {
        if now_seconds > self.not_after {
            return Err(CertificateError::Expired { ago_seconds: now_seconds - self.not_after });
        }
        if now_seconds < self.not_before {
            return Err(CertificateError::NotYetValid {
                in_seconds: self.not_before - now_seconds,
            });
        }
        Ok(())
    }

    /// Whether it is for the server of this name.
    pub(crate) fn is_for(&self, name: &ServerName<'_>) -> bool {
        let own = self.key.end_entity_cert().and_then(ParsedCertificate::try_from);
        own.is_ok_and(|own| rustls::client::verify_server_name(&own, name).is_ok())
    }
}

/// Whether a certificate says that it is a CA's. One whose words about that cannot be read is not judged here.
fn is_ca(certificate: &TbsCertificateInner<Raw>) -> bool {
    certificate.get().is_ok_and(|found: Option<(bool, BasicConstraints)>| {
        found.is_some_and(|(_critical, constraints)| constraints.ca)
    })
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let failed = |source: io::Error| CertificateError::Read {
        path: path.to_owned(),
        source: Arc::new(source),
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(CertificateError::TooLong { path: path.to_owned() });
    }
    Ok(bytes)
}
