//! HTTPS before a service that speaks HTTP on loopback, as AWS and WeChat speak it, with a certificate that is made here.

use std::{io, net::SocketAddr, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

/// What signs the certificates.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one, which nobody trusts yet.
    ///
    /// # Panics
    /// When no key can be made.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap_or_else(|error| panic!("no key: {error}"));
        let issuer = CertifiedIssuer::self_signed(params, key);
        Self(issuer.unwrap_or_else(|error| panic!("no authority: {error}")))
    }

    /// Its certificate, for the file that `SSL_CERT_FILE` names.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    fn server_config(&self) -> Result<ServerConfig, Box<dyn std::error::Error>> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(["127.0.0.1".to_owned()])?.signed_by(&key, &self.0)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?)
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// A port that speaks TLS and passes on what it is told. It ends with this value.
#[derive(Debug)]
pub struct TlsFront {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl TlsFront {
    /// Before the service at `endpoint`, such as `http://127.0.0.1:8001`.
    ///
    /// # Errors
    /// When no port can be had, or `endpoint` names none.
    pub async fn start(authority: &Authority, endpoint: &str) -> io::Result<Self> {
        let service = endpoint.strip_prefix("http://").unwrap_or(endpoint).to_owned();
        let config = authority
            .server_config()
            .map_err(|error| io::Error::other(error.to_string()))?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, service) = (acceptor.clone(), service.clone());
                // A client that hangs up, or does not trust the certificate, is the test's business.
                tokio::spawn(async move { pass_on(&acceptor, client, &service).await });
            }
        });
        Ok(Self { address, server })
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("https://{}", self.address)
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn pass_on(acceptor: &TlsAcceptor, client: TcpStream, service: &str) -> io::Result<()> {
    // Otherwise an answer waits 40 ms for the client to acknowledge the session tickets before it.
    client.set_nodelay(true)?;
    let mut client = acceptor.accept(client).await?;
    let mut service = TcpStream::connect(service).await?;
    service.set_nodelay(true)?;
    copy_bidirectional(&mut client, &mut service).await?;
    Ok(())
}
