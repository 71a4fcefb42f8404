//! HTTPS before a service that speaks HTTP, as AWS and WeChat speak it, with a certificate that is made here.

use std::{io, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{io::copy_bidirectional, net::TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use super::loopback::Server;

/// The certificate authority of the fronts.
#[derive(Debug)]
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// Makes one that nobody trusts yet.
    #[must_use]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Its certificate, for the file that `SSL_CERT_FILE` names.
    #[must_use]
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    fn server_config(&self) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let names = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let certificate = names.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap()
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// A port that speaks TLS and passes everything on to a service.
#[derive(Debug)]
pub struct TlsFront(Server);

impl TlsFront {
    /// Starts before the service at `endpoint`, such as `http://127.0.0.1:8001`.
    pub async fn start(authority: &Authority, endpoint: &str) -> Self {
        let service = endpoint.strip_prefix("http://").unwrap().to_owned();
        let acceptor = TlsAcceptor::from(Arc::new(authority.server_config()));
        let serve = |listener: tokio::net::TcpListener| async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, service) = (acceptor.clone(), service.clone());
                // A client that hangs up, or does not trust the certificate, is the test's business.
                tokio::spawn(async move { pass_on(&acceptor, client, &service).await });
            }
        };
        Self(Server::start(serve).await)
    }

    /// Returns the URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.0.endpoint().replace("http:", "https:")
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
