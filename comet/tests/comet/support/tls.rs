//! TLS: certificates in files, and clients that trust one of them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use orrery_comet::Tls;
use orrery_host::{Host, LocalStream, Stream};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const NAME: &str = "comet.test";

/// A certificate that signed itself, and its key, both in PEM.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Pair {
    /// One that ends on the first day of a year.
    pub(crate) fn until(year: i32) -> Self {
        let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { certificate, key: key.serialize_pem() }
    }
}

/// Where a comet finds its pair.
pub(crate) struct Files(TempDir);

impl Files {
    pub(crate) fn of(pair: &Pair) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write(&pair.certificate, &pair.key);
        files
    }

    pub(crate) fn write(&self, certificate: &str, key: &str) {
        let config = self.config();
        std::fs::write(&config.certificates[0], certificate).unwrap();
        std::fs::write(&config.keys[0], key).unwrap();
    }

    /// For a comet with any free ports.
    pub(crate) fn config(&self) -> Tls {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Tls {
            certificates: vec![self.0.path().join("comet.pem")],
            keys: vec![self.0.path().join("comet.key")],
            tcp_listen: any,
            websocket_listen: any,
        }
    }
}

/// A connection to a port, within TLS, by who trusts this pair and offers these application protocols.
pub(crate) async fn connect(
    host: &Host,
    address: SocketAddr,
    trusted: &Pair,
    protocols: &[&str],
) -> io::Result<TlsStream<Box<dyn Stream>>> {
    let stream = host.net.connect(&address.to_string()).await?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusted.certificate.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(NAME).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// The same as any other stream, by who gets through.
pub(crate) async fn stream(host: &Host, address: SocketAddr, trusted: &Pair) -> Box<dyn Stream> {
    Box::new(LocalStream(connect(host, address, trusted, &[]).await.unwrap()))
}
