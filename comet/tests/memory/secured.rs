//! Secured: the certificate of the comets here, and devices that trust nothing else.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use orrery_comet::Tls;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

const NAME: &str = "comet.test";

/// The files of comets, in a folder that lives for as long as they look at it, and who trusts them.
pub(crate) struct Trust {
    folder: TempDir,
    client: Arc<ClientConfig>,
}

impl Trust {
    pub(crate) fn new() -> Self {
        let signed = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("comet.pem"), signed.cert.pem()).unwrap();
        std::fs::write(folder.path().join("comet.key"), signed.signing_key.serialize_pem())
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(signed.cert.pem().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        // What a device remembered of its connection would count as the comet's.
        client.resumption = Resumption::disabled();
        Self { folder, client: Arc::new(client) }
    }

    /// For a comet with any free ports.
    pub(crate) fn config(&self) -> Tls {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Tls {
            certificates: vec![self.folder.path().join("comet.pem")],
            keys: vec![self.folder.path().join("comet.key")],
            tcp_listen: any,
            websocket_listen: any,
        }
    }

    /// TLS over a socket, which stays as it is when this ends.
    pub(crate) fn connect<'a>(
        &self,
        stream: &'a mut TcpStream,
    ) -> StreamOwned<ClientConnection, &'a mut TcpStream> {
        let name = ServerName::try_from(NAME).unwrap();
        let connection = ClientConnection::new(self.client.clone(), name).unwrap();
        StreamOwned::new(connection, stream)
    }
}
