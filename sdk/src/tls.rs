//! TLS: connections within it, over any net. Whoever hands this net to a device has it speak `wss://` or goim's
//! protocol over TLS, where the comet does at that address.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use orrery_host::{Listener, Net, Stream};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Why certificates cannot be trusted. Trying again with the same ones cannot help.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// There is none.
    #[error("no certificate in it")]
    Empty,
    /// It is not PEM.
    #[error("not certificates in PEM: {0}")]
    Pem(#[from] pem::Error),
    /// One is not a certificate.
    #[error("not a certificate that can be trusted: {0}")]
    Certificate(#[from] rustls::Error),
}

/// Opens connections within TLS. The host in an address is the name that the comet's certificate has to be for.
pub struct TlsNet {
    net: Arc<dyn Net>,
    connector: TlsConnector,
}

impl TlsNet {
    /// Trusts comets whose certificate is one of these, or signed by one of these, all in PEM. What a comet shows must
    /// not itself be the certificate of a CA (basicConstraints CA:TRUE), though it be one of these: it is refused then.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn trusting(net: Arc<dyn Net>, certificates: &[u8]) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(certificates) {
            roots.add(certificate?)?;
        }
        if roots.is_empty() {
            return Err(TrustError::Empty);
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { net, connector: TlsConnector::from(Arc::new(config)) })
    }
}

impl Net for TlsNet {
    fn listen(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        // Only who connects is within TLS here.
        self.net.listen(address)
    }

    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        let (connecting, connector) = (self.net.connect(address), self.connector.clone());
        let name = name(address);
        async move {
            let stream = connector.connect(name?, connecting.await?).await?;
            Ok(Box::new(SecuredStream(stream)) as Box<dyn Stream>)
        }
        .boxed()
    }
}

/// The name of the comet at an address.
fn name(address: &str) -> io::Result<ServerName<'static>> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let invalid = |error| io::Error::new(io::ErrorKind::InvalidInput, error);
    ServerName::try_from(host).map(|name| name.to_owned()).map_err(invalid)
}

struct SecuredStream(TlsStream<Box<dyn Stream>>);

impl Stream for SecuredStream {
    fn adopt(self: Box<Self>) -> io::Result<Box<dyn Stream>> {
        // The handshake has read and written already, where it was made.
        Err(io::ErrorKind::Unsupported.into())
    }

    fn reset_on_drop(&self) {
        self.0.get_ref().0.reset_on_drop();
    }
}

impl AsyncRead for SecuredStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for SecuredStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_host_of_the_address() {
        let named = |address| name(address).map(|name| name.to_str().into_owned()).ok();
        assert_eq!(named("comet.example:3103").as_deref(), Some("comet.example"));
        assert_eq!(named("127.0.0.1:3104").as_deref(), Some("127.0.0.1"));
        assert_eq!(named("[::1]:3104").as_deref(), Some("::1"));
        assert_eq!(named("no host:1"), None);
    }
}
