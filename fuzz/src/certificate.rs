//! Hostile files of a certificate and its key: no panic, and what is taken for a pair ends at some time.

use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use orrery_tls::fuzzing::pair;
use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};

const NAME: &str = "comet.test";

/// The last second of the year 9999, which is the last that a certificate can name.
const END_MAX: u64 = 253_402_300_799;

/// A sound pair, the same each time.
pub struct Pair {
    /// In DER.
    pub certificate: Vec<u8>,
    /// In DER.
    pub key: Vec<u8>,
}

/// The pair that is changed.
pub static SOUND: LazyLock<Pair> = LazyLock::new(|| {
    // An Ed25519 key (RFC 8410, 7): its signatures have no randomness in them.
    let head = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
    let key = [&head[..], &[7; 32]].concat();
    let pkcs8 = PrivatePkcs8KeyDer::from(key.clone());
    let pair = KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8, &PKCS_ED25519).expect("a good key");
    let params = CertificateParams::new(vec![NAME.to_owned()]).expect("a good name");
    let certificate = params.self_signed(&pair).expect("a good certificate").der().to_vec();
    Pair { certificate, key }
});

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(default_provider()));

/// Holds for any bytes, or panics.
pub fn check(data: &[u8]) {
    // The first byte chooses what the others are.
    let Some((&kind, bytes)) = data.split_first() else { return };
    let Pair { certificate, key } = &*SOUND;
    match kind % 3 {
        // Both files, with a zero between them.
        0 => {
            let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            judged(&bytes[..end], bytes.get(end + 1..).unwrap_or_default());
        }
        // Most bytes are no certificate and no key: change those that are.
        1 => judged(&pem("CERTIFICATE", &changed(certificate, bytes)), &pem("PRIVATE KEY", key)),
        _ => judged(&pem("CERTIFICATE", certificate), &pem("PRIVATE KEY", &changed(key, bytes))),
    }
}

fn judged(certificates: &[u8], key: &[u8]) {
    let name = ServerName::try_from(NAME).expect("a good name");
    match pair(certificates, key, &name, &PROVIDER) {
        Ok((_, end)) => assert!(end <= END_MAX, "{end}"),
        Err(refused) => assert!(!refused.to_string().is_empty()),
    }
}

/// With other bytes in some places: two bytes say where each time, and the third what.
fn changed(sound: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % bytes.len();
        bytes[at] = change[2];
    }
    bytes
}

/// A file of one item.
pub fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    let text = STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n").into_bytes()
}
