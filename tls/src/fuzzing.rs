//! Fuzzing: what the files of a pair are taken for, for fuzz targets only.

use std::path::PathBuf;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;

use crate::certificate::{CertificateError, Contents, Files};

/// Takes bytes for the files of a pair. From when, and until when it is valid, in seconds since 1970.
///
/// # Errors
/// [`CertificateError`] where they are none, as for a server that starts, but for those of time.
///
/// # Panics
/// Where it is not judged by these times.
pub fn pair(
    certificates: &[u8],
    key: &[u8],
    name: &ServerName<'_>,
    provider: &CryptoProvider,
) -> Result<(u64, u64), CertificateError> {
    let files = Files { certificates: PathBuf::new(), key: PathBuf::new() };
    let contents = Contents { certificates: certificates.to_vec(), key: key.to_vec() };
    let pair = files.parse(&contents, provider)?;
    let _ = pair.is_for(name);
    let (begin, end) = (pair.not_before, pair.not_after);
    assert_eq!(pair.check_time(begin).is_ok(), begin <= end);
    assert_eq!(pair.check_time(end).is_ok(), begin <= end);
    let over = pair.check_time(end + 1);
    assert!(matches!(over, Err(CertificateError::Expired { ago_seconds: 1 })));
    Ok((begin, end))
}
