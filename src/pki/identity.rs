//! An identity in use. What it shows and whom it believes is read anew for every handshake, so that
//! renewed files count from the next connection on, in whatever library holds the configuration.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig,
    SignatureScheme, version,
};

use super::material::{Material, provider};

/// The protocol of the direct bus (RFC 9113 section 3.2).
const HTTP2: &[u8] = b"h2";

/// Material that may be replaced.
pub struct Identity(ArcSwap<InUse>);

struct InUse {
    material: Material,
    servers: Arc<WebPkiServerVerifier>,
    clients: Arc<dyn ClientCertVerifier>,
}

impl InUse {
    fn new(material: Material) -> Result<Self, Error> {
        let roots = || Arc::clone(&material.roots);
        let unusable = |error: &dyn fmt::Display| Error::General(error.to_string());
        let servers = WebPkiServerVerifier::builder_with_provider(roots(), provider().into());
        let clients = WebPkiClientVerifier::builder_with_provider(roots(), provider().into());
        Ok(Self {
            servers: servers.build().map_err(|error| unusable(&error))?,
            clients: clients.build().map_err(|error| unusable(&error))?,
            material,
        })
    }
}

impl Identity {
    /// Begins with `material`.
    ///
    /// # Errors
    /// When its authority cannot be believed at all.
    pub fn new(material: Material) -> Result<Arc<Self>, Error> {
        Ok(Arc::new(Self(ArcSwap::from_pointee(InUse::new(material)?))))
    }

    /// Has the next handshakes use `material`.
    ///
    /// # Errors
    /// As [`Self::new`]; what was in use stays.
    pub fn replace(&self, material: Material) -> Result<(), Error> {
        self.0.store(Arc::new(InUse::new(material)?));
        Ok(())
    }

    /// What is in use now.
    pub fn material(&self) -> Material {
        self.0.load().material.clone()
    }

    /// For a server of the direct bus: HTTP/2 for clients with a certificate of the authority.
    /// Nothing is resumed, so that who is refused stays refused.
    ///
    /// # Errors
    /// When TLS 1.3 cannot be had.
    pub fn server(self: &Arc<Self>) -> Result<ServerConfig, Error> {
        let mut config = ServerConfig::builder_with_provider(provider().into())
            .with_protocol_versions(&[&version::TLS13])?
            .with_client_cert_verifier(Arc::clone(self) as _)
            .with_cert_resolver(Arc::clone(self) as _);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = vec![HTTP2.to_vec()];
        Ok(config)
    }

    /// For a client of the direct bus.
    ///
    /// # Errors
    /// When TLS 1.3 cannot be had.
    pub fn client(self: &Arc<Self>) -> Result<ClientConfig, Error> {
        let mut config = self.broker_client()?;
        config.alpn_protocols = vec![HTTP2.to_vec()];
        Ok(config)
    }

    /// For a client of a broker, which has a protocol of its own.
    ///
    /// # Errors
    /// When TLS 1.3 cannot be had.
    pub fn broker_client(self: &Arc<Self>) -> Result<ClientConfig, Error> {
        let mut config = ClientConfig::builder_with_provider(provider().into())
            .with_protocol_versions(&[&version::TLS13])?
            .dangerous()
            // Not dangerous: it asks what webpki says of the authority in use.
            .with_custom_certificate_verifier(Arc::clone(self) as _)
            .with_client_cert_resolver(Arc::clone(self) as _);
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({:?})", self.0.load().material)
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.load().material.key))
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.load().material.key))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ServerCertVerifier for Identity {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let servers = Arc::clone(&self.0.load().servers);
        servers.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tls12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tls13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}

impl ClientCertVerifier for Identity {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Who connects has one certificate; there is nothing to choose by.
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = Arc::clone(&self.0.load().clients).verify_client_cert(
            end_entity,
            intermediates,
            now,
        )?;
        // An authority of several uses vouches for others as well: they are nobody here.
        match super::names(end_entity) {
            Some(names) if !names.parties.is_empty() => Ok(verified),
            _ => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tls12(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tls13(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}

fn tls12(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let algorithms = provider().signature_verification_algorithms;
    verify_tls12_signature(message, certificate, signature, &algorithms)
}

fn tls13(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    let algorithms = provider().signature_verification_algorithms;
    verify_tls13_signature(message, certificate, signature, &algorithms)
}

fn schemes() -> Vec<SignatureScheme> {
    provider().signature_verification_algorithms.supported_schemes()
}
