//! The HTTP client for all calls, to WeChat and to AWS, with one TLS configuration.
//!
//! This file exists to save milliseconds at a cold start, where reading root certificates costs more than all other work:
//!
//! - it reads them once, when the first server certificate must be verified;
//! - it reads the system's one bundle file, and not the directory with the same certificates in single files;
//! - it decodes base64 with a fast decoder: the constant-time one that rustls uses for secret keys takes ten times as long.

#[cfg(feature = "aws")]
mod aws;

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, LazyLock, OnceLock},
};

use base64::{Engine, prelude::BASE64_STANDARD};
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
const CERTIFICATE_BEGINS: &str = "-----BEGIN CERTIFICATE-----";
const CERTIFICATE_ENDS: &str = "-----END CERTIFICATE-----";

static TLS: LazyLock<Result<ClientConfig, TlsError>> = LazyLock::new(configuration);

/// A builder for an HTTP client that follows no redirects and ignores the proxy variables. All clients share the root
/// certificates and the TLS sessions.
///
/// # Errors
/// [`TlsError`] when TLS cannot be set up.
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

/// Verifies servers as rustls does by default, but reads the root certificates only at the first verification.
#[derive(Debug)]
struct LazyVerifier {
    provider: Arc<CryptoProvider>,
    roots: OnceLock<Result<Arc<WebPkiServerVerifier>, TlsError>>,
}

impl LazyVerifier {
    fn verifier(&self) -> Result<&WebPkiServerVerifier, TlsError> {
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
        self.verifier()?
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

/// The root certificates that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, else those of the system.
fn roots() -> RootCertStore {
    let pem = bundle().and_then(|path| fs::read_to_string(path).ok());
    let decoded = pem.and_then(|pem| decode(&pem).ok());
    let certificates = decoded.filter(|found| !found.is_empty()).unwrap_or_else(search);
    let mut roots = RootCertStore::empty();
    let (_, refused) = roots.add_parsable_certificates(certificates);
    if refused > 0 {
        tracing::warn!(refused, "some root certificates cannot be read / 部分根证书无法读取");
    }
    roots
}

/// The file with all root certificates, if there is one.
fn bundle() -> Option<PathBuf> {
    if std::env::var_os("SSL_CERT_DIR").is_some() {
        return None;
    }
    std::env::var_os("SSL_CERT_FILE").map(PathBuf::from).or_else(|| {
        let mut known = BUNDLES.iter().map(PathBuf::from);
        known.find(|path| path.is_file())
    })
}

/// Decodes the certificates of a PEM file and skips its other sections.
fn decode(pem: &str) -> Result<Vec<CertificateDer<'static>>, base64::DecodeError> {
    let bodies = pem.split(CERTIFICATE_BEGINS).skip(1).map(|section| {
        let (body, _) = section.split_once(CERTIFICATE_ENDS).unwrap_or((section, ""));
        body.lines().map(str::trim).collect::<String>()
    });
    bodies
        .map(|body| BASE64_STANDARD.decode(body).map(CertificateDer::from))
        .collect()
}

/// Searches all places where this system keeps root certificates.
fn search() -> Vec<CertificateDer<'static>> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a root certificate cannot be read / 有一个根证书无法读取");
    }
    found.certs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_found_between_comments_and_keys() {
        let pem = "# One\n-----BEGIN CERTIFICATE-----\nAQID\nBAUG\n-----END CERTIFICATE-----\n\
                   -----BEGIN PRIVATE KEY-----\nBwgJ\n-----END PRIVATE KEY-----\n\
                   # Two\r\n-----BEGIN CERTIFICATE-----\r\nCgsM\r\n-----END CERTIFICATE-----\r\n";
        let expected: Vec<&[u8]> = vec![&[1, 2, 3, 4, 5, 6], &[10, 11, 12]];
        assert_eq!(
            decode(pem).unwrap(),
            expected.into_iter().map(CertificateDer::from).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_bundle_with_a_broken_certificate_is_left_to_the_search_of_the_system() {
        let pem = "-----BEGIN CERTIFICATE-----\nAQI*\n-----END CERTIFICATE-----\n";
        assert!(decode(pem).is_err());
    }
}
