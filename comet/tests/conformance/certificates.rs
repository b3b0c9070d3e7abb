//! Certificates: what the comets here show over TLS, and a client that trusts nothing else.

use std::sync::{Arc, LazyLock};

use orrery_comet::Tls;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The name of all comets.
const NAME: &str = "comet.test";

/// A certificate that signed itself, and its key, in PEM.
static PAIR: LazyLock<(String, String)> = LazyLock::new(|| {
    let signed = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    (signed.cert.pem(), signed.signing_key.serialize_pem())
});

/// The files of comets, in a folder that lives for as long as they look at it.
pub(crate) fn files() -> (TempDir, Tls) {
    let folder = tempfile::tempdir().unwrap();
    let [certificate, key] = ["comet.pem", "comet.key"].map(|name| folder.path().join(name));
    std::fs::write(&certificate, &PAIR.0).unwrap();
    std::fs::write(&key, &PAIR.1).unwrap();
    let any = ([127, 0, 0, 1], 0).into();
    let tls = Tls {
        certificates: vec![certificate],
        keys: vec![key],
        tcp_listen: any,
        websocket_listen: any,
    };
    (folder, tls)
}

/// Shakes hands with a comet.
pub(crate) async fn secured(stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(PAIR.0.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(NAME).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}
