//! How every call leaves the process, to WeChat or to AWS: one HTTP client library with one TLS configuration.
//!
//! Root certificates cost a starting process more than all its other work. So they are read once, when the first server
//! certificate has to be judged, and from the system's one bundle file: the directories beside it hold the same
//! certificates again, a file each.

#[cfg(feature = "aws")]
mod aws;

use std::{
    path::Path,
    sync::{Arc, LazyLock, OnceLock},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

#[cfg(feature = "aws")]
pub(crate) use self::aws::AwsTransport;

/// Where Linux distributions keep all root certificates in one file.
const BUNDLES: [&str; 4] = [
    // Amazon Linux, and so AWS Lambda.
    "/etc/pki/tls/certs/ca-bundle.crt",
    // Debian, Alpine.
    "/etc/ssl/certs/ca-certificates.crt",
    // SUSE.
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];
/// What names other certificates than the system's.
const OVERRIDES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

static TLS: LazyLock<Result<ClientConfig, TlsError>> = LazyLock::new(configuration);

/// The beginning of every HTTP client here, which follows no proxy by itself. Such clients share what TLS needs: roots,
/// and sessions to resume.
///
/// # Errors
/// When TLS cannot be set up.
pub(crate) fn client() -> Result<reqwest::ClientBuilder, TlsError> {
    let builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none());
    Ok(builder.tls_backend_preconfigured(TLS.clone()?))
}

fn configuration() -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(LazyVerifier {
        provider: Arc::clone(&provider),
        roots: OnceLock::new(),
    });
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Judges servers as rustls does by itself, by roots that are read when there is one to judge.
#[derive(Debug)]
struct LazyVerifier {
    provider: Arc<CryptoProvider>,
    roots: OnceLock<Result<Arc<WebPkiServerVerifier>, TlsError>>,
}

impl LazyVerifier {
    fn by_roots(&self) -> Result<&WebPkiServerVerifier, TlsError> {
        let read = || {
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots()), Arc::clone(&self.provider))
                .build()
                .map_err(|error| TlsError::General(format!("no usable root certificates: {error}")))
        };
        match self.roots.get_or_init(read) {
            Ok(verifier) => Ok(verifier),
            Err(error) => Err(error.clone()),
        }
    }
}

impl ServerCertVerifier for LazyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        self.by_roots()?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The roots that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, else the system's.
fn roots() -> RootCertStore {
    let is_overridden = OVERRIDES.iter().any(|name| std::env::var_os(name).is_some());
    let bundle = BUNDLES.iter().map(Path::new).find(|path| path.is_file());
    let loaded = match bundle {
        Some(bundle) if !is_overridden => rustls_native_certs::load_certs_from_paths(Some(bundle), None),
        _ => rustls_native_certs::load_native_certs(),
    };
    for error in &loaded.errors {
        tracing::warn!(%error, "a root certificate cannot be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(loaded.certs);
    roots
}
